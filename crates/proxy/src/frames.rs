//! What a call sends back, one frame after the other, and the pipe between the call and its answer.
//!
//! A call runs in a task of its own: a client that goes away cannot stop it half-way from being
//! recorded. The pipe holds few frames, so that a slow client slows its upstream and not our memory.

use http::StatusCode;
use sallyport_mcp::{Message, Response, sse};
use tokio::sync::mpsc;

use crate::refusal::Refusal;

const DEPTH: usize = 8;

/// One step of an answer.
#[derive(Debug)]
pub(crate) enum Frame {
    /// An event without a message, so that the client can resume (2025-11-25).
    Prime {
        /// The event's id.
        id: Option<String>,
        /// Milliseconds to wait before resuming.
        retry: Option<u64>,
    },
    /// A message before the answer.
    Message {
        /// The message.
        message: Message,
        /// The event's id.
        id: Option<String>,
        /// Milliseconds to wait before resuming.
        retry: Option<u64>,
    },
    /// The answer; nothing follows.
    Answer {
        /// The response.
        response: Response,
        /// For an answer that is not a stream.
        status: StatusCode,
        /// The event's id.
        id: Option<String>,
    },
    /// A refusal; nothing follows.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Of the request.
        id: Option<sallyport_mcp::RequestId>,
    },
    /// A stream begins that may stay silent.
    Opened,
}

impl Frame {
    /// The frame as an event of a stream.
    pub(crate) fn event(&self) -> sse::Event {
        let of = |text: Vec<u8>, id: &Option<String>, retry: Option<u64>| sse::Event {
            id: id.clone(),
            event: Some("message".to_owned()),
            data: Some(String::from_utf8(text).unwrap_or_default()),
            retry,
        };
        match self {
            Self::Prime { id, retry } => {
                sse::Event { id: id.clone(), event: None, data: Some(String::new()), retry: *retry }
            }
            Self::Message { message, id, retry } => of(message.to_vec(), id, *retry),
            Self::Answer { response, id, .. } => of(Message::Response(response.clone()).to_vec(), id, None),
            Self::Refused { refusal, id } => {
                let response = refusal.rpc().response(id.clone());
                of(Message::Response(response).to_vec(), &None, None)
            }
            Self::Opened => sse::Event::default(),
        }
    }
}

/// The client went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The call's end of the pipe.
#[derive(Debug, Clone)]
pub(crate) struct Outlet(mpsc::Sender<Frame>);

/// The answer's end of the pipe.
pub(crate) type Inlet = mpsc::Receiver<Frame>;

/// A pipe.
pub(crate) fn pipe() -> (Outlet, Inlet) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    (Outlet(sender), receiver)
}

impl Outlet {
    /// Sends a frame; waits while the pipe is full.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), Gone> {
        self.0.send(frame).await.map_err(|_| Gone)
    }

    /// Sends a message without an event id.
    pub(crate) async fn message(&self, message: Message) -> Result<(), Gone> {
        self.send(Frame::Message { message, id: None, retry: None }).await
    }

    /// Resolves when the client goes away.
    pub(crate) async fn gone(&self) {
        self.0.closed().await;
    }

    /// Whether the client went away.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}
