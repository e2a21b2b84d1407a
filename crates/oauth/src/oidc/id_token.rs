//! What an ID token must say (OpenID Connect Core sections 3.1.3.7 and 12.2).
//!
//! Never takes another kind of token for one, whatever its signature; never reads a person from a token
//! that fails one check.

use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::{
    Algorithm, Claims, IssuerRule, Jwks, JwtFault, Moment, OidcFault, Preset, PresetId,
    foreign::{self, shown},
};
use crate::jws;

/// What a tenant demands of a sign-in beyond its being one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// The person was asked for proof at most this long ago.
    pub max_age: Option<Duration>,
    /// `acr`, or at Entra one of `acrs`, is one of these; empty demands none.
    pub acr: Vec<String>,
    /// Several factors, as the preset reads them.
    pub mfa: bool,
    /// Values of `acr` or `acrs` that at this provider stand for several factors, beside those of the preset.
    pub mfa_acr: Vec<String>,
    /// Google: `hd` is one of these; Google demands at least one.
    pub hosted_domains: Vec<String>,
}

/// What an ID token is held against.
#[derive(Debug, Clone, Copy)]
pub struct ExpectIdToken<'a> {
    /// Who may issue.
    pub issuer: &'a IssuerRule,
    /// We.
    pub client_id: &'a str,
    /// Signatures that the connection allows; in general the metadata's `id_token_algorithms`.
    pub algorithms: &'a [Algorithm],
    /// Of the authorization request. `None` only for a token that came with a refresh (section 12.2).
    pub nonce: Option<&'a str>,
    /// With a refresh: the person of the first token, who must be the same.
    pub subject: Option<&'a str>,
    /// The access token that came with it, for `at_hash`.
    pub access_token: Option<&'a str>,
    /// The code, for `c_hash`.
    pub code: Option<&'a str>,
    /// What the tenant demands.
    pub demands: &'a Demands,
    /// What is known of the provider.
    pub preset: &'a Preset,
    /// When.
    pub moment: Moment,
}

/// Verifies an ID token.
///
/// # Errors
/// [`OidcFault`]; [`JwtFault::UnknownKey`] within it is reason to fetch the key set again, once
/// ([`super::RefreshPolicy::fetch_again`]).
pub fn verify(token: &str, keys: &Jwks, expect: &ExpectIdToken<'_>) -> Result<Claims, OidcFault> {
    let signed = foreign::open(token, keys, expect.algorithms)?;
    check_type(&signed.jwt, expect.preset)?;
    let issuer = foreign::issuer(&signed, expect.issuer)?.to_owned();
    let raw = &signed.jwt.claims;
    let audience = foreign::audience(raw, expect.client_id)?;
    check_authorized_party(raw, &audience, expect.client_id)?;
    let issued_at = foreign::issued_at(raw, expect.moment)?;
    let expires_at = foreign::expires_at(raw, expect.moment)?;
    check_nonce(raw, expect.nonce)?;
    check_hash(raw, "at_hash", expect.access_token, signed.algorithm)?;
    check_hash(raw, "c_hash", expect.code, signed.algorithm)?;
    let claims = Claims::read(signed.jwt.claims, issuer, audience, issued_at, expires_at)?;
    if expect.subject.is_some_and(|subject| subject != claims.subject) {
        return Err(OidcFault::OtherSubject);
    }
    meets(&claims, expect.preset, expect.demands, expect.moment)?;
    Ok(claims)
}

/// Whether what a provider claims of somebody is of the tenant's directory and meets its demands. Claims of an ID token
/// were asked already; this is for those of another assertion of the same provider, such as an ID-JAG.
///
/// # Errors
/// [`OidcFault`]: the demand that is not met.
pub fn meets(claims: &Claims, preset: &Preset, demands: &Demands, moment: Moment) -> Result<(), OidcFault> {
    check_directory(claims, preset, demands)?;
    check_demands(claims, preset, demands, moment)
}

/// An ID token has no `typ`, or `JWT`. Log-out tokens and security events are known by `events` as well,
/// Keycloak's other tokens by a claim of theirs.
fn check_type(jwt: &jws::Compact<'_>, preset: &Preset) -> Result<(), JwtFault> {
    const EXPECTED: &str = "an ID token";
    if let Some(typ) = jwt.typ.as_deref().filter(|_| !jwt.has_type("JWT")) {
        return Err(JwtFault::Type { found: shown(typ), expected: EXPECTED });
    }
    if jwt.claims.contains_key("events") {
        return Err(JwtFault::Type { found: "security event".to_owned(), expected: EXPECTED });
    }
    match jwt.claims.get("typ").and_then(Value::as_str) {
        Some(typ) if preset.id == PresetId::Keycloak && typ != "ID" => {
            Err(JwtFault::Type { found: shown(typ), expected: EXPECTED })
        }
        _ => Ok(()),
    }
}

