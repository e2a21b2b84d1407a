//! `grant_type=authorization_code` (OAuth 2.1 section 4.1.3).

use std::time::Duration;

use sallyport_model::{KeyBinding, ScopeSet, TenantId};
use sallyport_oauth::pkce;
use sallyport_storage::{ClientRecord, CodeRecord, CodeUse, Grant, NewRefresh};

use super::{
    Request,
    issue::{Order, TokenResponse, issue},
    refresh::within,
};
use crate::{
    AuthServerError,
    agents::{Chain, chain_of},
    authorize::request::is_own,
    bearer,
    error::{Ended, Refusal},
    parameters::Parameters,
    possession,
    record::{Known, Standing},
    resources,
    server::Server,
};

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::grant("the code is wrong, spent, ended or not this client's", reason)
}

/// Redeems a code. Presenting it spends it, whatever else is wrong with the request; what was then not
/// redeemed takes its grant with it.
pub(crate) async fn redeem(mut request: Request<'_>, known: &mut Known) -> Result<TokenResponse, Ended> {
    let Request { server, caller, client, parameters, .. } = request;
    let digest = parameters.bearer("code", "code is missing", refuse("code_malformed"))?;
    let record = match server.store.consume_code(&digest, server.now()).await? {
        CodeUse::Fresh(record) => {
            known.standing = Standing::Proved;
            record
        }
        CodeUse::Replayed { first: false, .. } => {
            known.standing = Standing::Repeated;
            return Err(refuse("code_replayed").into());
        }
        CodeUse::Replayed { grant, first: true } => {
            if let Some(grant) = server.store.grant(&grant).await? {
                known.grant(&grant);
            }
            server.record_replay(caller, known, "code").await?;
            return Err(refuse("code_replayed").into());
        }
        CodeUse::Expired => return Err(refuse("code_expired").into()),
        CodeUse::Unknown => return Err(refuse("code_unknown").into()),
    };
    let grant = server.store.grant(&record.grant).await?.ok_or(refuse("grant_gone"))?;
    known.grant(&grant);
    let Checked { chain, bound_to, scopes } = match check(&mut request, &record, &grant).await {
        Ok(checked) => checked,
        Err(ended) => {
            server.revoke_grant(&grant.id).await?;
            return Err(ended);
        }
    };
    if let Some(refusal) = server.person_refused(&record.tenant, &record.user).await? {
        return Err(refusal.into());
    }
    server.bind(&grant, bound_to.as_ref()).await?;
    let refresh_token = first_refresh(server, client, &grant).await?;
    let openid = scopes.iter().any(|scope| scope.as_str() == "openid");
    let order = Order {
        grant: &grant,
        scopes,
        lifetime: server.token_lifetime(&grant.tenant, &chain).await?,
        until: chain.until(),
        bound_to,
        refresh_token,
        identify: openid.then_some(record.nonce),
    };
    issue(server, caller, order, known).await
}

/// What a good code gives.
struct Checked {
    chain: Chain,
    bound_to: Option<KeyBinding>,
    scopes: ScopeSet,
}

/// What must hold besides, of the request, of whoever acts and of the key: nothing of it can be mended with the same
/// code.
async fn check(request: &mut Request<'_>, record: &CodeRecord, grant: &Grant) -> Result<Checked, Ended> {
    let server = request.server;
    check_request(server, request.client, request.parameters, record, grant)?;
    let held = request.hold().await?;
    if record.dpop_jkt.as_deref().is_some_and(|jkt| !held.is(jkt)) {
        return Err(refuse("code_of_another_key").into());
    }
    let bound_to = held.under(grant)?;
    let chain = server.chain(&grant.tenant, &chain_of(&grant.subject, &grant.actors), request.from()).await?;
    possession::demand(&server.settings_of(&grant.tenant).await?, &chain, bound_to.as_ref())?;
    let own: ScopeSet = record.scopes.iter().filter(|scope| is_own(scope)).cloned().collect();
    // The agent may have been narrowed since she agreed.
    let scopes = within(server, &chain, &grant.resource, &record.scopes)?.union(&own);
    Ok(Checked { chain, bound_to, scopes })
}

fn check_request(
    server: &Server,
    client: &ClientRecord,
    parameters: &Parameters,
    record: &CodeRecord,
    grant: &Grant,
) -> Result<(), Refusal> {
    if record.client != client.id {
        return Err(refuse("code_of_another_client"));
    }
    // OAuth 2.1 does not repeat the redirect URI, since PKCE binds the code; OAuth 2.0 does.
    if parameters.get("redirect_uri").is_some_and(|uri| uri != record.redirect_uri) {
        return Err(refuse("redirect_uri_differs"));
    }
    let verifier = parameters.get("code_verifier").ok_or(refuse("pkce_verifier_missing"))?;
    if !pkce::verifies(&record.code_challenge, verifier) {
        return Err(refuse("pkce_verifier_wrong"));
    }
    same_resource(server, parameters.get("resource"), &record.resource)?;
    if grant.revoked_at.is_some() || grant.expires_at <= server.now() {
        return Err(refuse("grant_ended"));
    }
    Ok(())
}

/// RFC 8707 section 2.2: the resource of the token request is that of the grant.
pub(super) fn same_resource(server: &Server, asked: Option<&str>, granted: &str) -> Result<(), Refusal> {
    let Some(asked) = asked else { return Ok(()) };
    let same = resources::named(server.resources.as_ref(), Some(asked)).is_some_and(|info| info.uri == granted);
    if same {
        return Ok(());
    }
    let wrong = "resource is not the one that was authorized";
    Err(Refusal::new(sallyport_oauth::ErrorCode::InvalidTarget, wrong, "resource_differs"))
}

impl Server {
    /// Binds a grant to the key that its first token is bound to, so that every other one is, too.
    pub(super) async fn bind(&self, grant: &Grant, bound_to: Option<&KeyBinding>) -> Result<(), Ended> {
        let Some(key) = bound_to.filter(|_| grant.bound_to.is_none()) else { return Ok(()) };
        match self.store.bind_grant(&grant.id, key, self.now()).await? {
            true => Ok(()),
            false => Err(refuse("grant_bound_to_another_key").into()),
        }
    }

    /// How long an access token lives that a person, or an agent for her, gets.
    pub(super) async fn token_lifetime(&self, tenant: &TenantId, chain: &Chain) -> Result<Duration, AuthServerError> {
        let lifetimes = self.lifetimes_of(tenant).await?;
        let longest = match chain.presenting() {
            None => lifetimes.access_token,
            Some(_) => lifetimes.access_token.min(lifetimes.agent_token),
        };
        Ok(chain.lifetime(longest))
    }
}

async fn first_refresh(server: &Server, client: &ClientRecord, grant: &Grant) -> Result<Option<String>, Ended> {
    if !client.grant_types.iter().any(|allowed| allowed == "refresh_token") {
        return Ok(None);
    }
    let (token, digest) = bearer::mint(server.rng.as_ref());
    let now = server.now();
    let refresh =
        NewRefresh { token: digest, idle_expires_at: now.plus(server.lifetimes_of(&grant.tenant).await?.refresh_idle) };
    server.store.add_refresh(&grant.id, &refresh, now).await?;
    Ok(Some(token))
}
