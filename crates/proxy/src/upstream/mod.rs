//! The gate's legs towards upstream MCP servers.
//!
//! | leg | session | streams |
//! |---|---|---|
//! | [`http::legacy`] | `MCP-Session-Id`, kept in here | POST answers, GET |
//! | [`http::modern`] | none | POST answers |
//! | [`stdio`] | a process, of one owner unless shareable | calls are told apart by ids of ours |
//!
//! [`Connector::open`] prefers the client's own era and finds out by itself which one the upstream speaks
//! ([`handshake`]); it has said `notifications/initialized` when it returns. Messages are carried, not
//! understood: translation between the eras, inspection, recording and authorization are the caller's.
//!
//! What never leaves through here: the client's `Authorization`, cookies or any other header of the
//! client, W3C trace context apart. `Authorization` holds the gate's own credential or nothing ([`credential`],
//! [`tokens`]).

pub mod caller;
pub mod connector;
pub mod credential;
mod deferred;
mod eras;
pub mod error;
pub mod handshake;
pub mod http;
mod shown;
pub mod stdio;
pub mod tokens;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use ::http::HeaderMap;
use async_trait::async_trait;
use futures::Stream;
use sallyport_mcp::{Era, Message, Notification, Object, Request, RequestId, Response};
use sallyport_model::{Binding, TenantId, UpstreamName};
use sallyport_outbound::{http::HttpOptions, stdio::StdioSpec};
use serde_json::Value;
use url::Url;

pub use caller::Caller;
pub use connector::{Connector, ConnectorOptions};
pub use credential::{CredentialKind, UpstreamCredential};
pub use error::{Fault, UpstreamError};
pub use tokens::{AssertionSigner, AssertionType, TokenFault, TokensDeps, UpstreamTokens};

/// An upstream, as the administrator configured it.
#[derive(Debug, Clone)]
pub struct UpstreamSpec {
    /// Unique in the deployment.
    pub name: UpstreamName,
    /// How to reach it.
    pub transport: Transport,
    /// The gate's own credential at it. Over stdio it must be [`UpstreamCredential::None`]: a process gets
    /// its credentials by its environment (2025-11-25 basic/authorization).
    pub credential: UpstreamCredential,
    /// Whether each request tells who calls, in a header that the gate signs ([`tokens::IDENTITY_HEADER`]).
    pub identity_header: bool,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Largest single message that the upstream may send, bytes.
    pub max_message_bytes: usize,
}

/// How to reach an upstream.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Streamable HTTP.
    Http {
        /// The MCP endpoint.
        url: Url,
        /// Connection pool, roots, client certificate.
        options: HttpOptions,
    },
    /// A process.
    Stdio {
        /// What to start.
        spec: StdioSpec,
        /// Whether all principals of a tenant may share one process, because it keeps no state about
        /// them. A shared process may send no requests.
        shareable: bool,
    },
}

/// How long to wait for an upstream.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From sending a request to the first byte of its answer (for a call answered by plain JSON: the
    /// whole of the upstream's work).
    pub first: Duration,
    /// Between two pieces of an answer; a keep-alive counts as a piece. Streams that may rightly be quiet
    /// (GET, `subscriptions/listen`) have none, and a call that has asked the client something gets at
    /// least [`ASKED_IDLE`], since a person may be thinking.
    pub idle: Duration,
    /// A whole call, however lively. `None`: no bound.
    pub total: Option<Duration>,
    /// For the question over stdio whether an upstream is modern, which legacy ones may leave unanswered. A
    /// process that downloads itself first needs some time; a silent one costs it once, and then once in
    /// a while.
    pub probe: Duration,
}

/// The least [`Timeouts::idle`] of a call on whose stream the upstream has sent a request.
pub const ASKED_IDLE: Duration = Duration::from_secs(15 * 60);

impl Default for Timeouts {
    fn default() -> Self {
        let (first, idle) = (Duration::from_secs(60), Duration::from_secs(120));
        Self { first, idle, total: None, probe: Duration::from_secs(10) }
    }
}

/// Whom the upstream should believe the client to be.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFacts {
    /// The era that the client speaks.
    pub era: Era,
    /// The version that it asked for.
    pub protocol_version: String,
    /// Its capabilities, in its own era's shape.
    pub capabilities: Object,
    /// Its `clientInfo`.
    pub info: Option<Object>,
}

/// What the upstream said of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerFacts {
    /// The era that this session speaks.
    pub era: Era,
    /// The version that was agreed on.
    pub protocol_version: String,
    /// Its `InitializeResult` or `DiscoverResult`, as given.
    pub about: Object,
}

/// For whom a process runs. Processes of two owners never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProcessOwner {
    /// A principal's session.
    Principal(Binding),
    /// The gate itself on behalf of a tenant, as when it reads a catalogue.
    Tenant(TenantId),
}

