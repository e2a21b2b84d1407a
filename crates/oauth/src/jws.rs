//! JWS compact serialisation (RFC 7515 section 7.1), taken apart strictly.
//!
//! Checks form only: no signature, no claim. Never decodes base64 with padding, white space or
//! non-canonical trailing bits, and never reads a key from a token's own header.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::strict::{self, NotAnObject};

/// Larger tokens are refused unread.
pub const MAX_BYTES: usize = 8 * 1024;

/// Header parameters that name, carry or point to a key, or change how the token is read: a verifier
/// that obeys one lets the sender choose.
const DANGEROUS: [&str; 9] = ["jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "x5t", "x5t#S256"];

/// What is refused in a DPoP proof: all but the key that it brings by its nature.
const DANGEROUS_IN_PROOF: usize = 1;

/// How many of [`DANGEROUS`] are refused in a stranger's token. The rest are thumbprints, which some
/// identity providers write beside `kid`; nothing here looks a key up by them.
const DANGEROUS_IN_FOREIGN: usize = 7;

/// Why a string is not a JWS that anything here would look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More than [`MAX_BYTES`], or than what is accepted from strangers.
    #[error("it is too long")]
    TooLarge,
    /// Not three parts of unpadded canonical base64url.
    #[error("it is not three parts of base64url")]
    NotCompact,
    /// Header or claims are not one unambiguous JSON object.
    #[error("its JSON: {0}")]
    Json(#[from] NotAnObject),
    /// A header parameter that is never accepted.
    #[error("the header parameter `{0}` is not accepted")]
    HeaderParameter(String),
    /// `alg` is missing, or a parameter has a wrong type.
    #[error("the header parameter `{0}` is missing or of the wrong type")]
    HeaderType(&'static str),
}

/// A JWS whose payload has not been looked at.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    header: Map<String, Value>,
    pub(crate) alg: String,
    payload: Vec<u8>,
    pub(crate) signing_input: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Malformed> {
        Self::bounded(token, MAX_BYTES, &DANGEROUS)
    }

    fn bounded(token: &'a str, longest: usize, dangerous: &[&str]) -> Result<Self, Malformed> {
        if token.len() > longest {
            return Err(Malformed::TooLarge);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Malformed::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(Malformed::NotCompact)?;
        if payload.contains('.') {
            return Err(Malformed::NotCompact);
        }
        let header = strict::object(&decode(header)?)?;
        if let Some(name) = dangerous.iter().find(|name| header.contains_key(**name)) {
            return Err(Malformed::HeaderParameter((*name).to_owned()));
        }
        let alg = text(&header, "alg")?.ok_or(Malformed::HeaderType("alg"))?;
        Ok(Self { header, alg, payload: decode(payload)?, signing_input, signature: decode(signature)? })
    }
}

/// A JWS taken apart. Nothing in it has been verified.
#[derive(Debug)]
pub struct Compact<'a> {
    /// `alg`.
    pub alg: String,
    /// `typ`.
    pub typ: Option<String>,
    /// `kid`.
    pub kid: Option<String>,
    /// The payload.
    pub claims: Map<String, Value>,
    /// What the signature is over.
    pub signing_input: &'a str,
    /// The raw signature.
    pub signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes `token` apart.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(token: &'a str) -> Result<Self, Malformed> {
        Self::of(Envelope::parse(token)?)
    }

    /// Takes a token of another issuer apart, of at most `longest` bytes. Unlike our own tokens it may
    /// carry certificate thumbprints, which are ignored.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse_foreign(token: &'a str, longest: usize) -> Result<Self, Malformed> {
        Self::of(Envelope::bounded(token, longest, &DANGEROUS[..DANGEROUS_IN_FOREIGN])?)
    }

    /// Takes a DPoP proof apart, the one kind of token that brings its own key: with the header's `jwk`, of
    /// which nothing has been checked (RFC 9449 section 4.2).
    ///
    /// # Errors
    /// [`Malformed`].
    pub(crate) fn parse_with_key(token: &'a str) -> Result<(Self, Map<String, Value>), Malformed> {
        let mut envelope = Envelope::bounded(token, MAX_BYTES, &DANGEROUS[DANGEROUS_IN_PROOF..])?;
        match envelope.header.remove("jwk") {
            Some(Value::Object(jwk)) => Ok((Self::of(envelope)?, jwk)),
            _ => Err(Malformed::HeaderType("jwk")),
        }
    }

    fn of(envelope: Envelope<'a>) -> Result<Self, Malformed> {
        let Envelope { header, alg, payload, signing_input, signature } = envelope;
        Ok(Self {
            alg,
            typ: text(&header, "typ")?,
            kid: text(&header, "kid")?,
            claims: strict::object(&payload)?,
            signing_input,
            signature,
        })
    }

    /// Whether `typ` is `media_type`, in any case, with or without `application/` (RFC 7515 section
    /// 4.1.9).
    pub fn has_type(&self, media_type: &str) -> bool {
        self.typ.as_deref().is_some_and(|typ| {
            let bare = match typ.get(..12) {
                Some(prefix) if prefix.eq_ignore_ascii_case("application/") => &typ[12..],
                _ => typ,
            };
            bare.eq_ignore_ascii_case(media_type)
        })
    }
}

fn text(header: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Malformed> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(Malformed::HeaderType(name)),
    }
}

pub(crate) fn decode(part: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::NotCompact)
}

/// Unpadded base64url of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compact(header: &str, claims: &str) -> String {
        format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(b"sig"))
    }

    #[test]
    fn a_type_is_compared_without_case_and_prefix() {
        for (typ, same) in [("at+jwt", true), ("AT+JWT", true), ("application/at+jwt", true), ("jwt", false)] {
            let token = compact(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), "{}");
            assert_eq!(Compact::parse(&token).unwrap().has_type("at+jwt"), same, "{typ}");
        }
    }

    #[test]
    fn padding_white_space_and_loose_trailing_bits_are_refused() {
        let good = compact(r#"{"alg":"ES256"}"#, "{}");
        for bad in [format!("{good}="), format!("{good} "), format!(" {good}"), format!("{good}.x"), "a.b".into()] {
            assert_eq!(Compact::parse(&bad).unwrap_err(), Malformed::NotCompact, "{bad}");
        }
        // `e30` is `{}`; `e31` differs in bits that a lax decoder drops.
        let (head, _) = good.split_once('.').unwrap();
        assert_eq!(Compact::parse(&format!("{head}.e31.c2ln")).unwrap_err(), Malformed::NotCompact);
    }

    #[test]
    fn headers_that_bring_a_key_or_change_the_reading_are_refused() {
        for name in DANGEROUS {
            let token = compact(&format!(r#"{{"alg":"ES256","{name}":"x"}}"#), "{}");
            assert_eq!(Compact::parse(&token).unwrap_err(), Malformed::HeaderParameter(name.to_owned()));
            assert_eq!(Compact::parse_foreign(&token, MAX_BYTES).is_ok(), name.starts_with("x5t"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_string_panics(token in "[A-Za-z0-9_.=-]{0,80}") {
            let _ = Compact::parse(&token);
        }
        #[test]
        fn no_unicode_panics(token in "\\PC{0,40}") {
            let _ = Compact::parse(&token);
        }
    }
}
