//! Agents on a person's own page: those that act for her, those that she answers for, and those that she makes.
//!
//! `POST /account/agents/…`: `create`, `suspend`, `end` and `delete`. Nobody resumes here what was stopped: it may have
//! been stopped by an administrator.

use std::time::Duration;

use axum::{
    extract::{Form, RawForm, State},
    response::Response,
};
use http::StatusCode;
use maud::html;
use sallyport_model::{EventKind, Scope, ScopeSet};
use sallyport_storage::{Agent, AgentBounds, Tenant};
use sallyport_web::{Caller, ErrorPage, Markup, Notice, Width, csrf_field, notice};
use serde::Deserialize;

use super::{back, page::when, unknown};
use crate::{
    Identity, IdentityError, SignedIn,
    agents::{AgentChange, AgentRules, AskedCredential, CredentialSource, Listed, MadeCredential, NewAgent, Shown},
    answer::Failure,
};

const DAY: u64 = 24 * 60 * 60;
/// Days that the form begins with.
const USUAL_DAYS: u64 = 30;

#[derive(Deserialize)]
pub(crate) struct Named {
    #[serde(default)]
    csrf: String,
    agent: String,
}

/// What the form of a new agent says.
#[derive(Default)]
struct Wanted {
    csrf: String,
    name: String,
    purpose: String,
    scopes: Vec<String>,
    days: u64,
    secret: bool,
}

/// Suspends one that she answers for.
pub(crate) async fn suspend(State(identity): State<Identity>, caller: Caller, Form(form): Form<Named>) -> Response {
    let change = |rules: &AgentRules<'_>, agent: &Agent| Ok(rules.suspend(agent));
    let result = act(&identity, &caller, &form, change, "agent_suspended").await;
    identity.answer(result)
}

/// Ends every token of one that she answers for.
pub(crate) async fn end(State(identity): State<Identity>, caller: Caller, Form(form): Form<Named>) -> Response {
    let change = |rules: &AgentRules<'_>, agent: &Agent| Ok(rules.revoke(agent));
    let result = act(&identity, &caller, &form, change, "agent_ended").await;
    identity.answer(result)
}

/// Removes one that she made for herself.
pub(crate) async fn delete(State(identity): State<Identity>, caller: Caller, Form(form): Form<Named>) -> Response {
    let change = |rules: &AgentRules<'_>, agent: &Agent| match agent.bounds.personal {
        true => Ok(rules.remove(agent)),
        false => {
            let what = "This agent was made by an administrator.";
            let remedy = "Suspend it here, and ask an administrator to remove it.";
            Err(Failure::from(ErrorPage::new(StatusCode::FORBIDDEN, "agent_not_personal", what, remedy)))
        }
    };
    let result = act(&identity, &caller, &form, change, "agent_deleted").await;
    identity.answer(result)
}

