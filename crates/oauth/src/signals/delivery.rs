//! How security event tokens arrive: pushed to us (RFC 8935) or polled for (RFC 8936).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::SignalFault;
use crate::{
    oidc::{JwtFault, foreign, foreign::shown},
    strict,
};

/// Larger answers to a poll are refused unread.
const MAX_POLL_BYTES: usize = 8 * 1024 * 1024;
/// More tokens in one answer are refused; fewer are asked for.
const MAX_POLLED: usize = 256;

/// The delivery method URI of push.
pub const PUSH: &str = "urn:ietf:rfc:8935";
/// The delivery method URI of poll.
pub const POLL: &str = "urn:ietf:rfc:8936";
/// The media type of a pushed token (RFC 8935 section 2.1).
pub const MEDIA_TYPE: &str = "application/secevent+jwt";

/// What a transmitter is told about a token that was not taken (the IANA registry of RFC 8935 section
/// 7.1, and the Shared Signals Framework's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not a token that we can read.
    InvalidRequest,
    /// The key.
    InvalidKey,
    /// The issuer.
    InvalidIssuer,
    /// The audience.
    InvalidAudience,
    /// Who pushes did not prove who it is.
    AuthenticationFailed,
    /// Who pushes may not.
    AccessDenied,
    /// A verification event with another state than ours.
    InvalidState,
}

impl ErrorCode {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AccessDenied => "access_denied",
            Self::InvalidState => "invalid_state",
        }
    }
}

/// What to tell the transmitter about a fault of its token.
pub fn error_code(fault: &SignalFault) -> ErrorCode {
    match fault {
        SignalFault::Jwt(fault) => match fault {
            JwtFault::Algorithm { .. }
            | JwtFault::NoKeyId
            | JwtFault::UnknownKey { .. }
            | JwtFault::KeyIssuer { .. }
            | JwtFault::Signature => ErrorCode::InvalidKey,
            JwtFault::Issuer { .. } => ErrorCode::InvalidIssuer,
            JwtFault::Audience { .. } => ErrorCode::InvalidAudience,
            _ => ErrorCode::InvalidRequest,
        },
        _ => ErrorCode::InvalidRequest,
    }
}

/// The answer to a push (RFC 8935 sections 2.2 to 2.4). 202 says that the event is ours to act upon, so it
/// is sent only after the act, or its intent, is durable. A token that was seen before is answered 202
/// too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAnswer {
    /// The HTTP status: 202 or 400.
    pub status: u16,
    /// `application/json`, with `Content-Language: en`; none with 202.
    pub body: Option<String>,
}

impl PushAnswer {
    /// Taken.
    pub fn accepted() -> Self {
        Self { status: 202, body: None }
    }

    /// Not taken. The description is ours, so that nothing of a token is echoed.
    pub fn refused(code: ErrorCode) -> Self {
        let description = match code {
            ErrorCode::InvalidRequest => "the request body is no security event token that this stream takes",
            ErrorCode::InvalidKey => "no published key of the stream's issuer verifies the token",
            ErrorCode::InvalidIssuer => "the token is not of the stream's issuer",
            ErrorCode::InvalidAudience => "the token is not for this stream's audience",
            ErrorCode::AuthenticationFailed => "the request is not authenticated as the stream demands",
            ErrorCode::AccessDenied => "this transmitter may not push to this stream",
            ErrorCode::InvalidState => "the verification's state is not the one that was asked for",
        };
        Self { status: 400, body: Some(json!({ "err": code.as_str(), "description": description }).to_string()) }
    }
}

/// The body of a poll (RFC 8936 section 2.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Poll {
    /// At most so many; 0 only acknowledges.
    #[serde(rename = "maxEvents")]
    pub max_events: u16,
    /// `false` lets the transmitter hold the answer until there is something to say.
    #[serde(rename = "returnImmediately")]
    pub return_immediately: bool,
    /// The `jti` of tokens that are acted upon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ack: Vec<String>,
    /// By `jti`: what was not taken.
    #[serde(rename = "setErrs", skip_serializing_if = "BTreeMap::is_empty")]
    pub set_errs: BTreeMap<String, SetError>,
}

/// Why one token was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetError {
    /// As on the wire.
    pub err: &'static str,
    /// For a person.
    pub description: String,
}

impl Poll {
    /// Asks for events.
    pub fn new(max_events: u16, return_immediately: bool) -> Self {
        Self { max_events: max_events.min(MAX_POLLED as u16), return_immediately, ..Self::default() }
    }

    /// Says that the token `jti` is acted upon.
    pub fn acknowledge(&mut self, jti: &str) {
        self.ack.push(jti.to_owned());
    }

    /// Says that the token `jti` was not taken.
    pub fn refuse(&mut self, jti: &str, code: ErrorCode) {
        let description = format!("refused: {}", code.as_str());
        self.set_errs.insert(jti.to_owned(), SetError { err: code.as_str(), description });
    }

    /// The body, `application/json`.
    pub fn to_body(&self) -> String {
        // A struct of texts, numbers and maps with text keys always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a poll brought (RFC 8936 section 2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// `jti` and token, unverified. After verification the token's own `jti` must be this one.
    pub sets: Vec<(String, String)>,
    /// There is more: poll again at once.
    pub more_available: bool,
}

/// Reads the answer to a poll.
///
/// # Errors
/// [`SignalFault::Answer`] for a status other than 200; [`SignalFault`] for its form.
pub fn polled(status: u16, bytes: &[u8]) -> Result<Polled, SignalFault> {
    const WHAT: &str = "answer to a poll";
    if bytes.len() > MAX_POLL_BYTES {
        return Err(SignalFault::TooLarge { what: WHAT });
    }
    let object = strict::object(bytes);
    if status != 200 {
        let object = object.unwrap_or_default();
        let description = object.get("description").and_then(Value::as_str).map(shown);
        return Err(SignalFault::Answer { status, description });
    }
    let object = object.map_err(|why| SignalFault::Document { what: WHAT, why })?;
    let sets = match object.get("sets") {
        Some(Value::Object(sets)) if sets.len() <= MAX_POLLED => sets,
        Some(Value::Object(_)) => return Err(SignalFault::Member { name: "sets", why: "has too many members" }),
        _ => return Err(SignalFault::Member { name: "sets", why: "is missing or no object" }),
    };
    let mut read = Vec::new();
    for (jti, token) in sets {
        match token.as_str() {
            Some(token) if jti.len() <= 512 && token.len() <= foreign::MAX_BYTES => {
                read.push((jti.clone(), token.to_owned()));
            }
            _ => return Err(SignalFault::Member { name: "sets", why: "holds something that is no token" }),
        }
    }
    let more_available = object.get("moreAvailable").and_then(Value::as_bool).unwrap_or(false);
    Ok(Polled { sets: read, more_available })
}
