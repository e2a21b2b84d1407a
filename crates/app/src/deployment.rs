//! A whole deployment: store, log, gate, authorization server, sign-in, wired together.
//!
//! `serve` and `demo` run exactly this; they differ in where the settings come from.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sallyport_admin::{
    api::{AdminApi, Deps as AdminDeps},
    tenancy::Bounds,
};
use sallyport_authserver::{AuthServer, AuthServerConfig, KeyRing};
use sallyport_identity::{Identity, IdentityConfig};
use sallyport_ledger::{CachedKeyring, Keyring, Log, LogConfig, LogRecorder, LogSigner, Recovery};
use sallyport_model::{
    AuditEvent, Clock, EventId, EventKind, Recorder, Rng, Secret, SigningKeyId, SystemClock, SystemRng, Timestamp,
};
use sallyport_oauth::{KeySource, VerifyingKey};
use sallyport_outbound::{
    AddressPolicy,
    guard::{DocumentClient, SystemResolver},
    provider::ProviderClient,
    stdio::Spawner,
};
use sallyport_proxy::{
    Deps, Gate, GateConfig, Offered, Possession, RegisterView, RevocationView, Tenants,
    catalogue::GATE_TENANT,
    upstream::{Connector, ConnectorOptions, TokensDeps, UpstreamTokens},
};
use sallyport_storage::{PostgresStore, Store, StoreError, Tenant, sqlite::SqliteStore};
use sallyport_web::{Branding, CsrfKey, Shell};
use serde_json::json;
use tokio_util::sync::DropGuard;
use url::Url;

use crate::{
    announce::Announce,
    health, kept,
    keyring::StoreKeyring,
    linking::{self, LateSigner},
    notices,
    offer::GateOffer,
    orphans,
    register::{Demand, assessor::Assessor, logging::Records, reassess::Schedule},
    secrets::MasterKey,
    wiring::{GateResources, GuardedDocuments, PlatformDocuments},
};

/// What a deployment is made of, valid.
pub struct Settings {
    /// Scheme and authority of the public listener.
    pub public_url: Url,
    /// Where the state is.
    pub database: Database,
    /// The audit log's directory.
    pub audit_log: PathBuf,
    /// The log's name, which its checkpoints carry for ever.
    pub log_origin: String,
    /// The master key.
    pub master_key: MasterKey,
    /// What pages call the product.
    pub branding: Branding,
    /// The customers.
    pub tenants: Vec<(sallyport_model::TenantId, String)>,
    /// The gate.
    pub gate: GateConfig,
    /// What is demanded of upstreams.
    pub demand: Demand,
    /// The authorization server.
    pub oauth: AuthServerConfig,
    /// Sign-in.
    pub identity: IdentityConfig,
    /// Where clients' documents may be fetched from.
    pub documents: AddressPolicy,
    /// Where tenants' identity providers may be, and whom they are trusted by.
    pub providers: AddressPolicy,
    /// Roots besides the web's for identity providers.
    pub provider_roots: Vec<rustls_pki_types::CertificateDer<'static>>,
    /// Whether calls are shown on standard error as they happen.
    pub announce: bool,
}

/// Where the state is.
#[derive(Clone)]
pub enum Database {
    /// A SQLite file: one node.
    File(PathBuf),
    /// A PostgreSQL database: any number of nodes.
    Postgres(Secret),
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(_) => f.write_str("in PostgreSQL"),
        }
    }
}

/// A running deployment.
pub struct Deployment {
    /// The gate.
    pub gate: Gate,
    /// Sign-in, for adding people.
    pub identity: Identity,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The audit log.
    pub log: Log,
    /// What opening the audit log found.
    pub recovery: Recovery,
    /// Records events.
    pub recorder: Arc<dyn Recorder>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    keys: Arc<KeyRing>,
    revocations: Arc<RevocationView>,
    register: Arc<RegisterView>,
    reassess: Option<(Duration, Assessor)>,
    public: Router,
    admin: AdminApi,
    spawner: Spawner,
    tasks: tokio::task::JoinSet<()>,
    /// While they are held, revocations and the register's changes are learned of.
    polling: Vec<DropGuard>,
    /// How long a revocation can matter to a living token.
    revocation_life: Duration,
}

