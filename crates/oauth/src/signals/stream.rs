//! A receiver's calls to a transmitter's stream management (Shared Signals Framework 1.0 section 8).
//!
//! The bearer token that the transmitter gave goes on each request; it is the caller's.

use sallyport_model::Secret;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    SignalFault, TransmitterMetadata,
    delivery::{POLL, PUSH},
    event::{StreamStatus, WANTED},
    transmitter::texts,
};
use crate::{
    oidc::{Transport, foreign::shown},
    strict,
};

/// Larger answers are refused unread.
const MAX_BYTES: usize = 256 * 1024;
/// More streams in one answer are refused.
const MAX_STREAMS: usize = 64;

/// A request to the transmitter. `Debug` shows no body: a stream's may hold the push credential.
pub struct StreamRequest {
    /// The HTTP method.
    pub method: &'static str,
    /// Where to.
    pub url: Url,
    /// `application/json`, if there is a body.
    pub body: Option<Secret>,
}

impl std::fmt::Debug for StreamRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamRequest({} {})", self.method, self.url)
    }
}

/// How events shall come.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// To this address of ours, with this value of `Authorization`.
    Push {
        /// Our endpoint.
        endpoint_url: Url,
        /// What the transmitter must present.
        authorization_header: Option<Secret>,
    },
    /// We ask.
    Poll,
}

/// A stream as the transmitter has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfiguration {
    /// Its id.
    pub stream_id: String,
    /// The audience of its tokens.
    pub audience: Vec<String>,
    /// What will come.
    pub events_delivered: Vec<String>,
    /// What was asked for and will not come.
    pub events_missing: Vec<String>,
    /// The delivery method's URI.
    pub method: String,
    /// Ours with push, the transmitter's with poll.
    pub endpoint_url: Url,
    /// Seconds between two verification requests.
    pub min_verification_interval: Option<u64>,
    /// Seconds without activity of ours after which the stream may be paused.
    pub inactivity_timeout: Option<u64>,
}

/// Makes a stream (section 8.1.1.1).
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn create(
    metadata: &TransmitterMetadata,
    delivery: &Delivery,
    description: &str,
) -> Result<StreamRequest, SignalFault> {
    let mut body = json!({ "events_requested": WANTED, "description": description });
    body["delivery"] = match delivery {
        Delivery::Poll => json!({ "method": POLL }),
        Delivery::Push { endpoint_url, authorization_header } => {
            let mut delivery = json!({ "method": PUSH, "endpoint_url": endpoint_url });
            if let Some(header) = authorization_header {
                delivery["authorization_header"] = json!(header.expose());
            }
            delivery
        }
    };
    post(&metadata.configuration_endpoint, "configuration_endpoint", &body)
}

/// Reads one stream, or all of ours (section 8.1.1.2); the answer goes to [`configuration`] or
/// [`configurations`].
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn read(metadata: &TransmitterMetadata, stream_id: Option<&str>) -> Result<StreamRequest, SignalFault> {
    at("GET", &metadata.configuration_endpoint, "configuration_endpoint", stream_id)
}

/// Deletes a stream (section 8.1.1.5); 204.
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn delete(metadata: &TransmitterMetadata, stream_id: &str) -> Result<StreamRequest, SignalFault> {
    at("DELETE", &metadata.configuration_endpoint, "configuration_endpoint", Some(stream_id))
}

/// Reads a stream's state (section 8.1.2.1).
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn read_status(metadata: &TransmitterMetadata, stream_id: &str) -> Result<StreamRequest, SignalFault> {
    at("GET", &metadata.status_endpoint, "status_endpoint", Some(stream_id))
}

/// Sets a stream's state (section 8.1.2.2).
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn set_status(
    metadata: &TransmitterMetadata,
    stream_id: &str,
    status: StreamStatus,
) -> Result<StreamRequest, SignalFault> {
    let body = json!({ "stream_id": stream_id, "status": status.as_str() });
    post(&metadata.status_endpoint, "status_endpoint", &body)
}

/// Asks for a verification event (section 8.1.4.2); 204. The event brings `state` back.
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn verification(
    metadata: &TransmitterMetadata,
    stream_id: &str,
    state: &str,
) -> Result<StreamRequest, SignalFault> {
    let body = json!({ "stream_id": stream_id, "state": state });
    post(&metadata.verification_endpoint, "verification_endpoint", &body)
}

/// Adds a person, where a new stream is about nobody (section 8.1.3.2). `subject` is a subject identifier.
///
/// # Errors
/// [`SignalFault::Member`] when the transmitter has no such endpoint.
pub fn add_subject(
    metadata: &TransmitterMetadata,
    stream_id: &str,
    subject: &Value,
) -> Result<StreamRequest, SignalFault> {
    let body = json!({ "stream_id": stream_id, "subject": subject });
    post(&metadata.add_subject_endpoint, "add_subject_endpoint", &body)
}

/// Reads the answer to [`create`] or to [`read`] of one stream.
///
/// # Errors
/// [`SignalFault::Answer`] for a refusal; [`SignalFault::Transmitter`] when the stream's `iss` is another.
pub fn configuration(
    status: u16,
    bytes: &[u8],
    metadata: &TransmitterMetadata,
    transport: Transport,
) -> Result<StreamConfiguration, SignalFault> {
    let object = answer(status, bytes)?;
    one(&object, metadata, transport)
}

