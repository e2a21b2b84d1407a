//! Streams of security events (OpenID Shared Signals Framework 1.0), as a receiver keeps them.

use async_trait::async_trait;
use sallyport_model::{ConnectionId, SignalStreamId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalDelivery {
    /// The transmitter posts them to us (RFC 8935).
    Push,
    /// We fetch them (RFC 8936).
    Poll,
    /// Not SSF: Okta's Global Token Revocation posts to us.
    TokenRevocation,
}

/// One stream.
#[derive(Clone, PartialEq, Eq)]
pub struct SignalStream {
    /// Its id here, in the URL that is pushed to.
    pub id: SignalStreamId,
    /// Whose.
    pub tenant: TenantId,
    /// Whose people its subjects are; absent: any of the tenant's.
    pub connection: Option<ConnectionId>,
    /// How events come.
    pub delivery: SignalDelivery,
    /// JSON in the words of `identity` (issuer, keys, endpoints, tokens); sealed at rest.
    pub settings: String,
    /// SHA-256 of the token that the transmitter authenticates with, where it does.
    pub token: Option<Digest>,
    /// Since when.
    pub created_at: Timestamp,
    /// When its verification event came.
    pub verified_at: Option<Timestamp>,
    /// When the last event came.
    pub last_event_at: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    pub last_fault: Option<String>,
}

impl std::fmt::Debug for SignalStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignalStream({} of {}, {:?})", self.id, self.tenant, self.delivery)
    }
}

/// Storage of streams.
#[async_trait]
pub trait Signals {
    /// Inserts or replaces; [`StoreError::Exists`] if the id is another tenant's.
    async fn put_stream(&self, stream: &SignalStream) -> Result<(), StoreError>;
    /// By id alone: where a transmitter posted.
    async fn stream(&self, id: &SignalStreamId) -> Result<Option<SignalStream>, StoreError>;
    /// All of a tenant, or of all tenants, oldest first.
    async fn streams(&self, tenant: Option<&TenantId>) -> Result<Vec<SignalStream>, StoreError>;
    /// Notes what came or failed, and nothing else of the stream.
    async fn note_stream(
        &self,
        id: &SignalStreamId,
        verified_at: Option<Timestamp>,
        last_event_at: Option<Timestamp>,
        last_fault: Option<&str>,
    ) -> Result<(), StoreError>;
    /// Removes one; whether there was one.
    async fn remove_stream(&self, tenant: &TenantId, id: &SignalStreamId) -> Result<bool, StoreError>;
}
