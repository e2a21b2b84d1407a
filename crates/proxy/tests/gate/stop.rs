//! The gate stops: what runs may finish, what does not is ended on the record.

use std::time::{Duration, Instant};

use sallyport_mcp::Era;
use sallyport_model::{EventKind, event::OutcomeStatus};
use serde_json::{Value, json};

use crate::rig::{
    Rig,
    client::{Client, Reply},
    http_offer,
    upstream::Upstream,
};

async fn hold(client: &Client<'_>) -> Reply {
    let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let mut held = client.open("tools/call", json!({"name": "hold", "arguments": {}, "_meta": meta})).await;
    held.next().await.unwrap();
    held
}

const PAIRS: [(Era, Era); 4] =
    [(Era::Legacy, Era::Legacy), (Era::Legacy, Era::Modern), (Era::Modern, Era::Legacy), (Era::Modern, Era::Modern)];

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_finish_and_its_record_with_it() {
    for (client, server) in PAIRS {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", client).await;
        let mut held = hold(&client).await;
        let gate = rig.gate.clone();
        let stopping = tokio::spawn(async move { gate.stop(Duration::from_secs(10)).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!stopping.is_finished());
        upstream.release.notify_waiters();
        stopping.await.unwrap();
        let answer = held.next().await.unwrap();
        assert_eq!(answer["result"]["content"][0]["text"], "released");
        assert_eq!(rig.log.ends("hold"), [OutcomeStatus::Succeeded]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_is_cancelled_on_the_record_before_the_stop_is_over() {
    for (client, server) in PAIRS {
        let (_, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", client).await;
        let stream = if client.era == Era::Legacy {
            client.verb("GET", &[]).await
        } else {
            client.open("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})).await
        };
        assert!(stream.is_stream());
        let mut held = hold(&client).await;
        let began = Instant::now();
        rig.gate.stop(Duration::from_millis(300)).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let events = rig.log.events().len();
        assert_eq!(rig.log.ends("hold"), [OutcomeStatus::Cancelled], "{client:?}", client = client.era);
        for (opens, closes) in [
            (EventKind::CallOpened, EventKind::CallClosed),
            (EventKind::StreamOpened, EventKind::StreamClosed),
            (EventKind::McpSessionOpened, EventKind::McpSessionClosed),
        ] {
            let closed: Vec<_> = rig.log.of(closes).into_iter().map(|event| event.call.unwrap().id).collect();
            let left = rig.log.of(opens).into_iter().find(|event| !closed.contains(&event.call.as_ref().unwrap().id));
            assert_eq!(left, None, "nothing is left open");
        }
        let told = held.next().await.unwrap_or(Value::Null);
        assert!(told["error"]["message"].as_str().unwrap().contains("the gate stopped"), "{told}");
        let late = client.open("tools/call", json!({"name": "echo", "arguments": {}})).await;
        assert_eq!(late.status, 503);
        assert_eq!(rig.log.events().len(), events, "nothing is recorded after the stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_do_not_let_go_hold_the_stop_up_once_and_not_each() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    for _ in 0..6 {
        Client::connect(&rig, "up", Era::Legacy).await;
    }
    upstream.hang_on("DELETE");
    let began = Instant::now();
    rig.gate.stop(Duration::from_secs(10)).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(rig.log.of(EventKind::McpSessionClosed).len(), 6);
}
