//! OAuth clients: pre-registered, dynamically registered (RFC 7591), or known by a Client ID
//! Metadata Document. Clients belong to the deployment, grants to tenants.

use async_trait::async_trait;
use sallyport_model::{AgentId, ClientId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// How the deployment came to know a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientSource {
    /// By an administrator's configuration.
    Preregistered,
    /// By RFC 7591.
    Dynamic,
    /// By fetching the document at its `client_id`.
    MetadataDocument,
}

/// RFC 7591 / OpenID Connect `application_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// Runs on the person's machine; loopback redirects match any port (RFC 8252 section 7.3).
    Native,
    /// Runs on a server.
    Web,
}

/// How a client authenticates at the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// A public client.
    None,
    /// A secret of at least 256 random bits, by Basic or in the body.
    Secret {
        /// SHA-256 of the secret.
        sha256: Digest,
    },
    /// `private_key_jwt` (RFC 7523) with these keys.
    PrivateKeyJwt {
        /// A JWK set (RFC 7517).
        jwks: serde_json::Value,
    },
    /// By any living credential of [`ClientRecord::agent`].
    AgentCredential,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// Its id.
    pub id: ClientId,
    /// How it came to be known.
    pub source: ClientSource,
    /// `client_name`, as it calls itself.
    pub name: String,
    /// Exact redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Native or web.
    pub application_type: ApplicationType,
    /// How it authenticates.
    pub auth: ClientAuthMethod,
    /// RFC 7591 `grant_types` that it may use.
    pub grant_types: Vec<String>,
    /// `client_uri`, for display.
    pub uri: Option<String>,
    /// The agent that this client is. It acts for a person only under a grant that names the agent among its
    /// [`actors`](crate::Grant::actors).
    pub agent: Option<AgentId>,
    /// Since when.
    pub created_at: Timestamp,
    /// A fetched document is fetched again after this.
    pub stale_at: Option<Timestamp>,
}

/// Storage of clients.
#[async_trait]
pub trait Clients {
    /// Inserts a new client; [`StoreError::Exists`] if the id is taken.
    async fn add_client(&self, client: &ClientRecord) -> Result<(), StoreError>;
    /// Inserts or replaces; for configuration and fetched documents only.
    async fn put_client(&self, client: &ClientRecord) -> Result<(), StoreError>;
    /// One client.
    async fn client(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError>;
    /// All, newest first, at most `limit`.
    async fn clients(&self, limit: usize) -> Result<Vec<ClientRecord>, StoreError>;
    /// How many were dynamically registered, for the cap on open registration.
    async fn dynamic_clients(&self) -> Result<u64, StoreError>;
}
