//! A stranger's proof, checked as RFC 9449 section 4.3 says.

use std::time::Duration;

use sallyport_model::{KeyBinding, Timestamp};
use serde_json::{Map, Value};
use url::Url;

use super::{NonceKey, TYPE, access_token_hash};
use crate::{
    client_assertion::Algorithm,
    error::ErrorCode,
    jws::{Compact, Malformed},
    oidc::{OidcFault, foreign, jwks::Key},
    thumbprint,
};

/// A longer `jti` is refused.
const MAX_JTI: usize = 256;
/// A proof is remembered this much longer than it is good, for the parts of a second that `iat` lacks and for a
/// node whose clock is behind.
const REMEMBER_LONGER: Duration = Duration::from_secs(30);

/// Which proofs must hold a nonce of ours.
#[derive(Debug, Clone, Copy)]
pub enum Nonces<'a> {
    /// None; one that is there is not looked at.
    Ignored,
    /// A nonce that is there must be one of ours; a proof without one passes.
    Offered(&'a NonceKey),
    /// Every proof must hold one of ours.
    Demanded(&'a NonceKey),
}

/// What a proof is held against.
#[derive(Debug, Clone, Copy)]
pub struct ExpectProof<'a> {
    /// The request's method, as sent.
    pub method: &'a str,
    /// The request's address as the client knows it: from the configured public URL, never from `Host`. Query
    /// and fragment do not count.
    pub url: &'a str,
    /// The access token that came with it, if any; `ath` must be its digest.
    pub access_token: Option<&'a str>,
    /// Which nonces.
    pub nonces: Nonces<'a>,
    /// Now.
    pub now: Timestamp,
    /// How far `iat` may lie from now, either way; in general [`super::WINDOW`].
    pub window: Duration,
}

/// A good proof: whoever sent the request holds the key. To be accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The key's thumbprint (RFC 7638).
    pub jkt: String,
    /// Its id, unique per key.
    pub jti: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// The nonce in it.
    pub nonce: Option<String>,
    /// It must be remembered until then.
    pub remember_until: Timestamp,
}

impl Proof {
    /// What the replay store keeps: a digest of key and `jti`, so that nobody uses up another's ids and no
    /// stranger chooses the length of a row.
    pub fn replay_id(&self) -> String {
        thumbprint::sha256(format!("{}.{}", self.jkt, self.jti).as_bytes())
    }

    /// What a token becomes that is bound to the key.
    pub fn binding(&self) -> KeyBinding {
        KeyBinding::Dpop(self.jkt.clone())
    }

    /// Whether this is a proof of the key that something is bound to. Never for a certificate.
    pub fn proves(&self, binding: &KeyBinding) -> bool {
        match binding {
            KeyBinding::Dpop(jkt) => thumbprint::same(jkt, &self.jkt),
            KeyBinding::Certificate(_) => false,
        }
    }
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// Not a JWS that would be looked at.
    #[error("the DPoP proof is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Another type of token.
    #[error("the DPoP proof is not of type dpop+jwt")]
    Type,
    /// `alg` is not one that the metadata lists.
    #[error("the DPoP proof's algorithm is not accepted")]
    Algorithm,
    /// The header holds a private or a shared key: its owner has just published it.
    #[error("the DPoP proof holds a private key")]
    PrivateKey,
    /// `jwk` is no public key of a kind and size that is accepted.
    #[error("the DPoP proof's key is of no kind or size that is accepted")]
    Key,
    /// The signature is not one of the key.
    #[error("the DPoP proof's signature is wrong")]
    Signature,
    /// A required claim is missing or malformed.
    #[error("the DPoP proof's claim `{0}` is missing or malformed")]
    Claim(&'static str),
    /// `htm` is another method.
    #[error("the DPoP proof is for another HTTP method")]
    Method,
    /// `htu` is another address.
    #[error("the DPoP proof is for another address")]
    Url,
    /// `ath` is not the digest of the access token that came with it.
    #[error("the DPoP proof is for another access token")]
    AccessToken,
    /// Made too long ago, or in the future.
    #[error("the DPoP proof was not made now")]
    Time,
    /// A nonce is demanded and missing, or it is not ours, or it is old.
    #[error("the DPoP proof must hold the server's current nonce")]
    Nonce,
}

impl ProofFault {
    /// The stable code for the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(Malformed::TooLarge) => "dpop_too_large",
            Self::Malformed(Malformed::HeaderParameter(_)) => "dpop_header",
            Self::Malformed(_) => "dpop_malformed",
            Self::Type => "dpop_type",
            Self::Algorithm => "dpop_algorithm",
            Self::PrivateKey => "dpop_private_key",
            Self::Key => "dpop_key",
            Self::Signature => "dpop_signature",
            Self::Claim(_) => "dpop_claim",
            Self::Method => "dpop_method",
            Self::Url => "dpop_url",
            Self::AccessToken => "dpop_access_token",
            Self::Time => "dpop_time",
            Self::Nonce => "dpop_nonce",
        }
    }

    /// What the client is told (sections 5, 8 and 9): try again with the nonce, or that the proof is no good.
    pub fn outside(&self) -> ErrorCode {
        match self {
            Self::Nonce => ErrorCode::UseDpopNonce,
            _ => ErrorCode::InvalidDpopProof,
        }
    }
}

