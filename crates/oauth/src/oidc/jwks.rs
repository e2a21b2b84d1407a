//! A stranger's JWK set (RFC 7517): what may be a key, and when to fetch the set again.
//!
//! A set that holds a private or a shared key is refused as a whole: its owner has published what he
//! should not have. Unknown kinds of key are skipped, as RFC 7517 section 5 asks.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::Timestamp;
use serde_json::{Map, Value};

use super::{Algorithm, OidcFault, foreign::shown};
use crate::strict;

/// Larger documents are refused unread.
pub const MAX_BYTES: usize = 512 * 1024;
/// Sets with more keys are refused.
pub const MAX_KEYS: usize = 64;
/// A key with a longer `kid` is refused.
const MAX_KEY_ID: usize = 512;
/// The shortest RSA modulus, bits.
const MIN_RSA_BITS: usize = 2048;

/// A set of public keys that signatures are verified with.
#[derive(Debug, Clone)]
pub struct Jwks {
    keys: Vec<Key>,
    skipped: usize,
}

/// One public key, of a kind that we verify with.
#[derive(Debug, Clone)]
pub struct Key {
    kid: Option<String>,
    kind: Kind,
    alg: Option<Algorithm>,
    issuer: Option<String>,
    jwk: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    fn suits(self, algorithm: Algorithm) -> bool {
        matches!(
            (self, algorithm),
            (Self::Rsa, Algorithm::Rs256 | Algorithm::Ps256)
                | (Self::P256, Algorithm::Es256)
                | (Self::P384, Algorithm::Es384)
                | (Self::Ed25519, Algorithm::EdDsa)
        )
    }
}

impl Jwks {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// [`OidcFault::Document`], [`OidcFault::DocumentTooLarge`], [`OidcFault::TooManyKeys`],
    /// [`OidcFault::PublishedSecret`], [`OidcFault::WeakKey`], [`OidcFault::NoKeys`] when not one key can
    /// verify a signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, OidcFault> {
        const WHAT: &str = "key set";
        if bytes.len() > MAX_BYTES {
            return Err(OidcFault::DocumentTooLarge { what: WHAT });
        }
        let document = strict::object(bytes).map_err(|why| OidcFault::Document { what: WHAT, why })?;
        let Some(Value::Array(found)) = document.get("keys") else { return Err(OidcFault::NoKeys { skipped: 0 }) };
        if found.len() > MAX_KEYS {
            return Err(OidcFault::TooManyKeys { found: found.len() });
        }
        let mut keys = Vec::new();
        let mut weak = None;
        for key in found.iter().filter_map(Value::as_object) {
            match Key::read(key) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                // One old key must not lock everybody out, as long as a good one is there.
                Err(fault @ OidcFault::WeakKey { .. }) => weak = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        let skipped = found.len() - keys.len();
        match (keys.is_empty(), weak) {
            (true, Some(weak)) => Err(weak),
            (true, None) => Err(OidcFault::NoKeys { skipped }),
            _ => Ok(Self { keys, skipped }),
        }
    }

    /// The usable keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// How many members were no keys that verify a signature.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Whether there is a key with this `kid`.
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys that may have made a signature by `algorithm`, of this `kid` if one is named.
    pub(crate) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            key.kind.suits(algorithm)
                && key.alg.is_none_or(|alg| alg == algorithm)
                && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        })
    }
}

impl Key {
    /// `kid`.
    pub fn id(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Microsoft's `issuer` member: the only issuer that the key signs for.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.kind.suits(algorithm)
            && self.alg.is_none_or(|alg| alg == algorithm)
            && algorithm.verifies(&self.jwk, message, signature)
    }

    /// The key's thumbprint (RFC 7638).
    pub fn thumbprint(&self) -> Option<String> {
        crate::thumbprint::of_jwk(&self.jwk)
    }

