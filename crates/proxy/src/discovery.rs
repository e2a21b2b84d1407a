//! Protected resource metadata (RFC 9728): where a client learns which authorization server to ask.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use sallyport_model::UpstreamName;
use sallyport_oauth::dpop;
use serde_json::json;

use crate::{
    gate::{Gate, not_found},
    respond,
    served::Served,
};

/// `/.well-known/oauth-protected-resource/mcp/{name}`
pub(crate) async fn metadata(State(gate): State<Gate>, Path(name): Path<String>) -> Response {
    let served = UpstreamName::new(name).ok().and_then(|name| gate.served(&name));
    served.map_or_else(not_found, |served| document(&gate, &served))
}

/// The root form names a resource only where there is just one; else it would be a guess.
pub(crate) async fn root(State(gate): State<Gate>) -> Response {
    let mut all = gate.all_served();
    match (all.next(), all.next()) {
        (Some(only), None) => document(&gate, only),
        _ => not_found(),
    }
}

fn document(gate: &Gate, served: &Served) -> Response {
    let scopes: Vec<String> = served.scopes().into_iter().map(|meaning| meaning.scope.to_string()).collect();
    let document = json!({
        "resource": served.resource(),
        "resource_name": served.offered().title,
        "authorization_servers": [gate.config().issuer],
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": dpop::ALGORITHMS,
    });
    let mut response = respond::json_bytes(StatusCode::OK, document.to_string().into_bytes());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response
}
