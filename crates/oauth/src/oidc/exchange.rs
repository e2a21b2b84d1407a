//! Token requests and what comes back (OpenID Connect Core sections 3.1.3 and 12, RFC 6749 section 5).

use std::time::Duration;

use sallyport_model::{Rng, Secret, Timestamp};
use serde_json::{Map, Value};

use super::{Client, FormRequest, OidcFault, Preset, ProviderMetadata, foreign, foreign::shown};
use crate::strict;

/// Larger answers are refused unread.
const MAX_BYTES: usize = 256 * 1024;

/// How an access token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    DPoP,
}

/// What a token endpoint gave. `Debug` shows no token.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// The ID token, unverified; demanded after a code, optional after a refresh.
    pub id_token: Option<Secret>,
    /// The access token.
    pub access_token: Secret,
    /// How to present it.
    pub token_type: TokenType,
    /// How long it lives, if the provider says so.
    pub expires_in: Option<Duration>,
    /// The next refresh token, if there is one.
    pub refresh_token: Option<Secret>,
    /// What was granted, if the provider says so.
    pub scope: Option<String>,
    /// What `access_token` is, after a token exchange (RFC 8693 section 2.2.1).
    pub issued_token_type: Option<String>,
}

/// Who asks whom, and when.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// We.
    pub client: &'a Client,
    /// The provider.
    pub metadata: &'a ProviderMetadata,
    /// What is known of it.
    pub preset: &'a Preset,
    /// Now.
    pub now: Timestamp,
    /// For the ids of assertions.
    pub rng: &'a dyn Rng,
}

impl Exchange<'_> {
    /// Redeems a code.
    ///
    /// # Errors
    /// [`OidcFault::AuthenticationNotOffered`], [`OidcFault::ClientKey`]; so for all of these.
    pub fn redeem(&self, code: &Secret, verifier: &Secret, redirect_uri: &str) -> Result<FormRequest, OidcFault> {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.expose()),
        ];
        self.client.request(&self.metadata.token_endpoint, &parameters, self)
    }

    /// Redeems a refresh token: the way to ask the provider again about a person.
    ///
    /// # Errors
    /// As [`Self::redeem`].
    pub fn refresh(&self, refresh_token: &Secret) -> Result<FormRequest, OidcFault> {
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        self.client.request(&self.metadata.token_endpoint, &parameters, self)
    }

    /// Gives a refresh token back, where the provider takes it (RFC 7009).
    ///
    /// # Errors
    /// As [`Self::redeem`].
    pub fn revoke(&self, refresh_token: &Secret) -> Result<Option<FormRequest>, OidcFault> {
        let Some(endpoint) = &self.metadata.revocation_endpoint else { return Ok(None) };
        let parameters = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        self.client.request(endpoint, &parameters, self).map(Some)
    }

    /// Pushes an authorization request, if the provider takes one (RFC 9126 section 2.1); `parameters` are
    /// those of [`super::request::parameters`].
    ///
    /// # Errors
    /// As [`Self::redeem`].
    pub fn push(&self, parameters: &[(&'static str, String)]) -> Result<Option<FormRequest>, OidcFault> {
        let Some(endpoint) = &self.metadata.pushed_authorization_request_endpoint else { return Ok(None) };
        // Authentication in the body brings `client_id` itself; by header it does not.
        let by_header = self.client.proves_by_header(self.metadata);
        let parameters: Vec<(&str, &str)> = parameters
            .iter()
            .filter(|(name, _)| by_header || *name != "client_id")
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.client.request(endpoint, &parameters, self).map(Some)
    }
}

/// Reads a token endpoint's answer.
///
/// # Errors
/// [`OidcFault::TokenEndpoint`] when it refused ([`OidcFault::ends_the_grant`] tells whether the person's
/// grant is over), [`OidcFault::DpopNonce`] when it wants its nonce in the proof, and
/// [`OidcFault::TokenResponse`] when it makes no sense.
pub fn read(status: u16, bytes: &[u8]) -> Result<TokenResponse, OidcFault> {
    let answer = answer(status, &[200], bytes)?;
    let fault = |why| OidcFault::TokenResponse { why };
    let secret = |name: &str, why| match answer.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) if !token.is_empty() && token.len() <= foreign::MAX_BYTES => {
            Ok(Some(Secret::new(token.as_str())))
        }
        Some(_) => Err(fault(why)),
    };
    let token_type = match answer.get("token_type").and_then(Value::as_str) {
        Some(name) if name.eq_ignore_ascii_case("bearer") => TokenType::Bearer,
        Some(name) if name.eq_ignore_ascii_case("dpop") => TokenType::DPoP,
        _ => return Err(fault("has no `token_type` that we know")),
    };
    let expires_in = answer.get("expires_in").and_then(|value| match value {
        Value::Number(number) => number.as_u64(),
        // Older Entra endpoints write it as text.
        Value::String(text) => text.parse().ok(),
        _ => None,
    });
    Ok(TokenResponse {
        id_token: secret("id_token", "has an `id_token` that is no token")?,
        access_token: secret("access_token", "has an `access_token` that is no token")?
            .ok_or(fault("has no `access_token`"))?,
        token_type,
        expires_in: expires_in.map(Duration::from_secs),
        refresh_token: secret("refresh_token", "has a `refresh_token` that is no token")?,
        scope: answer.get("scope").and_then(Value::as_str).map(shown),
        issued_token_type: answer.get("issued_token_type").and_then(Value::as_str).map(shown),
    })
}

/// The JSON of an answer with one of these statuses; any other is the provider's error.
pub(super) fn answer(status: u16, good: &[u16], bytes: &[u8]) -> Result<Map<String, Value>, OidcFault> {
    if bytes.len() > MAX_BYTES {
        return Err(OidcFault::DocumentTooLarge { what: "token endpoint's answer" });
    }
    let object = strict::object(bytes);
    if good.contains(&status) {
        return object.map_err(|why| OidcFault::Document { what: "token endpoint's answer", why });
    }
    let object = object.unwrap_or_default();
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(shown);
    let error = text("error").unwrap_or_default();
    if error == "use_dpop_nonce" {
        return Err(OidcFault::DpopNonce);
    }
    Err(OidcFault::TokenEndpoint { status, error, description: text("error_description") })
}
