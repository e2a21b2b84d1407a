//! Suspending, resuming and deleting a tenant.

use anyhow::Result;
use sallyport_admin::tenancy::tenants::{self, owned_json};
use sallyport_model::TenantId;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    opened::{Count, Opened, shown, told},
};

/// `sallyport tenant suspend`
pub async fn suspend(opened: &Opened, id: &TenantId) -> Result<Answer> {
    opened.tenant(id).await?;
    let done = tenants::suspend(opened.tenancy(), id).await.map_err(told)?;
    let json = json!({
        "id": id, "suspended": true, "was_suspended": done.was, "epoch": done.epoch, "sessions": done.sessions.json(),
    });
    let again = if done.was { " (it was already)" } else { "" };
    let line = format!("{id}: suspended{again}; every token of it has ended, with {} sessions", done.sessions);
    Ok(Answer::done(json, [line]))
}

/// `sallyport tenant resume`
pub async fn resume(opened: &Opened, id: &TenantId) -> Result<Answer> {
    opened.tenant(id).await?;
    let was = tenants::resume(opened.tenancy(), id).await.map_err(told)?;
    let json = json!({ "id": id, "suspended": false, "was_suspended": was });
    let line = match was {
        true => format!("{id}: active; its people sign in anew, no old token works again"),
        false => format!("{id}: it was not suspended"),
    };
    Ok(Answer::done(json, [line]))
}

/// `sallyport tenant delete`
pub async fn delete(opened: &Opened, id: &TenantId, yes: bool) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    tenants::may_be_removed(opened.tenancy(), id).map_err(told)?;
    let lines = |head: String, owned: &[(&'static str, Count)]| {
        let listed = owned.iter().map(|(what, count)| format!("  {count} {what}"));
        std::iter::once(head).chain(listed).collect::<Vec<_>>()
    };
    let json = |deleted: bool, owned: &[(&'static str, Count)]| json!({ "id": id, "deleted": deleted, "owned": owned_json(owned) });
    if !yes {
        let owned = tenants::owned(opened.tenancy(), id).await.map_err(told)?;
        let head = format!("{id} ({}) would go, with", shown(&tenant.name));
        let answer = Answer::done(json(false, &owned), lines(head, &owned));
        return Ok(answer.no().remark("Nothing was changed. --yes does it; there is no way back."));
    }
    let owned = tenants::remove(opened.tenancy(), id).await.map_err(told)?;
    let answer = Answer::done(json(true, &owned), lines(format!("{id}: gone, with"), &owned));
    Ok(answer.remark("What it did stays in the audit log."))
}

/// `{"number": 3, "at_least": false}`
pub fn count_json(count: Count) -> Value {
    count.json()
}
