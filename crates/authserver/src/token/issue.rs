//! Making tokens under a grant.

use std::time::Duration;

use sallyport_model::{EventKind, ScopeSet, TokenId};
use sallyport_oauth::{
    AccessClaims,
    id_token::{self, IdClaims},
    token,
};
use sallyport_storage::Grant;
use sallyport_web::Caller;
use serde::Serialize;

use crate::{
    AuthServerError,
    authorize::request::of_resource,
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
}

/// What to issue.
pub(crate) struct Order<'a> {
    pub(crate) grant: &'a Grant,
    /// Within the grant's.
    pub(crate) scopes: ScopeSet,
    pub(crate) lifetime: Duration,
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
) -> Result<TokenResponse, AuthServerError> {
    let grant = order.grant;
    let now = server.now();
    let expires_at = now.plus(order.lifetime).min(grant.expires_at);
    let claims = AccessClaims {
        iss: server.issuer().to_owned(),
        sub: grant.subject.id().to_owned(),
        aud: grant.resource.clone(),
        client_id: grant.client.clone(),
        exp: expires_at.as_secs(),
        iat: now.as_secs(),
        jti: TokenId::mint(server.rng.as_ref()),
        scope: of_resource(&order.scopes),
        sid: grant.session.clone(),
        tenant: grant.tenant.clone(),
        grant: grant.id.clone(),
        principal_type: grant.subject.kind(),
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
    server.record(server.event(EventKind::TokenIssued, caller, known)).await?;
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: claims.exp.saturating_sub(claims.iat),
        scope: order.scopes,
        refresh_token: order.refresh_token,
        id_token,
    })
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
