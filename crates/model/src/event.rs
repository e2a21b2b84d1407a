//! What the audit log holds: one event for each thing that was done, allowed or refused.
//!
//! The event is the plaintext of a log entry. Its sealing (salt, encryption per tenant and person),
//! its place in the log and its proof belong to the ledger.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{
    Actor, CallId, ClientId, EventId, GrantId, Mark, PrincipalKind, ScopeSet, SessionId, TenantId, Timestamp, TokenId,
    UpstreamName, UserId,
};

/// The version of this schema, in every event.
pub const EVENT_VERSION: u16 = 1;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A request passed authorization and is about to be forwarded.
    CallOpened,
    /// A request ended; pairs with its `CallOpened` by `call.id`.
    CallClosed,
    /// An authenticated request was refused at the gate and nothing was forwarded.
    CallRefused,
    /// A client answered an upstream's question (elicitation, sampling, roots).
    InputAnswered,
    /// A stream of server messages was opened (`GET`, `subscriptions/listen`).
    StreamOpened,
    /// It ended.
    StreamClosed,
    /// An MCP session of the legacy era began.
    McpSessionOpened,
    /// It ended.
    McpSessionClosed,
    /// Requests of strangers that were refused before authentication, counted per source.
    StrangersRefused,
    /// A person signed in at the local directory.
    SignedIn,
    /// A sign-in failed.
    SignInRefused,
    /// A browser session ended.
    SignedOut,
    /// A person gave a client consent.
    Consented,
    /// A person denied a client consent.
    ConsentDenied,
    /// The authorization server refused an authorization request.
    AuthorizationRefused,
    /// A token was issued.
    TokenIssued,
    /// A token request of a known client was refused.
    TokenRefused,
    /// A token, grant or session was revoked.
    Revoked,
    /// A code or refresh token was presented again; what it gave was revoked.
    ReplayDetected,
    /// A client was registered.
    ClientRegistered,
    /// An upstream's catalogue was read and a definition is new or differs from its pin.
    DefinitionPinned,
    /// Calls that a crash left open; their outcome is unknown.
    OutcomeUnknown,
    /// The gate started.
    Started,
    /// The gate stopped in an orderly way.
    Stopped,
    /// An administrator changed something.
    Administered,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// A result came back.
    Succeeded,
    /// The tool said that it failed (`isError`), though HTTP said 200.
    ToolFailed,
    /// A JSON-RPC error came back.
    Errored,
    /// The upstream asked for input; the client may retry.
    InputRequired,
    /// The client cancelled or went away.
    Cancelled,
    /// The gate refused.
    Refused,
    /// The upstream could not be reached, broke off or ran out of time.
    UpstreamFailed,
    /// Nobody knows: the gate stopped in the middle.
    Unknown,
}

/// One event. Every field but the first four is absent where it does not apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// [`EVENT_VERSION`].
    pub version: u16,
    /// The event's own id.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Whose log this is part of; absent for the deployment's own events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Who, verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// Who, as an unverified token or form claims; never to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<BTreeMap<String, String>>,
    /// The call, stream or session that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallFacts>,
    /// What was decided, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionFacts>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Facts of kinds that need few: names are snake_case, values never secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, Value>,
}

/// The verified principal of an event. In JSON there is `mark` too, which follows from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Who {
    /// Who acted, a person or an agent: `{"kind": "human"|"agent", "id": …}`.
    pub subject: Actor,
    /// On whose behalf, the nearest first and the person last, where an agent acts for somebody.
    #[serde(default)]
    pub on_behalf_of: Vec<Actor>,
    /// The OAuth client.
    pub client: Option<ClientId>,
    /// The sign-in session.
    pub session: Option<SessionId>,
    /// The delegation.
    pub grant: Option<GrantId>,
    /// The access token's `jti`.
    pub token: Option<TokenId>,
}