    /// A public key; `None` for what is none that verifies a signature here.
    pub(crate) fn read(jwk: &Map<String, Value>) -> Result<Option<Self>, OidcFault> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let kid = text("kid").map(str::to_owned);
        // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1.
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|part| jwk.contains_key(*part)) {
            return Err(OidcFault::PublishedSecret { kid: shown(kid.as_deref().unwrap_or_default()) });
        }
        if kid.as_deref().is_some_and(|kid| kid.len() > MAX_KEY_ID) || text("use").is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
        if jwk.get("key_ops").is_some_and(|ops| !verifies(ops)) {
            return Ok(None);
        }
        let kind = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => Kind::Rsa,
            (Some("EC"), Some("P-256")) => Kind::P256,
            (Some("EC"), Some("P-384")) => Kind::P384,
            (Some("OKP"), Some("Ed25519")) => Kind::Ed25519,
            _ => return Ok(None),
        };
        let alg = match jwk.get("alg") {
            None => None,
            Some(alg) => match alg.as_str().and_then(Algorithm::named).filter(|alg| kind.suits(*alg)) {
                Some(alg) => Some(alg),
                None => return Ok(None),
            },
        };
        if !material(jwk, kind)? {
            return Ok(None);
        }
        let issuer = text("issuer").map(str::to_owned);
        // Certificates and the rest are not kept: nothing reads them.
        let kept = ["kty", "crv", "x", "y", "n", "e"];
        let jwk = jwk.iter().filter(|(name, _)| kept.contains(&name.as_str()));
        let jwk = jwk.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Some(Self { kid, kind, alg, issuer, jwk }))
    }
}

/// Whether the members that make up the key are there and of its size.
fn material(jwk: &Map<String, Value>, kind: Kind) -> Result<bool, OidcFault> {
    let bytes = |name: &str| jwk.get(name).and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let sized = |name: &str, size: usize| bytes(name).is_some_and(|bytes| bytes.len() == size);
    Ok(match kind {
        Kind::P256 => sized("x", 32) && sized("y", 32),
        Kind::P384 => sized("x", 48) && sized("y", 48),
        Kind::Ed25519 => sized("x", 32),
        Kind::Rsa => {
            let (Some(n), Some(e)) = (bytes("n"), bytes("e")) else { return Ok(false) };
            let bits = bits(&n);
            if bits < MIN_RSA_BITS {
                let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
                return Err(OidcFault::WeakKey { kid: shown(kid), bits });
            }
            bits <= 8192 && !e.is_empty() && e.len() <= 8
        }
    })
}

fn bits(number: &[u8]) -> usize {
    match number.iter().position(|byte| *byte != 0) {
        Some(first) => (number.len() - first) * 8 - number[first].leading_zeros() as usize,
        None => 0,
    }
}

/// When a key set is fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// An older set is fetched again before it is used.
    pub longest_kept: Duration,
    /// An unknown `kid` makes us fetch, but not more often than this: a stranger can make up any `kid`.
    pub at_most_every: Duration,
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self { longest_kept: Duration::from_secs(3600), at_most_every: Duration::from_secs(30) }
    }
}

impl RefreshPolicy {
    /// Whether a set that was asked for at `fetched_at` is too old to be used at `now`.
    pub fn is_stale(&self, fetched_at: Timestamp, now: Timestamp) -> bool {
        now.since(fetched_at) >= self.longest_kept
    }

    /// Whether a token that was refused with `fault` is reason to fetch the set again at `now`, when the
    /// last attempt, good or bad, was at `attempted_at`. The token is verified once more afterwards, and
    /// that result stands.
    pub fn fetch_again(&self, fault: &super::JwtFault, attempted_at: Timestamp, now: Timestamp) -> bool {
        // A provider that names no keys, or reuses a name, shows a change as a wrong signature only.
        let maybe_new = matches!(fault, super::JwtFault::UnknownKey { .. } | super::JwtFault::Signature);
        maybe_new && now.since(attempted_at) >= self.at_most_every
    }
}
