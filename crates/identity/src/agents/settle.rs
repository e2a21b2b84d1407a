//! Settling the agents of people who left, and putting that on record.

use std::time::Duration;

use sallyport_model::{
    Actor, AuditEvent, EventId, EventKind, UserId,
    event::{Source, Who},
};
use sallyport_storage::Agent;
use serde_json::json;

use super::{Left, Outcome, owner_left};
use crate::{Identity, IdentityError};

/// How often it is looked whether something was left unsettled.
const EVERY: Duration = Duration::from_secs(60);

impl Identity {
    /// Settles what `owner` answers for, now that she is disabled. Safe to repeat: what is suspended already stays as
    /// it is.
    ///
    /// # Errors
    /// When the store fails, or the log: what ended has ended all the same.
    pub async fn settle_agents_of(&self, owner: &UserId, source: Option<&Source>) -> Result<(), IdentityError> {
        let agents = self.store().agents_of(owner).await?;
        self.settle_agents(owner, agents, source).await
    }

    /// The same for those that were hers before she was removed.
    pub(crate) async fn settle_agents(
        &self,
        owner: &UserId,
        agents: Vec<Agent>,
        source: Option<&Source>,
    ) -> Result<(), IdentityError> {
        let working = agents.into_iter().filter(|agent| !agent.suspended).collect();
        for left in owner_left(self.store(), owner, working, self.now()).await? {
            self.record_left(owner, &left, source).await?;
        }
        Ok(())
    }

    async fn record_left(&self, owner: &UserId, left: &Left, source: Option<&Source>) -> Result<(), IdentityError> {
        let kind = match left.outcome {
            Outcome::Stopped(_) => EventKind::Revoked,
            Outcome::Passed(_) => EventKind::Administered,
        };
        let now = self.now();
        let mut event = AuditEvent::new(kind, EventId::mint(now, self.rng()), now);
        event.source = source.cloned();
        event.tenant = Some(left.agent.tenant.clone());
        event.who = Some(Who {
            subject: Actor::Agent(left.agent.id.clone()),
            on_behalf_of: Vec::new(),
            client: Some(left.agent.client.clone()),
            session: None,
            grant: None,
            token: None,
        });
        let mut facts = vec![
            ("action", json!("agent.owner_left")),
            ("owner", json!(owner)),
            ("outcome", json!(left.outcome.word())),
        ];
        match &left.outcome {
            Outcome::Stopped(epoch) => facts.push(("epoch", json!(epoch))),
            Outcome::Passed(to) => facts.push(("successor", json!(to))),
        }
        event.facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.record(event).await
    }

    /// Settles, for ever, what a crash or another way of leaving left unsettled.
    pub async fn keep_settling_agents(self) {
        loop {
            if let Err(error) = self.settle_the_forgotten().await {
                tracing::warn!(%error, "the agents of people who left could not all be settled; it is tried again");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Every agent that works and whose owner is gone or switched off.
    pub(crate) async fn settle_the_forgotten(&self) -> Result<(), IdentityError> {
        for tenant in self.store().tenants().await? {
            for agent in self.store().agents(&tenant.id).await? {
                let Some(owner) = agent.owner.clone().filter(|_| !agent.suspended) else { continue };
                let person = self.store().person(&owner).await?;
                if person.is_none_or(|person| person.disabled || person.tenant != agent.tenant) {
                    self.settle_agents(&owner, vec![agent], None).await?;
                }
            }
        }
        Ok(())
    }
}
