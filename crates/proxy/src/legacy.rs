//! The legacy half: clients with a handshake and a session (2025-11-25 and before).

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use sallyport_mcp::{
    Era, Message, Notification, Object, Request, Response as RpcResponse,
    era::ProtocolVersion,
    methods::{Answerer, Kind, rule},
    translate::{handshake, notifications},
};
use sallyport_model::{EventKind, McpSessionId, Reason, event::OutcomeStatus};
use serde_json::Value;

use crate::{
    authorize::Permitted,
    conduct,
    config::Group,
    frames::{Frame, Outlet},
    gate::{Gate, Rejected},
    pending::bad_result,
    post::{Posted, VERSIONS, about, recorded},
    record::{self, About},
    refusal::Refusal,
    relay, respond,
    sanitise::sanitise_text,
    scopes::{self, Needed},
    sessions::{Asker, NewSession, Session},
    slots::What,
    upstream::{Caller, ClientFacts, UpstreamSession},
};

/// Opens a session: the upstream's handshake, on this client's behalf.
pub(crate) async fn initialize(gate: &Gate, posted: Posted, request: Request, requested: &str) -> Response {
    let id = request.id.clone();
    let entry = about(&request, requested, None);
    match opened(gate, &posted, request, requested).await {
        Ok((session, result)) => {
            let response = Message::Response(RpcResponse::result(id, result));
            let mut response = respond::json(StatusCode::OK, &response);
            if let Ok(value) = http::HeaderValue::from_str(session.id.as_str()) {
                response.headers_mut().insert("mcp-session-id", value);
            }
            response
        }
        Err(refusal) => {
            let rejected = Rejected { about: entry, bytes: posted.bytes, id: Some(id), era: Era::Legacy };
            gate.refuse(&posted.caller, rejected, refusal).await
        }
    }
}

async fn opened(
    gate: &Gate,
    posted: &Posted,
    request: Request,
    requested: &str,
) -> Result<(Arc<Session>, Object), Refusal> {
    let caller = &posted.caller;
    let served = &caller.arrived.served;
    if !served.offered().tenants.contains(&caller.principal().tenant) {
        return Err(Refusal::Denied(Reason::UpstreamNotGranted));
    }
    let slot = gate.slots().take(What::Sessions, caller.binding(), gate.config().limits.sessions)?;
    let asked = ProtocolVersion::negotiate(requested, &VERSIONS).unwrap_or(ProtocolVersion::LATEST_LEGACY);
    let client = client_facts(&request, asked)?;
    let on_behalf = Caller::Principal(Arc::clone(caller.principal()));
    let leg = gate.connector().open(&served.offered().spec, &client, &on_behalf).await?;
    if leg.facts().era == Era::Legacy {
        served.note_legacy();
    }
    let (version, result) = match greeting(leg.as_ref(), asked) {
        Ok(greeting) => greeting,
        Err(refusal) => {
            leg.close().await;
            return Err(refusal);
        }
    };
    let mut entry = about(&request, version.as_str(), None);
    entry.arguments = client.info.clone().map(Value::Object).as_ref().map(crate::sanitise::sanitise);
    let subject = caller.subject(posted.bytes);
    let opens = (EventKind::McpSessionOpened, EventKind::McpSessionClosed);
    let opening = match gate.records().open_lasting(&subject, entry, opens.0, opens.1).await {
        Ok(opening) => opening,
        Err(error) => {
            leg.close().await;
            return Err(error.into());
        }
    };
    let id = McpSessionId::mint(gate.rng());
    let upstream = served.name().clone();
    let principal = Arc::clone(caller.principal());
    Ok((gate.sessions().add(NewSession { id, principal, upstream, version, client, leg, opening, slot }), result))
}

fn client_facts(request: &Request, version: ProtocolVersion) -> Result<ClientFacts, Refusal> {
    let object = |key: &str| match request.param(key) {
        Some(Value::Object(object)) => Ok(object.clone()),
        _ => Err(Refusal::Malformed(
            sallyport_mcp::Error::InvalidParams(format!("`params.{key}` of initialize must be an object"))
                .refuse(Some(request.id.clone())),
        )),
    };
    Ok(ClientFacts {
        era: Era::Legacy,
        protocol_version: version.as_str().to_owned(),
        capabilities: object("capabilities")?,
        info: Some(object("clientInfo")?),
    })
}

/// What the client is told of the upstream, and the version that the session speaks.
fn greeting(leg: &dyn UpstreamSession, asked: ProtocolVersion) -> Result<(ProtocolVersion, Object), Refusal> {
    let facts = leg.facts();
    match facts.era {
        Era::Legacy => {
            // A shared process has agreed on a version of its own; the client is promised no newer one
            // than it asked for.
            let version = ProtocolVersion::parse(&facts.protocol_version).map_or(asked, |theirs| theirs.min(asked));
            let mut result = facts.about.clone();
            handshake::relay_initialize(&mut result, version);
            Ok((version, result))
        }
        Era::Modern => {
            let result = handshake::initialize_result(facts.about.clone(), asked, true).map_err(bad_result)?;
            Ok((asked, result))
        }
    }
}

