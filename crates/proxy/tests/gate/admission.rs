//! An upstream is served while the register says so, and not a moment longer.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use sallyport_mcp::Era;
use sallyport_model::{EventKind, Timestamp, UpstreamName, event::OutcomeStatus};
use sallyport_storage::{
    Admission, AdmissionDecision, Assessed, AssessmentOrigin, Assessments, Catalogue, Digest, definitions_digest,
};
use serde_json::json;

use crate::rig::{NOW, Rig, client::Client, http_offer, until, upstream::Upstream};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

impl Rig {
    async fn definitions(&self, upstream: &str) -> Digest {
        definitions_digest(&self.store.pinned(&name(upstream)).await.unwrap())
    }

    async fn decide(&self, upstream: &str, decided: Admission) {
        let decision = AdmissionDecision {
            upstream: name(upstream),
            decided,
            by: "ann".into(),
            reason: "because".into(),
            owner: None,
            until: (decided == Admission::Accepted).then(|| Timestamp::from_secs(NOW + 60)),
            at: Timestamp::from_secs(NOW),
            definitions: self.definitions(upstream).await,
        };
        let number = self.store.decide_admission(&decision).await.unwrap();
        self.until_known(number).await;
    }

    async fn assess(&self, upstream: &str, total: u8) {
        let assessed = Assessed {
            upstream: name(upstream),
            assessed_at: Timestamp::from_secs(NOW),
            recorded_at: Timestamp::from_secs(NOW),
            origin: AssessmentOrigin::Recorded,
            target: "https://up.example/mcp".into(),
            target_differs: None,
            total: Some(total),
            low: total,
            high: total,
            band: None,
            definitions: Some(self.definitions(upstream).await),
            counts: true,
        };
        let number = self.store.record_assessment(&assessed, "{}").await.unwrap();
        self.until_known(number).await;
    }

