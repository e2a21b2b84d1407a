//! Signing in at a tenant's own identity provider: what both protocols share.
//!
//! `realm` finds the provider, `begun` remembers who was sent there, `oidc` and `saml` verify what it says,
//! `mapping` turns that into a profile and `admit` into a session. Nothing here believes an e-mail address
//! whose domain the tenant has not proved.

pub(crate) mod admit;
pub(crate) mod begun;
pub(crate) mod mapping;
pub(crate) mod realm;
pub(crate) mod refused;
pub mod settings;
pub(crate) mod standing;

use std::collections::BTreeMap;

use sallyport_model::{ConnectionId, Secret, TenantId, Timestamp};

/// What a provider said about somebody, verified.
#[derive(Debug, Clone)]
pub(crate) struct Asserted {
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
    /// Who she is there, for ever: `issuer subject` (OpenID Connect), `format qualifier name` (SAML).
    pub(crate) subject: String,
    /// Claims or attributes by name, each with its values.
    pub(crate) attributes: BTreeMap<String, Vec<String>>,
    /// RFC 8176 words for how she proved it.
    pub(crate) methods: Vec<String>,
    /// The session there.
    pub(crate) session: Option<String>,
    /// When that session ends.
    pub(crate) not_after: Option<Timestamp>,
    /// With which the provider can be asked about her again.
    pub(crate) refresh_token: Option<Secret>,
    /// Whether what is absent says nothing, as in an ID-JAG, which need not say more than who she is.
    pub(crate) partial: bool,
}
