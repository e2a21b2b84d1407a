//! `GET /account`: who am I, how do I sign in, and who may act for me.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use sallyport_model::Timestamp;
use sallyport_storage::{Agent, Consent, Grant, Passkey, Role};
use sallyport_web::{Caller, Markup, Notice, Width, csrf_field, notice};
use serde::Deserialize;

use super::purpose;
use crate::{Identity, IdentityError, SignedIn, answer::Failure};

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    done: String,
}

/// Shows the page, or the way to the sign-in form.
pub(crate) async fn show(State(identity): State<Identity>, caller: Caller, Query(asked): Query<Asked>) -> Response {
    let result = render(&identity, &caller, &asked.done).await;
    identity.answer(result)
}

/// A grant or consent with the name that its client goes by.
struct Named<T> {
    client_name: String,
    of: T,
}

/// A grant under which an agent acts for her.
struct Acting {
    grant: Grant,
    /// The one that acts; absent when it is gone.
    agent: Option<Agent>,
    /// Who answers for it.
    owner: Option<String>,
}

async fn render(identity: &Identity, caller: &Caller, done: &str) -> Result<Response, Failure> {
    let Some(me) = identity.current(&caller.headers).await? else {
        return Ok(Redirect::to(&identity.sign_in_url("/account")).into_response());
    };
    let passkeys = identity.store().passkeys(&me.person.id).await?;
    let mut grants = Vec::new();
    let mut acting = Vec::new();
    for grant in identity.grants(&me).await? {
        if let Some(first) = grant.actors.first().cloned() {
            acting.push(identity.acting(grant, &first).await?);
            continue;
        }
        grants.push(Named { client_name: identity.client_name(&grant.client).await?, of: grant });
    }
    let mut consents = Vec::new();
    for consent in identity.store().consents(&me.person.id).await? {
        consents.push(Named { client_name: identity.client_name(&consent.client).await?, of: consent });
    }
    let issued = identity.shell().form_token(&caller.headers, &purpose(&me), identity.rng());
    let token = issued.token.as_str();
    let fresh = identity.now().since(me.session.authenticated_at) <= identity.config().fresh_for;
    let agents = identity.agents_section(&me, token, fresh).await?;
    let body = html! {
        @if let Some(text) = message(done) { (notice(Notice::Done, text)) }
        (about(&me, token))
        @if !acting.is_empty() { (agents_for_her(&acting, token)) }
        (connected(&grants, token))
        @if !consents.is_empty() { (remembered(&consents, token)) }
        (agents)
        @if identity.config().local_directory { (sign_in_methods(identity, &passkeys, token, fresh)) }
    };
    let mut page = identity.shell().page("Your account").width(Width::Wide).set_cookie(issued.set_cookie);
    if identity.passkeys().is_some() {
        page = page.script(&identity.0.script);
    }
    Ok(page.respond(body))
}

/// Only texts of ours are ever shown; the query merely picks one.
fn message(done: &str) -> Option<&'static str> {
    match done {
        "disconnected" => Some("The application is disconnected. Its access has ended."),
        "withdrawn" => Some("The permission is withdrawn. The application has to ask again."),
        "agent_suspended" => Some("The agent is suspended. Its tokens have ended, and it gets no new ones."),
        "agent_ended" => Some("The agent's tokens have ended. It may ask for new ones."),
        "agent_deleted" => Some("The agent is gone, with everything that it could do."),
        "passkey_added" => Some("The passkey is added."),
        "passkey_removed" => Some("The passkey is removed."),
        _ => None,
    }
}

/// The day and the minute, UTC.
pub(super) fn when(at: Timestamp) -> Markup {
    let text = at.to_string();
    html! { time datetime=(text) { (text.chars().take(16).collect::<String>().replace('T', ", ")) " UTC" } }
}

fn about(me: &SignedIn, token: &str) -> Markup {
    html! {
        section.panel aria-labelledby="about" {
            div.row {
                div.item-main {
                    h1 #about { (me.person.display_name) }
                    p.soft { (me.person.email.as_deref().unwrap_or(&me.person.login)) }
                }
                form method="post" action="/signout" {
                    (csrf_field(token))
                    button.quiet.small type="submit" { "Sign out" }
                }
            }
            dl.facts {
                dt { "Login" } dd { (me.person.login) }
                dt { "Organisation" } dd { (me.person.tenant) }
                dt { "Role" } dd { (match me.person.role { Role::Administrator => "Administrator", Role::User => "User" }) }
                dt { "Signed in" } dd { (when(me.session.authenticated_at)) }
            }
        }
    }
}

fn scopes(scopes: &sallyport_model::ScopeSet) -> Markup {
    html! { ul.chips aria-label="Scopes" { @for scope in scopes.iter() { li { (scope) } } } }
}

