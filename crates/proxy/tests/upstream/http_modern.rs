//! Streamable HTTP of 2026-07-28.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use sallyport_mcp::{Message, Notification, Object, Outcome, Response};
use sallyport_proxy::upstream::UpstreamError;
use serde_json::{Value, json};

use crate::fixture::*;

#[tokio::test]
async fn every_request_carries_its_own_metadata_and_no_session() {
    let server = modern(|seen| {
        let mut response = result(seen, json!({"resultType": "complete", "content": []}));
        response.headers_mut().insert("mcp-session-id", "trap".parse().unwrap());
        response
    })
    .await;
    let session = server.open(&modern_client()).await;
    for id in [1, 2] {
        let mut outgoing = tool(id, "größe", json!({"region": "eu-1", "n": 4}));
        let properties = json!({"region": {"type": "string", "x-mcp-header": "Region"}, "n": {"type": "integer"}});
        outgoing.tool_input_schema = Some(Arc::new(json!({"type": "object", "properties": properties})));
        outgoing.extra_headers.insert("tracestate", "k=v".parse().unwrap());
        value(&*session, outgoing).await;
    }
    assert_eq!(server.asked(), ["server/discover", "tools/call", "tools/call"]);
    let seen = server.last();
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-method"), Some("tools/call"));
    assert_eq!(seen.header("mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
    assert_eq!(seen.header("mcp-param-region"), Some("eu-1"));
    assert_eq!(seen.header("tracestate"), Some("k=v"));
    assert_eq!(seen.header("authorization"), Some("Bearer gate-token"));
    assert_eq!(seen.header("mcp-session-id"), None);
    let meta = &seen.body["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], json!({"elicitation": {}}));
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "c");
}

#[tokio::test]
async fn a_requests_own_metadata_is_kept() {
    let server = modern(|seen| result(seen, json!({}))).await;
    let session = server.open(&modern_client()).await;
    let meta = json!({"io.modelcontextprotocol/clientCapabilities": {"roots": {}}, "progressToken": "p", "x": 1});
    value(&*session, call(1, "tools/list", json!({"_meta": meta}))).await;
    let sent = server.last().body["params"]["_meta"].clone();
    assert_eq!(sent["io.modelcontextprotocol/clientCapabilities"], json!({"roots": {}}));
    assert_eq!((&sent["progressToken"], &sent["x"]), (&json!("p"), &json!(1)));
}

#[tokio::test]
async fn input_required_passes_as_it_is() {
    let asked =
        json!({"resultType": "input_required", "requestState": "s", "inputRequests": {"k": {"method": "roots/list"}}});
    let expected = asked.clone();
    let server = modern(move |seen| result(seen, asked.clone())).await;
    let session = server.open(&modern_client()).await;
    assert_eq!(value(&*session, tool(1, "t", json!({}))).await, expected);
}

#[tokio::test]
async fn a_stream_must_end_with_the_answer_and_may_hold_no_request() {
    let note = event(
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}),
    );
    let ask = event(json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}));
    let scripts = [(format!("id: 1\n{note}"), false), (note.clone() + &ask, true)];
    for (text, protocol) in scripts {
        let server = modern(move |seen| {
            events(if protocol { text.clone() + &event(answer(seen, json!({}))) } else { text.clone() })
        })
        .await;
        let session = server.open(&modern_client()).await;
        let got = all(session.request(tool(7, "t", json!({}))).await.unwrap()).await;
        assert_eq!(got.len(), 2, "{got:?}");
        match got[1].as_ref().unwrap_err() {
            UpstreamError::Protocol(_) => assert!(protocol),
            UpstreamError::Broken { sent: true, .. } => assert!(!protocol, "no resumption in this era"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn error_bodies_are_answers_and_an_unsupported_version_ends_the_belief() {
    for (status, code, alive) in [(404, -32601, true), (400, -32020, true), (400, -32021, true), (400, -32022, false)] {
        let server = modern(move |seen| error(status, seen.id(), code, json!({}))).await;
        let session = server.open(&modern_client()).await;
        let got = messages(session.request(tool(7, "t", json!({}))).await.unwrap()).await;
        assert!(matches!(&got[..], [Message::Response(Response { outcome: Outcome::Error(e), .. })] if e.code == code));
        assert_eq!(session.is_alive(), alive, "{code}");
    }
    let server = modern(|_| empty(404)).await;
    let session = server.open(&modern_client()).await;
    assert!(matches!(failure(&*session, tool(7, "t", json!({}))).await, UpstreamError::Status { status: 404, .. }));
    assert!(!session.is_alive());
}

/// Tells when it is dropped.
struct Tell(Option<tokio::sync::oneshot::Sender<()>>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn dropping_the_stream_closes_it_at_the_upstream() {
    let (sender, gone) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let server = modern(move |_| {
        let tell = Tell(sender.lock().unwrap().take());
        let note = event(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}));
        open_events(futures::stream::iter([note]).chain(futures::stream::pending()).map(move |n| {
            let _kept = &tell;
            n
        }))
    })
    .await;
    let session = server.open(&modern_client()).await;
    let mut stream = session.request(call(1, "subscriptions/listen", json!({"notifications": {}}))).await.unwrap();
    stream.next().await.unwrap().unwrap();
    // Quiet for longer than a call may be: it is a subscription.
    assert!(tokio::time::timeout(Duration::from_millis(600), stream.next()).await.is_err());
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_this_era_lacks_is_not_sent() {
    let server = modern(|_| empty(202)).await;
    let session = server.open(&modern_client()).await;
    let before = server.seen().len();
    assert!(matches!(session.listen(None).await.err().unwrap(), UpstreamError::NotOffered(_)));
    let answer = session.respond(Response::result(1, Object::new())).await;
    assert!(matches!(answer.unwrap_err(), UpstreamError::NotOffered(_)));
    session.cancel(&1.into(), None).await;
    session.notify(Notification::new("notifications/cancelled", None)).await.unwrap();
    session.close().await;
    assert_eq!(server.seen().len(), before);
    session.notify(Notification::new("notifications/x", Some(Object::new()))).await.unwrap();
    assert_eq!(server.last().header("mcp-method"), Some("notifications/x"));
    assert_eq!(server.last().body["id"], Value::Null);
}

#[tokio::test]
async fn a_name_that_must_be_mirrored_and_is_missing_is_not_sent() {
    let server = modern(|_| empty(202)).await;
    let session = server.open(&modern_client()).await;
    let before = server.seen().len();
    let failed = failure(&*session, call(1, "tools/call", json!({}))).await;
    assert!(matches!(failed, UpstreamError::Unsendable(_)) && !failed.sent());
    assert_eq!(server.seen().len(), before);
}
