//! A posted message: understood, sent to its era's half of the gate, or refused on the record.

use std::sync::Arc;

use axum::response::Response;
use futures::StreamExt;
use http::StatusCode;
use sallyport_mcp::{
    Era, Incoming, Message, Request, Spoken,
    era::{PROTOCOL_VERSION_HEADER, ProtocolVersion, check_batch},
    headers::single,
    methods::{Target, rule},
};
use serde_json::Value;

use crate::{
    admission::{Admitted, Held},
    authenticate::Authenticated,
    frames::{Frame, pipe},
    gate::{Gate, Rejected, header_text},
    legacy, modern,
    read::{parse, read},
    record::{About, arguments},
    refusal::Refusal,
    respond::{self, Reply},
    revocation::Dead,
    sanitise::sanitise_text,
    slots::{Slot, What},
};

const SESSION: &str = "mcp-session-id";

/// The versions that the gate speaks with clients, newest first. 2024-11-05 is spoken over Streamable
/// HTTP as its clients do; its own HTTP+SSE transport is not served (docs/adr).
pub(crate) const VERSIONS: [ProtocolVersion; 5] = ProtocolVersion::ALL;

/// Bodies of one principal that may be read and parsed at once.
const MOST_BODIES: usize = 64;
/// Requests of one principal with a body of more than 64 KiB that may be in progress at once.
const MOST_LARGE_BODIES: usize = 8;

/// Handles a POST.
pub(crate) async fn post(gate: &Gate, caller: Authenticated, body: axum::body::Body) -> Reply {
    let limits = gate.config().limits;
    let headers = &caller.arrived.headers;
    let reading = match gate.slots().take(What::Bodies, caller.binding(), MOST_BODIES) {
        Ok(slot) => slot,
        Err(refusal) => return unread(gate, &caller, "unread", 0, refusal).await,
    };
    let large = || gate.slots().take(What::LargeBodies, caller.binding(), MOST_LARGE_BODIES);
    let (bytes, large) = match read(&limits, headers, body, large).await {
        Ok(taken) => taken,
        Err(refusal) => return unread(gate, &caller, "unread", 0, refusal).await,
    };
    let parsed = parse(&limits, headers, &bytes).await;
    drop(reading);
    let length = bytes.len();
    drop(bytes);
    let incoming = match parsed {
        Ok(incoming) => incoming,
        Err(refusal) => return unread(gate, &caller, "malformed", length, refusal).await,
    };
    let admitted = match gate.admit(&caller.arrived.served) {
        Ok(admitted) => admitted,
        Err(held) => return not_admitted(gate, &caller, length, &incoming, held).await,
    };
    let posted = Posted { caller, bytes: length, large: large.map(Arc::new), _admitted: admitted };
    match incoming {
        Incoming::One(message) => one(gate, posted, message).await,
        Incoming::Batch(messages) => batch(gate, posted, messages).await.into(),
    }
}

/// Refuses what could not be read as a message, in the terms of the era that its headers name.
async fn unread(gate: &Gate, caller: &Authenticated, what: &str, bytes: usize, refusal: Refusal) -> Reply {
    let era = era_of_headers(&caller.arrived.headers).unwrap_or(Era::Legacy);
    gate.refuse(caller, Rejected { era, ..Rejected::unread(what, bytes) }, refusal).await.into()
}

/// Refuses what is for an upstream that is not served.
async fn not_admitted(gate: &Gate, caller: &Authenticated, bytes: usize, incoming: &Incoming, held: Held) -> Reply {
    let refusal = Refusal::Dead(Dead::Held(held));
    let rejected = match incoming {
        Incoming::One(message) => rejected(message, bytes, era_of(message, &caller.arrived.headers, &refusal)),
        Incoming::Batch(_) => Rejected::unread("batch", bytes),
    };
    gate.refuse(caller, rejected, refusal).await.into()
}

/// One message on its way through the gate.
pub(crate) struct Posted {
    pub(crate) caller: Authenticated,
    pub(crate) bytes: usize,
    /// The place of a large body; kept until its calls are over.
    pub(crate) large: Option<Arc<Slot>>,
    /// That its upstream is served. There is no other way to one.
    pub(crate) _admitted: Admitted,
}

