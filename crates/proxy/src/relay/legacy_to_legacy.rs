//! Legacy client, legacy upstream: event by event, ids and all.

use std::sync::Arc;

use futures::StreamExt;
use sallyport_mcp::{
    ClientCapabilities, Error, Message, Request, RpcError, errors::INTERNAL_ERROR, translate::input::InputRequest,
};
use sallyport_model::event::OutcomeStatus;

use crate::{
    authorize::Permitted,
    frames::{Frame, Outlet},
    pending::Pending,
    refusal::Refusal,
    relay::{broke, no_answer, outgoing},
    sessions::{Asked, Asker, Running, Session},
    upstream::{Delivered, UpstreamError, UpstreamStream},
};

/// Runs the call to its end, or to where the client has to resume it.
pub(crate) async fn run(
    pending: Pending,
    session: Arc<Session>,
    running: Running,
    permitted: Permitted,
    outlet: Outlet,
) {
    let (request, tool) = permitted.into_request();
    let sent = tokio::select! {
        // First, because the upstream's half of a session ends with it, and looks like a failure then.
        biased;
        () = running.cancelled.cancelled() => return stopped(pending, &running, &outlet).await,
        sent = session.leg.request(outgoing(request, tool.as_ref())) => sent,
        dead = pending.revoked() => {
            session.leg.cancel(&pending.id, None).await;
            return pending.withhold(&outlet, dead).await;
        }
    };
    match sent {
        Ok(stream) => relay(pending, &session, running, stream, outlet).await,
        // The client has to initialize anew, as the specification tells it to on 404.
        Err(UpstreamError::SessionEnded) => {
            pending.fail(&outlet, Refusal::NoSession, OutcomeStatus::UpstreamFailed).await;
        }
        Err(error) => broke(pending, &outlet, error).await,
    }
}

async fn relay(
    mut pending: Pending,
    session: &Session,
    mut running: Running,
    mut stream: UpstreamStream,
    outlet: Outlet,
) {
    let mut resumable = false;
    loop {
        let delivered = tokio::select! {
            // First, because a cancelled call's stream just ends.
            biased;
            () = running.cancelled.cancelled() => return stopped(pending, &running, &outlet).await,
            delivered = stream.next() => delivered,
            Some(answer) = running.elsewhere.recv() => {
                drop(running);
                return pending.answer(&answer.outlet, answer.response, answer.sse_id).await;
            }
            dead = pending.revoked() => {
                session.leg.cancel(&pending.id, None).await;
                return pending.withhold(&outlet, dead).await;
            }
        };
        if let Some(Ok(delivered)) = &delivered {
            note(session, delivered);
        }
        match delivered {
            None if resumable => return suspend(pending, running).await,
            None => return broke(pending, &outlet, no_answer()).await,
            Some(Err(error)) => return broke(pending, &outlet, error).await,
            Some(Ok(Delivered::Message { message: Message::Response(response), sse_id, .. })) => {
                // Before the answer: its client may use the id again then.
                drop(running);
                return pending.answer(&outlet, response, sse_id).await;
            }
            Some(Ok(delivered)) => {
                resumable |= has_id(&delivered);
                let Some(frame) = frame(session, delivered).await else { continue };
                match pending.pass(&outlet, frame).await {
                    Ok(true) => {}
                    // A client that comes back resumes where it was; one that cannot still gets its record.
                    Ok(false) if resumable => return suspend(pending, running).await,
                    Ok(false) => {}
                    Err(refusal) => {
                        session.leg.cancel(&pending.id, None).await;
                        return pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
                    }
                }
            }
        }
    }
}

/// Ends a call that its client cancelled, which waits for no answer then, or whose session is over, which does.
async fn stopped(pending: Pending, running: &Running, outlet: &Outlet) {
    if running.session_is_over() {
        pending.session_ended(outlet).await;
    } else {
        pending.cancelled("by the client").await;
    }
}

/// Keeps the call open until its answer comes on a resumed stream.
async fn suspend(pending: Pending, running: Running) {
    if let Some((pending, answer)) = running.suspend(pending) {
        pending.answer(&answer.outlet, answer.response, answer.sse_id).await;
    }
}

/// Remembers the id of an event that the session's client gets, so that it may resume after it.
pub(crate) fn note(session: &Session, delivered: &Delivered) {
    let (Delivered::Message { sse_id, .. } | Delivered::Priming { sse_id, .. }) = delivered;
    if let Some(id) = sse_id {
        session.given.add(id);
    }
}

fn has_id(delivered: &Delivered) -> bool {
    match delivered {
        Delivered::Message { sse_id, .. } | Delivered::Priming { sse_id, .. } => sse_id.is_some(),
    }
}

/// What the upstream delivered, for a legacy client. A question to the client is remembered, so that
/// its answer finds the way back; one too many, or one that this client did not declare, is refused here.
pub(crate) async fn frame(session: &Session, delivered: Delivered) -> Option<Frame> {
    match delivered {
        Delivered::Priming { sse_id, retry_ms } => Some(Frame::Prime { id: sse_id, retry: retry_ms }),
        Delivered::Message { message, sse_id, retry_ms } => {
            if let Message::Request(request) = &message
                && let Err(error) = asked(session, request)
            {
                let _ = session.leg.respond(error.response(Some(request.id.clone()))).await;
                return None;
            }
            Some(Frame::Message { message, id: sse_id, retry: retry_ms })
        }
    }
}

/// Remembers what the upstream asks, or says why the client is not asked.
#[expect(clippy::result_large_err, reason = "once a question, and it is sent at once")]
fn asked(session: &Session, request: &Request) -> Result<(), RpcError> {
    match InputRequest::from_request(request) {
        Ok(input) => {
            let capabilities = ClientCapabilities(session.client.capabilities.clone());
            input.kind.permit(&capabilities).map_err(|_| input.kind.refusal(&capabilities))?;
        }
        // `ping`, and what neither this gate nor the client need know.
        Err(Error::MethodNotFound { .. }) => {}
        Err(error) => return Err(error.rpc()),
    }
    let asked = Asked { method: request.method.clone(), by: Asker::Upstream };
    let room = session.ask(request.id.clone(), asked);
    if room { Ok(()) } else { Err(RpcError::new(INTERNAL_ERROR, "too many requests wait for an answer")) }
}
