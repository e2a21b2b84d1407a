//! A change of an agent that the rules allow, not made yet.

use sallyport_model::{AgentId, CredentialId, TenantId, Timestamp};
use sallyport_storage::{Agent, AgentCredential, ClientRecord, RevocationSubject, Store};
use serde_json::Value;

use crate::IdentityError;

/// What is to be done, in this order.
#[derive(Debug, Clone)]
pub(super) enum Step {
    AddClient(Box<ClientRecord>),
    PutClient(Box<ClientRecord>),
    PutAgent(Box<Agent>),
    AddCredential(Box<AgentCredential>),
    ExpireCredential(AgentId, CredentialId, Timestamp),
    RevokeCredential(AgentId, CredentialId),
    /// Every token of it, and every one under which it acts.
    Revoke(AgentId),
    Remove(AgentId),
}

/// A change that the rules allow. Put it on record (`action`, `tenant`, `facts`), then [make](Self::make) it.
#[derive(Debug, Clone)]
#[must_use = "nothing is changed before it is made"]
pub struct AgentChange {
    /// `agent.create`, `agent.suspend` and so on.
    pub action: &'static str,
    /// Whose agent it is.
    pub tenant: TenantId,
    /// The agent as it will be; as it was, where it goes.
    pub agent: Agent,
    /// Ids and choices; never a secret.
    pub facts: Value,
    pub(super) steps: Vec<Step>,
}

impl AgentChange {
    pub(super) fn new(action: &'static str, agent: Agent, facts: Value, steps: Vec<Step>) -> Self {
        let mut facts = facts;
        facts["agent"] = serde_json::json!(agent.id);
        Self { action, tenant: agent.tenant.clone(), agent, facts, steps }
    }

    /// Makes it. The epoch of the revocation, where it ended tokens.
    ///
    /// # Errors
    /// When the store fails; the steps before the failing one are made, and making the change once more is safe.
    pub async fn make(self, store: &dyn Store, at: Timestamp) -> Result<Option<u64>, IdentityError> {
        let mut epoch = None;
        for step in self.steps {
            match step {
                Step::AddClient(client) => store.add_client(&client).await?,
                Step::PutClient(client) => store.put_client(&client).await?,
                Step::PutAgent(agent) => store.put_agent(&agent).await?,
                Step::AddCredential(credential) => store.add_credential(&credential).await?,
                Step::ExpireCredential(agent, id, end) => drop(store.expire_credential(&agent, &id, end).await?),
                Step::RevokeCredential(agent, id) => drop(store.revoke_credential(&agent, &id, at).await?),
                Step::Revoke(agent) => epoch = Some(store.revoke(&RevocationSubject::Agent(agent), at).await?),
                Step::Remove(agent) => drop(store.remove_agent(&self.tenant, &agent, at).await?),
            }
        }
        Ok(epoch)
    }
}