/// With several audiences there must be an `azp`; wherever there is one, it is we.
fn check_authorized_party(raw: &Map<String, Value>, audience: &[String], us: &str) -> Result<(), OidcFault> {
    match foreign::optional_text(raw, "azp")? {
        Some(azp) if azp == us => Ok(()),
        None if audience.len() == 1 => Ok(()),
        found => Err(OidcFault::AuthorizedParty {
            found: found.map_or_else(|| "nobody".to_owned(), shown),
            expected: us.to_owned(),
        }),
    }
}

fn check_nonce(raw: &Map<String, Value>, expected: Option<&str>) -> Result<(), OidcFault> {
    let Some(expected) = expected else { return Ok(()) };
    match foreign::optional_text(raw, "nonce")? {
        Some(nonce) if bool::from(nonce.as_bytes().ct_eq(expected.as_bytes())) => Ok(()),
        _ => Err(OidcFault::Nonce),
    }
}

/// The left half of the digest that belongs to the signature's algorithm (section 3.1.3.6). Ed25519 hashes
/// with SHA-512.
fn check_hash(
    raw: &Map<String, Value>,
    name: &'static str,
    value: Option<&str>,
    algorithm: Algorithm,
) -> Result<(), OidcFault> {
    let (Some(found), Some(value)) = (foreign::optional_text(raw, name)?, value) else { return Ok(()) };
    let digest = match algorithm {
        Algorithm::Es256 | Algorithm::Rs256 | Algorithm::Ps256 => &digest::SHA256,
        Algorithm::Es384 => &digest::SHA384,
        Algorithm::EdDsa => &digest::SHA512,
    };
    let digest = digest::digest(digest, value.as_bytes());
    let half = jws::encode(&digest.as_ref()[..digest.as_ref().len() / 2]);
    match found.as_bytes().ct_eq(half.as_bytes()).into() {
        true => Ok(()),
        false => Err(OidcFault::TokenHash { claim: name }),
    }
}

/// Entra's directory and Google's domain: an issuer that many customers share says of whom a person is by
/// a claim.
fn check_directory(claims: &Claims, preset: &Preset, demands: &Demands) -> Result<(), OidcFault> {
    match preset.id {
        // The issuer holds the directory's id; `tid` and `oid` must be there and agree.
        PresetId::Entra => {
            for name in ["tid", "oid"] {
                if foreign::identifier(&claims.raw, name)?.is_none() {
                    return Err(JwtFault::Claim { name, why: "is missing" }.into());
                }
            }
            let within = claims.text("tid").is_some_and(|tid| claims.issuer.split('/').any(|part| part == tid));
            if within { Ok(()) } else { Err(OidcFault::Directory { found: shown(claims.text("tid").unwrap_or("")) }) }
        }
        PresetId::Google => {
            let domain = claims.text("hd");
            let wanted = &demands.hosted_domains;
            if domain.is_some_and(|domain| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(domain))) {
                return Ok(());
            }
            let found = domain.map_or_else(|| "no Workspace".to_owned(), shown);
            Err(OidcFault::HostedDomain { found, expected: shown(&wanted.join(", ")) })
        }
        _ => Ok(()),
    }
}

fn check_demands(claims: &Claims, preset: &Preset, demands: &Demands, moment: Moment) -> Result<(), OidcFault> {
    let Demands { max_age, acr, mfa, mfa_acr, hosted_domains: _ } = demands;
    if let Some(max_age) = max_age {
        let Moment { now, leeway } = moment;
        let at = claims.auth_time.ok_or(OidcFault::AuthTimeMissing)?;
        if at > now.plus(leeway) {
            return Err(JwtFault::FromFuture { claim: "auth_time", at, now }.into());
        }
        if at.plus(*max_age).plus(leeway) < now {
            return Err(OidcFault::Stale { at, now, max_age: max_age.as_secs() });
        }
    }
    let met = |wanted: &String| claims.acr.as_ref() == Some(wanted) || claims.acrs.contains(wanted);
    if !acr.is_empty() && !acr.iter().any(met) {
        let found = claims.acr.as_deref().map_or_else(|| "none".to_owned(), shown);
        return Err(OidcFault::Acr { found, demanded: shown(&acr.join(", ")) });
    }
    // A demanded `acr` that was met does not by itself stand for several factors.
    if *mfa && !preset.shows_mfa(claims) && !mfa_acr.iter().any(met) {
        return Err(OidcFault::Mfa { amr: shown(&claims.amr.join(", ")), remedy: preset.mfa.remedy });
    }
    Ok(())
}
