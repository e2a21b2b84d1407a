//! Discovery documents: RFC 8414, OpenID Connect Discovery, RFC 9728.
//!
//! Says only what is so: what is not listed is not offered.

use sallyport_model::ScopeSet;
use serde::{Deserialize, Serialize};

use crate::{dpop, exchange, id_jag, keys::ALGORITHM, pkce};

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

/// How a client may authenticate, wherever the listener asks for no certificates.
pub const CLIENT_AUTH_METHODS: [&str; 4] = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
/// How a client may authenticate by certificate (RFC 8705 section 2), where the listener asks for one.
pub const CERTIFICATE_AUTH_METHODS: [&str; 2] = ["tls_client_auth", "self_signed_tls_client_auth"];
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
    /// RFC 9449: algorithms of proofs; every client may bind its tokens to a key.
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// ID-JAG: the profiles of the JWT bearer grant that are processed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_grant_profiles_supported: Vec<String>,
    /// RFC 8705: tokens are bound to the certificate that a client authenticates with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
    /// RFC 8705 section 5: where certificates are asked for, if it is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls_endpoint_aliases: Option<MtlsEndpointAliases>,
}

/// Endpoints where a client can authenticate by certificate (RFC 8705 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MtlsEndpointAliases {
    /// For `token_endpoint`.
    pub token_endpoint: String,
    /// For `revocation_endpoint`.
    pub revocation_endpoint: String,
    /// For `introspection_endpoint`.
    pub introspection_endpoint: String,
    /// For `pushed_authorization_request_endpoint`.
    pub pushed_authorization_request_endpoint: String,
}

/// What a deployment may switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// RFC 7591.
    pub dynamic_registration: bool,
    /// Client ID Metadata Documents.
    pub client_documents: bool,
}

/// Ways in for agents that a deployment may switch. What is off is not advertised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentOffers<'a> {
    /// Grants of tenants' identity providers (ID-JAG).
    pub id_jag: bool,
    /// Platforms' tokens (workload identity federation).
    pub workloads: bool,
    /// An agent's delegation to another (RFC 8693).
    pub token_exchange: bool,
    /// The origin where clients are asked for certificates: the public URL, or another listener's.
    pub certificates: Option<&'a str>,
}

impl AuthorizationServerMetadata {
    /// The same document, with what agents may do.
    #[must_use]
    pub fn for_agents(mut self, offers: &AgentOffers<'_>) -> Self {
        let grants = &mut self.grant_types_supported;
        if offers.id_jag || offers.workloads {
            grants.push(exchange::JWT_BEARER.to_owned());
        }
        if offers.token_exchange {
            grants.push(exchange::TOKEN_EXCHANGE.to_owned());
        }
        if offers.id_jag {
            self.authorization_grant_profiles_supported.push(id_jag::PROFILE.to_owned());
        }
        let Some(origin) = offers.certificates.map(|origin| origin.trim_end_matches('/')) else { return self };
        for methods in
            [&mut self.token_endpoint_auth_methods_supported, &mut self.revocation_endpoint_auth_methods_supported]
        {
            methods.extend(CERTIFICATE_AUTH_METHODS.map(str::to_owned));
        }
        self.tls_client_certificate_bound_access_tokens = true;
        let at = |path: &str| format!("{origin}{path}");
        if at(TOKEN) != self.token_endpoint {
            self.mtls_endpoint_aliases = Some(MtlsEndpointAliases {
                token_endpoint: at(TOKEN),
                revocation_endpoint: at(REVOKE),
                introspection_endpoint: at(INTROSPECT),
                pushed_authorization_request_endpoint: at(PAR),
            });
        }
        self
    }

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
            dpop_signing_alg_values_supported: all(&dpop::ALGORITHMS),
            authorization_grant_profiles_supported: Vec::new(),
            tls_client_certificate_bound_access_tokens: false,
            mtls_endpoint_aliases: None,
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
    /// RFC 9449: algorithms of proofs.
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// No token is taken that is not bound to a DPoP key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens_required: bool,
    /// Tokens that are bound to a certificate are taken (RFC 8705).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls_client_certificate_bound_access_tokens: bool,
}

