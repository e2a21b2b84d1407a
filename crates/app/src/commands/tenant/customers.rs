//! Tenants themselves: listed, made, changed.

use anyhow::Result;
use sallyport_model::TenantId;
use sallyport_proxy::catalogue::GATE_TENANT;
use sallyport_storage::{Tenant, TenantSettings};
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    arguments::Set,
    opened::{Opened, refused, shown, text},
};

/// Characters of a tenant's name.
const MOST_NAME: usize = 200;

/// `sallyport tenant list`
pub async fn list(opened: &Opened) -> Result<Answer> {
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for tenant in opened.store().tenants().await? {
        let domains = opened.store().domains(&tenant.id).await?;
        let proved = domains.iter().filter(|domain| domain.proved.is_some()).map(|domain| domain.name.clone());
        let proved: Vec<String> = proved.collect();
        let connections = opened.store().connections(&tenant.id).await?.len();
        let people = opened.store().people(&tenant.id).await?.len();
        let state = if tenant.suspended { "suspended" } else { "active" };
        rows.push(vec![
            tenant.id.to_string(),
            shown(&tenant.name),
            state.to_owned(),
            people.to_string(),
            connections.to_string(),
            if proved.is_empty() { "-".to_owned() } else { proved.join(", ") },
        ]);
        values.push(json!({
            "id": tenant.id,
            "name": tenant.name,
            "suspended": tenant.suspended,
            "configured": opened.is_configured(&tenant.id),
            "created_at": tenant.created_at.to_string(),
            "people": people,
            "connections": connections,
            "domains": proved,
        }));
    }
    let lines = table(&["tenant", "name", "state", "people", "connections", "domains"], &rows);
    Ok(Answer::done(Value::Array(values), lines))
}

/// `sallyport tenant show`
pub async fn show(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let mut lines = vec![format!("{}: {}", tenant.id, shown(&tenant.name))];
    lines.push(format!("  {}", if tenant.suspended { "suspended: nobody signs in" } else { "active" }));
    lines.push(format!("  since {}", tenant.created_at));
    for limit in limits(opened, &tenant.settings) {
        lines.push(format!("  {}: {} s{}", limit.what, limit.in_force(), limit.whose()));
    }
    let passwords = opened.config().identity.local_directory && !tenant.settings.federated_only;
    lines.push(format!("  passwords kept here: {}", if passwords { "yes" } else { "no" }));
    let json = tenant_json(opened, &tenant);
    Ok(Answer::done(json, lines))
}

/// A tenant with what it chose and what is in force.
fn tenant_json(opened: &Opened, tenant: &Tenant) -> Value {
    let limits = limits(opened, &tenant.settings);
    let in_force = limits.iter().map(|limit| (limit.key.to_owned(), json!(limit.in_force())));
    let operators = limits.iter().map(|limit| (limit.key.to_owned(), json!(limit.most)));
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "suspended": tenant.suspended,
        "configured": opened.is_configured(&tenant.id),
        "created_at": tenant.created_at.to_string(),
        "federated_only": tenant.settings.federated_only,
        "chosen": tenant.settings,
        "in_force": in_force.collect::<serde_json::Map<_, _>>(),
        "operator": operators.collect::<serde_json::Map<_, _>>(),
    })
}

/// `sallyport tenant create`
pub async fn create(opened: &Opened, id: &TenantId, name: &str) -> Result<Answer> {
    if id.as_str() == GATE_TENANT {
        return Err(refused("ID", &format!("`{GATE_TENANT}` is the gate's own: choose another id")));
    }
    let name = text("--name", name, MOST_NAME)?;
    if opened.is_configured(id) {
        let what = format!("the configuration names `{id}`: the gate makes it when it starts");
        return Err(refused("ID", &what));
    }
    if opened.store().tenant(id).await?.is_some() {
        let what = format!("there is a tenant `{id}` already; `sallyport tenant set {id}` changes it");
        return Err(refused("ID", &what));
    }
    let tenant = Tenant::new(id.clone(), name, opened.now());
    opened.notice("tenant.create", Some(id), json!({ "name": tenant.name })).await?;
    opened.store().put_tenant(&tenant).await?;
    let line = format!("{id}: made");
    Ok(Answer::done(tenant_json(opened, &tenant), [line]))
}

