//! The gate: what it holds, and the walk of a request through its stages.
//!
//! ```text
//! receive → authenticate → read → authorize → forward → record → respond
//! Arrived   Authenticated  bytes  Permitted   Frame     events   Response
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::{any, get},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use sallyport_mcp::{Era, RequestId};
use sallyport_model::{Clock, Recorder, Rng, UpstreamName, event::Source};
use sallyport_oauth::KeySource;
use sallyport_storage::Store;

use crate::{
    admission::{Admission, Held},
    authenticate::{Authenticated, VerifiedTokens, authenticate},
    challenge,
    config::GateConfig,
    cors, delete,
    demands::Demands,
    discovery,
    legs::Legs,
    listen,
    parked::ParkedCalls,
    possession::Possession,
    post,
    presented::{Scheme, presented, speaks_dpop},
    receive::{Verb, receive, source_of},
    record::{About, Records},
    refusal::Refusal,
    respond,
    revocation::RevocationView,
    served::Served,
    sessions::Sessions,
    slots::Slots,
    state::States,
    strangers::{Strangers, claims_of},
    tasks::Tasks,
    upstream::Connector,
    uses::Uses,
    work::Work,
};

/// What the gate is wired to.
pub struct Deps {
    /// Pins and revocations.
    pub store: Arc<dyn Store>,
    /// The audit log.
    pub recorder: Arc<dyn Recorder>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The keys that access tokens are signed with.
    pub keys: Arc<dyn KeySource>,
    /// Opens legs to upstreams.
    pub connector: Arc<Connector>,
    /// Fed by a poller of the app's.
    pub revocations: Arc<RevocationView>,
    /// Which upstreams may be served.
    pub admission: Arc<dyn Admission>,
}

/// The gate. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    config: GateConfig,
    deps: Deps,
    records: Records,
    served: HashMap<UpstreamName, Arc<Served>>,
    tokens: VerifiedTokens,
    possession: Possession,
    sessions: Sessions,
    states: States,
    parked: ParkedCalls,
    legs: Legs,
    slots: Slots,
    tasks: Tasks,
    work: Work,
    strangers: Arc<Strangers>,
    uses: Uses,
    demands: Demands,
    ids: AtomicI64,
}

impl Gate {
    /// A gate in front of the configured upstreams. Their catalogues are what was pinned before;
    /// [`Gate::read_catalogues`] reads them anew. Proofs of possession are held against what this process alone
    /// knows.
    pub fn new(config: GateConfig, deps: Deps) -> Self {
        let possession = Possession::of_this_process(deps.rng.as_ref());
        Self::with_possession(config, deps, possession)
    }

    /// The same, with what all nodes of a cluster hold proofs of possession against.
    pub fn with_possession(config: GateConfig, deps: Deps, possession: Possession) -> Self {
        let served = config.upstreams.iter().map(|offered| {
            let name = offered.name().clone();
            let served = Served::new(offered.clone(), config.resource(&name), config.resource_metadata(&name));
            (name, Arc::new(served))
        });
        let served = served.collect();
        let records = Records {
            recorder: Arc::clone(&deps.recorder),
            clock: Arc::clone(&deps.clock),
            rng: Arc::clone(&deps.rng),
        };
        let states = States::new(Arc::clone(&deps.clock), Arc::clone(&deps.rng), config.limits.parked);
        Self(Arc::new(Inner {
            config,
            deps,
            records,
            served,
            states,
            tokens: VerifiedTokens::default(),
            possession,
            sessions: Sessions::default(),
            parked: ParkedCalls::default(),
            legs: Legs::default(),
            slots: Slots::default(),
            tasks: Tasks::default(),
            work: Work::default(),
            strangers: Arc::default(),
            uses: Uses::default(),
            demands: Demands::default(),
            ids: AtomicI64::new(1),
        }))
    }

