//! Grants (one principal's delegation to one client at one resource) and their refresh tokens.
//! A grant is one refresh family: at any time at most one refresh token of it is alive.

use std::time::Duration;

use async_trait::async_trait;
use sallyport_model::{Actor, AgentId, ClientId, GrantId, KeyBinding, ScopeSet, SessionId, TenantId, Timestamp};

use crate::{Digest, StoreError};

/// One delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id, in every token.
    pub id: GrantId,
    /// Whose.
    pub tenant: TenantId,
    /// Who delegated.
    pub subject: Actor,
    /// Who acts for the subject, the one that the client is first (RFC 8693 `act`). Empty: the subject acts.
    pub actors: Vec<AgentId>,
    /// The grants that this one was made out of, the nearest first; it is dead when any of them is.
    pub ancestors: Vec<GrantId>,
    /// To which client.
    pub client: ClientId,
    /// RFC 8707 resource.
    pub resource: String,
    /// What was granted.
    pub scopes: ScopeSet,
    /// The sign-in session it is bound to.
    pub session: SessionId,
    /// When the person signed in.
    pub authenticated_at: Timestamp,
    /// Since when.
    pub created_at: Timestamp,
    /// The absolute end; no refresh goes past it.
    pub expires_at: Timestamp,
    /// Dead since.
    pub revoked_at: Option<Timestamp>,
    /// The key that every token of it is bound to, refresh tokens too.
    pub bound_to: Option<KeyBinding>,
}

/// A refresh token to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefresh {
    /// SHA-256 of the token.
    pub token: Digest,
    /// Ends if not used by then.
    pub idle_expires_at: Timestamp,
}

/// What became of presenting a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The successor is stored and the presented one is spent.
    Rotated(Grant),
    /// It is the immediate predecessor of the living token, spent less than `grace` ago: the
    /// client raced itself. Refused; the family lives.
    Raced,
    /// It was spent before. The family is revoked, with an epoch in the revocation log.
    Reused(Grant),
    /// It, or its grant, ended by time.
    Expired,
    /// Its grant was revoked.
    Revoked,
    /// It belongs to another client; nothing was changed.
    ForeignClient,
    /// No such token.
    Unknown,
}

/// Storage of grants and refresh tokens.
#[async_trait]
pub trait Grants {
    /// Inserts a grant; [`StoreError::Exists`] if the id is taken. It is stored as revoked if meanwhile
    /// the code that gave it was replayed, its person was disabled, or something that covers it was
    /// revoked: person, session or tenant since the person signed in, agent (of the chain, too), client or ancestor
    /// since it was made.
    async fn add_grant(&self, grant: &Grant) -> Result<(), StoreError>;
    /// One grant.
    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError>;
    /// Living grants of a person or agent, newest first; those under which agents act for it are among them.
    async fn grants_of(&self, tenant: &TenantId, subject: &Actor, now: Timestamp) -> Result<Vec<Grant>, StoreError>;
    /// Living grants under which an agent acts for somebody, newest first.
    async fn grants_acted(&self, tenant: &TenantId, agent: &AgentId, now: Timestamp) -> Result<Vec<Grant>, StoreError>;
    /// The newest grant with the tenant, subject, client, resource, scopes and key binding of `like` that was made out
    /// of none, under which nobody acts for the subject, and that lives until `until` at least.
    async fn grant_like(&self, like: &Grant, until: Timestamp) -> Result<Option<Grant>, StoreError>;
    /// Living grants that were made out of this one, the nearest and the furthest, newest first.
    async fn grants_made_of(&self, grant: &GrantId, now: Timestamp) -> Result<Vec<Grant>, StoreError>;
    /// Binds a living grant that is bound to nothing to `key`. Whether the grant lives and is bound to `key` now; once
    /// bound, it stays so.
    async fn bind_grant(&self, grant: &GrantId, key: &KeyBinding, now: Timestamp) -> Result<bool, StoreError>;
    /// Stores the first refresh token of a grant; [`StoreError::Missing`] if the grant is not alive
    /// at `now`, [`StoreError::Exists`] if it has a living one. Call it before minting any token.
    async fn add_refresh(&self, grant: &GrantId, refresh: &NewRefresh, now: Timestamp) -> Result<(), StoreError>;
    /// Presents `token` as `client` and stores `successor` in its place; one atomic step in which
    /// of any number of callers at most one gets `Rotated`.
    async fn rotate_refresh(
        &self,
        token: &Digest,
        client: &ClientId,
        successor: &NewRefresh,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation, StoreError>;
    /// The grant that a refresh token belongs to, alive or not; for revocation and introspection.
    /// The second value says whether this very token could be used at `now`.
    async fn grant_of_refresh(&self, token: &Digest, now: Timestamp) -> Result<Option<(Grant, bool)>, StoreError>;
}
