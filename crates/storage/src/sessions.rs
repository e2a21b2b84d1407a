//! Browser sessions at the authorization server.

use async_trait::async_trait;
use sallyport_model::{ConnectionId, SessionId, TenantId, Timestamp, UserId};

use crate::{Digest, StoreError};

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSession {
    /// The `sid` that tokens carry.
    pub id: SessionId,
    /// SHA-256 of the cookie's value.
    pub cookie: Digest,
    /// Who.
    pub user: UserId,
    /// Whose.
    pub tenant: TenantId,
    /// RFC 8176 `amr` values: `pwd`, `hwk`, `mfa`.
    pub methods: Vec<String>,
    /// When the person proved who she is.
    pub authenticated_at: Timestamp,
    /// The session's absolute end, no later than the provider's.
    pub expires_at: Timestamp,
    /// The session at the identity provider that it stands on.
    pub provider: Option<ProviderSession>,
}

/// A session at a tenant's identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSession {
    /// By which connection.
    pub connection: ConnectionId,
    /// Who she is there, as in [`crate::Link::subject`].
    pub subject: String,
    /// OpenID Connect's `sid`, SAML's `SessionIndex`.
    pub session: Option<String>,
    /// When the provider said that its session ends; no grant of this session outlives it.
    pub not_after: Option<Timestamp>,
}

/// Which sessions of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSessions {
    /// The connection.
    pub connection: ConnectionId,
    /// Only of this subject.
    pub subject: Option<String>,
    /// Only this one at the provider.
    pub session: Option<String>,
}

/// What the provider gave to ask about a session again, and when it was asked last.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderToken {
    /// The refresh token at the provider; sealed at rest.
    pub token: String,
    /// When the provider last stood by the person.
    pub asked_at: Timestamp,
}

impl std::fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProviderToken(asked at {:?})", self.asked_at)
    }
}

/// Storage of browser sessions.
#[async_trait]
pub trait BrowserSessions {
    /// Inserts; [`StoreError::Missing`] if the person is disabled, or if she, her tenant or the session
    /// was revoked at or after `authenticated_at`.
    async fn add_browser_session(&self, session: &BrowserSession) -> Result<(), StoreError>;
    /// By cookie, if it has neither ended nor expired and its person is not disabled.
    async fn browser_session(&self, cookie: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError>;
    /// Ends it; whether it was alive.
    async fn end_browser_session(&self, id: &SessionId, now: Timestamp) -> Result<bool, StoreError>;
    /// By id, alive or not.
    async fn browser_session_by_id(&self, id: &SessionId) -> Result<Option<BrowserSession>, StoreError>;
    /// Those of a tenant that are alive, or of one person of it, newest first, at most 1000.
    async fn browser_sessions(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Vec<BrowserSession>, StoreError>;
    /// Revokes every session that stands on these and was not revoked yet, with an epoch each; which ones. Also
    /// one that somebody signed out of or that ended by time: its grants may live. With neither subject nor
    /// session: nothing.
    async fn revoke_provider_sessions(
        &self,
        which: &ProviderSessions,
        at: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError>;
    /// Keeps or replaces a session's token; one that is `was` at this moment where that is given, so that of
    /// two nodes that asked at once one is kept. Whether it was kept.
    async fn put_provider_token(
        &self,
        session: &SessionId,
        token: &ProviderToken,
        was: Option<&str>,
    ) -> Result<bool, StoreError>;
    /// A session's token.
    async fn provider_token(&self, session: &SessionId) -> Result<Option<ProviderToken>, StoreError>;
}
