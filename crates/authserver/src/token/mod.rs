//! `POST /oauth/token`: codes, refresh tokens and agents' credentials become access tokens.
//!
//! There is no password grant and no implicit one. Every answer is `no-store`; every token and every
//! refusal of a known client is in the audit log before the answer leaves.

mod client_credentials;
mod code;
mod issue;
mod refresh;

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use sallyport_model::EventKind;
use sallyport_oauth::{ErrorCode, OAuthError};
use sallyport_web::Caller;

use crate::{
    client_auth,
    error::{Ended, Refusal, no_store},
    parameters::Parameters,
    record::Known,
    server::Server,
};
use issue::TokenResponse;

/// Answers a token request.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let mut known = Known::default();
    match answer(&server, &caller, &body, &mut known).await {
        Ok(response) => no_store(Json(response).into_response()),
        Err(ended) => server.end(EventKind::TokenRefused, &caller, &known, ended).await,
    }
}

async fn answer(server: &Server, caller: &Caller, body: &[u8], known: &mut Known) -> Result<TokenResponse, Ended> {
    let parameters = form(&caller.headers, body)?;
    let grant_type = parameters.require("grant_type", "grant_type is missing")?;
    let known_type = match grant_type {
        "authorization_code" => "authorization_code",
        "refresh_token" => "refresh_token",
        "client_credentials" => "client_credentials",
        _ => {
            known.claim("client_id", parameters.get("client_id"));
            known.claim("grant_type", Some(grant_type));
            return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, "this grant type is not supported").into());
        }
    };
    known.fact("grant_type", known_type);
    let client = client_auth::authenticate(server, caller, &parameters, known).await?;
    if !client.grant_types.iter().any(|allowed| allowed == known_type) {
        let refused = "the client is not registered for this grant type";
        return Err(Refusal::new(ErrorCode::UnauthorizedClient, refused, "client_grant_type").into());
    }
    match known_type {
        "authorization_code" => code::redeem(server, caller, &client, &parameters, known).await,
        "refresh_token" => refresh::refresh(server, caller, &client, &parameters, known).await,
        _ => client_credentials::issue(server, caller, &client, &parameters, known).await,
    }
}

/// The form of a request; anything else is refused, JSON above all, which other sites may not send.
pub(crate) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Parameters, OAuthError> {
    if !is_form(headers) {
        let wrong = "the body must be application/x-www-form-urlencoded";
        return Err(OAuthError::new(ErrorCode::InvalidRequest, wrong));
    }
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| OAuthError::new(ErrorCode::InvalidRequest, "the body is not UTF-8"))?;
    Parameters::parse(text).map_err(|unreadable| unreadable.error)
}

/// Whether the content type is that of a form, with or without parameters.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
