//! `grant_type=refresh_token` (OAuth 2.1 section 4.3): each token works once and is replaced. One that is bound to a
//! key works with that key only, and without it is not even spent.

use sallyport_identity::SessionStanding;
use sallyport_model::{Actor, KeyBinding, ScopeSet, SessionId};
use sallyport_oauth::ErrorCode;
use sallyport_storage::{Grant, NewRefresh, Rotation};

use super::{
    Request,
    code::same_resource,
    issue::{Order, TokenResponse, issue},
};
use crate::{
    AuthServerError,
    agents::{Chain, chain_of},
    authorize::request::of_resource,
    bearer,
    error::{Ended, Refusal},
    possession,
    record::{Known, Standing},
    server::Server,
};

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::grant("the refresh token is wrong, spent, ended or not this client's", reason)
}

/// What a good refresh token gives.
struct Given {
    scopes: ScopeSet,
    chain: Chain,
}

/// Rotates a refresh token. A request that asks for too much does not spend it; a token that was spent
/// before ends its whole family.
pub(crate) async fn refresh(mut request: Request<'_>, known: &mut Known) -> Result<TokenResponse, Ended> {
    let Request { server, caller, client, parameters, .. } = request;
    let digest = parameters.bearer("refresh_token", "refresh_token is missing", refuse("refresh_malformed"))?;
    let now = server.now();
    let (grant, usable) = server.store.grant_of_refresh(&digest, now).await?.ok_or(refuse("refresh_unknown"))?;
    if grant.client != client.id {
        return Err(refuse("refresh_of_another_client").into());
    }
    known.grant(&grant);
    // Before anything else: whoever has the token and not the key can neither use it nor end its family.
    let bound_to = request.hold().await?.under(&grant)?;
    if usable {
        known.standing = Standing::Proved;
    }
    let given = match usable {
        true => Some(check(&request, &grant, bound_to.as_ref()).await?),
        false => None,
    };
    let (successor, successor_digest) = bearer::mint(server.rng.as_ref());
    let lifetimes = server.lifetimes_of(&grant.tenant).await?;
    let new = NewRefresh { token: successor_digest, idle_expires_at: now.plus(lifetimes.refresh_idle) };
    let rotation = server.store.rotate_refresh(&digest, &client.id, &new, now, lifetimes.refresh_race).await?;
    let grant = match rotation {
        Rotation::Rotated(grant) => grant,
        Rotation::Raced => return Err(refuse("refresh_raced").into()),
        Rotation::Reused(grant) => {
            known.grant(&grant);
            server.record_replay(caller, known, "refresh_token").await?;
            return Err(refuse("refresh_reused").into());
        }
        Rotation::Expired => return Err(refuse("refresh_expired").into()),
        Rotation::Revoked => return Err(refuse("grant_revoked").into()),
        Rotation::ForeignClient => return Err(refuse("refresh_of_another_client").into()),
        Rotation::Unknown => return Err(refuse("refresh_unknown").into()),
    };
    let Some(Given { scopes, chain }) = given else { return Err(refuse("refresh_unusable").into()) };
    server.bind(&grant, bound_to.as_ref()).await?;
    let order = Order {
        grant: &grant,
        scopes,
        lifetime: server.token_lifetime(&grant.tenant, &chain).await?,
        until: chain.until(),
        bound_to,
        refresh_token: Some(successor),
        identify: None,
    };
    issue(server, caller, order, known).await
}

/// Checks what must hold before the token is spent: of her, of whoever acts for her, of the key and of the scopes.
async fn check(request: &Request<'_>, grant: &Grant, bound_to: Option<&KeyBinding>) -> Result<Given, Ended> {
    let server = request.server;
    same_resource(server, request.parameters.get("resource"), &grant.resource)?;
    let Actor::Human(user) = &grant.subject else { return Err(refuse("grant_of_an_agent").into()) };
    if let Some(refusal) = server.person_refused(&grant.tenant, user).await? {
        return Err(refusal.into());
    }
    server.session_stands(&grant.session).await?;
    let chain = server.chain(&grant.tenant, &chain_of(&grant.subject, &grant.actors), request.from()).await?;
    possession::demand(&server.settings_of(&grant.tenant).await?, &chain, bound_to)?;
    let scopes = within(server, &chain, &grant.resource, &grant.scopes)?;
    let Some(asked) = request.parameters.get("scope") else { return Ok(Given { scopes, chain }) };
    let too_much = Refusal::new(ErrorCode::InvalidScope, "scope is more than was granted", "scope_exceeds_grant");
    let asked: ScopeSet = asked.parse().map_err(|_| too_much)?;
    if asked.is_subset(&scopes) { Ok(Given { scopes: asked, chain }) } else { Err(too_much.into()) }
}

/// What was granted, as far as whoever acts for her may still have it.
pub(super) fn within(server: &Server, chain: &Chain, resource: &str, granted: &ScopeSet) -> Result<ScopeSet, Refusal> {
    if chain.presenting().is_none() {
        return Ok(granted.clone());
    }
    let lost =
        Refusal::grant("the agent may no longer have any of this: ask its administrator", "scope_not_the_agents");
    let resource = server.resources.resource(resource).filter(|resource| chain.may_use(&resource.uri));
    let resource = resource.ok_or(lost)?;
    let scopes = chain.within(&resource, &of_resource(granted));
    if scopes.is_empty() { Err(lost) } else { Ok(scopes) }
}

impl Server {
    /// Asks the provider that a person's session stands on whether it does.
    pub(super) async fn session_stands(&self, session: &SessionId) -> Result<(), Ended> {
        match self.identity.standing(session).await? {
            SessionStanding::Stands => Ok(()),
            SessionStanding::Ended => {
                Err(Refusal::grant("the authorization has ended", "provider_session_ended").into())
            }
            SessionStanding::Unknown => Err(Ended::Failed(AuthServerError::ProviderSilent)),
        }
    }
}
