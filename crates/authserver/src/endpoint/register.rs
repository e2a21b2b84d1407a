//! `POST /oauth/register` (RFC 7591).

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use sallyport_model::{ClientId, EventKind};
use sallyport_oauth::{
    ErrorCode,
    registration::{ClientAuthentication, ClientMetadata, KeyLocation, RegistrationResponse},
    strict,
};
use sallyport_storage::{ClientAuthMethod, ClientSource};
use sallyport_web::Caller;

use crate::{
    bearer, clients,
    error::{Ended, Refusal, no_store},
    record::Known,
    server::Server,
};

/// Registers a client that nobody vouches for. It gets the code flow and nothing else, and every person
/// is asked for consent.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    match register(&server, &caller, &body).await {
        Ok(response) => no_store(response),
        Err(ended) => server.end(EventKind::AuthorizationRefused, &caller, &Known::default(), ended).await,
    }
}

async fn register(server: &Server, caller: &Caller, body: &[u8]) -> Result<Response, Ended> {
    if !server.config.dynamic_registration {
        let off = "registration is switched off here: use a client metadata document or ask the operator";
        return Err(Refusal::new(ErrorCode::AccessDenied, off, "registration_off").into());
    }
    server.limits.registration(caller)?;
    let not_json = "the body must be one JSON object with unique keys";
    let document = strict::object(body)
        .map_err(|_| Refusal::new(ErrorCode::InvalidClientMetadata, not_json, "registration_malformed"))?;
    let metadata = ClientMetadata::check(&document)?;
    let full = "no more clients can register here: ask the operator";
    if server.store.dynamic_clients().await? >= server.config.dynamic_clients_limit {
        return Err(Refusal::new(ErrorCode::AccessDenied, full, "registration_full").into());
    }
    let authentication = metadata.authentication.clone();
    let application_type = metadata.application_type;
    let now = server.now();
    let id = ClientId::mint(server.rng.as_ref());
    let mut client = clients::record_of(id, ClientSource::Dynamic, metadata, now);
    let mut secret = None;
    let method = match authentication {
        ClientAuthentication::None => "none",
        ClientAuthentication::Secret(method) => {
            let (value, sha256) = bearer::mint(server.rng.as_ref());
            secret = Some(value);
            client.auth = ClientAuthMethod::Secret { sha256 };
            method
        }
        ClientAuthentication::PrivateKeyJwt(KeyLocation::Inline(jwks)) => {
            client.auth = ClientAuthMethod::PrivateKeyJwt { jwks };
            "private_key_jwt"
        }
        ClientAuthentication::PrivateKeyJwt(KeyLocation::At(_)) => {
            let inline = "put the keys into jwks: a jwks_uri is not fetched for registered clients";
            return Err(Refusal::new(ErrorCode::InvalidClientMetadata, inline, "registration_jwks_uri").into());
        }
    };
    server.store.add_client(&client).await?;
    server.record_registration(&client, caller).await?;
    let response = RegistrationResponse {
        client_id: client.id.as_str(),
        client_id_issued_at: now.as_secs(),
        client_secret: secret.as_deref(),
        client_secret_expires_at: secret.as_ref().map(|_| 0),
        client_name: &client.name,
        redirect_uris: &client.redirect_uris,
        grant_types: &client.grant_types,
        response_types: ["code"],
        token_endpoint_auth_method: method,
        application_type,
        client_uri: client.uri.as_deref(),
    };
    Ok((StatusCode::CREATED, Json(response)).into_response())
}
