//! `sallyport contain`: one revocation that ends everything of a person, an agent, a client, a session or a tenant.
//!
//! It works on the store beside a running gate: every node refuses from its next poll on, within 2 s. It ends what
//! is alive and forbids nothing: who may sign in afterwards is said elsewhere, and the answer says where.

use anyhow::Result;
use sallyport_model::{Actor, AgentId, ClientId, TenantId, UserId};
use sallyport_storage::{Agent, Person, RevocationSubject};
use serde_json::json;

use crate::{
    End,
    commands::tenant::{
        answer::Answer,
        arguments::{Contain, Contained, Whom},
        count_json,
        opened::{Count, MOST_SESSIONS, Opened, refused, shown},
        people::{called, grants_of, session_of},
    },
};

/// Runs it.
pub async fn run(command: Contain) -> Result<End> {
    let opened = Opened::open(&command.manner.configured()).await?;
    Ok(contain(&opened, &command.whom).await?.print(command.manner.json))
}

/// What ends.
struct Ending {
    subject: RevocationSubject,
    tenant: Option<TenantId>,
    /// For people.
    whom: String,
    grants: Count,
    sessions: Count,
    /// What it does not do.
    remark: String,
}

/// Ends everything of whom the command names.
pub async fn contain(opened: &Opened, whom: &Whom) -> Result<Answer> {
    let ending = match whom {
        Whom::User(contained) => user(opened, contained).await?,
        Whom::Agent(contained) => agent(opened, contained).await?,
        Whom::Client { id } => client(opened, id).await?,
        Whom::Session(contained) => session(opened, contained).await?,
        Whom::Tenant { id } => tenant(opened, id).await?,
    };
    let subject = json!(ending.subject);
    let counted = json!({ "grants": count_json(ending.grants), "sessions": count_json(ending.sessions) });
    let facts = json!({ "subject": subject, "ended": counted });
    opened.notice("contain", ending.tenant.as_ref(), facts).await?;
    let at = opened.now();
    let epoch = opened.store().revoke(&ending.subject, at).await?;
    let json = json!({
        "subject": subject,
        "tenant": ending.tenant,
        "epoch": epoch,
        "at": at.to_string(),
        "ended": counted,
    });
    let line = format!(
        "{}: ended, with {} grants and {} sessions (revocation {epoch})",
        ending.whom, ending.grants, ending.sessions
    );
    Ok(Answer::done(json, [line]).remark(ending.remark))
}

async fn user(opened: &Opened, contained: &Contained) -> Result<Ending> {
    let person = person(opened, contained).await?;
    let grants = opened.grants_of(&person.tenant, &Actor::Human(person.id.clone())).await?.len();
    let sessions = opened.sessions(&person.tenant, Some(&person.id)).await?.len();
    Ok(Ending {
        whom: format!("{} ({}) of {}", shown(called(&person)), person.id, person.tenant),
        subject: RevocationSubject::User(person.id),
        tenant: Some(person.tenant),
        grants: exactly(grants),
        sessions: Count::within(sessions, MOST_SESSIONS),
        remark: "She can sign in again unless her identity provider or SCIM keeps her out.".to_owned(),
    })
}

async fn person(opened: &Opened, contained: &Contained) -> Result<Person> {
    let id = match UserId::new(&*contained.id) {
        Ok(id) => opened.store().person(&id).await?,
        Err(_) => None,
    };
    let found = match id {
        Some(person) => Some(person),
        None => opened.store().person_by_login(&contained.id).await?,
    };
    let of_tenant = found.filter(|person| is_of(contained, &person.tenant));
    of_tenant.ok_or_else(|| unknown("person", contained, "`sallyport tenant people TENANT` lists them"))
}

async fn agent(opened: &Opened, contained: &Contained) -> Result<Ending> {
    let known: Option<Agent> = match AgentId::new(&*contained.id) {
        Ok(id) => opened.store().agent(&id).await?,
        Err(_) => None,
    };
    let Some(agent) = known.filter(|agent| is_of(contained, &agent.tenant)) else {
        return Err(unknown("agent", contained, "check the id"));
    };
    let grants = opened.grants_of(&agent.tenant, &Actor::Agent(agent.id.clone())).await?.len();
    Ok(Ending {
        whom: format!("{} ({}) of {}", shown(&agent.name), agent.id, agent.tenant),
        subject: RevocationSubject::Agent(agent.id),
        tenant: Some(agent.tenant),
        grants: exactly(grants),
        sessions: exactly(0),
        remark: "With its credentials it can ask for new tokens.".to_owned(),
    })
}

async fn client(opened: &Opened, given: &str) -> Result<Ending> {
    let known = match ClientId::new(given) {
        Ok(id) => opened.store().client(&id).await?,
        Err(_) => None,
    };
    let Some(client) = known else {
        return Err(refused("ID", &format!("there is no client `{}`: check the id", shown(given))));
    };
    let mut grants = Count::default();
    for tenant in opened.store().tenants().await? {
        grants = grants.and(opened.grants_in(&tenant.id, |grant| grant.client == client.id).await?);
    }
    Ok(Ending {
        whom: format!("{} ({}), in every tenant", shown(&client.name), shown(client.id.as_str())),
        subject: RevocationSubject::Client(client.id),
        tenant: None,
        grants,
        sessions: exactly(0),
        remark: "People who connect it again are asked anew only where their consent does not cover it.".to_owned(),
    })
}

async fn session(opened: &Opened, contained: &Contained) -> Result<Ending> {
    let session = session_of(opened, &contained.id, contained.tenant.as_ref()).await?;
    let alive = opened.sessions(&session.tenant, Some(&session.user)).await?;
    Ok(Ending {
        whom: format!("session {} of {} at {}", session.id, session.user, session.tenant),
        grants: exactly(grants_of(opened, &session).await?),
        sessions: exactly(usize::from(alive.iter().any(|living| living.id == session.id))),
        subject: RevocationSubject::Session(session.id),
        tenant: Some(session.tenant),
        remark: "Her other sessions go on; `sallyport contain user` ends all of them.".to_owned(),
    })
}

async fn tenant(opened: &Opened, id: &TenantId) -> Result<Ending> {
    opened.tenant(id).await?;
    Ok(Ending {
        whom: format!("tenant {id}"),
        grants: opened.grants_in(id, |_| true).await?,
        sessions: Count::within(opened.sessions(id, None).await?.len(), MOST_SESSIONS),
        subject: RevocationSubject::Tenant(id.clone()),
        tenant: Some(id.clone()),
        remark: format!("Its people can sign in again; `sallyport tenant suspend {id}` keeps them out."),
    })
}

/// Whether the command allows this tenant.
fn is_of(contained: &Contained, tenant: &TenantId) -> bool {
    contained.tenant.as_ref().is_none_or(|wanted| wanted == tenant)
}

fn unknown(noun: &str, contained: &Contained, remedy: &str) -> anyhow::Error {
    let whose = contained.tenant.as_ref().map_or_else(|| "there is".to_owned(), |tenant| format!("{tenant} has"));
    refused("ID", &format!("{whose} no {noun} `{}`; {remedy}", shown(&contained.id)))
}

fn exactly(number: usize) -> Count {
    Count { number, at_least: false }
}
