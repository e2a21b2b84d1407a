//! Bearer values: 256 random bits in base64url, kept as SHA-256 digests only.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::Rng;
use sallyport_storage::Digest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Characters of a bearer value.
const LENGTH: usize = 43;

/// A fresh value and the digest under which it is kept.
pub(crate) fn mint(rng: &dyn Rng) -> (String, Digest) {
    let mut bytes = Zeroizing::new([0u8; 32]);
    rng.fill(bytes.as_mut_slice());
    let value = URL_SAFE_NO_PAD.encode(bytes.as_slice());
    let digest = sha256(value.as_bytes());
    (value, digest)
}

/// The digest of a value that somebody presents; `None` if it is none of ours by its form alone.
pub(crate) fn presented(value: &str) -> Option<Digest> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (value.len() == LENGTH && value.bytes().all(plain)).then(|| sha256(value.as_bytes()))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Whether `secret` is the one behind the digest that is kept, in constant time.
pub(crate) fn is_behind(secret: &str, kept: &Digest) -> bool {
    kept.ct_eq(&sha256(secret.as_bytes())).into()
}
