//! What is wrong with a message, as it goes over the wire.
//!
//! [`Error`] is the one error type of this crate: it says which field of the *sender's* message is at
//! fault and what to send instead. [`Refusal`] is the HTTP status and JSON-RPC error made from it.
//! [`RpcError`] is any JSON-RPC error, ours or a peer's, and the place where errors cross eras.
//! Nothing here logs or decides.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    envelope::{Outcome, RequestId, Response},
    era::{Era, ProtocolVersion},
    json::Object,
};

/// JSON-RPC 2.0: not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// JSON-RPC 2.0: JSON, but not a request.
pub const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC 2.0: no such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC 2.0: the method's parameters are wrong. Modern: resource not found, too.
pub const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC 2.0: our fault.
pub const INTERNAL_ERROR: i64 = -32603;
/// Legacy only: resource not found (2025-11-25, server/resources). Never sent to a modern client.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// 2025-11-25 only: a page must be visited first. Never sent to a modern client.
pub const URL_ELICITATION_REQUIRED: i64 = -32042;
/// Modern only: HTTP headers and body disagree (basic/transports/streamable-http, Server Validation).
pub const HEADER_MISMATCH: i64 = -32020;
/// Modern only: the request needs a capability that its `_meta` does not declare.
pub const MISSING_REQUIRED_CLIENT_CAPABILITY: i64 = -32021;
/// Modern only: the request names a protocol version that is not spoken here.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

/// What is wrong with a message. The display text is safe to send to its sender: it names the field and
/// the remedy, and clips whatever it quotes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text begins with a UTF-8 or UTF-16 byte order mark.
    #[error("the body begins with a byte order mark; send UTF-8 without one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("the body is not UTF-8 at byte {offset}; encode it as UTF-8")]
    InvalidUtf8 {
        /// Of the first wrong byte.
        offset: usize,
    },
    /// Not JSON.
    #[error("the body is not JSON: expected {expected} at byte {offset}")]
    Syntax {
        /// Of the byte at fault.
        offset: usize,
        /// What would have been right.
        expected: &'static str,
    },
    /// Something follows the JSON text.
    #[error("bytes follow the JSON text at byte {offset}; send one message a body")]
    TrailingBytes {
        /// Of the first such byte.
        offset: usize,
    },
    /// Nested too deep.
    #[error("the JSON is nested deeper than {limit} levels; flatten it")]
    TooDeep {
        /// The limit, in levels.
        limit: usize,
    },
    /// More values than one text may hold.
    #[error("the JSON holds more than {limit} values; send less at once")]
    TooManyValues {
        /// The limit, in values of every level.
        limit: usize,
    },
    /// A key twice in one object.
    #[error("the key {} occurs twice in one object; send it once", clip(key))]
    DuplicateKey {
        /// Unescaped.
        key: String,
    },
    /// A key that JSON libraries give a meaning of their own.
    #[error("the key {} is reserved; rename it", clip(key))]
    ReservedKey {
        /// Unescaped.
        key: String,
    },
    /// A key that a lax decoder would take for another.
    #[error("the key {} differs from `{known}` only by letter case; write `{known}`", clip(key))]
    CaseVariant {
        /// Unescaped.
        key: String,
        /// The key it resembles.
        known: &'static str,
    },
    /// The envelope is not a JSON-RPC 2.0 message. The text names the field and the remedy.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// A batch where none is allowed.
    #[error("a batch was sent; protocol versions other than 2025-03-26 have none: send one message a body")]
    BatchRefused,
    /// A batch of more messages than allowed.
    #[error("the batch holds more than {limit} messages; send several")]
    BatchTooLong {
        /// The limit, in messages.
        limit: usize,
    },
    /// `params` or one of its members is wrong.
    #[error("{0}")]
    InvalidParams(String),
    /// Modern: a header is missing, twice there, malformed, or differs from the body.
    #[error("header mismatch: {0}")]
    HeaderMismatch(String),
    /// Legacy: `MCP-Protocol-Version` names no version that is spoken here. Modern: `_meta` does.
    #[error("unsupported protocol version {}; use one of data.supported", clip(requested))]
    UnsupportedVersion {
        /// What the client asked for.
        requested: String,
        /// What is spoken here, newest first.
        supported: Vec<ProtocolVersion>,
    },
    /// The client did not declare what the request needs.
    #[error("missing required client capability; declare data.requiredCapabilities")]
    MissingCapability {
        /// A `ClientCapabilities` object with just the missing ones.
        required: Object,
    },
    /// The method does not exist, or not in this era.
    #[error("method {} not found", clip(method))]
    MethodNotFound {
        /// As sent.
        method: String,
    },
    /// A tool's `x-mcp-header` annotations break their rules; its definition must not be used over HTTP.
    #[error("x-mcp-header in inputSchema: {0}")]
    HeaderAnnotation(String),
    /// A server-sent event outgrew the limit.
    #[error("a server-sent event is larger than {limit} bytes")]
    EventTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// An event stream is not UTF-8.
    #[error("a server-sent event is not UTF-8")]
    EventNotUtf8,
    /// An event field that cannot be written: a line break or NUL in `id` or `event`.
    #[error("a server-sent event's {0} holds a line break or NUL")]
    EventField(&'static str),
    /// A result does not have the shape its method demands.
    #[error("{0}")]
    ResultShape(String),
}

