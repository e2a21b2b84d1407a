//! Every bound, at it and one beyond, with an error that says which.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use sallyport_mcp::Era;
use sallyport_proxy::Limits;
use serde_json::json;

use crate::rig::{Rig, claims, client::Client, http_offer, until, upstream::Upstream};

async fn world(limits: Limits) -> (Rig, Arc<Upstream>) {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    (Rig::with(vec![http_offer("up", &url)], limits).await, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    let (rig, upstream) = world(Limits { body_bytes: 4096, ..Limits::default() }).await;
    for era in [Era::Legacy, Era::Modern] {
        let client = Client::connect(&rig, "up", era).await;
        let size = |fill: usize| {
            client.message(Some(99), "tools/call", json!({"name": "echo", "arguments": {"x": "x".repeat(fill)}}))
        };
        let fill = 4096 - size(0).len();
        assert_eq!(client.post(&size(fill - 1)).await.status, StatusCode::OK);
        assert_eq!(client.post(&size(fill)).await.status, StatusCode::OK);
        let before = upstream.calls("echo");
        let over = client.post(&size(fill + 1)).await;
        assert_eq!(over.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(over.text().await.contains("4096"));
        assert_eq!(upstream.calls("echo"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_at_the_limit_passes_and_one_level_more_does_not() {
    let (rig, upstream) = world(Limits { json_depth: 20, ..Limits::default() }).await;
    let client = Client::connect(&rig, "up", Era::Legacy).await;
    let nested = |levels: usize| {
        let arguments = format!("{{\"x\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#,
            client.id()
        )
    };
    assert_eq!(client.post(&nested(17)).await.status, StatusCode::OK);
    let over = client.post(&nested(18)).await;
    assert_eq!(over.status, StatusCode::BAD_REQUEST);
    assert!(over.text().await.contains("deeper than 20 levels"));
    assert_eq!(upstream.calls("echo"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_principal_are_bounded_and_of_another_not() {
    let (rig, upstream) = world(Limits { calls: 2, ..Limits::default() }).await;
    for era in [Era::Legacy, Era::Modern] {
        let client = Client::connect(&rig, "up", era).await;
        let params =
            || json!({"name": "hold", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "debug"}});
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = client.open("tools/call", params()).await;
            stream.next().await.unwrap();
            held.push(stream);
        }
        let over = client.open("tools/call", json!({"name": "echo", "arguments": {}})).await;
        assert_eq!((over.status, over.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "5"));
        assert!(over.text().await.contains("limits.calls"));
        let bob = Client::connect_as(&rig, "up", &client.version, rig.sign(&claims("bob", "up")), json!({})).await;
        bob.call("echo", json!({})).await.result();
        upstream.release.notify_waiters();
        for mut stream in held {
            assert!(stream.next().await.unwrap().get("result").is_some());
        }
        until("a place is free", || rig.log.ends("hold").len() >= 2).await;
        client.call("echo", json!({})).await.result();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_call_keeps_its_one_place_when_it_goes_on() {
    let (rig, _) = world(Limits { calls: 1, ..Limits::default() }).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let answer = json!({"action": "decline"});
    let done =
        client.converse("tools/call", json!({"name": "ask_form", "arguments": {}}), &|_, _| answer.clone()).await;
    assert_eq!(done.text(), answer.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_call_ends_when_nobody_comes_back() {
    let (rig, upstream) = world(Limits { parked: Duration::from_millis(300), ..Limits::default() }).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let asked = client.request_once("tools/call", json!({"name": "ask_form", "arguments": {}})).await;
    let state = asked.result()["requestState"].clone();
    until("the call is closed", || rig.log.ends("ask_form").len() == 1).await;
    until("the upstream hears", || upstream.cancelled().len() == 1).await;
    let retry = json!({"name": "ask_form", "arguments": {}, "requestState": state, "inputResponses": {"input": {"action": "accept"}}});
    assert_eq!(client.request("tools/call", retry).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_sessions_of_one_principal_are_bounded() {
    let (rig, _) = world(Limits { streams: 1, sessions: 2, ..Limits::default() }).await;
    let client = Client::connect(&rig, "up", Era::Legacy).await;
    let first = client.verb("GET", &[]).await;
    assert_eq!(client.verb("GET", &[]).await.status, StatusCode::TOO_MANY_REQUESTS);
    let modern = Client::connect(&rig, "up", Era::Modern).await;
    let listen = modern.open("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})).await;
    assert_eq!(listen.status, StatusCode::TOO_MANY_REQUESTS, "both eras' streams count together");
    drop(first);
    until("the place is free", || rig.log.of(sallyport_model::EventKind::StreamClosed).len() == 1).await;
    assert_eq!(client.verb("GET", &[]).await.status, StatusCode::OK);

    let _second = Client::connect(&rig, "up", Era::Legacy).await;
    let third = Client::unconnected(&rig, "up", "2025-11-25", rig.token("up"));
    let initialize =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    let over = third.open("initialize", initialize.clone()).await;
    assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(over.text().await.contains("limits.sessions"));
    client.verb("DELETE", &[]).await;
    until("an ended session gives its place back", || true).await;
    assert_eq!(third.open("initialize", initialize).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_and_no_capability_of_a_client_opens_upstream_sessions_without_end() {
    let (rig, upstream) = world(Limits::default()).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let call = |meta: serde_json::Value| client.request("tools/call", json!({"name": "echo", "_meta": meta}));
    let opened = upstream.sessions();
    for n in 0..5 {
        let info = json!({"name": format!("n{n}"), "version": "1"});
        call(json!({"io.modelcontextprotocol/clientInfo": info})).await.result();
    }
    assert_eq!(upstream.sessions(), opened, "what it calls itself opens none");
    let able =
        |n: usize| json!({"io.modelcontextprotocol/clientCapabilities": {"experimental": {format!("x{n}"): {}}}});
    for n in 0..20 {
        call(able(n)).await.result();
    }
    assert_eq!(upstream.sessions(), opened + 20);
    let ends = || upstream.arrived().iter().filter(|arrived| arrived.method == "DELETE").count();
    until("all but eight were closed again", || ends() >= 13).await;
    let mut held = Vec::new();
    for n in 100..108 {
        let mut meta = able(n);
        meta["io.modelcontextprotocol/logLevel"] = "debug".into();
        let mut stream = client.open("tools/call", json!({"name": "hold", "_meta": meta})).await;
        stream.next().await.unwrap();
        held.push(stream);
    }
    let over = client.open("tools/call", json!({"name": "echo", "_meta": able(200)})).await;
    assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS, "nothing that is in use is closed");
    assert!(over.text().await.contains("upstream sessions of one principal"));
    let bob = Client::connect_as(&rig, "up", &client.version, rig.sign(&claims("bob", "up")), json!({})).await;
    bob.call("echo", json!({})).await.result();
}

#[tokio::test]
async fn busy_workers_do_not_starve_the_poll_for_revocations() {
    let (rig, _) = world(Limits::default()).await;
    rig.stop_polling();
    let _polling = Arc::clone(&rig.view).poll_on_own_thread(rig.store.clone()).unwrap();
    // The only worker is busy for longer than the lease.
    std::thread::sleep(sallyport_proxy::revocation::LEASE + Duration::from_millis(500));
    assert!(rig.view.leased());
}
