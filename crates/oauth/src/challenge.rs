//! The `WWW-Authenticate` challenge: `Bearer` (RFC 6750 section 3, RFC 9728 section 5.1) or `DPoP` (RFC 9449
//! section 7.1).
//!
//! Every value leaves as a quoted string in which nothing can end the quotes or the header line.

use sallyport_model::ScopeSet;

use crate::{dpop, error::ErrorCode};

/// A challenge under construction.
#[derive(Debug, Clone)]
pub struct Challenge {
    scheme: &'static str,
    parameters: Vec<(&'static str, String)>,
}

impl Challenge {
    /// A challenge that says where the resource's metadata is (RFC 9728).
    pub fn bearer(resource_metadata: &str) -> Self {
        Self { scheme: "Bearer", parameters: Vec::new() }.with("resource_metadata", resource_metadata)
    }
    /// A challenge for a proof of possession too: with the algorithms that proofs may be signed by. A resource
    /// that takes both kinds of token sends one header for each. A nonce goes into a header of its own
    /// ([`dpop::NONCE_HEADER`]).
    pub fn dpop(resource_metadata: &str) -> Self {
        let start = Self { scheme: dpop::SCHEME, parameters: Vec::new() };
        start.with("resource_metadata", resource_metadata).with("algs", &dpop::ALGORITHMS.join(" "))
    }
    /// Names the scopes that are enough; none is named when there are none.
    #[must_use]
    pub fn scope(self, scopes: &ScopeSet) -> Self {
        if scopes.is_empty() { self } else { self.with("scope", &scopes.to_string()) }
    }
    /// Says what was wrong with the token that was presented.
    #[must_use]
    pub fn error(self, code: ErrorCode, description: &'static str) -> Self {
        self.with("error", code.as_str()).with("error_description", description)
    }
    /// The header's value.
    pub fn header(&self) -> String {
        let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        format!("{} {}", self.scheme, parameters.join(", "))
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.parameters.push((name, quoted(value)));
        self
    }
}

/// RFC 9110 section 5.6.4; bytes outside printable ASCII become `?`.
fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_challenge_names_metadata_scope_and_error() {
        let challenge = Challenge::bearer("https://g.example/.well-known/oauth-protected-resource/mcp/a")
            .scope(&"b a".parse().unwrap())
            .error(ErrorCode::InsufficientScope, "ask for more");
        assert_eq!(
            challenge.header(),
            "Bearer resource_metadata=\"https://g.example/.well-known/oauth-protected-resource/mcp/a\", \
             scope=\"a b\", error=\"insufficient_scope\", error_description=\"ask for more\""
        );
    }

    #[test]
    fn a_challenge_for_a_proof_names_the_algorithms() {
        let challenge = Challenge::dpop("https://g.example/m").error(ErrorCode::UseDpopNonce, "use the nonce");
        assert_eq!(
            challenge.header(),
            "DPoP resource_metadata=\"https://g.example/m\", algs=\"ES256 PS256 RS256 EdDSA ES384\", \
             error=\"use_dpop_nonce\", error_description=\"use the nonce\""
        );
    }

    proptest! {
        #[test]
        fn no_value_breaks_out_of_its_quotes(value in "\\PC{0,40}|[\"\\\\\r\n,a-z]{0,40}") {
            let header = Challenge::bearer(&value).header();
            prop_assert!(header.bytes().all(|b| (0x20..0x7f).contains(&b)));
            let inner = header.strip_prefix("Bearer resource_metadata=\"").unwrap().strip_suffix('"').unwrap();
            let mut escaped = false;
            for c in inner.chars() {
                prop_assert!(escaped || c != '"');
                escaped = !escaped && c == '\\';
            }
            prop_assert!(!escaped);
        }
    }
}