/// The store and the log as another process may open them: to read.
pub struct Vault {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The log's keys.
    pub keyring: Arc<dyn Keyring>,
}

impl Vault {
    /// Opens the store beside a running deployment.
    ///
    /// # Errors
    /// When the database does not open with this master key.
    pub async fn open(database: &Database, master_key: &MasterKey) -> Result<Self> {
        let store: Result<Arc<dyn Store>, StoreError> = match database {
            Database::File(path) => SqliteStore::open(path, master_key.expose()).map(|store| Arc::new(store) as _),
            Database::Postgres(url) => {
                PostgresStore::connect(url.expose(), master_key.expose()).await.map(|store| Arc::new(store) as _)
            }
        };
        let store = store.with_context(|| format!("the database {database} does not open"))?;
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let inner = StoreKeyring::new(Arc::clone(&store), rng);
        let keyring = CachedKeyring::new(inner, 10_000, Duration::from_secs(60), Arc::new(SystemClock));
        Ok(Self { store, keyring: Arc::new(keyring) })
    }
}

/// The name of the audit log: its checkpoints' origin. Host and port alone, as C2SP tlog-tiles suggests.
pub fn log_origin(public_url: &Url) -> String {
    let host = public_url.host_str().unwrap_or("localhost");
    match public_url.port() {
        Some(port) => format!("{host}:{port}/audit"),
        None => format!("{host}/audit"),
    }
}

/// Signs the checkpoints of the log of that origin.
///
/// # Errors
/// When the origin cannot be one.
pub fn log_signer(master_key: &MasterKey, origin: &str) -> Result<LogSigner> {
    let seed = master_key.derive("audit log signing key v1");
    LogSigner::from_seed(origin, &seed).context("the audit log's key cannot be made")
}

