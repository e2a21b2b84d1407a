//! Proof Key for Code Exchange (RFC 7636), S256 and nothing else.
//!
//! `plain` is not implemented, so it cannot be negotiated.

use subtle::ConstantTimeEq;

use crate::jws;

/// The one method, as in `code_challenge_methods_supported`.
pub const METHOD: &str = "S256";

/// Why an authorization request's PKCE parameters are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PkceFault {
    /// There is no `code_challenge`.
    #[error("PKCE is required: send code_challenge with code_challenge_method=S256")]
    Missing,
    /// The method is absent (which means `plain`) or another than S256.
    #[error("code_challenge_method must be S256")]
    Method,
    /// It is not the base64url of a SHA-256 digest.
    #[error("code_challenge must be 43 characters of base64url")]
    Malformed,
}

/// Checks the parameters of an authorization request and gives the challenge back.
///
/// # Errors
/// [`PkceFault`].
pub fn challenge<'a>(challenge: Option<&'a str>, method: Option<&str>) -> Result<&'a str, PkceFault> {
    let challenge = challenge.ok_or(PkceFault::Missing)?;
    if method != Some(METHOD) {
        return Err(PkceFault::Method);
    }
    if challenge.len() == 43 && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        Ok(challenge)
    } else {
        Err(PkceFault::Malformed)
    }
}

/// Whether `verifier` is well-formed (RFC 7636 section 4.1) and hashes to `challenge`; compared in
/// constant time.
pub fn verifies(challenge: &str, verifier: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(unreserved) {
        return false;
    }
    challenge_of(verifier).as_bytes().ct_eq(challenge.as_bytes()).into()
}

/// The S256 challenge of a verifier.
pub fn challenge_of(verifier: &str) -> String {
    jws::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_rfc_example_holds() {
        assert!(verifies(CHALLENGE, VERIFIER));
        assert!(!verifies(CHALLENGE, &VERIFIER.replace('d', "e")));
        assert!(!verifies(CHALLENGE, CHALLENGE), "plain");
    }

    #[test]
    fn only_s256_is_taken() {
        assert_eq!(challenge(Some(CHALLENGE), Some("S256")), Ok(CHALLENGE));
        assert_eq!(challenge(Some(CHALLENGE), Some("plain")), Err(PkceFault::Method));
        assert_eq!(challenge(Some(CHALLENGE), Some("s256")), Err(PkceFault::Method));
        assert_eq!(challenge(Some(CHALLENGE), None), Err(PkceFault::Method));
        assert_eq!(challenge(None, Some("S256")), Err(PkceFault::Missing));
        assert_eq!(challenge(Some(""), Some("S256")), Err(PkceFault::Malformed));
        assert_eq!(challenge(Some(&format!("{CHALLENGE}=")), Some("S256")), Err(PkceFault::Malformed));
    }

    #[test]
    fn a_verifier_out_of_syntax_never_verifies() {
        for verifier in ["a".repeat(42), "a".repeat(129), format!("{}\u{e9}", "a".repeat(43)), " ".repeat(43)] {
            assert!(!verifies(&challenge_of(&verifier), &verifier), "{verifier}");
        }
    }

    proptest! {
        #[test]
        fn another_verifier_never_verifies(a in "[A-Za-z0-9._~-]{43,128}", b in "[A-Za-z0-9._~-]{43,128}") {
            prop_assert!(verifies(&challenge_of(&a), &a));
            prop_assert_eq!(verifies(&challenge_of(&a), &b), a == b);
        }
    }
}
