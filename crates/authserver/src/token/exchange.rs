//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): an agent lets another one act for it.
//!
//! The client is the agent that is to act, by its own credential; the subject token is an access token of ours that
//! the agent before it was given. What comes of it is for the same subject, at the same resource, with no scope more,
//! no second longer, and one name more in its chain. It ends with what it was made out of. Nothing else is exchanged
//! here: no token of anybody else, no identity assertion, and never into a refresh token.

use std::time::Duration;

use sallyport_model::{Actor, AgentId, GrantId, Principal, ScopeSet};
use sallyport_oauth::{
    ErrorCode, Expect,
    exchange::{ExchangeRequest, token_type},
    token, verify_access_token,
};
use sallyport_storage::{Agent, Grant};

use super::{
    Request,
    client_credentials::{known_agent, resource},
    issue::{Order, TokenResponse, issue},
};
use crate::{
    ResourceInfo,
    agents::{Chain, chain_of},
    authorize::delegation::DEPTH,
    endpoint::introspect::is_revoked,
    error::{Ended, Refusal},
    possession,
    record::{Known, Standing},
    server::Server,
};

/// How far nodes' clocks may differ.
const LEEWAY: Duration = Duration::from_secs(5);

/// RFC 8693 section 2.2.2: whatever is wrong with the subject token is `invalid_request`.
const fn refuse(description: &'static str, reason: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, description, reason)
}

const fn no_good(reason: &'static str) -> Refusal {
    refuse("the subject token is no living access token of this server", reason)
}

/// Exchanges the token of an agent for one of the agent that is to act for it.
pub(super) async fn exchange(mut request: Request<'_>, known: &mut Known) -> Result<TokenResponse, Ended> {
    let Request { server, caller, client, parameters, .. } = request;
    known_agent(client, known);
    let own = server.agent_of(client, caller).await?;
    let agent = own.presenting().ok_or(refuse("the client is no agent's", "client_is_no_agent"))?;
    known.tenant = Some(agent.tenant.clone());
    let asked = ExchangeRequest::read(&|name| parameters.get(name))
        .map_err(|error| Refusal { error, reason: "exchange_request" })?;
    let (subject, parent) = subject(server, &asked, agent, known).await?;
    let chain = link(&request, agent, &subject).await?;
    let bound_to = request.hold().await?.binding();
    // Who was given a bound token does not hand on a bearer token.
    if subject.bound_to.is_some() && bound_to.is_none() {
        return Err(possession::UNBOUND.into());
    }
    possession::demand(&server.settings_of(&agent.tenant).await?, &chain, bound_to.as_ref())?;
    let resource = same_resource(server, &chain, &parent, asked.resource)?;
    let scopes = scopes(&chain, &resource, &subject, asked.scope)?;
    let grant = Grant {
        id: GrantId::mint(server.rng.as_ref()),
        actors: actors(agent, &subject),
        ancestors: [&[parent.id.clone()][..], &parent.ancestors].concat(),
        client: client.id.clone(),
        scopes: scopes.clone(),
        created_at: known.since(server),
        expires_at: subject.expires_at.min(parent.expires_at),
        bound_to: bound_to.clone(),
        ..parent
    };
    server.store.add_grant(&grant).await?;
    // Whoever revokes the subject token ends what he finds made of it: this was not there to be found before.
    if is_revoked(server, &subject).await? {
        server.revoke_grant(&grant.id).await?;
        return Err(no_good("subject_token_revoked").into());
    }
    let order = Order {
        grant: &grant,
        scopes,
        lifetime: chain.lifetime(server.config.lifetimes.agent_token),
        until: chain.until(),
        bound_to,
        refresh_token: None,
        identify: None,
    };
    Ok(issue(server, caller, order, known).await?.exchanged(token_type::ACCESS_TOKEN))
}

