//! `GET /signin/oidc/{connection}/frontchannel-logout`: the provider's page loads this in a frame (OpenID Connect
//! Front-Channel Logout 1.0).
//!
//! Anybody can make a browser load it, so it ends at most the session that this very browser has, and only with
//! that session's `sid`, where it has one. Browsers that keep `SameSite=Lax` cookies out of foreign frames send no
//! session: then nothing ends, and back-channel log-out is what counts.

use axum::{
    extract::{Path, RawQuery, State},
    response::{Html, IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sallyport_oauth::oidc::logout::front_channel;
use sallyport_storage::RevocationSubject;
use sallyport_web::Caller;
use url::Url;

use super::{peer::Peer, trouble::Trouble};
use crate::Identity;

/// Ends this browser's session, if it is meant.
pub(super) async fn logout(
    State(identity): State<Identity>,
    caller: Caller,
    Path(connection): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match end(&identity, &caller, &connection, &query.unwrap_or_default()).await {
        Ok((origin, cookie)) => page(StatusCode::OK, "Signed out.", &origin, cookie),
        Err(Trouble::Ours(error)) => {
            tracing::error!(%error, "a front-channel log-out failed");
            page(StatusCode::SERVICE_UNAVAILABLE, "Not signed out. Try again in a moment.", "'none'", None)
        }
        Err(trouble) => {
            tracing::info!(reason = %trouble, "a front-channel log-out is refused");
            page(StatusCode::BAD_REQUEST, "Not signed out: the request makes no sense.", "'none'", None)
        }
    }
}

async fn end(
    identity: &Identity,
    caller: &Caller,
    id: &str,
    query: &str,
) -> Result<(String, Option<HeaderValue>), Trouble> {
    let (connection, settings) = super::logout::connection(identity, id).await?;
    let peer = Peer::new(identity, &connection, &settings)?;
    let asked = front_channel(query, &peer.rule)?;
    let origin = origin(&settings.issuer);
    let Some(me) = identity.current(&caller.headers).await? else { return Ok((origin, None)) };
    let Some(provider) = &me.session.provider else { return Ok((origin, None)) };
    if provider.connection != connection.id || asked.sid != provider.session {
        return Ok((origin, None));
    }
    let (store, now) = (identity.store(), identity.now());
    match &provider.session {
        // Only the provider and this browser's session know the `sid`: all that was given in the session ends too.
        Some(_) => drop(store.revoke(&RevocationSubject::Session(me.session.id.clone()), now).await?),
        None => drop(store.end_browser_session(&me.session.id, now).await?),
    }
    identity.record_ended_by_provider(&me.session, Some(caller.source()), "frontchannel_logout").await?;
    Ok((origin, Some(identity.forget_session())))
}

/// The issuer's origin, whose pages may frame ours.
fn origin(issuer: &str) -> String {
    let origin = Url::parse(issuer).map(|url| url.origin());
    origin.ok().filter(url::Origin::is_tuple).map_or_else(|| "'none'".to_owned(), |origin| origin.ascii_serialization())
}

fn page(status: StatusCode, text: &str, framed_by: &str, cookie: Option<HeaderValue>) -> Response {
    let body = format!("<!doctype html><meta charset=\"utf-8\"><title>Sign-out</title><p>{text}</p>");
    let mut response = (status, Html(body)).into_response();
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&format!("default-src 'none'; frame-ancestors {framed_by}"));
    let closed = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.unwrap_or(closed));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
