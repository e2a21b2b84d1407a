//! What an upstream asks of a client: requests on a stream (legacy) ⇄ `inputRequests` and
//! `inputResponses` (2026-07-28 basic/patterns/mrtr), and the error -32042 of 2025-11-25.
//!
//! Three methods exist: `elicitation/create`, `sampling/createMessage`, `roots/list`. Any other is refused
//! in both directions. Who may see a question, and whether an answer is the person's, is not decided here.

use serde_json::{Value, json};

use crate::{
    envelope::{Outcome, Request, RequestId, Response},
    errors::{Error, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, URL_ELICITATION_REQUIRED},
    json::Object,
    meta::{ClientCapabilities, META, PROGRESS_TOKEN, RELATED_TASK},
};

/// What is asked, as far as a client must be able to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// `elicitation/create`, form mode.
    ElicitForm,
    /// `elicitation/create`, URL mode.
    ElicitUrl,
    /// `sampling/createMessage`.
    Sample,
    /// `sampling/createMessage` with `tools` or `toolChoice`.
    SampleWithTools,
    /// `roots/list`.
    Roots,
}

impl InputKind {
    /// The method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::ElicitForm | Self::ElicitUrl => "elicitation/create",
            Self::Sample | Self::SampleWithTools => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }

    fn of(method: &str, params: &Object) -> Result<Self, Error> {
        let has = |key: &str| params.contains_key(key);
        match (method, params.get("mode").map(|mode| mode.as_str().unwrap_or_default())) {
            ("elicitation/create", None | Some("form")) => Ok(Self::ElicitForm),
            ("elicitation/create", Some("url")) => Ok(Self::ElicitUrl),
            ("elicitation/create", Some(_)) => {
                Err(Error::InvalidParams("`params.mode` must be \"form\" or \"url\"".into()))
            }
            ("sampling/createMessage", _) if has("tools") || has("toolChoice") => Ok(Self::SampleWithTools),
            ("sampling/createMessage", _) => Ok(Self::Sample),
            ("roots/list", _) => Ok(Self::Roots),
            _ => Err(Error::MethodNotFound { method: method.to_owned() }),
        }
    }

    /// Whether a client with these capabilities may be asked.
    ///
    /// # Errors
    /// [`Error::MissingCapability`], for a modern client.
    pub fn permit(self, capabilities: &ClientCapabilities) -> Result<(), Error> {
        let (able, required) = match self {
            Self::ElicitForm => (capabilities.elicitation_form(), json!({ "elicitation": { "form": {} } })),
            Self::ElicitUrl => (capabilities.elicitation_url(), json!({ "elicitation": { "url": {} } })),
            Self::Sample => (capabilities.sampling(), json!({ "sampling": {} })),
            Self::SampleWithTools => (capabilities.sampling_tools(), json!({ "sampling": { "tools": {} } })),
            Self::Roots => (capabilities.roots(), json!({ "roots": {} })),
        };
        match required {
            Value::Object(required) if !able => Err(Error::MissingCapability { required }),
            _ => Ok(()),
        }
    }

    /// What a legacy upstream is told when its client cannot be asked: -32602 for an elicitation mode that
    /// was not declared (2025-11-25 client/elicitation, Error Handling), else -32601.
    pub fn refusal(self, capabilities: &ClientCapabilities) -> RpcError {
        let elicits = capabilities.elicitation_form() || capabilities.elicitation_url();
        match self {
            Self::ElicitForm | Self::ElicitUrl if elicits => {
                RpcError::new(INVALID_PARAMS, "the client did not declare this elicitation mode")
            }
            _ => RpcError::new(METHOD_NOT_FOUND, format!("the client did not declare {}", self.method())),
        }
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct InputRequest {
    /// What is asked.
    pub kind: InputKind,
    /// Without what belongs to one era alone.
    pub params: Object,
    /// URL mode of 2025-11-25 only: by it `notifications/elicitation/complete` finds its question.
    pub elicitation_id: Option<String>,
}

impl InputRequest {
    /// Reads a legacy upstream's request. What the modern form cannot carry is taken out: `elicitationId`
    /// (kept beside), `task`, and in `_meta` the progress token and related task.
    ///
    /// # Errors
    /// [`Error::MethodNotFound`] for other methods; [`Error::InvalidParams`] for an unknown mode.
    pub fn from_request(request: &Request) -> Result<Self, Error> {
        Self::read(&request.method, request.params.clone().unwrap_or_default())
    }

    /// The request for a legacy client's stream. In URL mode it carries `elicitation_id`, or failing that
    /// the request's id, since legacy clients demand one.
    pub fn to_request(&self, id: RequestId) -> Request {
        let mut params = self.params.clone();
        if self.kind == InputKind::ElicitUrl {
            let fallback = match &id {
                RequestId::String(text) => text.clone(),
                RequestId::Number(number) => number.to_string(),
            };
            params.insert("elicitationId".to_owned(), self.elicitation_id.clone().unwrap_or(fallback).into());
        }
        let params = (!params.is_empty()).then_some(params);
        Request { id, method: self.kind.method().to_owned(), params, extra: Object::new() }
    }

    fn read(method: &str, mut params: Object) -> Result<Self, Error> {
        let kind = InputKind::of(method, &params)?;
        let elicitation_id = match params.shift_remove("elicitationId") {
            Some(Value::String(id)) => Some(id),
            _ => None,
        };
        params.shift_remove("task");
        if let Some(Value::Object(meta)) = params.get_mut(META) {
            meta.shift_remove(PROGRESS_TOKEN);
            meta.shift_remove(RELATED_TASK);
            if meta.is_empty() {
                params.shift_remove(META);
            }
        }
        Ok(Self { kind, params, elicitation_id })
    }

    fn entry(&self) -> Value {
        let mut entry = Object::new();
        entry.insert("method".to_owned(), self.kind.method().into());
        if !self.params.is_empty() {
            entry.insert("params".to_owned(), Value::Object(self.params.clone()));
        }
        Value::Object(entry)
    }
}

/// The interim answer of the modern era: `resultType: "input_required"`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InputRequired {
    /// Keys are the upstream's and unique; in its order.
    pub requests: Vec<(String, InputRequest)>,
    /// Opaque. Towards a client it is the gate's own sealed state, with the upstream's inside.
    pub request_state: Option<String>,
}

