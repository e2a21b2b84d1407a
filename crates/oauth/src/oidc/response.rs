//! The answer to an authorization request (RFC 6749 section 4.1.2, RFC 9207).
//!
//! An answer is read only when its `state` is ours and its `iss` is the provider that was asked: a code
//! of another provider is never sent to this one (mix-up).

use sallyport_model::Secret;
use subtle::ConstantTimeEq;

use super::{IssuerRule, OidcFault, ProviderMetadata, foreign::shown, request::unique_pairs};

/// Longer answers are refused unread.
const MAX_BYTES: usize = 16 * 1024;

/// `state` of an answer, by which the caller finds what it remembered. Proves nothing.
///
/// # Errors
/// [`OidcFault::ResponseForm`], [`OidcFault::StateMissing`].
pub fn state(query: &str) -> Result<String, OidcFault> {
    let pairs = pairs(query)?;
    value(&pairs, "state").map(str::to_owned).ok_or(OidcFault::StateMissing)
}

/// Reads an answer: the query of the redirect, or the body of a form post. `state` is what the request
/// was sent with, in this browser.
///
/// # Errors
/// [`OidcFault`]: another `state` or issuer, the provider's own error, no code.
pub fn read(
    query: &str,
    expected_state: &str,
    rule: &IssuerRule,
    metadata: &ProviderMetadata,
) -> Result<Secret, OidcFault> {
    let pairs = pairs(query)?;
    let state = value(&pairs, "state").ok_or(OidcFault::StateMissing)?;
    if !bool::from(state.as_bytes().ct_eq(expected_state.as_bytes())) {
        return Err(OidcFault::State);
    }
    match value(&pairs, "iss") {
        Some(iss) if !rule.issued(iss, None) => {
            return Err(OidcFault::ResponseIssuer { found: shown(iss), expected: rule.trusted() });
        }
        None if metadata.authorization_response_iss => return Err(OidcFault::ResponseIssuerMissing),
        _ => {}
    }
    if let Some(error) = value(&pairs, "error") {
        let description = value(&pairs, "error_description").map(shown);
        return Err(OidcFault::ProviderRefused { error: shown(error), description });
    }
    match value(&pairs, "code") {
        Some(code) if !code.is_empty() => Ok(Secret::new(code)),
        _ => Err(OidcFault::ResponseForm { why: "has neither a code nor an error" }),
    }
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, OidcFault> {
    if query.len() > MAX_BYTES {
        return Err(OidcFault::ResponseForm { why: "is longer than 16 KiB" });
    }
    unique_pairs(query).ok_or(OidcFault::ResponseForm { why: "has a parameter twice, or too many" })
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
