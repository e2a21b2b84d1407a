//! Every control made to fail (seen in LiteLLM CVE-2026-12773, where a failed check became a default
//! identity): nobody passes, nothing runs unrecorded, and who must be told is told.

use std::time::Duration;

use http::StatusCode;
use sallyport_mcp::Era;
use sallyport_model::{EventKind, event::OutcomeStatus};
use sallyport_storage::RevocationSubject;
use serde_json::json;

use crate::rig::{Rig, client::Client, http_offer, until, upstream::Upstream};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_learn_of_revocations_denies_everybody() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let legacy = Client::connect(&rig, "up", Era::Legacy).await;
    let modern = Client::connect(&rig, "up", Era::Modern).await;
    let mut stream = legacy.verb("GET", &[]).await;
    rig.stop_polling();
    until("the lease lapses", || !rig.view.leased()).await;
    let before = upstream.arrived().len();
    for client in [&legacy, &modern] {
        for params in [json!({"name": "echo", "arguments": {}}), json!({"name": "write", "arguments": {}})] {
            let reply = client.open("tools/call", params).await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(reply.header("www-authenticate"), "", "signing in anew would not help");
        }
    }
    assert_eq!(legacy.verb("DELETE", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(stream.next().await.is_none(), "open streams are cut");
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    assert!(!rig.gate.health().ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_audit_log_nothing_is_forwarded() {
    for era in ERAS {
        let (upstream, url) = Upstream::start(Era::Legacy).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", era).await;
        // The leg is open already; what is counted below are calls.
        client.call("echo", json!({})).await.result();
        rig.log.fail_at(EventKind::CallOpened);
        let reply = client.open("tools/call", json!({"name": "write", "arguments": {}})).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(upstream.calls("write"), 0);
        rig.log.take_down();
        for (method, params) in [
            ("tools/call", json!({"name": "echo", "arguments": {}})),
            ("tools/call", json!({"name": "write", "arguments": {}})),
            ("tools/list", json!({})),
            ("resources/read", json!({"uri": "mem://a"})),
        ] {
            let reply = client.open(method, params).await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{method}");
            assert_eq!(reply.json().await["error"]["data"]["reason"], "no_record");
        }
        let fresh = Client::unconnected(&rig, "up", "2025-11-25", rig.token("up"));
        let initialize =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
        let reply = fresh.open("initialize", initialize).await;
        assert_eq!((reply.status, reply.header("mcp-session-id")), (StatusCode::SERVICE_UNAVAILABLE, ""));
        assert_eq!((upstream.calls("write"), upstream.calls("echo"), upstream.posted("tools/list").len()), (0, 1, 1));
        assert!(!rig.gate.health().ready);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_recorded_is_withheld_and_the_client_told_so() {
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            rig.log.fail_at(EventKind::CallClosed);
            for tool in ["echo", "write", "progress"] {
                let answer = client.call(tool, json!({"note": "the secret"})).await;
                assert_eq!(answer.code(), -32603, "{tool}");
                let message = answer.response["error"]["message"].as_str().unwrap();
                assert!(message.contains("executed") && message.contains("withheld"), "{message}");
                assert!(answer.response.get("result").is_none());
                assert_eq!(upstream.calls(tool), 1);
            }
            assert_eq!(
                rig.log.about(EventKind::CallOpened, "tools/call").len(),
                1,
                "only the call that acts was opened"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_streams_ahead_of_a_record_that_fails() {
    for server in ERAS {
        for era in ERAS {
            let (_, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            rig.log.fail_at(EventKind::CallOpened);
            let params = json!({"name": "progress", "arguments": {}, "_meta": {"progressToken": 1}});
            let answer = client.request("tools/call", params).await;
            assert!(answer.notifications.is_empty(), "{answer:?}");
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{server:?} {era:?}");
            let question = client.request_once("tools/call", json!({"name": "ask_form", "arguments": {}})).await;
            let asked = question.response.pointer("/result/inputRequests").is_some();
            // A modern upstream's question is an answer like any other, and is recorded at its close.
            assert!(!asked || (server, era) == (Era::Modern, Era::Modern), "{question:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_cuts_calls_and_streams_that_are_open() {
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            let mut stream = if era == Era::Legacy {
                client.verb("GET", &[]).await
            } else {
                let mut stream =
                    client.open("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})).await;
                stream.next().await.unwrap();
                stream
            };
            let mut quiet = Box::pin(client.call("slow", json!({})));
            assert!(tokio::time::timeout(Duration::from_millis(200), &mut quiet).await.is_err());
            let mut held = client
                .open(
                    "tools/call",
                    json!({"name": "hold", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "debug"}}),
                )
                .await;
            assert_eq!(held.next().await.unwrap()["params"]["data"], "holding");
            let began = std::time::Instant::now();
            rig.revoke(RevocationSubject::User("u-ann".parse().unwrap())).await;
            let cut = quiet.await;
            assert!(cut.response.get("result").is_none(), "{cut:?}");
            let last = held.next().await;
            assert!(last.is_none_or(|last| last.get("result").is_none()), "no result is released");
            while let Some(message) = stream.next().await {
                assert!(message.get("method").is_none(), "nothing is announced any more: {message}");
            }
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
            until("both calls are closed", || rig.log.ends("slow").len() + rig.log.ends("hold").len() == 2).await;
            let ended = [rig.log.ends("slow"), rig.log.ends("hold")].concat();
            assert!(
                ended.iter().all(|end| matches!(end, OutcomeStatus::Refused | OutcomeStatus::Cancelled)),
                "{ended:?}"
            );
            until("the stream is closed", || rig.log.of(EventKind::StreamClosed).len() == 1).await;
            if era == Era::Legacy {
                until("the session is closed", || rig.log.of(EventKind::McpSessionClosed).len() == 1).await;
            }
            upstream.release.notify_waiters();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_the_gates_credential_does_not_ask_the_client_for_one() {
    let router =
        axum::Router::new().fallback(|| async { (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]) });
    let url = format!("{}/mcp", crate::rig::serve(router).await);
    let rig = Rig::unread(vec![http_offer("up", &url)]).await;
    let client = Client::unconnected(&rig, "up", "2025-11-25", rig.token("up"));
    let initialize =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    let reply = client.open("initialize", initialize).await;
    assert_eq!((reply.status, reply.header("www-authenticate")), (StatusCode::OK, ""));
    assert_eq!(reply.json().await["error"]["data"]["reason"], "upstream_credential_refused");
}