    /// The public routes: the MCP endpoints and their metadata.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/mcp/{name}", any(endpoint))
            .route("/.well-known/oauth-protected-resource/mcp/{name}", get(discovery::metadata))
            .route("/.well-known/oauth-protected-resource", get(discovery::root))
            .with_state(self.clone())
    }

    pub(crate) fn config(&self) -> &GateConfig {
        &self.0.config
    }
    pub(crate) fn clock(&self) -> &dyn Clock {
        self.0.deps.clock.as_ref()
    }
    pub(crate) fn rng(&self) -> &dyn Rng {
        self.0.deps.rng.as_ref()
    }
    pub(crate) fn keys(&self) -> &dyn KeySource {
        self.0.deps.keys.as_ref()
    }
    pub(crate) fn store(&self) -> &dyn Store {
        self.0.deps.store.as_ref()
    }
    pub(crate) fn connector(&self) -> &Connector {
        &self.0.deps.connector
    }
    pub(crate) fn revocations(&self) -> &RevocationView {
        &self.0.deps.revocations
    }
    pub(crate) fn admission(&self) -> &dyn Admission {
        self.0.deps.admission.as_ref()
    }
    pub(crate) fn records(&self) -> &Records {
        &self.0.records
    }
    pub(crate) fn verified_tokens(&self) -> &VerifiedTokens {
        &self.0.tokens
    }
    pub(crate) fn possession(&self) -> &Possession {
        &self.0.possession
    }
    pub(crate) fn demands(&self) -> &Demands {
        &self.0.demands
    }
    pub(crate) fn uses(&self) -> &Uses {
        &self.0.uses
    }
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }
    pub(crate) fn states(&self) -> &States {
        &self.0.states
    }
    pub(crate) fn parked(&self) -> &ParkedCalls {
        &self.0.parked
    }
    pub(crate) fn legs(&self) -> &Legs {
        &self.0.legs
    }
    pub(crate) fn slots(&self) -> &Slots {
        &self.0.slots
    }
    /// An id for a request of the gate's own, on either side.
    pub(crate) fn fresh_id(&self) -> RequestId {
        RequestId::Number(self.0.ids.fetch_add(1, Ordering::Relaxed))
    }
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    /// What runs, and is waited for at a stop.
    pub(crate) fn work(&self) -> &Work {
        &self.0.work
    }

    /// The counts of refused strangers, for the app to flush.
    pub fn strangers(&self) -> Arc<Strangers> {
        Arc::clone(&self.0.strangers)
    }

    /// An upstream by name.
    pub fn served(&self, name: &UpstreamName) -> Option<Arc<Served>> {
        self.0.served.get(name).cloned()
    }

    /// All upstreams, in no order.
    pub fn all_served(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.0.served.values()
    }

    /// Walks a request's first stages and goes no further, so that they can be measured by themselves: whether it
    /// arrives, and if asked for whether its sender is known. A proof in it is used up.
    #[doc(hidden)]
    pub async fn walk_some_stages(&self, name: &str, request: Request<Body>, authenticated: bool) -> bool {
        match receive(self, name, request) {
            Ok((arrived, _)) if authenticated => authenticate(self, arrived).await.is_ok(),
            arrived => arrived.is_ok(),
        }
    }

    /// Refuses an authenticated request, on the record.
    pub(crate) async fn refuse(&self, caller: &Authenticated, request: Rejected, refusal: Refusal) -> Response {
        let subject = caller.subject(request.bytes);
        let served = Some(caller.arrived.served.as_ref());
        match self.records().refused(&subject, request.about, &refusal).await {
            Ok(_) => respond::refused(&refusal, request.id, served, request.era),
            Err(error) => respond::refused(&Refusal::NoRecord(error), request.id, served, request.era),
        }
    }

    fn refuse_stranger(&self, source: &Source, name: &str, headers: &HeaderMap, refusal: &Refusal) {
        let claimed = presented(headers, None).map(|sent| claims_of(sent.token)).unwrap_or_default();
        let named = if self.0.served.keys().any(|known| known.as_str() == name) { name } else { "unknown" };
        self.0.strangers.count(source, refusal.code(), named, claimed, self.clock().now());
    }
}

