//! Which process serves whom.
//!
//! A process belongs to one owner at one upstream, or to a tenant where the upstream is declared
//! shareable; never to two tenants. It is further told apart by what it was told of the client in the
//! handshake (era, version, capabilities), because a legacy process keeps that for life.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sallyport_mcp::{Era, Object, ProtocolVersion, json};
use sallyport_model::UpstreamName;
use sallyport_outbound::stdio::{SpawnLimits, Spawner, StderrSink, StdioSpec};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    mux::Mux,
    process::{Ended, Line, Process, Times, input_queue},
    session::StdioSession,
};
use crate::upstream::{
    ClientFacts, ConnectorOptions, ProcessOwner, UpstreamCredential, UpstreamError, UpstreamSession, UpstreamSpec,
    eras::{Eras, Known},
    handshake::request_meta,
};

/// Whose a process is, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    upstream: UpstreamName,
    /// [`ProcessOwner::Tenant`] for a shared one.
    owner: ProcessOwner,
    shared: bool,
    era: Era,
    version: String,
    capabilities: String,
}

/// The processes.
pub struct Pool {
    options: ConnectorOptions,
    spawner: Spawner,
    eras: Arc<Eras>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("processes", &self.process_count()).finish_non_exhaustive()
    }
}

/// The place of one process, which outlives it to count its crashes.
#[derive(Default)]
struct Slot {
    /// Held while a process is started, so that two callers do not start two.
    starting: tokio::sync::Mutex<()>,
    /// A start is under way, and counts.
    reserved: AtomicBool,
    current: Mutex<Option<Arc<Process>>>,
    crashes: Mutex<Crashes>,
}

#[derive(Default)]
struct Crashes {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Slot {
    fn current(&self) -> Option<Arc<Process>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|process| process.line.is_alive()).cloned()
    }

    fn crashes(&self) -> MutexGuard<'_, Crashes> {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits(&self) -> Option<Duration> {
        let until = self.crashes().until?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn crashed(&self, lived: Duration, options: &ConnectorOptions) {
        let mut crashes = self.crashes();
        crashes.in_a_row = if lived > options.backoff_most { 1 } else { crashes.in_a_row.saturating_add(1) };
        let doubled = options.backoff_first.saturating_mul(1 << (crashes.in_a_row - 1).min(16));
        crashes.until = Some(Instant::now() + doubled.min(options.backoff_most));
    }

    fn counts(&self) -> bool {
        self.reserved.load(Ordering::Acquire) || self.current().is_some()
    }

    /// Nothing runs and nothing needs remembering.
    fn is_empty(&self, options: &ConnectorOptions) -> bool {
        let remembered = self.crashes().until.is_some_and(|until| until + options.backoff_most > Instant::now());
        !self.counts() && !remembered
    }
}

impl Pool {
    /// No processes yet.
    pub(in crate::upstream) fn new(options: ConnectorOptions, spawner: Spawner, eras: Arc<Eras>) -> Self {
        Self { options, spawner, eras, slots: Mutex::default() }
    }

    /// How many processes are ready.
    pub fn process_count(&self) -> usize {
        self.slots().values().filter(|slot| slot.current().is_some()).count()
    }

    /// Ends the processes of every owner that `whose` picks, shared ones apart.
    pub fn end_processes(&self, whose: impl Fn(&ProcessOwner) -> bool) -> usize {
        let slots = self.slots();
        let picked = slots.iter().filter(|(key, _)| !key.shared && whose(&key.owner));
        let live = picked.filter_map(|(_, slot)| slot.current());
        live.map(|process| process.line.close()).count()
    }

    /// Ends every process and starts none any more.
    pub async fn shut_down(&self) {
        for slot in self.slots().values() {
            if let Some(process) = slot.current() {
                process.line.close();
            }
        }
        self.spawner.stop_all().await;
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::upstream) async fn open(
        &self,
        spec: &UpstreamSpec,
        stdio: &StdioSpec,
        shareable: bool,
        client: &ClientFacts,
        owner: &ProcessOwner,
    ) -> Result<Arc<dyn UpstreamSession>, UpstreamError> {
        if !matches!(spec.credential, UpstreamCredential::None) {
            let what = "a process gets its credentials from its environment; set `env` and no credential";
            return Err(UpstreamError::Configuration(what.to_owned()));
        }
        let meta = request_meta(client)?;
        let told = if shareable { anonymous(client.era) } else { client.clone() };
        let key = self.key(spec, shareable, &told, owner);
        let slot = self.slot(&key);
        if let Some(process) = slot.current() {
            return Ok(Arc::new(StdioSession::new(process, meta)));
        }
        let _starting = slot.starting.lock().await;
        if let Some(process) = slot.current() {
            return Ok(Arc::new(StdioSession::new(process, meta)));
        }
        if let Some(retry_after) = slot.waits() {
            return Err(UpstreamError::BackingOff { retry_after });
        }
        let reservation = self.reserve(&key, &slot)?;
        let process = self.start(spec, stdio, shareable, &told, &slot).await?;
        let session = StdioSession::new(Arc::clone(&process), meta);
        *slot.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        drop(reservation);
        Ok(Arc::new(session))
    }

