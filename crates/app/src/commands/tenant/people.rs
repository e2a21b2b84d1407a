//! A tenant's people, and who of them is signed in.

use std::collections::HashMap;

use anyhow::Result;
use sallyport_admin::tenancy::{
    people::person_json,
    sessions::{self, session_json},
};
use sallyport_model::TenantId;
use sallyport_storage::{BrowserSession, Person, PersonOrigin, Role};
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    opened::{MOST_SESSIONS, Opened, shown, told},
};

/// `sallyport tenant people`
pub async fn people(opened: &Opened, id: &TenantId) -> Result<Answer> {
    opened.tenant(id).await?;
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for person in opened.store().people(id).await? {
        let value = person_json(opened.tenancy(), &person).await.map_err(told)?;
        rows.push(vec![
            shown(called(&person)),
            person.id.to_string(),
            if person.origin == PersonOrigin::Local { "here" } else { "provider" }.to_owned(),
            if person.role == Role::Administrator { "administrator" } else { "user" }.to_owned(),
            if person.disabled { "disabled" } else { "active" }.to_owned(),
            if value["provisioned"] == true { "yes" } else { "no" }.to_owned(),
            if person.groups.is_empty() { "-".to_owned() } else { shown(&person.groups.join(", ")) },
        ]);
        values.push(value);
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
    let mut values = Vec::new();
    let mut rows = Vec::new();
    for session in &sessions {
        let person = people.get(&session.user);
        let value = session_json(session, person, &connections);
        rows.push(vec![
            session.id.to_string(),
            person.map_or_else(|| session.user.to_string(), |person| shown(called(person))),
            session.authenticated_at.to_string(),
            session.expires_at.to_string(),
            value["connection"].as_str().map_or_else(|| "here".to_owned(), shown),
            session.methods.join(", "),
        ]);
        values.push(value);
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
    let ended = sessions::end(opened.tenancy(), &session).await.map_err(told)?;
    let json = json!({ "session": session.id, "user": session.user, "epoch": ended.epoch, "grants": ended.grants });
    Ok(Answer::done(json, [format!("{}: ended, with {} grants that stood on it", session.id, ended.grants)]))
}

/// How many living grants stand on a session.
pub async fn grants_of(opened: &Opened, session: &BrowserSession) -> Result<usize> {
    sessions::grants_of(opened.tenancy(), session).await.map_err(told)
}

/// A session that is known; of `tenant`, where one is named.
pub async fn session_of(opened: &Opened, given: &str, tenant: Option<&TenantId>) -> Result<BrowserSession> {
    sessions::find(opened.tenancy(), tenant, given).await.map_err(told)
}
