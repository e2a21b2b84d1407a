//! Tokens of the admin API, and the steps by which two administrators who change the same thing at once do not
//! undo one another.

use async_trait::async_trait;
use sallyport_model::{ApiTokenId, TenantId, Timestamp};

use crate::{Connection, Digest, StoreError, Tenant};

/// What a token of the admin API may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiRole {
    /// Everything, in every tenant.
    Operator,
    /// What an administrator of this tenant may, in this tenant.
    Administrator(TenantId),
}

impl ApiRole {
    /// Whose the token is; an operator's is of no tenant.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Operator => None,
            Self::Administrator(tenant) => Some(tenant),
        }
    }

    /// The role in one word, as it is kept.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Administrator(_) => "administrator",
        }
    }

    /// Of its columns. What does not fit together is nothing.
    pub(crate) fn of(word: &str, tenant: Option<TenantId>) -> Option<Self> {
        match (word, tenant) {
            ("operator", None) => Some(Self::Operator),
            ("administrator", Some(tenant)) => Some(Self::Administrator(tenant)),
            _ => None,
        }
    }
}

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id, in lists and in the log.
    pub id: ApiTokenId,
    /// What it may do.
    pub role: ApiRole,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the token.
    pub token: Digest,
    /// Since when.
    pub created_at: Timestamp,
    /// Worth nothing from then on.
    pub expires_at: Option<Timestamp>,
}

/// Storage of the admin API's tokens, and its changes that happen only if nobody was faster.
#[async_trait]
pub trait ApiTokens {
    /// Inserts; [`StoreError::Exists`] if id or token is taken, [`StoreError::Missing`] if there is no such tenant.
    /// A tenant's tokens go with it.
    async fn add_api_token(&self, token: &ApiToken) -> Result<(), StoreError>;
    /// By token, if it has not ended and its tenant, where it has one, is not suspended.
    async fn api_token(&self, token: &Digest, now: Timestamp) -> Result<Option<ApiToken>, StoreError>;
    /// All, or those of one tenant, oldest first.
    async fn api_tokens(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiToken>, StoreError>;
    /// Removes one; whether there was one. The next request with it is refused.
    async fn remove_api_token(&self, id: &ApiTokenId) -> Result<bool, StoreError>;

    /// Replaces name, suspension and settings, if the tenant is `was` at this moment. Whether it was.
    async fn exchange_tenant(&self, was: &Tenant, new: &Tenant) -> Result<bool, StoreError>;
    /// Replaces name, settings, `enabled` and `changed_at`, if the connection is `was` at this moment. Whether it
    /// was; [`StoreError::Exists`] if the name is another connection's. Ids and protocol stay.
    async fn exchange_connection(&self, was: &Connection, new: &Connection) -> Result<bool, StoreError>;
}