    async fn until_known(&self, number: u64) {
        let began = Instant::now();
        until("the register is read", || *self.register.number().borrow() >= Some(number)).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

fn name(upstream: &str) -> UpstreamName {
    UpstreamName::new(upstream).unwrap()
}

/// Posts and streams that arrived: everything but the ends of sessions.
fn forwarded(upstream: &Upstream) -> usize {
    upstream.arrived().iter().filter(|arrived| arrived.method != Method::DELETE).count()
}

async fn verdict(client: &Client<'_>) -> Result<(), String> {
    let answer = client.request("tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(answer.status, StatusCode::OK, "every client can show a JSON-RPC error");
    match answer.response.get("error") {
        None => Ok(()),
        Some(error) => {
            assert_eq!(error["code"], -32603);
            Err(error["data"]["reason"].as_str().unwrap().to_owned())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_upstream_is_refused_on_every_way_in() {
    for server in ERAS {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url), http_offer("other", &url)]).await;
        let legacy = Client::connect(&rig, "up", Era::Legacy).await;
        let batching = Client::connect_as(&rig, "up", "2025-03-26", rig.token("up"), json!({})).await;
        let modern = Client::connect(&rig, "up", Era::Modern).await;
        rig.decide("up", Admission::Held).await;
        let before = forwarded(&upstream);
        let mut expected = 0;
        for client in [&legacy, &modern] {
            for (method, params) in [
                ("tools/call", json!({"name": "echo", "arguments": {}})),
                ("tools/call", json!({"name": "none", "arguments": {}})),
                ("tools/list", json!({})),
                ("resources/read", json!({"uri": "mem://a"})),
                ("prompts/list", json!({})),
                ("ping", json!({})),
                ("server/discover", json!({})),
                ("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})),
                ("tasks/list", json!({})),
                ("x/unheard-of", json!({})),
            ] {
                let reply = client.open(method, params).await;
                assert_eq!((reply.status, reply.is_stream()), (StatusCode::OK, false), "{method}");
                let answer = reply.json().await;
                assert_eq!(answer["error"]["data"]["reason"], "upstream_held", "{method} {answer}");
                assert!(answer["id"].is_i64(), "{method}: the answer finds its request");
                expected += 1;
            }
            let said = client.notify("notifications/roots/list_changed", json!({})).await;
            assert_eq!(said, StatusCode::SERVICE_UNAVAILABLE, "what has no answer has a status");
            expected += 1;
        }
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string();
        assert_eq!(legacy.post(&answer).await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(legacy.verb("GET", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
        let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "echo"}});
        let batch = json!([call(1), call(2)]).to_string();
        assert_eq!(batching.post(&batch).await.status, StatusCode::SERVICE_UNAVAILABLE);
        let fresh = Client::unconnected(&rig, "up", "2025-11-25", rig.token("up"));
        let hello =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
        let reply = fresh.open("initialize", hello).await;
        assert_eq!(reply.header("mcp-session-id"), "");
        assert_eq!(reply.json().await["error"]["data"]["reason"], "upstream_held");
        expected += 4;
        assert_eq!(rig.log.refusals(), vec!["upstream_held"; expected], "each on the record");
        assert_eq!(forwarded(&upstream), before, "nothing was forwarded");

        assert_eq!(verdict(&Client::connect(&rig, "other", Era::Modern).await).await, Ok(()), "it alone is held");
        let metadata = Request::get("/.well-known/oauth-protected-resource/mcp/up").body(Body::empty()).unwrap();
        assert_eq!(rig.send(metadata).await.status, StatusCode::OK, "which is the gate's own to tell");
        rig.decide("up", Admission::Admitted).await;
        assert_eq!(verdict(&Client::connect(&rig, "up", Era::Legacy).await).await, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_does_not_learn_whether_an_upstream_is_held() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::demanding(vec![http_offer("up", &url)], Some(20)).await;
    let stranger = Client::unconnected(&rig, "up", "2025-11-25", "none".to_owned());
    let reply = stranger.open("tools/list", json!({})).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(!reply.text().await.contains("assess"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_streams_end_when_their_upstream_is_held() {
    for server in ERAS {
        for era in ERAS {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let client = Client::connect(&rig, "up", era).await;
            let mut stream = if era == Era::Legacy {
                client.verb("GET", &[]).await
            } else {
                let wanted = json!({"notifications": {"toolsListChanged": true}});
                let mut stream = client.open("subscriptions/listen", wanted).await;
                stream.next().await.unwrap();
                stream
            };
            let mut quiet = Box::pin(client.call("slow", json!({})));
            assert!(tokio::time::timeout(Duration::from_millis(200), &mut quiet).await.is_err());
            let began = Instant::now();
            rig.decide("up", Admission::Held).await;
            let cut = quiet.await;
            assert!(cut.response.get("result").is_none(), "{cut:?}");
            while let Some(message) = stream.next().await {
                assert!(message.get("method").is_none(), "nothing is announced any more: {message}");
            }
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
            until("the call is closed", || rig.log.ends("slow").len() == 1).await;
            let ended = rig.log.ends("slow");
            assert!(matches!(ended[..], [OutcomeStatus::Refused | OutcomeStatus::Cancelled]), "{ended:?}");
            until("the stream is closed", || rig.log.of(EventKind::StreamClosed).len() == 1).await;
            if era == Era::Legacy {
                until("the session is closed", || rig.log.of(EventKind::McpSessionClosed).len() == 1).await;
            }
            upstream.release.notify_waiters();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_opens_and_a_person_opens_for_a_while() {
    for era in ERAS {
        let (_, url) = Upstream::start(Era::Legacy).await;
        let rig = Rig::demanding(vec![http_offer("up", &url)], Some(12)).await;
        let modern = Client::unconnected(&rig, "up", "2026-07-28", rig.token("up"));
        assert_eq!(verdict(&modern).await, Err("upstream_not_assessed".to_owned()));
        rig.assess("up", 11).await;
        assert_eq!(verdict(&modern).await, Err("upstream_below_minimum".to_owned()));
        rig.decide("up", Admission::Accepted).await;
        let client = Client::connect(&rig, "up", era).await;
        assert_eq!(verdict(&client).await, Ok(()), "a named person accepts it");
        rig.clock.advance(Duration::from_secs(61));
        assert_eq!(verdict(&client).await, Err("upstream_below_minimum".to_owned()), "until a date, and no longer");
        rig.assess("up", 12).await;
        assert_eq!(verdict(&Client::connect(&rig, "up", era).await).await, Ok(()), "it has improved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_changes_what_it_offers_is_not_the_assessed_one() {
    for era in ERAS {
        let (upstream, url) = Upstream::start(Era::Legacy).await;
        let rig = Rig::demanding(vec![http_offer("up", &url)], Some(12)).await;
        rig.assess("up", 20).await;
        let client = Client::connect(&rig, "up", era).await;
        assert_eq!(verdict(&client).await, Ok(()));
        // The catalogue is read at most once a second.
        tokio::time::sleep(Duration::from_millis(1050)).await;
        upstream.change_echo();
        let list = client.request("tools/list", json!({})).await;
        assert_eq!(list.response["error"]["data"]["reason"], "upstream_drifted", "the list that showed it is withheld");
        assert_eq!(verdict(&client).await, Err("upstream_drifted".to_owned()));
        assert_eq!(rig.log.refusals().last().unwrap(), "upstream_drifted");
        rig.decide("up", Admission::Accepted).await;
        assert_eq!(verdict(&Client::connect(&rig, "up", era).await).await, Ok(()));
        upstream.offer(vec![json!({"name": "another", "inputSchema": {"type": "object"}})]);
        assert!(rig.gate.read_catalogues().await.is_empty());
        let fresh = Client::unconnected(&rig, "up", "2026-07-28", rig.token("up"));
        assert_eq!(verdict(&fresh).await, Err("upstream_drifted".to_owned()), "that was not what she accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pinned_before_a_restart_is_what_was_assessed() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::demanding(vec![http_offer("up", &url)], Some(12)).await;
    rig.assess("up", 20).await;
    rig.gate.load_pins().await.unwrap();
    assert_eq!(verdict(&Client::connect(&rig, "up", Era::Modern).await).await, Ok(()));
    assert!(rig.gate.read_catalogues().await.is_empty());
    assert_eq!(verdict(&Client::connect(&rig, "up", Era::Legacy).await).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_cannot_be_read_admits_nothing_where_a_score_is_demanded() {
    for minimum in [Some(0), None] {
        let (upstream, url) = Upstream::start(Era::Legacy).await;
        let rig = Rig::demanding(vec![http_offer("up", &url)], minimum).await;
        rig.assess("up", 20).await;
        let client = Client::connect(&rig, "up", Era::Legacy).await;
        let mut stream = client.verb("GET", &[]).await;
        assert_eq!(verdict(&client).await, Ok(()));
        rig.stop_reading_the_register();
        until("the lease lapses", || !rig.register.leased()).await;
        let before = upstream.arrived().len();
        if minimum.is_none() {
            assert_eq!(verdict(&client).await, Ok(()), "nothing is demanded of it");
            assert!(rig.gate.health().ready);
            continue;
        }
        assert_eq!(verdict(&client).await, Err("admission_unknown".to_owned()));
        assert!(stream.next().await.is_none(), "open streams are cut");
        assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
        assert_eq!(rig.gate.health().faults.keys().collect::<Vec<_>>(), [&"admission"]);
        rig.register.poll(rig.store.as_ref()).await.unwrap();
        assert_eq!(verdict(&client).await, Ok(()), "the session is still there");
    }
}
