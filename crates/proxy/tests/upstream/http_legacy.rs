//! Streamable HTTP up to 2025-11-25.

use futures::StreamExt;
use sallyport_mcp::{Message, Notification, Object, Response};
use sallyport_proxy::upstream::{Delivered, UpstreamError};
use serde_json::json;

use crate::fixture::*;

#[tokio::test]
async fn a_handshake_keeps_the_session_and_sends_only_the_gates_credential() {
    let server = legacy(|seen| result(seen, json!({"ok": true}))).await;
    let session = server.open(&legacy_client()).await;
    let mut outgoing = tool(7, "t", json!({}));
    for (name, value) in
        [("authorization", "Bearer client-token"), ("cookie", "a=b"), ("traceparent", "00-aa-bb-01"), ("x-other", "y")]
    {
        outgoing.extra_headers.insert(name, value.parse().unwrap());
    }
    assert_eq!(value(&*session, outgoing).await, json!({"ok": true}));
    let seen = server.seen();
    assert_eq!(server.asked(), ["initialize", "notifications/initialized", "tools/call"]);
    assert_eq!((seen[0].header("mcp-session-id"), seen[0].header("mcp-protocol-version")), (None, None));
    assert_eq!(seen[0].body["params"]["capabilities"], json!({"elicitation": {}}));
    for later in &seen[1..] {
        assert_eq!(later.header("mcp-session-id"), Some("sess-1"));
        assert_eq!(later.header("mcp-protocol-version"), Some("2025-06-18"));
    }
    for one in &seen {
        assert_eq!(one.header("authorization"), Some("Bearer gate-token"));
        assert_eq!((one.header("cookie"), one.header("x-other")), (None, None));
        assert_eq!(one.header("accept"), Some("application/json, text/event-stream"));
    }
    assert_eq!(seen[2].header("traceparent"), Some("00-aa-bb-01"));
    assert_eq!(session.facts().protocol_version, "2025-06-18");
    assert_eq!(session.facts().about["serverInfo"]["name"], "fixture");
}

#[tokio::test]
async fn a_stream_brings_progress_requests_and_the_answer_in_order() {
    let server = legacy(|seen| match seen.method() {
        "tools/call" => {
            let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 0.5}});
            let ask = json!({"jsonrpc": "2.0", "id": "ask-1", "method": "elicitation/create", "params": {"message": "?"}});
            let last = answer(seen, json!({"content": []}));
            events(format!(
                "id: e1\nretry: 250\ndata:\n\n: keep-alive\n\nid: e2\n{}id: e3\nevent: message\n{}{}{}",
                event(progress),
                event(ask),
                event(last),
                event(json!({"jsonrpc": "2.0", "method": "notifications/after", "params": {}})),
            ))
        }
        _ => empty(202),
    })
    .await;
    let session = server.open(&legacy_client()).await;
    let got = all(session.request(tool(7, "t", json!({}))).await.unwrap()).await;
    let got: Vec<Delivered> = got.into_iter().map(Result::unwrap).collect();
    assert_eq!(got.len(), 4, "the stream ends with the answer: {got:?}");
    assert_eq!(got[0], Delivered::Priming { sse_id: Some("e1".into()), retry_ms: Some(250) });
    assert!(matches!(&got[1], Delivered::Message { message, sse_id: Some(id), .. }
        if message.method() == Some("notifications/progress") && id == "e2"));
    assert!(matches!(got[2].message(), Some(Message::Request(r)) if r.method == "elicitation/create"));
    assert!(matches!(got[3].message(), Some(Message::Response(r)) if r.id == Some(7.into())));
    session.respond(Response::result("ask-1", Object::new())).await.unwrap();
    assert_eq!(server.last().body, json!({"jsonrpc": "2.0", "id": "ask-1", "result": {}}));
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_written() {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<String>();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let server = legacy(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        open_events(futures::stream::unfold(receiver, |mut r| async { Some((r.recv().await?, r)) }))
    })
    .await;
    let session = server.open(&legacy_client()).await;
    sender.send(event(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": 1}}))).unwrap();
    let mut stream = session.request(tool(7, "t", json!({}))).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().message().is_some());
    sender.send(event(json!({"jsonrpc": "2.0", "id": 7, "result": {}}))).unwrap();
    assert!(matches!(stream.next().await.unwrap().unwrap().message(), Some(Message::Response(_))));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_broke_after_an_event_id_ends_and_can_be_resumed() {
    let server = legacy(|seen| match (seen.verb.as_str(), seen.method()) {
        ("POST", _) => events("id: e1\ndata:\n\n".to_owned()),
        ("GET", _) => {
            assert_eq!(seen.header("last-event-id"), Some("e1"));
            let last = json!({"jsonrpc": "2.0", "id": 7, "result": {"late": true}});
            events(format!("id: e2\n{}{}", event(last.clone()), event(last)))
        }
        _ => empty(405),
    })
    .await;
    let session = server.open(&legacy_client()).await;
    let got = all(session.request(tool(7, "t", json!({}))).await.unwrap()).await;
    assert!(matches!(&got[..], [Ok(Delivered::Priming { .. })]), "{got:?}");
    let rest = messages(session.listen(Some("e1")).await.unwrap()).await;
    assert!(matches!(&rest[..], [Message::Response(r)] if r.id == Some(7.into())), "{rest:?}");
    assert_eq!(server.last().header("accept"), Some("text/event-stream"));
    assert_eq!(server.last().header("mcp-session-id"), Some("sess-1"));
}

#[tokio::test]
async fn a_stream_that_broke_before_any_event_id_is_an_error() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
    let server = legacy(move |_| events(event(note.clone()))).await;
    let session = server.open(&legacy_client()).await;
    let error = failure(&*session, tool(7, "t", json!({}))).await;
    assert!(matches!(error, UpstreamError::Broken { sent: true, .. }), "{error}");
}

