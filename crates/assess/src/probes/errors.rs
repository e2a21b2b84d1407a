//! What is said to requests that make no sense: unknown versions, broken messages.
//!
//! Everything sent is harmless: it is refused or ignored by a server that works. Run once as a stranger, and
//! again with the person's token, since a refusal of strangers hides what is behind it.

mod leaks;

use http::HeaderName;
use serde_json::json;
use url::Url;

use super::discovery::{opening, shown};
use crate::{
    bench::Bench,
    wire::{Ask, ConnectOptions, Credential, EraChoice, Heard, McpClient},
};

/// A version that never was.
const UNKNOWN_VERSION: &str = "1999-01-01";

/// Runs the probes of this file that need no token.
pub(crate) async fn run(bench: &Bench) {
    // A target that did not answer a stranger in time would not answer these either.
    let (Some(url), Some(_)) = (bench.url(), bench.seen.discovery.get()) else { return };
    version(bench, url, None).await;
    broken(bench, url, None).await;
}

/// Runs them again with the person's token.
pub(crate) async fn with_person(bench: &Bench) {
    let (Some(url), Some(grant)) = (bench.url(), bench.seen.person.get()) else { return };
    let token = grant.access_token.expose();
    version(bench, url, Some(token)).await;
    broken(bench, url, Some(token)).await;
}

fn with_token(ask: Ask, token: Option<&str>) -> Ask {
    match token {
        Some(token) => ask.bearer(token),
        None => ask,
    }
}

/// `version-checked`: in a session of the legacy era by the header, in the modern era by header and `_meta`.
async fn version(bench: &Bench, url: &Url, token: Option<&str>) {
    const CHECK: &str = "version-checked";
    if opening::is_legacy_sse(bench) {
        return bench.findings.not_applicable(CHECK, "HTTP+SSE of 2024-11-05 has no version header");
    }
    let mut answers = Vec::new();
    if let Some(session) = session(bench, CHECK, token).await {
        let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
        let ask = session.dress(Ask::post_mcp(url.clone(), &list)).header("mcp-protocol-version", UNKNOWN_VERSION);
        answers.extend(bench.wire.send(CHECK, ask).await.ok());
        session.close().await;
    }
    let discover = with_token(opening::modern(url, "server/discover", opening::MODERN), token);
    if bench.wire.send(CHECK, discover).await.is_ok_and(|heard| opening::is_served(&heard)) {
        let unknown = with_token(opening::modern(url, "tools/list", UNKNOWN_VERSION), token);
        answers.extend(bench.wire.send(CHECK, unknown).await.ok());
    }
    let exchanges: Vec<u32> = answers.iter().map(|heard| heard.exchange).collect();
    if answers.is_empty() {
        return bench.findings.unseen(CHECK, "no session could be opened without a token that is accepted", &exchanges);
    }
    let wrong: Vec<String> = answers
        .iter()
        .filter(|heard| heard.status.as_u16() != 400)
        .map(|heard| heard.status.as_u16().to_string())
        .collect();
    match wrong.is_empty() {
        true => bench.findings.pass(CHECK, format!("{UNKNOWN_VERSION} is refused with 400"), &exchanges),
        false => {
            bench.findings.fail(CHECK, format!("{UNKNOWN_VERSION} is answered with {}", wrong.join(", ")), &exchanges)
        }
    }
}

/// `errors-clean`.
async fn broken(bench: &Bench, url: &Url, token: Option<&str>) {
    const CHECK: &str = "errors-clean";
    let mut exchanges = Vec::new();
    let mut asks: Vec<Ask> = messages(url).into_iter().map(|ask| with_token(ask, token)).collect();
    let session = if opening::is_legacy_sse(bench) { None } else { session(bench, CHECK, token).await };
    if let Some(session) = &session {
        asks.extend(calls(url).into_iter().map(|ask| session.dress(ask)));
    }
    for ask in asks {
        let Ok(heard) = bench.wire.send(CHECK, ask).await else { continue };
        exchanges.push(heard.exchange);
        let leak = is_error(&heard).then(|| leaks::find(&heard.text())).flatten();
        if let Some(leak) = leak {
            let observed = format!("an error shows {}: {}", leak.what, shown(&leak.excerpt));
            bench.findings.fail(CHECK, observed, &[heard.exchange]);
        }
    }
    if let Some(session) = session {
        session.close().await;
    }
    match exchanges.len() {
        0 => bench.findings.unseen(CHECK, "no answer to any broken message", &[]),
        count => bench.findings.pass(
            CHECK,
            format!("{count} errors show neither a stack trace nor a path nor SQL"),
            &exchanges,
        ),
    }
}

/// A session of the legacy era; `None` where the server does not begin one.
async fn session(bench: &Bench, check: &'static str, token: Option<&str>) -> Option<McpClient> {
    let credential = token.map_or(Credential::None, Credential::Bearer);
    let options = ConnectOptions { era: EraChoice::Legacy, ..ConnectOptions::default() };
    McpClient::connect(bench, check, credential, options).await.ok()
}

/// Whether an answer is an error: what a tool or list says when all is well may speak of files.
fn is_error(heard: &Heard) -> bool {
    let answer = heard.rpc().unwrap_or_default();
    let failed = answer.pointer("/result/isError").and_then(serde_json::Value::as_bool);
    answer.get("result").is_none() || failed == Some(true)
}

/// Messages that are none.
fn messages(url: &Url) -> Vec<Ask> {
    let post = |body: &'static str| Ask::post_mcp(url.clone(), &json!({})).body(body);
    vec![
        post(r#"{"jsonrpc": "2.0", "id": 1, "method": "#),
        post(r#"{"jsonrpc": "2.0", "id": {"a": []}, "method": 42, "params": "x"}"#),
        post("[]"),
        post("\u{0}\u{1}"),
        Ask::post_mcp(url.clone(), &json!({})).without(&HeaderName::from_static("content-type")).body("id=1"),
    ]
}

/// Requests of a session that make no sense.
fn calls(url: &Url) -> Vec<Ask> {
    let request = |method: &str, params: serde_json::Value| {
        Ask::post_mcp(url.clone(), &json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}))
    };
    vec![
        request("sallyport/no-such-method", json!({})),
        request("tools/call", json!({"name": "no such tool '\"", "arguments": {}})),
        request("tools/call", json!({"name": ["x"], "arguments": 7})),
        request("resources/read", json!({"uri": "nothing://no/such'--"})),
        request("tools/list", json!({"cursor": "' OR 1=1 --"})),
    ]
}
