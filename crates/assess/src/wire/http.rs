//! One request, one answer or stream; and the limits that hold whatever the server does.
//!
//! | limit | |
//! |---|---|
//! | an exchange | 10 s, connecting 5 s; never past the end of the run |
//! | a body | 1 MiB; what is beyond is not read |
//! | a head | 64 KiB |
//! | requests | 20 in any second, 1,500 in a run |
//! | addresses | public ones; inside only where the target itself is inside |
//!
//! Every request is recorded, redacted. No redirect is followed, no compressed body is understood.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, header};
use sallyport_mcp::sse::{Decoder, Event};
use sallyport_model::{Secret, assessment::Exchange};
use sallyport_outbound::{
    AddressPolicy, Error as OutboundError, certificates_from_pem,
    guard::SystemResolver,
    probe::{ProbeAnswer, ProbeClient},
    stdio::Spawner,
};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::{
    access::Access,
    bench::Target,
    wire::{
        ask::header_lines,
        exchange::{Exchanges, Noted},
        inside,
        redact::Redactor,
    },
};

pub use crate::wire::ask::{Ask, Heard};

/// For one exchange, from the first byte out to the last one in.
pub const EXCHANGE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// The most bytes of a body that are read.
pub const MAX_BODY: usize = 1024 * 1024;
/// The same, of a system of the operator's.
const MAX_OPERATOR_BODY: usize = 16 * 1024 * 1024;
/// The most requests in any second.
const RATE: usize = 20;
/// The most requests in a run.
const MAX_REQUESTS: u32 = 1500;
/// How long a stream that answers a GET is listened to by [`Wire::send`].
const GLANCE: Duration = Duration::from_secs(1);
/// The most of an answer that is recorded: twice what is kept, since the record of a stream is written anew with
/// each piece of it.
const MAX_RECORDED: usize = 8 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A setting of the operator does not work.
    #[error("{0}")]
    Setup(String),
    /// The probe's own mistake, or a URL of the target that makes no request.
    #[error("no request can be made of it: {0}")]
    BadRequest(String),
    /// The run's time is over.
    #[error("the time for the whole run is over; give it more with --timeout")]
    OutOfTime,
    /// The run has sent as much as it may.
    #[error("the run has sent {MAX_REQUESTS} requests and sends no more")]
    Exhausted,
    /// Nothing came within the time.
    #[error("no answer within {after:?}")]
    TimedOut {
        /// The limit.
        after: Duration,
        /// The record of it.
        exchange: u32,
    },
    /// The connection or the answer failed, or the address is not to be reached.
    #[error("{source}")]
    Failed {
        /// Why.
        source: OutboundError,
        /// The record of it.
        exchange: u32,
    },
    /// A stream sent an event that cannot be read.
    #[error("the stream is broken: {0}")]
    BadEvent(sallyport_mcp::Error),
}

impl WireError {
    /// The number of the recorded exchange, where there is one.
    pub fn exchange(&self) -> Option<u32> {
        match self {
            Self::TimedOut { exchange, .. } | Self::Failed { exchange, .. } => Some(*exchange),
            _ => None,
        }
    }

    /// Whether an address was not to be reached: a document of the target points inside.
    pub fn points_inside(&self) -> bool {
        matches!(self, Self::Failed { source: OutboundError::AddressRefused { .. }, .. })
    }
}

/// The way out of one run. Cheap to clone; all clones share limits and record.
#[derive(Clone, Debug)]
pub struct Wire(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: ProbeClient,
    target: Option<Url>,
    policy: tokio::sync::OnceCell<AddressPolicy>,
    exchanges: Exchanges,
    redactor: Redactor,
    recent: tokio::sync::Mutex<VecDeque<Instant>>,
    sent: AtomicU32,
    deadline: Instant,
    spawner: Spawner,
}

impl Wire {
    /// A way out for one run against `target`, whose time begins now.
    ///
    /// # Errors
    /// [`WireError::Setup`] when an extra certificate does not work.
    pub fn new(target: &Target, access: &Access) -> Result<Self, WireError> {
        let setup = |error: OutboundError| WireError::Setup(error.to_string());
        let roots = match &access.extra_roots {
            Some(pem) => certificates_from_pem(pem).map_err(setup)?,
            None => Vec::new(),
        };
        let redactor = Redactor::default();
        access.secrets().for_each(|secret| redactor.keep(secret));
        let target = match target {
            Target::Http(url) => Some(url.clone()),
            Target::Stdio(spec) => {
                spec.env().for_each(|(_, value)| redactor.keep(value));
                None
            }
            Target::Answers(_) => None,
        };
        Ok(Self(Arc::new(Shared {
            client: ProbeClient::new(Arc::new(SystemResolver), &roots, CONNECT).map_err(setup)?,
            target,
            policy: tokio::sync::OnceCell::new(),
            exchanges: Exchanges::default(),
            redactor,
            recent: tokio::sync::Mutex::default(),
            sent: AtomicU32::new(0),
            deadline: Instant::now() + access.budget(),
            spawner: Spawner::new(),
        })))
    }

