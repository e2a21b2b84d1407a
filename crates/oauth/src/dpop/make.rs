//! Proofs of ours (RFC 9449 section 4.2): ES256 only, and never with a key that signs tokens.

use sallyport_model::{Rng, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::{TYPE, access_token_hash};
use crate::{
    jws,
    keys::{ALGORITHM, KeyFault, SigningKey},
};

/// What one proof is for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The HTTP method, such as `POST`.
    pub method: &'a str,
    /// The address; query and fragment are left out.
    pub url: &'a Url,
    /// The server's last `DPoP-Nonce`.
    pub nonce: Option<&'a str>,
    /// The access token that is presented with it.
    pub access_token: Option<&'a str>,
}

/// Makes a proof.
///
/// # Errors
/// [`KeyFault::Library`].
pub fn prove(target: &Target<'_>, key: &SigningKey, now: Timestamp, rng: &dyn Rng) -> Result<String, KeyFault> {
    let mut address = target.url.clone();
    address.set_query(None);
    address.set_fragment(None);
    let mut claims = json!({
        "jti": jti(rng), "htm": target.method, "htu": address.as_str(), "iat": now.as_secs(),
    });
    if let Some(nonce) = target.nonce {
        claims["nonce"] = json!(nonce);
    }
    if let Some(access_token) = target.access_token {
        claims["ath"] = json!(access_token_hash(access_token));
    }
    let header = json!({ "typ": TYPE, "alg": ALGORITHM, "jwk": public_jwk(key)? });
    key.sign_with(&header, &claims)
}

/// 256 random bits in base64url.
fn jti(rng: &dyn Rng) -> String {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    jws::encode(&bytes)
}

/// Only what makes up the key: a `kid` would name it to the server.
fn public_jwk(key: &SigningKey) -> Result<Value, KeyFault> {
    let jwk = key.verifying_key()?.to_jwk(key.id());
    Ok(json!({ "crv": jwk.crv, "kty": jwk.kty, "x": jwk.x, "y": jwk.y }))
}
