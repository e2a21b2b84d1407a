//! `POST /signin/oidc/{connection}/logout`: the provider says that a session, or a person, is out (OpenID Connect
//! Back-Channel Logout 1.0).
//!
//! What the token names ends with all that was given in it. A token counts once; after a failure of ours it may
//! come once more.

use std::time::Duration;

use axum::{
    Form, Json,
    extract::{Path, State, rejection::FormRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sallyport_model::{ConnectionId, SessionId};
use sallyport_oauth::oidc::{
    OidcFault,
    logout::{ExpectLogout, LogoutToken, verify},
};
use sallyport_storage::{Connection, Digest, ProviderSessions, RevocationSubject};
use sallyport_web::Caller;
use serde::Deserialize;
use serde_json::json;

use super::{peer::Peer, trouble::Trouble};
use crate::{
    Identity, IdentityError,
    session::sha256,
    settings::{ConnectionSettings, OidcSettings},
};

/// A token was seen; a token was obeyed.
const SEEN: &str = "oidc_logout_seen";
const DONE: &str = "oidc_logout_done";
/// A session at the provider ended.
const ENDED: &str = "oidc_session_ended";
/// How long a code that was given in such a session may still be on its way.
const ON_THE_WAY: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
pub(super) struct Posted {
    logout_token: String,
}

/// Ends what the token names.
pub(super) async fn logout(
    State(identity): State<Identity>,
    caller: Caller,
    Path(connection): Path<String>,
    form: Result<Form<Posted>, FormRejection>,
) -> Response {
    let answer = match form {
        Ok(Form(posted)) => obey(&identity, &caller, &connection, &posted.logout_token).await,
        Err(rejection) => Err(Trouble::Fault(OidcFault::ResponseForm { why: form_fault(&rejection) })),
    };
    let mut response = match answer {
        Ok(()) => StatusCode::OK.into_response(),
        Err(trouble) => refused(&identity, &caller, &trouble),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn form_fault(rejection: &FormRejection) -> &'static str {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => "is longer than 64 KiB",
        _ => "is no form with a `logout_token`",
    }
}

/// Section 2.8: 400 with an error of RFC 6749 for what is refused; 503 where the same token may come again.
fn refused(identity: &Identity, caller: &Caller, trouble: &Trouble) -> Response {
    let ours = matches!(trouble, Trouble::Ours(_) | Trouble::Unreachable { .. } | Trouble::Status { .. });
    if ours {
        tracing::error!(error = %trouble, "a log-out by a provider failed");
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static("5"))];
        let body = Json(json!({"error": "temporarily_unavailable"}));
        return (StatusCode::SERVICE_UNAVAILABLE, retry, body).into_response();
    }
    identity.count_refused(&caller.source(), None, "logout_token_refused");
    tracing::info!(reason = %trouble, "a log-out token is refused");
    let body = json!({"error": "invalid_request", "error_description": crate::audit::told(&trouble.to_string())});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

async fn obey(identity: &Identity, caller: &Caller, id: &str, token: &str) -> Result<(), Trouble> {
    // A connection that is switched off still ends what was begun by it.
    let (connection, settings) = connection(identity, id).await?;
    let peer = Peer::new(identity, &connection, &settings)?;
    let metadata = peer.metadata().await?;
    let expect = ExpectLogout {
        issuer: &peer.rule,
        client_id: &settings.client_id,
        algorithms: &metadata.id_token_algorithms,
        moment: peer.moment(),
    };
    let token = peer.verified(&metadata, |keys| verify(token, keys, &expect)).await?;
    let which = which(&peer, &token)?;
    let used = sha256(&format!("{} {} {}", connection.id, token.issuer, token.jti));
    let (store, now) = (identity.store(), identity.now());
    let first = store.use_once(SEEN, &used, now, token.remember_until).await?;
    if !first && !store.use_once(DONE, &used, now, token.remember_until).await? {
        return Err(OidcFault::ResponseForm { why: "has a log-out token that was used before" }.into());
    }
    if let Some(sid) = &which.session {
        // Before the sessions are looked for: whoever signs in by it at this moment looks afterwards.
        store.use_once(ENDED, &session_digest(&connection.id, sid), now, now.plus(ON_THE_WAY)).await?;
    }
    let mut ended = store.revoke_provider_sessions(&which, now).await?;
    ended.extend(end_unnamed(identity, &connection, &which).await?);
    for session in &ended {
        if let Some(session) = store.browser_session_by_id(session).await? {
            identity.record_ended_by_provider(&session, Some(caller.source()), "backchannel_logout").await?;
        }
    }
    if first {
        store.use_once(DONE, &used, now, token.remember_until).await?;
    }
    Ok(())
}

pub(super) async fn connection(identity: &Identity, id: &str) -> Result<(Connection, Box<OidcSettings>), Trouble> {
    let unknown = || Trouble::Fault(OidcFault::ResponseForm { why: "is for no connection of ours" });
    let id = ConnectionId::new(id).map_err(|_| unknown())?;
    let connection = identity.store().connection(&id).await?.ok_or_else(unknown)?;
    match ConnectionSettings::of(&connection)? {
        ConnectionSettings::Oidc(settings) => Ok((connection, settings)),
        ConnectionSettings::Saml(_) => Err(unknown()),
    }
}

fn session_digest(connection: &ConnectionId, sid: &str) -> Digest {
    sha256(&format!("{connection} {sid}"))
}

/// Whether the session at the provider that somebody has just signed in by has ended meanwhile; then hers here
/// has ended too.
pub(super) async fn overtook(identity: &Identity, standing: &ProviderSessions) -> Result<bool, IdentityError> {
    let Some(sid) = &standing.session else { return Ok(false) };
    let (store, now) = (identity.store(), identity.now());
    // A use that is forgotten at once only looks.
    if store.use_once(ENDED, &session_digest(&standing.connection, sid), now, now).await? {
        return Ok(false);
    }
    for session in store.revoke_provider_sessions(standing, now).await? {
        if let Some(session) = store.browser_session_by_id(&session).await? {
            identity.record_ended_by_provider(&session, None, "backchannel_logout").await?;
        }
    }
    Ok(true)
}

/// Section 2.6: with `sid` that session, without it all of the person's.
fn which(peer: &Peer<'_>, token: &LogoutToken) -> Result<ProviderSessions, OidcFault> {
    // Where people are known by another claim than `sub`, a `sub` tells nothing.
    let by_subject = peer.preset.subject_claim == "sub";
    let subject = token.subject.as_ref().filter(|_| by_subject).map(|sub| peer.subject(&token.issuer, sub));
    if subject.is_none() && token.sid.is_none() {
        return Err(OidcFault::LogoutSubject);
    }
    Ok(ProviderSessions { connection: peer.connection.id.clone(), subject, session: token.sid.clone() })
}

/// Ends those of the person's sessions whose ID token did not name a session at the provider: any of them may
/// be the one that is meant.
async fn end_unnamed(
    identity: &Identity,
    connection: &Connection,
    which: &ProviderSessions,
) -> Result<Vec<SessionId>, IdentityError> {
    let (Some(subject), Some(_)) = (&which.subject, &which.session) else { return Ok(Vec::new()) };
    let (store, now) = (identity.store(), identity.now());
    let Some(link) = store.link(&connection.id, subject).await? else { return Ok(Vec::new()) };
    let mut ended = Vec::new();
    for session in store.browser_sessions(&connection.tenant, Some(&link.user), now).await? {
        let meant = session.provider.as_ref().is_some_and(|provider| {
            provider.connection == connection.id && provider.subject == *subject && provider.session.is_none()
        });
        if meant {
            store.revoke(&RevocationSubject::Session(session.id.clone()), now).await?;
            ended.push(session.id);
        }
    }
    Ok(ended)
}
