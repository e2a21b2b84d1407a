//! What people agreed to, per person, client and resource.

use async_trait::async_trait;
use sallyport_model::{ClientId, ScopeSet, Timestamp, UserId};

use crate::StoreError;

/// One person's consent to one client at one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Who.
    pub user: UserId,
    /// To whom.
    pub client: ClientId,
    /// RFC 8707 resource.
    pub resource: String,
    /// To what.
    pub scopes: ScopeSet,
    /// The redirect URI that was shown; another one asks again.
    pub redirect_uri: String,
    /// When.
    pub given_at: Timestamp,
}

/// Storage of consents.
#[async_trait]
pub trait Consents {
    /// The consent in force.
    async fn consent(&self, user: &UserId, client: &ClientId, resource: &str) -> Result<Option<Consent>, StoreError>;
    /// Replaces the consent for that person, client and resource.
    async fn put_consent(&self, consent: &Consent) -> Result<(), StoreError>;
    /// All of a person.
    async fn consents(&self, user: &UserId) -> Result<Vec<Consent>, StoreError>;
    /// Withdraws; whether there was one.
    async fn remove_consent(&self, user: &UserId, client: &ClientId, resource: &str) -> Result<bool, StoreError>;
}
