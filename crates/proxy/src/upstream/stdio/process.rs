//! One process: its tasks, its handshake and its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sallyport_mcp::{Incoming, Limits, Message, Notification, ProtocolVersion, Request, Response, envelope};
use sallyport_outbound::{
    Error as OutError,
    stdio::{Child, ChildHandle, Lines, Stdin},
};
use tokio::{
    process::ChildStdout,
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::mux::Mux;
use crate::upstream::{
    ClientFacts, Delivered, Timeouts, UpstreamError,
    eras::Known,
    handshake::{Agreed, Asked, Asker, agree},
};

/// Lines that wait for the process to read them.
const INPUT_QUEUE: usize = 64;
/// Legacy processes may send batches (2025-03-26).
const LIMITS: Limits = Limits { depth: Limits::DEPTH_CEILING, batch: 64 };
/// The handshake's own session number.
const HANDSHAKE: u64 = 0;
/// From the end of a process's output to its exit.
const EXIT_GRACE: Duration = Duration::from_millis(500);
/// For how long a call that nobody reads may run on.
const SWEEP: Duration = Duration::from_secs(600);

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub code: Option<i32>,
    /// Nobody had told it to.
    pub crashed: bool,
    pub lived: Duration,
}

/// The pipes of a process that runs; the era is not known yet.
#[derive(Debug)]
pub(super) struct Line {
    pub mux: Arc<Mux>,
    pub timeouts: Timeouts,
    closing: CancellationToken,
    ended: watch::Receiver<Option<Ended>>,
}

/// A process that is ready.
#[derive(Debug)]
pub(super) struct Process {
    pub line: Line,
    pub agreed: Agreed,
    sessions: AtomicUsize,
    next_session: AtomicU64,
}

impl Line {
    /// Starts the tasks of a process that was just spawned.
    pub(super) fn attach(child: Child, mux: Arc<Mux>, input: mpsc::Receiver<Vec<u8>>, times: Times) -> Self {
        let Child { stdin, stdout, handle } = child;
        let closing = CancellationToken::new();
        let (sender, ended) = watch::channel(None);
        tokio::spawn(write(stdin, input, closing.clone()));
        let reader = Reader { stdout, handle, mux: Arc::clone(&mux), closing: closing.clone() };
        tokio::spawn(reader.run(times.idle_stop, sender));
        Self { mux, timeouts: times.timeouts, closing, ended }
    }

    /// Whether it runs and was not told to end.
    pub(super) fn is_alive(&self) -> bool {
        !self.closing.is_cancelled() && self.ended.borrow().is_none()
    }

