//! The authorization request (OpenID Connect Core section 3.1.2.1), plain or pushed (RFC 9126).
//!
//! Always a code, always PKCE S256, always fresh `state` and `nonce`. Never asks for a token in the
//! answer.

use std::time::Duration;

use sallyport_model::{Rng, Secret};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{OidcFault, Preset, PresetId, ProviderMetadata, client::token, presets::DomainHint};
use crate::{pkce, strict};

/// What a provider is asked to do with a session that it has (OpenID Connect Core section 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Show nothing: answer with an error instead.
    None,
    /// Ask for proof again.
    Login,
    /// Ask for consent again; at Google the way to another refresh token.
    Consent,
    /// Let the person choose an account.
    SelectAccount,
}

impl Prompt {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

/// What a sign-in asks for.
#[derive(Debug, Clone, Default)]
pub struct AuthorizationRequest<'a> {
    /// Where the answer goes; registered at the provider.
    pub redirect_uri: &'a str,
    /// Beside the preset's scopes.
    pub extra_scopes: &'a [String],
    /// The address that the person typed.
    pub login_hint: Option<&'a str>,
    /// The tenant's domain; sent by the preset's parameter, or not at all.
    pub domain: Option<&'a str>,
    /// Demanded classes of proof.
    pub acr_values: &'a [String],
    /// Several factors are demanded.
    pub mfa: bool,
    /// How old the proof may be.
    pub max_age: Option<Duration>,
    /// See [`Prompt`].
    pub prompt: Option<Prompt>,
    /// The `claims` parameter (section 5.5), a JSON object; at Entra the way to ask for `acrs`.
    pub claims: Option<&'a Value>,
}

/// What we must remember of a request until its answer: kept on the server, bound to the browser, used
/// once.
#[derive(Debug, Clone)]
pub struct LoginSecrets {
    /// `state`.
    pub state: String,
    /// `nonce`.
    pub nonce: String,
    /// The PKCE verifier.
    pub verifier: Secret,
}

impl LoginSecrets {
    /// Fresh ones, 256 bits each.
    pub fn mint(rng: &dyn Rng) -> Self {
        Self { state: token(rng), nonce: token(rng), verifier: Secret::new(token(rng)) }
    }
}

/// The parameters of a request, for a URL or for a pushed request. They hold no secret: the verifier is
/// hashed, `state` and `nonce` travel through the browser anyway.
pub fn parameters(
    request: &AuthorizationRequest<'_>,
    secrets: &LoginSecrets,
    client_id: &str,
    metadata: &ProviderMetadata,
    preset: &Preset,
) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("response_type", "code".to_owned()),
        ("client_id", client_id.to_owned()),
        ("redirect_uri", request.redirect_uri.to_owned()),
        ("scope", scope(request, metadata, preset)),
        ("state", secrets.state.clone()),
        ("nonce", secrets.nonce.clone()),
        ("code_challenge", pkce::challenge_of(secrets.verifier.expose())),
        ("code_challenge_method", pkce::METHOD.to_owned()),
    ];
    let mut add = |name, value: Option<String>| parameters.extend(value.map(|value| (name, value)));
    add("login_hint", request.login_hint.map(str::to_owned));
    if let DomainHint::Parameter(name) = preset.domain_hint {
        add(name, request.domain.map(str::to_owned));
    }
    let asked = if request.mfa { preset.mfa.acr_values } else { &[] };
    let acr: Vec<&str> = request.acr_values.iter().map(String::as_str).chain(asked.iter().copied()).collect();
    add("acr_values", (!acr.is_empty()).then(|| acr.join(" ")));
    add("max_age", request.max_age.map(|age| age.as_secs().to_string()));
    add("prompt", request.prompt.map(|prompt| prompt.as_str().to_owned()));
    add("claims", request.claims.map(Value::to_string));
    if preset.id == PresetId::Google {
        // Google gives a refresh token for this, not for `offline_access`.
        add("access_type", Some("offline".to_owned()));
    }
    parameters
}

/// The preset's scopes that the provider has, and the connection's own.
fn scope(request: &AuthorizationRequest<'_>, metadata: &ProviderMetadata, preset: &Preset) -> String {
    let known = &metadata.scopes_supported;
    let offered = |scope: &&str| *scope == "openid" || known.is_empty() || known.iter().any(|known| known == scope);
    // A groups scope that is not advertised is an error at Okta's custom servers.
    let groups = preset.groups_scope.filter(|scope| known.iter().any(|known| known == scope));
    let mut scopes: Vec<&str> = preset.scopes.iter().copied().filter(offered).chain(groups).collect();
    for extra in request.extra_scopes {
        if !scopes.contains(&extra.as_str()) {
            scopes.push(extra);
        }
    }
    scopes.join(" ")
}

/// Where the browser goes with a plain request.
pub fn url(metadata: &ProviderMetadata, parameters: &[(&'static str, String)]) -> Url {
    let mut url = metadata.authorization_endpoint.clone();
    url.query_pairs_mut().extend_pairs(parameters);
    url
}

/// Reads the answer to a pushed request: 201 and a `request_uri` (RFC 9126 section 2.2).
///
/// # Errors
/// [`OidcFault::TokenEndpoint`] when it was refused, [`OidcFault::TokenResponse`] when it makes no sense.
pub fn pushed(status: u16, bytes: &[u8]) -> Result<String, OidcFault> {
    let answer = super::exchange::answer(status, &[200, 201], bytes)?;
    match answer.get("request_uri").and_then(Value::as_str) {
        Some(uri) if !uri.is_empty() && uri.len() <= 2048 => Ok(uri.to_owned()),
        _ => Err(OidcFault::TokenResponse { why: "has no `request_uri`" }),
    }
}

/// Where the browser goes after a pushed request (RFC 9126 section 4).
pub fn pushed_url(metadata: &ProviderMetadata, client_id: &str, request_uri: &str) -> Url {
    let mut url = metadata.authorization_endpoint.clone();
    url.query_pairs_mut().append_pair("client_id", client_id).append_pair("request_uri", request_uri);
    url
}

/// The `claims` parameter that asks Entra for an authentication context ("Developer guidance for
/// Conditional Access authentication context" at learn.microsoft.com).
pub fn entra_context(context: &str) -> Value {
    serde_json::json!({ "id_token": { "acrs": { "essential": true, "value": context } } })
}

/// Form-encoded text as pairs; `None` when a name stands twice (RFC 6749 section 3.1).
pub(super) fn unique_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if pairs.len() >= 64 || pairs.iter().any(|(known, _)| *known == name) {
            return None;
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    Some(pairs)
}

/// A JSON object for the `claims` parameter, from configuration.
///
/// # Errors
/// [`OidcFault::Document`].
pub fn claims_parameter(text: &str) -> Result<Value, OidcFault> {
    strict::object(text.as_bytes())
        .map(Value::Object)
        .map_err(|why| OidcFault::Document { what: "`claims` parameter", why })
}
