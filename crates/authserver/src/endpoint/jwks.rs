//! `GET /oauth/jwks`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};

use crate::server::Server;

/// The public signing keys (RFC 7517), those too that do not sign yet or any more.
pub(crate) async fn get(State(server): State<Arc<Server>>) -> Response {
    let mut response = Json(server.keys.jwks()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