fn agents_for_her(acting: &[Acting], token: &str) -> Markup {
    html! {
        section.panel aria-labelledby="acting" {
            h2 #acting { "Agents that act for you" }
            p.soft { "What these do is done in your name, and every record says so. End one at any time." }
            ul.items {
                @for Acting { grant, agent, owner } in acting {
                    @let name = agent.as_ref().map_or_else(|| grant.client.to_string(), |agent| agent.name.clone());
                    li.row {
                        div.item-main {
                            strong { (name) }
                            @if let Some(agent) = agent { p.soft { (agent.purpose) } }
                            p.soft { "Answered for by " (owner.as_deref().unwrap_or("nobody")) }
                            p.soft { code { (grant.resource) } }
                            p.soft {
                                "Since " (when(grant.created_at)) ", until " (when(grant.expires_at))
                                @if let Some(used) = agent.as_ref().and_then(|agent| agent.last_used_at) {
                                    ", the agent was last used " (when(used))
                                }
                            }
                            @if grant.actors.len() > 1 {
                                p.soft { "For you through " (grant.actors.len() - 1) " other agents" }
                            }
                            (scopes(&grant.scopes))
                        }
                        form method="post" action="/account/grants/revoke" {
                            (csrf_field(token))
                            input type="hidden" name="grant" value=(grant.id);
                            button.danger.small type="submit" aria-label={ "End " (name) } { "End" }
                        }
                    }
                }
            }
        }
    }
}

fn connected(grants: &[Named<Grant>], token: &str) -> Markup {
    html! {
        section.panel aria-labelledby="connected" {
            h2 #connected { "Connected applications" }
            @if grants.is_empty() { p.soft { "No application acts for you." } }
            @else { p.soft { "These act for you until the date shown, or until you disconnect them." } }
            ul.items {
                @for Named { client_name, of: grant } in grants {
                    li.row {
                        div.item-main {
                            strong { (client_name) }
                            p.soft { code { (grant.resource) } }
                            p.soft { "Since " (when(grant.created_at)) ", until " (when(grant.expires_at)) }
                            (scopes(&grant.scopes))
                        }
                        form method="post" action="/account/grants/revoke" {
                            (csrf_field(token))
                            input type="hidden" name="grant" value=(grant.id);
                            button.danger.small type="submit" aria-label={ "Disconnect " (client_name) } { "Disconnect" }
                        }
                    }
                }
            }
        }
    }
}

fn remembered(consents: &[Named<Consent>], token: &str) -> Markup {
    html! {
        section.panel aria-labelledby="remembered" {
            h2 #remembered { "Remembered permissions" }
            p.soft { "These applications may connect again without asking. Withdrawing also disconnects them." }
            ul.items {
                @for Named { client_name, of: consent } in consents {
                    li.row {
                        div.item-main {
                            strong { (client_name) }
                            p.soft { code { (consent.resource) } }
                            p.soft { "Given " (when(consent.given_at)) }
                        }
                        form method="post" action="/account/consents/withdraw" {
                            (csrf_field(token))
                            input type="hidden" name="client" value=(consent.client);
                            input type="hidden" name="resource" value=(consent.resource);
                            button.danger.small type="submit" aria-label={ "Withdraw permission of " (client_name) } {
                                "Withdraw"
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sign_in_methods(identity: &Identity, passkeys: &[Passkey], token: &str, fresh: bool) -> Markup {
    html! {
        section.panel aria-labelledby="passkeys" {
            h2 #passkeys { "Passkeys" }
            @if passkeys.is_empty() { p.soft { "Sign in with your fingerprint, face or a security key." } }
            ul.items {
                @for passkey in passkeys {
                    li.row {
                        div.item-main {
                            strong { (passkey.name) }
                            p.soft {
                                "Added " (when(passkey.created_at))
                                @if let Some(used) = passkey.last_used_at { ", last used " (when(used)) }
                            }
                        }
                        @if fresh {
                            form method="post" action="/account/passkeys/remove" {
                                (csrf_field(token))
                                input type="hidden" name="passkey" value=(passkey.id);
                                button.danger.small type="submit" aria-label={ "Remove " (passkey.name) } { "Remove" }
                            }
                        }
                    }
                }
            }
            (add_passkey(identity, token, fresh))
        }
    }
}

fn add_passkey(identity: &Identity, token: &str, fresh: bool) -> Markup {
    html! {
        @if identity.passkeys().is_none() {
            p.notice role="note" { "Browsers want a host name for passkeys; this server is open at an address." }
        } @else if !fresh {
            p.notice role="note" {
                a href=(identity.sign_in_url("/account")) { "Sign in again" } " to add or remove passkeys."
            }
        } @else {
            div hidden data-passkey-area {
                form.stack data-passkey-form {
                    div {
                        label for="passkey-name" { "Name of a new passkey" }
                        input #passkey-name type="text" name="name" maxlength="60" placeholder="Laptop" autocomplete="off";
                    }
                    div {
                        button.quiet type="submit" data-passkey="/account/passkeys" data-csrf=(token) { "Add a passkey" }
                    }
                }
                p.notice.failed role="alert" data-passkey-error {}
            }
        }
    }
}

impl Identity {
    /// A grant with the agent that acts under it.
    async fn acting(&self, grant: Grant, agent: &sallyport_model::AgentId) -> Result<Acting, IdentityError> {
        let agent = self.store().agent(agent).await?.filter(|agent| agent.tenant == grant.tenant);
        let owner = match agent.as_ref().and_then(|agent| agent.owner.as_ref()) {
            Some(owner) => self.store().person(owner).await?.map(|person| person.display_name),
            None => None,
        };
        Ok(Acting { grant, agent, owner })
    }

    /// What a client calls itself; its id when it is no longer known.
    async fn client_name(&self, id: &sallyport_model::ClientId) -> Result<String, IdentityError> {
        let known = self.store().client(id).await?;
        Ok(known.map(|client| client.name).filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_string()))
    }
}
