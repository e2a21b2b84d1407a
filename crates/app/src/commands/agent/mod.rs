//! `sallyport agent`: the machines that work under a name of their own, and what proves them.
//!
//! The rules are `sallyport_identity::agents`; here they are applied to the store beside a running gate, as
//! `sallyport tenant` does: a notice before each change, obeyed from the next request on. A secret or private key that
//! is made here is shown once and kept nowhere.

pub mod arguments;
mod change;
mod credential;
mod options;
mod show;

use anyhow::Result;
use sallyport_identity::{
    IdentityError,
    agents::{AgentChange, AgentRules, OfferedResource},
};
use sallyport_model::Timestamp;
use sallyport_storage::Agent as StoredAgent;

use crate::{
    End,
    commands::tenant::{
        answer::Answer,
        opened::{Opened, refused},
    },
    offer,
};
use arguments::{Agent, Verb};

/// Runs it.
pub async fn run(command: Agent) -> Result<End> {
    let opened = Opened::open(&command.manner.configured()).await?;
    Ok(answered(&opened, &command.verb).await?.print(command.manner.json))
}

async fn answered(opened: &Opened, verb: &Verb) -> Result<Answer> {
    let offer = offer::of_store(opened.config(), opened.store()).await?;
    let desk = Desk { opened, offer, now: opened.now() };
    match verb {
        Verb::List { tenant, risk } => show::list(&desk, tenant, risk.as_deref()).await,
        Verb::Show { id } => show::show(&desk, id).await,
        Verb::Create(create) => change::create(&desk, create).await,
        Verb::Set(set) => change::set(&desk, set).await,
        Verb::Narrow { id, yes } => change::narrow(&desk, id, *yes).await,
        Verb::Suspend { id } => change::suspend(&desk, id).await,
        Verb::Resume { id } => change::resume(&desk, id).await,
        Verb::Revoke { id } => change::revoke(&desk, id).await,
        Verb::Delete { id, yes } => change::delete(&desk, id, *yes).await,
        Verb::Credential(verb) => credential::run(&desk, verb).await,
    }
}

/// The store with the rules of agents.
struct Desk<'a> {
    opened: &'a Opened,
    offer: Vec<OfferedResource>,
    now: Timestamp,
}

impl Desk<'_> {
    fn rules(&self) -> AgentRules<'_> {
        AgentRules { store: self.opened.store(), rng: self.opened.rng(), now: self.now, offer: &self.offer }
    }

    async fn agent(&self, id: &str) -> Result<StoredAgent> {
        self.rules().agent(None, id).await.map_err(said)
    }

    /// Puts a change on record and makes it; the epoch of what it ended.
    async fn make(&self, change: AgentChange) -> Result<Option<u64>> {
        self.opened.notice(change.action, Some(&change.tenant), change.facts.clone()).await?;
        // Now anew: what was issued while the command looked must end too.
        change.make(self.opened.store(), self.opened.now()).await.map_err(said)
    }
}

/// What cannot be is usage, by the option that asked for it.
fn said(error: IdentityError) -> anyhow::Error {
    match error {
        IdentityError::Agent { field, what } => refused(option_of(field), &what),
        other => other.into(),
    }
}

fn option_of(field: &str) -> &'static str {
    match field {
        "id" => "ID",
        "tenant" => "TENANT",
        "name" => "NAME",
        "client_id" => "--client-id",
        "owner" => "--owner",
        "purpose" => "--purpose",
        "scopes" => "--scope",
        "servers" => "--server",
        "networks" => "--network",
        "hours" => "--hours",
        "ends" => "--ends",
        "token_seconds" => "--token-seconds",
        "redirect_uris" => "--redirect-uri",
        "delegates" => "--delegate",
        "successor" => "--successor",
        "credential" => "CREDENTIAL",
        "life" => "--days",
        "jwks" => "--jwks",
        "secret" => "--secret",
        "certificate" => "--certificate",
        "certificate_name" => "--certificate-name",
        "workload" => "--workload",
        _ => "sallyport agent",
    }
}

#[cfg(test)]
mod tests;
