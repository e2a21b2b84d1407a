//! Last stage: frames become an HTTP response, a refusal becomes the right error.
//!
//! The one place of this crate that writes responses.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use sallyport_mcp::{Era, Message, RequestId, sse};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    frames::{Frame, Inlet},
    refusal::{Refusal, challenge},
    served::Served,
};

const QUIET: Duration = Duration::from_secs(15);

/// What a verb's handler comes to.
pub(crate) enum Reply {
    /// All of it.
    Ready(Response),
    /// Frames that are still to come.
    Coming {
        /// Where they come from; the client is gone when this is dropped.
        inlet: Inlet,
        /// The upstream.
        served: Arc<Served>,
        /// The client's era.
        era: Era,
    },
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Ready(response)
    }
}

impl Reply {
    /// The response. Waits for the first frame, in the task that is dropped when the client goes away.
    pub(crate) async fn response(self) -> Response {
        match self {
            Self::Ready(response) => response,
            Self::Coming { inlet, served, era } => respond(inlet, &served, era).await,
        }
    }
}

/// Answers with what comes down the pipe: JSON when the answer is the first frame, else a stream.
async fn respond(mut inlet: Inlet, served: &Served, era: Era) -> Response {
    match inlet.recv().await {
        Some(Frame::Answer { response, status, id: None }) => json(status, &Message::Response(response)),
        Some(Frame::Refused { refusal, id }) => refused(&refusal, id, Some(served), era),
        Some(first) => events(first, inlet),
        // Its client cancelled the call, and so waits for no answer (2025-11-25 basic/utilities/cancellation). A request
        // is answered by JSON or a stream all the same (basic/transports): a stream without a message.
        None => stream_of(stream::empty()),
    }
}

fn events(first: Frame, rest: Inlet) -> Response {
    let frames = stream::once(async { first }).chain(ReceiverStream::new(rest));
    let chunks = frames.map(|frame| match frame {
        Frame::Opened => Bytes::from_static(sse::KEEP_ALIVE),
        frame => frame.event().encode().unwrap_or_else(|_| Bytes::from_static(sse::KEEP_ALIVE)),
    });
    stream_of(chunks)
}

/// A stream of events that is kept open by comments.
fn stream_of(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let alive = tokio_stream::StreamExt::timeout_repeating(chunks, tokio::time::interval(QUIET));
    let body = alive.map(|chunk| Ok::<_, Infallible>(chunk.unwrap_or(Bytes::from_static(sse::KEEP_ALIVE))));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A single message as JSON.
pub(crate) fn json(status: StatusCode, message: &Message) -> Response {
    json_bytes(status, message.to_vec())
}

/// JSON text.
pub(crate) fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A refusal: status, JSON-RPC error, and the challenge where one is due.
pub(crate) fn refused(refusal: &Refusal, id: Option<RequestId>, served: Option<&Served>, era: Era) -> Response {
    let id = id.or_else(|| refusal.id());
    let status = if id.is_some() { refusal.answer_status(era) } else { refusal.status(era) };
    let rpc = refusal.rpc().response(id);
    let mut response = json(status, &Message::Response(rpc));
    let headers = response.headers_mut();
    if let Some(served) = served
        && let Some(text) = challenge(refusal, served.resource_metadata(), &served.offered().initial_scopes())
        && let Ok(value) = HeaderValue::from_str(&text)
    {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    match refusal {
        Refusal::Verb | Refusal::NotOffered(_) => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
        }
        Refusal::Denied(sallyport_model::Reason::LimitReached { .. }) | Refusal::NoRecord(_) | Refusal::Store => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        _ => {}
    }
    response
}
