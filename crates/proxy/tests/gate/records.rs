//! What the log says of a call, and when it says it.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use sallyport_mcp::Era;
use sallyport_model::{EventKind, event::OutcomeStatus};
use serde_json::json;

use crate::rig::{Rig, client::Client, http_offer, until, upstream::Upstream};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_acts_is_in_the_log_before_it_is_forwarded() {
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            rig.log.hold(EventKind::CallOpened);
            let mut call = Box::pin(client.call("write", json!({})));
            assert!(tokio::time::timeout(Duration::from_millis(200), &mut call).await.is_err());
            assert_eq!(upstream.calls("write"), 0, "not before the log has it");
            rig.log.let_go();
            call.await.result();
            assert_eq!(upstream.calls("write"), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_after_its_record() {
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            rig.log.hold(EventKind::CallClosed);
            let mut call = Box::pin(client.call("echo", json!({})));
            assert!(tokio::time::timeout(Duration::from_millis(200), &mut call).await.is_err());
            assert_eq!(upstream.calls("echo"), 1, "executed");
            rig.log.let_go();
            call.await.result();
            assert_eq!(rig.log.ends("echo"), [OutcomeStatus::Succeeded]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_who_did_what_with_which_arguments() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let client = Client::connect(&rig, "up", Era::Legacy).await;
    let arguments = json!({"note": "hello", "password": "hunter2", "key": "AKIAIOSFODNN7EXAMPLE", "n": 1});
    client.call("write", arguments).await.result();
    let (opened, closed) = (
        &rig.log.about(EventKind::CallOpened, "tools/call")[0],
        &rig.log.about(EventKind::CallClosed, "tools/call")[0],
    );
    let call = opened.call.as_ref().unwrap();
    assert_eq!(call.id, closed.call.as_ref().unwrap().id, "the two entries are one call's");
    assert_ne!(opened.id, closed.id);
    assert_eq!(opened.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!(opened.person().unwrap().as_str(), "u-ann");
    let who = opened.who.as_ref().unwrap();
    assert_eq!(who.client.as_ref().unwrap().as_str(), "c-1");
    assert!(who.session.is_some() && who.grant.is_some() && who.token.is_some());
    assert_eq!((call.upstream.as_str(), call.name.as_deref()), ("up", Some("write")));
    assert_eq!(call.protocol_version.as_deref(), Some("2025-11-25"));
    assert_eq!(call.arguments, Some(json!({"note": "hello", "password": "[redacted]", "key": "[redacted]", "n": 1})));
    assert_eq!(call.arguments_sha256.as_ref().unwrap().len(), 64);
    assert_eq!(call.definition_sha256.as_ref().unwrap().len(), 64);
    assert_eq!(opened.source.as_ref().unwrap().address, "203.0.113.9");
    assert!(opened.decision.as_ref().unwrap().allowed);
    let outcome = closed.outcome.as_ref().unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Succeeded);
    assert!(outcome.response_bytes > 10 && call.request_bytes > 10);
    let text = format!("{:?}", rig.log.events());
    assert!(!text.contains("hunter2") && !text.contains("AKIA") && !text.contains(&client.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_call_ended_is_told_apart() {
    for server in ERAS {
        for era in ERAS {
            let (_, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            client.call("fail", json!({})).await;
            client.call("broken", json!({})).await;
            client.call("die", json!({})).await;
            assert_eq!(rig.log.ends("fail"), [OutcomeStatus::ToolFailed]);
            assert_eq!(rig.log.ends("broken"), [OutcomeStatus::Errored]);
            assert_eq!(rig.log.ends("die"), [OutcomeStatus::UpstreamFailed]);
            let missing = client.call("none", json!({})).await;
            assert_eq!(missing.code(), -32602);
            assert_eq!(rig.log.refusals(), ["not_in_catalogue"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_that_goes_away_has_cancelled_and_a_legacy_one_has_not() {
    for server in ERAS {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let params =
            || json!({"name": "hold", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "debug"}});
        let modern = Client::connect(&rig, "up", Era::Modern).await;
        let mut stream = modern.open("tools/call", params()).await;
        stream.next().await.unwrap();
        drop(stream);
        until("the call is closed", || rig.log.ends("hold") == [OutcomeStatus::Cancelled]).await;
        if server == Era::Legacy {
            until("the upstream hears", || upstream.cancelled().len() == 1).await;
        }
        let legacy = Client::connect(&rig, "up", Era::Legacy).await;
        let mut stream = legacy.open("tools/call", params()).await;
        stream.next().await.unwrap();
        drop(stream);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(rig.log.ends("hold").len(), 1, "it goes on");
        upstream.release.notify_waiters();
        until("and is recorded", || rig.log.ends("hold").last() == Some(&OutcomeStatus::Succeeded)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_its_call_is_being_recorded_leaves_no_loose_end() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    for era in ERAS {
        let client = Client::connect(&rig, "up", era).await;
        let before = rig.log.ends("write").len();
        rig.log.hold(EventKind::CallOpened);
        let mut call = Box::pin(client.call("write", json!({})));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut call).await.is_err());
        drop(call);
        rig.log.let_go();
        until("what was opened is closed", || rig.log.ends("write").len() == before + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_streams_have_a_beginning_and_an_end_in_the_log() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let deleted = || upstream.arrived().iter().filter(|arrived| arrived.method == http::Method::DELETE).count();
    let before = deleted();
    let client = Client::connect(&rig, "up", Era::Legacy).await;
    assert_eq!(rig.log.of(EventKind::McpSessionOpened).len(), 1);
    let stream = client.verb("GET", &[]).await;
    assert_eq!(rig.log.of(EventKind::StreamOpened).len(), 1, "before its first byte");
    drop(stream);
    until("the stream's end is recorded", || rig.log.of(EventKind::StreamClosed).len() == 1).await;
    assert_eq!(client.verb("DELETE", &[]).await.status, 200);
    assert_eq!(rig.log.of(EventKind::McpSessionClosed).len(), 1);
    assert_eq!(deleted(), before + 1, "the upstream's session ends with it");
    assert_eq!(client.call("echo", json!({})).await.status, 404, "the session is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_counted_and_never_cost_an_entry_each() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let before = rig.log.events().len();
    for n in 0..500 {
        let request = Request::post(format!("/mcp/{}", ["up", "none", "x'--"][n % 2])).body(Body::empty()).unwrap();
        rig.send(request).await;
    }
    assert_eq!(rig.log.events().len(), before, "nothing is written on the way");
    let strangers = rig.gate.strangers();
    strangers.flush(rig.log.as_ref(), rig.clock.as_ref(), &sallyport_model::SystemRng).await;
    let events = rig.log.of(EventKind::StrangersRefused);
    assert_eq!(events.len(), 2);
    assert_eq!(events.iter().map(|event| event.facts["times"].as_u64().unwrap()).sum::<u64>(), 500);
    assert!(events.iter().all(|event| event.who.is_none() && event.tenant.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_too_large_for_its_record() {
    let poison: serde_json::Map<_, _> = (0..60).map(|n| (format!("p{n}"), "\u{1}".repeat(256).into())).collect();
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            for tool in ["echo", "write"] {
                client.call(tool, json!(poison)).await.result();
                assert_eq!(rig.log.ends(tool), [OutcomeStatus::Succeeded]);
            }
            client.call(&"\u{1}".repeat(100_000), json!(poison)).await;
            assert_eq!(rig.log.refusals(), ["not_in_catalogue"]);
            // Even where the log holds next to nothing, what was executed has an entry.
            rig.log.take_at_most(1_200);
            client.call("echo", json!(poison)).await.result();
            assert_eq!(upstream.calls("echo"), 2);
            let last = rig.log.of(EventKind::CallClosed).pop().unwrap();
            let call = last.call.unwrap();
            assert_eq!((call.method.as_str(), call.name, call.arguments), ("tools/call", None, None));
            assert!(call.arguments_sha256.is_some() && last.who.is_some());
            client.call("none", json!(poison)).await;
            assert_eq!(rig.log.refusals().len(), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_protocol_version_is_recorded_clipped() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let client = Client::unconnected(&rig, "up", "2025-11-25", rig.token("up"));
    for (info, status) in [(json!({"name": "t", "version": "1"}), 200), (json!("no object"), 200)] {
        let version = "\u{1}".repeat(100_000);
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": info});
        assert_eq!(client.open("initialize", params).await.status, status);
    }
    assert_eq!(rig.log.of(EventKind::McpSessionOpened).len(), 1);
    let refused = rig.log.of(EventKind::CallRefused).pop().unwrap().call.unwrap();
    assert_eq!(refused.method, "initialize");
    assert_eq!(refused.protocol_version.unwrap().chars().count(), 33, "cut, with a mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_question_is_in_the_log_before_the_upstream_has_it() {
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            let answer = json!({"action": "accept", "content": {"name": "the-persons-own-words"}});
            let heard = || upstream.arrived().iter().any(|arrived| arrived.body.contains("the-persons-own-words"));
            rig.log.hold(EventKind::InputAnswered);
            let reply = |_: &str, _: &serde_json::Value| answer.clone();
            let mut call =
                Box::pin(client.converse("tools/call", json!({"name": "ask_form", "arguments": {}}), &reply));
            assert!(tokio::time::timeout(Duration::from_millis(300), &mut call).await.is_err());
            assert!(!heard(), "not before the log has it");
            rig.log.let_go();
            assert_eq!(call.await.text(), answer.to_string());
            let [event] = &rig.log.of(EventKind::InputAnswered)[..] else { panic!("{:?}", rig.log.events()) };
            let facts = event.call.as_ref().unwrap();
            let both_modern = (server, era) == (Era::Modern, Era::Modern);
            assert_eq!(facts.method, if both_modern { "tools/call" } else { "elicitation/create" });
            assert_eq!((facts.upstream.as_str(), event.person().unwrap().as_str()), ("up", "u-ann"));
            assert_eq!(event.facts["action"], "accept");
            assert_eq!(event.facts["content_sha256"].as_str().unwrap().len(), 64);
            assert!(!event.facts["key"].as_str().unwrap().is_empty());
            assert!(!format!("{:?}", rig.log.events()).contains("the-persons-own-words"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_recorded_is_not_forwarded() {
    for server in ERAS {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let params = json!({"name": "ask_form", "arguments": {}});
        let legacy = Client::connect(&rig, "up", Era::Legacy).await;
        let modern = Client::connect(&rig, "up", Era::Modern).await;
        rig.log.fail_at(EventKind::InputAnswered);
        let mut stream = legacy.open("tools/call", params.clone()).await;
        let question = stream.next().await.unwrap();
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline", "x": "mine"}});
        for _ in 0..2 {
            assert_eq!(legacy.post(&answer.to_string()).await.status, 503, "the question stays open");
        }
        let done = modern.converse("tools/call", params, &|_, _| json!({"action": "decline", "x": "mine"})).await;
        assert_eq!(done.status, 503, "{done:?}");
        assert!(!upstream.arrived().iter().any(|arrived| arrived.body.contains("mine")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_changed_after_that_is_in_the_log() {
    let (upstream, url) = Upstream::start(Era::Modern).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    client.call("task", json!({})).await.result();
    for method in ["tasks/update", "tasks/cancel"] {
        rig.log.hold(EventKind::CallOpened);
        let params = json!({"taskId": "task-1", "inputResponses": {"who": {"action": "decline"}}});
        let mut call = Box::pin(client.request(method, params));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut call).await.is_err(), "{method}");
        assert!(upstream.posted(method).is_empty(), "{method}");
        rig.log.let_go();
        call.await.result();
        assert_eq!(upstream.posted(method).len(), 1, "{method}");
        assert_eq!(rig.log.about(EventKind::CallOpened, method).len(), 1, "{method}");
    }
}
