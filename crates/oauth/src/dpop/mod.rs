//! DPoP (RFC 9449): proofs that whoever sends a request holds a key.
//!
//! [`verify`] takes a stranger's proof apart, [`prove`] makes one of ours, [`NonceKey`] makes the nonces that
//! age proofs. This is the one kind of token that brings its own key, and so it proves that key and nothing
//! else: never a client, a person or a right. Whether a proof was seen before is state, and the caller's:
//! it remembers [`Proof::replay_id`] until [`Proof::remember_until`].

mod make;
mod nonce;
mod verify;

use std::time::Duration;

pub use make::{Target, prove};
pub use nonce::NonceKey;
pub use verify::{ExpectProof, Nonces, Proof, ProofFault, verify};

/// The `typ` of a proof (section 4.2).
pub const TYPE: &str = "dpop+jwt";
/// The request header that carries the one proof. More than one is an error (section 4.3, item 1).
pub const HEADER: &str = "dpop";
/// The response header that carries a nonce (section 8.1).
pub const NONCE_HEADER: &str = "dpop-nonce";
/// The authentication scheme (section 7.1); schemes are compared without case.
pub const SCHEME: &str = "DPoP";
/// How far a proof's `iat` may lie from our clock, either way.
pub const WINDOW: Duration = Duration::from_secs(300);

/// What `dpop_signing_alg_values_supported` and `algs` list (section 5.1).
pub const ALGORITHMS: [&str; 5] = ["ES256", "PS256", "RS256", "EdDSA", "ES384"];

/// `ath`: the digest of the access token that a proof is presented with (section 4.2).
pub(crate) fn access_token_hash(access_token: &str) -> String {
    crate::thumbprint::sha256(access_token.as_bytes())
}

#[cfg(test)]
mod tests;
