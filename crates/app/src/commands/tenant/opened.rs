//! The store beside a running gate, for commands that change who may do what.
//!
//! The rules are `sallyport_admin::tenancy`, where the admin API has them from as well; here they work on the store
//! alone. Every change leaves a notice before it happens; the running gate puts notices into the audit log.

use std::sync::Arc;

use anyhow::Result;
use sallyport_admin::{
    Fault, Refusal,
    tenancy::{self, Author, Bounds, Noticed, Parts, Tenancy, people},
};
use sallyport_model::{Actor, AuditEvent, Clock, Rng, SystemClock, SystemRng, TenantId, Timestamp, UserId};
use sallyport_proxy::catalogue::GATE_TENANT;
use sallyport_storage::{BrowserSession, Connection, Grant, Person, Store, Tenant};
use serde_json::Value;

use crate::{
    cli::Configured,
    commands::config::load,
    config::{Config, ConfigError},
    deployment::{Database, Vault},
    secrets::MasterKey,
};

pub use sallyport_admin::tenancy::{Count, MOST_SESSIONS};

/// A deployment's configuration and store.
pub struct Opened {
    config: Config,
    tenancy: Tenancy,
}

impl Opened {
    /// Opens the store of the deployment that a command names.
    ///
    /// # Errors
    /// When the configuration is not good, or the store is not there or does not open.
    pub async fn open(configured: &Configured) -> Result<Self> {
        let config = load(configured)?;
        let database = config.data.database();
        if let Database::File(path) = &database
            && !path.exists()
        {
            let what = format!("{database} is not there; start the gate once, which makes it");
            return Err(ConfigError::option("data.directory", &what).into());
        }
        let master_key = MasterKey::load(&config.data.master_key(), &SystemRng)?;
        let store = Vault::open(&database, &master_key).await?.store;
        Ok(Self::of(config, store, Arc::new(SystemRng), Arc::new(SystemClock)))
    }

    /// Of what is open already.
    pub fn of(config: Config, store: Arc<dyn Store>, rng: Arc<dyn Rng>, clock: Arc<dyn Clock>) -> Self {
        let journal = Arc::new(Noticed(Arc::clone(&store)));
        let parts = Parts { store, clock, rng, journal, bounds: bounds(&config) };
        Self { config, tenancy: Tenancy::new(Arc::new(parts), Author::Account(account())) }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The operations, in the name of whoever runs this process.
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.tenancy.store()
    }

    /// Randomness.
    pub fn rng(&self) -> &dyn Rng {
        self.tenancy.rng()
    }

    /// The time. A revocation takes it anew: what was issued while the command counted must end too.
    pub fn now(&self) -> Timestamp {
        self.tenancy.now()
    }

    /// Scheme, host and port of the public listener.
    pub fn origin(&self) -> String {
        self.tenancy.origin().to_owned()
    }

    /// A tenant that is there.
    pub async fn tenant(&self, id: &TenantId) -> Result<Tenant> {
        if let Some(tenant) = self.store().tenant(id).await? {
            return Ok(tenant);
        }
        let known = self.store().tenants().await?;
        let known = known.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".to_owned() } else { known };
        Err(refused("ID", &format!("there is no tenant `{id}`; there are: {known}")))
    }

    /// A tenant's connection by its name or id.
    pub async fn connection(&self, tenant: &Tenant, name: &str) -> Result<Connection> {
        self.tenancy.connection(&tenant.id, name).await.map_err(told)
    }

    /// One person of a tenant by id, login or e-mail address.
    pub async fn person_of(&self, tenant: &TenantId, wanted: &str) -> Result<Person> {
        people::named(&self.tenancy, tenant, wanted).await.map_err(told)
    }

    /// Leaves the notice of a change that is about to happen: `facts` is an object of ids and choices.
    pub async fn notice(&self, action: &str, tenant: Option<&TenantId>, facts: Value) -> Result<()> {
        self.tenancy.note(action, tenant, facts).await.map_err(told)
    }

