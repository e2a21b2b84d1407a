//! Access tokens: JWTs by RFC 9068, signed ES256, one audience each.
//!
//! [`verify_access_token`] is the only way from a string to a [`Principal`]. It checks everything that
//! the token itself can show; revocation is state and therefore the caller's business. It never learns
//! a key, an algorithm or a type from the token.

use std::time::Duration;

use sallyport_model::{
    Actor, AgentId, ClientId, GrantId, KeyBinding, Principal, PrincipalKind, ScopeSet, SessionId, SigningKeyId,
    TenantId, Timestamp, TokenId, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    actor, confirmation,
    jws::{Compact, Malformed},
    keys::{ALGORITHM, KeyFault, KeySource, SigningKey},
};

/// The `typ` of an access token (RFC 9068 section 2.1).
pub const TYPE: &str = "at+jwt";

/// Longer lists of [`AccessClaims::ancestors`] are refused.
const MAX_ANCESTORS: usize = actor::MAX_DEPTH;

/// The claims of an access token: RFC 9068 section 2.2, `act` (RFC 8693), `cnf` (RFC 7800) and four of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Our issuer URL.
    pub iss: String,
    /// The person or agent.
    pub sub: String,
    /// The one RFC 8707 resource that the token is for.
    pub aud: String,
    /// The OAuth client.
    pub client_id: ClientId,
    /// End, seconds since the epoch.
    pub exp: u64,
    /// Issued, seconds since the epoch.
    pub iat: u64,
    /// The token's own id.
    pub jti: TokenId,
    /// What it allows; space separated on the wire.
    pub scope: ScopeSet,
    /// The sign-in session.
    pub sid: SessionId,
    /// Ours: the tenant.
    pub tenant: TenantId,
    /// Ours: the delegation.
    pub grant: GrantId,
    /// Ours: `human` or `agent`; says what `sub` is.
    pub principal_type: PrincipalKind,
    /// Who acts for `sub`, the one that presents the token first; nested on the wire (RFC 8693 section 4.1).
    #[serde(default, with = "actor", skip_serializing_if = "Vec::is_empty")]
    pub act: Vec<AgentId>,
    /// Ours: the delegations that `grant` was made out of; absent on the wire where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<GrantId>,
    /// Whose key must be proved with the token; absent: a bearer token.
    #[serde(default, deserialize_with = "confirmation::deserialize", skip_serializing_if = "Option::is_none")]
    pub cnf: Option<KeyBinding>,
}

/// Signs an access token.
///
/// # Errors
/// [`KeyFault::Library`] when the cryptographic library fails.
pub fn issue(claims: &AccessClaims, key: &SigningKey) -> Result<String, KeyFault> {
    key.sign_any(TYPE, claims)
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// Our issuer, to the letter.
    pub issuer: &'a str,
    /// The resource that was asked for, to the letter.
    pub audience: &'a str,
    /// Now.
    pub now: Timestamp,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Why a token is refused. For the audit log; outside it is always `invalid_token` (RFC 6750 section
/// 3.1), so that a stranger learns nothing from probing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Not a JWS that would be looked at.
    #[error("the token is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Signed, or not, with another algorithm than ES256.
    #[error("the token's algorithm is not ES256")]
    Algorithm,
    /// Not `at+jwt`: an ID token, a client's assertion, something else.
    #[error("the token is no access token")]
    Type,
    /// No `kid`, or none of ours.
    #[error("the token names no key of ours")]
    UnknownKey,
    /// The signature is not one of that key.
    #[error("the token's signature is wrong")]
    Signature,
    /// A required claim is missing or of the wrong type.
    #[error("the token's claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// Of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// For another resource, or for several.
    #[error("the token is for another resource")]
    Audience,
    /// Ended.
    #[error("the token has expired")]
    Expired,
    /// Issued in the future, not valid yet, or ending before it was issued.
    #[error("the token is from the future")]
    NotYet,
}

impl TokenFault {
    /// The stable code for the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::TooLarge) => "token_too_large",
            Self::Malformed(Malformed::HeaderParameter(_)) => "token_header",
            Self::Malformed(_) => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Type => "token_type",
            Self::UnknownKey => "token_key",
            Self::Signature => "token_signature",
            Self::Claim(_) => "token_claim",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet",
        }
    }

    /// What the client is told, whatever it was.
    pub fn outside(&self) -> &'static str {
        "invalid_token"
    }
}

/// Verifies an access token for one resource at one time (RFC 9068 section 4, RFC 8725).
///
/// # Errors
/// [`TokenFault`].
pub fn verify_access_token(token: &str, keys: &dyn KeySource, expect: &Expect<'_>) -> Result<Principal, TokenFault> {
    let compact = Compact::parse(token)?;
    verified_signature(&compact, keys)?;
    if !compact.has_type(TYPE) {
        return Err(TokenFault::Type);
    }
    principal(&compact.claims, expect)
}

/// An access token of ours, whatever its audience and age: for revocation (RFC 7009), which must also
/// take tokens that nobody would accept. Proves no authority.
///
/// # Errors
/// [`TokenFault`], for anything that we did not sign as an access token.
pub fn read_own(token: &str, keys: &dyn KeySource, issuer: &str) -> Result<AccessClaims, TokenFault> {
    let compact = Compact::parse(token)?;
    verified_signature(&compact, keys)?;
    if !compact.has_type(TYPE) {
        return Err(TokenFault::Type);
    }
    if text(&compact.claims, "iss")? != issuer {
        return Err(TokenFault::Issuer);
    }
    serde_json::from_value(Value::Object(compact.claims)).map_err(|_| TokenFault::Claim("jti"))
}

