//! The first message of a session, written out: for probes that bend one thing in it.

use sallyport_mcp::meta;
use serde_json::{Value, json};
use url::Url;

use crate::{
    bench::Bench,
    wire::{Ask, Heard},
};

/// The version of the handshake that these messages offer.
pub(crate) const LEGACY: &str = "2025-11-25";
/// The version without one.
pub(crate) const MODERN: &str = "2026-07-28";

/// `initialize`.
pub(crate) fn initialize(url: &Url) -> Ask {
    Ask::post_mcp(
        url.clone(),
        &json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": client_info(),
        }}),
    )
    .plain()
}

/// A request of the modern era that claims `version`.
pub(crate) fn modern(url: &Url, method: &str, version: &str) -> Ask {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {
        meta::META: {
            meta::PROTOCOL_VERSION: version,
            meta::CLIENT_CAPABILITIES: {},
            meta::CLIENT_INFO: client_info(),
        },
    }});
    Ask::post_mcp(url.clone(), &body).header("mcp-protocol-version", version).header("mcp-method", method).plain()
}

fn client_info() -> Value {
    json!({"name": "mcp-client", "version": "1.0.0"})
}

/// How the target of `bench` is opened: by a GET where it speaks HTTP+SSE, by `server/discover` where it knows
/// the modern era alone, else by `initialize`.
pub(crate) fn of(bench: &Bench, url: &Url) -> Ask {
    if is_legacy_sse(bench) {
        return Ask::get(url.clone()).header("accept", "text/event-stream");
    }
    let versions = bench.seen.versions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let modern_alone = versions.len() == 1 && versions.contains(MODERN);
    if modern_alone { modern(url, "server/discover", MODERN) } else { initialize(url) }
}

/// Whether the target speaks HTTP+SSE of 2024-11-05.
pub(crate) fn is_legacy_sse(bench: &Bench) -> bool {
    bench.seen.transport.get() == Some(&"sse")
}

/// Whether `heard` serves: a JSON-RPC result, or a stream of events where one was asked for by GET.
pub(crate) fn is_served(heard: &Heard) -> bool {
    let events = heard.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
    let endpoint = events && heard.text().contains("event: endpoint");
    heard.status.is_success() && (endpoint || heard.rpc().is_some_and(|message| message.get("result").is_some()))
}
