//! The operations on tenants and on what is theirs: one function for each, with its rules.
//!
//! Whoever calls has decided that the caller may: functions take the tenant that they work in, and never look
//! outside it. Each change is put on record first, by [`Tenancy::note`], with who does it.

pub mod api_tokens;
pub mod connect;
pub mod connections;
pub mod domains;
pub mod grants;
pub mod mapping;
pub mod people;
pub mod scim_tokens;
pub mod sessions;
pub mod signals;
pub mod tenants;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::{
    Actor, AgentId, ApiTokenId, AuditEvent, Clock, EventId, EventKind, Recorder, Rng, TenantId, Timestamp, UserId,
    event::Source,
};
use sallyport_storage::{ApiRole, Connection, Digest, Grant, Person, Store, Tenant};
use serde_json::{Map, Value, json};

use crate::Fault;

/// The most sessions that the store lists at once.
pub const MOST_SESSIONS: usize = 1000;
/// The most people whose grants are counted before all of a tenant or a client is ended: an end must not wait for
/// figures.
const MOST_COUNTED: usize = 1000;

/// Takes the record of a change, before the change.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Keeps the event. `Ok` means that it cannot be lost any more.
    async fn keep(&self, event: AuditEvent) -> Result<(), Fault>;
}

/// Of a process that has the audit log: the event is in it before the change.
pub struct Logged(pub Arc<dyn Recorder>);

#[async_trait]
impl Journal for Logged {
    async fn keep(&self, event: AuditEvent) -> Result<(), Fault> {
        self.0.record(event).await.map(|_| ()).map_err(|error| Fault::Record(error.to_string()))
    }
}

/// Of a process beside the gate: the event waits in the store until the gate puts it into the log.
pub struct Noticed(pub Arc<dyn Store>);

#[async_trait]
impl Journal for Noticed {
    async fn keep(&self, event: AuditEvent) -> Result<(), Fault> {
        let text = serde_json::to_string(&event).map_err(|error| Fault::Record(error.to_string()))?;
        self.0.add_notice(&text).await.map_err(|error| Fault::Record(error.to_string()))
    }
}

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// An account of the machine, as the operating system says: `ann (uid 1000)`.
    Account(String),
    /// Whoever holds a token of the admin API.
    Token {
        /// The token's id.
        id: ApiTokenId,
        /// What people call it.
        name: String,
        /// What it may do.
        role: ApiRole,
        /// Where the request came from.
        source: Option<Source>,
    },
}

/// What the operator lets tenants choose, in seconds, and what else the configuration says.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Scheme, host and port of the public listener.
    pub origin: String,
    /// The tenants that the configuration names, so that the gate makes them at every start.
    pub configured: Vec<TenantId>,
    /// An id that no tenant can have.
    pub reserved: &'static str,
    /// The longest life of a person's access token.
    pub access_token: u64,
    /// How long a refresh token may lie idle at most.
    pub refresh_idle: u64,
    /// The longest life of a grant.
    pub grant: u64,
    /// The longest life of a grant under which an agent acts for a person.
    pub delegation: u64,
    /// The longest life of a browser session.
    pub session: u64,
    /// Whether anybody signs in with a password that is kept here.
    pub local_directory: bool,
}

/// With what changes are made.
pub struct Parts {
    /// Where everything is.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What takes the record.
    pub journal: Arc<dyn Journal>,
    /// What the operator allows.
    pub bounds: Bounds,
}

/// What a change needs: the parts, and who makes it.
#[derive(Clone)]
pub struct Tenancy {
    parts: Arc<Parts>,
    by: Author,
    operator: bool,
}

impl Tenancy {
    /// For changes by `by`. An account of the machine is the operator's; a token is a tenant's administrator's,
    /// unless [`Self::of_operator`] says otherwise.
    pub fn new(parts: Arc<Parts>, by: Author) -> Self {
        let operator = matches!(by, Author::Account(_));
        Self { parts, by, operator }
    }

    /// For changes by somebody who may do everything in every tenant.
    #[must_use]
    pub fn of_operator(self) -> Self {
        Self { operator: true, ..self }
    }

