//! JSON-RPC 2.0 envelopes as MCP narrows them (2026-07-28 basic/index, Messages).
//!
//! [`parse`] turns a stranger's bytes into [`Incoming`] or a [`Refusal`]. What is forwarded is always
//! [`Message::to_vec`] of what was understood, never the bytes that came: object order, numbers as
//! written and unknown members survive; whitespace and escapes do not. It knows no method and no era.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use crate::{
    errors::{Error, Refusal, RpcError},
    json::{self, Object},
};

/// How much of an envelope is accepted. The body's size is the caller's to limit before it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nested objects and arrays. At most [`Limits::DEPTH_CEILING`]; more is treated as that.
    pub depth: usize,
    /// Messages in one batch; 0 refuses batches, which is right for every version but 2025-03-26.
    pub batch: usize,
}

impl Limits {
    /// Deeper values are never built: dropping and writing them recurse.
    pub const DEPTH_CEILING: usize = 128;
}

impl Default for Limits {
    /// Depth 64, no batches.
    fn default() -> Self {
        Self { depth: 64, batch: 0 }
    }
}

/// The id of a request. `null`, fractions, exponents and integers beyond 64 bits are refused: peers that
/// keep numbers as doubles would answer to another id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestId {
    /// An integer.
    Number(i64),
    /// A string.
    String(String),
}

impl RequestId {
    /// Reads an id from a JSON value; `None` unless it is a string or an integer.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::String(text.clone())),
            // `-0` would read as 0, a second spelling of one id.
            Value::Number(number) if number.as_str() != "-0" => number.as_i64().map(Self::Number),
            _ => None,
        }
    }

    /// The id as JSON.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::String(text) => text.clone().into(),
        }
    }
}

impl From<i64> for RequestId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

/// As JSON, so that `1` and `"1"` differ.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

/// A call that expects an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Chosen by the sender.
    pub id: RequestId,
    /// Not empty.
    pub method: String,
    /// `None` when the member is absent.
    pub params: Option<Object>,
    /// Members that JSON-RPC does not define.
    pub extra: Object,
}

impl Request {
    /// A request without unknown members.
    pub fn new(id: impl Into<RequestId>, method: impl Into<String>, params: Option<Object>) -> Self {
        Self { id: id.into(), method: method.into(), params, extra: Object::new() }
    }

    /// The member `key` of `params`.
    pub fn param(&self, key: &str) -> Option<&Value> {
        self.params.as_ref()?.get(key)
    }

    /// The member `key` of `params` if it is a string.
    pub fn param_str(&self, key: &str) -> Option<&str> {
        self.param(key)?.as_str()
    }
}

/// A message that expects no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Not empty.
    pub method: String,
    /// `None` when the member is absent.
    pub params: Option<Object>,
    /// Members that JSON-RPC does not define.
    pub extra: Object,
}

impl Notification {
    /// A notification without unknown members.
    pub fn new(method: impl Into<String>, params: Option<Object>) -> Self {
        Self { method: method.into(), params, extra: Object::new() }
    }

    /// The member `key` of `params`.
    pub fn param(&self, key: &str) -> Option<&Value> {
        self.params.as_ref()?.get(key)
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// MCP results are objects.
    Result(Object),
    /// It failed.
    Error(RpcError),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Of the request answered. `None` only for an error whose request could not be read.
    pub id: Option<RequestId>,
    /// Result or error.
    pub outcome: Outcome,
    /// Members that JSON-RPC does not define.
    pub extra: Object,
}

impl Response {
    /// A successful answer.
    pub fn result(id: impl Into<RequestId>, result: Object) -> Self {
        Self { id: Some(id.into()), outcome: Outcome::Result(result), extra: Object::new() }
    }

    /// A failed answer.
    pub fn error(id: Option<RequestId>, error: RpcError) -> Self {
        error.response(id)
    }
}

/// One JSON-RPC message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A call.
    Request(Request),
    /// A one-way message.
    Notification(Notification),
    /// An answer.
    Response(Response),
}

/// What one body held.
#[expect(clippy::large_enum_variant, reason = "a single message is the rule; boxing it costs each call")]
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A single message.
    One(Message),
    /// A batch, not empty, with no request id twice; 2025-03-26 only.
    Batch(Vec<Message>),
}