impl Deployment {
    /// Opens everything, in the order in which it depends on one another.
    ///
    /// # Errors
    /// Whatever does not open; nothing listens then.
    pub async fn open(settings: Settings) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rng: Arc<dyn Rng> = Arc::new(SystemRng);
        let Vault { store, keyring } = Vault::open(&settings.database, &settings.master_key).await?;
        let signer = log_signer(&settings.master_key, &settings.log_origin)?;
        let mut config = LogConfig::new(&settings.audit_log, signer);
        config.kept = kept::read(&settings.audit_log)?;
        let (log, recovery) = tokio::task::spawn_blocking(move || Log::open(config))
            .await?
            .with_context(|| format!("the audit log {} does not open", settings.audit_log.display()))?;
        let durable: Arc<dyn Recorder> =
            Arc::new(LogRecorder::new(log.clone(), Arc::clone(&keyring), Arc::clone(&rng)));
        orphans::close(&log, keyring.as_ref(), durable.as_ref(), clock.as_ref(), rng.as_ref()).await?;
        let recorder: Arc<dyn Recorder> = if settings.announce { Arc::new(Announce(durable)) } else { durable };
        seed_tenants(store.as_ref(), &settings.tenants, clock.now()).await?;
        warn_of_unknown_tenants(store.as_ref(), &settings.gate.upstreams).await?;
        let base = Base { store, recorder, clock, rng, log, recovery };
        base.build(settings).await
    }

    /// The public routes.
    pub fn public(&self) -> Router {
        self.public.clone()
    }

    /// The private routes: health, figures, the admin API.
    pub fn private(&self) -> Router {
        health::router(self.gate.clone(), self.log.clone()).merge(self.admin.router())
    }

    /// Starts what runs beside requests: polling, sweeping, flushing, key rotation, catalogues.
    pub async fn start(&mut self) -> Result<()> {
        self.revocations.poll(self.store.as_ref()).await.context("the revocation log cannot be read")?;
        let (gate, store, keys) = (self.gate.clone(), Arc::clone(&self.store), Arc::clone(&self.keys));
        let (recorder, clock, rng) = (Arc::clone(&self.recorder), Arc::clone(&self.clock), Arc::clone(&self.rng));
        let polling = Arc::clone(&self.revocations).poll_on_own_thread(Arc::clone(&store));
        self.polling.push(polling.context("the revocation log cannot be polled")?);
        self.start_register().await?;
        self.tasks.spawn(gate.clone().keep_sweeping());
        self.tasks.spawn(gate.strangers().keep_flushing(recorder, Arc::clone(&clock), rng));
        self.tasks.spawn(keep_keys(keys));
        self.tasks.spawn(kept::keep_keeping(self.log.clone()));
        let noticed = Records {
            store: Arc::clone(&self.store),
            recorder: Arc::clone(&self.recorder),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
        };
        self.tasks.spawn(notices::keep_recording(noticed));
        self.tasks.spawn(self.identity.clone().keep_polling_signals());
        self.tasks.spawn(self.identity.clone().keep_settling_agents());
        self.tasks.spawn(keep_purging(store, Arc::clone(&self.revocations), clock, self.revocation_life));
        self.record(EventKind::Started, json!({ "version": env!("CARGO_PKG_VERSION") })).await
    }

    /// Starts what keeps the register: reading it, recording its changes, and the schedule.
    async fn start_register(&mut self) -> Result<()> {
        self.register.poll(self.store.as_ref()).await.context("the register of assessed upstreams cannot be read")?;
        let polling = Arc::clone(&self.register).poll_on_own_thread(Arc::clone(&self.store));
        self.polling.push(polling.context("the register of assessed upstreams cannot be polled")?);
        let records = Records {
            store: Arc::clone(&self.store),
            recorder: Arc::clone(&self.recorder),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
        };
        self.tasks.spawn(records.clone().keep_recording(self.register.number()));
        if let Some((every, assessor)) = self.reassess.take() {
            let schedule = Schedule::new(every, records, Arc::clone(&self.register));
            self.tasks.spawn(schedule.keep(Arc::new(assessor)));
        }
        Ok(())
    }

    /// Stops, after the listeners were told to: calls in progress may finish for a while, what is left is
    /// closed on the record, the log is signed and closed. `listeners` resolves when they have ended;
    /// `forced` when nobody wants to wait any longer.
    ///
    /// # Errors
    /// When the log could not take the last entries, or the stop was forced.
    pub async fn stop(self, listeners: impl Future<Output = ()>, forced: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            stopped = self.stop_in_order(listeners) => stopped,
            () = forced => anyhow::bail!("the stop was forced; the next start closes in the log what is open there"),
        }
    }

    async fn stop_in_order(mut self, listeners: impl Future<Output = ()>) -> Result<()> {
        tokio::join!(self.gate.stop(PATIENCE), listeners);
        self.tasks.abort_all();
        self.spawner.stop_all().await;
        self.gate.strangers().flush(self.recorder.as_ref(), self.clock.as_ref(), self.rng.as_ref()).await;
        self.record(EventKind::Stopped, json!({})).await?;
        let log = self.log.clone();
        let closed = move || {
            log.close().context("the audit log did not close well")?;
            kept::keep(log.dir()).context("the last checkpoint could not be kept")
        };
        tokio::task::spawn_blocking(closed).await?
    }

    async fn record(&self, kind: EventKind, facts: serde_json::Value) -> Result<()> {
        let now = self.clock.now();
        let mut event = AuditEvent::new(kind, EventId::mint(now, self.rng.as_ref()), now);
        if let serde_json::Value::Object(facts) = facts {
            event.facts.extend(facts);
        }
        self.recorder.record(event).await.context("the audit log takes no events")?;
        Ok(())
    }
}

struct Base {
    store: Arc<dyn Store>,
    recorder: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    log: Log,
    recovery: Recovery,
}

impl Base {
    /// What the gate holds proofs of possession against. A nonce is for the server that gave it (RFC 9449 section 9):
    /// the gate and the authorization server take none of one another's.
    fn possession(&self, database: &Database, master_key: &MasterKey) -> Possession {
        match database {
            Database::File(_) => Possession::of_this_process(self.rng.as_ref()),
            Database::Postgres(_) => {
                Possession::shared(Arc::clone(&self.store), &master_key.derive("DPoP nonces of the gate v1"))
            }
        }
    }