    fn key(&self, spec: &UpstreamSpec, shared: bool, told: &ClientFacts, owner: &ProcessOwner) -> Key {
        let owner = if shared { ProcessOwner::Tenant(owner.tenant().clone()) } else { owner.clone() };
        Key {
            upstream: spec.name.clone(),
            owner,
            shared,
            era: self.eras.known(&spec.name).first(told.era),
            version: told.protocol_version.clone(),
            capabilities: json::canonical(&Value::Object(told.capabilities.clone())),
        }
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        let mut slots = self.slots();
        // Held elsewhere means that somebody is about to start a process in it.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_empty(&self.options));
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    /// Takes a place within the limits, ending a process without sessions if need be.
    fn reserve(&self, key: &Key, slot: &Arc<Slot>) -> Result<Reservation, UpstreamError> {
        let slots = self.slots();
        let same_upstream = || slots.iter().filter(|(k, s)| k.upstream == key.upstream && s.counts());
        let of_owner = || same_upstream().filter(|(k, _)| k.owner == key.owner && k.shared == key.shared);
        let per_owner = self.options.max_processes_per_owner;
        if of_owner().count() >= per_owner && !end_unused(of_owner().map(|(_, slot)| slot)) {
            return Err(UpstreamError::Busy { what: "of processes of one owner", limit: per_owner });
        }
        let of_subject = || same_upstream().filter(|(k, _)| k.owner.is_of_one_subject_with(&key.owner));
        let per_subject = self.options.max_processes_per_subject;
        if of_subject().count() >= per_subject && !end_unused(of_subject().map(|(_, slot)| slot)) {
            return Err(UpstreamError::Busy { what: "of processes of one person or agent", limit: per_subject });
        }
        let most = self.options.max_processes;
        if same_upstream().count() >= most && !end_unused(same_upstream().map(|(_, slot)| slot)) {
            return Err(UpstreamError::Busy { what: "of processes of one upstream", limit: most });
        }
        slot.reserved.store(true, Ordering::Release);
        Ok(Reservation(Arc::clone(slot)))
    }

    async fn start(
        &self,
        spec: &UpstreamSpec,
        stdio: &StdioSpec,
        shareable: bool,
        told: &ClientFacts,
        slot: &Arc<Slot>,
    ) -> Result<Arc<Process>, UpstreamError> {
        let mut known = self.eras.known(&spec.name);
        loop {
            let began = Instant::now();
            let line =
                self.spawn(spec, stdio, shareable).inspect_err(|_| slot.crashed(Duration::ZERO, &self.options))?;
            match line.greet(told, known).await {
                Ok(process) => {
                    self.eras.learn(&spec.name, process.agreed.known);
                    tokio::spawn(watch(Arc::downgrade(slot), process.line.ended(), self.options.clone()));
                    return Ok(Arc::new(process));
                }
                // Some legacy servers die of a request before `initialize`: ask that one first.
                Err((_, UpstreamError::Exited { .. })) if known.first(told.era) == Era::Modern => {
                    known = Known { no_modern: true, no_legacy: false };
                }
                Err((line, error)) => {
                    line.close();
                    self.eras.forget(&spec.name);
                    slot.crashed(began.elapsed(), &self.options);
                    return Err(error);
                }
            }
        }
    }

    fn spawn(&self, spec: &UpstreamSpec, stdio: &StdioSpec, shareable: bool) -> Result<Line, UpstreamError> {
        let limits = SpawnLimits { max_line: spec.max_message_bytes, ..self.options.spawn.clone() };
        let name = spec.name.clone();
        let sink: StderrSink = Arc::new(move |line| tracing::debug!(upstream = %name, "{line}"));
        let child = self.spawner.spawn(stdio, &limits, sink)?;
        let (sender, receiver) = input_queue();
        let mux = Arc::new(Mux::new(sender, shareable, self.options.max_in_flight));
        let times = Times { timeouts: spec.timeouts, idle_stop: self.options.idle_stop };
        Ok(Line::attach(child, mux, receiver, times))
    }
}

/// A place that is taken until the process runs or failed to.
struct Reservation(Arc<Slot>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.reserved.store(false, Ordering::Release);
    }
}

/// Ends, of processes without a session, the one that was used longest ago.
fn end_unused<'a>(slots: impl Iterator<Item = &'a Arc<Slot>>) -> bool {
    let unused = slots.filter_map(|slot| slot.current()).filter(|process| !process.is_used());
    let idle = unused.filter_map(|process| process.line.mux.idle_for().map(|idle| (idle, process)));
    match idle.max_by_key(|(idle, _)| *idle) {
        Some((_, process)) => {
            process.line.close();
            true
        }
        None => false,
    }
}

/// Counts a crash. Holds the slot weakly: a connector that is dropped ends its processes.
async fn watch(slot: Weak<Slot>, ended: impl Future<Output = Option<Ended>>, options: ConnectorOptions) {
    let Some(ended) = ended.await else { return };
    if ended.crashed {
        tracing::warn!(code = ended.code, "an upstream's process ended by itself");
        if let Some(slot) = slot.upgrade() {
            slot.crashed(ended.lived, &options);
        }
    }
}

/// What a shared process is told: nothing about any one client, and no capability that would let it ask.
fn anonymous(era: Era) -> ClientFacts {
    let version = match era {
        Era::Legacy => ProtocolVersion::LATEST_LEGACY,
        Era::Modern => ProtocolVersion::LATEST,
    };
    let mut info = Object::new();
    info.insert("name".to_owned(), "sallyport".into());
    info.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    ClientFacts { era, protocol_version: version.to_string(), capabilities: Object::new(), info: Some(info) }
}
