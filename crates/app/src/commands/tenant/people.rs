//! A tenant's people, and who of them is signed in.

use std::collections::HashMap;

use anyhow::Result;
use sallyport_model::{Actor, SessionId, TenantId};
use sallyport_storage::{BrowserSession, Person, PersonOrigin, RevocationSubject, Role, ScimKind};
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    opened::{MOST_SESSIONS, Opened, refused, shown},
};

/// `sallyport tenant people`
pub async fn people(opened: &Opened, id: &TenantId) -> Result<Answer> {
    opened.tenant(id).await?;
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for person in opened.store().people(id).await? {
        let provisioned = opened.store().scim(id, ScimKind::User, person.id.as_str()).await?.is_some();
        rows.push(vec![
            shown(called(&person)),
            person.id.to_string(),
            if person.origin == PersonOrigin::Local { "here" } else { "provider" }.to_owned(),
            if person.role == Role::Administrator { "administrator" } else { "user" }.to_owned(),
            if person.disabled { "disabled" } else { "active" }.to_owned(),
            if provisioned { "yes" } else { "no" }.to_owned(),
            if person.groups.is_empty() { "-".to_owned() } else { shown(&person.groups.join(", ")) },
        ]);
        values.push(json!({
            "id": person.id,
            "login": person.login,
            "email": person.email,
            "display_name": person.display_name,
            "origin": person.origin,
            "groups": person.groups,
            "role": person.role,
            "disabled": person.disabled,
            "provisioned": provisioned,
            "created_at": person.created_at.to_string(),
        }));
    }
    let heads = ["person", "id", "origin", "role", "state", "by SCIM", "groups"];
    Ok(Answer::done(Value::Array(values), table(&heads, &rows)))
}

/// What an administrator knows somebody by.
pub fn called(person: &Person) -> &str {
    match person.origin {
        PersonOrigin::Local => &person.login,
        PersonOrigin::External => person.email.as_deref().unwrap_or(&person.display_name),
    }
}

/// `sallyport tenant sessions`
pub async fn sessions(opened: &Opened, id: &TenantId, user: Option<&str>) -> Result<Answer> {
    let tenant = opened.tenant(id).await?;
    let user = match user {
        Some(user) => Some(opened.person_of(id, user).await?.id),
        None => None,
    };
    let sessions = opened.sessions(id, user.as_ref()).await?;
    let people: HashMap<_, _> =
        opened.store().people(id).await?.into_iter().map(|person| (person.id.clone(), person)).collect();
    let connections = opened.store().connections(&tenant.id).await?;
    let by = |session: &BrowserSession| {
        let provider = session.provider.as_ref()?;
        connections.iter().find(|known| known.id == provider.connection).map(|known| known.name.clone())
    };
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for session in &sessions {
        let person = people.get(&session.user);
        rows.push(vec![
            session.id.to_string(),
            person.map_or_else(|| session.user.to_string(), |person| shown(called(person))),
            session.authenticated_at.to_string(),
            session.expires_at.to_string(),
            by(session).map_or_else(|| "here".to_owned(), |name| shown(&name)),
            session.methods.join(", "),
        ]);
        values.push(json!({
            "id": session.id,
            "user": session.user,
            "login": person.map(|person| &person.login),
            "email": person.and_then(|person| person.email.as_ref()),
            "methods": session.methods,
            "authenticated_at": session.authenticated_at.to_string(),
            "expires_at": session.expires_at.to_string(),
            "connection": by(session),
        }));
    }
    let heads = ["session", "person", "since", "until", "by", "methods"];
    let answer = Answer::done(Value::Array(values), table(&heads, &rows));
    let more = (sessions.len() >= MOST_SESSIONS).then(|| "there may be more: --user shows one person's".to_owned());
    Ok(answer.remarks(more))
}

/// `sallyport tenant end-session`
pub async fn end_session(opened: &Opened, id: &TenantId, session: &str) -> Result<Answer> {
    opened.tenant(id).await?;
    let session = session_of(opened, session, Some(id)).await?;
    opened.notice("tenant.end_session", Some(id), json!({ "session": session.id, "user": session.user })).await?;
    let grants = grants_of(opened, &session).await?;
    let epoch = opened.store().revoke(&RevocationSubject::Session(session.id.clone()), opened.now()).await?;
    let json = json!({ "session": session.id, "user": session.user, "epoch": epoch, "grants": grants });
    Ok(Answer::done(json, [format!("{}: ended, with {grants} grants that stood on it", session.id)]))
}

/// How many living grants stand on a session.
pub async fn grants_of(opened: &Opened, session: &BrowserSession) -> Result<usize> {
    let grants = opened.grants_of(&session.tenant, &Actor::Human(session.user.clone())).await?;
    Ok(grants.iter().filter(|grant| grant.session == session.id).count())
}

/// A session that is known; of `tenant`, where one is named.
pub async fn session_of(opened: &Opened, given: &str, tenant: Option<&TenantId>) -> Result<BrowserSession> {
    let known = match SessionId::new(given) {
        Ok(id) => opened.store().browser_session_by_id(&id).await?,
        Err(_) => None,
    };
    // Another tenant's is not there: whoever asks learns nothing of it.
    known.filter(|session| tenant.is_none_or(|tenant| session.tenant == *tenant)).ok_or_else(|| {
        let whose = tenant.map(|tenant| format!("{tenant} has")).unwrap_or_else(|| "there is".to_owned());
        let what =
            format!("{whose} no session `{}`; `sallyport tenant sessions` lists those that are alive", shown(given));
        refused("SESSION", &what)
    })
}