/// Reads the answer to [`read`] of all streams.
///
/// # Errors
/// As [`configuration`].
pub fn configurations(
    status: u16,
    bytes: &[u8],
    metadata: &TransmitterMetadata,
    transport: Transport,
) -> Result<Vec<StreamConfiguration>, SignalFault> {
    // The strict reader reads objects, so the list is given a name first.
    let good = matches!(status, 200..=299) && bytes.len() <= MAX_BYTES;
    let wrapped = if good { [&b"{\"streams\":"[..], bytes, b"}"].concat() } else { bytes.to_vec() };
    let object = answer(status, &wrapped)?;
    let fault = SignalFault::Member { name: "streams", why: "is no list of streams" };
    match object.get("streams") {
        Some(Value::Array(all)) if object.len() == 1 && all.len() <= MAX_STREAMS => all
            .iter()
            .map(|stream| one(stream.as_object().ok_or_else(|| fault.clone())?, metadata, transport))
            .collect(),
        _ => Err(fault),
    }
}

/// Reads the answer to [`read_status`] or [`set_status`].
///
/// # Errors
/// As [`configuration`].
pub fn status(status: u16, bytes: &[u8]) -> Result<(StreamStatus, Option<String>), SignalFault> {
    let object = answer(status, bytes)?;
    let state = object.get("status").and_then(Value::as_str).and_then(StreamStatus::named);
    let state = state.ok_or(SignalFault::Member { name: "status", why: "is missing or unknown" })?;
    Ok((state, object.get("reason").and_then(Value::as_str).map(shown)))
}

/// Reads an answer that has no body: 200, 202 or 204.
///
/// # Errors
/// [`SignalFault::Answer`].
pub fn done(status: u16, bytes: &[u8]) -> Result<(), SignalFault> {
    if matches!(status, 200 | 202 | 204) { Ok(()) } else { Err(refused(status, bytes)) }
}

fn one(
    object: &Map<String, Value>,
    metadata: &TransmitterMetadata,
    transport: Transport,
) -> Result<StreamConfiguration, SignalFault> {
    let text = |name: &'static str| match object.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() && text.len() <= 2048 => Ok(text),
        _ => Err(SignalFault::Member { name, why: "is missing or malformed" }),
    };
    let iss = text("iss")?;
    if iss != metadata.issuer {
        return Err(SignalFault::Transmitter { found: shown(iss), expected: metadata.issuer.clone() });
    }
    let audience = match object.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        many => texts(many, "aud")?,
    };
    if audience.is_empty() {
        return Err(SignalFault::Member { name: "aud", why: "is missing" });
    }
    let delivery = object.get("delivery").and_then(Value::as_object);
    let delivery = delivery.ok_or(SignalFault::Member { name: "delivery", why: "is missing" })?;
    let method = delivery.get("method").and_then(Value::as_str);
    let method = method.filter(|method| [PUSH, POLL].contains(method));
    let method = method.ok_or(SignalFault::Member { name: "delivery.method", why: "is neither push nor poll" })?;
    let endpoint = delivery.get("endpoint_url").and_then(Value::as_str);
    let endpoint = endpoint.ok_or(SignalFault::Member { name: "delivery.endpoint_url", why: "is missing" })?;
    let events_delivered = texts(object.get("events_delivered"), "events_delivered")?;
    let missing = WANTED.iter().filter(|wanted| !events_delivered.iter().any(|event| event == *wanted));
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    Ok(StreamConfiguration {
        stream_id: text("stream_id")?.to_owned(),
        audience,
        events_missing: missing.map(|event| (*event).to_owned()).collect(),
        events_delivered,
        method: method.to_owned(),
        endpoint_url: transport.url("delivery.endpoint_url", endpoint)?,
        min_verification_interval: number("min_verification_interval"),
        inactivity_timeout: number("inactivity_timeout"),
    })
}

fn answer(status: u16, bytes: &[u8]) -> Result<Map<String, Value>, SignalFault> {
    const WHAT: &str = "transmitter's answer";
    if bytes.len() > MAX_BYTES {
        return Err(SignalFault::TooLarge { what: WHAT });
    }
    match status {
        200 | 201 => strict::object(bytes).map_err(|why| SignalFault::Document { what: WHAT, why }),
        _ => Err(refused(status, bytes)),
    }
}

fn refused(status: u16, bytes: &[u8]) -> SignalFault {
    let object = if bytes.len() <= MAX_BYTES { strict::object(bytes).unwrap_or_default() } else { Map::new() };
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(shown);
    SignalFault::Answer { status, description: text("description").or_else(|| text("error")) }
}

fn at(
    method: &'static str,
    endpoint: &Option<Url>,
    name: &'static str,
    stream_id: Option<&str>,
) -> Result<StreamRequest, SignalFault> {
    let mut url = endpoint.clone().ok_or(SignalFault::Member { name, why: "is not offered by the transmitter" })?;
    if let Some(stream_id) = stream_id {
        url.query_pairs_mut().append_pair("stream_id", stream_id);
    }
    Ok(StreamRequest { method, url, body: None })
}

fn post(endpoint: &Option<Url>, name: &'static str, body: &Value) -> Result<StreamRequest, SignalFault> {
    let request = at("POST", endpoint, name, None)?;
    Ok(StreamRequest { body: Some(Secret::new(body.to_string())), ..request })
}
