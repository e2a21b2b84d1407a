//! Agents made and changed.

use sallyport_model::{AgentId, ClientId, ScopeSet, TenantId, UserId};
use sallyport_storage::{Agent, AgentBounds, ApplicationType, ClientAuthMethod, ClientRecord, ClientSource, ScopeUse};
use serde_json::{Value, json};

use super::{AgentChange, AgentRules, change::Step, wrong};
use crate::IdentityError;

/// Characters of a name.
const MOST_NAME: usize = 100;
/// Characters of a purpose.
const MOST_PURPOSE: usize = 500;
/// More agents of one person's own making are refused.
const MOST_PERSONAL: usize = 20;

/// An agent that is to be made.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Whose.
    pub tenant: TenantId,
    /// Its `client_id`, and its own id; absent: one is made.
    pub client: Option<String>,
    /// For display.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<UserId>,
    /// What it is for.
    pub purpose: String,
    /// Its ceiling.
    pub scopes: ScopeSet,
    /// Where it may work, as resource identifiers; empty: wherever its scopes are from.
    pub resources: Vec<String>,
    /// What bounds it further.
    pub bounds: AgentBounds,
}

/// What changes of an agent; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct AgentEdit {
    /// For display.
    pub name: Option<String>,
    /// Who answers for it; `Some(None)`: nobody.
    pub owner: Option<Option<UserId>>,
    /// What it is for.
    pub purpose: Option<String>,
    /// Its ceiling.
    pub scopes: Option<ScopeSet>,
    /// Where it may work.
    pub resources: Option<Vec<String>>,
    /// What bounds it further, whole.
    pub bounds: Option<AgentBounds>,
}

