//! What every token of a stranger must pass, whatever it is: form, algorithm, key, signature, type,
//! issuer, audience and times (RFC 8725).
//!
//! The algorithm is one that the connection allows and decides the kind of key; the key comes from the
//! issuer's published set. Nothing in a token's header is obeyed but `kid`, and that only to choose.

use std::time::Duration;

use sallyport_model::Timestamp;
use serde_json::{Map, Value};

use super::{
    Algorithm,
    issuer::IssuerRule,
    jwks::{Jwks, Key},
};
use crate::jws::{Compact, Malformed};

/// Longer tokens are refused unread. Two hundred group ids of Entra's need some 11 KiB.
pub const MAX_BYTES: usize = 64 * 1024;
/// Tokens with more top-level claims are refused.
const MAX_CLAIMS: usize = 512;
/// An `aud` with more members is refused.
const MAX_AUDIENCES: usize = 16;

/// Now, and how far two clocks may differ.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Why a stranger's token is refused, whatever kind of token it should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtFault {
    /// Not a JWS that would be looked at.
    #[error("the token is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// `alg` is not one that the connection takes.
    #[error("the token is signed with `{found}`; accepted are {allowed}")]
    Algorithm {
        /// `alg`.
        found: String,
        /// What is accepted.
        allowed: String,
    },
    /// No `kid`, and more than one key that it could be.
    #[error("the token names no key (`kid`), and the issuer publishes several")]
    NoKeyId,
    /// `kid` is not in the set. The caller may fetch the set again, once.
    #[error("the token is signed with the key `{kid}`, which the issuer does not publish for this algorithm")]
    UnknownKey {
        /// `kid`; empty when the token has none.
        kid: String,
    },
    /// The signature is not one of that key.
    #[error("the token's signature is not one of the key that it names")]
    Signature,
    /// A token of another kind.
    #[error("the token is of type `{found}`, not {expected}")]
    Type {
        /// What it says that it is.
        found: String,
        /// What was wanted.
        expected: &'static str,
    },
    /// A claim is missing or malformed, or must not be there.
    #[error("the claim `{name}` {why}")]
    Claim {
        /// The claim.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Of another issuer.
    #[error("the token is issued by `{found}`; this connection trusts `{expected}`")]
    Issuer {
        /// `iss`.
        found: String,
        /// What is trusted.
        expected: String,
    },
    /// The key is published for another issuer (Entra's key sets are shared).
    #[error("the token is signed with a key of the issuer `{found}`; the token says `{expected}`")]
    KeyIssuer {
        /// The key's issuer.
        found: String,
        /// The token's.
        expected: String,
    },
    /// For somebody else.
    #[error("the token is for `{found}`; we are `{expected}`")]
    Audience {
        /// `aud`; several are joined by commas.
        found: String,
        /// We.
        expected: String,
    },
    /// Ended.
    #[error("the token ended at {at}; our clock says {now}, {} later", seconds_between(*.at, *.now))]
    Expired {
        /// `exp`.
        at: Timestamp,
        /// Our time.
        now: Timestamp,
    },
    /// From the future.
    #[error("the token's `{claim}` is {at}; our clock says {now}, {} earlier", seconds_between(*.now, *.at))]
    FromFuture {
        /// `iat` or `nbf`.
        claim: &'static str,
        /// Its value.
        at: Timestamp,
        /// Our time.
        now: Timestamp,
    },
    /// Issued longer ago than is remembered.
    #[error("the token was issued at {at}; our clock says {now}, {} later", seconds_between(*.at, *.now))]
    TooOld {
        /// `iat`.
        at: Timestamp,
        /// Our time.
        now: Timestamp,
    },
}

