//! Log-out that begins at the provider: back-channel (OpenID Connect Back-Channel Logout 1.0) and
//! front-channel (Front-Channel Logout 1.0); and the address where a person logs out there too
//! (RP-Initiated Logout 1.0).
//!
//! A log-out token is known by its event and by having no nonce, so that neither an ID token nor a
//! security event passes for one.

use sallyport_model::Timestamp;
use serde_json::Value;
use url::Url;

use super::{
    Algorithm, IssuerRule, Jwks, JwtFault, Moment, OidcFault, ProviderMetadata,
    foreign::{self, shown},
    request::unique_pairs,
};

/// The member of `events` that makes a token a log-out token (section 2.4).
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a log-out token is held against.
#[derive(Debug, Clone, Copy)]
pub struct ExpectLogout<'a> {
    /// Who may issue.
    pub issuer: &'a IssuerRule,
    /// We.
    pub client_id: &'a str,
    /// As for ID tokens.
    pub algorithms: &'a [Algorithm],
    /// When.
    pub moment: Moment,
}

/// A log-out that the provider asks for; to be accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// `iss`.
    pub issuer: String,
    /// The person. Without `sid`, all of her sessions end.
    pub subject: Option<String>,
    /// The session.
    pub sid: Option<String>,
    /// The token's id, unique at the issuer.
    pub jti: String,
    /// It must be remembered until then.
    pub remember_until: Timestamp,
}

/// Verifies a log-out token (Back-Channel Logout section 2.6).
///
/// # Errors
/// [`OidcFault`]; the endpoint answers 400.
pub fn verify(token: &str, keys: &Jwks, expect: &ExpectLogout<'_>) -> Result<LogoutToken, OidcFault> {
    let signed = foreign::open(token, keys, expect.algorithms)?;
    // Section 2.4 recommends a type and allows none; older providers write the general one.
    if signed.jwt.typ.is_some() && !signed.jwt.has_type("logout+jwt") && !signed.jwt.has_type("JWT") {
        let found = shown(signed.jwt.typ.as_deref().unwrap_or_default());
        return Err(JwtFault::Type { found, expected: "a log-out token" }.into());
    }
    let issuer = foreign::issuer(&signed, expect.issuer)?.to_owned();
    let claims = &signed.jwt.claims;
    foreign::audience(claims, expect.client_id)?;
    foreign::issued_at(claims, expect.moment)?;
    let expires_at = foreign::expires_at(claims, expect.moment)?;
    let jti = foreign::jti(claims)?.to_owned();
    if claims.contains_key("nonce") {
        return Err(OidcFault::LogoutNonce);
    }
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(OidcFault::LogoutEvent);
    }
    let subject = foreign::identifier(claims, "sub")?.map(str::to_owned);
    let sid = foreign::identifier(claims, "sid")?.map(str::to_owned);
    if subject.is_none() && sid.is_none() {
        return Err(OidcFault::LogoutSubject);
    }
    Ok(LogoutToken { issuer, subject, sid, jti, remember_until: expires_at.plus(expect.moment.leeway) })
}

/// A front-channel request: the browser says that the provider's session ended. It proves nothing; it may
/// end the session that this very browser has, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontChannel {
    /// The session that ended; `None` means the one of this browser at this provider.
    pub sid: Option<String>,
}

/// Reads a front-channel request's query (Front-Channel Logout section 2).
///
/// # Errors
/// [`OidcFault::ResponseForm`]; [`OidcFault::ResponseIssuer`] when it names another issuer, or a session
/// without one.
pub fn front_channel(query: &str, rule: &IssuerRule) -> Result<FrontChannel, OidcFault> {
    let fault = |why| OidcFault::ResponseForm { why };
    if query.len() > 4096 {
        return Err(fault("is longer than 4 KiB"));
    }
    let pairs = unique_pairs(query).ok_or(fault("has a parameter twice, or too many"))?;
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match (value("iss"), value("sid")) {
        (None, None) => Ok(FrontChannel { sid: None }),
        (Some(iss), Some(sid)) if rule.issued(iss, None) && !sid.is_empty() && sid.len() <= 512 => {
            Ok(FrontChannel { sid: Some(sid.to_owned()) })
        }
        (Some(iss), Some(_)) => Err(OidcFault::ResponseIssuer { found: shown(iss), expected: rule.trusted() }),
        _ => Err(fault("must have both `iss` and `sid`, or neither")),
    }
}

/// Where a person goes to log out at the provider as well (RP-Initiated Logout section 2).
pub fn end_session_url(
    metadata: &ProviderMetadata,
    client_id: &str,
    id_token_hint: Option<&str>,
    return_to: Option<(&str, &str)>,
) -> Option<Url> {
    let mut url = metadata.end_session_endpoint.clone()?;
    let mut query = url.query_pairs_mut();
    query.append_pair("client_id", client_id);
    if let Some(hint) = id_token_hint {
        query.append_pair("id_token_hint", hint);
    }
    if let Some((uri, state)) = return_to {
        query.append_pair("post_logout_redirect_uri", uri).append_pair("state", state);
    }
    drop(query);
    Some(url)
}
