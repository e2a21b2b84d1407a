//! A tenant's people: shown, kept out, let in again, ended.

use sallyport_identity::agents::{Left, owner_left};
use sallyport_model::{Actor, TenantId, Timestamp};
use sallyport_storage::{Agent, Person, RevocationSubject, ScimKind};
use serde_json::{Value, json};

use super::{Count, MOST_SESSIONS, Tenancy};
use crate::{Code, Fault};

/// One person of a tenant by id, login or e-mail address.
///
/// # Errors
/// [`Code::NotFound`], or [`Code::Conflict`] where more than one is meant.
pub async fn named(tenancy: &Tenancy, tenant: &TenantId, wanted: &str) -> Result<Person, Fault> {
    let same = |text: &str| text.eq_ignore_ascii_case(wanted);
    let people = tenancy.store().people(tenant).await?;
    let mut found = people.into_iter().filter(|person| {
        person.id.as_str() == wanted || same(&person.login) || person.email.as_deref().is_some_and(same)
    });
    match (found.next(), found.next()) {
        (Some(person), None) => Ok(person),
        (Some(_), Some(_)) => {
            let what = format!("more than one person of {tenant} is `{wanted}`");
            Err(Fault::refused(Code::Conflict, "user", what, "name her id"))
        }
        (None, _) => Err(Fault::not_found("user", format!("{tenant} has nobody `{wanted}`"), "list its people")),
    }
}

/// What ended with a person.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// The entry of the revocation log.
    pub epoch: u64,
    /// As of when.
    pub at: Timestamp,
    /// How many grants.
    pub grants: Count,
    /// How many sessions.
    pub sessions: Count,
}

impl Ended {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "epoch": self.epoch,
            "at": self.at.to_string(),
            "ended": { "grants": self.grants.json(), "sessions": self.sessions.json() },
        })
    }
}

/// How much of a person is alive: grants, sessions.
///
/// # Errors
/// [`Fault::Store`].
pub async fn alive(tenancy: &Tenancy, person: &Person) -> Result<(Count, Count), Fault> {
    let grants = tenancy.grants_of(&person.tenant, &Actor::Human(person.id.clone())).await?.len();
    let sessions = tenancy.store().browser_sessions(&person.tenant, Some(&person.id), tenancy.now()).await?.len();
    Ok((Count::exactly(grants), Count::within(sessions, MOST_SESSIONS)))
}

/// Ends everything of a person: sessions, grants, tokens, waiting codes. She may sign in again.
///
/// # Errors
/// When the record or the store fails.
pub async fn end_everything(tenancy: &Tenancy, person: &Person) -> Result<Ended, Fault> {
    let (grants, sessions) = alive(tenancy, person).await?;
    let subject = RevocationSubject::User(person.id.clone());
    let facts = json!({ "subject": subject, "ended": { "grants": grants.json(), "sessions": sessions.json() } });
    tenancy.note("contain", Some(&person.tenant), facts).await?;
    let at = tenancy.now();
    let epoch = tenancy.store().revoke(&subject, at).await?;
    Ok(Ended { epoch, at, grants, sessions })
}

/// Lets a person sign in nowhere, and ends everything of her; her agents stop, or pass to their successors. Also again,
/// for the first time may have been cut off in the middle.
///
/// # Errors
/// When the record or the store fails.
pub async fn disable(tenancy: &Tenancy, person: &Person) -> Result<(Ended, Vec<Left>), Fault> {
    let (grants, sessions) = alive(tenancy, person).await?;
    let mut noted = Vec::new();
    for agent in working(tenancy, person).await? {
        noted.push(intended(tenancy, person, &agent).await?);
    }
    // All of it before any of it: a log that fails half-way leaves nothing done.
    tenancy.note("user.disable", Some(&person.tenant), json!({ "user": person.id, "agents": noted })).await?;
    for facts in &noted {
        tenancy.note("agent.owner_left", Some(&person.tenant), facts.clone()).await?;
    }
    // Shut first, so that nothing begins between the two.
    tenancy.store().set_disabled(&person.id, true).await?;
    let at = tenancy.now();
    let epoch = tenancy.store().revoke(&RevocationSubject::User(person.id.clone()), at).await?;
    let mut settled = Vec::new();
    for agent in working(tenancy, person).await? {
        // Made, or given another successor, since: that is put on record too before it happens.
        let facts = intended(tenancy, person, &agent).await?;
        if !noted.contains(&facts) {
            tenancy.note("agent.owner_left", Some(&person.tenant), facts).await?;
        }
        settled.extend(owner_left(tenancy.store(), &person.id, vec![agent], tenancy.now()).await?);
    }
    Ok((Ended { epoch, at, grants, sessions }, settled))
}

/// A person's agents that work.
async fn working(tenancy: &Tenancy, person: &Person) -> Result<Vec<Agent>, Fault> {
    Ok(tenancy.store().agents_of(&person.id).await?.into_iter().filter(|agent| !agent.suspended).collect())
}

/// What is going to become of an agent whose owner leaves, as [`owner_left`] decides it.
async fn intended(tenancy: &Tenancy, person: &Person, agent: &Agent) -> Result<Value, Fault> {
    let successor = match agent.bounds.successor.as_ref().filter(|named| **named != person.id) {
        Some(named) => tenancy.store().person(named).await?,
        None => None,
    };
    let successor = successor.filter(|next| next.tenant == agent.tenant && !next.disabled).map(|next| next.id);
    let outcome = if successor.is_some() { "passed" } else { "stopped" };
    let owner = successor.as_ref().or(agent.owner.as_ref());
    Ok(json!({ "agent": agent.id, "owner": person.id, "outcome": outcome, "successor": owner }))
}

/// Lets a person sign in again; no old token works again. Whether she could not before. Where SCIM or her provider
/// keeps her out, that is for them to say: the next word of SCIM about her counts.
///
/// # Errors
/// When the record or the store fails.
pub async fn enable(tenancy: &Tenancy, person: &Person) -> Result<bool, Fault> {
    if !person.disabled {
        return Ok(false);
    }
    tenancy.note("user.enable", Some(&person.tenant), json!({ "user": person.id })).await?;
    tenancy.store().set_disabled(&person.id, false).await?;
    Ok(true)
}

/// A person for programs; no password hash is in it.
///
/// # Errors
/// [`Fault::Store`].
pub async fn person_json(tenancy: &Tenancy, person: &Person) -> Result<Value, Fault> {
    let provisioned = tenancy.store().scim(&person.tenant, ScimKind::User, person.id.as_str()).await?.is_some();
    Ok(json!({
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
    }))
}
