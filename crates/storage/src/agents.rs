//! Agents: principals that are not people.

use async_trait::async_trait;
use sallyport_model::{AgentId, ClientId, ScopeSet, TenantId, Timestamp, UserId};

use crate::StoreError;

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Whose.
    pub tenant: TenantId,
    /// The client whose credentials it uses.
    pub client: ClientId,
    /// What people call it.
    pub name: String,
    /// Who answers for it.
    pub owner: Option<UserId>,
    /// What it is for.
    pub purpose: String,
    /// The widest scopes that it may ask for.
    pub scopes: ScopeSet,
    /// The resource identifiers (RFC 8707) that it may ask for.
    pub resources: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// Suspended agents get no token.
    pub suspended: bool,
}

/// Storage of agents.
#[async_trait]
pub trait Agents {
    /// Inserts or replaces.
    async fn put_agent(&self, agent: &Agent) -> Result<(), StoreError>;
    /// One agent.
    async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, StoreError>;
    /// All of a tenant.
    async fn agents(&self, tenant: &TenantId) -> Result<Vec<Agent>, StoreError>;
}
