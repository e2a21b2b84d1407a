//! `POST /oauth/par`: pushed authorization requests (RFC 9126).

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use sallyport_model::EventKind;
use sallyport_oauth::{ErrorCode, metadata};
use sallyport_storage::{Parked, ParkedKind};
use sallyport_web::Caller;
use serde::{Deserialize, Serialize};

use super::request;
use crate::{
    bearer,
    client_auth::{self, Authenticated},
    error::{Ended, Refusal, no_store},
    parameters::Parameters,
    possession::{self, Held},
    record::Known,
    server::Server,
    token::form,
};

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

#[derive(Serialize, Deserialize)]
struct Pushed {
    client: String,
    parameters: Parameters,
}

#[derive(Serialize)]
struct PushedResponse {
    request_uri: String,
    expires_in: u64,
}

/// Checks a request whole and keeps it for one use by the same client.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let mut known = Known::default();
    let response = match push(&server, &caller, &body, &mut known).await {
        Ok(response) => no_store((StatusCode::CREATED, Json(response)).into_response()),
        Err(ended) => server.end(EventKind::AuthorizationRefused, &caller, &known, ended).await,
    };
    server.offer_nonce(response)
}

async fn push(server: &Server, caller: &Caller, body: &[u8], known: &mut Known) -> Result<PushedResponse, Ended> {
    server.limits.authorization(caller)?;
    let parameters = form(&caller.headers, body)?;
    if parameters.get("request_uri").is_some() {
        let wrong = "request_uri must not be pushed";
        return Err(Refusal::new(ErrorCode::InvalidRequest, wrong, "request_uri_pushed").into());
    }
    // A client known by its document may come here first, before anything was fetched.
    if let Some(id) = parameters.get("client_id") {
        server.client_now(id, caller).await?;
    }
    let shown = possession::shown(server, caller, metadata::PAR, known)?;
    let Authenticated { client, certificate } = client_auth::authenticate(server, caller, &parameters, known).await?;
    let held = shown.and(certificate).spend(server).await?;
    let parameters = parameters.with("client_id", client.id.as_str());
    let parameters = bound(parameters, &held)?;
    let target = request::target(server, caller, &parameters, known).await?;
    request::check(server, &target, &parameters)?;
    let (handle, digest) = bearer::mint(server.rng.as_ref());
    let lifetime = server.config.lifetimes.pushed_request;
    let pushed = Pushed { client: client.id.to_string(), parameters: parameters.without_credentials() };
    let parked = Parked {
        handle: digest,
        kind: ParkedKind::Pushed,
        body: serde_json::to_string(&pushed).map_err(|_| unusable())?,
        expires_at: server.now().plus(lifetime),
    };
    server.store.park(&parked).await?;
    Ok(PushedResponse { request_uri: format!("{PREFIX}{handle}"), expires_in: lifetime.as_secs() })
}

/// A proof in the push says which key must redeem the code, as `dpop_jkt` does (RFC 9449 section 10.1).
fn bound(parameters: Parameters, held: &Held) -> Result<Parameters, Refusal> {
    let Some(jkt) = held.jkt() else { return Ok(parameters) };
    if parameters.get("dpop_jkt").is_some_and(|named| !held.is(named)) {
        let differs = "dpop_jkt is not the thumbprint of the key of the DPoP proof";
        return Err(Refusal::new(ErrorCode::InvalidDpopProof, differs, "dpop_jkt_differs"));
    }
    Ok(parameters.with("dpop_jkt", jkt))
}

/// The parameters behind a `request_uri` of ours, once, for the client that pushed them.
pub(crate) async fn take(server: &Server, request_uri: &str, client: Option<&str>) -> Result<Parameters, Ended> {
    let digest = request_uri.strip_prefix(PREFIX).and_then(bearer::presented).ok_or(unusable())?;
    let now = server.now();
    let read = |parked: Parked| serde_json::from_str::<Pushed>(&parked.body).map_err(|_| unusable());
    // Looked at first, so that another client's guess does not take it away.
    let pushed = read(server.store.parked(&digest, ParkedKind::Pushed, now).await?.ok_or(unusable())?)?;
    if client != Some(pushed.client.as_str()) {
        return Err(unusable().into());
    }
    Ok(read(server.store.unpark(&digest, ParkedKind::Pushed, now).await?.ok_or(unusable())?)?.parameters)
}

const fn unusable() -> Refusal {
    let what = "request_uri is none that this client pushed here, has ended or was used";
    Refusal::new(ErrorCode::InvalidRequestUri, what, "request_uri_unusable")
}
