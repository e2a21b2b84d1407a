//! Tenants' connections to their identity providers, the domains that lead to them, and who at a
//! provider is whom here.

use async_trait::async_trait;
use sallyport_model::{ConnectionId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::{Digest, StoreError};

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionProtocol {
    /// OpenID Connect.
    Oidc,
    /// SAML 2.0.
    Saml,
}

/// One tenant's connection to one provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its id, in the URLs that the provider sends browsers to.
    pub id: ConnectionId,
    /// Whose.
    pub tenant: TenantId,
    /// What people call it; unique in the tenant.
    pub name: String,
    /// What it speaks.
    pub protocol: ConnectionProtocol,
    /// JSON in the words of `identity`; sealed at rest, since keys and secrets are in it.
    pub settings: String,
    /// Nobody signs in by a connection that is off.
    pub enabled: bool,
    /// Since when.
    pub created_at: Timestamp,
    /// Last change by an administrator.
    pub changed_at: Timestamp,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} of {}, {:?})", self.id, self.tenant, self.protocol)
    }
}

/// How it is known that a domain is a tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainProof {
    /// The DNS record was there.
    Dns,
    /// The operator said so.
    Operator,
}

/// An e-mail domain that a tenant claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Whose claim.
    pub tenant: TenantId,
    /// In lowercase ASCII (IDNA).
    pub name: String,
    /// What the DNS record must hold.
    pub challenge: String,
    /// Where its people sign in; absent: the tenant's only or first connection.
    pub connection: Option<ConnectionId>,
    /// Since when it is claimed.
    pub claimed_at: Timestamp,
    /// How and when it was proved.
    pub proved: Option<(DomainProof, Timestamp)>,
}

/// Who at a provider is whom here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose.
    pub tenant: TenantId,
    /// By which connection.
    pub connection: ConnectionId,
    /// Her identifier there, as `identity` writes it; never an e-mail address that could change hands.
    pub subject: String,
    /// Who that is.
    pub user: UserId,
    /// Since when.
    pub linked_at: Timestamp,
    /// The last sign-in.
    pub last_seen_at: Timestamp,
    /// JSON: what was asserted last, sealed at rest. For the preview of mappings.
    pub asserted: String,
}

/// Storage of connections, domains and links. Each method is about one tenant, apart from the three
/// that a browser or a mail address leads to before a tenant is known.
#[async_trait]
pub trait Connections {
    /// Inserts or replaces; [`StoreError::Exists`] if the id is another tenant's or the name another
    /// connection's, [`StoreError::Missing`] if there is no such tenant.
    async fn put_connection(&self, connection: &Connection) -> Result<(), StoreError>;
    /// All of a tenant, by name.
    async fn connections(&self, tenant: &TenantId) -> Result<Vec<Connection>, StoreError>;
    /// Whether any tenant has one that is on.
    async fn has_connections(&self) -> Result<bool, StoreError>;
    /// By id alone: where a provider sent a browser.
    async fn connection(&self, id: &ConnectionId) -> Result<Option<Connection>, StoreError>;
    /// Removes one with its links and streams, and revokes every session that was begun by it, with an
    /// epoch each; whether there was one.
    async fn remove_connection(&self, tenant: &TenantId, id: &ConnectionId, at: Timestamp) -> Result<bool, StoreError>;
    /// Keeps what was fetched (`metadata`, `keys`), so that a restart needs no provider.
    async fn put_fetched(&self, id: &ConnectionId, name: &str, document: &str, at: Timestamp)
    -> Result<(), StoreError>;
    /// What was kept, and when.
    async fn fetched(&self, id: &ConnectionId, name: &str) -> Result<Option<(String, Timestamp)>, StoreError>;

    /// Inserts a claim that proves nothing yet. Of one that is there only the connection changes, and only to another
    /// one: challenge, proof and times stay. [`StoreError::Missing`] if there is no such tenant or connection.
    async fn claim_domain(&self, claim: &Domain) -> Result<(), StoreError>;
    /// Keeps the proof of a claim, if its challenge is still the one that was looked for and it is not proved yet;
    /// whether it was so. [`StoreError::Exists`] if another tenant has proved the same domain.
    async fn prove_domain(&self, claim: &Domain, proof: DomainProof, at: Timestamp) -> Result<bool, StoreError>;
    /// Inserts or replaces a whole claim; [`StoreError::Exists`] if it is proved and another tenant has proved
    /// the same domain.
    async fn put_domain(&self, domain: &Domain) -> Result<(), StoreError>;
    /// All of a tenant, by name.
    async fn domains(&self, tenant: &TenantId) -> Result<Vec<Domain>, StoreError>;
    /// The proved claim of this domain; there is at most one.
    async fn domain(&self, name: &str) -> Result<Option<Domain>, StoreError>;
    /// Removes a claim; whether there was one.
    async fn remove_domain(&self, tenant: &TenantId, name: &str) -> Result<bool, StoreError>;

    /// Who somebody at a provider is here.
    async fn link(&self, connection: &ConnectionId, subject: &str) -> Result<Option<Link>, StoreError>;
    /// Inserts, or updates what was seen; [`StoreError::Exists`] if the subject is somebody else,
    /// [`StoreError::Missing`] if connection and person are not of the link's tenant.
    async fn put_link(&self, link: &Link) -> Result<(), StoreError>;
    /// All links of a person.
    async fn links(&self, user: &UserId) -> Result<Vec<Link>, StoreError>;

    /// Whether `id` was never used under `purpose` before: of any number of callers on any node one
    /// hears `true`. Remembered until `forget_at`.
    async fn use_once(
        &self,
        purpose: &str,
        id: &Digest,
        now: Timestamp,
        forget_at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// [`Self::use_once`] of many, each with its `forget_at`, in one durable step: one answer for each, in their
    /// order. Of the same id twice in one call the first may hear `true`. For what comes with every request, such as
    /// the ids of DPoP proofs (RFC 9449 section 11.1), gathered for some milliseconds.
    async fn use_each_once(
        &self,
        purpose: &str,
        uses: &[(Digest, Timestamp)],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError>;
}
