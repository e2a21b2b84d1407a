//! Tenants themselves: made, changed, suspended, removed.

use sallyport_identity::agents::CREDENTIAL_LIFE;
use sallyport_model::TenantId;
use sallyport_storage::{RevocationSubject, StoreError, Tenant, TenantSettings};
use serde_json::{Value, json};

use super::{Count, MOST_SESSIONS, Tenancy, text};
use crate::{Code, Fault};

/// Characters of a tenant's name.
const MOST_NAME: usize = 200;
/// Of two who change a tenant at once one was faster; nobody is outrun so often.
const ATTEMPTS: usize = 8;

/// Makes a tenant.
///
/// # Errors
/// When the id is taken, reserved or the configuration's, or the name is none.
pub async fn create(tenancy: &Tenancy, id: &TenantId, name: &str) -> Result<Tenant, Fault> {
    if id.as_str() == tenancy.bounds().reserved {
        return Err(Fault::invalid("id", format!("`{id}` is the gate's own"), "choose another id"));
    }
    let name = text("name", name, MOST_NAME)?;
    if tenancy.is_configured(id) {
        let what = format!("the configuration names `{id}`");
        return Err(Fault::refused(Code::Configured, "id", what, "the gate makes it when it starts"));
    }
    if tenancy.store().tenant(id).await?.is_some() {
        return Err(there_already(id));
    }
    let tenant = Tenant::new(id.clone(), name, tenancy.now());
    tenancy.note("tenant.create", Some(id), json!({ "name": tenant.name })).await?;
    match tenancy.store().add_tenant(&tenant).await {
        // Somebody was faster.
        Err(StoreError::Exists(_)) => Err(there_already(id)),
        added => Ok(added.map(|()| tenant)?),
    }
}

fn there_already(id: &TenantId) -> Fault {
    let what = format!("there is a tenant `{id}` already");
    Fault::refused(Code::AlreadyExists, "id", what, "choose another id, or change that one")
}

/// What is to change. Of a lifetime: `Some(None)` or zero is the operator's again.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What people call it.
    pub name: Option<String>,
    /// In the order of [`limits`].
    pub lifetimes: [Option<Option<u64>>; 6],
    /// Whether its people may not sign in with passwords kept here.
    pub federated_only: Option<bool>,
    /// How many agents may stand in one chain, at most: zero lets none act for a person; `Some(None)` is two again.
    pub agent_depth: Option<Option<u8>>,
    /// Whether every token must be bound to a key.
    pub sender_bound: Option<bool>,
    /// Whether agents may use secrets.
    pub agent_secrets: Option<bool>,
    /// Whether people may make agents for themselves.
    pub personal_agents: Option<bool>,
}

/// A tenant before and after.
#[derive(Debug, Clone)]
pub struct Changed {
    /// As it was.
    pub before: Tenant,
    /// As it is now; the same where nothing was to change.
    pub after: Tenant,
    /// Whether nobody can sign in from now on, for want of a connection.
    pub shut: bool,
}

/// Changes what a tenant is called and what it chose, if it still is `was`.
///
/// # Errors
/// When a value is out of bounds, or [`Code::Stale`] when somebody was faster.
pub async fn change(tenancy: &Tenancy, was: Tenant, change: &Change) -> Result<Changed, Fault> {
    let mut after = was.clone();
    if let Some(name) = &change.name {
        if tenancy.is_configured(&was.id) {
            let what = "the configuration names this tenant, and what it says is put back at every start";
            let remedy = "change `name` in its [[tenants]] section";
            return Err(Fault::refused(Code::Configured, "name", what, remedy));
        }
        after.name = text("name", name, MOST_NAME)?;
    }
    let mut chosen = [None; 6];
    for ((slot, limit), given) in chosen.iter_mut().zip(limits(tenancy, &was.settings)).zip(change.lifetimes) {
        *slot = limit.choose(given)?;
    }
    let settings = &mut after.settings;
    [
        settings.access_token_seconds,
        settings.refresh_idle_seconds,
        settings.grant_seconds,
        settings.session_seconds,
        settings.delegation_seconds,
        settings.agent_credential_seconds,
    ] = chosen;
    if let Some(depth) = change.agent_depth {
        settings.agent_depth = deep(depth)?;
    }
    settings.federated_only = change.federated_only.unwrap_or(settings.federated_only);
    settings.sender_bound = change.sender_bound.unwrap_or(settings.sender_bound);
    settings.agent_secrets = change.agent_secrets.unwrap_or(settings.agent_secrets);
    settings.personal_agents = change.personal_agents.unwrap_or(settings.personal_agents);
    if after == was {
        return Ok(Changed { before: was, after, shut: false });
    }
    let facts = json!({ "name": after.name, "before": was.settings, "after": after.settings });
    tenancy.note("tenant.set", Some(&was.id), facts).await?;
    if !tenancy.store().exchange_tenant(&was, &after).await? {
        return Err(Fault::stale());
    }
    let newly = after.settings.federated_only && !was.settings.federated_only;
    let shut = newly && !tenancy.store().connections(&was.id).await?.iter().any(|connection| connection.enabled);
    Ok(Changed { before: was, after, shut })
}

