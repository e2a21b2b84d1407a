//! `GET /.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use sallyport_oauth::metadata::{AgentOffers, AuthorizationServerMetadata, Offers};

use crate::server::Server;

/// Where the document is, for an issuer with this path: path-inserted by RFC 8414 section 3.1 and
/// section 5, appended by OpenID Connect Discovery section 4.1.
pub(crate) fn paths(issuer_path: &str) -> Vec<String> {
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{issuer_path}"),
        format!("/.well-known/openid-configuration{issuer_path}"),
    ];
    if !issuer_path.is_empty() {
        paths.push(format!("{issuer_path}/.well-known/openid-configuration"));
    }
    paths
}

/// The metadata of RFC 8414 and OpenID Connect Discovery, one document for both.
pub(crate) async fn get(State(server): State<Arc<Server>>) -> Response {
    let offers = Offers {
        dynamic_registration: server.config.dynamic_registration,
        client_documents: server.config.client_documents,
    };
    let agents = AgentOffers {
        id_jag: true,
        workloads: true,
        token_exchange: true,
        certificates: server.config.client_certificates.then(|| server.shell.origin()),
    };
    let document = AuthorizationServerMetadata::new(server.issuer(), server.shell.origin(), offers).for_agents(&agents);
    let mut response = Json(document).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