impl AgentRules<'_> {
    /// A new agent, without a credential yet: it gets no token before it has one.
    ///
    /// # Errors
    /// [`IdentityError::Agent`] with the field that cannot be, or when the store fails.
    pub async fn create(&self, new: NewAgent) -> Result<AgentChange, IdentityError> {
        self.tenant(&new.tenant).await?;
        let id = self.fresh_id(new.client.as_deref()).await?;
        let agent = Agent {
            client: ClientId::new(id.as_str()).map_err(|error| wrong("client_id", error.to_string()))?,
            id,
            tenant: new.tenant,
            name: new.name,
            owner: new.owner,
            purpose: new.purpose,
            scopes: new.scopes,
            resources: new.resources,
            created_at: self.now,
            suspended: false,
            bounds: new.bounds,
            last_used_at: None,
        };
        let agent = self.checked(agent, None).await?;
        let client = client_of(&agent);
        let facts = facts(&agent);
        // The client first: of two makers of one id, one is told.
        let steps = vec![Step::AddClient(Box::new(client)), Step::PutAgent(Box::new(agent.clone()))];
        Ok(AgentChange::new("agent.create", agent, facts, steps))
    }

    /// An agent that a person makes for herself, within what her tenant permits.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_personal(&self, mut new: NewAgent, person: &UserId) -> Result<AgentChange, IdentityError> {
        if !self.tenant(&new.tenant).await?.settings.personal_agents {
            let what = "your organisation does not let people make agents: ask an administrator for one";
            return Err(wrong("tenant", what));
        }
        let hers = self.store.agents_of(person).await?;
        if hers.iter().filter(|agent| agent.bounds.personal).count() >= MOST_PERSONAL {
            let what = format!("you have {MOST_PERSONAL} agents of your own, which is the most: delete one first");
            return Err(wrong("tenant", what));
        }
        new.client = None;
        new.owner = Some(person.clone());
        new.bounds.personal = true;
        new.bounds.successor = None;
        self.create(new).await
    }

    /// The same agent with changes.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn edit(&self, agent: &Agent, edit: AgentEdit) -> Result<AgentChange, IdentityError> {
        let mut next = agent.clone();
        next.name = edit.name.unwrap_or(next.name);
        next.owner = edit.owner.unwrap_or(next.owner);
        next.purpose = edit.purpose.unwrap_or(next.purpose);
        // Where only the scopes change, the resources follow them unless they were a choice of their own.
        if let Some(scopes) = edit.scopes {
            let followed = self.resources_of(&agent.tenant, &agent.scopes) == agent.resources;
            next.scopes = scopes;
            if followed && edit.resources.is_none() {
                next.resources = Vec::new();
            }
        }
        next.resources = edit.resources.unwrap_or(next.resources);
        next.bounds = edit.bounds.unwrap_or(next.bounds);
        let next = self.checked(next, Some(agent)).await?;
        let facts = json!({ "before": facts(agent), "after": facts(&next) });
        Ok(self.put("agent.set", next, facts))
    }

    /// Its scopes become what it has used: of a group that it holds, the scopes of the tools that it called.
    ///
    /// # Errors
    /// [`IdentityError::Agent`] where it has used nothing.
    pub async fn narrow(&self, agent: &Agent) -> Result<AgentChange, IdentityError> {
        let uses = self.store.scope_uses(&agent.id).await?;
        let used = self.used(agent, &uses);
        if used.is_empty() {
            let what = "it has used none of its scopes yet: narrow it with `set`, suspend it or delete it";
            return Err(wrong("scopes", what));
        }
        let (before, after) = (agent.scopes.clone(), used.clone());
        let next = Agent { scopes: used, ..agent.clone() };
        Ok(self.put("agent.narrow", next, json!({ "before": before, "after": after })))
    }

    /// It gets no token any more, and those it has end.
    pub fn suspend(&self, agent: &Agent) -> AgentChange {
        let next = Agent { suspended: true, ..agent.clone() };
        let mut change = self.put("agent.suspend", next, json!({}));
        // Shut first, so that nothing begins between the two.
        change.steps.push(Step::Revoke(agent.id.clone()));
        change
    }

    /// It may ask for tokens again; none that ended lives again.
    ///
    /// # Errors
    /// [`IdentityError::Agent`] where nobody is there who answers for it.
    pub async fn resume(&self, agent: &Agent) -> Result<AgentChange, IdentityError> {
        if let Some(owner) = &agent.owner {
            self.living("owner", &agent.tenant, owner).await?;
        }
        let next = Agent { suspended: false, ..agent.clone() };
        Ok(self.put("agent.resume", next, json!({})))
    }

    /// Every token of it ends, and everything under which it acts for somebody. No session of a person is touched.
    pub fn revoke(&self, agent: &Agent) -> AgentChange {
        AgentChange::new("agent.revoke", agent.clone(), json!({}), vec![Step::Revoke(agent.id.clone())])
    }

    /// It is gone, with its client, credentials, tokens and delegations.
    pub fn remove(&self, agent: &Agent) -> AgentChange {
        let facts = facts(agent);
        AgentChange::new("agent.delete", agent.clone(), facts, vec![Step::Remove(agent.id.clone())])
    }

    fn put(&self, action: &'static str, agent: Agent, facts: Value) -> AgentChange {
        let steps = vec![Step::PutAgent(Box::new(agent.clone())), Step::PutClient(Box::new(client_of(&agent)))];
        AgentChange::new(action, agent, facts, steps)
    }

    async fn fresh_id(&self, wished: Option<&str>) -> Result<AgentId, IdentityError> {
        let Some(wished) = wished else {
            let minted = format!("agent-{}", AgentId::mint(self.rng));
            return AgentId::new(minted).map_err(|_| IdentityError::Internal("naming an agent"));
        };
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if wished.is_empty() || wished.len() > 63 || !wished.bytes().all(plain) {
            return Err(wrong("client_id", "use 1 to 63 of a-z, 0-9 and hyphens"));
        }
        let id = AgentId::new(wished).map_err(|error| wrong("client_id", error.to_string()))?;
        let client = ClientId::new(wished).map_err(|error| wrong("client_id", error.to_string()))?;
        if self.store.client(&client).await?.is_some() || self.store.agent(&id).await?.is_some() {
            return Err(wrong("client_id", format!("`{wished}` is taken: choose another one, or none")));
        }
        Ok(id)
    }

    /// An agent that keeps the rules, in its normal form. `before`: what stands already and is not asked about again.
    async fn checked(&self, agent: Agent, before: Option<&Agent>) -> Result<Agent, IdentityError> {
        let mut agent = agent;
        agent.name = text("name", &agent.name, MOST_NAME)?;
        agent.purpose = text("purpose", &agent.purpose, MOST_PURPOSE)?;
        if let Some(owner) = agent.owner.as_ref().filter(|owner| before.is_none_or(|b| b.owner.as_ref() != Some(owner)))
        {
            self.living("owner", &agent.tenant, owner).await?;
        }
        if before.is_none_or(|before| before.scopes != agent.scopes || before.resources != agent.resources) {
            self.check_scopes(&mut agent)?;
        }
        if before.is_none_or(|before| before.bounds != agent.bounds) {
            agent.bounds = self.bounds(&agent.tenant, &agent.id, agent.owner.as_ref(), agent.bounds.clone()).await?;
        }
        Ok(agent)
    }

    /// The resources of the tenant that these scopes are of, in the offer's order.
    fn resources_of(&self, tenant: &TenantId, scopes: &ScopeSet) -> Vec<String> {
        let of = |resource: &&super::OfferedResource| {
            resource.is_for(tenant) && !resource.scope_set().intersection(scopes).is_empty()
        };
        self.offer.iter().filter(of).map(|resource| resource.uri.clone()).collect()
    }

    fn check_scopes(&self, agent: &mut Agent) -> Result<(), IdentityError> {
        if agent.scopes.is_empty() {
            return Err(wrong("scopes", "it has none, so it could do nothing: name at least one"));
        }
        let known = self.offer.iter().filter(|resource| resource.is_for(&agent.tenant));
        let all = known.clone().fold(ScopeSet::empty(), |all, resource| all.union(&resource.scope_set()));
        let unknown = agent.scopes.difference(&all);
        if !unknown.is_empty() {
            let what = format!("there is no scope {unknown} for {}; there are: {all}", agent.tenant);
            return Err(wrong("scopes", what));
        }
        if agent.resources.is_empty() {
            agent.resources = self.resources_of(&agent.tenant, &agent.scopes);
        }
        let mut reached = ScopeSet::empty();
        for uri in &agent.resources {
            let Some(resource) = known.clone().find(|resource| resource.uri == *uri) else {
                let names: Vec<&str> = known.clone().map(|resource| resource.upstream.as_str()).collect();
                let what = format!("`{uri}` is no server of {}; there are: {}", agent.tenant, names.join(", "));
                return Err(wrong("servers", what));
            };
            reached = reached.union(&resource.scope_set());
        }
        let elsewhere = agent.scopes.difference(&reached);
        if !elsewhere.is_empty() {
            let what =
                format!("{elsewhere} is of a server that it is not let at: add the server, or leave the scope out");
            return Err(wrong("scopes", what));
        }
        Ok(())
    }

    /// What of its scopes an agent has used, as narrow as it was needed.
    pub(super) fn used(&self, agent: &Agent, uses: &[ScopeUse]) -> ScopeSet {
        let held = |used: &ScopeUse| {
            let scope = sallyport_model::Scope::new(used.scope.as_str()).ok()?;
            let covered = agent.scopes.contains(&scope)
                || self.group_of(&scope).is_some_and(|group| agent.scopes.contains(&group));
            covered.then_some(scope)
        };
        uses.iter().filter_map(held).collect()
    }

    pub(super) fn group_of(&self, scope: &sallyport_model::Scope) -> Option<sallyport_model::Scope> {
        let all = self.offer.iter().flat_map(|resource| &resource.scopes);
        all.clone().find(|offered| offered.scope == *scope)?.group.clone()
    }
}

