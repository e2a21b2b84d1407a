//! Agents that stand: which may get a token now, alone or in a chain, and what all of them together may have.

use std::{net::IpAddr, time::Duration};

use sallyport_model::{Actor, AgentId, ScopeSet, TenantId, Timestamp, UserId};
use sallyport_oauth::ErrorCode;
use sallyport_storage::{Agent, ClientAuthMethod, ClientRecord, TenantSettings};
use sallyport_web::Caller;

use crate::{
    AuthServerError, ResourceInfo, bounds,
    error::{Ended, Refusal},
    server::Server,
};

/// The agents under whose names a token is made, the one that sends the request first; each of them may get one now.
/// Empty for a person by herself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    agents: Vec<Agent>,
    until: Option<Timestamp>,
}

impl Chain {
    /// The one that sends the request.
    pub(crate) fn presenting(&self) -> Option<&Agent> {
        self.agents.first()
    }

    /// Whether every agent may use the resource with this identifier.
    pub(crate) fn may_use(&self, resource: &str) -> bool {
        self.agents.iter().all(|agent| agent.resources.iter().any(|one| one == resource))
    }

    /// What of `scopes` every agent may have at `resource`, by what they may have now.
    pub(crate) fn within(&self, resource: &ResourceInfo, scopes: &ScopeSet) -> ScopeSet {
        self.agents.iter().fold(scopes.clone(), |rest, agent| rest.intersection(&resource.closure(&agent.scopes)))
    }

    /// How long an access token lives, where the operator lets it live for `longest`.
    pub(crate) fn lifetime(&self, longest: Duration) -> Duration {
        self.agents.iter().fold(longest, |longest, agent| bounds::lifetime(&agent.bounds, longest))
    }

    /// What no token outlives, if anything bounds it.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether one of them may have bound tokens only.
    pub(crate) fn sender_bound(&self) -> bool {
        self.agents.iter().any(|agent| agent.bounds.sender_bound)
    }
}

impl Server {
    /// The agent whose client this is, as a chain of one, if it may get a token now.
    pub(crate) async fn agent_of(&self, client: &ClientRecord, caller: &Caller) -> Result<Chain, Ended> {
        let refused = |reason| Refusal::new(ErrorCode::UnauthorizedClient, "the client is no agent's", reason);
        let id = client.agent.as_ref().ok_or(refused("client_is_no_agent"))?;
        if client.auth == ClientAuthMethod::None {
            return Err(refused("agent_without_credential").into());
        }
        let agent = self.store.agent(id).await?.ok_or(refused("agent_unknown"))?;
        if agent.client != client.id {
            return Err(refused("agent_of_another_client").into());
        }
        let tenant = agent.tenant.clone();
        self.stand(&tenant, vec![agent], Some(caller.address.0)).await
    }

    /// The agents of a chain, if each of them is of `tenant` and may get a token now. `from` is where the first one's
    /// request comes from; absent while it is the person's browser that asks.
    pub(crate) async fn chain(&self, tenant: &TenantId, ids: &[AgentId], from: Option<IpAddr>) -> Result<Chain, Ended> {
        let mut agents = Vec::with_capacity(ids.len());
        for id in ids {
            let gone = Refusal::grant("an agent of the chain is no longer there", "agent_unknown");
            agents.push(self.store.agent(id).await?.ok_or(gone)?);
        }
        self.stand(tenant, agents, from).await
    }

    async fn stand(&self, tenant: &TenantId, agents: Vec<Agent>, from: Option<IpAddr>) -> Result<Chain, Ended> {
        if agents.is_empty() {
            return Ok(Chain::default());
        }
        if !self.tenant_lives(tenant).await? {
            return Err(Refusal::grant("the agent is suspended", "tenant_suspended").into());
        }
        let mut until: Option<Timestamp> = None;
        for (at, agent) in agents.iter().enumerate() {
            if agent.tenant != *tenant {
                return Err(Refusal::grant("the agent is of another tenant", "agent_of_another_tenant").into());
            }
            if agent.suspended {
                return Err(Refusal::grant("the agent is suspended", "agent_suspended").into());
            }
            if !self.is_answered_for(agent).await? {
                let gone = "nobody answers for the agent any more: its administrator can name a new owner";
                return Err(Refusal::grant(gone, "agent_owner_gone").into());
            }
            // Only the first one's network is the request's.
            let address = from.filter(|_| at == 0);
            let end = bounds::admit(&agent.bounds, address, self.now())?;
            until = [until, end].into_iter().flatten().min();
        }
        Ok(Chain { agents, until })
    }

    /// Whether somebody answers for the agent: its owner, or who was named to follow her. One that never had an
    /// owner is the tenant's own.
    async fn is_answered_for(&self, agent: &Agent) -> Result<bool, AuthServerError> {
        let Some(owner) = &agent.owner else { return Ok(true) };
        if self.is_there(&agent.tenant, owner).await? {
            return Ok(true);
        }
        match &agent.bounds.successor {
            Some(successor) => self.is_there(&agent.tenant, successor).await,
            None => Ok(false),
        }
    }

    async fn is_there(&self, tenant: &TenantId, user: &UserId) -> Result<bool, AuthServerError> {
        let person = self.store.person(user).await?;
        Ok(person.is_some_and(|person| !person.disabled && person.tenant == *tenant))
    }

    /// What a tenant has chosen.
    pub(crate) async fn settings_of(&self, tenant: &TenantId) -> Result<TenantSettings, AuthServerError> {
        Ok(self.store.tenant(tenant).await?.map(|tenant| tenant.settings).unwrap_or_default())
    }
}

/// The agents of a delegation, the one that acts first: those that act for the subject, and the subject if it is one.
pub(crate) fn chain_of(subject: &Actor, actors: &[AgentId]) -> Vec<AgentId> {
    let subject = match subject {
        Actor::Agent(agent) => Some(agent.clone()),
        Actor::Human(_) => None,
    };
    actors.iter().cloned().chain(subject).collect()
}
