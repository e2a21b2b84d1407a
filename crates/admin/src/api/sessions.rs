//! Sessions of a tenant's people.

use std::collections::HashMap;

use sallyport_storage::Tenant;
use serde_json::json;

use super::{Answer, Ask, reply::Reply};
use crate::{
    Fault,
    tenancy::sessions::{self, session_json},
};

/// `listSessions`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let user = match ask.query("user") {
        Some(user) => Some(ask.tenancy.person(&tenant.id, user).await?.id),
        None => None,
    };
    let all = sessions::living(&ask.tenancy, &tenant.id, user.as_ref()).await?;
    let cut = ask.page()?.cut(all, |session| session.id.to_string());
    let connections = ask.tenancy.store().connections(&tenant.id).await.map_err(Fault::from)?;
    let mut people = HashMap::new();
    for session in &cut.items {
        if !people.contains_key(&session.user) {
            let person = ask.tenancy.store().person(&session.user).await.map_err(Fault::from)?;
            people.insert(session.user.clone(), person);
        }
    }
    let of = |user| people.get(user).and_then(Option::as_ref);
    let items = cut.items.iter().map(|session| session_json(session, of(&session.user), &connections)).collect();
    Ok(Reply::ok(cut.json(items)))
}

/// `endSession`
pub(crate) async fn end(ask: Ask, tenant: Tenant) -> Answer {
    let session = sessions::find(&ask.tenancy, Some(&tenant.id), ask.path("session")).await?;
    let ended = sessions::end(&ask.tenancy, &session).await?;
    Ok(Reply::ok(json!({
        "session": session.id, "user": session.user, "epoch": ended.epoch, "grants": ended.grants,
    })))
}