    /// Tells it to end.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits for its end.
    pub(super) fn ended(&self) -> impl Future<Output = Option<Ended>> + Send + 'static {
        let mut ended = self.ended.clone();
        async move { ended.wait_for(Option::is_some).await.ok().and_then(|found| *found) }
    }

    /// Shakes hands.
    pub(super) async fn greet(self, client: &ClientFacts, known: Known) -> Result<Process, (Self, UpstreamError)> {
        match agree(&self, client, known).await {
            Ok(agreed) => {
                self.mux.speaks(agreed.facts.era);
                self.mux.leave(HANDSHAKE);
                let (sessions, next_session) = (AtomicUsize::new(0), AtomicU64::new(HANDSHAKE + 1));
                Ok(Process { line: self, agreed, sessions, next_session })
            }
            Err(error) => Err((self, error)),
        }
    }

    async fn answer(
        &self,
        id: i64,
        receiver: &mut mpsc::Receiver<super::mux::Item>,
    ) -> Result<Response, UpstreamError> {
        loop {
            match receiver.recv().await {
                None => return Err(UpstreamError::Broken { what: format!("request {id} got no answer"), sent: true }),
                Some(Err(error)) => return Err(error),
                Some(Ok(Delivered::Message { message: Message::Response(response), .. })) => return Ok(response),
                Some(Ok(_)) => {}
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// The patience that a process is treated with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub timeouts: Timeouts,
    pub idle_stop: Duration,
}

#[async_trait]
impl Asker for Line {
    async fn ask(&self, request: Request, _version: ProtocolVersion, probing: bool) -> Result<Asked, UpstreamError> {
        let mut started = self.mux.start(HANDSHAKE, request)?;
        let patience = if probing { self.timeouts.probe } else { self.timeouts.first };
        let exchange = async {
            self.mux.write(std::mem::take(&mut started.bytes)).await?;
            self.answer(started.id, &mut started.receiver).await
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(Ok(response)) => Ok(Asked::Answer(response)),
            Ok(Err(error @ UpstreamError::Protocol(_))) => Ok(Asked::Refused(error)),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.mux.forget(started.id);
                let error = UpstreamError::TimedOut { what: "handshake", after: patience, sent: true };
                Ok(Asked::Silence(error))
            }
        }
    }

    async fn initialized(&self, _version: ProtocolVersion) -> Result<(), UpstreamError> {
        self.mux.write(Message::from(Notification::new("notifications/initialized", None)).to_vec()).await
    }
}

impl Process {
    /// A new session's number.
    pub(super) fn enter(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::AcqRel);
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends a session. True when it was the last.
    pub(super) fn leave(&self, session: u64) -> bool {
        self.line.mux.leave(session);
        self.sessions.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether any session is open.
    pub(super) fn is_used(&self) -> bool {
        self.sessions.load(Ordering::Acquire) > 0
    }
}

async fn write(mut stdin: Stdin, mut input: mpsc::Receiver<Vec<u8>>, closing: CancellationToken) {
    loop {
        let line = tokio::select! {
            () = closing.cancelled() => return,
            line = input.recv() => line,
        };
        let Some(line) = line else { return };
        let written = tokio::select! {
            () = closing.cancelled() => return,
            written = stdin.write_line(&line) => written,
        };
        if let Err(error) = written {
            // Its output ends as well, and that is where the callers are told.
            tracing::debug!(%error, "an upstream's process takes no input");
            return;
        }
    }
}

struct Reader {
    stdout: Lines<ChildStdout>,
    handle: ChildHandle,
    mux: Arc<Mux>,
    closing: CancellationToken,
}

impl Reader {
    async fn run(mut self, idle_stop: Duration, ended: watch::Sender<Option<Ended>>) {
        let began = Instant::now();
        let mut too_long = None;
        let mut tick = tokio::time::interval(idle_stop.clamp(Duration::from_millis(20), Duration::from_secs(60)) / 4);
        loop {
            tokio::select! {
                line = self.stdout.next_line() => match line {
                    Ok(Some(line)) => self.take(&line).await,
                    Ok(None) => break,
                    Err(error) => {
                        if let OutError::LineTooLong { limit } = error {
                            too_long = Some(limit);
                        }
                        break;
                    }
                },
                () = self.closing.cancelled() => break,
                _ = tick.tick() => {
                    self.mux.sweep(SWEEP);
                    if self.mux.idle_for().is_some_and(|idle| idle >= idle_stop) {
                        self.closing.cancel();
                    }
                }
            }
        }
        let crashed = !self.closing.is_cancelled();
        self.closing.cancel();
        let exit = match tokio::time::timeout(EXIT_GRACE, self.handle.exited()).await {
            Ok(exit) if crashed => exit,
            _ => self.handle.stop().await,
        };
        let code = exit.status.and_then(|status| status.code());
        self.mux.end(|| match too_long {
            Some(limit) => UpstreamError::TooLarge { limit },
            None => UpstreamError::Exited { code },
        });
        // Nobody may be left to hear it.
        let _ = ended.send(Some(Ended { code, crashed: crashed && !exit.asked, lived: began.elapsed() }));
    }

    async fn take(&self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match envelope::parse(line, LIMITS) {
            Ok(Incoming::One(message)) => self.mux.take(message).await,
            Ok(Incoming::Batch(messages)) => {
                for message in messages {
                    self.mux.take(message).await;
                }
            }
            Err(refusal) => {
                // Start-up banners on standard output are common enough; a broken answer fails its call.
                tracing::debug!(error = %refusal.error, "a line of an upstream's process is no message");
                self.mux.malformed(refusal.id, refusal.error.to_string());
            }
        }
    }
}

/// The queue towards a process.
pub(super) fn input_queue() -> (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
    mpsc::channel(INPUT_QUEUE)
}
