//! DPoP proofs of ours (RFC 9449 section 4.2), for providers that take them.
//!
//! ES256 only. The key is the connection's or the grant's, never one that signs tokens of ours.

use aws_lc_rs::digest;
use sallyport_model::{Rng, Timestamp};
use serde_json::{Value, json};
use url::Url;

use super::{FormRequest, OidcFault, client::token};
use crate::{
    jws,
    keys::{SigningKey, VerifyingKey},
};

/// What one proof is for.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
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
/// [`OidcFault::ClientKey`].
pub fn prove(proof: &Proof<'_>, key: &SigningKey, now: Timestamp, rng: &dyn Rng) -> Result<String, OidcFault> {
    let public = key.verifying_key().map_err(|_| OidcFault::ClientKey)?;
    let mut address = proof.url.clone();
    address.set_query(None);
    address.set_fragment(None);
    let mut claims = json!({
        "jti": token(rng), "htm": proof.method, "htu": address.as_str(), "iat": now.as_secs(),
    });
    if let Some(nonce) = proof.nonce {
        claims["nonce"] = json!(nonce);
    }
    if let Some(access_token) = proof.access_token {
        let hash = digest::digest(&digest::SHA256, access_token.as_bytes());
        claims["ath"] = json!(jws::encode(hash.as_ref()));
    }
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(&public, key) });
    key.sign_with(&header, &claims).map_err(|_| OidcFault::ClientKey)
}

/// Puts a proof for its token endpoint on a request.
///
/// # Errors
/// [`OidcFault::ClientKey`].
pub fn attach(
    request: &mut FormRequest,
    nonce: Option<&str>,
    key: &SigningKey,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<(), OidcFault> {
    let proof = Proof { method: "POST", url: &request.url, nonce, access_token: None };
    request.dpop = Some(prove(&proof, key, now, rng)?);
    Ok(())
}

/// Only what makes up the key: RFC 7638's thumbprint is over these members.
fn public_jwk(public: &VerifyingKey, key: &SigningKey) -> Value {
    let jwk = public.to_jwk(key.id());
    json!({ "crv": jwk.crv, "kty": jwk.kty, "x": jwk.x, "y": jwk.y })
}
