//! `grant_type=refresh_token` (OAuth 2.1 section 4.3): each token works once and is replaced.

use sallyport_identity::SessionStanding;
use sallyport_model::{Actor, ScopeSet};
use sallyport_oauth::ErrorCode;
use sallyport_storage::{ClientRecord, Grant, NewRefresh, Rotation};
use sallyport_web::Caller;

use super::{
    code::same_resource,
    issue::{Order, TokenResponse, issue},
};
use crate::{
    AuthServerError, bearer,
    error::{Ended, Refusal},
    parameters::Parameters,
    record::{Known, Standing},
    server::Server,
};

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::grant("the refresh token is wrong, spent, ended or not this client's", reason)
}

/// Rotates a refresh token. A request that asks for too much does not spend it; a token that was spent
/// before ends its whole family.
pub(crate) async fn refresh(
    server: &Server,
    caller: &Caller,
    client: &ClientRecord,
    parameters: &Parameters,
    known: &mut Known,
) -> Result<TokenResponse, Ended> {
    let digest = parameters.bearer("refresh_token", "refresh_token is missing", refuse("refresh_malformed"))?;
    let now = server.now();
    let (grant, usable) = server.store.grant_of_refresh(&digest, now).await?.ok_or(refuse("refresh_unknown"))?;
    if grant.client != client.id {
        return Err(refuse("refresh_of_another_client").into());
    }
    known.grant(&grant);
    if usable {
        known.standing = Standing::Proved;
    }
    let scopes = if usable { check(server, parameters, &grant).await? } else { ScopeSet::empty() };
    let (successor, successor_digest) = bearer::mint(server.rng.as_ref());
    let lifetimes = server.lifetimes_of(&grant.tenant).await?;
    let new = NewRefresh { token: successor_digest, idle_expires_at: now.plus(lifetimes.refresh_idle) };
    let rotation = server.store.rotate_refresh(&digest, &client.id, &new, now, lifetimes.refresh_race).await?;
    let grant = match rotation {
        Rotation::Rotated(grant) if usable => grant,
        Rotation::Rotated(_) => return Err(refuse("refresh_unusable").into()),
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
    let order = Order {
        grant: &grant,
        scopes,
        lifetime: lifetimes.access_token,
        refresh_token: Some(successor),
        identify: None,
    };
    Ok(issue(server, caller, order, known).await?)
}

/// Checks what must hold before the token is spent; the scopes that the new access token gets.
async fn check(server: &Server, parameters: &Parameters, grant: &Grant) -> Result<ScopeSet, Ended> {
    same_resource(server, parameters, &grant.resource)?;
    let Actor::Human(user) = &grant.subject else { return Err(refuse("grant_of_an_agent").into()) };
    if let Some(refusal) = server.person_refused(&grant.tenant, user).await? {
        return Err(refusal.into());
    }
    match server.identity.standing(&grant.session).await? {
        SessionStanding::Stands => {}
        SessionStanding::Ended => {
            return Err(Refusal::grant("the authorization has ended", "provider_session_ended").into());
        }
        SessionStanding::Unknown => return Err(Ended::Failed(AuthServerError::ProviderSilent)),
    }
    let Some(asked) = parameters.get("scope") else { return Ok(grant.scopes.clone()) };
    let too_much = Refusal::new(ErrorCode::InvalidScope, "scope is more than was granted", "scope_exceeds_grant");
    let asked: ScopeSet = asked.parse().map_err(|_| too_much)?;
    if asked.is_subset(&grant.scopes) { Ok(asked) } else { Err(too_much.into()) }
}
