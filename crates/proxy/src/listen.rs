//! Streams that outlive a call: a legacy client's GET, a modern client's `subscriptions/listen`.
//!
//! Their opening is in the log before their first byte. They end when the client goes away, the
//! session ends, the upstream ends them or is not served any more, the principal is revoked or the token runs
//! out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::StreamExt;
use http::StatusCode;
use sallyport_mcp::{
    Era, Message, Notification, Object, Request, RequestId, RequestMeta, Response as RpcResponse,
    errors::METHOD_NOT_FOUND,
    meta::TASKS_EXTENSION,
    methods::rule,
    translate::{
        handshake::meta_from_initialize,
        notifications::{Filter, listen_result, tag, untag},
    },
};
use sallyport_model::{EventKind, Principal, event::OutcomeStatus};
use serde_json::Value;

use crate::{
    authenticate::Authenticated,
    conduct,
    frames::{Frame, Inlet, Outlet, pipe},
    gate::{Gate, Rejected, header_text},
    modern,
    post::{Posted, about, session_of},
    record::{About, Open},
    refusal::Refusal,
    relay::{legacy_to_legacy, legacy_to_modern::initialize_params},
    respond::Reply,
    revocation::Dead,
    served::Served,
    sessions::{Elsewhere, Session},
    slots::{Slot, What},
    upstream::{Delivered, Outgoing, UpstreamError, UpstreamSession, UpstreamStream},
};

/// How often a quiet stream looks whether it may go on.
const WATCH: Duration = Duration::from_millis(250);

/// A stream in progress.
struct Lasting {
    gate: Gate,
    served: Arc<Served>,
    principal: Arc<Principal>,
    open: Open,
    _slot: Slot,
}

impl Lasting {
    /// Resolves when the principal may not be sent anything more, or the gate stops.
    async fn ended(&self) -> &'static str {
        loop {
            if self.gate.revocations().check(&self.principal).is_err() {
                return "revoked";
            }
            if self.gate.admitted(&self.served).is_err() {
                return "the upstream is not served any more";
            }
            if self.principal.expires_at <= self.gate.clock().now() {
                return "the token ran out";
            }
            tokio::select! {
                () = tokio::time::sleep(WATCH) => {}
                () = self.gate.work().stopped() => return "the gate stopped",
            }
        }
    }

    async fn close(self, why: &str) {
        if let Err(error) = self.open.close(OutcomeStatus::Succeeded, Some(why.to_owned())).await {
            tracing::error!(%error, "the end of a stream could not be recorded");
        }
    }
}

/// Handles a GET.
pub(crate) async fn get(gate: &Gate, caller: Authenticated) -> Reply {
    let served = Arc::clone(&caller.arrived.served);
    let last = header_text(&caller.arrived.headers, "last-event-id").map(str::to_owned);
    let admitted = match gate.admit(&served) {
        Ok(admitted) => admitted,
        Err(held) => {
            let refusal = Refusal::Dead(Dead::Held(held));
            return gate.refuse(&caller, Rejected::unread("GET", 0), refusal).await.into();
        }
    };
    let posted = Posted { caller, bytes: 0, large: None, _admitted: admitted };
    match opened(gate, &posted, last).await {
        Ok(inlet) => Reply::Coming { inlet, served, era: Era::Legacy },
        Err(refusal) => gate.refuse(&posted.caller, Rejected::unread("GET", 0), refusal).await.into(),
    }
}