    /// Whether the operator makes the change.
    pub fn is_operators(&self) -> bool {
        self.operator
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    /// Randomness.
    pub fn rng(&self) -> &dyn Rng {
        self.parts.rng.as_ref()
    }

    /// The time. A revocation takes it anew: what was issued while something was counted must end too.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// What the operator allows.
    pub fn bounds(&self) -> &Bounds {
        &self.parts.bounds
    }

    /// Scheme, host and port of the public listener.
    pub fn origin(&self) -> &str {
        &self.parts.bounds.origin
    }

    /// Whether the operator makes the change: not a tenant's administrator.
    pub fn by_operator(&self) -> bool {
        match &self.by {
            Author::Account(_) => true,
            Author::Token { role, .. } => *role == ApiRole::Operator,
        }
    }

    /// Whether the configuration names this tenant.
    pub fn is_configured(&self, id: &TenantId) -> bool {
        self.parts.bounds.configured.contains(id)
    }

    /// Puts a change on record that is about to happen: `facts` is an object of ids and choices, never a secret.
    ///
    /// # Errors
    /// [`Fault::Record`]: then the change must not happen.
    pub async fn note(&self, action: &str, tenant: Option<&TenantId>, facts: Value) -> Result<(), Fault> {
        let event = event(action, tenant, facts, &self.by, self.rng(), self.now());
        self.parts.journal.keep(event).await
    }

    /// A tenant that is there.
    ///
    /// # Errors
    /// [`Code::NotFound`](crate::Code).
    pub async fn tenant(&self, id: &TenantId) -> Result<Tenant, Fault> {
        let found = self.store().tenant(id).await?;
        found.ok_or_else(|| Fault::not_found("tenant", format!("there is no tenant `{id}`"), "check the id"))
    }

    /// A tenant's connection by its name or id.
    ///
    /// # Errors
    /// [`Code::NotFound`](crate::Code).
    pub async fn connection(&self, tenant: &TenantId, name: &str) -> Result<Connection, Fault> {
        let all = self.store().connections(tenant).await?;
        let names = all.iter().map(|connection| connection.name.clone()).collect::<Vec<_>>().join(", ");
        let found = all.into_iter().find(|known| known.name == name || known.id.as_str() == name);
        found.ok_or_else(|| {
            let names = if names.is_empty() { "none".to_owned() } else { names };
            Fault::not_found("connection", format!("{tenant} has no connection `{name}`; it has: {names}"), "")
        })
    }

    /// One person of a tenant by id.
    ///
    /// # Errors
    /// [`Code::NotFound`](crate::Code).
    pub async fn person(&self, tenant: &TenantId, id: &str) -> Result<Person, Fault> {
        let known = match UserId::new(id) {
            Ok(id) => self.store().person(&id).await?,
            Err(_) => None,
        };
        // Another tenant's is not there: whoever asks learns nothing of her.
        known
            .filter(|person| person.tenant == *tenant)
            .ok_or_else(|| Fault::not_found("person", format!("{tenant} has nobody `{id}`"), "list its people"))
    }

    /// The living grants of a person or an agent.
    ///
    /// # Errors
    /// [`Fault::Store`].
    pub async fn grants_of(&self, tenant: &TenantId, subject: &Actor) -> Result<Vec<Grant>, Fault> {
        Ok(self.store().grants_of(tenant, subject, self.now()).await?)
    }

    /// How many living grants there are in a tenant that `counts`.
    ///
    /// # Errors
    /// [`Fault::Store`].
    pub async fn grants_in(&self, tenant: &TenantId, counts: impl Fn(&Grant) -> bool + Sync) -> Result<Count, Fault> {
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
}

/// The event of a change by an administrator or the operator.
pub fn event(
    action: &str,
    tenant: Option<&TenantId>,
    facts: Value,
    by: &Author,
    rng: &dyn Rng,
    now: Timestamp,
) -> AuditEvent {
    let mut event = AuditEvent::new(EventKind::Administered, EventId::mint(now, rng), now);
    event.tenant = tenant.cloned();
    if let Value::Object(facts) = facts {
        event.facts.extend(facts);
    }
    event.facts.insert("action".to_owned(), json!(action));
    match by {
        Author::Account(account) => drop(event.facts.insert("by".to_owned(), json!(account))),
        Author::Token { id, name, source, .. } => {
            event.facts.insert("by".to_owned(), json!(format!("API token {id}")));
            event.facts.insert("api_token".to_owned(), json!({ "id": id, "name": name }));
            event.source.clone_from(source);
        }
    }
    event
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
    /// So many and no more.
    pub fn exactly(number: usize) -> Self {
        Self { number, at_least: false }
    }

    /// Of a list that was asked for with a limit.
    pub fn within(number: usize, limit: usize) -> Self {
        Self { number, at_least: number >= limit }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { number: self.number + other.number, at_least: self.at_least || other.at_least }
    }

    /// `{"number": 3, "at_least": false}`
    pub fn json(self) -> Value {
        json!({ "number": self.number, "at_least": self.at_least })
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.at_least { "at least " } else { "" }, self.number)
    }
}

/// A text that a person gave: something, on one line, at most `most` characters.
pub(crate) fn text(field: &'static str, given: &str, most: usize) -> Result<String, Fault> {
    let given = given.trim();
    if given.is_empty() {
        return Err(Fault::invalid(field, "it is empty", "write something that people recognise"));
    }
    if given.chars().any(char::is_control) {
        return Err(Fault::invalid(field, "it holds a control character", "write one line of plain text"));
    }
    if given.chars().count() > most {
        return Err(Fault::invalid(field, format!("it is longer than {most} characters"), "write less"));
    }
    Ok(given.to_owned())
}

/// A JSON object without the members that are null.
pub(crate) fn present(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// 256 random bits, base64url.
pub(crate) fn random(rng: &dyn Rng) -> String {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    rng.fill(bytes.as_mut());
    URL_SAFE_NO_PAD.encode(bytes.as_slice())
}

/// Under which a bearer value is kept.
pub fn sha256(value: &str) -> Digest {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
    out
}
