//! Tenants.

use sallyport_model::TenantId;
use sallyport_storage::{ApiRole, Tenant};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{
    Answer, Ask,
    ask::given,
    reply::{Etag, Reply},
};
use crate::{
    Fault,
    tenancy::tenants::{self, Change, owned_json, tenant_json},
};

/// A tenant to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// 1 to 63 of a-z, 0-9 and inner hyphens; it never changes.
    id: String,
    /// What people call it.
    name: String,
}

/// What is to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantChange {
    /// What people call it. Not of a tenant that the configuration names.
    name: Option<String>,
    /// What it chooses for itself.
    #[serde(default)]
    settings: SettingsChange,
}

/// What a tenant chooses for itself. Lifetimes are in seconds and no longer than the operator's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SettingsChange {
    /// How long an access token of a person lives.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    access_token_seconds: Option<Option<u64>>,
    /// How long a refresh token may lie idle.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    refresh_idle_seconds: Option<Option<u64>>,
    /// How long a grant lives at most.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    grant_seconds: Option<Option<u64>>,
    /// How long a browser session lives at most.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    session_seconds: Option<Option<u64>>,
    /// How long a grant lives at most under which an agent acts for a person.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    delegation_seconds: Option<Option<u64>>,
    /// How long a credential of an agent lives at most.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u64>")]
    agent_credential_seconds: Option<Option<u64>>,
    /// How many agents may stand in one chain, at most 8; 0: none acts for a person; null: two.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<u8>")]
    agent_depth: Option<Option<u8>>,
    /// Whether its people may not sign in with passwords kept here.
    federated_only: Option<bool>,
    /// Whether every token must be bound to a key.
    sender_bound: Option<bool>,
    /// Whether agents may use secrets instead of keys.
    agent_secrets: Option<bool>,
    /// Whether people may make agents for themselves.
    personal_agents: Option<bool>,
}

impl From<TenantChange> for Change {
    fn from(asked: TenantChange) -> Self {
        let settings = asked.settings;
        Self {
            name: asked.name,
            lifetimes: [
                settings.access_token_seconds,
                settings.refresh_idle_seconds,
                settings.grant_seconds,
                settings.session_seconds,
                settings.delegation_seconds,
                settings.agent_credential_seconds,
            ],
            federated_only: settings.federated_only,
            agent_depth: settings.agent_depth,
            sender_bound: settings.sender_bound,
            agent_secrets: settings.agent_secrets,
            personal_agents: settings.personal_agents,
        }
    }
}

fn etag(tenant: &Tenant) -> Etag {
    Etag::of(&json!([tenant.id, tenant.name, tenant.suspended, tenant.settings]).to_string())
}

/// `listTenants`
pub(crate) async fn list(ask: Ask) -> Answer {
    let store = ask.tenancy.store();
    let all = match &ask.caller.token().role {
        ApiRole::Operator => store.tenants().await.map_err(Fault::from)?,
        ApiRole::Administrator(own) => store.tenant(own).await.map_err(Fault::from)?.into_iter().collect(),
    };
    let cut = ask.page()?.cut(all, |tenant| tenant.id.to_string());
    let items = cut.items.iter().map(|tenant| tenant_json(&ask.tenancy, tenant)).collect();
    Ok(Reply::ok(cut.json(items)))
}

/// `createTenant`
pub(crate) async fn create(ask: Ask) -> Answer {
    let new: NewTenant = ask.body()?;
    let remedy = "use 1 to 63 of a-z, 0-9 and inner hyphens";
    let id = TenantId::new(new.id).map_err(|error| Fault::invalid("id", error.to_string(), remedy))?;
    let tenant = tenants::create(&ask.tenancy, &id, &new.name).await?;
    Ok(Reply::created(tenant_json(&ask.tenancy, &tenant)).in_state(etag(&tenant)))
}

/// `getTenant`
pub(crate) async fn get(ask: Ask, tenant: Tenant) -> Answer {
    Ok(Reply::ok(tenant_json(&ask.tenancy, &tenant)).in_state(etag(&tenant)))
}

/// `changeTenant`
pub(crate) async fn change(ask: Ask, tenant: Tenant) -> Answer {
    let asked: TenantChange = ask.body()?;
    ask.about(&etag(&tenant))?;
    let changed = tenants::change(&ask.tenancy, tenant, &asked.into()).await?;
    Ok(Reply::ok(tenant_json(&ask.tenancy, &changed.after)).in_state(etag(&changed.after)))
}

/// `suspendTenant`
pub(crate) async fn suspend(ask: Ask, tenant: Tenant) -> Answer {
    let done = tenants::suspend(&ask.tenancy, &tenant.id).await?;
    Ok(Reply::ok(json!({
        "id": tenant.id, "suspended": true, "was_suspended": done.was, "epoch": done.epoch,
        "sessions": done.sessions.json(),
    })))
}

/// `resumeTenant`
pub(crate) async fn resume(ask: Ask, tenant: Tenant) -> Answer {
    let was = tenants::resume(&ask.tenancy, &tenant.id).await?;
    Ok(Reply::ok(json!({ "id": tenant.id, "suspended": false, "was_suspended": was })))
}

/// `deleteTenant`
pub(crate) async fn delete(ask: Ask, tenant: Tenant) -> Answer {
    let owned = tenants::remove(&ask.tenancy, &tenant.id).await?;
    Ok(Reply::ok(json!({ "id": tenant.id, "removed": true, "owned": owned_json(&owned) })))
}
