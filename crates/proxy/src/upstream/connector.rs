//! Opening sessions at upstreams.
//!
//! What is remembered between sessions: connections, processes, which eras an upstream serves, and what a
//! modern upstream said of itself. Never a message.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sallyport_mcp::{Era, ProtocolVersion};
use sallyport_model::{Binding, UpstreamName};
use sallyport_outbound::{
    http::UpstreamClient,
    stdio::{SpawnLimits, Spawner},
};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    Caller, ClientFacts, CredentialKind, ProcessOwner, ServerFacts, Transport, UpstreamError, UpstreamSession,
    UpstreamSpec,
    deferred::DeferredSession,
    eras::Eras,
    handshake::{agree, request_meta},
    http::{
        Leg,
        legacy::{LegacySession, Line},
        modern::ModernSession,
    },
    shown::Shown,
    stdio::pool::Pool,
    tokens::{At, UpstreamTokens},
};

/// Limits of what a [`Connector`] keeps.
#[derive(Debug, Clone)]
pub struct ConnectorOptions {
    /// How long what a modern upstream said of itself is believed, at most; its `ttlMs` may shorten it.
    pub discovery_ttl: Duration,
    /// Processes of one upstream.
    pub max_processes: usize,
    /// Processes of one owner at one upstream (one for each set of client capabilities).
    pub max_processes_per_owner: usize,
    /// Processes of one person or agent at one upstream, over all sign-ins and clients.
    pub max_processes_per_subject: usize,
    /// Requests in flight at one process.
    pub max_in_flight: usize,
    /// A process that nobody has talked to or listened to for so long is ended.
    pub idle_stop: Duration,
    /// The wait after a first crash; it doubles with each further one.
    pub backoff_first: Duration,
    /// The longest wait after a crash. A process that lives longer than this starts the count anew.
    pub backoff_most: Duration,
    /// How processes are ended.
    pub spawn: SpawnLimits,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        Self {
            discovery_ttl: Duration::from_secs(60),
            max_processes: 64,
            max_processes_per_owner: 4,
            max_processes_per_subject: 8,
            max_in_flight: 256,
            idle_stop: Duration::from_secs(15 * 60),
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(60),
            spawn: SpawnLimits::default(),
        }
    }
}

/// Opens sessions.
pub struct Connector {
    http: Arc<HttpSide>,
    pool: Pool,
}

/// The half that opens them over HTTP.
pub(super) struct HttpSide {
    discovery_ttl: Duration,
    eras: Arc<Eras>,
    clients: Mutex<HashMap<UpstreamName, (Url, UpstreamClient)>>,
    discovered: Mutex<HashMap<Asked, Discovered>>,
    /// What upstreams that are used with people's own accounts told the gate.
    told: Mutex<HashMap<(UpstreamName, Era), (Caller, ServerFacts)>>,
    tokens: Option<Arc<UpstreamTokens>>,
}

/// Whom an upstream told about itself: everybody, where all show it the same credential; else one principal (or
/// the gate, which has no binding).
type Asked = (UpstreamName, Option<Binding>);

/// Beyond that many, what is believed of upstreams and has ended is removed.
const MANY_DISCOVERED: usize = 10_000;

struct Discovered {
    facts: ServerFacts,
    version: ProtocolVersion,
    until: Instant,
    stale: Arc<AtomicBool>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that spawns by `spawner`.
    pub fn new(options: ConnectorOptions, spawner: Spawner) -> Self {
        Self::made(options, spawner, None)
    }

    /// The same, with what fetches the credentials that do not stand in the configuration.
    pub fn with_tokens(options: ConnectorOptions, spawner: Spawner, tokens: Arc<UpstreamTokens>) -> Self {
        Self::made(options, spawner, Some(tokens))
    }

    fn made(options: ConnectorOptions, spawner: Spawner, tokens: Option<Arc<UpstreamTokens>>) -> Self {
        let eras = Arc::new(Eras::default());
        let http = HttpSide {
            discovery_ttl: options.discovery_ttl,
            eras: Arc::clone(&eras),
            clients: Mutex::default(),
            discovered: Mutex::default(),
            told: Mutex::default(),
            tokens,
        };
        Self { http: Arc::new(http), pool: Pool::new(options, spawner, eras) }
    }

