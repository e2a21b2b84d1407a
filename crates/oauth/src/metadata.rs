//! Discovery documents: RFC 8414, OpenID Connect Discovery, RFC 9728.
//!
//! Says only what is so: what is not listed is not offered.

use sallyport_model::ScopeSet;
use serde::{Deserialize, Serialize};

use crate::{keys::ALGORITHM, pkce};

/// Path of the authorization endpoint, below the public URL.
pub const AUTHORIZE: &str = "/oauth/authorize";
/// Path of the token endpoint.
pub const TOKEN: &str = "/oauth/token";
/// Path of the pushed authorization request endpoint.
pub const PAR: &str = "/oauth/par";
/// Path of the JWK set.
pub const JWKS: &str = "/oauth/jwks";
/// Path of the revocation endpoint.
pub const REVOKE: &str = "/oauth/revoke";
/// Path of the introspection endpoint.
pub const INTROSPECT: &str = "/oauth/introspect";
/// Path of the registration endpoint.
pub const REGISTER: &str = "/oauth/register";

/// How a client may authenticate.
pub const CLIENT_AUTH_METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
/// Algorithms of client assertions.
pub const ASSERTION_ALGORITHMS: [&str; 5] = ["ES256", "ES384", "RS256", "PS256", "EdDSA"];

/// An authorization server's metadata; the same document for RFC 8414 and OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationServerMetadata {
    /// The issuer, to the letter.
    pub issuer: String,
    /// Where a person's browser is sent.
    pub authorization_endpoint: String,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: String,
    /// Where the public keys are.
    pub jwks_uri: String,
    /// Dynamic registration, where it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Scopes that are not a resource's own.
    pub scopes_supported: Vec<String>,
    /// `code`.
    pub response_types_supported: Vec<String>,
    /// `query`.
    pub response_modes_supported: Vec<String>,
    /// Grant types.
    pub grant_types_supported: Vec<String>,
    /// How clients authenticate.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of their assertions.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// RFC 7009.
    pub revocation_endpoint: String,
    /// How clients authenticate there.
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 7662.
    pub introspection_endpoint: String,
    /// How callers authenticate there.
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// `S256`.
    pub code_challenge_methods_supported: Vec<String>,
    /// RFC 9126.
    pub pushed_authorization_request_endpoint: String,
    /// RFC 9126: clients may still send requests by the front channel.
    pub require_pushed_authorization_requests: bool,
    /// RFC 9207: `iss` is on every response, errors too.
    pub authorization_response_iss_parameter_supported: bool,
    /// Client ID Metadata Documents.
    pub client_id_metadata_document_supported: bool,
    /// RFC 9101: no.
    pub request_parameter_supported: bool,
    /// RFC 9101: no, other than what was pushed here.
    pub request_uri_parameter_supported: bool,
    /// OpenID Connect: everybody sees the same `sub`.
    pub subject_types_supported: Vec<String>,
    /// OpenID Connect: ES256.
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// OpenID Connect: claims of the ID token.
    pub claims_supported: Vec<String>,
    /// OpenID Connect: prompts that are understood.
    pub prompt_values_supported: Vec<String>,
}

/// What a deployment may switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// RFC 7591.
    pub dynamic_registration: bool,
    /// Client ID Metadata Documents.
    pub client_documents: bool,
}

impl AuthorizationServerMetadata {
    /// The document of `issuer`, whose endpoints are below `public_url` (an origin; a slash at its end
    /// does no harm).
    pub fn new(issuer: &str, public_url: &str, offers: Offers) -> Self {
        let base = public_url.trim_end_matches('/');
        let at = |path: &str| format!("{base}{path}");
        let all = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: at(AUTHORIZE),
            token_endpoint: at(TOKEN),
            jwks_uri: at(JWKS),
            registration_endpoint: offers.dynamic_registration.then(|| at(REGISTER)),
            scopes_supported: all(&["openid", "offline_access"]),
            response_types_supported: all(&["code"]),
            response_modes_supported: all(&["query"]),
            grant_types_supported: all(&["authorization_code", "refresh_token", "client_credentials"]),
            token_endpoint_auth_methods_supported: all(&CLIENT_AUTH_METHODS),
            token_endpoint_auth_signing_alg_values_supported: all(&ASSERTION_ALGORITHMS),
            revocation_endpoint: at(REVOKE),
            revocation_endpoint_auth_methods_supported: all(&CLIENT_AUTH_METHODS),
            introspection_endpoint: at(INTROSPECT),
            introspection_endpoint_auth_methods_supported: all(&["client_secret_basic", "client_secret_post"]),
            code_challenge_methods_supported: all(&[pkce::METHOD]),
            pushed_authorization_request_endpoint: at(PAR),
            require_pushed_authorization_requests: false,
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: offers.client_documents,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            subject_types_supported: all(&["public"]),
            id_token_signing_alg_values_supported: all(&[ALGORITHM]),
            claims_supported: all(&["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid"]),
            prompt_values_supported: all(&["none", "login", "consent"]),
        }
    }
}

/// A protected resource's metadata (RFC 9728 section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedResourceMetadata {
    /// The resource identifier, to the letter.
    pub resource: String,
    /// Whose tokens it takes.
    pub authorization_servers: Vec<String>,
    /// The minimal set for basic use; never `offline_access`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// `header` only.
    pub bearer_methods_supported: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// For developers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_documentation: Option<String>,
}

impl ProtectedResourceMetadata {
    /// The document of `resource`, which takes tokens of `issuer` in the header only.
    pub fn new(resource: &str, issuer: &str, scopes: &ScopeSet, name: Option<&str>) -> Self {
        Self {
            resource: resource.to_owned(),
            authorization_servers: vec![issuer.to_owned()],
            scopes_supported: scopes.iter().map(ToString::to_string).collect(),
            bearer_methods_supported: vec!["header".to_owned()],
            resource_name: name.map(str::to_owned),
            resource_documentation: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_offers_what_is_allowed_and_no_more() {
        let offers = Offers { dynamic_registration: false, client_documents: true };
        let document = AuthorizationServerMetadata::new("https://g.example/a", "https://g.example/", offers);
        let json = serde_json::to_value(document).unwrap();
        assert_eq!(json["issuer"], "https://g.example/a");
        assert_eq!(json["token_endpoint"], "https://g.example/oauth/token");
        assert_eq!(json["code_challenge_methods_supported"], serde_json::json!(["S256"]));
        assert_eq!(json["response_types_supported"], serde_json::json!(["code"]));
        assert_eq!(json["authorization_response_iss_parameter_supported"], true);
        assert!(json.get("registration_endpoint").is_none());
        let grants = json["grant_types_supported"].to_string();
        assert!(!grants.contains("password") && !grants.contains("implicit"));
    }

    #[test]
    fn a_resource_takes_tokens_in_the_header_only() {
        let set = "files:read".parse().unwrap();
        let json = serde_json::to_value(ProtectedResourceMetadata::new("https://g/mcp/a", "https://g", &set, None));
        assert_eq!(
            json.unwrap(),
            serde_json::json!({"resource": "https://g/mcp/a", "authorization_servers": ["https://g"],
                "scopes_supported": ["files:read"], "bearer_methods_supported": ["header"]})
        );
    }
}
