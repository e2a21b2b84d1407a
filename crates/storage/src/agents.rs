//! Agents: principals that are not people; and the credentials by which they are known.
//!
//! An agent has one OAuth client of its own. What proves that client to be the agent is a row of its own, so
//! that several live at once while one takes the place of another.

use std::time::Duration;

use async_trait::async_trait;
use sallyport_model::{AgentId, ClientId, CredentialId, ScopeSet, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// A use is noted no more often than this.
pub(crate) const COARSE: Duration = Duration::from_secs(60);

/// So many workload credentials with one issuer are given at once.
pub const MOST_WORKLOADS: usize = 1000;

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
    /// What bounds it further.
    pub bounds: AgentBounds,
    /// When a token was last issued to it. Kept by [`Agents::note_agent_use`], not by [`Agents::put_agent`].
    pub last_used_at: Option<Timestamp>,
}

/// What bounds an agent beyond its scopes and resources. What is absent or empty bounds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentBounds {
    /// Networks that its requests come from, in CIDR notation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// When it may work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<AgentHours>,
    /// It gets no token from then on; milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// How long an access token of it lives at most, seconds; only shorter than the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_seconds: Option<u64>,
    /// Whether its tokens must be bound to a key (DPoP or mTLS).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sender_bound: bool,
    /// Whether people may let it act for them, by the authorization code flow with these redirect URIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// The agents of the same tenant that may act for it (RFC 8693).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delegates: Vec<AgentId>,
    /// Who answers for it when its owner leaves; absent: it stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<UserId>,
    /// Whether a person made it for herself, within her tenant's permission.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub personal: bool,
}

/// The hours of a week in which an agent may work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentHours {
    /// An IANA time zone, such as `Europe/Berlin`.
    pub zone: String,
    /// Days, Monday = 1 to Sunday = 7.
    pub days: Vec<u8>,
    /// Minutes since midnight at which it may begin.
    pub from: u16,
    /// Minutes since midnight at which it must have ended; greater than `from`.
    pub to: u16,
}

/// How an agent proves to be itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CredentialKind {
    /// `private_key_jwt` (RFC 7523) with these public keys.
    Keys {
        /// A JWK set (RFC 7517).
        jwks: serde_json::Value,
    },
    /// A client certificate (RFC 8705 section 2.2, self-signed), by its digest.
    Certificate {
        /// base64url of its SHA-256.
        x5t_s256: String,
    },
    /// A client certificate of a trusted authority (RFC 8705 section 2.1), by one exact name.
    CertificateName {
        /// `dns`, `uri`, `email` or `subject_dn`.
        of: String,
        /// The name.
        name: String,
    },
    /// A platform's JWT (workload identity federation).
    Workload {
        /// JSON in the words of `oauth::workload`: issuer, keys, rules.
        trust: serde_json::Value,
    },
    /// A secret of at least 256 random bits.
    Secret {
        /// SHA-256 of the secret.
        sha256: Digest,
    },
}

impl CredentialKind {
    /// A stable word, for inventories and filters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Keys { .. } => "private_key_jwt",
            Self::Certificate { .. } => "self_signed_tls_client_auth",
            Self::CertificateName { .. } => "tls_client_auth",
            Self::Workload { .. } => "workload",
            Self::Secret { .. } => "client_secret",
        }
    }
}

/// One credential of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCredential {
    /// Its id.
    pub id: CredentialId,
    /// Whose.
    pub agent: AgentId,
    /// The agent's tenant.
    pub tenant: TenantId,
    /// How it proves.
    pub kind: CredentialKind,
    /// The `iss` of a workload's tokens, to find it by.
    pub issuer: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// Worth nothing from then on.
    pub expires_at: Timestamp,
    /// Worth nothing since then.
    pub revoked_at: Option<Timestamp>,
    /// When a token was last issued for it. Kept by [`Agents::note_agent_use`].
    pub last_used_at: Option<Timestamp>,
}

impl AgentCredential {
    /// Whether it proves anything at `now`.
    pub fn lives(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

/// How often an agent used a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeUse {
    /// The scope that a call needed.
    pub scope: String,
    /// When it was last needed and granted.
    pub last_used_at: Timestamp,
}

/// Storage of agents.
#[async_trait]
pub trait Agents {
    /// Inserts or replaces all but `last_used_at`; [`StoreError::Exists`] if the id or the client is another
    /// tenant's or agent's.
    async fn put_agent(&self, agent: &Agent) -> Result<(), StoreError>;
    /// One agent.
    async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, StoreError>;
    /// All of a tenant, by id.
    async fn agents(&self, tenant: &TenantId) -> Result<Vec<Agent>, StoreError>;
    /// All that `owner` answers for, in whichever tenant, by id.
    async fn agents_of(&self, owner: &UserId) -> Result<Vec<Agent>, StoreError>;
    /// Revokes the agent, its grants and those in whose chain it is, and removes it with client, credentials and
    /// scope uses. Whether there was one.
    async fn remove_agent(&self, tenant: &TenantId, id: &AgentId, at: Timestamp) -> Result<bool, StoreError>;

    /// Inserts; [`StoreError::Exists`] if the id is taken, [`StoreError::Missing`] if the agent is not there.
    async fn add_credential(&self, credential: &AgentCredential) -> Result<(), StoreError>;
    /// All of an agent, dead ones too, newest first.
    async fn credentials(&self, agent: &AgentId) -> Result<Vec<AgentCredential>, StoreError>;
    /// Living workload credentials with this `issuer`, of all tenants, at most [`MOST_WORKLOADS`].
    async fn workload_credentials(&self, issuer: &str, now: Timestamp) -> Result<Vec<AgentCredential>, StoreError>;
    /// Ends one. Whether it lived. Tokens that it gave are the caller's to revoke.
    async fn revoke_credential(&self, agent: &AgentId, id: &CredentialId, at: Timestamp) -> Result<bool, StoreError>;
    /// Sets its end to the earlier of its own and `at`: the overlap of a rotation. Whether there is such a one
    /// that is not revoked.
    async fn expire_credential(&self, agent: &AgentId, id: &CredentialId, at: Timestamp) -> Result<bool, StoreError>;

    /// Notes that a token was issued to an agent by a credential. Coarse: writes at most once a minute for each.
    async fn note_agent_use(
        &self,
        agent: &AgentId,
        credential: Option<&CredentialId>,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Notes that calls of an agent needed and had these scopes; a batch, off the request path. Of two times the
    /// later stays; nothing happens if the agent is not there.
    async fn note_scope_uses(&self, agent: &AgentId, uses: &[ScopeUse]) -> Result<(), StoreError>;
    /// What an agent has used, ordered by scope.
    async fn scope_uses(&self, agent: &AgentId) -> Result<Vec<ScopeUse>, StoreError>;
}