    /// What fetches credentials.
    pub fn tokens(&self) -> Option<&Arc<UpstreamTokens>> {
        self.http.tokens.as_ref()
    }

    /// Opens a session at `spec` for a client of `caller`'s. Cheap when a modern upstream or a process is
    /// known: it is meant to be called for each request of a modern client.
    ///
    /// # Errors
    /// Any [`UpstreamError`]. None of them means that a request of the client was sent.
    pub async fn open(
        &self,
        spec: &UpstreamSpec,
        client: &ClientFacts,
        caller: &Caller,
    ) -> Result<Arc<dyn UpstreamSession>, UpstreamError> {
        match &spec.transport {
            Transport::Http { .. } => self.http.open(spec, client, caller).await,
            Transport::Stdio { spec: stdio, shareable } => {
                self.pool.open(spec, stdio, *shareable, client, &caller.owner()).await
            }
        }
    }

    /// Ends every process and starts none any more. HTTP sessions are the callers' to close.
    pub async fn shut_down(&self) {
        self.pool.shut_down().await;
    }

    /// Ends the processes of every owner that `whose` picks, as when a principal is revoked: its calls fail,
    /// its sessions die. Shared processes stay. Returns how many end; they do so in the background.
    pub fn end_processes(&self, whose: impl Fn(&ProcessOwner) -> bool) -> usize {
        self.pool.end_processes(whose)
    }

    /// How many processes run.
    pub fn process_count(&self) -> usize {
        self.pool.process_count()
    }
}

impl HttpSide {
    /// Opens a session, or one that is opened later for somebody who has to link her account first.
    async fn open(
        self: &Arc<Self>,
        spec: &UpstreamSpec,
        client: &ClientFacts,
        caller: &Caller,
    ) -> Result<Arc<dyn UpstreamSession>, UpstreamError> {
        match self.open_now(spec, client, caller).await {
            Ok(session) => {
                if let (Caller::Gate(_), CredentialKind::LinkedAccount) = (caller, spec.credential.kind()) {
                    let facts = session.facts().clone();
                    let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.insert((spec.name.clone(), facts.era), (caller.clone(), facts));
                }
                Ok(session)
            }
            Err(UpstreamError::LinkRequired { url }) => match self.told(&spec.name, client.era) {
                Some(told) => Ok(Arc::new(DeferredSession::new(self, spec, client, caller, told))),
                None => Err(UpstreamError::LinkRequired { url }),
            },
            Err(error) => Err(error),
        }
    }

