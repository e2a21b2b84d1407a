//! What upstreams do wrong over HTTP: status codes, sizes, silence, and messages that are none.

use std::time::Duration;

use futures::StreamExt;
use sallyport_mcp::{Message, Outcome};
use sallyport_proxy::upstream::{Fault, UpstreamError, UpstreamSpec};
use serde_json::{Value, json};

use crate::fixture::*;

async fn fails(script: impl Fn(&Seen) -> axum::response::Response + Send + Sync + 'static) -> UpstreamError {
    let server = legacy(script).await;
    let session = server.open(&legacy_client()).await;
    failure(&*session, tool(7, "t", json!({}))).await
}

#[tokio::test]
async fn an_error_status_with_a_json_rpc_body_is_the_answer() {
    for (status, id) in [(400, json!(7)), (400, Value::Null), (500, json!(7)), (422, json!(7))] {
        let server = legacy(move |_| error(status, id.clone(), -32602, json!({"why": 1}))).await;
        let session = server.open(&legacy_client()).await;
        let got = messages(session.request(tool(7, "t", json!({}))).await.unwrap()).await;
        let [Message::Response(response)] = &got[..] else { panic!("{got:?}") };
        assert_eq!(response.id, Some(7.into()));
        assert!(
            matches!(&response.outcome, Outcome::Error(e) if e.code == -32602 && e.data == Some(json!({"why": 1})))
        );
    }
}

#[tokio::test]
async fn a_refused_credential_is_the_gates_fault_whatever_the_body_says() {
    for status in [401, 403] {
        let failed = fails(move |seen| error(status, seen.id(), -32000, Value::Null)).await;
        assert!(matches!(failed, UpstreamError::CredentialRefused { .. }), "{failed}");
        assert_eq!((failed.fault(), failed.sent()), (Fault::Gate, false));
    }
}

#[tokio::test]
async fn a_bare_status_says_whether_the_upstream_may_have_acted() {
    for (status, sent) in [(400, false), (429, false), (503, false), (500, true), (502, true), (302, true)] {
        let failed = fails(move |_| {
            let mut response = empty(status);
            response.headers_mut().insert("retry-after", "3".parse().unwrap());
            response
        })
        .await;
        let right = matches!(failed, UpstreamError::Status { status: s, retry_after: Some(3) } if s == status);
        assert!(right && failed.sent() == sent, "{status}: {failed:?}");
    }
}

#[tokio::test]
async fn nothing_listens_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = legacy(|_| empty(202)).await;
    let mut spec = server.spec();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    spec.transport = sallyport_proxy::upstream::Transport::Http { url, options: Default::default() };
    let failed = connector().open(&spec, &legacy_client(), &owner("a")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Unreachable(_)) && !failed.sent(), "{failed:?}");
}

#[tokio::test]
async fn sizes_are_limited_in_both_forms() {
    let big = |seen: &Seen| answer(seen, json!({"text": "x".repeat(10_001)}));
    assert!(matches!(fails(move |seen| json_answer(200, big(seen))).await, UpstreamError::TooLarge { limit: 10_000 }));
    assert!(matches!(fails(move |seen| events(event(big(seen)))).await, UpstreamError::TooLarge { limit: 10_000 }));
    let endless = |_: &Seen| {
        let drops = futures::stream::repeat("data: x".repeat(100)).map(|drop| drop + "\n");
        open_events(drops)
    };
    assert!(matches!(fails(endless).await, UpstreamError::TooLarge { .. }));
}

#[tokio::test]
async fn silence_ends_a_call_before_and_within_a_stream() {
    let hang = Fixture::serve(|seen| match seen.method() {
        "initialize" => json_answer(200, initialize_result(seen)),
        "notifications/initialized" => empty(202),
        _ => {
            let comments = async_drip(": hi\n\n", Duration::from_millis(100), 8);
            open_events(comments.chain(futures::stream::pending()))
        }
    })
    .await;
    let session = hang.open(&legacy_client()).await;
    let began = std::time::Instant::now();
    let failed = failure(&*session, tool(7, "t", json!({}))).await;
    assert!(matches!(failed, UpstreamError::TimedOut { what: "silence", sent: true, .. }), "{failed:?}");
    assert!(began.elapsed() >= Duration::from_millis(1100), "keep-alives count as life: {:?}", began.elapsed());

    let spec = UpstreamSpec {
        timeouts: sallyport_proxy::upstream::Timeouts { total: Some(Duration::from_millis(300)), ..quick() },
        ..hang.spec()
    };
    let session = connector().open(&spec, &legacy_client(), &owner("a")).await.unwrap();
    let failed = failure(&*session, tool(7, "t", json!({}))).await;
    assert!(matches!(failed, UpstreamError::TimedOut { what: "whole call", .. }), "{failed:?}");
}

