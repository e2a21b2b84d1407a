//! Suspending, resuming and deleting a tenant.

use anyhow::Result;
use sallyport_model::TenantId;
use sallyport_storage::{RevocationSubject, Tenant};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    opened::{Count, MOST_SESSIONS, Opened, refused, shown},
};

/// `sallyport tenant suspend`
pub async fn suspend(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let sessions = Count::within(opened.sessions(id, None).await?.len(), MOST_SESSIONS);
    opened.notice("tenant.suspend", Some(id), json!({})).await?;
    // Shut first, so that nothing begins between the two; and again if it was shut, for the first time may
    // have been cut off in the middle.
    opened.store().put_tenant(&Tenant { suspended: true, ..tenant.clone() }).await?;
    let epoch = opened.store().revoke(&RevocationSubject::Tenant(id.clone()), opened.now()).await?;
    let json = json!({
        "id": id, "suspended": true, "was_suspended": tenant.suspended, "epoch": epoch, "sessions": count_json(sessions),
    });
    let again = if tenant.suspended { " (it was already)" } else { "" };
    let line = format!("{id}: suspended{again}; every token of it has ended, with {sessions} sessions");
    Ok(Answer::done(json, [line]))
}

/// `sallyport tenant resume`
pub async fn resume(opened: &Opened, id: &TenantId) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let json = json!({ "id": id, "suspended": false, "was_suspended": tenant.suspended });
    if !tenant.suspended {
        return Ok(Answer::done(json, [format!("{id}: it was not suspended")]));
    }
    opened.notice("tenant.resume", Some(id), json!({})).await?;
    opened.store().put_tenant(&Tenant { suspended: false, ..tenant }).await?;
    Ok(Answer::done(json, [format!("{id}: active; its people sign in anew, no old token works again")]))
}

/// `sallyport tenant delete`
pub async fn delete(opened: &Opened, id: &TenantId, yes: bool) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    if opened.is_configured(id) {
        let what = format!(
            "the configuration names `{id}`, so that the next start would make it again: take its [[tenants]] section out \
             and restart the gate first"
        );
        return Err(refused("ID", &what));
    }
    let owned = owned(opened, id).await?;
    let counts: serde_json::Map<String, Value> =
        owned.iter().map(|(what, count)| (what.replace(' ', "_"), count_json(*count))).collect();
    let listed = owned.iter().map(|(what, count)| format!("  {count} {what}"));
    if !yes {
        let head = format!("{id} ({}) would go, with", shown(&tenant.name));
        let lines = std::iter::once(head).chain(listed);
        let answer = Answer::done(json!({ "id": id, "deleted": false, "owned": counts }), lines);
        return Ok(answer.no().remark("Nothing was changed. --yes does it; there is no way back."));
    }
    opened.notice("tenant.delete", Some(id), json!({ "owned": counts })).await?;
    opened.store().remove_tenant(id, opened.now()).await?;
    let head = format!("{id}: gone, with");
    let lines = std::iter::once(head).chain(listed);
    let answer = Answer::done(json!({ "id": id, "deleted": true, "owned": counts }), lines);
    Ok(answer.remark("What it did stays in the audit log."))
}

/// What goes with a tenant, counted.
async fn owned(opened: &Opened, id: &TenantId) -> Result<Vec<(&'static str, Count)>> {
    let store = opened.store();
    let exactly = |number: usize| Count { number, at_least: false };
    Ok(vec![
        ("people", exactly(store.people(id).await?.len())),
        ("agents", exactly(store.agents(id).await?.len())),
        ("grants", opened.grants_in(id, |_| true).await?),
        ("sessions", Count::within(opened.sessions(id, None).await?.len(), MOST_SESSIONS)),
        ("connections", exactly(store.connections(id).await?.len())),
        ("domains", exactly(store.domains(id).await?.len())),
        ("signal streams", exactly(store.streams(Some(id)).await?.len())),
        ("SCIM tokens", exactly(store.scim_clients(id).await?.len())),
    ])
}

/// `{"number": 3, "at_least": false}`
pub fn count_json(count: Count) -> Value {
    json!({ "number": count.number, "at_least": count.at_least })
}
