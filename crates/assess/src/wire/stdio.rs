//! A server as a process: one message a line.
//!
//! What the process writes on its error output is never read as a message; the end of it is kept, to say why a
//! process ended.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sallyport_mcp::Message;
use sallyport_outbound::{
    Error as OutboundError,
    stdio::{Child, SpawnLimits, StdioSpec},
};

use crate::wire::{McpFault, Noted, Wire, http::MAX_BODY};

/// The most of its error output that is kept.
const MAX_ERRORS: usize = 1024;
/// The most lines that are read from it in one run: beyond, it is talking without end.
const MAX_LINES: usize = 20_000;

/// How long it may leave its input unread.
const WRITE: Duration = Duration::from_secs(5);

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    command: String,
    errors: Arc<Mutex<String>>,
    lines: usize,
    closed: bool,
}

impl Process {
    /// Starts it.
    #[expect(clippy::result_large_err, reason = "once a connection, and it ends it")]
    pub(super) fn start(wire: &Wire, spec: &StdioSpec) -> Result<Self, McpFault> {
        let errors = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&errors);
        let limits = SpawnLimits { max_line: MAX_BODY, ..SpawnLimits::default() };
        let keep = move |line: &str| {
            let mut kept = sink.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(line);
            kept.push('\n');
            let excess = kept.len().saturating_sub(MAX_ERRORS);
            let from = kept.ceil_char_boundary(excess);
            kept.drain(..from);
        };
        let child = wire.spawner().spawn(spec, &limits, Arc::new(keep)).map_err(|error| ended(&error, ""))?;
        Ok(Self { child, command: spec.command().to_owned(), errors, lines: 0, closed: false })
    }

    /// Writes a request. Returns the number of its record.
    pub(super) async fn write(&mut self, wire: &Wire, check: &'static str, message: &Message) -> Result<u32, McpFault> {
        let method = message.method().unwrap_or_default();
        let exchange = wire.note(Noted {
            check,
            request: format!("stdio {method}"),
            request_body: message.to_value().to_string(),
            replay: format!("write the body as one line to the input of `{}`", self.command),
            ..Noted::default()
        });
        self.tell(message).await?;
        Ok(exchange)
    }

    /// Writes a message that is not answered.
    pub(super) async fn tell(&mut self, message: &Message) -> Result<(), McpFault> {
        let line = message.to_vec();
        match tokio::time::timeout(WRITE, self.child.stdin.write_line(&line)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ended(&error, &self.said())),
            Err(_) => Err(McpFault::Ended("the process does not read its input".to_owned())),
        }
    }

    /// The next line.
    pub(super) async fn read(&mut self, wait: Duration) -> Result<String, McpFault> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(McpFault::Ended("the process writes without end".to_owned()));
        }
        match tokio::time::timeout(wait, self.child.stdout.next_line()).await {
            Err(_) => Err(McpFault::Ended("the process does not answer".to_owned())),
            Ok(Err(error)) => Err(ended(&error, &self.said())),
            Ok(Ok(None)) => {
                self.closed = true;
                Err(McpFault::Ended(format!("the process ended{}", because(&self.said()))))
            }
            Ok(Ok(Some(line))) => Ok(String::from_utf8_lossy(&line).into_owned()),
        }
    }

    /// Whether it has ended, or says nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        self.closed || self.child.handle.exit().is_some()
    }

    /// Ends it: first its input, then a signal.
    pub(super) async fn stop(self) {
        let Child { stdin, handle, .. } = self.child;
        drop(stdin);
        handle.stop().await;
    }

    fn said(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned()
    }
}

fn ended(error: &OutboundError, said: &str) -> McpFault {
    McpFault::Ended(format!("{error}{}", because(said)))
}

/// The last line of the error output, which is where the reason usually stands.
fn because(said: &str) -> String {
    match said.lines().last() {
        Some(line) => format!("; its last words: {line:?}"),
        None => String::new(),
    }
}