async fn opened(gate: &Gate, posted: &Posted, last: Option<String>) -> Result<Inlet, Refusal> {
    // A modern client, or one without a session, has no such stream (2026-07-28 streamable-http).
    let session = match session_of(gate, &posted.caller) {
        Err(Refusal::Http { .. }) => {
            return Err(Refusal::NotOffered("a GET stream belongs to a session; send MCP-Session-Id"));
        }
        other => other?,
    };
    let slot = gate.slots().take(What::Streams, posted.caller.binding(), gate.config().limits.streams)?;
    let modern = session.leg.facts().era == Era::Modern;
    if let Some(last) = last.as_deref().filter(|last| !modern && !session.given.contains(last)) {
        tracing::info!(length = last.len(), "an event id that this session was not given");
        let what = "Last-Event-ID names no event that this session was given; open the stream without it".to_owned();
        return Err(Refusal::Http { status: StatusCode::BAD_REQUEST, what });
    }
    let stream = if modern { None } else { Some(legacy_stream(&session, last.as_deref()).await?) };
    let entry =
        About { method: "GET".to_owned(), protocol_version: Some(session.version.to_string()), ..About::default() };
    let lasting = start(gate, &posted.caller, entry, slot).await?;
    let (outlet, inlet) = pipe();
    // The head goes out at once: a client waits for it before it trusts the stream.
    let _ = outlet.send(Frame::Opened).await;
    match stream {
        Some(stream) => gate.work().run_stream(relay_legacy(lasting, session, stream, outlet)),
        None => gate.work().run_stream(relay_subscriptions(lasting, session, outlet)),
    };
    Ok(inlet)
}

async fn legacy_stream(session: &Session, last: Option<&str>) -> Result<UpstreamStream, Refusal> {
    session.leg.listen(last).await.map_err(|error| match error {
        UpstreamError::NotOffered(_) => Refusal::NotOffered("this server offers no GET stream"),
        other => Refusal::from(other),
    })
}

async fn start(gate: &Gate, caller: &Authenticated, entry: About, slot: Slot) -> Result<Lasting, Refusal> {
    let kinds = (EventKind::StreamOpened, EventKind::StreamClosed);
    let open = gate.records().open_lasting(&caller.subject(0), entry, kinds.0, kinds.1).await?;
    let served = Arc::clone(&caller.arrived.served);
    Ok(Lasting { gate: gate.clone(), served, principal: Arc::clone(caller.principal()), open, _slot: slot })
}

/// A legacy upstream's stream, event by event. Answers of suspended calls are released on their record.
async fn relay_legacy(lasting: Lasting, session: Arc<Session>, mut stream: UpstreamStream, outlet: Outlet) {
    let why = loop {
        let delivered = tokio::select! {
            // First, so that a stream that never pauses cannot outlive its right to be.
            biased;
            why = lasting.ended() => break why,
            () = session.ended.cancelled() => break "the session ended",
            () = outlet.gone() => break "the client went away",
            delivered = stream.next() => delivered,
        };
        if let Some(Ok(delivered)) = &delivered {
            legacy_to_legacy::note(&session, delivered);
        }
        match delivered {
            None => break "the upstream ended it",
            Some(Err(_)) => break "the upstream failed",
            Some(Ok(Delivered::Message { message: Message::Response(response), sse_id, .. })) => {
                session.arrived(Elsewhere { response, sse_id, outlet: outlet.clone() }).await;
            }
            Some(Ok(delivered)) => {
                let Some(frame) = legacy_to_legacy::frame(&session, delivered).await else { continue };
                if outlet.send(frame).await.is_err() {
                    break "the client went away";
                }
            }
        }
    };
    lasting.close(why).await;
}

/// A modern upstream's changes for a legacy client; begins anew when what it subscribes to changes.
async fn relay_subscriptions(lasting: Lasting, session: Arc<Session>, outlet: Outlet) {
    let mut wanted = session.subscriptions.subscribe();
    let why = loop {
        let uris = wanted.borrow_and_update().clone();
        let stream = subscribed(&lasting.gate, &session, &uris).await;
        let Ok(mut stream) = stream else {
            // Nothing will come; the client keeps its quiet stream all the same.
            break tokio::select! {
                () = outlet.gone() => "the client went away",
                () = session.ended.cancelled() => "the session ended",
                why = lasting.ended() => why,
            };
        };
        let ended = loop {
            let delivered = tokio::select! {
                biased;
                why = lasting.ended() => break Some(why),
                () = session.ended.cancelled() => break Some("the session ended"),
                () = outlet.gone() => break Some("the client went away"),
                changed = wanted.changed() => if changed.is_ok() { break None } else { break Some("the session ended") },
                delivered = stream.next() => delivered,
            };
            let Some(Ok(delivered)) = delivered else { break Some("the upstream ended it") };
            if let Some(Message::Notification(notification)) = delivered.message()
                && let Some(message) = untagged(notification.clone())
                && outlet.message(message).await.is_err()
            {
                break Some("the client went away");
            }
        };
        if let Some(why) = ended {
            break why;
        }
    };
    lasting.close(why).await;
}