/// Verifies the one proof of a request.
///
/// # Errors
/// [`ProofFault`].
pub fn verify(proof: &str, expect: &ExpectProof<'_>) -> Result<Proof, ProofFault> {
    let (compact, jwk) = Compact::parse_with_key(proof)?;
    if !compact.has_type(TYPE) {
        return Err(ProofFault::Type);
    }
    // Before the key is looked at: the algorithm decides what kind it must be of.
    let algorithm = Algorithm::named(&compact.alg).ok_or(ProofFault::Algorithm)?;
    let key = public_key(&jwk)?;
    if !key.verifies(algorithm, compact.signing_input.as_bytes(), &compact.signature) {
        return Err(ProofFault::Signature);
    }
    let jkt = key.thumbprint().ok_or(ProofFault::Key)?;
    let claims = &compact.claims;
    let jti = identifier(claims, "jti")?;
    if text(claims, "htm")? != expect.method {
        return Err(ProofFault::Method);
    }
    if !same_address(text(claims, "htu")?, expect.url) {
        return Err(ProofFault::Url);
    }
    check_access_token(claims, expect.access_token)?;
    let issued_at = check_time(claims, expect)?;
    let nonce = check_nonce(claims, expect)?;
    let remember_until = issued_at.plus(expect.window).plus(REMEMBER_LONGER);
    Ok(Proof { jkt, jti, issued_at, nonce, remember_until })
}

fn public_key(jwk: &Map<String, Value>) -> Result<Key, ProofFault> {
    match Key::read(jwk) {
        Ok(Some(key)) => Ok(key),
        Err(OidcFault::PublishedSecret { .. }) => Err(ProofFault::PrivateKey),
        Ok(None) | Err(_) => Err(ProofFault::Key),
    }
}

fn check_access_token(claims: &Map<String, Value>, access_token: Option<&str>) -> Result<(), ProofFault> {
    let Some(access_token) = access_token else { return Ok(()) };
    match thumbprint::same(text(claims, "ath")?, &access_token_hash(access_token)) {
        true => Ok(()),
        false => Err(ProofFault::AccessToken),
    }
}

fn check_time(claims: &Map<String, Value>, expect: &ExpectProof<'_>) -> Result<Timestamp, ProofFault> {
    let iat = foreign::seconds(claims, "iat").ok().flatten().ok_or(ProofFault::Claim("iat"))?;
    // `iat` has whole seconds, our clock has more.
    let earliest = Timestamp::from_secs(expect.now.minus(expect.window).as_secs());
    match (earliest..=expect.now.plus(expect.window)).contains(&iat) {
        true => Ok(iat),
        false => Err(ProofFault::Time),
    }
}

fn check_nonce(claims: &Map<String, Value>, expect: &ExpectProof<'_>) -> Result<Option<String>, ProofFault> {
    let nonce = match claims.get("nonce") {
        None => None,
        Some(_) => Some(identifier(claims, "nonce")?),
    };
    let good = match (expect.nonces, &nonce) {
        (Nonces::Ignored, _) | (Nonces::Offered(_), None) => true,
        (Nonces::Demanded(_), None) => false,
        (Nonces::Offered(key) | Nonces::Demanded(key), Some(nonce)) => key.accepts(nonce, expect.now),
    };
    if good { Ok(nonce) } else { Err(ProofFault::Nonce) }
}

fn text<'c>(claims: &'c Map<String, Value>, name: &'static str) -> Result<&'c str, ProofFault> {
    claims.get(name).and_then(Value::as_str).ok_or(ProofFault::Claim(name))
}

fn identifier(claims: &Map<String, Value>, name: &'static str) -> Result<String, ProofFault> {
    let value = text(claims, name)?;
    let fine = !value.is_empty() && value.chars().count() <= MAX_JTI && !value.chars().any(char::is_control);
    if fine { Ok(value.to_owned()) } else { Err(ProofFault::Claim(name)) }
}

/// Section 4.3, item 9: scheme, host, port and path, normalised by RFC 3986 sections 6.2.2 and 6.2.3; query and
/// fragment are ignored. What is no plain http or https URL is nobody's address.
fn same_address(claimed: &str, ours: &str) -> bool {
    matches!((normal(claimed), normal(ours)), (Some(claimed), Some(ours)) if claimed == ours)
}

fn normal(address: &str) -> Option<String> {
    // The URL parser repairs white space and backslashes; a repaired address is another one.
    if address.len() > 4096 || !address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return None;
    }
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    // It also reads `https:host` and `https:///host`.
    let rest = address.get(url.scheme().len()..)?.strip_prefix("://")?;
    if rest.starts_with('/') || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    Some(format!("{}{}", url.origin().ascii_serialization(), plain_path(url.path())))
}

/// `%7E` is `~`, and `%2f` is `%2F` but not `/` (RFC 3986 sections 6.2.2.1 and 6.2.2.2).
fn plain_path(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let hex = after.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => plain.push(char::from(byte)),
            Some(byte) => plain.push_str(&format!("%{byte:02X}")),
            None => plain.push('%'),
        }
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    plain + rest
}
