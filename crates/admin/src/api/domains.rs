//! E-mail domains of a tenant.

use sallyport_storage::Tenant;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Answer, Ask, reply::Reply};
use crate::{
    Fault,
    tenancy::domains::{self, By, domain_json},
};

/// A domain to be claimed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDomain {
    /// Such as `acme.example`.
    domain: String,
    /// Where its people sign in, by name or id; without it, the tenant's first connection that is on.
    connection: Option<String>,
}

/// `listDomains`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let all = ask.tenancy.store().domains(&tenant.id).await.map_err(Fault::from)?;
    let cut = ask.page()?.cut(all, |domain| domain.name.clone());
    let mut items = Vec::new();
    for domain in &cut.items {
        items.push(domain_json(&ask.tenancy, domain).await?);
    }
    Ok(Reply::ok(cut.json(items)))
}

/// `claimDomain`
pub(crate) async fn claim(ask: Ask, tenant: Tenant) -> Answer {
    let new: NewDomain = ask.body()?;
    let claimed = domains::claim(&ask.tenancy, &tenant.id, &new.domain, new.connection.as_deref()).await?;
    Ok(Reply::created(domain_json(&ask.tenancy, &claimed.domain).await?))
}

/// `getDomain`
pub(crate) async fn get(ask: Ask, tenant: Tenant) -> Answer {
    let domain = domains::claimed(&ask.tenancy, &tenant.id, ask.path("domain")).await?;
    Ok(Reply::ok(domain_json(&ask.tenancy, &domain).await?))
}

/// `checkDomain`
pub(crate) async fn check(ask: Ask, tenant: Tenant) -> Answer {
    let by = By::Record(Box::new(ask.dns()?));
    let proved = domains::prove(&ask.tenancy, &tenant.id, ask.path("domain"), by).await?;
    Ok(Reply::ok(domain_json(&ask.tenancy, &proved.domain).await?))
}

/// `proveDomain`
pub(crate) async fn prove(ask: Ask, tenant: Tenant) -> Answer {
    let proved = domains::prove(&ask.tenancy, &tenant.id, ask.path("domain"), By::Operator).await?;
    Ok(Reply::ok(domain_json(&ask.tenancy, &proved.domain).await?))
}

/// `removeDomain`
pub(crate) async fn remove(ask: Ask, tenant: Tenant) -> Answer {
    domains::give_up(&ask.tenancy, &tenant.id, ask.path("domain")).await?;
    Ok(Reply::gone())
}
