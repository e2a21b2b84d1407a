//! `grant_type=client_credentials` (RFC 6749 section 4.4): an agent asks for itself. No refresh token:
//! its credential is one.

use sallyport_model::{Actor, GrantId, ScopeSet, SessionId};
use sallyport_oauth::ErrorCode;
use sallyport_storage::{Agent, ClientAuthMethod, ClientRecord, Grant};
use sallyport_web::Caller;

use super::issue::{Order, TokenResponse};
use crate::{
    AuthServerError, ResourceInfo,
    error::{Ended, Refusal},
    parameters::Parameters,
    record::Known,
    resources,
    server::Server,
};

/// Issues an access token to an agent.
pub(crate) async fn issue(
    server: &Server,
    caller: &Caller,
    client: &ClientRecord,
    parameters: &Parameters,
    known: &mut Known,
) -> Result<TokenResponse, Ended> {
    let agent = agent_of(server, client).await?;
    known.tenant = Some(agent.tenant.clone());
    known.fact("agent", agent.id.as_str());
    let resource = resources::named(server.resources.as_ref(), parameters.get("resource"));
    let resource = resource.filter(|resource| agent.resources.contains(&resource.uri)).ok_or(Refusal::new(
        ErrorCode::InvalidTarget,
        "resource must be the identifier of one resource that the agent may use",
        "resource_not_the_agents",
    ))?;
    let scopes = scopes(&agent, &resource, parameters.get("scope"))?;
    let grant = grant(server, &agent, client, &resource, scopes).await?;
    let order = Order {
        grant: &grant,
        scopes: grant.scopes.clone(),
        lifetime: server.config.lifetimes.agent_token,
        refresh_token: None,
        identify: None,
    };
    Ok(super::issue::issue(server, caller, order, known).await?)
}

async fn agent_of(server: &Server, client: &ClientRecord) -> Result<Agent, Ended> {
    let refused = |reason| Refusal::new(ErrorCode::UnauthorizedClient, "the client is no agent's", reason);
    let id = client.agent.as_ref().ok_or(refused("client_is_no_agent"))?;
    if client.auth == ClientAuthMethod::None {
        return Err(refused("agent_without_credential").into());
    }
    let agent = server.store.agent(id).await?.ok_or(refused("agent_unknown"))?;
    if agent.client != client.id {
        return Err(refused("agent_of_another_client").into());
    }
    if agent.suspended {
        return Err(Refusal::grant("the agent is suspended", "agent_suspended").into());
    }
    if !server.tenant_lives(&agent.tenant).await? {
        return Err(Refusal::grant("the agent is suspended", "tenant_suspended").into());
    }
    Ok(agent)
}

/// What the agent may have of what it asks for; everything that it may have at this resource where it
/// does not ask.
fn scopes(agent: &Agent, resource: &ResourceInfo, asked: Option<&str>) -> Result<ScopeSet, Refusal> {
    let wrong = |reason| Refusal::new(ErrorCode::InvalidScope, "the agent may have none of these scopes", reason);
    let granted = match asked {
        None => resource.known(&agent.scopes),
        Some(asked) => {
            let asked: ScopeSet = asked.parse().map_err(|_| wrong("scope_malformed"))?;
            resource.known(&asked).intersection(&resource.closure(&agent.scopes))
        }
    };
    if granted.is_empty() { Err(wrong("scope_not_the_agents")) } else { Ok(granted) }
}

/// The agent's standing grant for these scopes, or a new one: so that an agent that asks every few
/// minutes keeps one delegation, which one action ends. Its session is its own and stays the same.
async fn grant(
    server: &Server,
    agent: &Agent,
    client: &ClientRecord,
    resource: &ResourceInfo,
    scopes: ScopeSet,
) -> Result<Grant, AuthServerError> {
    let now = server.now();
    let subject = Actor::Agent(agent.id.clone());
    let lives_on = now.plus(server.config.lifetimes.agent_token);
    let standing = server.store.grants_of(&agent.tenant, &subject, now).await?.into_iter().find(|grant| {
        grant.client == client.id
            && grant.resource == resource.uri
            && grant.scopes == scopes
            && grant.revoked_at.is_none()
            && grant.expires_at >= lives_on
    });
    if let Some(grant) = standing {
        return Ok(grant);
    }
    let session = SessionId::new(format!("agent.{}", agent.id))
        .map_err(|error| AuthServerError::Configuration(format!("agent `{}`: {error}", agent.id)))?;
    let grant = Grant {
        id: GrantId::mint(server.rng.as_ref()),
        tenant: agent.tenant.clone(),
        subject,
        client: client.id.clone(),
        resource: resource.uri.clone(),
        scopes,
        session,
        authenticated_at: now,
        created_at: now,
        expires_at: now.plus(server.config.lifetimes.grant),
        revoked_at: None,
    };
    server.store.add_grant(&grant).await?;
    Ok(grant)
}