    /// What is left of the run's time.
    pub fn left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    /// When the run's time is over.
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// Makes `secret` a credential that no record shows. Call it for each one that is obtained.
    pub fn keep_secret(&self, secret: &Secret) {
        self.0.redactor.keep(secret);
    }

    /// `text` without credentials.
    pub fn redacted(&self, text: &str) -> String {
        self.0.redactor.text(text)
    }

    /// Records an exchange that went another way: a process, a hook. Returns its number.
    pub fn note(&self, noted: Noted) -> u32 {
        self.0.exchanges.add(noted, &self.0.redactor)
    }

    /// Changes the answer of a noted exchange, which came later.
    pub fn amend(&self, exchange: u32, body: &str, elapsed: Duration) {
        let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.0.exchanges.update(exchange, body, elapsed, &self.0.redactor);
    }

    /// Every exchange so far, redacted.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.0.exchanges.all()
    }

    /// What starts processes for this run; [`Wire::stop`] ends them.
    pub fn spawner(&self) -> &Spawner {
        &self.0.spawner
    }

    /// Ends every process of this run.
    pub async fn stop(&self) {
        self.0.spawner.stop_all().await;
    }

    /// Sends a request and reads its answer. A body that is too large, or that does not end in time, is cut
    /// and marked. A stream of events is read to the first JSON-RPC answer in it; one that answers a GET, for
    /// a second.
    ///
    /// # Errors
    /// [`WireError`]; what was tried is recorded with it.
    pub async fn send(&self, check: &'static str, ask: Ask) -> Result<Heard, WireError> {
        let glance = ask.method == Method::GET;
        let stream = self.open(check, ask).await?;
        let until = if glance && stream.is_events() { Instant::now() + GLANCE } else { stream.until };
        Ok(stream.read(until).await)
    }

    /// Sends a request to a URL that the operator wrote, of a system of theirs: any address, its own time (also
    /// when that of the run is over: what a run changed must be put back), and up to 16 MiB of answer.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub async fn send_to_operator(&self, check: &'static str, ask: Ask, within: Duration) -> Result<Heard, WireError> {
        let noted = ask.noted(check)?;
        let begun = Instant::now();
        let until = begun + within;
        let policy = inside::anywhere();
        let sent = self.0.client.send(&policy, ask.method, &ask.url, ask.headers, ask.body);
        let mut stream = self.begin(noted, begun, until, sent).await?;
        stream.limit = MAX_OPERATOR_BODY;
        Ok(stream.read(until).await)
    }

    /// Sends a request and returns at its answer's head.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub async fn open(&self, check: &'static str, ask: Ask) -> Result<Stream, WireError> {
        let noted = ask.noted(check)?;
        if self.0.sent.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS {
            return Err(WireError::Exhausted);
        }
        self.pace().await;
        let begun = Instant::now();
        let until = self.0.deadline.min(begun + EXCHANGE);
        if self.left().is_zero() {
            return Err(WireError::OutOfTime);
        }
        self.begin(noted, begun, until, self.head(ask)).await
    }

    async fn begin(
        &self,
        noted: Noted,
        begun: Instant,
        until: Instant,
        head: impl Future<Output = Result<ProbeAnswer, OutboundError>>,
    ) -> Result<Stream, WireError> {
        match tokio::time::timeout_at(until, head).await {
            Ok(Ok(answer)) => Ok(Stream::begin(self.clone(), noted, answer, begun, until)),
            Ok(Err(source)) => {
                let exchange = self.failed(noted, &source.to_string(), begun);
                Err(WireError::Failed { source, exchange })
            }
            Err(_) => {
                let after = begun.elapsed();
                let exchange = self.failed(noted, "no answer in time", begun);
                Err(WireError::TimedOut { after, exchange })
            }
        }
    }

    async fn head(&self, ask: Ask) -> Result<ProbeAnswer, OutboundError> {
        let policy = self.policy().await?;
        self.0.client.send(policy, ask.method, &ask.url, ask.headers, ask.body).await
    }

    /// What may be reached follows from where the target is, which is looked up once.
    async fn policy(&self) -> Result<&AddressPolicy, OutboundError> {
        let find = || async {
            let Some(target) = &self.0.target else { return Ok(AddressPolicy::PublicOnly) };
            let addresses: Vec<IpAddr> = self.0.client.addresses(target).await?;
            Ok(inside::policy(&addresses))
        };
        self.0.policy.get_or_try_init(find).await
    }

    fn failed(&self, noted: Noted, why: &str, begun: Instant) -> u32 {
        self.note(Noted { response_body: why.to_owned(), elapsed_ms: millis(begun), ..noted })
    }

    async fn pace(&self) {
        let mut recent = self.0.recent.lock().await;
        if recent.len() >= RATE
            && let Some(first) = recent.pop_front()
        {
            tokio::time::sleep_until(first + Duration::from_secs(1)).await;
        }
        recent.push_back(Instant::now());
    }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// An answer whose head is here and whose body is still to come. Dropping it ends the connection.