fn deep(depth: Option<u8>) -> Result<Option<u8>, Fault> {
    match depth {
        Some(depth) if depth > 8 => {
            let what = format!("a chain of {depth} agents is more than anybody can answer for");
            Err(Fault::refused(Code::OutOfBounds, "settings.agent_depth", what, "choose 0 to 8"))
        }
        depth => Ok(depth),
    }
}

/// A tenant that was suspended.
#[derive(Debug, Clone, Copy)]
pub struct Suspended {
    /// Whether it was so before.
    pub was: bool,
    /// The entry of the revocation log.
    pub epoch: u64,
    /// How many sessions ended with it.
    pub sessions: Count,
}

/// Lets nobody of a tenant in, and ends everything that is alive; also again, for the first time may have been cut
/// off in the middle.
///
/// # Errors
/// When it is not there, or the record or the store fails.
pub async fn suspend(tenancy: &Tenancy, id: &TenantId) -> Result<Suspended, Fault> {
    tenancy.tenant(id).await?;
    let living = tenancy.store().browser_sessions(id, None, tenancy.now()).await?.len();
    tenancy.note("tenant.suspend", Some(id), json!({})).await?;
    // Shut first, so that nothing begins between the two.
    let was = set_suspended(tenancy, id, true).await?;
    let epoch = tenancy.store().revoke(&RevocationSubject::Tenant(id.clone()), tenancy.now()).await?;
    Ok(Suspended { was, epoch, sessions: Count::within(living, MOST_SESSIONS) })
}

/// Lets a suspended tenant's people sign in again; whether it was suspended.
///
/// # Errors
/// When it is not there, or the record or the store fails.
pub async fn resume(tenancy: &Tenancy, id: &TenantId) -> Result<bool, Fault> {
    if !tenancy.tenant(id).await?.suspended {
        return Ok(false);
    }
    tenancy.note("tenant.resume", Some(id), json!({})).await?;
    set_suspended(tenancy, id, false).await
}

/// Keeps what others change at the same time; what it was before.
async fn set_suspended(tenancy: &Tenancy, id: &TenantId, suspended: bool) -> Result<bool, Fault> {
    for _ in 0..ATTEMPTS {
        let was = tenancy.tenant(id).await?;
        if tenancy.store().exchange_tenant(&was, &Tenant { suspended, ..was.clone() }).await? {
            return Ok(was.suspended);
        }
    }
    Err(Fault::stale())
}

/// What goes with a tenant, counted: `people`, `signal streams`.
///
/// # Errors
/// [`Fault::Store`].
pub async fn owned(tenancy: &Tenancy, id: &TenantId) -> Result<Vec<(&'static str, Count)>, Fault> {
    let store = tenancy.store();
    let sessions = store.browser_sessions(id, None, tenancy.now()).await?.len();
    Ok(vec![
        ("people", Count::exactly(store.people(id).await?.len())),
        ("agents", Count::exactly(store.agents(id).await?.len())),
        ("grants", tenancy.grants_in(id, |_| true).await?),
        ("sessions", Count::within(sessions, MOST_SESSIONS)),
        ("connections", Count::exactly(store.connections(id).await?.len())),
        ("domains", Count::exactly(store.domains(id).await?.len())),
        ("signal streams", Count::exactly(store.streams(Some(id)).await?.len())),
        ("SCIM tokens", Count::exactly(store.scim_clients(id).await?.len())),
    ])
}