impl JwtFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::TooLarge) => "jwt_too_large",
            Self::Malformed(Malformed::HeaderParameter(_)) => "jwt_header",
            Self::Malformed(_) => "jwt_malformed",
            Self::Algorithm { .. } => "jwt_algorithm",
            Self::NoKeyId => "jwt_no_key_id",
            Self::UnknownKey { .. } => "jwt_unknown_key",
            Self::Signature => "jwt_signature",
            Self::Type { .. } => "jwt_type",
            Self::Claim { .. } => "jwt_claim",
            Self::Issuer { .. } => "jwt_issuer",
            Self::KeyIssuer { .. } => "jwt_key_issuer",
            Self::Audience { .. } => "jwt_audience",
            Self::Expired { .. } => "jwt_expired",
            Self::FromFuture { .. } => "jwt_from_future",
            Self::TooOld { .. } => "jwt_too_old",
        }
    }

    /// What an administrator can do.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Algorithm { .. } => {
                "set the application's token signature algorithm at the identity provider to one of those accepted"
            }
            Self::NoKeyId => "have the identity provider write `kid` into its tokens, or publish one key only",
            Self::UnknownKey { .. } => {
                "check that the connection's issuer is the one that the application belongs to; if its keys were \
                 just changed, try again in a minute"
            }
            Self::Issuer { .. } => {
                "set the connection's issuer to the one in the sentence, if that is your identity provider"
            }
            Self::Audience { .. } => {
                "set the connection's client id, or the application's audience at the identity provider, so that \
                 the two agree"
            }
            Self::Expired { .. } | Self::FromFuture { .. } | Self::TooOld { .. } => {
                "compare the two clocks in the sentence with a time server and set the one that is wrong"
            }
            Self::Malformed(Malformed::TooLarge) => "send fewer groups or attributes in the token",
            _ => return None,
        })
    }
}

fn seconds_between(earlier: Timestamp, later: Timestamp) -> String {
    let seconds = later.since(earlier).as_secs();
    if seconds == 1 { "1 second".to_owned() } else { format!("{seconds} seconds") }
}

/// At most 200 characters of a stranger's value for a sentence of ours, control characters replaced.
pub(crate) fn shown(value: &str) -> String {
    value.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A token whose signature is that of `key`.
#[derive(Debug)]
pub(crate) struct Signed<'t, 'k> {
    pub(crate) jwt: Compact<'t>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: &'k Key,
}

/// Takes `token` apart and verifies its signature with one of `keys`, by one of `allowed`.
pub(crate) fn open<'t, 'k>(token: &'t str, keys: &'k Jwks, allowed: &[Algorithm]) -> Result<Signed<'t, 'k>, JwtFault> {
    let jwt = Compact::parse_foreign(token, MAX_BYTES)?;
    let algorithm = Algorithm::named(&jwt.alg).filter(|algorithm| allowed.contains(algorithm)).ok_or_else(|| {
        let allowed = allowed.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(", ");
        JwtFault::Algorithm { found: shown(&jwt.alg), allowed }
    })?;
    let mut verified = None;
    for key in candidates(keys, jwt.kid.as_deref(), algorithm)? {
        if key.verifies(algorithm, jwt.signing_input.as_bytes(), &jwt.signature) {
            verified = Some(key);
            break;
        }
    }
    let key = verified.ok_or(JwtFault::Signature)?;
    if jwt.claims.len() > MAX_CLAIMS {
        return Err(Malformed::TooLarge.into());
    }
    Ok(Signed { jwt, algorithm, key })
}

/// The keys that may have signed. Without a `kid` there must be one only (OpenID Connect Core section
/// 10.1).
fn candidates<'k>(keys: &'k Jwks, kid: Option<&str>, algorithm: Algorithm) -> Result<Vec<&'k Key>, JwtFault> {
    let fitting: Vec<&Key> = keys.fitting(kid, algorithm).collect();
    match (kid, fitting.as_slice()) {
        (_, []) => Err(JwtFault::UnknownKey { kid: shown(kid.unwrap_or_default()) }),
        (None, [_, _, ..]) => Err(JwtFault::NoKeyId),
        _ => Ok(fitting),
    }
}

/// `iss`, if it is the connection's, and the key may sign for it.
pub(crate) fn issuer<'c>(signed: &'c Signed<'_, '_>, rule: &IssuerRule) -> Result<&'c str, JwtFault> {
    let claims = &signed.jwt.claims;
    let iss = text(claims, "iss")?;
    let tid = optional_text(claims, "tid")?;
    if !rule.issued(iss, tid) {
        return Err(JwtFault::Issuer { found: shown(iss), expected: rule.trusted() });
    }
    match signed.key.issuer() {
        Some(theirs) if !rule.key_may_sign(theirs, iss, tid) => {
            Err(JwtFault::KeyIssuer { found: shown(theirs), expected: shown(iss) })
        }
        _ => Ok(iss),
    }
}