/// A request in a session; its frames go down `outlet`.
pub(crate) async fn request(gate: &Gate, posted: &Posted, session: Arc<Session>, request: Request, outlet: Outlet) {
    let id = request.id.clone();
    let version = session.version.as_str();
    if request.method == "ping" {
        return answer_now(&outlet, &id, Object::new()).await;
    }
    let entry = about(&request, version, None);
    let permitted = match conduct::permit(gate, &posted.caller, Era::Legacy, request).await {
        Ok(permitted) => permitted,
        Err(refusal) => return refuse(gate, posted, entry, id, refusal, &outlet).await,
    };
    if let Err(refusal) = forward(gate, posted, session, permitted, outlet.clone()).await {
        refuse(gate, posted, entry, id, refusal, &outlet).await;
    }
}

/// Starts what was permitted. An error means that nothing was started.
async fn forward(
    gate: &Gate,
    posted: &Posted,
    session: Arc<Session>,
    permitted: Permitted,
    outlet: Outlet,
) -> Result<(), Refusal> {
    let modern = session.leg.facts().era == Era::Modern;
    let method = permitted.request().method.clone();
    if method == "initialize" {
        let what = "this session is initialized already; open another without MCP-Session-Id".to_owned();
        return Err(Refusal::Http { status: StatusCode::BAD_REQUEST, what });
    }
    if modern && rule(&method).answerer == Answerer::UpstreamIfLegacy {
        let result = keep_for_modern(&session, permitted.request())?;
        gate.record_control(posted, permitted.request(), session.version.as_str()).await?;
        answer_now(&outlet, &permitted.request().id, result).await;
        return Ok(());
    }
    let id = &permitted.request().id;
    let running = session.begin(id).ok_or_else(|| {
        let what = "a request with this id is in progress; use an id once in a session";
        Refusal::Malformed(sallyport_mcp::Error::InvalidRequest(what).refuse(Some(id.clone())))
    })?;
    let slot = gate.slots().take(What::Calls, posted.caller.binding(), gate.config().limits.calls)?;
    let pending = conduct::open(
        gate,
        posted,
        Era::Legacy,
        session.version.as_str(),
        &permitted,
        slot,
        Some(&session.client.capabilities),
    );
    let pending = pending.await?;
    if modern {
        gate.work().run(relay::legacy_to_modern::run(pending, session, running, permitted, outlet));
    } else {
        gate.work().run(relay::legacy_to_legacy::run(pending, session, running, permitted, outlet));
    }
    Ok(())
}

/// State that a legacy upstream would keep, kept here for a modern one.
fn keep_for_modern(session: &Session, request: &Request) -> Result<Object, Refusal> {
    let about = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(Some(request.id.clone())));
    match request.method.as_str() {
        "logging/setLevel" => {
            let level = notifications::set_level(request.params.as_ref()).map_err(about)?;
            if let Ok(mut kept) = session.log_level.lock() {
                *kept = Some(level);
            }
        }
        "resources/subscribe" | "resources/unsubscribe" => {
            let uri = request.param_str("uri").unwrap_or_default().to_owned();
            let subscribe = request.method == "resources/subscribe";
            session.subscriptions.send_if_modified(|all| {
                if subscribe { all.len() < MOST_SUBSCRIPTIONS && all.insert(uri) } else { all.remove(&uri) }
            });
        }
        _ => return Err(Refusal::Denied(Reason::MethodNotAllowed { method: request.method.clone() })),
    }
    Ok(Object::new())
}

const MOST_SUBSCRIPTIONS: usize = 256;

async fn answer_now(outlet: &Outlet, id: &sallyport_mcp::RequestId, result: Object) {
    let response = RpcResponse::result(id.clone(), result);
    let _ = outlet.send(Frame::Answer { response, status: StatusCode::OK, id: None }).await;
}

async fn refuse(
    gate: &Gate,
    posted: &Posted,
    entry: About,
    id: sallyport_mcp::RequestId,
    refusal: Refusal,
    outlet: &Outlet,
) {
    let recorded = gate.records().refused(&posted.caller.subject(posted.bytes), entry, &refusal).await;
    let refusal = recorded.map_or_else(Refusal::NoRecord, |_| refusal);
    let _ = outlet.send(Frame::Refused { refusal, id: Some(id) }).await;
}

/// A notification in a session.
pub(crate) async fn notification(
    gate: &Gate,
    posted: Posted,
    session: &Session,
    notification: Notification,
) -> Response {
    let method = notification.method.clone();
    match notified(gate, &posted, session, notification).await {
        Ok(()) => respond::empty(StatusCode::ACCEPTED),
        Err(refusal) => {
            let rejected = Rejected::unread(&sanitise_text(&method), posted.bytes);
            gate.refuse(&posted.caller, rejected, refusal).await
        }
    }
}