/// The same for programs.
pub fn owned_json(owned: &[(&'static str, Count)]) -> Value {
    Value::Object(owned.iter().map(|(what, count)| (what.replace(' ', "_"), count.json())).collect())
}

/// Refuses what must not be removed: the next start would make it again.
///
/// # Errors
/// [`Code::Configured`].
pub fn may_be_removed(tenancy: &Tenancy, id: &TenantId) -> Result<(), Fault> {
    if !tenancy.is_configured(id) {
        return Ok(());
    }
    let what = format!("the configuration names `{id}`, so that the next start would make it again");
    Err(Fault::refused(Code::Configured, "id", what, "take its [[tenants]] section out and restart the gate first"))
}

/// Removes a tenant with everything that is its own; what went with it, counted. The audit log stays.
///
/// # Errors
/// When it is not there or the configuration names it, or the record or the store fails.
pub async fn remove(tenancy: &Tenancy, id: &TenantId) -> Result<Vec<(&'static str, Count)>, Fault> {
    tenancy.tenant(id).await?;
    may_be_removed(tenancy, id)?;
    let owned = owned(tenancy, id).await?;
    tenancy.note("tenant.delete", Some(id), json!({ "owned": owned_json(&owned) })).await?;
    tenancy.store().remove_tenant(id, tenancy.now()).await?;
    Ok(owned)
}

/// One lifetime: the operator's, and what a tenant chose.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its member in the settings.
    pub key: &'static str,
    /// For people.
    pub what: &'static str,
    /// The same, as a field of a request.
    pub field: &'static str,
    /// Where the operator says it.
    pub operators: &'static str,
    /// The shortest that works.
    pub least: u64,
    /// The operator's.
    pub most: u64,
    /// The tenant's.
    pub chosen: Option<u64>,
}

impl Limit {
    /// What counts, seconds.
    pub fn in_force(&self) -> u64 {
        self.chosen.map_or(self.most, |chosen| chosen.min(self.most))
    }

    /// What is chosen from now on.
    fn choose(&self, given: Option<Option<u64>>) -> Result<Option<u64>, Fault> {
        match given {
            None => Ok(self.chosen),
            Some(None | Some(0)) => Ok(None),
            Some(Some(given)) if given > self.most => {
                let what = format!("{given} s is longer than the operator's {} s ({})", self.most, self.operators);
                let remedy = "choose at most that, or 0 for the operator's";
                Err(Fault::refused(Code::OutOfBounds, self.field, what, remedy))
            }
            Some(Some(given)) if given < self.least => {
                let what = format!("{given} s is too short to work with");
                let remedy = format!("choose at least {} s", self.least);
                Err(Fault::refused(Code::OutOfBounds, self.field, what, remedy))
            }
            Some(given) => Ok(given),
        }
    }
}

macro_rules! limit {
    ($key:literal, $what:literal, $operators:literal, $least:literal, $most:expr, $chosen:expr) => {
        Limit {
            key: $key,
            what: $what,
            field: concat!("settings.", $key),
            operators: $operators,
            least: $least,
            most: $most,
            chosen: $chosen,
        }
    };
}

/// Every lifetime that a tenant chooses.
pub fn limits(tenancy: &Tenancy, chosen: &TenantSettings) -> [Limit; 6] {
    let of = tenancy.bounds();
    [
        limit!(
            "access_token_seconds",
            "access token",
            "oauth.access_token_seconds",
            30,
            of.access_token,
            chosen.access_token_seconds
        ),
        limit!(
            "refresh_idle_seconds",
            "idle refresh token",
            "oauth.refresh_idle_minutes",
            60,
            of.refresh_idle,
            chosen.refresh_idle_seconds
        ),
        limit!("grant_seconds", "grant", "oauth.grant_minutes", 60, of.grant, chosen.grant_seconds),
        limit!("session_seconds", "browser session", "identity.session_hours", 60, of.session, chosen.session_seconds),
        limit!(
            "delegation_seconds",
            "delegation to an agent",
            "oauth.delegation_minutes",
            60,
            of.delegation,
            chosen.delegation_seconds
        ),
        limit!(
            "agent_credential_seconds",
            "credential of an agent",
            "90 days",
            3600,
            CREDENTIAL_LIFE.as_secs(),
            chosen.agent_credential_seconds
        ),
    ]
}

/// A tenant with what it chose and what is in force.
pub fn tenant_json(tenancy: &Tenancy, tenant: &Tenant) -> Value {
    let limits = limits(tenancy, &tenant.settings);
    let in_force = limits.iter().map(|limit| (limit.key.to_owned(), json!(limit.in_force())));
    let operators = limits.iter().map(|limit| (limit.key.to_owned(), json!(limit.most)));
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "suspended": tenant.suspended,
        "configured": tenancy.is_configured(&tenant.id),
        "created_at": tenant.created_at.to_string(),
        "federated_only": tenant.settings.federated_only,
        "chosen": tenant.settings,
        "in_force": in_force.collect::<serde_json::Map<_, _>>(),
        "operator": operators.collect::<serde_json::Map<_, _>>(),
    })
}
