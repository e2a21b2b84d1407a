//! Legacy client, legacy upstream: event by event, ids and all.

use std::sync::Arc;

use futures::StreamExt;
use sallyport_mcp::{Message, RequestId};
use tokio_util::sync::CancellationToken;

use crate::{
    authorize::Permitted,
    frames::{Frame, Outlet},
    pending::Pending,
    relay::{broke, no_answer, outgoing},
    sessions::{Asked, Session},
    upstream::{Delivered, UpstreamStream},
};

/// Runs the call to its end, or to where the client has to resume it.
pub(crate) async fn run(pending: Pending, session: Arc<Session>, permitted: Permitted, outlet: Outlet) {
    let (request, tool) = permitted.into_request();
    let id = request.id.clone();
    let cancelled = session.ended.child_token();
    if let Ok(mut calls) = session.in_progress.lock() {
        calls.insert(id.clone(), cancelled.clone());
    }
    match session.leg.request(outgoing(request, tool.as_ref())).await {
        Ok(stream) => relay(pending, &session, &id, stream, outlet, cancelled).await,
        Err(error) => broke(pending, &outlet, error).await,
    }
    if let Ok(mut calls) = session.in_progress.lock() {
        calls.remove(&id);
    }
}

async fn relay(
    pending: Pending,
    session: &Session,
    id: &RequestId,
    mut stream: UpstreamStream,
    outlet: Outlet,
    cancelled: CancellationToken,
) {
    let mut resumable = false;
    loop {
        let delivered = tokio::select! {
            delivered = stream.next() => delivered,
            () = cancelled.cancelled() => return pending.cancelled("by the client").await,
        };
        match delivered {
            None if resumable => return suspend(pending, session, id),
            None => return broke(pending, &outlet, no_answer()).await,
            Some(Err(error)) => return broke(pending, &outlet, error).await,
            Some(Ok(Delivered::Message { message: Message::Response(response), sse_id, .. })) => {
                return pending.answer(&outlet, response, sse_id).await;
            }
            Some(Ok(delivered)) => {
                resumable |= has_id(&delivered);
                if pending.alive().is_err() {
                    return pending.cancelled("revoked").await;
                }
                let sent = outlet.send(frame(session, delivered)).await;
                // A client that comes back resumes where it was; one that cannot still gets its record.
                if sent.is_err() && resumable {
                    return suspend(pending, session, id);
                }
            }
        }
    }
}

/// Keeps the call open until its answer comes on a resumed stream.
fn suspend(pending: Pending, session: &Session, id: &RequestId) {
    if let Ok(mut calls) = session.suspended.lock() {
        calls.insert(id.clone(), pending);
    }
}

fn has_id(delivered: &Delivered) -> bool {
    match delivered {
        Delivered::Message { sse_id, .. } | Delivered::Priming { sse_id, .. } => sse_id.is_some(),
    }
}

/// What the upstream delivered, for a legacy client. A question to the client is remembered, so that
/// its answer finds the way back.
pub(crate) fn frame(session: &Session, delivered: Delivered) -> Frame {
    match delivered {
        Delivered::Priming { sse_id, retry_ms } => Frame::Prime { id: sse_id, retry: retry_ms },
        Delivered::Message { message, sse_id, retry_ms } => {
            if let Message::Request(request) = &message {
                session.ask(request.id.clone(), Asked::Upstream);
            }
            Frame::Message { message, id: sse_id, retry: retry_ms }
        }
    }
}