#[tokio::test]
async fn a_get_stream_brings_what_belongs_to_no_call() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let server = legacy(move |_| events(event(note.clone()))).await;
    let session = server.open(&legacy_client()).await;
    let got = messages(session.listen(None).await.unwrap()).await;
    assert_eq!(got[0].method(), Some("notifications/tools/list_changed"));
    assert_eq!((server.last().verb.as_str(), server.last().header("last-event-id")), ("GET", None));
}

#[tokio::test]
async fn no_get_stream_is_not_offered() {
    for status in [405, 404] {
        // Without a session 404 is no end of one.
        let server = Fixture::serve(move |seen| match seen.method() {
            "initialize" => json_answer(200, initialize_result(seen)),
            "notifications/initialized" => empty(202),
            _ => empty(status),
        })
        .await;
        let session = server.open(&legacy_client()).await;
        let error = session.listen(None).await.err().unwrap();
        assert!(matches!(error, UpstreamError::NotOffered(_)), "{status}: {error}");
        assert!(session.is_alive() && !error.sent());
    }
}

#[tokio::test]
async fn not_found_ends_the_session_for_every_kind_of_message() {
    for kind in 0..4 {
        let server = legacy(|seen| error(404, seen.id(), -32001, json!({}))).await;
        let session = server.open(&legacy_client()).await;
        let failed = match kind {
            0 => session.request(tool(1, "t", json!({}))).await.err(),
            1 => session.notify(Notification::new("notifications/roots/list_changed", None)).await.err(),
            2 => session.respond(Response::result(1, Object::new())).await.err(),
            _ => session.listen(None).await.err(),
        };
        assert!(matches!(failed, Some(UpstreamError::SessionEnded)), "{kind}: {failed:?}");
        assert!(!session.is_alive());
        let before = server.seen().len();
        assert!(matches!(failure(&*session, tool(2, "t", json!({}))).await, UpstreamError::SessionEnded));
        assert_eq!(server.seen().len(), before, "a dead session sends nothing");
    }
}

#[tokio::test]
async fn cancelling_and_closing_tell_the_upstream() {
    let server = legacy(|seen| empty(if seen.verb == "DELETE" { 405 } else { 202 })).await;
    let session = server.open(&legacy_client()).await;
    session.cancel(&7.into(), Some("changed my mind")).await;
    let params = json!({"requestId": 7, "reason": "changed my mind"});
    assert_eq!(server.last().body, json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
    session.notify(Notification::new("notifications/initialized", None)).await.unwrap();
    assert_eq!(server.last().method(), "notifications/cancelled", "the handshake is not said twice");
    session.close().await;
    assert_eq!((server.last().verb.as_str(), server.last().header("mcp-session-id")), ("DELETE", Some("sess-1")));
    assert!(!session.is_alive());
    let before = server.seen().len();
    session.close().await;
    assert_eq!(server.seen().len(), before);
}

#[tokio::test]
async fn batches_are_read_in_the_one_version_that_has_them() {
    for (version, works) in [("2025-03-26", true), ("2025-11-25", false)] {
        let server = legacy(|seen| {
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}});
            json_answer(200, json!([note, answer(seen, json!({}))]))
        })
        .await;
        let client = sallyport_proxy::upstream::ClientFacts { protocol_version: version.into(), ..legacy_client() };
        let session = server.open(&client).await;
        match session.request(tool(7, "t", json!({}))).await {
            Ok(stream) => assert_eq!((messages(stream).await.len(), works), (2, true)),
            Err(error) => assert!(matches!(error, UpstreamError::Protocol(_)) && !works, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_after_either_form_of_answer() {
    let server = legacy(|seen| {
        let last = answer(seen, json!({}));
        if seen.id() == 2 { json_answer(200, last) } else { events(event(last)) }
    })
    .await;
    let session = server.open(&legacy_client()).await;
    for id in 1..=4 {
        value(&*session, tool(id, "t", json!({}))).await;
        // The end of an event stream is read after its answer was delivered.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let peers: std::collections::HashSet<_> = server.seen().iter().map(|seen| seen.peer).collect();
    assert_eq!(peers.len(), 1);
}

#[tokio::test]
async fn an_upstream_that_asked_something_may_wait_for_a_person() {
    let server = legacy(|_| {
        let ask = event(json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}}));
        open_events(futures::stream::iter([ask]).chain(futures::stream::pending()))
    })
    .await;
    let session = server.open(&legacy_client()).await;
    let mut stream = session.request(tool(7, "t", json!({}))).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let silence = quick().idle * 2;
    assert!(tokio::time::timeout(silence, stream.next()).await.is_err(), "no time-out while it waits");
}
