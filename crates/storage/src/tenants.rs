//! Tenants: the customers of a deployment.

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Suspended tenants authenticate nobody.
    pub suspended: bool,
    /// Its own choices.
    pub settings: TenantSettings,
}

impl Tenant {
    /// A tenant that has chosen nothing yet.
    pub fn new(id: TenantId, name: impl Into<String>, created_at: Timestamp) -> Self {
        Self { id, name: name.into(), created_at, suspended: false, settings: TenantSettings::default() }
    }
}

/// What a tenant chooses for itself. Times are in seconds, can only be shorter than the operator's, and
/// what is absent is the operator's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// How long an access token of a person lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_seconds: Option<u64>,
    /// How long a refresh token may lie idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_idle_seconds: Option<u64>,
    /// How long a grant lives at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_seconds: Option<u64>,
    /// How long a browser session lives at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_seconds: Option<u64>,
    /// Whether its people may not sign in with passwords kept here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub federated_only: bool,
    /// How long a grant lives at most under which an agent acts for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation_seconds: Option<u64>,
    /// How many agents may stand in one chain, at most; absent: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_depth: Option<u8>,
    /// Whether every token must be bound to a key (DPoP or mTLS).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sender_bound: bool,
    /// Whether agents may use secrets instead of keys.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub agent_secrets: bool,
    /// Whether people may make agents for themselves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub personal_agents: bool,
    /// How long a credential of an agent lives at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_credential_seconds: Option<u64>,
}

/// Storage of tenants.
#[async_trait]
pub trait Tenants {
    /// Inserts; [`StoreError::Exists`] if the id is taken, and then nothing of that tenant changes.
    async fn add_tenant(&self, tenant: &Tenant) -> Result<(), StoreError>;
    /// Inserts, or updates name, suspension and settings, whatever others changed meanwhile: where somebody could,
    /// take [`Self::add_tenant`] and [`crate::ApiTokens::exchange_tenant`]. Suspending ends nothing by itself: revoke
    /// the tenant as well.
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError>;
    /// One tenant.
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError>;
    /// All, by id.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;
    /// Revokes the tenant and removes it with everything that is its own: people, connections, domains,
    /// links, streams, SCIM resources and clients, agents with their clients, consents, grants, sessions.
    /// The audit log is not touched. Whether there was one.
    async fn remove_tenant(&self, id: &TenantId, at: Timestamp) -> Result<bool, StoreError>;
}