    /// What fetches the gate's own credentials at upstreams.
    fn upstream_tokens(&self, gate: &GateConfig, signer: Arc<LateSigner>) -> UpstreamTokens {
        UpstreamTokens::new(TokensDeps {
            issuer: gate.issuer.clone(),
            public_url: gate.public_url.clone(),
            signer,
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            resolver: Arc::new(SystemResolver),
        })
    }

    /// The pages on which people link accounts at upstreams.
    fn linking(&self, gate: &Gate, identity: &Identity, tokens: Arc<UpstreamTokens>, shell: &Arc<Shell>) -> Router {
        linking::router(linking::Deps {
            gate: gate.clone(),
            identity: identity.clone(),
            tokens,
            store: Arc::clone(&self.store),
            recorder: Arc::clone(&self.recorder),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            shell: Arc::clone(shell),
        })
    }

    async fn build(self, settings: Settings) -> Result<Deployment> {
        let bounds = bounds(&settings);
        let csrf = CsrfKey::new(settings.master_key.derive("form tokens v1"));
        let shell = Arc::new(Shell::new(settings.public_url, settings.branding, csrf)?);
        let revocations = Arc::new(RevocationView::default());
        let keys = Arc::new(LateKeys::default());
        let spawner = Spawner::new();
        let names = settings.gate.upstreams.iter().map(|offered| offered.name().clone()).collect();
        let register = Arc::new(RegisterView::new(settings.demand.minimum, names));
        let assessor = Assessor::new(&settings.gate.upstreams, Arc::clone(&self.clock), Arc::clone(&self.rng));
        let reassess = settings.demand.reassess_every.map(|every| (every, assessor));
        let possession = self.possession(&settings.database, &settings.master_key);
        let signer = Arc::new(LateSigner::default());
        let tokens = Arc::new(self.upstream_tokens(&settings.gate, signer.clone()));
        let connector = Connector::with_tokens(ConnectorOptions::default(), spawner.clone(), Arc::clone(&tokens));
        let nonce_key = settings.master_key.derive("DPoP nonces of the authorization server v1");
        let deps = Deps {
            store: Arc::clone(&self.store),
            recorder: Arc::clone(&self.recorder),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            keys: keys.clone(),
            connector: Arc::new(connector),
            revocations: Arc::clone(&revocations),
            admission: register.clone(),
        };
        let gate = Gate::with_possession(settings.gate, deps, possession);
        gate.load_pins().await?;
        let providers = ProviderClient::new(settings.providers, Arc::new(SystemResolver), settings.provider_roots);
        let admins_way = providers.clone();
        let identity = Identity::new(sallyport_identity::Deps {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            recorder: Arc::clone(&self.recorder),
            strangers: gate.strangers().counts(),
            providers: providers.clone(),
            shell: Arc::clone(&shell),
            config: settings.identity,
        })?;
        identity.know_offer(Arc::new(GateOffer(gate.clone())));
        let lifetimes = &settings.oauth.lifetimes;
        let revocation_life = REVOCATION_LIFE.max(lifetimes.grant + lifetimes.access_token);
        let documents = DocumentClient::new(settings.documents, Arc::new(SystemResolver), &[])?;
        let authserver = AuthServer::new(sallyport_authserver::Deps {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            recorder: Arc::clone(&self.recorder),
            strangers: gate.strangers().counts(),
            identity: Arc::new(identity.clone()),
            shell: Arc::clone(&shell),
            documents: Arc::new(GuardedDocuments(documents)),
            platforms: Arc::new(PlatformDocuments(providers)),
            nonce_key,
            resources: Arc::new(GateResources(gate.clone())),
            config: settings.oauth,
        })
        .await?;
        let _ = keys.0.set(authserver.keys());
        let _ = signer.0.set(authserver.keys());
        let linking = self.linking(&gate, &identity, tokens, &shell);
        let admin = AdminApi::new(AdminDeps {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
            recorder: Arc::clone(&self.recorder),
            bounds,
            providers: admins_way,
            name_server: None,
        });
        let pages = authserver.router().merge(identity.router()).merge(shell.router()).merge(linking);
        let own = axum::middleware::from_fn_with_state(shell.clone(), own_host);
        let public = gate.router().merge(pages.layer(own));
        Ok(Deployment {
            gate,
            identity,
            store: self.store,
            log: self.log,
            recovery: self.recovery,
            recorder: self.recorder,
            clock: self.clock,
            rng: self.rng,
            keys: authserver.keys(),
            revocations,
            register,
            reassess,
            public,
            admin,
            spawner,
            tasks: tokio::task::JoinSet::new(),
            polling: Vec::new(),
            revocation_life,
        })
    }
}

