//! What an upstream's `WWW-Authenticate` says (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9728 section 5.1).
//!
//! A stranger's bytes: read leniently, bounded, and believed only as far as the guard and the metadata bear it out.

use ::http::{HeaderMap, header};

/// Longer values are not looked at.
const MAX_BYTES: usize = 8 * 1024;

/// What concerns us of all the challenges of an answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::upstream) struct Challenge {
    /// `resource_metadata` of a Bearer or DPoP challenge.
    pub resource_metadata: Option<String>,
    /// `scope` of one.
    pub scope: Option<String>,
    /// `error` of one.
    pub error: Option<String>,
}

impl Challenge {
    /// Of an answer's headers.
    pub(in crate::upstream) fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(header::WWW_AUTHENTICATE) {
            if let Some(text) = value.to_str().ok().filter(|text| text.len() <= MAX_BYTES) {
                found.take(text);
            }
        }
        found
    }

    fn take(&mut self, text: &str) {
        let mut ours = false;
        for part in parts(text) {
            // `Scheme name=value` begins a challenge; `name=value` goes on with it.
            let name = part.split('=').next().unwrap_or_default().trim();
            let parameter = match name.rsplit_once(char::is_whitespace) {
                Some((scheme, _)) => {
                    ours = is_ours(scheme.trim());
                    part[scheme.len()..].trim()
                }
                None if !part.contains('=') => {
                    ours = is_ours(part);
                    continue;
                }
                None => part,
            };
            if let (true, Some((name, value))) = (ours, parameter.split_once('=')) {
                let place = match name.trim().to_ascii_lowercase().as_str() {
                    "resource_metadata" => &mut self.resource_metadata,
                    "scope" => &mut self.scope,
                    "error" => &mut self.error,
                    _ => continue,
                };
                place.get_or_insert_with(|| unquoted(value.trim()));
            }
        }
    }
}

fn is_ours(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop")
}

/// The text between commas that stand outside quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut from) = (false, false, 0);
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[from..].trim());
    found.retain(|part| !part.is_empty());
    found
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut out = String::new();
    let mut escaped = false;
    for c in inner.chars() {
        match c {
            _ if escaped => {
                escaped = false;
                out.push(c);
            }
            '\\' => escaped = true,
            '"' => break,
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Challenge {
        let values = values.iter().map(|value| (header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap()));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| {
            headers.append(name, value);
        });
        Challenge::read(&headers)
    }

    #[test]
    fn the_parameters_of_our_schemes_are_found_wherever_they_stand() {
        let found = read(&[
            "Basic realm=\"resource_metadata=\\\"x\\\"\", resource_metadata=\"https://evil.example\"",
            "bearer error=\"invalid_token\", resource_metadata=\"https://a.example/.well-known/x\", scope=\"a b\"",
        ]);
        assert_eq!(found.resource_metadata.as_deref(), Some("https://a.example/.well-known/x"));
        assert_eq!((found.scope.as_deref(), found.error.as_deref()), (Some("a b"), Some("invalid_token")));
        let found = read(&["DPoP error=use_dpop_nonce, algs=\"ES256\""]);
        assert_eq!(found.error.as_deref(), Some("use_dpop_nonce"));
        assert_eq!(read(&["Bearer", "Negotiate"]), Challenge::default());
        let both = read(&["Bearer realm=\"a, b\", scope=\"x\", Basic realm=\"c\", scope=\"y\""]);
        assert_eq!(both.scope.as_deref(), Some("x"));
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,80}|(Bearer|DPoP) [a-z=\", \\\\]{0,60}") {
            read(&[&text]);
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[ -~]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = read(&[&format!("Bearer realm=\"a\", scope=\"{quoted}\"")]);
            prop_assert_eq!(found.scope, Some(value));
        }
    }
}