async fn one(gate: &Gate, posted: Posted, message: Message) -> Reply {
    let Posted { caller, bytes, .. } = &posted;
    let spoken = match Spoken::decide(&message, &caller.arrived.headers, &VERSIONS) {
        Ok(spoken) => spoken,
        Err(error) => {
            let refusal = Refusal::Malformed(error.refuse(message.id().cloned()));
            let era = era_of(&message, &caller.arrived.headers, &refusal);
            return gate.refuse(caller, rejected(&message, *bytes, era), refusal).await.into();
        }
    };
    match (spoken, message) {
        (Spoken::Modern(meta), Message::Request(request)) => modern::request(gate, posted, request, *meta).await,
        (Spoken::Initialize { requested }, Message::Request(request)) => {
            legacy::initialize(gate, posted, request, &requested).await.into()
        }
        (Spoken::Legacy { .. }, message) => in_session(gate, posted, message).await,
        // Nothing of this era is sent one way over HTTP; it is accepted and has no effect.
        _ => respond::empty(StatusCode::ACCEPTED).into(),
    }
}

async fn in_session(gate: &Gate, posted: Posted, message: Message) -> Reply {
    let session = match session_of(gate, &posted.caller) {
        Ok(session) => session,
        Err(refusal) => {
            let rejected = rejected(&message, posted.bytes, Era::Legacy);
            return gate.refuse(&posted.caller, rejected, refusal).await.into();
        }
    };
    match message {
        Message::Request(request) => {
            let (outlet, inlet) = pipe();
            let served = posted.caller.arrived.served.clone();
            legacy::request(gate, &posted, session, request, outlet).await;
            Reply::Coming { inlet, served, era: Era::Legacy }
        }
        Message::Notification(notification) => legacy::notification(gate, posted, &session, notification).await.into(),
        Message::Response(response) => legacy::answer(gate, posted, &session, response).await.into(),
    }
}

/// The legacy session that a request names, if it is the caller's here.
pub(crate) fn session_of(
    gate: &Gate,
    caller: &Authenticated,
) -> Result<std::sync::Arc<crate::sessions::Session>, Refusal> {
    check_version(caller)?;
    let Some(id) = header_text(&caller.arrived.headers, SESSION) else {
        let what = "send `initialize` first, then its MCP-Session-Id with every request".to_owned();
        return Err(Refusal::Http { status: StatusCode::BAD_REQUEST, what });
    };
    gate.sessions().find(id, caller.principal(), caller.arrived.served.name()).ok_or(Refusal::NoSession)
}

/// A version that is not spoken here is refused, whatever the session agreed on (2025-11-25
/// basic/transports, Protocol Version Header).
fn check_version(caller: &Authenticated) -> Result<(), Refusal> {
    let about = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(None));
    let sent = single(&caller.arrived.headers, PROTOCOL_VERSION_HEADER).map_err(about)?;
    match sent.filter(|text| ProtocolVersion::parse(text).is_none()) {
        None => Ok(()),
        Some(text) => {
            let (requested, supported) = (text.to_owned(), VERSIONS.to_vec());
            Err(about(sallyport_mcp::Error::UnsupportedVersion { requested, supported }))
        }
    }
}

