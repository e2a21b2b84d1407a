//! One client's view of a process.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::stream;
use sallyport_mcp::{Era, Message, Notification, RequestId, RequestMeta, Response};
use tokio::{sync::mpsc, time::Instant};

use super::{
    mux::{Item, Mux},
    process::Process,
};
use crate::upstream::{
    ASKED_IDLE, Delivered, Outgoing, ServerFacts, Timeouts, UpstreamError, UpstreamSession, UpstreamStream,
    handshake::complete_meta,
};

/// A session. Dropping it cancels its calls and leaves the process running, for the next session of the
/// same owner; closing the last one ends the process.
pub(super) struct StdioSession {
    process: Arc<Process>,
    number: u64,
    meta: RequestMeta,
    closed: AtomicBool,
}

impl fmt::Debug for StdioSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioSession").field("number", &self.number).finish_non_exhaustive()
    }
}

impl StdioSession {
    pub(super) fn new(process: Arc<Process>, meta: RequestMeta) -> Self {
        let number = process.enter();
        Self { process, number, meta, closed: AtomicBool::new(false) }
    }

    fn mux(&self) -> &Arc<Mux> {
        &self.process.line.mux
    }

    fn modern(&self) -> bool {
        self.process.agreed.facts.era == Era::Modern
    }

    fn check(&self) -> Result<(), UpstreamError> {
        if self.is_alive() { Ok(()) } else { Err(UpstreamError::SessionEnded) }
    }

    /// True when this was the last session.
    fn leave(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel) && self.process.leave(self.number)
    }

    async fn write(&self, message: &Message) -> Result<(), UpstreamError> {
        let after = self.process.line.timeouts.first;
        let late = |_| UpstreamError::TimedOut { what: "it reads no input", after, sent: false };
        tokio::time::timeout(after, self.mux().write(message.to_vec())).await.map_err(late)?
    }
}

impl Drop for StdioSession {
    fn drop(&mut self) {
        self.leave();
    }
}

#[async_trait]
impl UpstreamSession for StdioSession {
    fn facts(&self) -> &ServerFacts {
        &self.process.agreed.facts
    }

    async fn request(&self, outgoing: Outgoing) -> Result<UpstreamStream, UpstreamError> {
        self.check()?;
        let mut request = outgoing.request;
        if self.modern() {
            complete_meta(&mut request, &self.meta, self.process.agreed.version);
        }
        let quiet = request.method == "subscriptions/listen";
        let started = self.mux().start(self.number, request)?;
        let timeouts = self.process.line.timeouts;
        let mut call = CallStream {
            receiver: started.receiver,
            mux: Arc::clone(self.mux()),
            call: started.id,
            timeouts,
            quiet,
            modern: self.modern(),
            heard: false,
            finished: false,
            deadline: timeouts.total.map(|total| Instant::now() + total),
        };
        match tokio::time::timeout(timeouts.first, self.mux().write(started.bytes)).await {
            Ok(Ok(())) => Ok(Box::pin(stream::unfold(call, |mut call| async { Some((call.next().await?, call)) }))),
            Ok(Err(error)) => {
                call.forget();
                Err(error)
            }
            Err(_) => {
                call.forget();
                Err(UpstreamError::TimedOut { what: "it reads no input", after: timeouts.first, sent: false })
            }
        }
    }

    async fn notify(&self, notification: Notification) -> Result<(), UpstreamError> {
        self.check()?;
        match notification.method.as_str() {
            "notifications/initialized" => Ok(()),
            "notifications/cancelled" => {
                let id = notification.param("requestId").and_then(RequestId::from_value);
                if let Some(id) = id {
                    let reason = notification.param("reason").and_then(|reason| reason.as_str());
                    self.cancel(&id, reason).await;
                }
                Ok(())
            }
            _ => self.write(&notification.into()).await,
        }
    }

    async fn respond(&self, response: Response) -> Result<(), UpstreamError> {
        self.check()?;
        if self.modern() {
            return Err(UpstreamError::NotOffered("requests of its own, so nothing waits for an answer"));
        }
        let mine = response.id.as_ref().is_some_and(|id| self.mux().may_answer(self.number, id));
        if !mine {
            return Err(UpstreamError::UnknownRequest);
        }
        self.write(&response.into()).await
    }

    async fn listen(&self, last_event_id: Option<&str>) -> Result<UpstreamStream, UpstreamError> {
        self.check()?;
        if self.modern() {
            return Err(UpstreamError::NotOffered("a stream of its own messages; send subscriptions/listen"));
        }
        if last_event_id.is_some() {
            return Err(UpstreamError::NotOffered("resumption; messages over stdio have no event ids"));
        }
        let receiver = self.mux().listen(self.number)?;
        Ok(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver)))
    }

    async fn cancel(&self, id: &RequestId, reason: Option<&str>) {
        for call in self.mux().calls_named(self.number, id) {
            self.mux().abandon(call, reason);
        }
    }

    async fn close(&self) {
        if self.leave() {
            self.process.line.close();
            self.process.line.ended().await;
        }
    }

    fn is_alive(&self) -> bool {
        !self.closed.load(Ordering::Acquire) && self.process.line.is_alive()
    }
}

struct CallStream {
    receiver: mpsc::Receiver<Item>,
    mux: Arc<Mux>,
    call: i64,
    timeouts: Timeouts,
    /// It may rightly be silent for long.
    quiet: bool,
    modern: bool,
    heard: bool,
    finished: bool,
    deadline: Option<Instant>,
}

impl CallStream {
    async fn next(&mut self) -> Option<Item> {
        if self.finished {
            return None;
        }
        let (what, after) = self.patience();
        let item = match after {
            None => self.receiver.recv().await,
            Some(after) => match tokio::time::timeout(after, self.receiver.recv()).await {
                Ok(item) => item,
                Err(_) => {
                    self.finished = true;
                    self.mux.abandon(self.call, Some("it took too long"));
                    return Some(Err(UpstreamError::TimedOut { what, after, sent: true }));
                }
            },
        };
        self.heard = true;
        if matches!(&item, Some(Ok(delivered)) if matches!(delivered.message(), Some(Message::Request(_)))) {
            self.timeouts.idle = self.timeouts.idle.max(ASKED_IDLE);
        }
        let more = matches!(&item, Some(Ok(delivered)) if !is_response(delivered));
        self.finished = !more;
        item
    }

    fn patience(&self) -> (&'static str, Option<Duration>) {
        let step = match (self.heard, self.quiet) {
            (false, _) => ("first byte", Some(self.timeouts.first)),
            (true, false) => ("silence", Some(self.timeouts.idle)),
            (true, true) => ("silence", None),
        };
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match (step.1, left) {
            (Some(step), Some(left)) if left < step => ("whole call", Some(left)),
            (None, Some(left)) => ("whole call", Some(left)),
            _ => step,
        }
    }

    /// The request was never written.
    fn forget(&mut self) {
        self.finished = true;
        self.mux.forget(self.call);
    }
}

fn is_response(delivered: &Delivered) -> bool {
    matches!(delivered.message(), Some(Message::Response(_)))
}

impl Drop for CallStream {
    /// A disconnect is a cancellation in the modern era and is none in the legacy one.
    fn drop(&mut self) {
        if !self.finished && self.modern {
            self.mux.abandon(self.call, Some("the client went away"));
        }
    }
}
