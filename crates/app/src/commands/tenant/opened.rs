//! The store beside a running gate, for commands that change who may do what.
//!
//! Every change leaves a notice before it happens; the running gate puts notices into the audit log. No secret is
//! ever part of one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sallyport_model::{
    Actor, AgentId, AuditEvent, Clock, EventId, EventKind, Rng, SystemClock, SystemRng, TenantId, Timestamp, UserId,
};
use sallyport_storage::{BrowserSession, Connection, Grant, Person, Store, Tenant};
use serde_json::{Map, Value, json};

use crate::{
    cli::Configured,
    commands::config::load,
    config::{Config, ConfigError},
    deployment::{Database, Vault},
    secrets::MasterKey,
};

/// The most people whose grants are counted before all of a tenant or a client is ended: an end must not wait for
/// figures.
const MOST_COUNTED: usize = 1000;

/// A deployment's configuration and store.
pub struct Opened {
    config: Config,
    store: Arc<dyn Store>,
    rng: Arc<dyn Rng>,
    clock: Arc<dyn Clock>,
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
        Self { config, store, rng, clock }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Randomness.
    pub fn rng(&self) -> &dyn Rng {
        self.rng.as_ref()
    }

    /// The time. A revocation takes it anew: what was issued while the command counted must end too.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Scheme, host and port of the public listener.
    pub fn origin(&self) -> String {
        self.config.server.origin()
    }

    /// Whether the configuration names this tenant, so that the gate makes it at every start.
    pub fn is_configured(&self, id: &TenantId) -> bool {
        self.config.tenants.iter().any(|tenant| tenant.id == *id)
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
        let all = self.store().connections(&tenant.id).await?;
        let names = all.iter().map(|connection| shown(&connection.name)).collect::<Vec<_>>().join(", ");
        let found = all.into_iter().find(|known| known.name == name || known.id.as_str() == name);
        found.ok_or_else(|| {
            let names = if names.is_empty() { "none".to_owned() } else { names };
            let what = format!("{} has no connection `{}`; it has: {names}", tenant.id, shown(name));
            refused("NAME", &what)
        })
    }

    /// One person of a tenant by id, login or e-mail address.
    pub async fn person_of(&self, tenant: &TenantId, wanted: &str) -> Result<Person> {
        let same = |text: &str| text.eq_ignore_ascii_case(wanted);
        let people = self.store().people(tenant).await?;
        let mut found = people.into_iter().filter(|person| {
            person.id.as_str() == wanted || same(&person.login) || person.email.as_deref().is_some_and(same)
        });
        match (found.next(), found.next()) {
            (Some(person), None) => Ok(person),
            (Some(_), Some(_)) => {
                let what = format!("more than one person of {tenant} is `{}`: name her id", shown(wanted));
                Err(refused("--user", &what))
            }
            (None, _) => {
                let what =
                    format!("{tenant} has nobody `{}`; `sallyport tenant people {tenant}` lists them", shown(wanted));
                Err(refused("--user", &what))
            }
        }
    }

    /// Leaves the notice of a change that is about to happen: `facts` is an object of ids and choices.
    pub async fn notice(&self, action: &str, tenant: Option<&TenantId>, facts: Value) -> Result<()> {
        let event = event(action, tenant, facts, self.rng(), self.now());
        let text = serde_json::to_string(&event)?;
        self.store().add_notice(&text).await.context("the change cannot be put on record, so it was not made")
    }

    /// The living grants of a person or an agent.
    pub async fn grants_of(&self, tenant: &TenantId, subject: &Actor) -> Result<Vec<Grant>> {
        Ok(self.store().grants_of(tenant, subject, self.now()).await?)
    }

    /// How many living grants there are in a tenant that `counts`.
    pub async fn grants_in(&self, tenant: &TenantId, counts: impl Fn(&Grant) -> bool) -> Result<Count> {
        let people = self.store().people(tenant).await?;
        let agents = self.store().agents(tenant).await?;
        let mut count = Count { number: 0, at_least: people.len() + agents.len() > MOST_COUNTED };
        let human = |id: UserId| Actor::Human(id);
        let machine = |id: AgentId| Actor::Agent(id);
        let subjects = agents.into_iter().map(|agent| machine(agent.id));
        for subject in subjects.chain(people.into_iter().map(|person| human(person.id))).take(MOST_COUNTED) {
            count.number += self.grants_of(tenant, &subject).await?.iter().filter(|grant| counts(grant)).count();
        }
        Ok(count)
    }

    /// The living sessions of a tenant or of one of its people.
    pub async fn sessions(&self, tenant: &TenantId, user: Option<&UserId>) -> Result<Vec<BrowserSession>> {
        Ok(self.store().browser_sessions(tenant, user, self.now()).await?)
    }
}

/// The event of a change by the operator.
pub fn event(action: &str, tenant: Option<&TenantId>, facts: Value, rng: &dyn Rng, now: Timestamp) -> AuditEvent {
    let mut event = AuditEvent::new(EventKind::Administered, EventId::mint(now, rng), now);
    event.tenant = tenant.cloned();
    if let Value::Object(facts) = facts {
        event.facts.extend(facts);
    }
    event.facts.insert("action".to_owned(), json!(action));
    event.facts.insert("by".to_owned(), json!(account()));
    event
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

/// A number that may be a lower bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// So many.
    pub number: usize,
    /// Or more.
    pub at_least: bool,
}

impl Count {
    /// Of a list that was asked for with a limit.
    pub fn within(number: usize, limit: usize) -> Self {
        Self { number, at_least: number >= limit }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { number: self.number + other.number, at_least: self.at_least || other.at_least }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.at_least { "at least " } else { "" }, self.number)
    }
}

/// The most sessions that the store lists at once.
pub const MOST_SESSIONS: usize = 1000;

/// What cannot be done as it was asked; exit code 2.
pub fn refused(option: &str, what: &str) -> anyhow::Error {
    ConfigError::option(option, what).into()
}

/// A string of somebody else on one line of the terminal.
pub fn shown(text: &str) -> String {
    sallyport_report::safe::line(text, 500)
}

/// A text that a person gave: something, on one line, at most `most` characters.
pub fn text(option: &str, given: &str, most: usize) -> Result<String> {
    let given = given.trim();
    if given.is_empty() {
        return Err(refused(option, "it is empty: write something that people recognise"));
    }
    if given.chars().any(char::is_control) {
        return Err(refused(option, "it holds a control character: write one line of plain text"));
    }
    if given.chars().count() > most {
        return Err(refused(option, &format!("it is longer than {most} characters: write less")));
    }
    Ok(given.to_owned())
}

/// A JSON object without the members that are null.
pub fn present(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        other => other,
    }
}