    /// What an upstream told the gate in that era, or in the other one.
    fn told(&self, upstream: &UpstreamName, era: Era) -> Option<(Caller, ServerFacts)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let other = if era == Era::Modern { Era::Legacy } else { Era::Modern };
        [era, other].into_iter().find_map(|era| told.get(&(upstream.clone(), era)).cloned())
    }

    pub(super) async fn open_now(
        &self,
        spec: &UpstreamSpec,
        client: &ClientFacts,
        caller: &Caller,
    ) -> Result<Arc<dyn UpstreamSession>, UpstreamError> {
        let leg = self.leg(spec, caller)?;
        let known = self.eras.known(&spec.name);
        let asked = asked(spec, caller);
        if known.first(client.era) == Era::Modern
            && let Some((facts, version, stale)) = self.remembered(&asked)
        {
            return Ok(Arc::new(ModernSession::new(leg, version, facts, request_meta(client)?, stale)));
        }
        let line = Arc::new(Line::new(leg.clone()));
        let agreed = agree(line.as_ref(), client, known).await.inspect_err(|error| {
            // What says nothing of the upstream ends no belief about it.
            if !matches!(error, UpstreamError::NoToken(_) | UpstreamError::LinkRequired { .. }) {
                self.eras.forget(&spec.name);
            }
        })?;
        self.eras.learn(&spec.name, agreed.known);
        if agreed.facts.era == Era::Legacy {
            return Ok(Arc::new(LegacySession::new(line, agreed.version, agreed.facts)));
        }
        let stale = self.remember(asked, &agreed.facts, agreed.version);
        Ok(Arc::new(ModernSession::new(leg, agreed.version, agreed.facts, request_meta(client)?, stale)))
    }

    fn leg(&self, spec: &UpstreamSpec, caller: &Caller) -> Result<Leg, UpstreamError> {
        let (Transport::Http { url, options }, Some(at)) = (&spec.transport, At::of(spec)) else {
            return Err(UpstreamError::Configuration("it has no URL".to_owned()));
        };
        let shown = Shown::new(at, caller, self.tokens.as_ref())?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(&spec.name)
            && known == url
        {
            return Leg::new(spec, url, client.clone(), shown);
        }
        let client = UpstreamClient::new(url, options)?;
        clients.insert(spec.name.clone(), (url.clone(), client.clone()));
        Leg::new(spec, url, client, shown)
    }

    fn remembered(&self, asked: &Asked) -> Option<(ServerFacts, ProtocolVersion, Arc<AtomicBool>)> {
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = discovered.get(asked)?;
        if found.until > Instant::now() && !found.stale.load(Ordering::Acquire) {
            return Some((found.facts.clone(), found.version, Arc::clone(&found.stale)));
        }
        if found.stale.load(Ordering::Acquire) {
            self.eras.forget(&asked.0);
        }
        discovered.remove(asked);
        None
    }

    fn remember(&self, asked: Asked, facts: &ServerFacts, version: ProtocolVersion) -> Arc<AtomicBool> {
        let own = facts.about.get("ttlMs").and_then(Value::as_u64).map(Duration::from_millis);
        let ttl = own.map_or(self.discovery_ttl, |own| own.min(self.discovery_ttl));
        let stale = Arc::new(AtomicBool::new(false));
        let now = Instant::now();
        let entry = Discovered { facts: facts.clone(), version, until: now + ttl, stale: Arc::clone(&stale) };
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        if discovered.len() >= MANY_DISCOVERED {
            discovered.retain(|_, found| found.until > now);
        }
        discovered.insert(asked, entry);
        stale
    }
}

/// What a modern upstream said of itself is the same for every client where the credential is, and the upstream
/// learns of nobody who calls.
fn asked(spec: &UpstreamSpec, caller: &Caller) -> Asked {
    let same = !spec.credential.kind().is_per_principal() && !spec.identity_header;
    (spec.name.clone(), caller.binding().filter(|_| !same))
}

#[cfg(test)]
mod tests {
    use sallyport_model::{Secret, SessionId};

    use super::*;
    use crate::{
        testing::principal,
        upstream::{
            Timeouts, UpstreamCredential,
            credential::{ClientProof, Exchanged, Issued, OwnClient, TokenServer},
        },
    };

    fn spec(credential: UpstreamCredential, identity_header: bool) -> UpstreamSpec {
        let url = "https://files.example/mcp".parse().unwrap();
        UpstreamSpec {
            name: UpstreamName::new("files").unwrap(),
            transport: Transport::Http { url, options: Default::default() },
            credential,
            identity_header,
            timeouts: Timeouts::default(),
            max_message_bytes: 1,
        }
    }

    #[test]
    fn what_an_upstream_says_is_believed_for_everybody_only_where_all_show_it_the_same() {
        let client = OwnClient { id: Some("c".to_owned()), proof: ClientProof::PrivateKeyJwt };
        let server = TokenServer::Discovered;
        let issued = Issued { server, client, scope: None, resource: None, dpop: false };
        let exchanged = Exchanged { issued: issued.clone(), audience: None, send_email: false };
        let ann = Caller::Principal(Arc::new(principal()));
        let bob = principal();
        let bob =
            Caller::Principal(Arc::new(sallyport_model::Principal { session: SessionId::new("s-2").unwrap(), ..bob }));
        let bearer = || UpstreamCredential::Bearer(Secret::new("t"));
        for (spec, same) in [
            (spec(UpstreamCredential::None, false), true),
            (spec(bearer(), false), true),
            (spec(UpstreamCredential::ClientCredentials(Arc::new(issued)), false), true),
            (spec(bearer(), true), false),
            (spec(UpstreamCredential::TokenExchange(Arc::new(exchanged)), false), false),
        ] {
            assert_eq!(asked(&spec, &ann) == asked(&spec, &bob), same, "{:?}", spec.credential.kind());
        }
    }
}
