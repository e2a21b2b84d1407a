//! Browser sessions at the authorization server.

use async_trait::async_trait;
use sallyport_model::{SessionId, TenantId, Timestamp, UserId};

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
    /// The session's absolute end.
    pub expires_at: Timestamp,
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
}
