//! `private_key_jwt` client authentication (RFC 7523 section 3, OpenID Connect Core section 9).
//!
//! Keys come from the client's registration, never from the assertion. Whether an assertion was seen
//! before is state, and the caller's business: it gets the `jti` and the end.

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::{ClientId, Timestamp};
use serde_json::{Map, Value};

use crate::jws::{Compact, Malformed};

/// An assertion may end at most this far ahead.
pub const MAX_LIFETIME: Duration = Duration::from_secs(300);

/// The `client_assertion_type` of a JWT (RFC 7523 section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What an assertion must say.
#[derive(Debug, Clone, Copy)]
pub struct ExpectAssertion<'a> {
    /// Who it is said to be.
    pub client: &'a ClientId,
    /// Our issuer and our token endpoint; one of them, to the letter.
    pub audiences: &'a [&'a str],
    /// Now.
    pub now: Timestamp,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// A good assertion; to be accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Its id, unique per client.
    pub jti: String,
    /// It must be remembered until then.
    pub expires_at: Timestamp,
}

/// Why an assertion is refused. For the audit log; outside it is `invalid_client`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionFault {
    /// Not a JWS that would be looked at.
    #[error("the client assertion is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Another type of token.
    #[error("the client assertion has the type of another token")]
    Type,
    /// `alg` is not one of those that the metadata lists.
    #[error("the client assertion's algorithm is not accepted")]
    Algorithm,
    /// No registered key verifies it.
    #[error("no registered key of the client verifies the assertion")]
    Signature,
    /// A required claim is missing, malformed or wrong.
    #[error("the client assertion's claim `{0}` is missing or wrong")]
    Claim(&'static str),
    /// Ended, or ending too late.
    #[error("the client assertion has ended or lives longer than five minutes")]
    Lifetime,
}

/// Verifies an assertion against the client's registered JWK set.
///
/// # Errors
/// [`AssertionFault`].
pub fn verify(assertion: &str, jwks: &Value, expect: &ExpectAssertion<'_>) -> Result<Assertion, AssertionFault> {
    let compact = Compact::parse(assertion)?;
    if compact.typ.is_some() && !compact.has_type("JWT") && !compact.has_type("client-authentication+jwt") {
        return Err(AssertionFault::Type);
    }
    let algorithm = Algorithm::named(&compact.alg).ok_or(AssertionFault::Algorithm)?;
    let keys = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let verified = keys.iter().take(16).filter_map(Value::as_object).any(|key| {
        let named = compact.kid.is_none() || key.get("kid").and_then(Value::as_str) == compact.kid.as_deref();
        named && algorithm.verifies(key, compact.signing_input.as_bytes(), &compact.signature)
    });
    if !verified {
        return Err(AssertionFault::Signature);
    }
    check_claims(&compact.claims, expect)
}

fn check_claims(claims: &Map<String, Value>, expect: &ExpectAssertion<'_>) -> Result<Assertion, AssertionFault> {
    for name in ["iss", "sub"] {
        if claims.get(name).and_then(Value::as_str) != Some(expect.client.as_str()) {
            return Err(AssertionFault::Claim(name));
        }
    }
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => one,
        Some(Value::Array(all)) => match all.as_slice() {
            [Value::String(one)] => one,
            _ => return Err(AssertionFault::Claim("aud")),
        },
        _ => return Err(AssertionFault::Claim("aud")),
    };
    if !expect.audiences.contains(&audience.as_str()) {
        return Err(AssertionFault::Claim("aud"));
    }
    let expires_at = seconds(claims, "exp")?.ok_or(AssertionFault::Claim("exp"))?;
    let latest = expect.now.plus(expect.leeway);
    if expires_at.plus(expect.leeway) <= expect.now || expires_at > latest.plus(MAX_LIFETIME) {
        return Err(AssertionFault::Lifetime);
    }
    for name in ["iat", "nbf"] {
        if seconds(claims, name)?.is_some_and(|time| time > latest) {
            return Err(AssertionFault::Claim(name));
        }
    }
    match claims.get("jti").and_then(Value::as_str) {
        Some(jti) if !jti.is_empty() && jti.len() <= 256 => {
            Ok(Assertion { jti: jti.to_owned(), expires_at: expires_at.plus(expect.leeway) })
        }
        _ => Err(AssertionFault::Claim("jti")),
    }
}

/// Whole seconds; some libraries write a fraction, which is dropped.
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, AssertionFault> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_u64().map(|secs| secs as f64).or_else(|| value.as_f64()) {
            Some(secs) if (0.0..1e12).contains(&secs) => Ok(Some(Timestamp::from_secs(secs as u64))),
            _ => Err(AssertionFault::Claim(name)),
        },
    }
}

