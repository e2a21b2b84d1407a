//! DPoP proofs for providers that take them: [`crate::dpop`]'s, with this half's faults.
//!
//! The key is the connection's or the grant's, never one that signs tokens of ours.

use sallyport_model::{Rng, Timestamp};

use super::{FormRequest, OidcFault};
pub use crate::dpop::Target as Proof;
use crate::keys::SigningKey;

/// Makes a proof.
///
/// # Errors
/// [`OidcFault::ClientKey`].
pub fn prove(proof: &Proof<'_>, key: &SigningKey, now: Timestamp, rng: &dyn Rng) -> Result<String, OidcFault> {
    crate::dpop::prove(proof, key, now, rng).map_err(|_| OidcFault::ClientKey)
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