fn untagged(mut notification: Notification) -> Option<Message> {
    untag(&mut notification);
    let acknowledged = notification.method == "notifications/subscriptions/acknowledged";
    (!acknowledged).then_some(Message::Notification(notification))
}

async fn subscribed(gate: &Gate, session: &Session, uris: &BTreeSet<String>) -> Result<UpstreamStream, UpstreamError> {
    let mut filter = Filter {
        tools: true,
        prompts: true,
        resources: true,
        resource_uris: uris.iter().cloned().collect(),
        task_ids: Vec::new(),
    };
    filter.limit_to(&capabilities(session.leg.as_ref()));
    let mut params = filter.to_params();
    if let Ok(meta) = meta_from_initialize(&initialize_params(session), None) {
        meta.insert(&mut params);
    }
    let request = Request::new(gate.fresh_id(), "subscriptions/listen", Some(params));
    session.leg.request(Outgoing::new(request)).await
}

fn capabilities(leg: &dyn UpstreamSession) -> Object {
    match leg.facts().about.get("capabilities") {
        Some(Value::Object(capabilities)) => capabilities.clone(),
        _ => Object::new(),
    }
}

/// Handles `subscriptions/listen`.
pub(crate) async fn subscribe(
    gate: &Gate,
    posted: &Posted,
    request: Request,
    meta: RequestMeta,
) -> Result<Inlet, Refusal> {
    let caller = &posted.caller;
    let served = &caller.arrived.served;
    let about_error = |error: sallyport_mcp::Error| Refusal::Malformed(error.refuse(Some(request.id.clone())));
    let mut filter = Filter::read(request.params.as_ref()).map_err(about_error)?;
    if !filter.task_ids.is_empty() && !meta.client_capabilities.extension(TASKS_EXTENSION) {
        return Err(about_error(conduct::tasks_undeclared()));
    }
    restrict(gate, caller, &mut filter);
    let slot = gate.slots().take(What::Streams, caller.binding(), gate.config().limits.streams)?;
    let leg = gate.leg(served, caller.principal(), &meta).await?;
    filter.limit_to(&capabilities(leg.as_ref()));
    if leg.facts().era == Era::Legacy {
        // What such an upstream says of a task lacks what a modern client is told: it polls.
        filter.task_ids.clear();
    }
    let entry = about(&request, meta.protocol_version.as_str(), None);
    let lasting = start(gate, caller, entry, slot).await?;
    let (outlet, inlet) = pipe();
    let source = match leg.facts().era {
        Era::Modern => modern_changes(gate, leg.as_ref(), &request, &filter).await,
        Era::Legacy => legacy_changes(gate, leg.as_ref(), &filter).await,
    };
    match source {
        Ok(stream) => {
            gate.work().run_stream(relay_changes(lasting, leg, stream, filter, request.id, outlet));
            Ok(inlet)
        }
        Err(error) => {
            lasting.close("the upstream failed").await;
            Err(error.into())
        }
    }
}

/// Only resources that the principal may read, and tasks that are its own.
fn restrict(gate: &Gate, caller: &Authenticated, filter: &mut Filter) {
    let served = &caller.arrived.served;
    if !served.reading_needs().met_by(&caller.principal().scopes) {
        filter.resource_uris.clear();
    }
    let binding = caller.binding();
    filter.task_ids.retain(|task| gate.tasks().owned(served.name(), task, &binding));
}

