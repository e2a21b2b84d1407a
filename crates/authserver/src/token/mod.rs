//! `POST /oauth/token`: codes, refresh tokens, agents' credentials and others' assertions become access tokens.
//!
//! There is no password grant and no implicit one. Every answer is `no-store`; every token and every
//! refusal of a known client is in the audit log before the answer leaves.

mod client_credentials;
mod code;
mod exchange;
mod id_jag;
mod issue;
mod jwt_bearer;
mod refresh;
mod workload;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use sallyport_model::EventKind;
use sallyport_oauth::{
    ErrorCode, OAuthError,
    exchange::{JWT_BEARER, TOKEN_EXCHANGE},
    metadata,
};
use sallyport_storage::ClientRecord;
use sallyport_web::Caller;

use crate::{
    client_auth::{self, Authenticated},
    error::{Ended, Refusal, no_store},
    parameters::Parameters,
    possession::{self, Held, Shown},
    record::Known,
    server::Server,
};
use issue::TokenResponse;
pub(crate) use issue::token_type;

/// Every grant type that is answered here.
const GRANT_TYPES: [&str; 5] =
    ["authorization_code", "refresh_token", "client_credentials", JWT_BEARER, TOKEN_EXCHANGE];

/// A token request whose client is proved.
struct Request<'a> {
    server: &'a Server,
    caller: &'a Caller,
    client: &'a ClientRecord,
    parameters: &'a Parameters,
    shown: Shown,
}

impl Request<'_> {
    /// Where it comes from.
    fn from(&self) -> Option<IpAddr> {
        Some(self.caller.address.0)
    }

    /// The keys that it proves. Asked for once: the proof is spent by it.
    async fn hold(&mut self) -> Result<Held, Ended> {
        std::mem::take(&mut self.shown).spend(self.server).await
    }
}

/// Answers a token request.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let mut known = Known::default();
    let response = match answer(&server, &caller, &body, &mut known).await {
        Ok(response) => no_store(Json(response).into_response()),
        Err(ended) => server.end(EventKind::TokenRefused, &caller, &known, ended).await,
    };
    server.offer_nonce(response)
}

async fn answer(server: &Server, caller: &Caller, body: &[u8], known: &mut Known) -> Result<TokenResponse, Ended> {
    known.started = Some(server.now());
    let parameters = form(&caller.headers, body)?;
    let grant_type = parameters.require("grant_type", "grant_type is missing")?;
    let Some(grant_type) = GRANT_TYPES.into_iter().find(|known| *known == grant_type) else {
        known.claim("client_id", parameters.get("client_id"));
        known.claim("grant_type", Some(grant_type));
        return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, "this grant type is not supported").into());
    };
    known.fact("grant_type", grant_type);
    let shown = possession::shown(server, caller, metadata::TOKEN, known)?;
    if grant_type == JWT_BEARER {
        return jwt_bearer::redeem(server, caller, &parameters, shown, known).await;
    }
    let Authenticated { client, certificate } = client_auth::authenticate(server, caller, &parameters, known).await?;
    registered_for(&client, grant_type)?;
    let shown = shown.and(certificate);
    let request = Request { server, caller, client: &client, parameters: &parameters, shown };
    match grant_type {
        "authorization_code" => code::redeem(request, known).await,
        "refresh_token" => refresh::refresh(request, known).await,
        TOKEN_EXCHANGE => exchange::exchange(request, known).await,
        _ => client_credentials::issue(request, known).await,
    }
}

fn registered_for(client: &ClientRecord, grant_type: &str) -> Result<(), Refusal> {
    if client.grant_types.iter().any(|allowed| allowed == grant_type) {
        return Ok(());
    }
    let refused = "the client is not registered for this grant type";
    Err(Refusal::new(ErrorCode::UnauthorizedClient, refused, "client_grant_type"))
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