async fn act(
    identity: &Identity,
    caller: &Caller,
    form: &Named,
    change: impl Fn(&AgentRules<'_>, &Agent) -> Result<AgentChange, Failure>,
    done: &str,
) -> Result<Response, Failure> {
    let me = identity.authorize(&caller.headers, &form.csrf).await?;
    let agent = identity.her_agents(&me).await?.into_iter().find(|agent| agent.id.as_str() == form.agent);
    let agent = agent.ok_or_else(|| unknown("agent"))?;
    let offer = identity.offered();
    let change = change(&identity.agent_rules(&offer), &agent)?;
    // What ends access is done first: should recording fail, it has ended all the same.
    let (action, id) = (change.action, change.agent.id.clone());
    change.make(identity.store(), identity.now()).await?;
    let facts = [("action", action), ("agent", id.as_str())];
    identity.record_done(EventKind::Revoked, caller.source(), &me.person, Some(&me.session), &facts).await?;
    Ok(back(done))
}

/// Makes one for herself, and shows once what proves it.
pub(crate) async fn create(State(identity): State<Identity>, caller: Caller, RawForm(form): RawForm) -> Response {
    let result = made(&identity, &caller, wanted(&form)).await;
    identity.answer(result)
}

fn wanted(form: &[u8]) -> Wanted {
    let mut wanted = Wanted::default();
    for (name, value) in url::form_urlencoded::parse(form).into_owned() {
        match name.as_str() {
            "csrf" => wanted.csrf = value,
            "name" => wanted.name = value,
            "purpose" => wanted.purpose = value,
            "scope" => wanted.scopes.push(value),
            "days" => wanted.days = value.parse().unwrap_or_default(),
            "proof" => wanted.secret = value == "secret",
            _ => {}
        }
    }
    wanted
}

async fn made(identity: &Identity, caller: &Caller, wanted: Wanted) -> Result<Response, Failure> {
    let me = identity.authorize_fresh(&caller.headers, &wanted.csrf).await?;
    let offer = identity.offered();
    let rules = identity.agent_rules(&offer);
    let scopes: Result<ScopeSet, _> = wanted.scopes.iter().map(|scope| Scope::new(scope.as_str())).collect();
    let new = NewAgent {
        tenant: me.person.tenant.clone(),
        client: None,
        name: wanted.name,
        owner: None,
        purpose: wanted.purpose,
        scopes: scopes.map_err(|_| unknown("scope"))?,
        resources: Vec::new(),
        bounds: AgentBounds::default(),
    };
    let change = rules.create_personal(new, &me.person.id).await.map_err(told)?;
    let source = if wanted.secret { CredentialSource::Secret } else { CredentialSource::NewKey };
    let life = Some(Duration::from_secs(wanted.days.saturating_mul(DAY)));
    let asked = AskedCredential { source, life };
    let credential = rules.add_credential(&change.agent, asked).await.map_err(told)?;
    let scopes = change.agent.scopes.to_string();
    let facts = [
        ("action", change.action),
        ("agent", change.agent.id.as_str()),
        ("scopes", &scopes),
        ("credential", credential.credential.id.as_str()),
        ("kind", credential.credential.kind.word()),
    ];
    identity.record_done(EventKind::Administered, caller.source(), &me.person, Some(&me.session), &facts).await?;
    let agent = change.agent.clone();
    change.make(identity.store(), identity.now()).await?;
    credential.change.clone().make(identity.store(), identity.now()).await?;
    Ok(identity.shell().page("Your new agent").width(Width::Wide).respond(handed_over(identity, &agent, &credential)))
}

/// A refusal by the rules, as a page.
fn told(error: IdentityError) -> Failure {
    match error {
        IdentityError::Agent { what, .. } => {
            let mut letters = what.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            let what = format!("{first}{}.", letters.as_str());
            ErrorPage::new(StatusCode::BAD_REQUEST, "agent_refused", what, "Go back and change the form.").into()
        }
        other => other.into(),
    }
}

fn handed_over(identity: &Identity, agent: &Agent, made: &MadeCredential) -> Markup {
    let origin = identity.shell().origin();
    html! {
        h1 { (agent.name) }
        (notice(Notice::Done, "The agent is made. What is below is shown this once: keep it now."))
        section.panel aria-labelledby="proof" {
            h2 #proof { "What it needs" }
            dl.facts {
                dt { "Token endpoint" } dd { code { (origin) "/oauth/token" } }
                dt { "client_id" } dd { code { (agent.client) } }
                @for resource in &agent.resources { dt { "Resource" } dd { code { (resource) } } }
                dt { "Ends" } dd { (when(made.credential.expires_at)) }
                @match &made.shown {
                    Shown::Secret(secret) => { dt { "client_secret" } dd { code { (secret.expose()) } } }
                    Shown::PrivateKey { kid, .. } => { dt { "kid" } dd { code { (kid) } } }
                    Shown::Nothing => {}
                }
            }
            @if let Shown::PrivateKey { pem, .. } = &made.shown {
                h3 { "Private key (ES256)" }
                pre { code { (pem.expose()) } }
            }
            p.actions { a.button.quiet href="/account" { "Back to your account" } }
        }
    }
}

impl Identity {
    pub(crate) fn agent_rules<'a>(&'a self, offer: &'a [crate::agents::OfferedResource]) -> AgentRules<'a> {
        AgentRules { store: self.store(), rng: self.rng(), now: self.now(), offer }
    }

    /// Those that she answers for, in her own tenant.
    async fn her_agents(&self, me: &SignedIn) -> Result<Vec<Agent>, IdentityError> {
        let mut agents = self.store().agents_of(&me.person.id).await?;
        agents.retain(|agent| agent.tenant == me.person.tenant);
        Ok(agents)
    }

    /// The part of her page about the agents that she answers for, and the form for a new one.
    pub(super) async fn agents_section(
        &self,
        me: &SignedIn,
        token: &str,
        fresh: bool,
    ) -> Result<Markup, IdentityError> {
        let offer = self.offered();
        let rules = self.agent_rules(&offer);
        let mut listed = Vec::new();
        for agent in self.her_agents(me).await? {
            listed.push(rules.listed(agent).await?);
        }
        let tenant = self.store().tenant(&me.person.tenant).await?;
        let may_make = tenant.filter(|tenant| tenant.settings.personal_agents);
        Ok(html! {
            @if !listed.is_empty() || may_make.is_some() {
                section.panel aria-labelledby="agents" {
                    h2 #agents { "Your agents" }
                    @if listed.is_empty() { p.soft { "You answer for no agent." } }
                    @else { p.soft { "You answer for these. They work under their own names." } }
                    ul.items { @for one in &listed { (self.owned(one, token)) } }
                    @if let Some(tenant) = &may_make { (self.new_agent(tenant, &offer, token, fresh)) }
                }
            }
        })
    }

    fn owned(&self, listed: &Listed, token: &str) -> Markup {
        let agent = &listed.agent;
        let form = |action: &str, word: &str| {
            html! {
                form method="post" action={ "/account/agents/" (action) } {
                    (csrf_field(token))
                    input type="hidden" name="agent" value=(agent.id);
                    button.danger.small type="submit" aria-label={ (word) " " (agent.name) } { (word) }
                }
            }
        };
        html! {
            li.row {
                div.item-main {
                    strong { (agent.name) }
                    p.soft { (agent.purpose) }
                    p.soft {
                        @if agent.suspended { "Suspended. " }
                        @match agent.last_used_at { Some(at) => { "Last used " (when(at)) } None => { "Never used" } }
                        @if let Some(one) = listed.newest_living(self.now()) {
                            ", its " (one.kind.word().replace('_', " ")) " ends " (when(one.expires_at))
                        }
                    }
                    ul.chips aria-label="Scopes" { @for held in &listed.scopes { li { (held.scope) } } }
                }
                @if !agent.suspended { (form("suspend", "Suspend")) (form("end", "End its tokens")) }
                @if agent.bounds.personal { (form("delete", "Delete")) }
            }
        }
    }

    fn new_agent(&self, tenant: &Tenant, offer: &[crate::agents::OfferedResource], token: &str, fresh: bool) -> Markup {
        let most = tenant.settings.agent_credential_seconds.map_or(90, |seconds| (seconds / DAY).clamp(1, 90));
        let mut count = 0;
        let mut box_id = move || {
            count += 1;
            format!("scope-{count}")
        };
        html! {
            h3 { "Make an agent" }
            @if !fresh {
                p.notice role="note" { a href=(self.sign_in_url("/account")) { "Sign in again" } " to make one." }
            } @else {
                form.stack method="post" action="/account/agents/create" {
                    (csrf_field(token))
                    div {
                        label for="agent-name" { "Name" }
                        input #agent-name type="text" name="name" required maxlength="100" autocomplete="off";
                    }
                    div {
                        label for="agent-purpose" { "What it is for" }
                        input #agent-purpose type="text" name="purpose" required maxlength="500" autocomplete="off";
                    }
                    @for resource in offer.iter().filter(|resource| resource.is_for(&tenant.id)) {
                        fieldset {
                            legend { (resource.upstream) }
                            @for offered in &resource.scopes {
                                @let id = box_id();
                                div.choice {
                                    input id=(id) type="checkbox" name="scope" value=(offered.scope);
                                    label for=(id) { code { (offered.scope) } " " (offered.title) }
                                }
                            }
                        }
                    }
                    div {
                        label for="agent-days" { "Days until its credential ends" }
                        input #agent-days type="number" name="days" min="1" max=(most) value=(USUAL_DAYS.min(most)) required;
                    }
                    @if tenant.settings.agent_secrets {
                        div.choice {
                            input #agent-secret type="checkbox" name="proof" value="secret";
                            label for="agent-secret" { "It takes no key: make a secret" }
                        }
                    }
                    div { button.quiet type="submit" { "Make the agent" } }
                }
            }
        }
    }
}
