//! `GET /signin/oidc/{connection}/jwks`: our public key at a provider that we prove ourselves to by
//! `private_key_jwt`. The address is what is registered there.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use super::{peer::public_keys, trouble::Trouble};
use crate::Identity;

/// The key set; 404 where the connection has no private key.
pub(super) async fn show(State(identity): State<Identity>, Path(connection): Path<String>) -> Response {
    let keys = match super::logout::connection(&identity, &connection).await {
        Ok((_, settings)) => public_keys(&settings).map_err(Trouble::from),
        Err(trouble) => Err(trouble),
    };
    match keys {
        Ok(Some(keys)) => {
            let kept = [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))];
            (kept, Json(keys)).into_response()
        }
        Err(Trouble::Ours(error)) => {
            tracing::error!(%error, "a connection's keys cannot be shown");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Ok(None) | Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
