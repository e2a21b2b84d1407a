//! A platform's token, held against a trust.

use std::time::Duration;

use sallyport_model::Timestamp;
use serde_json::{Map, Value};

use super::{Platform, WorkloadTrust};
use crate::{
    jws::Compact,
    oidc::{
        Algorithm, Jwks, JwtFault, Moment, OidcFault,
        foreign::{self, shown},
    },
    strict, thumbprint,
};

/// A platform's token may live at most this long.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a token is held against, beside the trust.
#[derive(Debug, Clone, Copy)]
pub struct ExpectWorkload<'a> {
    /// Our issuer: what `aud` must contain where the trust names no other.
    pub audience: &'a str,
    /// The longest life; in general [`MAX_LIFETIME`].
    pub longest: Duration,
    /// When.
    pub moment: Moment,
}

/// A workload that its platform vouches for.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The trust's issuer.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`, if the platform writes one.
    pub jti: Option<String>,
    /// `iat`; a JWT-SVID may have none.
    pub issued_at: Option<Timestamp>,
    /// `exp`. An access token may outlive it.
    pub expires_at: Timestamp,
    /// If it may be used once only, it must be remembered until then.
    pub remember_until: Timestamp,
    /// Every claim, as sent.
    pub raw: Map<String, Value>,
    digest: String,
}

impl Workload {
    /// What a replay store would keep: a digest of issuer and `jti`, or of the token where it has none.
    ///
    /// Platforms write a token to a file and renew it after most of its life, so a workload uses it many times;
    /// only a trust of tokens that are made for one request (GitHub Actions, SPIFFE) can demand a single use.
    pub fn replay_id(&self) -> String {
        match &self.jti {
            Some(jti) => {
                let pair = Value::from(vec![self.issuer.as_str(), jti.as_str()]);
                thumbprint::sha256(pair.to_string().as_bytes())
            }
            None => self.digest.clone(),
        }
    }
}

/// Why a platform's token is refused. For the log and an administrator; the client learns `invalid_grant`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadFault {
    /// It fails what every token of a stranger must pass.
    #[error(transparent)]
    Jwt(#[from] JwtFault),
    /// It lives longer than is allowed.
    #[error("the platform's token lives {seconds} seconds; at most {longest} are allowed")]
    Lifetime {
        /// From `iat` (or now) to `exp`.
        seconds: u64,
        /// What is allowed.
        longest: u64,
    },
    /// Not of the trust domain.
    #[error("the workload `{found}` is not of the trust domain `{expected}`")]
    TrustDomain {
        /// `sub`.
        found: String,
        /// The trust's.
        expected: String,
    },
    /// A rule does not hold.
    #[error("the platform's token does not meet the rule on `{claim}`")]
    Rule {
        /// The claim.
        claim: String,
    },
}

impl WorkloadFault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Jwt(fault) => fault.code(),
            Self::Lifetime { .. } => "workload_lifetime",
            Self::TrustDomain { .. } => "workload_trust_domain",
            Self::Rule { .. } => "workload_rule",
        }
    }

    /// What an administrator can do.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Jwt(JwtFault::Audience { .. }) => {
                "have the workload ask its platform for a token with the audience in the sentence's second half"
            }
            Self::Jwt(fault) => return fault.remedy(),
            Self::Lifetime { .. } => "have the platform issue shorter tokens",
            Self::TrustDomain { .. } => "check the trust's issuer",
            Self::Rule { .. } => "compare the workload's claims with the agent's rules",
        })
    }
}

/// Reads a platform's JWK set. SPIFFE bundles mark keys for JWT-SVIDs as such (JWT-SVID section 6); those count as
/// signature keys, and no others of a bundle.
///
/// # Errors
/// As [`Jwks::parse`].
pub fn key_set(platform: Platform, bytes: &[u8]) -> Result<Jwks, OidcFault> {
    if platform != Platform::Spiffe || bytes.len() > crate::oidc::jwks::MAX_BYTES {
        return Jwks::parse(bytes);
    }
    let mut document = strict::object(bytes).map_err(|why| OidcFault::Document { what: "key set", why })?;
    for key in document.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten() {
        if key.get("use").and_then(Value::as_str) == Some("jwt-svid") {
            key["use"] = "sig".into();
        }
    }
    Jwks::parse(Value::Object(document).to_string().as_bytes())
}