/// Passes a notification on, if it is one that this session's upstream may get. A request without an id
/// is none: `tools/call` sent as a notification must not become a call that nobody authorized.
pub(crate) async fn notified(
    gate: &Gate,
    posted: &Posted,
    session: &Session,
    notification: Notification,
) -> Result<(), Refusal> {
    let modern = session.leg.facts().era == Era::Modern;
    match notification.method.as_str() {
        "notifications/cancelled" => {
            cancel(session, &notification).await;
            return Ok(());
        }
        "notifications/initialized" => return Ok(()),
        "notifications/progress" | "notifications/roots/list_changed" | "notifications/tasks/status" => {}
        method if method.starts_with("notifications/") && rule(method).kind == Kind::Other => {
            authorize_extension(posted)?;
            let entry = About { method: sanitise_text(method), ..About::default() };
            let open = gate.records().open_call(&posted.caller.subject(posted.bytes), entry, true).await?;
            open.close(OutcomeStatus::Succeeded, None).await?;
        }
        method => return Err(Refusal::Denied(Reason::MethodNotAllowed { method: method.to_owned() })),
    }
    if !modern && let Err(error) = session.leg.notify(notification).await {
        tracing::debug!(%error, "a notification could not be passed on");
    }
    Ok(())
}

/// What nobody has thought about needs the write scope, as its requests do.
fn authorize_extension(posted: &Posted) -> Result<(), Refusal> {
    let write = scopes::group(posted.caller.arrived.served.name(), Group::Write);
    let held = &posted.caller.principal().scopes;
    if held.contains(&write) {
        return Ok(());
    }
    let needed = Needed { narrowest: write.clone(), group: write }.challenge(held);
    Err(Refusal::Denied(Reason::InsufficientScope { needed }))
}

async fn cancel(session: &Session, notification: &Notification) {
    let Some(id) = notification.param("requestId").and_then(sallyport_mcp::RequestId::from_value) else { return };
    let reason = notification.param("reason").and_then(Value::as_str);
    // Towards a modern upstream the call has an id of the gate's own, and its task cancels it.
    if session.cancel(&id).await && session.leg.facts().era == Era::Legacy {
        session.leg.cancel(&id, reason).await;
    }
}

/// The client's answer to a request that was sent to it.
pub(crate) async fn answer(gate: &Gate, posted: Posted, session: &Session, response: RpcResponse) -> Response {
    match answered(gate, &posted, session, response).await {
        Ok(()) => respond::empty(StatusCode::ACCEPTED),
        Err(refusal) => gate.refuse(&posted.caller, Rejected::unread("response", posted.bytes), refusal).await,
    }
}

/// Hands an answer to whoever asked, once it is in the log. It is matched to this session's own open
/// questions, and to no other; one that cannot be recorded leaves its question open.
pub(crate) async fn answered(
    gate: &Gate,
    posted: &Posted,
    session: &Session,
    response: RpcResponse,
) -> Result<(), Refusal> {
    let id = response.id.clone().ok_or(Refusal::NothingAsked)?;
    let asked = session.take_asked(&id).ok_or(Refusal::NothingAsked)?;
    if asked.method != "ping" {
        let answer = record::answered(&asked.method, id.to_string(), &response.outcome);
        let subject = posted.caller.subject(posted.bytes);
        if let Err(error) = gate.records().answered(&subject, None, vec![answer]).await {
            session.ask(id, asked);
            return Err(error.into());
        }
    }
    match asked.by {
        Asker::Upstream => session.leg.respond(response).await.map_err(Refusal::from),
        Asker::Gate(waiting) => waiting.send(response).map_err(|_| Refusal::NothingAsked),
    }
}

/// Ends a session: its calls, its streams, its upstream's half, and its entries in the log.
pub(crate) async fn end(gate: &Gate, id: &McpSessionId, why: &str) {
    let Some(session) = gate.sessions().remove(id) else { return };
    session.leg.close().await;
    let (calls, opening) = session.take_open();
    for call in calls {
        call.cancelled("session ended").await;
    }
    if let Some(opening) = opening
        && let Err(error) = opening.close(OutcomeStatus::Succeeded, Some(why.to_owned())).await
    {
        tracing::error!(%error, "the end of a session could not be recorded");
    }
}

impl Gate {
    /// Records a request that the gate answers from its own state.
    async fn record_control(&self, posted: &Posted, request: &Request, version: &str) -> Result<(), Refusal> {
        if !recorded(&request.method) {
            return Ok(());
        }
        let entry = about(request, version, None);
        let open = self.records().open_call(&posted.caller.subject(posted.bytes), entry, false).await?;
        open.close(OutcomeStatus::Succeeded, None).await?;
        Ok(())
    }
}
