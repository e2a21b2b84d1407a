//! Agents: the rules by which they are made, changed, given credentials and ended, in one place for the command
//! line, the account page and the administration interface.
//!
//! | module | what for |
//! |---|---|
//! | `make`, `bounds` | a new agent, and a changed one |
//! | `credential` | what proves an agent to be itself: added, rotated, revoked |
//! | `inventory` | what is known of agents: owner, last use, unused scopes, ages, risks |
//! | `leaving`, `settle` | what becomes of a person's agents when she leaves |
//!
//! A rule looks and makes an [`AgentChange`]; whoever asked puts that on record and then makes it. Nothing here
//! issues a token, and no secret is in what goes on record.

mod bounds;
mod change;
mod credential;
mod inventory;
mod leaving;
mod make;
mod settle;

use std::time::Duration;

use sallyport_model::{AgentId, Rng, ScopeSet, TenantId, Timestamp, UpstreamName};
use sallyport_storage::{Agent, Person, Store, Tenant};

use crate::IdentityError;

pub use bounds::hours;
pub use change::AgentChange;
pub use credential::{AskedCredential, CredentialSource, MadeCredential, Shown};
pub use inventory::{HeldScope, Listed, Owner, Risk};
pub use leaving::{Left, Outcome, owner_left};
pub use make::{AgentEdit, NewAgent};

/// How long a credential lives where its tenant says nothing, and at most.
pub const CREDENTIAL_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long the old credential goes on beside its successor, where nobody says otherwise.
pub const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// A resource at which agents may work, with its scopes.
#[derive(Debug, Clone)]
pub struct OfferedResource {
    /// The resource identifier.
    pub uri: String,
    /// The upstream.
    pub upstream: UpstreamName,
    /// The tenants that it is for; absent: all.
    pub tenants: Option<Vec<TenantId>>,
    /// Its scopes.
    pub scopes: Vec<OfferedScope>,
}

/// A scope of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedScope {
    /// The scope.
    pub scope: sallyport_model::Scope,
    /// What it allows, for people.
    pub title: String,
    /// The scope of the group that covers it as well; absent for a group itself.
    pub group: Option<sallyport_model::Scope>,
}

impl OfferedResource {
    /// Whether people and agents of `tenant` may work there.
    pub fn is_for(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }

    /// All its scopes.
    pub fn scope_set(&self) -> ScopeSet {
        self.scopes.iter().map(|offered| offered.scope.clone()).collect()
    }
}

/// Knows what the gate offers at this moment.
pub trait Offer: Send + Sync {
    /// All resources.
    fn resources(&self) -> Vec<OfferedResource>;
}

/// What the rules are applied to.
#[derive(Clone, Copy)]
pub struct AgentRules<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Randomness for ids and secrets.
    pub rng: &'a dyn Rng,
    /// The time.
    pub now: Timestamp,
    /// What agents may be let at.
    pub offer: &'a [OfferedResource],
}

impl std::fmt::Debug for AgentRules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentRules").field("now", &self.now).field("offer", &self.offer).finish_non_exhaustive()
    }
}

/// What is asked cannot be: which field, and why, with the remedy.
pub(crate) fn wrong(field: &'static str, what: impl Into<String>) -> IdentityError {
    IdentityError::Agent { field, what: what.into() }
}

impl AgentRules<'_> {
    /// An agent of `tenant`; another tenant's is not there.
    ///
    /// # Errors
    /// [`IdentityError::Agent`] with the field `id`, or when the store fails.
    pub async fn agent(&self, tenant: Option<&TenantId>, id: &str) -> Result<Agent, IdentityError> {
        let found = match AgentId::new(id) {
            Ok(id) => self.store.agent(&id).await?,
            Err(_) => None,
        };
        let found = found.filter(|agent| tenant.is_none_or(|tenant| agent.tenant == *tenant));
        found.ok_or_else(|| wrong("id", format!("there is no agent `{}`", crate::audit::told(id))))
    }

    pub(crate) async fn tenant(&self, id: &TenantId) -> Result<Tenant, IdentityError> {
        let tenant = self.store.tenant(id).await?;
        tenant.ok_or_else(|| wrong("tenant", format!("there is no tenant `{id}`")))
    }

    /// A person of `tenant` who is not disabled.
    pub(crate) async fn living(
        &self,
        field: &'static str,
        tenant: &TenantId,
        id: &sallyport_model::UserId,
    ) -> Result<Person, IdentityError> {
        let person = self.store.person(id).await?.filter(|person| person.tenant == *tenant);
        let Some(person) = person else {
            return Err(wrong(
                field,
                format!("{tenant} has nobody with the id `{id}`: name somebody of the same tenant"),
            ));
        };
        if person.disabled {
            return Err(wrong(field, format!("{} is switched off: name somebody who is not", person.display_name)));
        }
        Ok(person)
    }
}