/// Parses a body.
///
/// # Errors
/// A [`Refusal`] with the id of the refused request where one had been read. See [`json::parse`] for what
/// is wrong with bytes; -32600 for envelopes; -32602 for `params` that is no object.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Incoming, Refusal> {
    let depth = limits.depth.min(Limits::DEPTH_CEILING);
    match json::parse_partial(bytes, depth) {
        Ok(Value::Object(object)) => Message::from_object(object).map(Incoming::One),
        Ok(Value::Array(items)) => batch(items, limits.batch).map(Incoming::Batch),
        Ok(_) => Err(Error::InvalidRequest("the body is not a JSON-RPC message; send one JSON object").refuse(None)),
        Err(partial) => {
            let id_in_doubt = matches!(&partial.error, Error::DuplicateKey { key } if key == "id");
            let id = partial.outermost.filter(|_| !id_in_doubt).and_then(|o| RequestId::from_value(o.get("id")?));
            Err(partial.error.refuse(id))
        }
    }
}

/// Parses a body that must be a single message, such as an event of a stream or a line of stdio.
///
/// # Errors
/// As [`parse`]; a batch is refused.
pub fn parse_one(bytes: &[u8], depth: usize) -> Result<Message, Refusal> {
    match parse(bytes, Limits { depth, batch: 0 })? {
        Incoming::One(message) => Ok(message),
        Incoming::Batch(_) => Err(Error::BatchRefused.refuse(None)),
    }
}

fn batch(items: Vec<Value>, limit: usize) -> Result<Vec<Message>, Refusal> {
    if limit == 0 {
        return Err(Error::BatchRefused.refuse(None));
    }
    if items.len() > limit {
        return Err(Error::BatchTooLong { limit }.refuse(None));
    }
    if items.is_empty() {
        return Err(Error::InvalidRequest("the batch is empty; send at least one message").refuse(None));
    }
    let mut messages = Vec::with_capacity(items.len());
    let mut ids = std::collections::HashSet::new();
    for item in items {
        let Value::Object(object) = item else {
            return Err(Error::InvalidRequest("a batch holds something that is no JSON object").refuse(None));
        };
        let message = Message::from_object(object)?;
        if let Message::Request(request) = &message
            && !ids.insert(request.id.clone())
        {
            return Err(Error::InvalidRequest("two requests of the batch have one `id`; give each its own")
                .refuse(Some(request.id.clone())));
        }
        messages.push(message);
    }
    Ok(messages)
}

const ENVELOPE_KEYS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// Members of `params` by which access is decided or meaning changed; a lax upstream must not read them
/// from a look-alike.
const PARAM_KEYS: [&str; 9] =
    ["_meta", "name", "uri", "arguments", "ref", "taskId", "task", "inputResponses", "requestState"];

/// The members of an envelope, each in its place.
#[derive(Default)]
struct Parts {
    jsonrpc: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    extra: Object,
}

impl Parts {
    fn of(object: Object) -> Self {
        let mut parts = Self::default();
        for (key, value) in object {
            match key.as_str() {
                "jsonrpc" => parts.jsonrpc = Some(value),
                "id" => parts.id = Some(value),
                "method" => parts.method = Some(value),
                "params" => parts.params = Some(value),
                "result" => parts.result = Some(value),
                "error" => parts.error = Some(value),
                _ => {
                    parts.extra.insert(key, value);
                }
            }
        }
        parts
    }

    fn read(self, id: Option<RequestId>) -> Result<Message, Error> {
        refuse_case_variants(&self.extra, &ENVELOPE_KEYS)?;
        if self.jsonrpc.as_ref().and_then(Value::as_str) != Some("2.0") {
            return Err(Error::InvalidRequest("`jsonrpc` must be the string \"2.0\""));
        }
        match (self.method.is_some(), self.result.is_some(), self.error.is_some()) {
            (true, false, false) => self.call(id),
            (false, true, false) => self.success(id),
            (false, false, true) => self.failure(id),
            (false, false, false) => {
                Err(Error::InvalidRequest("the message has neither `method` nor `result` nor `error`"))
            }
            (true, ..) => Err(Error::InvalidRequest("the message has `method` and an outcome; send one")),
            (false, true, true) => Err(Error::InvalidRequest("the message has both `result` and `error`; send one")),
        }
    }

    fn call(self, id: Option<RequestId>) -> Result<Message, Error> {
        let method = match self.method {
            Some(Value::String(method)) if !method.is_empty() => method,
            _ => return Err(Error::InvalidRequest("`method` must be a string that is not empty")),
        };
        if self.id.is_some() && id.is_none() {
            return Err(BAD_ID);
        }
        let params = match self.params {
            None => None,
            Some(Value::Object(params)) => Some(params),
            Some(_) => {
                return Err(Error::InvalidParams("`params` must be an object; leave it out if there are none".into()));
            }
        };
        if let Some(params) = &params {
            refuse_case_variants(params, &PARAM_KEYS)?;
        }
        let extra = self.extra;
        Ok(match id {
            Some(id) => Message::Request(Request { id, method, params, extra }),
            None => Message::Notification(Notification { method, params, extra }),
        })
    }

