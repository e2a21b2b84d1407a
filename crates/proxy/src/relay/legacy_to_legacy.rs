//! Legacy client, legacy upstream: event by event, ids and all.

use std::sync::Arc;

use futures::StreamExt;
use sallyport_mcp::{Message, RpcError, errors::INTERNAL_ERROR};
use sallyport_model::event::OutcomeStatus;

use crate::{
    authorize::Permitted,
    frames::{Frame, Outlet},
    pending::Pending,
    refusal::Refusal,
    relay::{broke, no_answer, outgoing},
    sessions::{Asked, Running, Session},
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
        sent = session.leg.request(outgoing(request, tool.as_ref())) => sent,
        () = running.cancelled.cancelled() => return pending.cancelled("by the client").await,
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
            () = running.cancelled.cancelled() => return pending.cancelled("by the client").await,
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

/// Keeps the call open until its answer comes on a resumed stream.
async fn suspend(pending: Pending, running: Running) {
    if let Some((pending, answer)) = running.suspend(pending) {
        pending.answer(&answer.outlet, answer.response, answer.sse_id).await;
    }
}

fn has_id(delivered: &Delivered) -> bool {
    match delivered {
        Delivered::Message { sse_id, .. } | Delivered::Priming { sse_id, .. } => sse_id.is_some(),
    }
}

/// What the upstream delivered, for a legacy client. A question to the client is remembered, so that
/// its answer finds the way back; one too many is refused here.
pub(crate) async fn frame(session: &Session, delivered: Delivered) -> Option<Frame> {
    match delivered {
        Delivered::Priming { sse_id, retry_ms } => Some(Frame::Prime { id: sse_id, retry: retry_ms }),
        Delivered::Message { message, sse_id, retry_ms } => {
            if let Message::Request(request) = &message
                && !session.ask(request.id.clone(), Asked::Upstream)
            {
                let error = RpcError::new(INTERNAL_ERROR, "too many requests wait for an answer");
                let _ = session.leg.respond(error.response(Some(request.id.clone()))).await;
                return None;
            }
            Some(Frame::Message { message, id: sse_id, retry: retry_ms })
        }
    }
}
