//! ID tokens (OpenID Connect Core section 2), for clients that were granted `openid`.
//!
//! Their `typ` is `JWT` and their audience the client, so that none can pass for an access token.

use sallyport_model::{ClientId, SessionId};
use serde::{Deserialize, Serialize};

use crate::keys::{KeyFault, SigningKey};

/// The `typ` of an ID token.
pub const TYPE: &str = "JWT";

/// The claims of an ID token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdClaims {
    /// Our issuer URL.
    pub iss: String,
    /// The person.
    pub sub: String,
    /// The client, and nobody else.
    pub aud: ClientId,
    /// End, seconds since the epoch.
    pub exp: u64,
    /// Issued, seconds since the epoch.
    pub iat: u64,
    /// When the person signed in, seconds since the epoch.
    pub auth_time: u64,
    /// Of the authorization request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The sign-in session.
    pub sid: SessionId,
}

/// Signs an ID token.
///
/// # Errors
/// [`KeyFault::Library`].
pub fn issue(claims: &IdClaims, key: &SigningKey) -> Result<String, KeyFault> {
    key.sign(TYPE, claims)
}
