//! People of a tenant.

use sallyport_storage::Tenant;
use serde_json::{Value, json};

use super::{Answer, Ask, reply::Reply};
use crate::{
    Fault,
    tenancy::people::{self, Ended, person_json},
};

/// `listPeople`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let all = ask.tenancy.store().people(&tenant.id).await.map_err(Fault::from)?;
    let cut = ask.page()?.cut(all, |person| person.id.to_string());
    let mut items = Vec::new();
    for person in &cut.items {
        items.push(person_json(&ask.tenancy, person).await?);
    }
    Ok(Reply::ok(cut.json(items)))
}

/// `getPerson`
pub(crate) async fn get(ask: Ask, tenant: Tenant) -> Answer {
    let person = ask.tenancy.person(&tenant.id, ask.path("person")).await?;
    Ok(Reply::ok(person_json(&ask.tenancy, &person).await?))
}

/// `disablePerson`
pub(crate) async fn disable(ask: Ask, tenant: Tenant) -> Answer {
    let person = ask.tenancy.person(&tenant.id, ask.path("person")).await?;
    let (ended, left) = people::disable(&ask.tenancy, &person).await?;
    let mut value = ending(ask.path("person"), true, &ended);
    let agents = left.iter().map(|left| json!({ "agent": left.agent.id, "outcome": left.outcome.word() }));
    value["agents"] = agents.collect();
    Ok(Reply::ok(value))
}

/// `enablePerson`
pub(crate) async fn enable(ask: Ask, tenant: Tenant) -> Answer {
    let person = ask.tenancy.person(&tenant.id, ask.path("person")).await?;
    people::enable(&ask.tenancy, &person).await?;
    let person = ask.tenancy.person(&tenant.id, ask.path("person")).await?;
    Ok(Reply::ok(person_json(&ask.tenancy, &person).await?))
}

/// `endPerson`
pub(crate) async fn end(ask: Ask, tenant: Tenant) -> Answer {
    let person = ask.tenancy.person(&tenant.id, ask.path("person")).await?;
    let ended = people::end_everything(&ask.tenancy, &person).await?;
    Ok(Reply::ok(ending(ask.path("person"), person.disabled, &ended)))
}

fn ending(id: &str, disabled: bool, ended: &Ended) -> Value {
    let mut value = ended.json();
    value["id"] = json!(id);
    value["disabled"] = json!(disabled);
    value
}
