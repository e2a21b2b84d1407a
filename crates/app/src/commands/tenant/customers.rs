//! Tenants themselves: listed, made, changed.

use anyhow::Result;
use sallyport_admin::tenancy::tenants::{self, Change, Changed, Limit, tenant_json};
use sallyport_model::TenantId;
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    arguments::Set,
    opened::{Opened, shown, told},
};

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
            "configured": opened.tenancy().is_configured(&tenant.id),
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
    for limit in tenants::limits(opened.tenancy(), &tenant.settings) {
        lines.push(format!("  {}: {} s{}", limit.what, limit.in_force(), whose(&limit)));
    }
    let passwords = opened.config().identity.local_directory && !tenant.settings.federated_only;
    lines.push(format!("  passwords kept here: {}", if passwords { "yes" } else { "no" }));
    let json = tenant_json(opened.tenancy(), &tenant);
    Ok(Answer::done(json, lines))
}

/// `sallyport tenant create`
pub async fn create(opened: &Opened, id: &TenantId, name: &str) -> Result<Answer> {
    let tenant = tenants::create(opened.tenancy(), id, name).await.map_err(told)?;
    let line = format!("{id}: made");
    Ok(Answer::done(tenant_json(opened.tenancy(), &tenant), [line]))
}

/// `sallyport tenant set`
pub async fn set(opened: &Opened, set: &Set) -> Result<Answer> {
    let tenant = opened.tenant(&set.id).await?;
    let lifetimes = [
        set.access_token_seconds,
        set.refresh_idle_seconds,
        set.grant_seconds,
        set.session_seconds,
        set.delegation_seconds,
        set.agent_credential_seconds,
    ];
    let change = Change {
        name: set.name.clone(),
        lifetimes: lifetimes.map(|given| given.map(Some)),
        federated_only: set.federated_only,
        agent_depth: set.agent_depth.map(Some),
        sender_bound: set.sender_bound,
        agent_secrets: set.agent_secrets,
        personal_agents: set.personal_agents,
    };
    let changed = tenants::change(opened.tenancy(), tenant, &change).await.map_err(told)?;
    let of = |tenant| tenant_json(opened.tenancy(), tenant);
    let json = json!({ "before": of(&changed.before), "after": of(&changed.after) });
    if changed.before == changed.after {
        return Ok(Answer::done(json, [format!("{}: nothing changes", set.id)]));
    }
    let shown = show(opened, &set.id).await?;
    Ok(Answer::done(json, shown.lines).remarks(set_remarks(&changed)))
}

fn set_remarks(changed: &Changed) -> Vec<String> {
    let mut remarks = vec!["What was issued before keeps its end; sign-ins and refreshes from now on obey.".to_owned()];
    if changed.shut {
        let id = &changed.after.id;
        remarks.push(format!(
            "Nobody of {id} can sign in now: it has no connection that is on. `sallyport tenant connect-oidc {id}` or \
             `connect-saml {id}` makes one."
        ));
    }
    remarks
}

fn whose(limit: &Limit) -> String {
    match limit.chosen {
        Some(chosen) if chosen <= limit.most => format!(" (the operator's is {} s)", limit.most),
        Some(chosen) => format!(" (the operator's; the tenant chose {chosen} s, which is longer)"),
        None => " (the operator's)".to_owned(),
    }
}