/// What the operator lets tenants choose.
fn bounds(settings: &Settings) -> Bounds {
    let lifetimes = &settings.oauth.lifetimes;
    Bounds {
        origin: settings.public_url.origin().ascii_serialization(),
        configured: settings.tenants.iter().map(|(id, _)| id.clone()).collect(),
        reserved: GATE_TENANT,
        access_token: lifetimes.access_token.as_secs(),
        refresh_idle: lifetimes.refresh_idle.as_secs(),
        grant: lifetimes.grant.as_secs(),
        delegation: lifetimes.delegation.as_secs(),
        session: settings.identity.session_lifetime.as_secs(),
        local_directory: settings.identity.local_directory,
    }
}

/// A page of another site whose name was rebound to this machine reads nothing here: `Host` must be ours.
/// (The gate's own routes look for themselves, and put it on the record.)
async fn own_host(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(http::header::HOST).iter();
    let named = hosts.next().and_then(|host| host.to_str().ok());
    let target = request.uri().authority().map(|authority| authority.as_str());
    let ours = shell.origin().split_once("://").map_or(shell.origin(), |(_, authority)| authority);
    let foreign = [named, target].into_iter().flatten().any(|named| !named.eq_ignore_ascii_case(ours));
    if hosts.next().is_some() || foreign || (named.is_none() && target.is_none()) {
        let what = format!("This server is {}. Use that address.\n", shell.origin());
        return (http::StatusCode::MISDIRECTED_REQUEST, what).into_response();
    }
    // A body that drips in holds nobody's place for long.
    match tokio::time::timeout(PAGE_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (http::StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time.\n").into_response(),
    }
}

/// The longest that a page or an OAuth endpoint may take, its request's body included.
const PAGE_TIME: Duration = Duration::from_secs(30);

/// The authorization server's keys for the gate, which is made first. Before they are there, no token
/// is good.
#[derive(Default)]
struct LateKeys(OnceLock<Arc<KeyRing>>);

impl KeySource for LateKeys {
    fn verifying_key(&self, kid: &SigningKeyId) -> Option<VerifyingKey> {
        self.0.get()?.verifying_key(kid)
    }
}

async fn seed_tenants(
    store: &dyn Store,
    tenants: &[(sallyport_model::TenantId, String)],
    now: Timestamp,
) -> Result<()> {
    for (id, name) in tenants {
        seed_tenant(store, id, name, now).await.with_context(|| format!("the tenant `{id}` cannot be made"))?;
    }
    Ok(())
}

/// Makes a tenant, or gives it its name: what an administrator or another node changes at the same time, such as a
/// suspension, stays.
async fn seed_tenant(store: &dyn Store, id: &sallyport_model::TenantId, name: &str, now: Timestamp) -> Result<()> {
    for _ in 0..SEEDINGS {
        let Some(was) = store.tenant(id).await? else {
            match store.add_tenant(&Tenant::new(id.clone(), name, now)).await {
                Err(StoreError::Exists(_)) => continue,
                added => return Ok(added?),
            }
        };
        if was.name == name {
            return Ok(());
        }
        if store.exchange_tenant(&was, &Tenant { name: name.to_owned(), ..was.clone() }).await? {
            return Ok(());
        }
    }
    anyhow::bail!("others change it again and again; start again")
}

/// An upstream for a tenant that does not exist is for nobody; that may be a slip of the pen.
async fn warn_of_unknown_tenants(store: &dyn Store, upstreams: &[Offered]) -> Result<()> {
    for offered in upstreams {
        let Tenants::These(tenants) = &offered.tenants else { continue };
        for tenant in tenants {
            if store.tenant(tenant).await?.is_none() {
                tracing::warn!(upstream = %offered.name(), %tenant, "the upstream is for a tenant that does not exist");
            }
        }
    }
    Ok(())
}

async fn keep_keys(keys: Arc<KeyRing>) {
    loop {
        tokio::time::sleep(Duration::from_secs(30)).await;
        if let Err(error) = keys.refresh().await {
            tracing::error!(%error, "the signing keys could not be refreshed");
        }
    }
}

async fn keep_purging(
    store: Arc<dyn Store>,
    revocations: Arc<RevocationView>,
    clock: Arc<dyn Clock>,
    revocation_life: Duration,
) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        if let Err(error) = purge(store.as_ref(), &revocations, clock.now(), revocation_life).await {
            tracing::warn!(%error, "what has ended could not be removed from the store");
        }
    }
}

