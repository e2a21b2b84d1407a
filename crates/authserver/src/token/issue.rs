//! Making tokens under a grant.

use std::time::Duration;

use sallyport_model::{Actor, EventKind, KeyBinding, ScopeSet, Timestamp, TokenId};
use sallyport_oauth::{
    AccessClaims, dpop,
    id_token::{self, IdClaims},
    token,
};
use sallyport_storage::Grant;
use sallyport_web::Caller;
use serde::Serialize;

use crate::{
    AuthServerError,
    authorize::request::of_resource,
    error::{Ended, Refusal},
    record::{Known, who},
    server::Server,
};

/// A successful answer (RFC 6749 section 5.1).
#[derive(Serialize)]
pub(crate) struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    /// RFC 8693 section 2.2.1; of a token exchange only.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

impl TokenResponse {
    /// The same as the answer to a token exchange.
    pub(crate) fn exchanged(self, token_type: &'static str) -> Self {
        Self { issued_token_type: Some(token_type), ..self }
    }
}

/// What to issue.
pub(crate) struct Order<'a> {
    pub(crate) grant: &'a Grant,
    /// Within the grant's.
    pub(crate) scopes: ScopeSet,
    pub(crate) lifetime: Duration,
    /// It ends by then in any case.
    pub(crate) until: Option<Timestamp>,
    /// The key that it is bound to; nothing for a bearer token.
    pub(crate) bound_to: Option<KeyBinding>,
    /// Stored already.
    pub(crate) refresh_token: Option<String>,
    /// An ID token too, with this nonce.
    pub(crate) identify: Option<Option<String>>,
}

/// Signs the tokens of an order and records them. Nothing is given unless the event is durable.
pub(crate) async fn issue(
    server: &Server,
    caller: &Caller,
    order: Order<'_>,
    known: &mut Known,
) -> Result<TokenResponse, Ended> {
    let grant = order.grant;
    let now = server.now();
    let ends = [Some(now.plus(order.lifetime)), Some(grant.expires_at), order.until];
    let expires_at = ends.into_iter().flatten().min().unwrap_or(now);
    if expires_at.as_secs() <= now.as_secs() || !stands(server, grant, known).await? {
        return Err(Refusal::grant("the authorization has ended", "grant_ended").into());
    }
    let claims = AccessClaims {
        iss: server.issuer().to_owned(),
        sub: grant.subject.id().to_owned(),
        aud: grant.resource.clone(),
        client_id: grant.client.clone(),
        exp: expires_at.as_secs(),
        // Whatever is revoked from when the request came ends it, too.
        iat: known.since(server).as_secs(),
        jti: TokenId::mint(server.rng.as_ref()),
        scope: of_resource(&order.scopes),
        sid: grant.session.clone(),
        tenant: grant.tenant.clone(),
        grant: grant.id.clone(),
        principal_type: grant.subject.kind(),
        act: grant.actors.clone(),
        ancestors: grant.ancestors.clone(),
        cnf: order.bound_to,
    };
    let access_token = server.keys.sign(|key| token::issue(&claims, key))?;
    let id_token = match order.identify {
        Some(nonce) => Some(identify(server, grant, &claims, nonce)?),
        None => None,
    };
    known.grant(grant);
    let mut whose = who(grant);
    whose.token = Some(claims.jti.clone());
    known.who = Some(whose);
    known.fact("scopes", order.scopes.to_string());
    known.fact("expires_at", expires_at.to_string());
    known.fact("refreshable", order.refresh_token.is_some());
    known.fact("bound", binding_word(claims.cnf.as_ref()));
    if let Some(Actor::Agent(agent)) = known.who.as_ref().map(|who| &who.subject) {
        server.store.note_agent_use(agent, known.credential.as_ref(), now).await?;
    }
    server.record(server.event(EventKind::TokenIssued, caller, known)).await?;
    Ok(TokenResponse {
        access_token,
        token_type: token_type(claims.cnf.as_ref()),
        expires_in: claims.exp.saturating_sub(now.as_secs()),
        scope: order.scopes,
        refresh_token: order.refresh_token,
        id_token,
        issued_token_type: None,
    })
}

/// Whether the grant, as it is stored now, lives, and the credential that proved its agent: both were judged a while
/// ago, and a grant that something covers is stored as a dead one.
async fn stands(server: &Server, grant: &Grant, known: &Known) -> Result<bool, AuthServerError> {
    if server.store.grant(&grant.id).await?.is_none_or(|stored| stored.revoked_at.is_some()) {
        return Ok(false);
    }
    let (Some(credential), Actor::Agent(agent)) = (&known.credential, who(grant).subject) else { return Ok(true) };
    let now = server.now();
    let all = server.store.credentials(&agent).await?;
    Ok(all.iter().any(|one| one.id == *credential && one.lives(now)))
}

/// RFC 9449 section 5; a token that is bound to a certificate is still called a bearer token (RFC 8705).
pub(crate) fn token_type(bound_to: Option<&KeyBinding>) -> &'static str {
    match bound_to {
        Some(KeyBinding::Dpop(_)) => dpop::SCHEME,
        Some(KeyBinding::Certificate(_)) | None => "Bearer",
    }
}

fn binding_word(bound_to: Option<&KeyBinding>) -> &'static str {
    match bound_to {
        Some(KeyBinding::Dpop(_)) => "dpop",
        Some(KeyBinding::Certificate(_)) => "mtls",
        None => "bearer",
    }
}

fn identify(
    server: &Server,
    grant: &Grant,
    access: &AccessClaims,
    nonce: Option<String>,
) -> Result<String, AuthServerError> {
    let claims = IdClaims {
        iss: access.iss.clone(),
        sub: access.sub.clone(),
        aud: grant.client.clone(),
        exp: access.exp,
        iat: access.iat,
        auth_time: grant.authenticated_at.as_secs(),
        nonce,
        sid: grant.session.clone(),
    };
    server.keys.sign(|key| id_token::issue(&claims, key))
}
