//! A person lets an agent act for her: which agent, who answers for it, and until when.

use sallyport_model::Timestamp;
use sallyport_storage::Agent;

use super::request::AuthorizationRequest;
use crate::{
    SignedIn,
    error::{Ended, Refusal},
    server::Server,
};

/// How many agents may stand in one chain where the tenant has not said.
pub(crate) const DEPTH: u8 = 2;

/// What a person agrees to besides scopes.
#[derive(Debug, Clone)]
pub(crate) struct Delegation {
    pub(crate) agent: Agent,
    /// Who answers for the agent, as people call her.
    pub(crate) owner: Option<String>,
    /// It ends by then, whatever is refreshed.
    pub(crate) until: Timestamp,
}

impl Server {
    /// What `person` would agree to, if it is an agent that asks; refused where the agent may not act now, or not for
    /// her.
    pub(crate) async fn delegation(
        &self,
        request: &AuthorizationRequest,
        person: &SignedIn,
    ) -> Result<Option<Delegation>, Ended> {
        let Some(id) = &request.agent else { return Ok(None) };
        let tenant = &person.session.tenant;
        let settings = self.settings_of(tenant).await?;
        if settings.agent_depth.unwrap_or(DEPTH) == 0 {
            return Err(Refusal::grant("agents act for nobody here", "delegation_depth").into());
        }
        let chain = self.chain(tenant, std::slice::from_ref(id), None).await?;
        let gone = Refusal::grant("the agent is no longer there", "agent_unknown");
        let agent = chain.presenting().ok_or(gone)?.clone();
        let end = self.now().plus(self.lifetimes_of(tenant).await?.delegation);
        let until = agent.bounds.ends_at.map_or(end, |ends_at| ends_at.min(end));
        let mut owner = None;
        for user in [&agent.owner, &agent.bounds.successor].into_iter().flatten() {
            let there = self.store.person(user).await?.filter(|person| !person.disabled);
            owner = owner.or(there.map(|person| person.display_name));
        }
        Ok(Some(Delegation { agent, owner, until }))
    }
}
