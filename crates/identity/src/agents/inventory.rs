//! The inventory: what is known of agents, and what in it is a risk.

use std::time::Duration;

use sallyport_model::{Scope, Timestamp, UserId};
use sallyport_storage::{Agent, AgentCredential, CredentialKind, Person, ScopeUse};

use super::AgentRules;
use crate::IdentityError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A credential that is older is marked.
const OLD: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// A scope that was not used for so long counts as unused.
const IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A credential that ends sooner is marked.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Who answers for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The person.
    pub id: UserId,
    /// How people know her; her id where she is no longer there.
    pub called: String,
    /// Whether she is there and not switched off.
    pub living: bool,
}

/// A scope that an agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldScope {
    /// The scope.
    pub scope: Scope,
    /// When a call last needed it, or a tool's scope under it.
    pub last_used_at: Option<Timestamp>,
    /// Since when it lies idle, where it was never used or not for 30 days.
    pub unused_since: Option<Timestamp>,
}

/// What somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nobody answers for it.
    NoOwner,
    /// Whoever answered for it is gone or switched off.
    OwnerGone,
    /// It proves itself by a secret, which can be copied.
    Secret,
    /// A living credential is older than 60 days.
    OldCredential,
    /// A living credential ends within 7 days and has no successor.
    EndsSoon,
    /// It has no living credential: it gets no token.
    NoCredential,
    /// It never got a token.
    NeverUsed,
    /// It holds scopes that lie idle.
    UnusedScopes,
}

impl Risk {
    /// A stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::NoOwner => "no_owner",
            Self::OwnerGone => "owner_gone",
            Self::Secret => "secret",
            Self::OldCredential => "old_credential",
            Self::EndsSoon => "ends_soon",
            Self::NoCredential => "no_credential",
            Self::NeverUsed => "never_used",
            Self::UnusedScopes => "unused_scopes",
        }
    }
}

/// One agent of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The agent.
    pub agent: Agent,
    /// Who answers for it.
    pub owner: Option<Owner>,
    /// All its credentials, dead ones too, newest first.
    pub credentials: Vec<AgentCredential>,
    /// What it holds, and when it used that.
    pub scopes: Vec<HeldScope>,
    /// What somebody should look at, the gravest first.
    pub risks: Vec<Risk>,
}

impl Listed {
    /// The living credential that ends last.
    pub fn newest_living(&self, now: Timestamp) -> Option<&AgentCredential> {
        self.credentials.iter().filter(|credential| credential.lives(now)).max_by_key(|living| living.expires_at)
    }
}

/// Whole days.
pub(crate) fn days(age: Duration) -> u64 {
    age.as_secs() / DAY.as_secs()
}

impl AgentRules<'_> {
    /// One agent as the inventory shows it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn listed(&self, agent: Agent) -> Result<Listed, IdentityError> {
        let owner = match &agent.owner {
            Some(id) => Some(owner(id, self.store.person(id).await?, &agent)),
            None => None,
        };
        let credentials = self.store.credentials(&agent.id).await?;
        let uses = self.store.scope_uses(&agent.id).await?;
        let scopes: Vec<HeldScope> = agent.scopes.iter().map(|scope| self.held(&agent, scope, &uses)).collect();
        let risks = risks(&agent, owner.as_ref(), &credentials, &scopes, self.now);
        Ok(Listed { agent, owner, credentials, scopes, risks })
    }

    fn held(&self, agent: &Agent, scope: &Scope, uses: &[ScopeUse]) -> HeldScope {
        let counts = |used: &&ScopeUse| {
            used.scope == scope.as_str()
                || Scope::new(used.scope.as_str()).ok().and_then(|used| self.group_of(&used)).as_ref() == Some(scope)
        };
        let last = uses.iter().filter(counts).map(|used| used.last_used_at).max();
        let since = last.unwrap_or(agent.created_at);
        let idle = last.is_none() || self.now.since(since) > IDLE;
        HeldScope { scope: scope.clone(), last_used_at: last, unused_since: idle.then_some(since) }
    }
}

fn owner(id: &UserId, person: Option<Person>, agent: &Agent) -> Owner {
    let person = person.filter(|person| person.tenant == agent.tenant);
    let called = person.as_ref().map(|person| person.email.clone().unwrap_or_else(|| person.display_name.clone()));
    let living = person.is_some_and(|person| !person.disabled);
    Owner { id: id.clone(), called: called.unwrap_or_else(|| id.to_string()), living }
}

fn risks(
    agent: &Agent,
    owner: Option<&Owner>,
    credentials: &[AgentCredential],
    scopes: &[HeldScope],
    now: Timestamp,
) -> Vec<Risk> {
    let living: Vec<_> = credentials.iter().filter(|credential| credential.lives(now)).collect();
    let last_end = living.iter().map(|credential| credential.expires_at).max();
    let found = [
        (owner.is_none(), Risk::NoOwner),
        (owner.is_some_and(|owner| !owner.living), Risk::OwnerGone),
        (living.iter().any(|one| matches!(one.kind, CredentialKind::Secret { .. })), Risk::Secret),
        (living.iter().any(|one| now.since(one.created_at) > OLD), Risk::OldCredential),
        (last_end.is_some_and(|end| end.since(now) <= SOON), Risk::EndsSoon),
        (living.is_empty(), Risk::NoCredential),
        (agent.last_used_at.is_none(), Risk::NeverUsed),
        (scopes.iter().any(|held| held.unused_since.is_some()), Risk::UnusedScopes),
    ];
    found.into_iter().filter_map(|(is, risk)| is.then_some(risk)).collect()
}
