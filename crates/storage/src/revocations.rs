//! Revocation as a monotonic epoch log. Nodes poll `epoch > last`; there is no other channel that
//! correctness relies on.

use async_trait::async_trait;
use sallyport_model::{AgentId, ClientId, GrantId, SessionId, TenantId, Timestamp, TokenId, UserId};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum RevocationSubject {
    /// One access token.
    Token(TokenId),
    /// A grant with all its tokens.
    Grant(GrantId),
    /// A sign-in session with all its grants.
    Session(SessionId),
    /// Everything of a person.
    User(UserId),
    /// Everything of an agent.
    Agent(AgentId),
    /// Everything given to a client.
    Client(ClientId),
    /// Everything of a tenant.
    Tenant(TenantId),
}

/// One entry of the log: every token of `subject` issued at or before `at` is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Strictly increasing, without gaps among committed entries.
    pub epoch: u64,
    /// What.
    pub subject: RevocationSubject,
    /// From when backwards.
    pub at: Timestamp,
}

/// Storage of revocations.
#[async_trait]
pub trait Revocations {
    /// Appends and returns the epoch; in the same step marks the grants, ends the browser sessions
    /// and deletes the unused authorization codes that `subject` covers. `Ok` means that it is durable.
    async fn revoke(&self, subject: &RevocationSubject, at: Timestamp) -> Result<u64, StoreError>;
    /// The same, unless the log holds this subject already: then nothing changes and it is `None`. For
    /// what exists once (a token, a grant), so that whoever holds one cannot fill the log with it.
    async fn revoke_once(&self, subject: &RevocationSubject, at: Timestamp) -> Result<Option<u64>, StoreError>;
    /// Changes when this process has committed revocations: a wake-up, so that they apply here before the
    /// next poll. Those of other processes come by polling alone.
    fn revoked(&self) -> tokio::sync::watch::Receiver<u64>;
    /// Entries after `epoch`, in order, at most `limit`.
    async fn revocations_after(&self, epoch: u64, limit: usize) -> Result<Vec<Revocation>, StoreError>;
    /// Drops entries older than `before`, when no token of that age can be alive; keeps the counter.
    async fn prune_revocations(&self, before: Timestamp) -> Result<u64, StoreError>;
}