fn verified_signature(compact: &Compact<'_>, keys: &dyn KeySource) -> Result<(), TokenFault> {
    // Before any key is looked up: the token does not choose the algorithm.
    if compact.alg != ALGORITHM {
        return Err(TokenFault::Algorithm);
    }
    let kid = compact.kid.as_deref().ok_or(TokenFault::UnknownKey)?;
    let kid = SigningKeyId::new(kid).map_err(|_| TokenFault::UnknownKey)?;
    let key = keys.verifying_key(&kid).ok_or(TokenFault::UnknownKey)?;
    match key.verifies(compact.signing_input.as_bytes(), &compact.signature) {
        true => Ok(()),
        false => Err(TokenFault::Signature),
    }
}

fn principal(claims: &Map<String, Value>, expect: &Expect<'_>) -> Result<Principal, TokenFault> {
    if text(claims, "iss")? != expect.issuer {
        return Err(TokenFault::Issuer);
    }
    check_audience(claims, expect.audience)?;
    let (issued_at, expires_at) = check_times(claims, expect)?;
    let sub = text(claims, "sub")?;
    let subject = match text(claims, "principal_type")? {
        "human" => Actor::Human(UserId::new(sub).map_err(|_| TokenFault::Claim("sub"))?),
        "agent" => Actor::Agent(AgentId::new(sub).map_err(|_| TokenFault::Claim("sub"))?),
        _ => return Err(TokenFault::Claim("principal_type")),
    };
    let actors = actors(claims, &subject)?;
    Ok(Principal {
        tenant: id(claims, "tenant")?,
        subject,
        actors,
        client: id(claims, "client_id")?,
        session: id(claims, "sid")?,
        grant: id(claims, "grant")?,
        ancestors: ancestors(claims)?,
        token: id(claims, "jti")?,
        scopes: id(claims, "scope")?,
        issued_at,
        expires_at,
        bound_to: binding(claims)?,
    })
}

/// Who acts; nobody acts for itself.
fn actors(claims: &Map<String, Value>, subject: &Actor) -> Result<Vec<AgentId>, TokenFault> {
    let Some(act) = claims.get("act") else { return Ok(Vec::new()) };
    let chain = actor::read(act).ok_or(TokenFault::Claim("act"))?;
    match subject {
        Actor::Agent(agent) if chain.contains(agent) => Err(TokenFault::Claim("act")),
        _ => Ok(chain),
    }
}

fn ancestors(claims: &Map<String, Value>) -> Result<Vec<GrantId>, TokenFault> {
    const FAULT: TokenFault = TokenFault::Claim("ancestors");
    match claims.get("ancestors") {
        None => Ok(Vec::new()),
        Some(Value::Array(all)) if (1..=MAX_ANCESTORS).contains(&all.len()) => {
            let grant = |one: &Value| one.as_str().and_then(|grant| GrantId::new(grant).ok());
            all.iter().map(grant).collect::<Option<_>>().ok_or(FAULT)
        }
        Some(_) => Err(FAULT),
    }
}

/// A confirmation that is not understood is no reason to go without one.
fn binding(claims: &Map<String, Value>) -> Result<Option<KeyBinding>, TokenFault> {
    match claims.get("cnf") {
        None => Ok(None),
        Some(cnf) => confirmation::read(cnf).map(Some).ok_or(TokenFault::Claim("cnf")),
    }
}

fn check_audience(claims: &Map<String, Value>, audience: &str) -> Result<(), TokenFault> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => one,
        Some(Value::Array(all)) => match all.as_slice() {
            [Value::String(one)] => one,
            _ => return Err(TokenFault::Audience),
        },
        _ => return Err(TokenFault::Claim("aud")),
    };
    if named == audience { Ok(()) } else { Err(TokenFault::Audience) }
}

fn check_times(claims: &Map<String, Value>, expect: &Expect<'_>) -> Result<(Timestamp, Timestamp), TokenFault> {
    let issued_at = seconds(claims, "iat")?;
    let expires_at = seconds(claims, "exp")?;
    let latest = expect.now.plus(expect.leeway);
    if issued_at > latest || expires_at <= issued_at {
        return Err(TokenFault::NotYet);
    }
    if claims.contains_key("nbf") && seconds(claims, "nbf")? > latest {
        return Err(TokenFault::NotYet);
    }
    if expires_at.plus(expect.leeway) <= expect.now {
        return Err(TokenFault::Expired);
    }
    Ok((issued_at, expires_at))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, TokenFault> {
    claims.get(name).and_then(Value::as_str).ok_or(TokenFault::Claim(name))
}

fn id<T: std::str::FromStr>(claims: &Map<String, Value>, name: &'static str) -> Result<T, TokenFault> {
    text(claims, name)?.parse().map_err(|_| TokenFault::Claim(name))
}

/// Whole seconds only; a year far beyond any token's is no time either.
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Timestamp, TokenFault> {
    match claims.get(name).and_then(Value::as_u64) {
        Some(secs) if secs < 1 << 40 => Ok(Timestamp::from_secs(secs)),
        _ => Err(TokenFault::Claim(name)),
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