impl InputRequired {
    /// Reads a modern upstream's interim result.
    ///
    /// # Errors
    /// [`Error::ResultShape`] when it has neither questions nor state, or a question is malformed.
    pub fn read(result: &Object) -> Result<Self, Error> {
        let mut requests = Vec::new();
        match result.get("inputRequests") {
            None => {}
            Some(Value::Object(entries)) => {
                for (key, entry) in entries {
                    requests.push((key.clone(), read_entry(key, entry)?));
                }
            }
            Some(_) => return Err(shape("`inputRequests` is not an object")),
        }
        let request_state = match result.get("requestState") {
            None => None,
            Some(Value::String(state)) => Some(state.clone()),
            Some(_) => return Err(shape("`requestState` is not a string")),
        };
        if requests.is_empty() && request_state.is_none() {
            return Err(shape("an input_required result has neither `inputRequests` nor `requestState`"));
        }
        Ok(Self { requests, request_state })
    }

    /// The result for a modern client.
    pub fn to_result(&self) -> Object {
        let mut result = Object::new();
        result.insert("resultType".to_owned(), "input_required".into());
        if !self.requests.is_empty() {
            let entries = self.requests.iter().map(|(key, request)| (key.clone(), request.entry())).collect();
            result.insert("inputRequests".to_owned(), Value::Object(entries));
        }
        if let Some(state) = &self.request_state {
            result.insert("requestState".to_owned(), state.clone().into());
        }
        result
    }

    /// Whether a client with these capabilities may be asked everything.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] with the first that is missing.
    pub fn permit(&self, capabilities: &ClientCapabilities) -> Result<(), Error> {
        self.requests.iter().try_for_each(|(_, request)| request.kind.permit(capabilities))
    }
}

fn read_entry(key: &str, entry: &Value) -> Result<InputRequest, Error> {
    let method = entry.get("method").and_then(Value::as_str).unwrap_or_default();
    let params = match entry.get("params") {
        None => Object::new(),
        Some(Value::Object(params)) => params.clone(),
        Some(_) => return Err(shape(&format!("`inputRequests[{key:?}].params` is not an object"))),
    };
    InputRequest::read(method, params).map_err(|error| shape(&format!("`inputRequests[{key:?}]`: {error}")))
}

fn shape(what: &str) -> Error {
    Error::ResultShape(what.to_owned())
}

/// What a modern client brings when it tries again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retry {
    /// A result for each question answered; keys are those of `inputRequests`. The client chose them, so
    /// unknown ones are to be ignored.
    pub responses: Object,
    /// Echoed by the client, and whatever an attacker likes.
    pub request_state: Option<String>,
}

