//! The headers that mirror a modern request's body (2026-07-28 basic/transports/streamable-http).
//!
//! [`check`] compares a client's headers with its body; [`encode`] makes those for an upstream. Both look
//! only at the body for meaning: a header never decides anything here. Legacy requests have no such
//! headers and must not be checked.

mod params;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

pub use params::{ParamHeader, param_headers};

use crate::{
    envelope::Request,
    era::{PROTOCOL_VERSION_HEADER, ProtocolVersion},
    errors::Error,
};

/// `Mcp-Method`: all modern requests.
pub const METHOD: &str = "mcp-method";
/// `Mcp-Name`: the tool, prompt, resource or task that a request is for.
pub const NAME: &str = "mcp-name";
/// What the headers of annotated tool parameters begin with.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// The member of `params` that `Mcp-Name` mirrors for a method; whether the header must be there.
///
/// The tasks methods are the tasks extension's (SEP-2663); a client without it there is tolerated, one
/// that differs is not.
fn name_source(method: &str) -> Option<(&'static str, bool)> {
    match method {
        "tools/call" | "prompts/get" => Some(("name", true)),
        "resources/read" => Some(("uri", true)),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some(("taskId", false)),
        _ => None,
    }
}

/// Checks `Mcp-Method` and `Mcp-Name` of a modern request, and with the `inputSchema` of the tool that it
/// calls also `Mcp-Param-*`. `MCP-Protocol-Version` was checked by [`crate::Spoken::decide`].
///
/// # Errors
/// [`Error::HeaderMismatch`]; [`Error::InvalidParams`] when the body lacks what the header mirrors;
/// [`Error::HeaderAnnotation`] when the schema's annotations are not valid.
pub fn check(request: &Request, headers: &HeaderMap, input_schema: Option<&Value>) -> Result<(), Error> {
    let Some(method) = single(headers, METHOD)? else {
        return Err(Error::HeaderMismatch("Mcp-Method is missing; send the body's `method`".into()));
    };
    if method != request.method {
        return Err(Error::HeaderMismatch("Mcp-Method differs from the body's `method`".into()));
    }
    check_name(request, headers)?;
    match input_schema {
        Some(schema) if request.method == "tools/call" => params::check(&param_headers(schema)?, request, headers),
        _ => Ok(()),
    }
}

fn check_name(request: &Request, headers: &HeaderMap) -> Result<(), Error> {
    let Some((source, required)) = name_source(&request.method) else { return Ok(()) };
    let Some(expected) = request.param_str(source) else {
        return Err(Error::InvalidParams(format!("`params.{source}` must be a string, and is required")));
    };
    match single(headers, NAME)? {
        None if required => {
            Err(Error::HeaderMismatch(format!("Mcp-Name is missing; send the body's `params.{source}`")))
        }
        Some(sent) if decode_value(NAME, sent)? != expected => {
            Err(Error::HeaderMismatch(format!("Mcp-Name differs from the body's `params.{source}`")))
        }
        _ => Ok(()),
    }
}

/// The headers for a request to a modern upstream over HTTP: `MCP-Protocol-Version`, `Mcp-Method`,
/// `Mcp-Name` and, with the called tool's `inputSchema`, `Mcp-Param-*`. Nothing of the client's own
/// headers is taken over.
///
/// # Errors
/// [`Error::InvalidParams`] when the method cannot be a header value or the body lacks what must be
/// mirrored; [`Error::HeaderAnnotation`] when the schema's annotations are not valid.
pub fn encode(request: &Request, version: ProtocolVersion, input_schema: Option<&Value>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(PROTOCOL_VERSION_HEADER, HeaderValue::from_static(version.as_str()));
    let method = HeaderValue::from_str(&request.method)
        .ok()
        .filter(|_| is_plain(&request.method))
        .ok_or_else(|| Error::InvalidParams("`method` holds characters that no header can carry".into()))?;
    headers.insert(METHOD, method);
    if let Some((source, _)) = name_source(&request.method) {
        let name = request
            .param_str(source)
            .ok_or_else(|| Error::InvalidParams(format!("`params.{source}` must be a string, and is required")))?;
        headers.insert(NAME, header_value(name)?);
    }
    if let Some(schema) = input_schema
        && request.method == "tools/call"
    {
        for header in param_headers(schema)? {
            if let Some(text) = header.text(request)? {
                headers.insert(header.name, header_value(&text)?);
            }
        }
    }
    Ok(headers)
}

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// The header value for `text`: itself where that is safe, else `=?base64?…?=`.
pub fn encode_value(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("{OPEN}{}{CLOSE}", STANDARD.encode(text)) }
}

/// The text behind a header value. `header` is for the message.
///
/// # Errors
/// [`Error::HeaderMismatch`] for base64 that is not canonical, padded and UTF-8 inside, and for characters
/// that no header value may hold.
pub fn decode_value(header: &str, value: &str) -> Result<String, Error> {
    let Some(encoded) = sentinel(value) else {
        if value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            return Ok(value.to_owned());
        }
        return Err(Error::HeaderMismatch(format!(
            "{header} holds characters outside visible ASCII; encode as base64"
        )));
    };
    let bytes = STANDARD.decode(encoded).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::HeaderMismatch(format!("{header} is not valid base64 of UTF-8")))
}

/// The one value of a header, without surrounding whitespace; `None` if it is absent.
///
/// # Errors
/// [`Error::HeaderMismatch`] if it is there twice or is no ASCII text.
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::HeaderMismatch(format!("{name} is there twice; send it once")));
    }
    match first.to_str() {
        Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
        Err(_) => Err(Error::HeaderMismatch(format!("{name} holds characters outside visible ASCII"))),
    }
}

fn sentinel(value: &str) -> Option<&str> {
    value.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}

/// Visible ASCII and inner spaces, and not looking like an encoded value. A tab would be allowed, but not
/// every intermediary leaves it alone.
fn is_plain(text: &str) -> bool {
    let safe = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    let padded = text.starts_with(' ') || text.ends_with(' ');
    let encoded = text.starts_with(OPEN) && text.ends_with(CLOSE);
    safe && !padded && !encoded
}

fn header_value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(&encode_value(text))
        .map_err(|_| Error::InvalidParams("a value cannot be carried in a header".into()))
}

fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(format!("{PARAM_PREFIX}{name}").as_bytes()).ok()
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
