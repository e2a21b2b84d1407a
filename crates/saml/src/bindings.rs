//! Sends messages through the browser, and takes signed redirects apart (saml-bindings-2.0-os, sections 3.4 and 3.5).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    Certificate, SamlFault, SpKey,
    algorithm::SignatureAlgorithm,
    encoding,
    metadata::{Binding, Endpoint},
    names::RSA_SHA256,
    signature::finish_signed,
    xml::Limits,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Bytes that a RelayState may have.
pub const MOST_RELAY_STATE: usize = 80;
/// Bytes in a query.
const MOST_QUERY: usize = 64 * 1024;
/// What stands for itself in a query value (RFC 3986, section 2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the browser is to do with a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Go there.
    Redirect {
        /// The address with the signed query.
        url: String,
    },
    /// Post a form there. The page must escape the values.
    Post {
        /// The form's action.
        url: String,
        /// Hidden fields: name and value.
        fields: Vec<(&'static str, String)>,
    },
}

/// Whether a message asks or answers: the name of its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

impl Kind {
    fn parameter(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// A message of ours, not signed yet.
pub(crate) struct Unsent<'a> {
    pub(crate) kind: Kind,
    pub(crate) xml: &'a str,
    /// The byte of `xml` where a signature belongs.
    pub(crate) signature_at: usize,
    pub(crate) relay_state: Option<&'a str>,
}

/// Where a message of this kind goes.
pub(crate) fn address(endpoint: &Endpoint, kind: Kind) -> &str {
    match (kind, &endpoint.response_location) {
        (Kind::Response, Some(location)) => location,
        _ => &endpoint.location,
    }
}

/// Signs and wraps a message for `endpoint`.
pub(crate) fn send(endpoint: &Endpoint, message: &Unsent<'_>, key: &SpKey) -> Result<Outgoing, SamlFault> {
    if let Some(bytes) = message.relay_state.map(str::len).filter(|bytes| *bytes > MOST_RELAY_STATE) {
        return Err(SamlFault::RelayStateTooLong { bytes });
    }
    let url = address(endpoint, message.kind);
    let parameter = message.kind.parameter();
    if endpoint.binding == Binding::Post {
        let signed = finish_signed(message.xml, message.signature_at, key)?;
        let mut fields = vec![(parameter, STANDARD.encode(signed))];
        fields.extend(message.relay_state.map(|state| ("RelayState", state.to_owned())));
        return Ok(Outgoing::Post { url: url.to_owned(), fields });
    }
    let encode = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let mut query = format!("{parameter}={}", encode(&STANDARD.encode(encoding::deflate(message.xml.as_bytes()))));
    if let Some(state) = message.relay_state {
        query.push_str(&format!("&RelayState={}", encode(state)));
    }
    query.push_str(&format!("&SigAlg={}", encode(RSA_SHA256)));
    let signature = STANDARD.encode(key.sign(query.as_bytes())?);
    let join = if url.contains('?') { '&' } else { '?' };
    Ok(Outgoing::Redirect { url: format!("{url}{join}{query}&Signature={}", encode(&signature)) })
}

/// A redirect whose signature is good.
#[derive(Debug)]
pub(crate) struct SignedQuery {
    /// The message, out of the bytes that were signed.
    pub(crate) xml: Vec<u8>,
    pub(crate) relay_state: Option<String>,
    pub(crate) certificate: String,
}

/// Takes a raw query apart and verifies its signature, which covers the parameters as they were encoded.
pub(crate) fn read_query(raw: &str, kind: Kind, trusted: &[Certificate]) -> Result<SignedQuery, SamlFault> {
    if raw.len() > MOST_QUERY {
        return Err(SamlFault::TooLarge { what: "bytes of query", limit: MOST_QUERY });
    }
    let one = |name: &str, what: &'static str| -> Result<Option<&str>, SamlFault> {
        let mut found = raw.split('&').filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A name that only reads as ours once decoded counts too: whoever decodes it must not see another message.
            (form(key).as_deref() == Some(name)).then_some((key, value))
        });
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((key, value)), None) if key == name => Ok(Some(value)),
            _ => Err(SamlFault::BadQuery { what }),
        }
    };
    let parameter = kind.parameter();
    let other = if kind == Kind::Request { Kind::Response } else { Kind::Request };
    if one(other.parameter(), "it carries a request and a response")?.is_some() {
        return Err(SamlFault::BadQuery { what: "it carries another kind of message" });
    }
    let message = one(parameter, "the message stands twice")?.ok_or(SamlFault::BadQuery { what: "no message" })?;
    let relay_state = one("RelayState", "`RelayState` stands twice")?;
    let encoding_name = one("SAMLEncoding", "`SAMLEncoding` stands twice")?.and_then(form);
    if encoding_name.is_some_and(|name| name != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE") {
        return Err(SamlFault::BadQuery { what: "`SAMLEncoding` is not DEFLATE" });
    }
    let unsigned = SamlFault::Unsigned { what: "redirect" };
    let signature = one("Signature", "`Signature` stands twice")?.ok_or(unsigned.clone())?;
    let algorithm = one("SigAlg", "`SigAlg` stands twice")?.ok_or(unsigned)?;
    let decoded = |value| form(value).ok_or(SamlFault::BadQuery { what: "a value is not percent-encoded UTF-8" });
    let chosen = SignatureAlgorithm::from_uri(&decoded(algorithm)?)?;
    let mut covered = format!("{parameter}={message}");
    if let Some(state) = relay_state {
        covered.push_str(&format!("&RelayState={state}"));
    }
    covered.push_str(&format!("&SigAlg={algorithm}"));
    let signature = encoding::base64("Signature", &decoded(signature)?, 2048)?;
    let by = trusted.iter().find(|key| key.verifies(chosen, covered.as_bytes(), &signature)).ok_or_else(|| {
        let configured = trusted.iter().map(Certificate::fingerprint).collect();
        SamlFault::WrongCertificate { presented: None, configured }
    })?;
    let packed = encoding::base64(parameter, &decoded(message)?, MOST_QUERY)?;
    Ok(SignedQuery {
        xml: encoding::inflate(&packed, Limits::MESSAGE.bytes)?,
        relay_state: relay_state.map(decoded).transpose()?,
        certificate: by.fingerprint(),
    })
}

/// A form-encoded value: `+` is a space.
fn form(value: &str) -> Option<String> {
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}