impl Retry {
    /// Takes `inputResponses` and `requestState` out of a request's `params`; `None` if neither is there.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] unless they are an object of objects and a string.
    pub fn take(params: &mut Object) -> Result<Option<Self>, Error> {
        let responses = params.shift_remove("inputResponses");
        let state = params.shift_remove("requestState");
        if responses.is_none() && state.is_none() {
            return Ok(None);
        }
        let responses = match responses {
            None => Object::new(),
            Some(Value::Object(responses)) if responses.values().all(Value::is_object) => responses,
            Some(_) => return Err(Error::InvalidParams("`params.inputResponses` must hold one object a key".into())),
        };
        let request_state = match state {
            None => None,
            Some(Value::String(state)) => Some(state),
            Some(_) => return Err(Error::InvalidParams("`params.requestState` must be a string".into())),
        };
        Ok(Some(Self { responses, request_state }))
    }

    /// Puts both into the `params` of a request to a modern upstream.
    pub fn put(self, params: &mut Object) {
        if !self.responses.is_empty() {
            params.insert("inputResponses".to_owned(), Value::Object(self.responses));
        }
        if let Some(state) = self.request_state {
            params.insert("requestState".to_owned(), state.into());
        }
    }

    /// The answer to the question `key`, as the response that a legacy upstream waits for under `id`.
    pub fn response(&self, key: &str, id: RequestId) -> Option<Response> {
        let result = self.responses.get(key)?.as_object()?.clone();
        Some(Response { id: Some(id), outcome: Outcome::Result(result), extra: Object::new() })
    }
}

/// A legacy client's answer as the entry of `inputResponses` for a modern upstream.
///
/// The modern era has no error there. A failed elicitation is a person who was not asked: `cancel`. A
/// failure of the other two has no honest entry.
///
/// # Errors
/// The client's own error, with which the call has to end.
#[expect(clippy::result_large_err, reason = "once a question, and it ends the call")]
pub fn input_response(kind: InputKind, outcome: Outcome) -> Result<Object, RpcError> {
    match (outcome, kind) {
        (Outcome::Result(result), _) => Ok(result),
        (Outcome::Error(_), InputKind::ElicitForm | InputKind::ElicitUrl) => {
            Ok(Object::from_iter([("action".to_owned(), "cancel".into())]))
        }
        (Outcome::Error(error), _) => Err(error),
    }
}

/// A legacy upstream's -32042 as questions for a modern client; keys are `url-0`, `url-1`, …. When the
/// client tries again, the upstream gets the original request anew.
///
/// `None` for another error, or when one of its elicitations is not of URL mode with an id and a URL.
pub fn from_url_elicitation_error(error: &RpcError) -> Option<InputRequired> {
    if error.code != URL_ELICITATION_REQUIRED {
        return None;
    }
    let elicitations = error.data.as_ref()?.get("elicitations")?.as_array()?;
    let requests = elicitations.iter().enumerate().map(|(index, elicitation)| {
        let request = InputRequest::read("elicitation/create", elicitation.as_object()?.clone()).ok()?;
        let whole = request.kind == InputKind::ElicitUrl
            && request.elicitation_id.is_some()
            && request.params.get("url").is_some_and(Value::is_string);
        whole.then(|| (format!("url-{index}"), request))
    });
    let requests: Vec<_> = requests.collect::<Option<_>>()?;
    (!requests.is_empty()).then_some(InputRequired { requests, request_state: None })
}

/// Questions as the -32042 of 2025-11-25, for a client that declared URL elicitation. `None` unless all
/// are of URL mode and have an elicitation id, without which the error may not be sent.
pub fn to_url_elicitation_error(required: &InputRequired) -> Option<RpcError> {
    let elicitations = required.requests.iter().map(|(_, request)| {
        if request.kind != InputKind::ElicitUrl {
            return None;
        }
        let mut params = request.params.clone();
        params.insert("elicitationId".to_owned(), request.elicitation_id.clone()?.into());
        Some(Value::Object(params))
    });
    let elicitations: Vec<Value> = elicitations.collect::<Option<_>>()?;
    if elicitations.is_empty() {
        return None;
    }
    let error = RpcError::new(URL_ELICITATION_REQUIRED, "This request requires more information.");
    Some(error.with_data(json!({ "elicitations": elicitations })))
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