/// Removes what has ended, and revocations that no living token can be older than.
async fn purge(store: &dyn Store, revocations: &RevocationView, now: Timestamp, life: Duration) -> Result<()> {
    store.purge(now).await?;
    let before = now.minus(life);
    store.prune_revocations(before).await?;
    revocations.forget_before(before);
    Ok(())
}

/// Of two who change a tenant at once one was faster; nobody is outrun so often.
const SEEDINGS: usize = 8;
/// How long calls may go on after the stop.
const PATIENCE: Duration = Duration::from_secs(10);
/// Revocations are kept for at least so long.
const REVOCATION_LIFE: Duration = Duration::from_secs(48 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    use sallyport_model::SessionId;
    use sallyport_storage::{RevocationSubject, Revocations as _, Tenants as _};

    #[tokio::test]
    async fn a_start_names_tenants_and_undoes_no_suspension_and_no_choice() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("private/store.db"), zeroize::Zeroizing::new([7; 32])).unwrap();
        let now = Timestamp::from_secs(1_790_000_000);
        let (acme, beta): (sallyport_model::TenantId, sallyport_model::TenantId) =
            ("acme".parse().unwrap(), "beta".parse().unwrap());
        let mut kept = Tenant { suspended: true, ..Tenant::new(acme.clone(), "Old", now) };
        kept.settings.grant_seconds = Some(60);
        store.add_tenant(&kept).await.unwrap();
        let configured = [(acme.clone(), "Acme".to_owned()), (beta.clone(), "Beta".to_owned())];
        for _ in 0..2 {
            seed_tenants(&store, &configured, now.plus(Duration::from_secs(60))).await.unwrap();
            let named = Tenant { name: "Acme".into(), ..kept.clone() };
            assert_eq!(store.tenant(&acme).await.unwrap(), Some(named), "only its name changed");
            let made = store.tenant(&beta).await.unwrap().unwrap();
            assert_eq!((made.name.as_str(), made.suspended), ("Beta", false));
        }
    }

    #[tokio::test]
    async fn a_revocation_goes_when_no_token_can_be_as_old_and_no_sooner() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("private/store.db"), zeroize::Zeroizing::new([7; 32])).unwrap();
        let view = RevocationView::default();
        let revoked = Timestamp::from_secs(1_790_000_000);
        let subject = RevocationSubject::Session(SessionId::new("s-1").unwrap());
        store.revoke(&subject, revoked).await.unwrap();
        view.poll(&store).await.unwrap();
        for (age, kept) in [(REVOCATION_LIFE, 1), (REVOCATION_LIFE + Duration::from_secs(1), 0)] {
            purge(&store, &view, revoked.plus(age), REVOCATION_LIFE).await.unwrap();
            assert_eq!(store.revocations_after(0, 10).await.unwrap().len(), kept);
        }
    }
}
