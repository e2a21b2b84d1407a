//! Request parameters (RFC 6749 section 3.1): decoded strictly, each at most once.
//!
//! Two parsers must not see two requests, so a repeated parameter, a broken escape or bytes that are
//! not UTF-8 end the request. A parameter without a value counts as absent.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use sallyport_oauth::{ErrorCode, OAuthError};
use sallyport_storage::Digest;
use serde::{Deserialize, Serialize};

use crate::{bearer, error::Refusal};

const MAX_PARAMETERS: usize = 64;
const MAX_BYTES: usize = 32 * 1024;

/// The parameters of one request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Parameters(BTreeMap<String, String>);

/// What could be read before something was wrong: enough to find out where an error may be sent.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Parameters that were there exactly once.
    pub(crate) readable: Parameters,
    /// What is wrong.
    pub(crate) error: OAuthError,
}

const fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidRequest, description)
}

impl Parameters {
    /// Reads `application/x-www-form-urlencoded` text.
    pub(crate) fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut found = BTreeMap::new();
        let mut repeated = Vec::new();
        let mut error = None;
        if text.len() > MAX_BYTES {
            return Err(Unreadable { readable: Self::default(), error: invalid("the request is too large") });
        }
        for (n, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if n == MAX_PARAMETERS {
                error.get_or_insert(invalid("the request has too many parameters"));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                error.get_or_insert(invalid("a parameter is not form-encoded UTF-8 without control characters"));
                continue;
            };
            if found.insert(name.clone(), value).is_some() {
                error.get_or_insert(match name.as_str() {
                    "resource" => OAuthError::new(ErrorCode::InvalidTarget, "name exactly one resource"),
                    _ => invalid("a parameter is there twice"),
                });
                repeated.push(name);
            }
        }
        for name in repeated {
            found.remove(&name);
        }
        found.retain(|_, value| !value.is_empty());
        match error {
            None => Ok(Self(found)),
            Some(error) => Err(Unreadable { readable: Self(found), error }),
        }
    }

    /// The parameter called `name`, if it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same with one set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same without what proves who the client is; for keeping.
    pub(crate) fn without_credentials(mut self) -> Self {
        self.0.retain(|name, _| !matches!(name.as_str(), "client_secret" | "client_assertion"));
        self
    }

    /// The parameter, or `invalid_request` with `description`.
    pub(crate) fn require(&self, name: &str, description: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(invalid(description))
    }

    /// The digest of the bearer value in a parameter, `invalid_request` with `missing` if it is not there, or
    /// `malformed` if it is none of ours by its form.
    pub(crate) fn bearer(&self, name: &str, missing: &'static str, malformed: Refusal) -> Result<Digest, Refusal> {
        bearer::presented(self.require(name, missing)?).ok_or(malformed)
    }
}

/// Appends response parameters to a redirect URI without touching a byte of it.
pub(crate) fn append(uri: &str, parameters: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, existing)) if existing.is_empty() || existing.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{uri}{joint}{query}")
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return None;
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    (!decoded.chars().any(char::is_control)).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_readable_is_read() {
        let read = Parameters::parse("a=1&b=x+y%2Bz&c=&d&&e=%C3%A9").unwrap();
        assert_eq!(read.get("a"), Some("1"));
        assert_eq!(read.get("b"), Some("x y+z"));
        assert_eq!((read.get("c"), read.get("d")), (None, None));
        assert_eq!(read.get("e"), Some("é"));
    }

    #[test]
    fn a_repeated_parameter_is_neither_value() {
        let refused = Parameters::parse("state=s&scope=a&%73cope=b").unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::InvalidRequest);
        assert_eq!(refused.readable.get("scope"), None);
        assert_eq!(refused.readable.get("state"), Some("s"));
        assert_eq!(Parameters::parse("resource=a&resource=b").unwrap_err().error.code, ErrorCode::InvalidTarget);
        assert_eq!(Parameters::parse("a=&a=").unwrap_err().error.code, ErrorCode::InvalidRequest);
    }

    #[test]
    fn broken_escapes_control_characters_and_bad_utf8_are_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%00", "a=%0d%0a", "a=%ff", "a=%c3", "%=1"] {
            assert!(Parameters::parse(text).is_err(), "{text}");
        }
        assert!(Parameters::parse(&"a=b&".repeat(65)).is_err());
        assert!(Parameters::parse(&format!("a={}", "x".repeat(MAX_BYTES))).is_err());
    }

    #[test]
    fn a_redirect_keeps_its_own_query() {
        assert_eq!(append("https://a/cb", &[("code", "x y")]), "https://a/cb?code=x+y");
        assert_eq!(append("https://a/cb?p=%2F", &[("code", "1")]), "https://a/cb?p=%2F&code=1");
        assert_eq!(append("https://a/cb?", &[("code", "&=")]), "https://a/cb?code=%26%3D");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_nothing_read_was_repeated(text in "([ab]=[%0-9a-f&=+]{0,6}&?){0,6}|\\PC{0,60}") {
            if let Ok(read) = Parameters::parse(&text) {
                for name in read.0.keys() {
                    prop_assert!(!name.chars().any(char::is_control));
                }
            }
        }

        #[test]
        fn what_is_appended_reads_back(value in "[^\\p{Cc}]{1,20}") {
            let uri = append("https://a/cb?x=1", &[("state", &value)]);
            let read = Parameters::parse(uri.split_once('?').unwrap().1).unwrap();
            prop_assert_eq!(read.get("state"), Some(value.as_str()));
        }
    }
}