/// A request as far as it got before it was refused.
pub(crate) struct Rejected {
    pub(crate) about: About,
    pub(crate) bytes: usize,
    pub(crate) id: Option<RequestId>,
    pub(crate) era: Era,
}

impl Rejected {
    /// Refused before it was understood.
    pub(crate) fn unread(method: &str, bytes: usize) -> Self {
        let about = About { method: method.to_owned(), ..About::default() };
        Self { about, bytes, id: None, era: Era::Legacy }
    }
}

/// `/mcp/{name}`, every verb.
async fn endpoint(State(gate): State<Gate>, Path(name): Path<String>, request: Request<Body>) -> Response {
    let origin = cors::origin(gate.config(), request.headers());
    if request.method() == Method::OPTIONS {
        return cors::preflight(origin);
    }
    let scheme = if speaks_dpop(request.headers()) { Scheme::Dpop } else { Scheme::Bearer };
    let response = walk(&gate, &name, request).await;
    let response = challenge::dress(gate.possession(), gate.clock().now(), scheme, response);
    cors::dress(response, origin)
}

async fn walk(gate: &Gate, name: &str, request: Request<Body>) -> Response {
    if gate.work().is_stopped() {
        return respond::empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    let source = source_of(&request);
    let headers = request.headers().clone();
    let (arrived, body) = match receive(gate, name, request) {
        Ok(arrived) => arrived,
        Err(refusal) => {
            gate.refuse_stranger(&source, name, &headers, &refusal);
            return respond::refused(&refusal, None, None, Era::Legacy);
        }
    };
    let caller = match authenticate(gate, arrived).await {
        Ok(caller) => caller,
        Err((refusal, arrived)) => {
            gate.refuse_stranger(&source, name, &headers, &refusal);
            drain(body).await;
            return respond::refused(&refusal, None, Some(&arrived.served), Era::Legacy);
        }
    };
    // In a task of its own: a client that goes away must not stop it between two steps, with one half
    // in the log and the other nowhere.
    let own = gate.clone();
    let handled = gate.work().run(async move {
        match caller.arrived.verb {
            Verb::Post => post::post(&own, caller, body).await,
            Verb::Get => listen::get(&own, caller).await,
            Verb::Delete => delete::delete(&own, caller).await.into(),
        }
    });
    match handled.await {
        Ok(reply) => reply.response().await,
        Err(_) => respond::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Reads a stranger's small body to its end, so that the connection can be used again: a client's next
/// step after a 401 is a request for the metadata, on the same connection.
async fn drain(body: Body) {
    let rest = http_body_util::BodyExt::collect(http_body_util::Limited::new(body, DRAINED_BYTES));
    let _ = tokio::time::timeout(DRAINED_TIME, rest).await;
}

const DRAINED_BYTES: usize = 64 * 1024;
const DRAINED_TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// A fact for the app's `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether requests would be served.
    pub ready: bool,
    /// What stands in the way, by part.
    pub faults: BTreeMap<&'static str, String>,
}

impl Gate {
    /// Whether this node may serve: its log takes events, its view of revocations is fresh, and so is its view
    /// of the register where that decides.
    pub fn health(&self) -> Health {
        let mut faults = BTreeMap::new();
        if let Err(error) = self.records().recorder.ready() {
            faults.insert("audit_log", error.to_string());
        }
        if !self.revocations().leased() {
            faults.insert("revocations", crate::revocation::Dead::Unknown.to_string());
        }
        if !self.admission().is_known() {
            faults.insert("admission", Held::Unknown.to_string());
        }
        Health { ready: faults.is_empty(), faults }
    }
}

/// A header of a request, if it is there once and readable.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// 404 in the style of the endpoint, for discovery documents of upstreams that do not exist.
pub(crate) fn not_found() -> Response {
    let mut response = respond::empty(StatusCode::NOT_FOUND);
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}