    fn success(self, id: Option<RequestId>) -> Result<Message, Error> {
        let id = Some(id.ok_or(BAD_ID)?);
        let Some(Value::Object(result)) = self.result else {
            return Err(Error::InvalidRequest("`result` must be an object"));
        };
        refuse_params(self.params.as_ref())?;
        Ok(Message::Response(Response { id, outcome: Outcome::Result(result), extra: self.extra }))
    }

    fn failure(self, id: Option<RequestId>) -> Result<Message, Error> {
        // An error may lack its request's id, or say null, when the request could not be read.
        if id.is_none() && !matches!(self.id, None | Some(Value::Null)) {
            return Err(BAD_ID);
        }
        let Some(Value::Object(error)) = self.error else {
            return Err(Error::InvalidRequest("`error` must be an object"));
        };
        refuse_params(self.params.as_ref())?;
        Ok(Message::Response(Response {
            id,
            outcome: Outcome::Error(RpcError::from_object(error)?),
            extra: self.extra,
        }))
    }
}

impl Message {
    /// Reads an envelope from a JSON object that [`json::parse`] accepted.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn from_object(object: Object) -> Result<Self, Refusal> {
        let parts = Parts::of(object);
        let id = parts.id.as_ref().and_then(RequestId::from_value);
        parts.read(id.clone()).map_err(|error| error.refuse(id))
    }

    /// The message as JSON: known members first, then the unknown ones.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        object.insert("jsonrpc".to_owned(), "2.0".into());
        let extra = match self {
            Self::Request(request) => {
                object.insert("id".to_owned(), request.id.to_value());
                put_call(&mut object, &request.method, request.params.as_ref());
                &request.extra
            }
            Self::Notification(notification) => {
                put_call(&mut object, &notification.method, notification.params.as_ref());
                &notification.extra
            }
            Self::Response(response) => {
                if let Some(id) = &response.id {
                    object.insert("id".to_owned(), id.to_value());
                }
                match &response.outcome {
                    Outcome::Result(result) => object.insert("result".to_owned(), Value::Object(result.clone())),
                    Outcome::Error(error) => object.insert("error".to_owned(), Value::Object(error.to_object())),
                };
                &response.extra
            }
        };
        object.extend(extra.clone());
        Value::Object(object)
    }

    /// The bytes that leave, without a line break.
    pub fn to_vec(&self) -> Vec<u8> {
        // Keys are strings and the writer is memory, so serialisation cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The id of a request or response.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id.as_ref(),
        }
    }

    /// The method of a request or notification.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }
}

/// As [`Message::to_value`], without the copy.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("jsonrpc", "2.0")?;
        let id = self.id().map(RequestId::to_value);
        if let Some(id) = id {
            map.serialize_entry("id", &id)?;
        }
        let extra = match self {
            Self::Request(Request { method, params, extra, .. })
            | Self::Notification(Notification { method, params, extra }) => {
                map.serialize_entry("method", method)?;
                if let Some(params) = params {
                    map.serialize_entry("params", params)?;
                }
                extra
            }
            Self::Response(response) => {
                match &response.outcome {
                    Outcome::Result(result) => map.serialize_entry("result", result)?,
                    Outcome::Error(error) => map.serialize_entry("error", &error.to_object())?,
                }
                &response.extra
            }
        };
        for (key, value) in extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Notification> for Message {
    fn from(notification: Notification) -> Self {
        Self::Notification(notification)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

const BAD_ID: Error = Error::InvalidRequest("`id` must be a string or an integer of at most 64 bits");

fn put_call(object: &mut Object, method: &str, params: Option<&Object>) {
    object.insert("method".to_owned(), method.into());
    if let Some(params) = params {
        object.insert("params".to_owned(), Value::Object(params.clone()));
    }
}

fn refuse_params(params: Option<&Value>) -> Result<(), Error> {
    if params.is_some() {
        return Err(Error::InvalidRequest("a response has no `params`; remove them"));
    }
    Ok(())
}

fn refuse_case_variants(object: &Object, known: &[&'static str]) -> Result<(), Error> {
    for key in object.keys() {
        if let Some(known) = known.iter().find(|known| json::folds_to(key, known)) {
            return Err(Error::CaseVariant { key: key.clone(), known });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