impl ProcessOwner {
    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Principal(binding) => &binding.tenant,
            Self::Tenant(tenant) => tenant,
        }
    }

    /// Whether both are sign-ins of the same person or agent, through whatever client.
    fn is_of_one_subject_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Principal(one), Self::Principal(other)) => {
                one.tenant == other.tenant && one.subject == other.subject
            }
            _ => false,
        }
    }
}

/// A request on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// In the upstream's era. Towards a modern upstream the leg writes the agreed protocol version into
    /// `_meta`, and the session's client metadata where the request has none of its own.
    pub request: Request,
    /// The `inputSchema` of the tool that is called, for `Mcp-Param-*`.
    pub tool_input_schema: Option<Arc<Value>>,
    /// Only [`TRACE_HEADERS`] of these are sent, and over HTTP only.
    pub extra_headers: HeaderMap,
}

/// The only headers of [`Outgoing::extra_headers`] that leave (W3C Trace Context, Baggage; SEP-414).
pub const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

impl Outgoing {
    /// A request without schema and extra headers.
    pub fn new(request: Request) -> Self {
        Self { request, tool_input_schema: None, extra_headers: HeaderMap::new() }
    }
}

/// One thing that an upstream sent.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are messages")]
pub enum Delivered {
    /// A message.
    Message {
        /// With the caller's own ids and progress tokens.
        message: Message,
        /// The event's id, to resume after it (legacy HTTP).
        sse_id: Option<String>,
        /// How long to wait before reconnecting, milliseconds (legacy HTTP).
        retry_ms: Option<u64>,
    },
    /// A server-sent event without a message (2025-11-25 basic/transports, Sending Messages 6).
    Priming {
        /// The event's id.
        sse_id: Option<String>,
        /// As above.
        retry_ms: Option<u64>,
    },
}

impl Delivered {
    /// A message outside any event stream.
    pub fn plain(message: Message) -> Self {
        Self::Message { message, sse_id: None, retry_ms: None }
    }

    /// The message, if there is one.
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Message { message, .. } => Some(message),
            Self::Priming { .. } => None,
        }
    }
}

/// What an upstream sends for one request, or on its own. Nothing is read ahead beyond a small bound: a
/// caller that does not poll holds the upstream back.
pub type UpstreamStream = Pin<Box<dyn Stream<Item = Result<Delivered, UpstreamError>> + Send>>;

/// An open line to an upstream, for one client.
#[async_trait]
pub trait UpstreamSession: Send + Sync + fmt::Debug {
    /// Whom we talk to.
    fn facts(&self) -> &ServerFacts;

    /// Sends a request. The stream ends after the final response, or without one when the request was
    /// cancelled, or when a legacy HTTP upstream closed the stream early after an event with an id:
    /// [`UpstreamSession::listen`] resumes it. Dropping the stream cancels in the modern era and not in the
    /// legacy one.
    ///
    /// # Errors
    /// Any [`UpstreamError`]; [`UpstreamError::sent`] says whether the upstream may have acted.
    async fn request(&self, outgoing: Outgoing) -> Result<UpstreamStream, UpstreamError>;

    /// Sends a notification. `notifications/initialized` was sent already and is swallowed.
    ///
    /// # Errors
    /// As above.
    async fn notify(&self, notification: Notification) -> Result<(), UpstreamError>;

    /// Sends the client's answer to a request of the upstream; legacy only.
    ///
    /// # Errors
    /// [`UpstreamError::NotOffered`] in the modern era; [`UpstreamError::UnknownRequest`] over stdio for a
    /// request that this session was never given.
    async fn respond(&self, response: Response) -> Result<(), UpstreamError>;

    /// Messages that belong to no call, or (legacy HTTP, with the id of the last event seen) the rest of a
    /// broken stream. Over stdio a second stream of a session ends the
    /// first, and of an owner's several sessions the oldest that listens gets what belongs to none of them.
    ///
    /// # Errors
    /// [`UpstreamError::NotOffered`] when the upstream has no such stream.
    async fn listen(&self, last_event_id: Option<&str>) -> Result<UpstreamStream, UpstreamError>;

    /// Cancels a request of this session: `notifications/cancelled`. Over modern HTTP it does nothing;
    /// there, drop the stream.
    async fn cancel(&self, id: &RequestId, reason: Option<&str>);

    /// Gives the session up: DELETE over legacy HTTP; over stdio the last session to close ends the process.
    async fn close(&self);

    /// Whether a request could still succeed. Once false it stays so; open another.
    fn is_alive(&self) -> bool;
}

fn cancelled(id: &RequestId, reason: Option<&str>) -> Notification {
    let mut params = Object::new();
    params.insert("requestId".to_owned(), id.to_value());
    if let Some(reason) = reason {
        params.insert("reason".to_owned(), reason.into());
    }
    Notification::new("notifications/cancelled", Some(params))
}