/// [`Who`] as it is written.
#[derive(Serialize)]
struct WrittenWho<'a> {
    subject: &'a Actor,
    mark: Mark,
    #[serde(skip_serializing_if = "<[Actor]>::is_empty")]
    on_behalf_of: &'a [Actor],
    #[serde(skip_serializing_if = "Option::is_none")]
    client: &'a Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: &'a Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: &'a Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: &'a Option<TokenId>,
}

/// Every event says in one word whether a person acted, a machine, or a machine for a person.
impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mark = self.mark();
        let Self { subject, on_behalf_of, client, session, grant, token } = self;
        WrittenWho { subject, mark, on_behalf_of, client, session, grant, token }.serialize(serializer)
    }
}

impl Who {
    /// Human, agent, or agent for a human.
    pub fn mark(&self) -> Mark {
        match self.subject {
            Actor::Human(_) => Mark::Human,
            Actor::Agent(_) if self.on_behalf_of.iter().any(|actor| actor.kind() == PrincipalKind::Human) => {
                Mark::AgentForHuman
            }
            Actor::Agent(_) => Mark::Agent,
        }
    }
}

/// The request that an event is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The gate's own id; the same in the opening and the closing event.
    pub id: CallId,
    /// Which upstream.
    pub upstream: UpstreamName,
    /// The JSON-RPC method.
    pub method: String,
    /// Tool or prompt name, or resource URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The protocol version that the client speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// Arguments after sanitising; never a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// SHA-256 of the arguments' bytes as forwarded, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
    /// SHA-256 of the pinned tool definition, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_sha256: Option<String>,
    /// Bytes of the request body.
    pub request_bytes: u64,
    /// W3C `traceparent` of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionFacts {
    /// Whether it may go on.
    pub allowed: bool,
    /// A stable code: `granted`, or why not.
    pub code: String,
    /// The scopes that it needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<ScopeSet>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In a word.
    pub status: OutcomeStatus,
    /// The JSON-RPC or OAuth error code, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// From the request's arrival to its end, microseconds.
    pub latency_us: u64,
    /// Bytes of results and notifications that were released.
    pub response_bytes: u64,
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The peer's address (behind a trusted proxy: the one that it names).
    pub address: String,
    /// `User-Agent`, at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl AuditEvent {
    /// An event with nothing but its kind; fill in what applies.
    pub fn new(kind: EventKind, id: EventId, time: Timestamp) -> Self {
        Self {
            version: EVENT_VERSION,
            id,
            time,
            kind,
            tenant: None,
            who: None,
            claimed: None,
            call: None,
            decision: None,
            outcome: None,
            source: None,
            facts: BTreeMap::new(),
        }
    }

    /// The person whose data the event holds, for erasure: the subject if human, else whoever an
    /// agent acts for.
    pub fn person(&self) -> Option<&UserId> {
        let who = self.who.as_ref()?;
        std::iter::once(&who.subject).chain(&who.on_behalf_of).find_map(|actor| match actor {
            Actor::Human(id) => Some(id),
            Actor::Agent(_) => None,
        })
    }
}

/// Where an event came to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its index in the log.
    pub index: u64,
    /// Its RFC 6962 leaf hash.
    pub leaf_hash: [u8; 32],
}

/// Why an event could not be recorded. Whoever gets one must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The log has failed (full disk, failed sync, changed file) and takes nothing until restart.
    #[error("the audit log takes no more events: {0}")]
    Poisoned(String),
    /// The event is larger than a log entry may be.
    #[error("the audit event is {size} bytes, more than a log entry's {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The key that the event should be sealed with cannot be had.
    #[error("the audit event cannot be sealed: {0}")]
    NoKey(String),
}

/// Takes events. `record` returns when the event is durable, and not before.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// Appends `event`; the receipt means that it survives a power cut.
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError>;
    /// Whether events can be recorded at all, for `/readyz`.
    fn ready(&self) -> Result<(), RecordError>;
}
