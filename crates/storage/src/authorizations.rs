//! Authorization requests that wait for a person, pushed requests (RFC 9126), and codes.

use async_trait::async_trait;
use sallyport_model::{ClientId, GrantId, ScopeSet, SessionId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// What is parked under a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkedKind {
    /// A request pushed to the PAR endpoint.
    Pushed,
    /// A request that waits for sign-in and consent.
    Interactive,
    /// A WebAuthn ceremony.
    Ceremony,
    /// Somebody who was sent to her identity provider.
    Federated,
    /// That a provider has ended a session: an assertion from before is worth nothing.
    ProviderEnded,
    /// Somebody who was sent to link her account at an upstream.
    Linking,
}

/// Something short-lived under an unguessable handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// SHA-256 of the handle.
    pub handle: Digest,
    /// What it is; a handle of one kind is never accepted for another.
    pub kind: ParkedKind,
    /// JSON, in the owner's words.
    pub body: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What an authorization code stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRecord {
    /// The grant that was created with the code, and dies if the code is replayed.
    pub grant: GrantId,
    /// Whose.
    pub tenant: TenantId,
    /// Who consented.
    pub user: UserId,
    /// To which client.
    pub client: ClientId,
    /// The redirect URI of the authorization request, to be repeated to the letter.
    pub redirect_uri: String,
    /// PKCE S256 challenge (RFC 7636).
    pub code_challenge: String,
    /// RFC 8707 resource.
    pub resource: String,
    /// What was consented to.
    pub scopes: ScopeSet,
    /// The browser session.
    pub session: SessionId,
    /// OpenID Connect nonce.
    pub nonce: Option<String>,
    /// When the person signed in.
    pub authenticated_at: Timestamp,
    /// When the code ends.
    pub expires_at: Timestamp,
    /// The thumbprint of the DPoP key that must redeem it (RFC 9449 section 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
}

/// What became of presenting a code.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one lives for a moment in one request")]
pub enum CodeUse {
    /// The first time, in time. It never works again.
    Fresh(CodeRecord),
    /// Not the first time. The grant that it gave is revoked, at the first replay in the same step.
    Replayed {
        /// The grant that it gave.
        grant: GrantId,
        /// Whether this is the first replay; later ones change nothing.
        first: bool,
    },
    /// Expired before its first use.
    Expired,
    /// No such code.
    Unknown,
}

/// Storage of what happens between `authorize` and `token`.
#[async_trait]
pub trait Authorizations {
    /// Parks; [`StoreError::Exists`] if the handle is taken.
    async fn park(&self, parked: &Parked) -> Result<(), StoreError>;
    /// Reads without taking.
    async fn parked(&self, handle: &Digest, kind: ParkedKind, now: Timestamp) -> Result<Option<Parked>, StoreError>;
    /// Replaces the body of what is parked and alive; whether it was.
    async fn repark(&self, handle: &Digest, kind: ParkedKind, body: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Takes: of any number of callers, one gets it.
    async fn unpark(&self, handle: &Digest, kind: ParkedKind, now: Timestamp) -> Result<Option<Parked>, StoreError>;
    /// Keeps a code; [`StoreError::Missing`] if its grant is stored and was revoked meanwhile.
    async fn add_code(&self, code: &Digest, record: &CodeRecord) -> Result<(), StoreError>;
    /// Presents a code. Atomic: of any number of callers one gets `Fresh`, and a replay revokes the
    /// grant (with an epoch in the revocation log) before this returns.
    async fn consume_code(&self, code: &Digest, now: Timestamp) -> Result<CodeUse, StoreError>;
    /// Deletes what can no longer matter, a bounded number at a time; how many rows went. Call it
    /// again soon if there were many. A used code stays until its grant's absolute end has passed; a
    /// client that registered itself goes after a day without a grant and without anybody's consent.
    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError>;
}
