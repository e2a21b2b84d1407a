//! Keys that sign our tokens (ES256, RFC 7518 section 3.4) and their public halves (RFC 7517).
//!
//! Never prints a private key; never takes a key from a token.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
    },
};
use sallyport_model::SigningKeyId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::jws;

/// The only algorithm that our tokens are signed with.
pub const ALGORITHM: &str = "ES256";

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not a P-256 key in PKCS #8.
    #[error("the signing key is no P-256 key in PKCS #8 DER")]
    NotP256,
    /// The cryptographic library refused to generate or to sign.
    #[error("the cryptographic library failed")]
    Library,
}

/// A private key that signs tokens.
pub struct SigningKey {
    id: SigningKeyId,
    pair: EcdsaKeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Generates a private key; PKCS #8, DER. The randomness is the cryptographic library's own: no
    /// seed of a test ever makes a signing key.
    ///
    /// # Errors
    /// [`KeyFault::Library`].
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|document| Zeroizing::new(document.as_ref().to_vec()))
            .map_err(|_| KeyFault::Library)
    }

    /// Reads a private key; `pkcs8` is DER.
    ///
    /// # Errors
    /// [`KeyFault::NotP256`].
    pub fn from_pkcs8(id: SigningKeyId, pkcs8: &[u8]) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyFault::NotP256)?;
        Ok(Self { id, pair })
    }

    /// The `kid`.
    pub fn id(&self) -> &SigningKeyId {
        &self.id
    }

    /// The public half.
    ///
    /// # Errors
    /// [`KeyFault::Library`].
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyFault> {
        VerifyingKey::from_point(self.pair.public_key().as_ref())
    }

    /// A compact JWS of `claims` with `typ`. Whoever signs something of its own gives it a type of its own, so that
    /// it is taken for nothing else; an access token is signed by [`crate::token::issue`] and nowhere else.
    ///
    /// # Errors
    /// [`KeyFault::Library`], also for the type of an access token.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyFault> {
        let bare = typ.rsplit_once('/').map_or(typ, |(_, bare)| bare);
        if bare.eq_ignore_ascii_case(crate::token::TYPE) {
            return Err(KeyFault::Library);
        }
        self.sign_any(typ, claims)
    }

    /// A compact JWS of `claims` with `typ`, whatever that is.
    pub(crate) fn sign_any(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyFault> {
        self.sign_with(&serde_json::json!({ "alg": ALGORITHM, "typ": typ, "kid": self.id }), claims)
    }

    /// A compact JWS of `claims` with a header of the caller's, whose `alg` must be [`ALGORITHM`].
    pub(crate) fn sign_with(&self, header: &serde_json::Value, claims: &impl Serialize) -> Result<String, KeyFault> {
        let claims = serde_json::to_vec(claims).map_err(|_| KeyFault::Library)?;
        let mut token = format!("{}.{}", jws::encode(header.to_string().as_bytes()), jws::encode(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| KeyFault::Library)?;
        token.push('.');
        token.push_str(&jws::encode(signature.as_ref()));
        Ok(token)
    }

    #[cfg(test)]
    pub(crate) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// A public key that our tokens are verified with.
#[derive(Clone)]
pub struct VerifyingKey {
    point: [u8; 65],
    parsed: Arc<ParsedPublicKey>,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(ES256)")
    }
}

impl VerifyingKey {
    /// From an uncompressed SEC 1 point (65 bytes).
    ///
    /// # Errors
    /// [`KeyFault::NotP256`].
    pub fn from_point(point: &[u8]) -> Result<Self, KeyFault> {
        let point: [u8; 65] = point.try_into().map_err(|_| KeyFault::NotP256)?;
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyFault::NotP256)?;
        Ok(Self { point, parsed: Arc::new(parsed) })
    }

    /// Whether `signature` (64 bytes, R then S) is one of this key over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == 64 && self.parsed.verify_sig(message, signature).is_ok()
    }

    /// As published in the JWK set.
    pub fn to_jwk(&self, id: &SigningKeyId) -> Jwk {
        Jwk {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: jws::encode(&self.point[1..33]),
            y: jws::encode(&self.point[33..]),
            kid: id.clone(),
            alg: ALGORITHM.into(),
            usage: "sig".into(),
        }
    }
}

/// Finds the key that a token names. Only keys of our own ring; unknown ids have none.
pub trait KeySource: Send + Sync {
    /// The key with this `kid`, if it is published now.
    fn verifying_key(&self, kid: &SigningKeyId) -> Option<VerifyingKey>;
}

/// A public signing key as a JSON Web Key (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `EC`.
    pub kty: String,
    /// `P-256`.
    pub crv: String,
    /// Base64url of the x coordinate.
    pub x: String,
    /// Base64url of the y coordinate.
    pub y: String,
    /// The key's id.
    pub kid: SigningKeyId,
    /// `ES256`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
}

/// The document at `jwks_uri`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_what_its_public_half_verifies_and_nothing_else() {
        let id = SigningKeyId::new("k1").unwrap();
        let key = SigningKey::from_pkcs8(id.clone(), &SigningKey::generate().unwrap()).unwrap();
        let token = key.sign("JWT", &serde_json::json!({"a": 1})).unwrap();
        let compact = jws::Compact::parse(&token).unwrap();
        let public = key.verifying_key().unwrap();
        assert!(public.verifies(compact.signing_input.as_bytes(), &compact.signature));
        assert!(!public.verifies(b"other", &compact.signature));
        assert!(!public.verifies(compact.signing_input.as_bytes(), &[0; 64]), "all-zero signature");
        assert!(!public.verifies(compact.signing_input.as_bytes(), &[]));
        assert!(!format!("{key:?}").contains("pair"));
    }

    #[test]
    fn nobody_else_signs_an_access_token() {
        let id = SigningKeyId::new("k1").unwrap();
        let key = SigningKey::from_pkcs8(id, &SigningKey::generate().unwrap()).unwrap();
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
            assert_eq!(key.sign(typ, &serde_json::json!({})), Err(KeyFault::Library), "{typ}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(SigningKey::from_pkcs8(SigningKeyId::new("k").unwrap(), b"x").unwrap_err(), KeyFault::NotP256);
        assert_eq!(VerifyingKey::from_point(&[4; 65]).unwrap_err(), KeyFault::NotP256);
    }
}
