//! `/scim/v2`: a tenant's provisioning system writes its people and groups here (RFC 7643, RFC 7644).
//!
//! The protocol is the `scim` crate's. Here a bearer token becomes a tenant, a resource a person, and who is
//! deactivated or deleted has lost her access when the answer leaves.

mod directory;
mod person;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use sallyport_scim::{Service, handle};
use sallyport_storage::ScimClient;
use sallyport_web::Caller;

use crate::{Identity, IdentityError, session::sha256};
use directory::TenantDirectory;
pub(crate) use directory::end_twin;

/// What every path begins with.
const BASE: &str = "/scim/v2";
/// RFC 7644 section 3.1.
const MEDIA_TYPE: &str = "application/scim+json";
/// The largest body, which bulk requests need.
const BODY_LIMIT: usize = 1024 * 1024 + 64 * 1024;

pub(crate) fn router() -> Router<Identity> {
    Router::new().route(BASE, any(serve)).route("/scim/v2/{*path}", any(serve)).layer(DefaultBodyLimit::max(BODY_LIMIT))
}

async fn serve(State(identity): State<Identity>, caller: Caller, method: Method, uri: Uri, body: Bytes) -> Response {
    let client = match client(&identity, &caller.headers).await {
        Ok(Some(client)) => client,
        Ok(None) => {
            identity.count_refused(&caller.source(), None, "scim_token_unknown");
            return refused(StatusCode::UNAUTHORIZED, "the bearer token is unknown or has ended");
        }
        Err(error) => {
            tracing::error!(%error, "a SCIM request could not be authenticated");
            return refused(StatusCode::SERVICE_UNAVAILABLE, "the server cannot reach its storage");
        }
    };
    let service = Service::new(format!("{}{BASE}", identity.shell().origin()));
    let directory = TenantDirectory { identity: &identity, client: &client, source: caller.source() };
    let request = read(&method, uri.path(), uri.query().unwrap_or_default(), &caller.headers, body);
    written(handle(&service, &directory, &request).await)
}

/// Whose token this is; RFC 6750 section 2.1 and nowhere else.
async fn client(identity: &Identity, headers: &HeaderMap) -> Result<Option<ScimClient>, IdentityError> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Ok(None) };
    let token = line.to_str().ok().and_then(|line| line.split_once(' '));
    let Some(("Bearer" | "bearer", token)) = token else { return Ok(None) };
    Ok(identity.store().scim_client(&sha256(token.trim()), identity.now()).await?)
}

fn read(method: &Method, path: &str, query: &str, headers: &HeaderMap, body: Bytes) -> sallyport_scim::Request {
    let below = path.strip_prefix(BASE).unwrap_or_default();
    let segments = below.split('/').filter(|segment| !segment.is_empty());
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    sallyport_scim::Request {
        method: sallyport_scim::Method::from_name(method.as_str()),
        path: segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        if_match: text(header::IF_MATCH),
        if_none_match: text(header::IF_NONE_MATCH),
        body,
    }
}

fn written(response: sallyport_scim::Response) -> Response {
    if let Some(fault) = &response.fault {
        tracing::info!(code = fault.code(), %fault, "a SCIM request was refused");
    }
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut out = match response.body {
        Some(body) => (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response(),
        None => status.into_response(),
    };
    for (name, value) in [(header::ETAG, response.etag), (header::LOCATION, response.location)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            out.headers_mut().insert(name, value);
        }
    }
    if let Some(allow) = response.allow {
        out.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    out.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out
}

/// RFC 7644 section 3.12.
fn refused(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.as_u16().to_string(),
        "detail": detail,
    });
    let mut out = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        out.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"scim\""));
    }
    out
}