/// `sallyport tenant set`
pub async fn set(opened: &Opened, set: &Set) -> Result<Answer> {
    let mut tenant = opened.tenant(&set.id).await?;
    let before = tenant.clone();
    if let Some(name) = &set.name {
        if opened.is_configured(&set.id) {
            let what = "the configuration names this tenant, and what it says is put back at every start: change \
                        `name` in its [[tenants]] section";
            return Err(refused("--name", what));
        }
        tenant.name = text("--name", name, MOST_NAME)?;
    }
    let bounds = limits(opened, &tenant.settings);
    let given = [set.access_token_seconds, set.refresh_idle_seconds, set.grant_seconds, set.session_seconds];
    let mut chosen = Vec::new();
    for (limit, given) in bounds.iter().zip(given) {
        chosen.push(limit.choose(given)?);
    }
    let settings = &mut tenant.settings;
    settings.access_token_seconds = chosen[0];
    settings.refresh_idle_seconds = chosen[1];
    settings.grant_seconds = chosen[2];
    settings.session_seconds = chosen[3];
    settings.federated_only = set.federated_only.unwrap_or(settings.federated_only);
    let json = json!({ "before": tenant_json(opened, &before), "after": tenant_json(opened, &tenant) });
    if tenant == before {
        return Ok(Answer::done(json, [format!("{}: nothing changes", tenant.id)]));
    }
    let facts = json!({ "name": tenant.name, "before": before.settings, "after": tenant.settings });
    opened.notice("tenant.set", Some(&tenant.id), facts).await?;
    opened.store().put_tenant(&tenant).await?;
    let shown = show(opened, &tenant.id).await?;
    Ok(Answer::done(json, shown.lines).remarks(set_remarks(opened, &before, &tenant).await?))
}

async fn set_remarks(opened: &Opened, before: &Tenant, after: &Tenant) -> Result<Vec<String>> {
    let mut remarks = vec!["What was issued before keeps its end; sign-ins and refreshes from now on obey.".to_owned()];
    if after.settings.federated_only && !before.settings.federated_only {
        let connections = opened.store().connections(&after.id).await?;
        if !connections.iter().any(|connection| connection.enabled) {
            let id = &after.id;
            remarks.push(format!(
                "Nobody of {id} can sign in now: it has no connection that is on. `sallyport tenant connect-oidc {id}` or \
                 `connect-saml {id}` makes one."
            ));
        }
    }
    Ok(remarks)
}

/// One lifetime: the operator's, and what a tenant chose.
struct Limit {
    key: &'static str,
    what: &'static str,
    option: &'static str,
    /// Where the operator says it.
    field: &'static str,
    least: u64,
    most: u64,
    chosen: Option<u64>,
}

impl Limit {
    fn in_force(&self) -> u64 {
        self.chosen.map_or(self.most, |chosen| chosen.min(self.most))
    }

    fn whose(&self) -> String {
        match self.chosen {
            Some(chosen) if chosen <= self.most => format!(" (the operator's is {} s)", self.most),
            Some(chosen) => format!(" (the operator's; the tenant chose {chosen} s, which is longer)"),
            None => " (the operator's)".to_owned(),
        }
    }

    /// What is chosen from now on.
    fn choose(&self, given: Option<u64>) -> Result<Option<u64>> {
        match given {
            None => Ok(self.chosen),
            Some(0) => Ok(None),
            Some(given) if given > self.most => {
                let what = format!(
                    "{given} s is longer than the operator's {} s ({}): choose at most that, or 0 for the operator's",
                    self.most, self.field
                );
                Err(refused(self.option, &what))
            }
            Some(given) if given < self.least => {
                let what = format!("{given} s is too short to work with: choose at least {} s", self.least);
                Err(refused(self.option, &what))
            }
            given => Ok(given),
        }
    }
}

/// In the order of `set`'s options.
fn limits(opened: &Opened, settings: &TenantSettings) -> [Limit; 4] {
    let lifetimes = opened.config().oauth.lifetimes();
    let session = u64::from(opened.config().identity.session_hours.max(1)) * 3600;
    [
        Limit {
            key: "access_token_seconds",
            what: "access token",
            option: "--access-token-seconds",
            field: "oauth.access_token_seconds",
            least: 30,
            most: lifetimes.access_token.as_secs(),
            chosen: settings.access_token_seconds,
        },
        Limit {
            key: "refresh_idle_seconds",
            what: "idle refresh token",
            option: "--refresh-idle-seconds",
            field: "oauth.refresh_idle_minutes",
            least: 60,
            most: lifetimes.refresh_idle.as_secs(),
            chosen: settings.refresh_idle_seconds,
        },
        Limit {
            key: "grant_seconds",
            what: "grant",
            option: "--grant-seconds",
            field: "oauth.grant_minutes",
            least: 60,
            most: lifetimes.grant.as_secs(),
            chosen: settings.grant_seconds,
        },
        Limit {
            key: "session_seconds",
            what: "browser session",
            option: "--session-seconds",
            field: "identity.session_hours",
            least: 60,
            most: session,
            chosen: settings.session_seconds,
        },
    ]
}
