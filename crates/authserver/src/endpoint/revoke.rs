//! `POST /oauth/revoke` (RFC 7009).

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use sallyport_model::{EventKind, GrantId};
use sallyport_oauth::{ErrorCode, token};
use sallyport_storage::{ClientRecord, RevocationSubject};
use sallyport_web::Caller;

use crate::{
    bearer, client_auth,
    error::{Ended, Refusal, no_store},
    record::Known,
    server::Server,
    token::form,
};

const FOREIGN: Refusal =
    Refusal::new(ErrorCode::UnauthorizedClient, "the token was not issued to this client", "token_of_another_client");

/// Revokes a refresh token with its whole grant, or one access token with what was exchanged out of it. 200 also for a token that
/// nobody knows or that is dead, for which nothing is stored; 503 when the revocation could not be made durable.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let mut known = Known::default();
    match revoke(&server, &caller, &body, &mut known).await {
        Ok(()) => no_store(StatusCode::OK.into_response()),
        Err(ended) => server.end(EventKind::TokenRefused, &caller, &known, ended).await,
    }
}

async fn revoke(server: &Server, caller: &Caller, body: &[u8], known: &mut Known) -> Result<(), Ended> {
    let parameters = form(&caller.headers, body)?;
    let client = client_auth::authenticate(server, caller, &parameters, known).await?.client;
    let token = parameters.require("token", "token is missing")?;
    known.fact("by", "client");
    match bearer::presented(token) {
        Some(digest) => revoke_refresh(server, caller, &client, &digest, known).await,
        None => revoke_access(server, caller, &client, token, known).await,
    }
}

async fn revoke_refresh(
    server: &Server,
    caller: &Caller,
    client: &ClientRecord,
    digest: &sallyport_storage::Digest,
    known: &mut Known,
) -> Result<(), Ended> {
    let Some((grant, _)) = server.store.grant_of_refresh(digest, server.now()).await? else { return Ok(()) };
    if grant.client != client.id {
        return Err(FOREIGN.into());
    }
    known.grant(&grant);
    known.fact("what", "grant");
    if grant.revoked_at.is_some() {
        server.count(caller, known, "revoked_again");
        return Ok(());
    }
    revoke_once(server, caller, RevocationSubject::Grant(grant.id), known).await
}

/// Whoever holds a token may send it a thousand times: the first one is the event.
async fn revoke_once(server: &Server, caller: &Caller, subject: RevocationSubject, known: &Known) -> Result<(), Ended> {
    if server.store.revoke_once(&subject, server.now()).await?.is_none() {
        server.count(caller, known, "revoked_again");
        return Ok(());
    }
    Ok(server.record(server.event(EventKind::Revoked, caller, known)).await?)
}

async fn revoke_access(
    server: &Server,
    caller: &Caller,
    client: &ClientRecord,
    token: &str,
    known: &mut Known,
) -> Result<(), Ended> {
    let Ok(claims) = token::read_own(token, server.keys.as_ref(), server.issuer()) else { return Ok(()) };
    if claims.client_id != client.id {
        return Err(FOREIGN.into());
    }
    if claims.exp <= server.now().as_secs() {
        return Ok(());
    }
    if let Some(grant) = server.store.grant(&claims.grant).await? {
        known.grant(&grant);
    }
    if let Some(who) = &mut known.who {
        who.token = Some(claims.jti.clone());
    }
    known.fact("what", "token");
    let now = server.now();
    let first = server.store.revoke_once(&RevocationSubject::Token(claims.jti), now).await?.is_some();
    let ended = end_made_of(server, &claims.grant).await?;
    if ended > 0 {
        known.fact("exchanged", ended);
    }
    if !first && ended == 0 {
        server.count(caller, known, "revoked_again");
        return Ok(());
    }
    Ok(server.record(server.event(EventKind::Revoked, caller, known)).await?)
}

/// Ends whatever was exchanged out of tokens of a grant. Of which of them is not stored: rather too much ends than
/// something goes on that came of the one. How many did.
async fn end_made_of(server: &Server, grant: &GrantId) -> Result<usize, Ended> {
    let made = server.store.grants_made_of(grant, server.now()).await?;
    // What came of those ends with them.
    let nearest: Vec<_> = made.into_iter().filter(|one| one.ancestors.first() == Some(grant)).collect();
    for one in &nearest {
        server.revoke_grant(&one.id).await?;
    }
    Ok(nearest.len())
}
