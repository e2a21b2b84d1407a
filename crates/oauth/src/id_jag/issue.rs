//! ID-JAGs of ours: what the gateway vouches for at an upstream's authorization server.

use sallyport_model::{AgentId, KeyBinding, ScopeSet};
use serde::Serialize;

use super::TYPE;
use crate::{
    actor,
    keys::{KeyFault, SigningKey},
};

/// The claims of an ID-JAG. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdJagClaims {
    /// Our issuer URL.
    pub iss: String,
    /// The person, as the upstream's authorization server knows her from us.
    pub sub: String,
    /// The issuer of the upstream's authorization server, and nobody else.
    pub aud: String,
    /// The client there that presents the grant: we.
    pub client_id: String,
    /// The grant's own id.
    pub jti: String,
    /// End; at most [`super::MAX_LIFETIME`] after `iat`.
    pub exp: u64,
    /// Issued.
    pub iat: u64,
    /// The upstream's resource identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Scopes there.
    #[serde(skip_serializing_if = "ScopeSet::is_empty")]
    pub scope: ScopeSet,
    /// Who acts for her, the nearest first.
    #[serde(serialize_with = "actor::serialize", skip_serializing_if = "Vec::is_empty")]
    pub act: Vec<AgentId>,
    /// Ours, where the upstream tells our tenants apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When she signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// Her address, where the tenant shows it to the upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The key that whoever presents the grant must prove.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<KeyBinding>,
}

/// Signs an ID-JAG.
///
/// # Errors
/// [`KeyFault::Library`] when the cryptographic library fails.
pub fn issue(claims: &IdJagClaims, key: &SigningKey) -> Result<String, KeyFault> {
    key.sign(TYPE, claims)
}