/// The algorithm decides what kind of key may verify, so that no key is read as one of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm that a stranger's signature is verified with; the first is preferred.
    pub const ALL: [Self; 5] = [Self::Es256, Self::Ps256, Self::Rs256, Self::EdDsa, Self::Es384];

    /// As in `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm with this `alg`; none for `none`, for every HMAC and for what is unknown.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// Whether `signature` over `message` is one of the public JWK `key` by this algorithm.
    pub(crate) fn verifies(self, key: &Map<String, Value>, message: &[u8], signature: &[u8]) -> bool {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|usage| usage != "sig") || key.contains_key("d") || key.contains_key("k") {
            return false;
        }
        // A key that says what it is for is for nothing else (RFC 7517 sections 4.3 and 4.4).
        let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
        if key.get("key_ops").is_some_and(|ops| !verifies(ops)) {
            return false;
        }
        if key.contains_key("alg") && text("alg").and_then(Self::named) != Some(self) {
            return false;
        }
        match self {
            Self::Es256 => text("crv") == Some("P-256") && ec(&ECDSA_P256_SHA256_FIXED, key, 32, message, signature),
            Self::Es384 => text("crv") == Some("P-384") && ec(&ECDSA_P384_SHA384_FIXED, key, 48, message, signature),
            Self::Rs256 | Self::Ps256 => self.rsa(key, message, signature),
            Self::EdDsa => {
                text("kty") == Some("OKP")
                    && text("crv") == Some("Ed25519")
                    && bytes(key, "x").is_some_and(|x| {
                        x.len() == 32 && UnparsedPublicKey::new(&ED25519, x).verify(message, signature).is_ok()
                    })
            }
        }
    }

    fn rsa(self, key: &Map<String, Value>, message: &[u8], signature: &[u8]) -> bool {
        if key.get("kty").and_then(Value::as_str) != Some("RSA") {
            return false;
        }
        let (Some(n), Some(e)) = (bytes(key, "n"), bytes(key, "e")) else { return false };
        let components = RsaPublicKeyComponents { n, e };
        let parameters =
            if matches!(self, Self::Rs256) { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PSS_2048_8192_SHA256 };
        components.verify(parameters, message, signature).is_ok()
    }
}

fn ec(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &Map<String, Value>,
    size: usize,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let (Some(x), Some(y)) = (bytes(key, "x"), bytes(key, "y")) else { return false };
    if key.get("kty").and_then(Value::as_str) != Some("EC") || x.len() != size || y.len() != size {
        return false;
    }
    let point = [&[4][..], &x, &y].concat();
    UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
}

fn bytes(key: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use sallyport_model::SigningKeyId;
    use serde_json::json;

    use super::*;
    use crate::{jws, keys::SigningKey};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn key(id: &str) -> SigningKey {
        SigningKey::from_pkcs8(SigningKeyId::new(id).unwrap(), &SigningKey::generate().unwrap()).unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "c", "sub": "c", "aud": "https://g", "jti": "1", "exp": NOW.as_secs() + 60, "iat": NOW.as_secs()})
    }

    fn check(token: &str, key: &SigningKey) -> Result<Assertion, AssertionFault> {
        let jwks = json!({"keys": [key.verifying_key().unwrap().to_jwk(key.id())]});
        let client = ClientId::new("c").unwrap();
        let audiences = ["https://g", "https://g/oauth/token"];
        let expect =
            ExpectAssertion { client: &client, audiences: &audiences, now: NOW, leeway: Duration::from_secs(30) };
        verify(token, &jwks, &expect)
    }

    #[test]
    fn a_good_assertion_is_accepted() {
        let key = key("k");
        for typ in ["JWT", "client-authentication+jwt"] {
            let assertion = check(&key.sign(typ, &claims()).unwrap(), &key).unwrap();
            assert_eq!(assertion.jti, "1");
            assert!(assertion.expires_at > NOW);
        }
    }

    #[test]
    fn every_wrong_claim_is_refused() {
        let key = key("k");
        for (name, value) in [
            ("iss", json!("d")),
            ("sub", json!("d")),
            ("aud", json!("https://evil")),
            ("aud", json!(["https://g", "https://evil"])),
            ("aud", json!(null)),
            ("jti", json!("")),
            ("jti", json!(null)),
            ("exp", json!(null)),
            ("exp", json!("1")),
            ("exp", json!(NOW.as_secs() - 31)),
            ("exp", json!(NOW.as_secs() + 400)),
            ("iat", json!(NOW.as_secs() + 31)),
            ("nbf", json!(NOW.as_secs() + 31)),
        ] {
            let mut wrong = claims();
            wrong[name] = value.clone();
            assert!(check(&key.sign("JWT", &wrong).unwrap(), &key).is_err(), "{name}: {value}");
        }
        assert_eq!(check(&key.sign_any("at+jwt", &claims()).unwrap(), &key), Err(AssertionFault::Type));
    }

    #[test]
    fn only_a_registered_key_of_the_right_kind_verifies() {
        let (ours, theirs) = (key("k"), key("k"));
        assert_eq!(check(&theirs.sign("JWT", &claims()).unwrap(), &ours), Err(AssertionFault::Signature));
        let body = jws::encode(claims().to_string().as_bytes());
        for alg in ["none", "HS256", "RS256", "EdDSA", "ES384"] {
            let header = jws::encode(json!({"alg": alg}).to_string().as_bytes());
            assert!(check(&format!("{header}.{body}."), &ours).is_err(), "{alg}");
            assert!(check(&format!("{header}.{body}.{}", jws::encode(&[1; 64])), &ours).is_err(), "{alg}");
        }
    }
}