/// Verifies a platform's token. [`JwtFault::UnknownKey`] within the fault is reason to fetch the key set again,
/// once ([`crate::oidc::RefreshPolicy::fetch_again`]).
///
/// # Errors
/// [`WorkloadFault`].
pub fn verify(
    assertion: &str,
    keys: &Jwks,
    trust: &WorkloadTrust,
    expect: &ExpectWorkload<'_>,
) -> Result<Workload, WorkloadFault> {
    // The key decides the algorithm: each kind of key has its own, and an HMAC has none.
    let signed = foreign::open(assertion, keys, &Algorithm::ALL)?;
    check_type(&signed.jwt)?;
    let claims = &signed.jwt.claims;
    let subject = foreign::identifier(claims, "sub")?.ok_or(JwtFault::Claim { name: "sub", why: "is missing" })?;
    check_issuer(claims, subject, trust)?;
    foreign::audience(claims, trust.audience.as_deref().unwrap_or(expect.audience))?;
    let (issued_at, expires_at) = check_times(claims, trust, expect)?;
    if let Some(rule) = trust.rules.iter().find(|rule| !rule.holds(claims)) {
        return Err(WorkloadFault::Rule { claim: shown(&rule.claim) });
    }
    // A trust without rules was never checked; it trusts nobody.
    if trust.rules.is_empty() {
        return Err(WorkloadFault::Rule { claim: "sub".to_owned() });
    }
    Ok(Workload {
        issuer: trust.issuer.clone(),
        subject: subject.to_owned(),
        jti: foreign::identifier(claims, "jti")?.map(str::to_owned),
        issued_at,
        expires_at,
        remember_until: expires_at.plus(expect.moment.leeway),
        digest: thumbprint::sha256(signed.jwt.signing_input.as_bytes()),
        raw: signed.jwt.claims,
    })
}

/// Platforms' tokens have no `typ`, or a general one; ID-JAGs, access tokens and events have their own.
fn check_type(jwt: &Compact<'_>) -> Result<(), JwtFault> {
    const EXPECTED: &str = "a platform's token";
    match jwt.typ.as_deref() {
        Some(typ) if !jwt.has_type("JWT") && !jwt.has_type("JOSE") => {
            Err(JwtFault::Type { found: shown(typ), expected: EXPECTED })
        }
        _ if jwt.claims.contains_key("events") => {
            Err(JwtFault::Type { found: "security event".to_owned(), expected: EXPECTED })
        }
        _ => Ok(()),
    }
}

/// `iss`, to the letter; with SPIFFE the subject's trust domain as well, or instead.
fn check_issuer(claims: &Map<String, Value>, subject: &str, trust: &WorkloadTrust) -> Result<(), WorkloadFault> {
    match trust.trust_domain() {
        None => {
            let iss = foreign::text(claims, "iss")?;
            if iss != trust.issuer {
                return Err(JwtFault::Issuer { found: shown(iss), expected: trust.issuer.clone() }.into());
            }
            Ok(())
        }
        Some(domain) => {
            let rest = subject.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
            match rest {
                Some((theirs, path)) if theirs == domain && !path.is_empty() => Ok(()),
                _ => Err(WorkloadFault::TrustDomain { found: shown(subject), expected: domain.to_owned() }),
            }
        }
    }
}

fn check_times(
    claims: &Map<String, Value>,
    trust: &WorkloadTrust,
    expect: &ExpectWorkload<'_>,
) -> Result<(Option<Timestamp>, Timestamp), WorkloadFault> {
    let issued_at = match trust.platform {
        // JWT-SVID section 3 demands `exp` alone.
        Platform::Spiffe if !claims.contains_key("iat") => {
            foreign::not_before(claims, expect.moment)?;
            None
        }
        _ => Some(foreign::issued_at(claims, expect.moment)?),
    };
    let expires_at = foreign::expires_at(claims, expect.moment)?;
    let lifetime = expires_at.since(issued_at.unwrap_or(expect.moment.now));
    if lifetime > expect.longest {
        return Err(WorkloadFault::Lifetime { seconds: lifetime.as_secs(), longest: expect.longest.as_secs() });
    }
    Ok((issued_at, expires_at))
}
