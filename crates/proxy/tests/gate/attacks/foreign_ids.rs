//! Ids of one principal or route used by another (seen in agentgateway GHSA-mvgg-jvj2-4frq, the Python
//! SDK's CVE-2026-52869 and CVE-2026-52870).

use std::sync::Arc;

use http::StatusCode;
use sallyport_mcp::Era;
use serde_json::{Value, json};

use crate::rig::{Rig, able, claims, client::Client, http_offer, until, upstream::Upstream};

async fn world() -> (Rig, Arc<Upstream>, Arc<Upstream>) {
    let (legacy, legacy_url) = Upstream::start(Era::Legacy).await;
    let (modern, modern_url) = Upstream::start(Era::Modern).await;
    let offers =
        vec![http_offer("legacy", &legacy_url), http_offer("modern", &modern_url), http_offer("other", &legacy_url)];
    (Rig::new(offers).await, legacy, modern)
}

/// Everybody who is not Ann in some part: another person, tenant, client or sign-in.
fn others(rig: &Rig, upstream: &str) -> Vec<(&'static str, String)> {
    let with = |change: &dyn Fn(&mut sallyport_oauth::AccessClaims)| {
        let mut claims = claims("ann", upstream);
        change(&mut claims);
        rig.sign(&claims)
    };
    vec![
        ("person", with(&|c| c.sub = "u-bob".into())),
        ("kind", with(&|c| c.principal_type = sallyport_model::principal::PrincipalKind::Agent)),
        ("tenant", with(&|c| c.tenant = "globex".parse().unwrap())),
        ("client", with(&|c| c.client_id = "c-2".parse().unwrap())),
        ("sign-in", with(&|c| c.sid = "s-ann-2".parse().unwrap())),
        ("agent of hers", with(&|c| c.act = vec!["a-robot".parse().unwrap()])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_is_worth_nothing_to_anybody_else_or_elsewhere() {
    let (rig, _, _) = world().await;
    for upstream in ["legacy", "modern"] {
        let ann = Client::connect(&rig, upstream, Era::Legacy).await;
        for (what, token) in others(&rig, upstream) {
            let mut thief = Client::unconnected(&rig, upstream, "2025-11-25", token);
            thief.session = ann.session.clone();
            assert_eq!(thief.call("echo", json!({})).await.status, StatusCode::NOT_FOUND, "{what}");
            assert_eq!(thief.notify("notifications/initialized", json!({})).await, StatusCode::NOT_FOUND, "{what}");
            for verb in ["GET", "DELETE"] {
                assert_eq!(thief.verb(verb, &[]).await.status, StatusCode::NOT_FOUND, "{verb} {what}");
            }
        }
        let mut elsewhere = Client::unconnected(&rig, "other", "2025-11-25", rig.token("other"));
        elsewhere.session = ann.session.clone();
        assert_eq!(elsewhere.call("echo", json!({})).await.status, StatusCode::NOT_FOUND);
        assert_eq!(elsewhere.verb("DELETE", &[]).await.status, StatusCode::NOT_FOUND);
        assert!(ann.call("echo", json!({})).await.response.get("result").is_some(), "it is still Ann's");

        // A fresh token of the same sign-in goes on with it.
        let mut renewed = Client::unconnected(&rig, upstream, "2025-11-25", rig.token(upstream));
        renewed.session = ann.session.clone();
        assert!(renewed.call("echo", json!({})).await.response.get("result").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_state_continues_its_own_call_for_its_own_principal_once() {
    let (rig, _, modern) = world().await;
    for upstream in ["legacy", "modern"] {
        let ann = Client::connect(&rig, upstream, Era::Modern).await;
        let params = json!({"name": "ask_form", "arguments": {"a": 1}});
        let asked = ann.request_once("tools/call", params.clone()).await;
        let state = asked.result()["requestState"].as_str().expect("a state").to_owned();
        assert!(!state.contains("upstream"), "the upstream's own state is not shown");
        let key = asked.result()["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let retry = |params: &Value| {
            let mut retry = params.clone();
            retry["requestState"] = state.clone().into();
            retry["inputResponses"] = json!({key.as_str(): {"action": "accept"}});
            retry
        };
        for (what, token) in others(&rig, upstream) {
            let thief = Client::connect_as(&rig, upstream, "2026-07-28", token, able()).await;
            let refused = thief.request("tools/call", retry(&params)).await;
            assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, -32602), "{what}");
        }
        let elsewhere = Client::connect(&rig, "other", Era::Modern).await;
        assert_eq!(elsewhere.request("tools/call", retry(&params)).await.status, StatusCode::BAD_REQUEST);
        let changed = retry(&json!({"name": "ask_form", "arguments": {"a": 2}}));
        assert_eq!(ann.request("tools/call", changed).await.status, StatusCode::BAD_REQUEST);
        let another = retry(&json!({"name": "ask_roots", "arguments": {"a": 1}}));
        assert_eq!(ann.request("tools/call", another).await.status, StatusCode::BAD_REQUEST);

        let done = ann.request("tools/call", retry(&params)).await;
        assert_eq!(done.text(), r#"{"action":"accept"}"#, "after all that it is still Ann's");
        let again = ann.request("tools/call", retry(&params)).await;
        assert_eq!((again.status, again.code()), (StatusCode::BAD_REQUEST, -32602), "but only once");
    }
    let states = modern.posted("tools/call").into_iter().filter_map(|call| call["params"].get("requestState").cloned());
    assert!(states.eq([json!("the-upstreams-own")]), "the upstream got its own state back, once");
    assert!(rig.log.refusals().iter().filter(|code| *code == "request_state").count() >= 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_from_the_session_that_was_asked_only() {
    let (rig, _, _) = world().await;
    for upstream in ["legacy", "modern"] {
        let ann = Client::connect(&rig, upstream, Era::Legacy).await;
        let mut stream = ann.open("tools/call", json!({"name": "ask_form", "arguments": {}})).await;
        let question = stream.next().await.unwrap();
        let forged =
            json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"by": "thief"}}});
        let mut bob = claims("bob", upstream);
        bob.sid = "s-bob".parse().unwrap();
        let thief = Client::connect_as(&rig, upstream, "2025-11-25", rig.sign(&bob), able()).await;
        assert_eq!(thief.post(&forged.to_string()).await.status, StatusCode::BAD_REQUEST, "not asked in his session");
        let second = Client::connect(&rig, upstream, Era::Legacy).await;
        assert_eq!(second.post(&forged.to_string()).await.status, StatusCode::BAD_REQUEST, "nor in another of Ann's");
        let mut borrowed = Client::unconnected(&rig, upstream, "2025-11-25", rig.sign(&bob));
        borrowed.session = ann.session.clone();
        assert_eq!(borrowed.post(&forged.to_string()).await.status, StatusCode::NOT_FOUND);

        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
        assert_eq!(ann.post(&answer.to_string()).await.status, StatusCode::ACCEPTED);
        let done = stream.next().await.unwrap();
        assert_eq!(done["result"]["content"][0]["text"], r#"{"action":"decline"}"#);
        assert_eq!(ann.post(&answer.to_string()).await.status, StatusCode::BAD_REQUEST, "an answer counts once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_id_is_its_makers_alone() {
    let (rig, legacy, modern) = world().await;
    for (upstream, era, server) in [("legacy", Era::Legacy, &legacy), ("modern", Era::Modern, &modern)] {
        let ann = Client::connect(&rig, upstream, era).await;
        assert!(
            ann.request("tasks/get", json!({"taskId": "task-1"})).await.response.get("error").is_some(),
            "not made yet"
        );
        let made = ann.call("task", json!({})).await;
        assert!(made.result().to_string().contains("task-1"), "{made:?}");
        let version = ann.version.as_str();
        for (what, token) in others(&rig, upstream) {
            let thief = Client::connect_as(&rig, upstream, version, token, able()).await;
            for method in ["tasks/get", "tasks/cancel"] {
                let refused = thief.request(method, json!({"taskId": "task-1"})).await;
                assert_eq!(refused.code(), -32602, "{upstream} {method} {what} {refused:?}");
            }
        }
        assert_eq!(server.posted("tasks/get").len(), 0, "nothing was forwarded");
        assert_eq!(ann.request("tasks/get", json!({"taskId": "task-1"})).await.result()["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_by_somebody_else_cancels_nothing() {
    let (rig, legacy, _) = world().await;
    let ann = Client::connect(&rig, "legacy", Era::Legacy).await;
    let id = ann.id();
    let body = ann.message(Some(id), "tools/call", json!({"name": "slow", "arguments": {}}));
    let mut call = Box::pin(ann.post(&body));
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), &mut call).await.is_err());
    let bob = rig.sign(&claims("bob", "legacy"));
    let bob = Client::connect_as(&rig, "legacy", "2025-11-25", bob, json!({})).await;
    bob.notify("notifications/cancelled", json!({"requestId": id})).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(legacy.cancelled().is_empty());
    legacy.release.notify_waiters();
    until("the call ends in peace", || {
        !rig.log.ends("slow").is_empty() || {
            legacy.release.notify_waiters();
            false
        }
    })
    .await;
    drop(call);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_under_an_id_in_progress_is_refused() {
    let (rig, _, _) = world().await;
    for upstream in ["legacy", "modern"] {
        let ann = Client::connect(&rig, upstream, Era::Legacy).await;
        let body = ann.message(Some(77), "tools/call", json!({"name": "slow", "arguments": {}}));
        let mut call = Box::pin(ann.post(&body));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(200), &mut call).await.is_err());
        let second = ann.post(&ann.message(Some(77), "tools/call", json!({"name": "echo", "arguments": {}}))).await;
        assert_eq!(second.json().await["error"]["code"], -32600);
        ann.notify("notifications/cancelled", json!({"requestId": 77})).await;
        call.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_is_good_in_the_session_that_was_given_it_only() {
    let (rig, legacy, _) = world().await;
    let ann = Client::connect(&rig, "legacy", Era::Legacy).await;
    let mut first = ann.open("tools/call", json!({"name": "poll", "arguments": {}})).await;
    assert_eq!(first.next_event().await.unwrap().0.as_deref(), Some("e1"));
    assert!(first.next_event().await.is_none());
    let bob = rig.sign(&claims("bob", "legacy"));
    let bob = Client::connect_as(&rig, "legacy", "2025-11-25", bob, json!({})).await;
    let second = Client::connect(&rig, "legacy", Era::Legacy).await;
    for thief in [&bob, &second] {
        assert_eq!(thief.verb("GET", &[("last-event-id", "e1")]).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(ann.verb("GET", &[("last-event-id", "e9")]).await.status, StatusCode::BAD_REQUEST);
    let resumed = legacy.arrived().iter().filter(|arrived| arrived.headers.contains_key("last-event-id")).count();
    assert_eq!(resumed, 0, "nothing of it was forwarded");
    let mut stream = ann.verb("GET", &[("last-event-id", "e1")]).await;
    assert_eq!(stream.next_event().await.unwrap().1["result"]["content"][0]["text"], "polled", "it is still Ann's");
}