async fn modern_changes(
    gate: &Gate,
    leg: &dyn UpstreamSession,
    request: &Request,
    filter: &Filter,
) -> Result<UpstreamStream, UpstreamError> {
    let mut request = Request { id: gate.fresh_id(), ..request.clone() };
    let params = request.params.get_or_insert_with(Object::new);
    params.extend(filter.to_params());
    leg.request(Outgoing::new(request)).await
}

/// A legacy upstream announces on its GET stream, and resources after `resources/subscribe`. One without
/// such a stream announces nothing; the subscription stays open and quiet.
async fn legacy_changes(
    gate: &Gate,
    leg: &dyn UpstreamSession,
    filter: &Filter,
) -> Result<UpstreamStream, UpstreamError> {
    let stream = match leg.listen(None).await {
        Err(UpstreamError::NotOffered(_)) => return Ok(Box::pin(futures::stream::pending())),
        other => other?,
    };
    for uri in &filter.resource_uris {
        control(gate, leg, "resources/subscribe", uri).await?;
    }
    Ok(stream)
}

async fn control(gate: &Gate, leg: &dyn UpstreamSession, method: &str, uri: &str) -> Result<(), UpstreamError> {
    debug_assert!(rule(method).legacy);
    let params = Object::from_iter([("uri".to_owned(), uri.into())]);
    let mut answer = leg.request(Outgoing::new(Request::new(gate.fresh_id(), method, Some(params)))).await?;
    while let Some(delivered) = answer.next().await {
        if let Some(Message::Response(_)) = delivered?.message() {
            break;
        }
    }
    Ok(())
}

async fn relay_changes(
    lasting: Lasting,
    leg: Arc<dyn UpstreamSession>,
    mut stream: UpstreamStream,
    filter: Filter,
    listen: RequestId,
    outlet: Outlet,
) {
    let first = modern::message(Message::Notification(filter.acknowledgement(&listen)));
    let mut why = if outlet.send(first).await.is_ok() { None } else { Some("the client went away") };
    while why.is_none() {
        let delivered = tokio::select! {
            biased;
            ended = lasting.ended() => { why = Some(ended); continue }
            () = outlet.gone() => { why = Some("the client went away"); continue }
            delivered = stream.next() => delivered,
        };
        match delivered {
            None | Some(Err(_)) => why = Some("the upstream ended it"),
            Some(Ok(delivered)) => {
                if let Some(Message::Request(request)) = delivered.message() {
                    let _ = leg.respond(unaskable(request)).await;
                }
                if let Some(message) = change(&delivered, &filter, &listen)
                    && outlet.message(message).await.is_err()
                {
                    why = Some("the client went away");
                }
            }
        }
    }
    if leg.facts().era == Era::Legacy {
        for uri in &filter.resource_uris {
            let _ = control(&lasting.gate, leg.as_ref(), "resources/unsubscribe", uri).await;
        }
    }
    let why = why.unwrap_or("the upstream ended it");
    lasting.close(why).await;
    let _ = outlet.send(modern::ok(RpcResponse::result(listen.clone(), listen_result(&listen)))).await;
}

/// What an upstream is told that asks outside any call: there is nobody to put it to.
pub(crate) fn unaskable(request: &Request) -> RpcResponse {
    if request.method == "ping" {
        return RpcResponse::result(request.id.clone(), Object::new());
    }
    let error = sallyport_mcp::RpcError::new(METHOD_NOT_FOUND, "this client can be asked within a call only");
    error.response(Some(request.id.clone()))
}

/// A notification that was asked for, under the client's own subscription id.
fn change(delivered: &Delivered, filter: &Filter, listen: &RequestId) -> Option<Message> {
    let Some(Message::Notification(notification)) = delivered.message() else { return None };
    let mut notification = notification.clone();
    untag(&mut notification);
    if !filter.wants(&notification) {
        return None;
    }
    tag(&mut notification, listen);
    Some(Message::Notification(notification))
}
