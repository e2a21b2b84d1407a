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
use sallyport_model::UpstreamName;
use sallyport_outbound::{
    http::UpstreamClient,
    stdio::{SpawnLimits, Spawner},
};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    ClientFacts, ProcessOwner, ServerFacts, Transport, UpstreamError, UpstreamSession, UpstreamSpec,
    eras::Eras,
    handshake::{agree, request_meta},
    http::{
        Leg,
        legacy::{LegacySession, Line},
        modern::ModernSession,
    },
    stdio::pool::Pool,
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
    options: ConnectorOptions,
    eras: Arc<Eras>,
    clients: Mutex<HashMap<UpstreamName, (Url, UpstreamClient)>>,
    discovered: Mutex<HashMap<UpstreamName, Discovered>>,
    pool: Pool,
}

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
        let eras = Arc::new(Eras::default());
        let pool = Pool::new(options.clone(), spawner, Arc::clone(&eras));
        Self { options, eras, clients: Mutex::default(), discovered: Mutex::default(), pool }
    }

    /// Opens a session at `spec` for a client, `owner`'s. Cheap when a modern upstream or a process is
    /// known: it is meant to be called for each request of a modern client.
    ///
    /// # Errors
    /// Any [`UpstreamError`]. None of them means that a request of the client was sent.
    pub async fn open(
        &self,
        spec: &UpstreamSpec,
        client: &ClientFacts,
        owner: &ProcessOwner,
    ) -> Result<Arc<dyn UpstreamSession>, UpstreamError> {
        match &spec.transport {
            Transport::Http { .. } => self.open_http(spec, client).await,
            Transport::Stdio { spec: stdio, shareable } => self.pool.open(spec, stdio, *shareable, client, owner).await,
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

    async fn open_http(
        &self,
        spec: &UpstreamSpec,
        client: &ClientFacts,
    ) -> Result<Arc<dyn UpstreamSession>, UpstreamError> {
        let leg = self.leg(spec)?;
        let known = self.eras.known(&spec.name);
        if known.first(client.era) == Era::Modern
            && let Some((facts, version, stale)) = self.remembered(&spec.name)
        {
            return Ok(Arc::new(ModernSession::new(leg, version, facts, request_meta(client)?, stale)));
        }
        let line = Arc::new(Line::new(leg.clone()));
        let agreed = agree(line.as_ref(), client, known).await.inspect_err(|_| self.eras.forget(&spec.name))?;
        self.eras.learn(&spec.name, agreed.known);
        if agreed.facts.era == Era::Legacy {
            return Ok(Arc::new(LegacySession::new(line, agreed.version, agreed.facts)));
        }
        let stale = self.remember(&spec.name, &agreed.facts, agreed.version);
        Ok(Arc::new(ModernSession::new(leg, agreed.version, agreed.facts, request_meta(client)?, stale)))
    }

    fn leg(&self, spec: &UpstreamSpec) -> Result<Leg, UpstreamError> {
        let Transport::Http { url, options } = &spec.transport else {
            return Err(UpstreamError::Configuration("it has no URL".to_owned()));
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(&spec.name)
            && known == url
        {
            return Leg::new(spec, url, client.clone());
        }
        let client = UpstreamClient::new(url, options)?;
        clients.insert(spec.name.clone(), (url.clone(), client.clone()));
        Leg::new(spec, url, client)
    }

    /// What a modern upstream said of itself is the same for every client: the credential is the gate's.
    fn remembered(&self, upstream: &UpstreamName) -> Option<(ServerFacts, ProtocolVersion, Arc<AtomicBool>)> {
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = discovered.get(upstream)?;
        if found.until > Instant::now() && !found.stale.load(Ordering::Acquire) {
            return Some((found.facts.clone(), found.version, Arc::clone(&found.stale)));
        }
        if found.stale.load(Ordering::Acquire) {
            self.eras.forget(upstream);
        }
        discovered.remove(upstream);
        None
    }

    fn remember(&self, upstream: &UpstreamName, facts: &ServerFacts, version: ProtocolVersion) -> Arc<AtomicBool> {
        let own = facts.about.get("ttlMs").and_then(Value::as_u64).map(Duration::from_millis);
        let ttl = own.map_or(self.options.discovery_ttl, |own| own.min(self.options.discovery_ttl));
        let stale = Arc::new(AtomicBool::new(false));
        let entry =
            Discovered { facts: facts.clone(), version, until: Instant::now() + ttl, stale: Arc::clone(&stale) };
        self.discovered.lock().unwrap_or_else(PoisonError::into_inner).insert(upstream.clone(), entry);
        stale
    }
}
