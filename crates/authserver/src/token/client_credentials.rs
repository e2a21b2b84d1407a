//! `grant_type=client_credentials` (RFC 6749 section 4.4): an agent asks for itself. No refresh token:
//! its credential is one.

use sallyport_model::{Actor, GrantId, KeyBinding, ScopeSet, SessionId, Timestamp};
use sallyport_oauth::ErrorCode;
use sallyport_storage::{Agent, ClientRecord, Grant};

use super::{
    Request,
    issue::{Order, TokenResponse},
};
use crate::{
    AuthServerError, ResourceInfo,
    agents::Chain,
    error::{Ended, Refusal},
    possession,
    record::Known,
    resources,
    server::Server,
};

/// Issues an access token to an agent that has proved itself.
pub(super) async fn issue(mut request: Request<'_>, known: &mut Known) -> Result<TokenResponse, Ended> {
    let Request { server, caller, client, parameters, .. } = request;
    known_agent(client, known);
    let chain = server.agent_of(client, caller).await?;
    let agent = chain.presenting().ok_or(Refusal::grant("the client is no agent's", "client_is_no_agent"))?;
    known.tenant = Some(agent.tenant.clone());
    let bound_to = request.hold().await?.binding();
    possession::demand(&server.settings_of(&agent.tenant).await?, &chain, bound_to.as_ref())?;
    let resource = resource(server, &chain, parameters.get("resource"))?;
    let scopes = scopes(&chain, agent, &resource, parameters.get("scope"))?;
    let grant = grant(&request, agent, &resource, scopes, bound_to.clone(), known.since(server)).await?;
    let order = Order {
        grant: &grant,
        scopes: grant.scopes.clone(),
        lifetime: chain.lifetime(server.config.lifetimes.agent_token),
        until: chain.until(),
        bound_to,
        refresh_token: None,
        identify: None,
    };
    super::issue::issue(server, caller, order, known).await
}

/// Notes which agent it is about, before it is known to stand.
pub(super) fn known_agent(client: &ClientRecord, known: &mut Known) {
    if let Some(agent) = &client.agent {
        known.fact("agent", agent.as_str());
    }
}

/// The resource that is asked for, if the agents may use it.
pub(super) fn resource(server: &Server, chain: &Chain, asked: Option<&str>) -> Result<ResourceInfo, Refusal> {
    let resource = resources::named(server.resources.as_ref(), asked);
    resource.filter(|resource| chain.may_use(&resource.uri)).ok_or(Refusal::new(
        ErrorCode::InvalidTarget,
        "resource must be the identifier of one resource that the agent may use",
        "resource_not_the_agents",
    ))
}

/// What the agent may have of what it asks for; everything that it may have at this resource where it
/// does not ask.
fn scopes(chain: &Chain, agent: &Agent, resource: &ResourceInfo, asked: Option<&str>) -> Result<ScopeSet, Refusal> {
    let wrong = |reason| Refusal::new(ErrorCode::InvalidScope, "the agent may have none of these scopes", reason);
    let granted = match asked {
        None => resource.known(&agent.scopes),
        Some(asked) => {
            let asked: ScopeSet = asked.parse().map_err(|_| wrong("scope_malformed"))?;
            chain.within(resource, &resource.known(&asked))
        }
    };
    if granted.is_empty() { Err(wrong("scope_not_the_agents")) } else { Ok(granted) }
}

/// The agent's standing grant for these scopes and this key, or a new one: so that an agent that asks every few
/// minutes keeps one delegation, which one action ends. Its session is its own and stays the same. A DPoP key costs
/// nothing, so that a grant that is bound to one ends with its token: an agent may take a new key for every request.
async fn grant(
    request: &Request<'_>,
    agent: &Agent,
    resource: &ResourceInfo,
    scopes: ScopeSet,
    bound_to: Option<KeyBinding>,
    started: Timestamp,
) -> Result<Grant, AuthServerError> {
    let Request { server, client, .. } = *request;
    let lives_on = server.now().plus(server.config.lifetimes.agent_token);
    let session = SessionId::new(format!("agent.{}", agent.id))
        .map_err(|error| AuthServerError::Configuration(format!("agent `{}`: {error}", agent.id)))?;
    let passing = matches!(bound_to, Some(KeyBinding::Dpop(_)));
    let grant = Grant {
        id: GrantId::mint(server.rng.as_ref()),
        tenant: agent.tenant.clone(),
        subject: Actor::Agent(agent.id.clone()),
        actors: Vec::new(),
        ancestors: Vec::new(),
        client: client.id.clone(),
        resource: resource.uri.clone(),
        scopes,
        session,
        authenticated_at: started,
        created_at: started,
        expires_at: if passing { lives_on } else { server.now().plus(server.config.lifetimes.grant) },
        revoked_at: None,
        bound_to,
    };
    if let Some(standing) = server.store.grant_like(&grant, lives_on).await? {
        return Ok(standing);
    }
    server.store.add_grant(&grant).await?;
    Ok(grant)
}