#[derive(Debug)]
pub struct Stream {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The record of it.
    pub exchange: u32,
    wire: Wire,
    answer: ProbeAnswer,
    begun: Instant,
    until: Instant,
    decoder: Decoder,
    broken: Option<sallyport_mcp::Error>,
    limit: usize,
    recorded: Vec<u8>,
    received: usize,
    last_event_id: Option<String>,
    retry: Duration,
    /// How often the stream before this one was taken up.
    pub(super) resumed: usize,
}

impl Stream {
    fn begin(wire: Wire, noted: Noted, answer: ProbeAnswer, begun: Instant, until: Instant) -> Self {
        let (status, headers) = (answer.status, answer.headers.clone());
        let exchange = wire.note(Noted {
            status: Some(i32::from(status.as_u16())),
            response_headers: header_lines(&headers),
            elapsed_ms: millis(begun),
            ..noted
        });
        let (decoder, recorded) = (Decoder::new(MAX_BODY), Vec::new());
        Self {
            status,
            headers,
            exchange,
            wire,
            answer,
            begun,
            until,
            decoder,
            broken: None,
            limit: MAX_BODY,
            recorded,
            received: 0,
            last_event_id: None,
            retry: Duration::ZERO,
            resumed: 0,
        }
    }

    /// Whether the answer is a stream of events.
    pub fn is_events(&self) -> bool {
        is_events(&self.headers)
    }

    /// The next event. `Ok(None)` when the server ended the stream.
    ///
    /// # Errors
    /// [`WireError::TimedOut`] when none came within `wait`: the stream is still open and may be asked again.
    /// [`WireError::OutOfTime`] at the end of the run, the others when the stream is broken or larger than a
    /// body may be.
    pub async fn next_event(&mut self, wait: Duration) -> Result<Option<Event>, WireError> {
        let until = (Instant::now() + wait).min(self.wire.0.deadline);
        loop {
            if let Some(event) = self.decoder.next_event() {
                self.last_event_id = event.id.clone().or(self.last_event_id.take());
                self.retry = event.retry.map_or(self.retry, Duration::from_millis);
                return Ok(Some(event));
            }
            if let Some(error) = &self.broken {
                return Err(WireError::BadEvent(error.clone()));
            }
            if self.received > MAX_BODY {
                return Err(WireError::BadEvent(sallyport_mcp::Error::EventTooLarge { limit: MAX_BODY }));
            }
            match tokio::time::timeout_at(until, self.answer.chunk()).await {
                Err(_) if self.wire.left().is_zero() => return Err(WireError::OutOfTime),
                Err(_) => return Err(WireError::TimedOut { after: wait, exchange: self.exchange }),
                Ok(Err(source)) => return Err(WireError::Failed { source, exchange: self.exchange }),
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(bytes))) => {
                    self.record(&bytes);
                    // Events before the broken one still count.
                    self.broken = self.decoder.push(&bytes).err();
                }
            }
        }
    }

    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref().filter(|id| !id.is_empty())
    }

    /// How long to wait before the stream is taken up again.
    pub(super) fn retry(&self) -> Duration {
        self.retry
    }

    /// The rest of the answer, read as [`Wire::send`] does.
    pub async fn rest(self) -> Heard {
        let until = self.until;
        self.read(until).await
    }

    async fn read(mut self, until: Instant) -> Heard {
        let mut body = BytesMut::new();
        let mut truncated = false;
        let events = self.is_events();
        loop {
            match tokio::time::timeout_at(until, self.answer.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    let room = self.limit - body.len();
                    body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    truncated |= bytes.len() > room;
                    if truncated || (events && self.answered(&bytes)) {
                        break;
                    }
                }
                Ok(Ok(None)) => break,
                // The peer broke off, or goes on too long: what is here is what there is.
                Ok(Err(_)) | Err(_) => {
                    truncated = true;
                    break;
                }
            }
        }
        self.record(&body);
        let Self { status, headers, exchange, begun, answer, .. } = self;
        let (elapsed, tls) = (begun.elapsed(), answer.tls);
        Heard { status, headers, body: body.freeze(), truncated, exchange, elapsed, tls }
    }

    /// Whether an event with the answer of a JSON-RPC request is among what came.
    fn answered(&mut self, bytes: &[u8]) -> bool {
        let broken = self.decoder.push(bytes).is_err();
        let mut answered = false;
        while let Some(event) = self.decoder.next_event() {
            let message: Option<Value> = event.data.as_deref().and_then(|data| serde_json::from_str(data).ok());
            answered |= message.is_some_and(|message| message.get("result").or(message.get("error")).is_some());
        }
        broken || answered
    }

    fn record(&mut self, bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len());
        let room = MAX_RECORDED.saturating_sub(self.recorded.len());
        if room == 0 {
            return;
        }
        self.recorded.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let text = String::from_utf8_lossy(&self.recorded);
        let shared = &self.wire.0;
        shared.exchanges.update(self.exchange, &text, millis(self.begun), &shared.redactor);
    }
}

fn is_events(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.trim_start().get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