/// The subject token's principal and grant, if it is a living access token of ours and of the agent's tenant.
async fn subject(
    server: &Server,
    asked: &ExchangeRequest<'_>,
    agent: &Agent,
    known: &mut Known,
) -> Result<(Principal, Grant), Ended> {
    let claims = token::read_own(asked.subject_token, server.keys.as_ref(), server.issuer()).map_err(|fault| {
        tracing::info!(%fault, "a subject token is refused");
        no_good("subject_token_invalid")
    })?;
    let expect = Expect { issuer: server.issuer(), audience: &claims.aud, now: server.now(), leeway: LEEWAY };
    let principal = verify_access_token(asked.subject_token, server.keys.as_ref(), &expect)
        .map_err(|_| no_good("subject_token_invalid"))?;
    known.fact("subject_token", principal.token.as_str());
    // The leeway is for tokens of another node that is ahead, not for dead ones.
    if principal.expires_at <= server.now() {
        return Err(no_good("subject_token_invalid").into());
    }
    if principal.tenant != agent.tenant {
        return Err(no_good("subject_token_of_another_tenant").into());
    }
    if is_revoked(server, &principal).await? {
        return Err(no_good("subject_token_revoked").into());
    }
    let parent = server.store.grant(&principal.grant).await?.ok_or(no_good("subject_token_revoked"))?;
    known.standing = Standing::Proved;
    Ok((principal, parent))
}

/// The whole chain, if the agent before lets this one act for it and every one in it still stands.
async fn link(request: &Request<'_>, agent: &Agent, subject: &Principal) -> Result<Chain, Ended> {
    let server = request.server;
    let Actor::Agent(before) = subject.acting() else {
        let persons =
            "the subject token is a person's own: she lets an agent act for her by the authorization code flow";
        return Err(refuse(persons, "subject_token_of_a_person").into());
    };
    let mut ids = chain_of(&subject.subject, &subject.actors);
    if ids.contains(&agent.id) {
        return Err(refuse("an agent stands in a chain once", "delegation_loop").into());
    }
    let allows = server.store.agent(&before).await?.is_some_and(|before| before.bounds.delegates.contains(&agent.id));
    if !allows {
        let not = "the subject token's agent does not let this agent act for it";
        return Err(refuse(not, "delegation_not_allowed").into());
    }
    ids.insert(0, agent.id.clone());
    let depth = server.settings_of(&agent.tenant).await?.agent_depth.unwrap_or(DEPTH);
    if ids.len() > usize::from(depth) {
        return Err(refuse("the chain of agents would be longer than the tenant allows", "delegation_depth").into());
    }
    if let Actor::Human(user) = &subject.subject {
        if let Some(refusal) = server.person_refused(&subject.tenant, user).await? {
            return Err(refusal.into());
        }
        server.session_stands(&subject.session).await?;
    }
    server.chain(&subject.tenant, &ids, request.from()).await
}

fn actors(agent: &Agent, subject: &Principal) -> Vec<AgentId> {
    [&[agent.id.clone()][..], &subject.actors].concat()
}

/// The resource of the subject token, if every agent of the chain may use it and nobody asks for another.
fn same_resource(server: &Server, chain: &Chain, parent: &Grant, asked: Option<&str>) -> Result<ResourceInfo, Refusal> {
    let resource = resource(server, chain, Some(&parent.resource))?;
    super::code::same_resource(server, asked, &resource.uri)?;
    Ok(resource)
}

/// What is asked for, if the subject token covers it, as far as every agent of the chain may have it; all of that where
/// nothing is asked for.
fn scopes(
    chain: &Chain,
    resource: &ResourceInfo,
    subject: &Principal,
    asked: Option<ScopeSet>,
) -> Result<ScopeSet, Refusal> {
    let wrong = |description, reason| Refusal::new(ErrorCode::InvalidScope, description, reason);
    let covered = resource.closure(&subject.scopes);
    let asked = match asked {
        None => covered,
        Some(asked) => {
            if !asked.is_subset(&covered) {
                let wider = "scope is more than the subject token allows";
                return Err(wrong(wider, "scope_exceeds_subject"));
            }
            asked
        }
    };
    let granted = chain.within(resource, &asked);
    if granted.is_empty() {
        return Err(wrong("the agent may have none of these scopes", "scope_not_the_agents"));
    }
    Ok(granted)
}