/// How a resource takes bound tokens, beside DPoP, which every one does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Binding {
    /// Every tenant of it demands DPoP.
    pub dpop_required: bool,
    /// Its listener asks for certificates.
    pub certificates: bool,
}

impl ProtectedResourceMetadata {
    /// The document of `resource`, which takes tokens of `issuer` in the header only.
    pub fn new(resource: &str, issuer: &str, scopes: &ScopeSet, name: Option<&str>, binding: Binding) -> Self {
        Self {
            resource: resource.to_owned(),
            authorization_servers: vec![issuer.to_owned()],
            scopes_supported: scopes.iter().map(ToString::to_string).collect(),
            bearer_methods_supported: vec!["header".to_owned()],
            resource_name: name.map(str::to_owned),
            resource_documentation: None,
            dpop_signing_alg_values_supported: dpop::ALGORITHMS.map(str::to_owned).to_vec(),
            dpop_bound_access_tokens_required: binding.dpop_required,
            tls_client_certificate_bound_access_tokens: binding.certificates,
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
        let document = |binding| {
            serde_json::to_value(ProtectedResourceMetadata::new("https://g/mcp/a", "https://g", &set, None, binding))
                .unwrap()
        };
        assert_eq!(
            document(Binding::default()),
            serde_json::json!({"resource": "https://g/mcp/a", "authorization_servers": ["https://g"],
                "scopes_supported": ["files:read"], "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": ["ES256", "PS256", "RS256", "EdDSA", "ES384"]})
        );
        let strict = document(Binding { dpop_required: true, certificates: true });
        assert_eq!(strict["dpop_bound_access_tokens_required"], true);
        assert_eq!(strict["tls_client_certificate_bound_access_tokens"], true);
    }

    #[test]
    fn what_agents_may_not_do_is_not_advertised() {
        let offers = Offers { dynamic_registration: false, client_documents: true };
        let document = |agents: AgentOffers<'_>| {
            let document = AuthorizationServerMetadata::new("https://g.example", "https://g.example", offers);
            serde_json::to_value(document.for_agents(&agents)).unwrap()
        };
        let none = document(AgentOffers::default());
        assert_eq!(none["dpop_signing_alg_values_supported"][0], "ES256");
        for absent in [
            "authorization_grant_profiles_supported",
            "tls_client_certificate_bound_access_tokens",
            "mtls_endpoint_aliases",
        ] {
            assert!(none.get(absent).is_none(), "{absent}");
        }
        assert!(!none.to_string().contains("urn:ietf:params:oauth:grant-type") && !none.to_string().contains("tls_"));

        let workloads = document(AgentOffers { workloads: true, ..AgentOffers::default() });
        assert!(workloads["grant_types_supported"].to_string().contains("jwt-bearer"));
        assert!(workloads.get("authorization_grant_profiles_supported").is_none());

        let all = AgentOffers { id_jag: true, workloads: true, token_exchange: true, certificates: None };
        let all = document(AgentOffers { certificates: Some("https://g.example/"), ..all });
        assert_eq!(
            all["authorization_grant_profiles_supported"],
            serde_json::json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
        );
        assert!(all["grant_types_supported"].to_string().contains("token-exchange"));
        assert_eq!(all["tls_client_certificate_bound_access_tokens"], true);
        assert!(all["token_endpoint_auth_methods_supported"].to_string().contains("self_signed_tls_client_auth"));
        assert!(all.get("mtls_endpoint_aliases").is_none(), "the same endpoints ask for certificates");
        let elsewhere = AgentOffers { certificates: Some("https://mtls.g.example"), ..AgentOffers::default() };
        let elsewhere = document(elsewhere);
        assert_eq!(elsewhere["mtls_endpoint_aliases"]["token_endpoint"], "https://mtls.g.example/oauth/token");
        assert_eq!(elsewhere["token_endpoint"], "https://g.example/oauth/token");
    }
}