fn clip(text: &str) -> String {
    let mut shown: String = text.chars().take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl Error {
    /// The JSON-RPC code.
    pub fn code(&self) -> i64 {
        match self {
            Self::ByteOrderMark | Self::InvalidUtf8 { .. } | Self::Syntax { .. } | Self::TrailingBytes { .. } => {
                PARSE_ERROR
            }
            Self::TooDeep { .. }
            | Self::TooManyValues { .. }
            | Self::DuplicateKey { .. }
            | Self::ReservedKey { .. }
            | Self::CaseVariant { .. }
            | Self::InvalidRequest(_)
            | Self::BatchRefused
            | Self::BatchTooLong { .. } => INVALID_REQUEST,
            Self::InvalidParams(_) => INVALID_PARAMS,
            Self::HeaderMismatch(_) => HEADER_MISMATCH,
            Self::UnsupportedVersion { .. } => UNSUPPORTED_PROTOCOL_VERSION,
            Self::MissingCapability { .. } => MISSING_REQUIRED_CLIENT_CAPABILITY,
            Self::MethodNotFound { .. } => METHOD_NOT_FOUND,
            Self::HeaderAnnotation(_)
            | Self::EventTooLarge { .. }
            | Self::EventNotUtf8
            | Self::EventField(_)
            | Self::ResultShape(_) => INTERNAL_ERROR,
        }
    }

    /// The HTTP status that goes with it to a client of `era`.
    ///
    /// Bytes that are no message are 400 in both eras. An unknown method is 404 and wrong parameters are 400
    /// in the modern era; a legacy client reads both, like any other answer to a well-formed request, under
    /// 200. Faults of an upstream are 502.
    pub fn status(&self, era: Era) -> StatusCode {
        match (self, era) {
            (Self::MethodNotFound { .. }, Era::Modern) => StatusCode::NOT_FOUND,
            (Self::MethodNotFound { .. } | Self::InvalidParams(_), Era::Legacy) => StatusCode::OK,
            _ if self.code() == INTERNAL_ERROR => StatusCode::BAD_GATEWAY,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The JSON-RPC error object.
    pub fn rpc(&self) -> RpcError {
        let data = match self {
            Self::UnsupportedVersion { requested, supported } => {
                let supported: Vec<&str> = supported.iter().map(|v| v.as_str()).collect();
                Some(json!({ "supported": supported, "requested": requested }))
            }
            Self::MissingCapability { required } => Some(json!({ "requiredCapabilities": required })),
            _ => None,
        };
        RpcError { data, ..RpcError::new(self.code(), self.to_string()) }
    }

    /// The refusal of the message with this id.
    pub fn refuse(self, id: Option<RequestId>) -> Refusal {
        Refusal { error: self, id }
    }
}

/// A message that was refused, with its id where one could be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// Why.
    #[source]
    pub error: Error,
    /// Of the refused request.
    pub id: Option<RequestId>,
}

impl Refusal {
    /// The HTTP status towards a client of `era`: as [`Error::status`], but never a success for a message
    /// that had no id to answer to.
    pub fn status(&self, era: Era) -> StatusCode {
        match self.error.status(era) {
            StatusCode::OK if self.id.is_none() => StatusCode::BAD_REQUEST,
            status => status,
        }
    }

    /// The JSON-RPC error response.
    pub fn response(&self) -> Response {
        self.error.rpc().response(self.id.clone())
    }
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    /// See the constants of this module.
    pub code: i64,
    /// For people.
    pub message: String,
    /// Whatever the code defines.
    pub data: Option<Value>,
    /// Members that JSON-RPC does not define; kept as read.
    pub extra: Object,
}

impl RpcError {
    /// An error without `data`.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, extra: Object::new() }
    }

    /// The same with `data`.
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    /// The response that carries it.
    pub fn response(self, id: Option<RequestId>) -> Response {
        Response { id, outcome: Outcome::Error(self), extra: Object::new() }
    }

    /// Whether a client may conclude from it that its peer is of the modern era.
    pub fn is_modern(&self) -> bool {
        matches!(self.code, HEADER_MISMATCH | MISSING_REQUIRED_CLIENT_CAPABILITY | UNSUPPORTED_PROTOCOL_VERSION)
    }

    /// An upstream's answer to `method`, as a client of `client` era may see it.
    ///
    /// Towards the modern era -32002 becomes -32602, and -32042 becomes -32603: what a modern client needs
    /// instead is an `InputRequiredResult` ([`crate::translate::input::from_url_elicitation_error`]), so
    /// reaching this point with it means that could not be made. Towards the legacy era -32602 of
    /// `resources/read` becomes -32002 only when `data.uri` says that a resource was not found, because
    /// -32602 there means wrong parameters, too; the three modern codes become -32603 with the modern code
    /// under `data.upstreamCode`, because they accuse the gate, not the client.
    #[must_use]
    pub fn across(self, method: &str, from: Era, client: Era) -> Self {
        match (from, client, self.code) {
            (_, Era::Modern, RESOURCE_NOT_FOUND) => Self { code: INVALID_PARAMS, ..self },
            (_, Era::Modern, URL_ELICITATION_REQUIRED) => self.demoted(),
            (Era::Modern, Era::Legacy, INVALID_PARAMS) if method == "resources/read" && self.names_uri() => {
                Self { code: RESOURCE_NOT_FOUND, ..self }
            }
            (Era::Modern, Era::Legacy, _) if self.is_modern() => self.demoted(),
            _ => self,
        }
    }

    /// The HTTP status of a response that carries this error to a client of `client` era.
    pub fn status(&self, client: Era) -> StatusCode {
        match (client, self.code) {
            (Era::Modern, METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
            (Era::Modern, _) if self.is_modern() => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        }
    }

    fn names_uri(&self) -> bool {
        self.data.as_ref().is_some_and(|d| d.get("uri").is_some_and(Value::is_string))
    }

    fn demoted(self) -> Self {
        let data = json!({ "upstreamCode": self.code, "upstreamData": self.data });
        Self { code: INTERNAL_ERROR, data: Some(data), ..self }
    }

    pub(crate) fn to_object(&self) -> Object {
        let mut object = Object::new();
        object.insert("code".to_owned(), self.code.into());
        object.insert("message".to_owned(), self.message.clone().into());
        if let Some(data) = &self.data {
            object.insert("data".to_owned(), data.clone());
        }
        object.extend(self.extra.clone());
        object
    }

    pub(crate) fn from_object(mut object: Object) -> Result<Self, Error> {
        const SHAPE: Error = Error::InvalidRequest("`error` must be an object with an integer `code` and a `message`");
        let code = object.get("code").and_then(Value::as_i64).ok_or(SHAPE)?;
        let Some(Value::String(message)) = object.shift_remove("message") else { return Err(SHAPE) };
        object.shift_remove("code");
        let data = object.shift_remove("data");
        Ok(Self { code, message, data, extra: object })
    }
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