    /// The living grants of a person or an agent.
    pub async fn grants_of(&self, tenant: &TenantId, subject: &Actor) -> Result<Vec<Grant>> {
        self.tenancy.grants_of(tenant, subject).await.map_err(told)
    }

    /// How many living grants there are in a tenant that `counts`.
    pub async fn grants_in(&self, tenant: &TenantId, counts: impl Fn(&Grant) -> bool + Sync) -> Result<Count> {
        self.tenancy.grants_in(tenant, counts).await.map_err(told)
    }

    /// The living sessions of a tenant or of one of its people.
    pub async fn sessions(&self, tenant: &TenantId, user: Option<&UserId>) -> Result<Vec<BrowserSession>> {
        Ok(self.store().browser_sessions(tenant, user, self.now()).await?)
    }
}

fn bounds(config: &Config) -> Bounds {
    let lifetimes = config.oauth.lifetimes();
    Bounds {
        origin: config.server.origin(),
        configured: config.tenants.iter().map(|tenant| tenant.id.clone()).collect(),
        reserved: GATE_TENANT,
        access_token: lifetimes.access_token.as_secs(),
        refresh_idle: lifetimes.refresh_idle.as_secs(),
        grant: lifetimes.grant.as_secs(),
        delegation: lifetimes.delegation.as_secs(),
        session: u64::from(config.identity.session_hours.max(1)) * 3600,
        local_directory: config.identity.local_directory,
    }
}

/// The event of a change by the operator.
pub fn event(action: &str, tenant: Option<&TenantId>, facts: Value, rng: &dyn Rng, now: Timestamp) -> AuditEvent {
    tenancy::event(action, tenant, facts, &Author::Account(account()), rng, now)
}

/// Who runs this process, as the operating system says: `ann (uid 1000)`.
fn account() -> String {
    let uid = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then(|| shown(name))
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// Why a change was not made, in the words of the command line: a field is an option here.
pub fn told(fault: Fault) -> anyhow::Error {
    match fault {
        Fault::Refused(refusal) => in_words(&refusal),
        Fault::Elsewhere { what, remedy } => {
            let remedy = remedy.map(|remedy| format!(": {remedy}")).unwrap_or_default();
            anyhow::anyhow!("{}", shown(&format!("{what}{remedy}")))
        }
        fault => fault.into(),
    }
}

fn in_words(refusal: &Refusal) -> anyhow::Error {
    let what = sallyport_report::safe::line(&refusal.to_string(), 2000);
    if refusal.field.is_empty() {
        ConfigError::option("ID", &what).into()
    } else {
        refused(&option(refusal.field), &what)
    }
}

/// Where a field of a request is on the command line.
fn option(field: &str) -> String {
    match field {
        "tenant" | "id" => "ID".to_owned(),
        "name" | "connection" => "NAME".to_owned(),
        "domain" | "session" | "stream" => field.to_ascii_uppercase(),
        "token" => "TOKEN_ID".to_owned(),
        "scopes" => "--scope".to_owned(),
        "demands.mfa" => "--require-mfa".to_owned(),
        "protocol" => "--replace".to_owned(),
        "mapping.admitted" => "--admit-group".to_owned(),
        "mapping.administrators" => "--administrator-group".to_owned(),
        "mapping.email" => "--email-claim".to_owned(),
        "mapping.name" => "--name-claim".to_owned(),
        "mapping.groups" => "--groups-claim".to_owned(),
        "mapping.rename_groups" => "--rename-group".to_owned(),
        "mapping.email_verified" => "--email-verified-claim".to_owned(),
        "mapping.scim" => "--scim-match".to_owned(),
        "mapping.create" => "--no-create".to_owned(),
        other => format!("--{}", other.rsplit('.').next().unwrap_or(other).replace('_', "-")),
    }
}

/// What cannot be done as it was asked; exit code 2.
pub fn refused(option: &str, what: &str) -> anyhow::Error {
    ConfigError::option(option, what).into()
}

/// A string of somebody else on one line of the terminal.
pub fn shown(text: &str) -> String {
    sallyport_report::safe::line(text, 500)
}
