//! The engine behind a socket, with a directory in memory: for trying a tester or a client against it.
//!
//! `cargo run -p sallyport-scim --example scim_server -- 127.0.0.1:8099`, then
//! `scim2 --url http://127.0.0.1:8099/scim/v2 -h 'Authorization: Bearer x' test`.
//! It authenticates nobody and forgets everything.

use axum::{
    body::{Body, to_bytes},
    extract::Request as HttpRequest,
    http::{HeaderName, StatusCode, header},
    response::Response as HttpResponse,
};
use sallyport_scim::{Method, Request, Service, handle};

#[path = "memory.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "the tests use more of it")]
mod memory;

const BASE: &str = "/scim/v2";

async fn answer(service: Service, directory: memory::Memory, request: HttpRequest) -> HttpResponse {
    let (parts, body) = request.into_parts();
    let Some(path) = parts.uri.path().strip_prefix(BASE) else { return plain(StatusCode::NOT_FOUND) };
    let Ok(body) = to_bytes(body, service.limits.payload + 1).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
    };
    let text = |name: HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let request = Request {
        method: Method::from_name(parts.method.as_str()),
        path: path.trim_start_matches('/').split('/').filter(|_| path.len() > 1).map(decoded).collect(),
        query: parts.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty()).map(pair).collect(),
        if_match: text(header::IF_MATCH),
        if_none_match: text(header::IF_NONE_MATCH),
        body,
    };
    let response = handle(&service, &directory, &request).await;
    let fault = response.fault.as_ref().map(|fault| format!(" {}: {fault}", fault.code())).unwrap_or_default();
    eprintln!("{} {path} {}{fault}", parts.method, response.status);
    let mut out = HttpResponse::builder().status(response.status);
    let headers = [
        (header::ETAG, response.etag),
        (header::LOCATION, response.location),
        (header::ALLOW, response.allow.map(str::to_owned)),
        (header::CONTENT_TYPE, response.body.as_ref().map(|_| "application/scim+json".to_owned())),
    ];
    for (name, value) in headers {
        if let Some(value) = value {
            out = out.header(name, value);
        }
    }
    let body = response.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    out.body(body).unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR))
}

fn plain(status: StatusCode) -> HttpResponse {
    let mut response = HttpResponse::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8099".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let service = Service::new(format!("http://{}{BASE}", listener.local_addr()?));
    println!("{}", service.base_url);
    let directory = memory::Memory::new("example");
    let router =
        axum::Router::new().fallback(move |request: HttpRequest| answer(service.clone(), directory.clone(), request));
    axum::serve(listener, router).await
}