fn async_drip(text: &'static str, every: Duration, times: usize) -> impl futures::Stream<Item = String> + Send {
    futures::stream::iter(0..times).then(move |_| async move {
        tokio::time::sleep(every).await;
        text.to_owned()
    })
}

#[tokio::test]
async fn no_first_byte_is_a_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = legacy(|_| empty(202)).await;
    let mut spec = server.spec();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    spec.transport = sallyport_proxy::upstream::Transport::Http { url, options: Default::default() };
    spec.timeouts.first = Duration::from_millis(200);
    let failed = connector().open(&spec, &legacy_client(), &owner("a")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::TimedOut { what: "first byte", sent: true, .. }), "{failed:?}");
}

#[tokio::test]
async fn what_is_no_answer_to_the_request_is_never_delivered_as_one() {
    type Script = fn(&Seen) -> axum::response::Response;
    let scripts: [(&str, Script); 8] = [
        ("another id", |_| json_answer(200, json!({"jsonrpc": "2.0", "id": 8, "result": {}}))),
        ("another id as event", |_| events(event(json!({"jsonrpc": "2.0", "id": "7", "result": {}})))),
        ("accepted", |_| empty(202)),
        ("html", |_| axum::response::Html("<p>hello</p>").into_response()),
        ("not JSON", |_| events("data: {oops\n\n".to_owned())),
        ("a duplicate key", |_| events("data: {\"jsonrpc\":\"2.0\",\"id\":7,\"id\":7,\"result\":{}}\n\n".to_owned())),
        ("no answer", |_| json_answer(200, json!({"jsonrpc": "2.0", "method": "notifications/message"}))),
        ("compressed", |seen| {
            let mut response = result(seen, json!({}));
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            response
        }),
    ];
    use axum::response::IntoResponse;
    for (name, script) in scripts {
        let failed = fails(script).await;
        assert!(matches!(failed, UpstreamError::Protocol(_)) && failed.sent(), "{name}: {failed:?}");
    }
}

#[tokio::test]
async fn a_session_id_that_is_no_visible_ascii_is_refused() {
    let server = Fixture::serve(|seen| {
        let mut response = json_answer(200, initialize_result(seen));
        response.headers_mut().insert("mcp-session-id", "a b".parse().unwrap());
        response
    })
    .await;
    let failed = connector().open(&server.spec(), &legacy_client(), &owner("a")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Protocol(_)), "{failed}");
}

#[tokio::test]
async fn a_credential_may_not_take_the_place_of_a_protocol_header() {
    let server = legacy(|_| empty(202)).await;
    for name in ["mcp-session-id", "mcp-method", "host", "content-length"] {
        let mut spec = server.spec();
        spec.credential = sallyport_proxy::upstream::UpstreamCredential::Header {
            name: name.parse().unwrap(),
            value: sallyport_model::Secret::new("x"),
        };
        let failed = connector().open(&spec, &legacy_client(), &owner("a")).await.err().unwrap();
        assert!(matches!(failed, UpstreamError::Configuration(_)), "{name}: {failed}");
    }
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_the_upstream_back() {
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&written);
    let server = legacy(move |_| {
        let count = std::sync::Arc::clone(&count);
        let note =
            event(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"t": "x".repeat(9000)}}));
        open_events(futures::stream::repeat(note).inspect(move |note| {
            count.fetch_add(note.len(), std::sync::atomic::Ordering::SeqCst);
        }))
    })
    .await;
    let session = server.open(&legacy_client()).await;
    let mut stream = session.request(tool(7, "t", json!({}))).await.unwrap();
    stream.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = written.load(std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = written.load(std::sync::atomic::Ordering::SeqCst);
    // What was written lies in socket buffers; it does not grow while nobody reads.
    assert_eq!(before, after);
}
