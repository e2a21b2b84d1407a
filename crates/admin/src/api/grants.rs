//! Grants of a tenant's people and agents.

use sallyport_model::{Actor, AgentId};
use sallyport_storage::Tenant;
use serde_json::json;

use super::{Answer, Ask, Problem, reply::Reply};
use crate::{
    Fault,
    tenancy::grants::{self, grant_json},
};

/// `listGrants`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let subject = match (ask.query("user"), ask.query("agent")) {
        (None, None) => None,
        (Some(user), None) => Some(Actor::Human(ask.tenancy.person(&tenant.id, user).await?.id)),
        (None, Some(agent)) => Some(Actor::Agent(agent_of(&ask, &tenant, agent).await?)),
        (Some(_), Some(_)) => return Err(Problem::query("agent", "excludes `user`")),
    };
    let all = grants::living(&ask.tenancy, &tenant.id, subject.as_ref()).await?;
    let cut = ask.page()?.cut(all, |grant| grant.id.to_string());
    let items = cut.items.iter().map(|grant| grant_json(&ask.tenancy, grant)).collect();
    Ok(Reply::ok(cut.json(items)))
}

async fn agent_of(ask: &Ask, tenant: &Tenant, given: &str) -> Result<AgentId, Problem> {
    let known = match AgentId::new(given) {
        Ok(id) => ask.tenancy.store().agent(&id).await.map_err(Fault::from)?,
        Err(_) => None,
    };
    // Another tenant's is not there: whoever asks learns nothing of it.
    let found = known.filter(|agent| agent.tenant == tenant.id).map(|agent| agent.id);
    found.ok_or_else(|| {
        Fault::not_found("agent", format!("{} has no agent `{given}`", tenant.id), "check the id").into()
    })
}

/// `endGrant`
pub(crate) async fn end(ask: Ask, tenant: Tenant) -> Answer {
    let grant = grants::find(&ask.tenancy, &tenant.id, ask.path("grant")).await?;
    let epoch = grants::end(&ask.tenancy, &grant).await?;
    Ok(Reply::ok(json!({ "grant": grant.id, "epoch": epoch, "had_ended": epoch.is_none() })))
}