/// `aud`, which must contain `us`.
pub(crate) fn audience(claims: &Map<String, Value>, us: &str) -> Result<Vec<String>, JwtFault> {
    let named: Vec<String> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) if all.len() <= MAX_AUDIENCES => {
            let texts: Option<Vec<_>> = all.iter().map(|one| one.as_str().map(str::to_owned)).collect();
            texts.ok_or(JwtFault::Claim { name: "aud", why: "is no string and no list of strings" })?
        }
        Some(Value::Array(_)) => return Err(JwtFault::Claim { name: "aud", why: "has too many members" }),
        Some(_) => return Err(JwtFault::Claim { name: "aud", why: "is no string and no list of strings" }),
        None => return Err(JwtFault::Claim { name: "aud", why: "is missing" }),
    };
    if named.iter().any(|one| one == us) {
        return Ok(named);
    }
    let found = if named.is_empty() { "nobody".to_owned() } else { shown(&named.join(", ")) };
    Err(JwtFault::Audience { found, expected: shown(us) })
}

/// `aud`, which must be `us` and nobody else: a string, or a list of one.
pub(crate) fn only_audience(claims: &Map<String, Value>, us: &str) -> Result<(), JwtFault> {
    let named = audience(claims, us)?;
    match named.as_slice() {
        [_] => Ok(()),
        _ => Err(JwtFault::Audience { found: shown(&named.join(", ")), expected: shown(us) }),
    }
}

/// `iat`, demanded, and `nbf`, if there; neither from the future.
pub(crate) fn issued_at(claims: &Map<String, Value>, moment: Moment) -> Result<Timestamp, JwtFault> {
    let iat = seconds(claims, "iat")?.ok_or(JwtFault::Claim { name: "iat", why: "is missing" })?;
    if iat > moment.now.plus(moment.leeway) {
        return Err(JwtFault::FromFuture { claim: "iat", at: iat, now: moment.now });
    }
    not_before(claims, moment)?;
    Ok(iat)
}

/// `nbf`, if there, is not in the future.
pub(crate) fn not_before(claims: &Map<String, Value>, moment: Moment) -> Result<(), JwtFault> {
    match seconds(claims, "nbf")? {
        Some(at) if at > moment.now.plus(moment.leeway) => {
            Err(JwtFault::FromFuture { claim: "nbf", at, now: moment.now })
        }
        _ => Ok(()),
    }
}

/// `exp`, demanded and ahead.
pub(crate) fn expires_at(claims: &Map<String, Value>, moment: Moment) -> Result<Timestamp, JwtFault> {
    let at = seconds(claims, "exp")?.ok_or(JwtFault::Claim { name: "exp", why: "is missing" })?;
    if at.plus(moment.leeway) <= moment.now {
        return Err(JwtFault::Expired { at, now: moment.now });
    }
    Ok(at)
}

/// `jti`: 1 to 512 bytes without control characters.
pub(crate) fn jti(claims: &Map<String, Value>) -> Result<&str, JwtFault> {
    identifier(claims, "jti")?.ok_or(JwtFault::Claim { name: "jti", why: "is missing" })
}

/// A claim that names something: 1 to 512 bytes without control characters, if it is there.
pub(crate) fn identifier<'c>(claims: &'c Map<String, Value>, name: &'static str) -> Result<Option<&'c str>, JwtFault> {
    match optional_text(claims, name)? {
        Some(value) if value.is_empty() || value.len() > 512 || value.chars().any(char::is_control) => {
            Err(JwtFault::Claim { name, why: "is empty, too long or holds a control character" })
        }
        value => Ok(value),
    }
}

/// A string claim that must be there.
pub(crate) fn text<'c>(claims: &'c Map<String, Value>, name: &'static str) -> Result<&'c str, JwtFault> {
    optional_text(claims, name)?.ok_or(JwtFault::Claim { name, why: "is missing" })
}

/// A string claim; another type is a fault, absence is not.
pub(crate) fn optional_text<'c>(
    claims: &'c Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'c str>, JwtFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(JwtFault::Claim { name, why: "is no string" }),
    }
}

/// A NumericDate (RFC 7519 section 2); a fraction is dropped.
pub(crate) fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, JwtFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| {
        let fraction = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
        Some(fraction as u64)
    });
    match seconds {
        Some(seconds) if seconds < 1 << 40 => Ok(Some(Timestamp::from_secs(seconds))),
        _ => Err(JwtFault::Claim { name, why: "is no time" }),
    }
}
