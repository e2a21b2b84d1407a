//! OAuth's error codes and the HTTP status of each.
//!
//! A description is always text of ours: its type is `&'static str`, so that no stranger's bytes and
//! no secret can be echoed in one.

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal;)*) => {
        /// An error code of RFC 6749, 6750, 7009, 7591, 8707, 9101, 9126, 9449 or OpenID Connect Core.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// As on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
            /// The HTTP status, where it is not carried by a redirect.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The request is malformed.
    InvalidRequest = "invalid_request", 400;
    /// The client is unknown or did not authenticate.
    InvalidClient = "invalid_client", 401;
    /// The code, refresh token or assertion is wrong, spent, ended or of somebody else.
    InvalidGrant = "invalid_grant", 400;
    /// The client may not use this.
    UnauthorizedClient = "unauthorized_client", 400;
    /// No such grant type here.
    UnsupportedGrantType = "unsupported_grant_type", 400;
    /// Only `code`.
    UnsupportedResponseType = "unsupported_response_type", 400;
    /// No such scope, or more than was granted.
    InvalidScope = "invalid_scope", 400;
    /// No such resource, several, or none (RFC 8707).
    InvalidTarget = "invalid_target", 400;
    /// The person or the server refused.
    AccessDenied = "access_denied", 403;
    /// Something failed here.
    ServerError = "server_error", 500;
    /// Something is unavailable here; try again.
    TemporarilyUnavailable = "temporarily_unavailable", 503;
    /// `prompt=none`, and nobody is signed in.
    LoginRequired = "login_required", 400;
    /// `prompt=none`, and consent is missing.
    ConsentRequired = "consent_required", 400;
    /// Request objects (RFC 9101) are not taken.
    RequestNotSupported = "request_not_supported", 400;
    /// The `request_uri` is not one that was pushed here, or ended.
    InvalidRequestUri = "invalid_request_uri", 400;
    /// A redirect URI may not be registered (RFC 7591).
    InvalidRedirectUri = "invalid_redirect_uri", 400;
    /// Another field may not be registered (RFC 7591).
    InvalidClientMetadata = "invalid_client_metadata", 400;
    /// Software statements are not taken (RFC 7591).
    UnapprovedSoftwareStatement = "unapproved_software_statement", 400;
    /// The access token is wrong, ended or revoked (RFC 6750).
    InvalidToken = "invalid_token", 401;
    /// The DPoP proof is missing or no good (RFC 9449).
    InvalidDpopProof = "invalid_dpop_proof", 400;
    /// The DPoP proof must hold the nonce that comes with this answer (RFC 9449).
    UseDpopNonce = "use_dpop_nonce", 400;
    /// The access token allows too little (RFC 6750).
    InsufficientScope = "insufficient_scope", 403;
    /// Too many requests from this source.
    TooManyRequests = "temporarily_unavailable", 429;
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error as a client sees it (RFC 6749 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {description}", code.as_str())]
pub struct OAuthError {
    /// `error`.
    #[serde(rename = "error")]
    pub code: ErrorCode,
    /// `error_description`.
    #[serde(rename = "error_description")]
    pub description: &'static str,
}

impl OAuthError {
    /// An error with a description of ours.
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_its_wire_form() {
        let error = OAuthError::new(ErrorCode::InvalidGrant, "the code is spent");
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(json, r#"{"error":"invalid_grant","error_description":"the code is spent"}"#);
        assert_eq!(ErrorCode::InvalidClient.status(), 401);
    }
}
