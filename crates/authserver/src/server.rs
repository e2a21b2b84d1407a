//! What every endpoint works with.

use std::sync::Arc;

use sallyport_model::{Clock, Recorder, Rng, Strangers, TenantId, Timestamp, UserId};
use sallyport_oauth::dpop::NonceKey;
use sallyport_storage::Store;
use sallyport_web::Shell;
use tokio::sync::Semaphore;

use crate::{
    AuthServerConfig, AuthServerError, Deps, DocumentFetcher, KeyRing, Lifetimes, Resources, SignIn,
    documents::RecentFailures, error::Refusal, limits::Limits, platforms::PlatformKeys,
};

/// Documents that are fetched at the same time.
const FETCHES: usize = 8;

pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) identity: Arc<dyn SignIn>,
    pub(crate) shell: Arc<Shell>,
    pub(crate) documents: Arc<dyn DocumentFetcher>,
    pub(crate) platforms: PlatformKeys,
    pub(crate) nonces: NonceKey,
    pub(crate) resources: Arc<dyn Resources>,
    pub(crate) config: AuthServerConfig,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) limits: Limits,
    pub(crate) fetches: Semaphore,
    pub(crate) fetch_failures: RecentFailures,
}

impl Server {
    pub(crate) fn new(deps: Deps, keys: Arc<KeyRing>, nonces: NonceKey) -> Self {
        let limits = Limits::new(&deps.config.rates);
        Self {
            store: deps.store,
            clock: deps.clock,
            rng: deps.rng,
            recorder: deps.recorder,
            strangers: deps.strangers,
            identity: deps.identity,
            shell: deps.shell,
            documents: deps.documents,
            platforms: PlatformKeys::new(deps.platforms),
            nonces,
            resources: deps.resources,
            config: deps.config,
            keys,
            limits,
            fetches: Semaphore::new(FETCHES),
            fetch_failures: RecentFailures::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// The URL of one of our endpoints.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shell.origin())
    }

    /// Whether tokens may be issued for this tenant.
    pub(crate) async fn tenant_lives(&self, tenant: &TenantId) -> Result<bool, AuthServerError> {
        Ok(self.store.tenant(tenant).await?.is_some_and(|tenant| !tenant.suspended))
    }

    /// How long what a tenant's people get may live.
    pub(crate) async fn lifetimes_of(&self, tenant: &TenantId) -> Result<Lifetimes, AuthServerError> {
        let settings = self.store.tenant(tenant).await?.map(|tenant| tenant.settings).unwrap_or_default();
        Ok(self.config.lifetimes.narrowed(&settings))
    }

    /// Why this person of this tenant may get no token, if so.
    pub(crate) async fn person_refused(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Option<Refusal>, AuthServerError> {
        if !self.tenant_lives(tenant).await? {
            return Ok(Some(Refusal::grant("the authorization has ended", "tenant_suspended")));
        }
        let person = self.store.person(user).await?;
        let welcome = person.is_some_and(|person| !person.disabled && person.tenant == *tenant);
        Ok((!welcome).then_some(Refusal::grant("the authorization has ended", "person_disabled")))
    }
}
