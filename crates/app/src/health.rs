//! The private listener: whether this node lives, whether it serves, and figures.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use sallyport_ledger::Log;
use sallyport_proxy::Gate;
use serde_json::json;

#[derive(Clone)]
struct Parts {
    gate: Gate,
    log: Log,
}

/// `GET /healthz`, `/readyz`, `/metrics`. Only a loopback or empty `Host` gets an answer.
pub fn router(gate: Gate, log: Log) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(axum::middleware::from_fn(own_host))
        .with_state(Parts { gate, log })
}

/// A page of another site whose name was rebound to this machine reads nothing here.
async fn own_host(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let ours =
        name == "localhost" || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if !ours || request.headers().contains_key(header::ORIGIN) {
        return StatusCode::FORBIDDEN.into_response();
    }
    next.run(request).await
}

async fn ready(State(parts): State<Parts>) -> Response {
    let health = parts.gate.health();
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": health.ready, "faults": health.faults });
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// OpenMetrics text.
async fn metrics(State(parts): State<Parts>) -> Response {
    let health = parts.gate.health();
    let text = format!(
        "# TYPE sallyport_ready gauge\nsallyport_ready {}\n\
         # TYPE sallyport_audit_log_entries gauge\nsallyport_audit_log_entries {}\n\
         # TYPE sallyport_build info\nsallyport_build_info{{version=\"{}\"}} 1\n# EOF\n",
        u8::from(health.ready),
        *parts.log.published().borrow(),
        env!("CARGO_PKG_VERSION"),
    );
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
