//! Which pages may read the gate's answers (Fetch standard, CORS). Never with credentials: a token is
//! put into a header by the page's own code, and cookies mean nothing here.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::{config::GateConfig, respond};

/// The request's `Origin`, if its pages may call the gate.
pub(crate) fn origin(config: &GateConfig, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origin.to_str().is_ok_and(|text| config.allows_origin(text)).then(|| origin.clone())
}

/// Answers a preflight.
pub(crate) fn preflight(origin: Option<HeaderValue>) -> Response {
    if origin.is_none() {
        return respond::empty(StatusCode::FORBIDDEN);
    }
    let mut response = dress(respond::empty(StatusCode::NO_CONTENT), origin);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "*, authorization, content-type, accept, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id, dpop",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets a permitted page read the response.
pub(crate) fn dress(mut response: Response, origin: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("mcp-session-id, www-authenticate, mcp-protocol-version, dpop-nonce"),
        );
    }
    response
}