fn text(field: &'static str, given: &str, most: usize) -> Result<String, IdentityError> {
    let given = given.trim();
    if given.is_empty() || given.chars().any(char::is_control) || given.chars().count() > most {
        return Err(wrong(field, format!("write one line of 1 to {most} characters")));
    }
    Ok(given.to_owned())
}

/// An agent's client: it authenticates by the agent's credentials, and by nothing of its own.
pub(super) fn client_of(agent: &Agent) -> ClientRecord {
    let mut grant_types = vec![
        "client_credentials".to_owned(),
        "urn:ietf:params:oauth:grant-type:token-exchange".to_owned(),
        "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned(),
    ];
    if !agent.bounds.redirect_uris.is_empty() {
        grant_types.extend(["authorization_code".to_owned(), "refresh_token".to_owned()]);
    }
    let loopback = agent.bounds.redirect_uris.iter().any(|uri| sallyport_oauth::redirect::is_loopback(uri));
    ClientRecord {
        id: agent.client.clone(),
        source: ClientSource::Preregistered,
        name: agent.name.clone(),
        redirect_uris: agent.bounds.redirect_uris.clone(),
        application_type: if loopback { ApplicationType::Native } else { ApplicationType::Web },
        auth: ClientAuthMethod::AgentCredential,
        grant_types,
        uri: None,
        agent: Some(agent.id.clone()),
        created_at: agent.created_at,
        stale_at: None,
    }
}

fn facts(agent: &Agent) -> Value {
    json!({
        "name": agent.name,
        "owner": agent.owner,
        "purpose": agent.purpose,
        "scopes": agent.scopes,
        "servers": agent.resources,
        "bounds": agent.bounds,
    })
}