/// A batch (2025-03-26): every message is authorized by itself, and the answers come back together.
async fn batch(gate: &Gate, posted: Posted, messages: Vec<Message>) -> Response {
    let caller = &posted.caller;
    let unread = || Rejected::unread("batch", posted.bytes);
    let session = match session_of(gate, caller) {
        Ok(session) => session,
        Err(refusal) => return gate.refuse(caller, unread(), refusal).await,
    };
    if !session.version.has_batches() {
        let refusal = Refusal::Malformed(sallyport_mcp::Error::BatchRefused.refuse(None));
        return gate.refuse(caller, unread(), refusal).await;
    }
    if let Err(refusal) = check_batch(&messages) {
        return gate.refuse(caller, unread(), Refusal::Malformed(refusal)).await;
    }
    let mut inlets = Vec::new();
    for message in messages {
        match message {
            Message::Request(request) => {
                let (outlet, inlet) = pipe();
                inlets.push((request.id.clone(), inlet));
                legacy::request(gate, &posted, session.clone(), request, outlet).await;
            }
            Message::Notification(notification) => {
                if let Err(refusal) = legacy::notified(gate, &posted, &session, notification).await {
                    return gate.refuse(&posted.caller, unread(), refusal).await;
                }
            }
            Message::Response(response) => {
                if let Err(refusal) = legacy::answered(gate, &posted, &session, response).await {
                    return gate.refuse(&posted.caller, unread(), refusal).await;
                }
            }
        }
    }
    if inlets.is_empty() {
        return respond::empty(StatusCode::ACCEPTED);
    }
    let answers: Vec<Value> = futures::stream::iter(inlets)
        .map(|(id, inlet)| async move { last(id, inlet).await })
        .buffered(32)
        .filter_map(|answer| async move { answer })
        .collect()
        .await;
    respond::json_bytes(StatusCode::OK, Value::Array(answers).to_string().into_bytes())
}

async fn last(id: sallyport_mcp::RequestId, mut inlet: crate::frames::Inlet) -> Option<Value> {
    while let Some(frame) = inlet.recv().await {
        match frame {
            Frame::Answer { response, .. } => return Some(Message::Response(response).to_value()),
            Frame::Refused { refusal, .. } => {
                return Some(Message::Response(refusal.rpc().response(Some(id))).to_value());
            }
            Frame::Prime { .. } | Frame::Message { .. } | Frame::Opened => {}
        }
    }
    None
}

/// What a message is about, for the record.
pub(crate) fn about(request: &Request, version: &str, definition: Option<&[u8; 32]>) -> About {
    let (arguments, arguments_sha256) = arguments(request.params.as_ref());
    let name = match Target::of(request) {
        Ok(
            Target::Tool(name)
            | Target::Resource(name)
            | Target::Prompt(name)
            | Target::CompletePrompt(name)
            | Target::CompleteResource(name)
            | Target::Task(name),
        ) => Some(sanitise_text(name)),
        _ => None,
    };
    let trace =
        sallyport_mcp::meta::meta_of(request.params.as_ref()).and_then(|meta| meta.get("traceparent")?.as_str());
    About {
        method: sanitise_text(&request.method),
        name,
        protocol_version: Some(version.to_owned()),
        arguments,
        arguments_sha256,
        definition_sha256: definition.map(|digest| sallyport_model::hex(digest)),
        traceparent: trace.filter(|text| text.len() <= 64).map(sanitise_text),
    }
}

/// A message that was refused before it reached its era's half.
pub(crate) fn rejected(message: &Message, bytes: usize, era: Era) -> Rejected {
    let about = match message {
        Message::Request(request) => about(request, "unknown", None),
        other => {
            About { method: other.method().map_or_else(|| "response".to_owned(), sanitise_text), ..About::default() }
        }
    };
    let id = match message {
        Message::Request(request) => Some(request.id.clone()),
        _ => None,
    };
    Rejected { about, bytes, id, era }
}

/// The era in whose terms a message is refused that could not be placed in one: modern if anything about
/// it is.
fn era_of(message: &Message, headers: &http::HeaderMap, refusal: &Refusal) -> Era {
    let by_header =
        header_text(headers, PROTOCOL_VERSION_HEADER).and_then(ProtocolVersion::parse).map(ProtocolVersion::era);
    let by_body =
        matches!(message, Message::Request(request) if sallyport_mcp::meta::is_modern(request.params.as_ref()));
    if by_body || by_header == Some(Era::Modern) || refusal.rpc().is_modern() { Era::Modern } else { Era::Legacy }
}

fn era_of_headers(headers: &http::HeaderMap) -> Option<Era> {
    header_text(headers, PROTOCOL_VERSION_HEADER).and_then(ProtocolVersion::parse).map(ProtocolVersion::era)
}

/// Whether a method is worth an entry of its own: everything but `ping`.
pub(crate) fn recorded(method: &str) -> bool {
    method != "ping" && rule(method).kind != sallyport_mcp::methods::Kind::Handshake
}
