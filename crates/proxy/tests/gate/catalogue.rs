//! What is shown and may be called follows from what is pinned.

use std::{sync::Arc, time::Duration};

use sallyport_mcp::Era;
use sallyport_model::{AuditEvent, EventKind};
use serde_json::{Value, json};

use crate::rig::{Rig, client::Client, http_offer, until, upstream::Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_changes_upstream_is_pinned_anew_on_the_record() {
    for server in [Era::Legacy, Era::Modern] {
        for era in [Era::Legacy, Era::Modern] {
            let (upstream, url) = Upstream::start(server).await;
            let rig = Rig::new(vec![http_offer("up", &url)]).await;
            let first = rig.log.of(EventKind::DefinitionPinned);
            assert!(first.iter().all(|event| event.facts["change"] == "new"), "{first:?}");
            let client = Client::connect(&rig, "up", era).await;
            // The catalogue is read at most once a second.
            tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
            upstream.change_echo();
            let tools = client.request("tools/list", json!({})).await;
            let echo = &tools.result()["tools"][0];
            assert_eq!(echo["description"], "changed behind the gate's back");
            let pinned = rig.log.of(EventKind::DefinitionPinned);
            let change = pinned.last().unwrap();
            assert_eq!((&change.facts["change"], &change.facts["name"]), (&json!("changed"), &json!("echo")));
            assert_ne!(change.facts["sha256"], change.facts["sha256_before"]);
            assert_eq!(pinned.len(), first.len() + 1, "nothing else changed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_appears_later_is_found_by_list_and_by_call() {
    for by_list in [true, false] {
        let (_, url) = Upstream::start(Era::Legacy).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", Era::Modern).await;
        assert_eq!(client.call("late", json!({})).await.code(), -32602);
        client.call("grow", json!({})).await.result();
        tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
        if by_list {
            let tools = client.request("tools/list", json!({})).await;
            assert!(tools.result()["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "late"));
        }
        assert_eq!(client.call("late", json!({})).await.text(), "late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_outlive_the_upstream() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    rig.gate.load_pins().await.unwrap();
    let name = "up".parse().unwrap();
    let scopes = rig.gate.served(&name).unwrap().scopes();
    assert!(scopes.iter().any(|meaning| meaning.scope.as_str() == "up:echo" && !meaning.acts));
    assert!(
        scopes.iter().any(|meaning| meaning.scope.as_str() == "up:%77rite" && meaning.acts),
        "unannotated means acting"
    );
}

fn tools(count: usize, text: &str) -> Vec<Value> {
    let tool = |n| json!({"name": format!("tool-{n:03}"), "description": text, "inputSchema": {"type": "object"}});
    (0..count).map(tool).collect()
}

fn many(rig: &Rig) -> Vec<AuditEvent> {
    let all = rig.log.of(EventKind::DefinitionPinned);
    all.into_iter().filter(|event| event.facts["change"] == "many").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_changes_is_one_entry_with_counts_and_a_digest() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let before = rig.log.of(EventKind::DefinitionPinned).len();
    upstream.offer(tools(500, "first"));
    assert!(rig.gate.read_catalogues().await.is_empty());
    upstream.offer(tools(499, "second"));
    assert!(rig.gate.read_catalogues().await.is_empty());
    assert!(rig.gate.read_catalogues().await.is_empty(), "the same again is no news");
    assert_eq!(rig.log.of(EventKind::DefinitionPinned).len(), before + 2);
    let [came, changed]: [AuditEvent; 2] = many(&rig).try_into().unwrap();
    assert_eq!((&came.facts["new"], &came.facts["changed"]), (&json!(500), &json!(0)));
    assert_eq!((&changed.facts["changed"], &changed.facts["gone"]), (&json!(499), &json!(1)));
    assert_ne!(came.facts["set_sha256"], changed.facts["set_sha256"]);
    let first = changed.facts["first"].as_array().unwrap();
    assert_eq!((first.len(), &first[0]["name"], &first[0]["change"]), (20, &json!("tool-000"), &json!("changed")));
    assert_ne!(first[0]["sha256"], first[0]["sha256_before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_recorded_is_not_pinned() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    upstream.offer(tools(1, "new"));
    rig.log.fail_at(EventKind::DefinitionPinned);
    assert_eq!(rig.gate.read_catalogues().await.len(), 1);
    rig.gate.load_pins().await.unwrap();
    let served = rig.gate.served(&"up".parse().unwrap()).unwrap();
    assert!(served.live().tool("tool-000").is_none(), "the log comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_too_large_is_left_out_on_the_record() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let mut offered = tools(1, "small");
    offered.push(json!({"name": "huge", "description": "x".repeat(256 << 10), "inputSchema": {"type": "object"}}));
    upstream.offer(offered);
    for _ in 0..2 {
        assert!(rig.gate.read_catalogues().await.is_empty());
    }
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let listed = client.request("tools/list", json!({})).await.result()["tools"].to_string();
    assert!(listed.contains("tool-000") && !listed.contains("huge"));
    let pinned = rig.log.of(EventKind::DefinitionPinned);
    let left_out: Vec<_> = pinned.iter().filter(|event| event.facts["change"] == "left_out").collect();
    assert_eq!(left_out.len(), 1, "it is news once");
    assert_eq!(left_out[0].facts["first"], json!(["huge"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_without_end_is_not_read_beyond_16_mib() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::unread(vec![http_offer("up", &url)]).await;
    upstream.offer(tools(4, &"x".repeat(200 << 10)));
    upstream.never_end();
    let failed = rig.gate.read_catalogues().await;
    assert!(failed[0].1.to_string().contains("16777216 bytes"), "{failed:?}");
    let pages = upstream.posted("tools/list").len();
    assert!((20..23).contains(&pages), "{pages} pages of 800 KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_upstream_that_hangs_keeps_no_other_unread() {
    let (hanging, first) = Upstream::start(Era::Legacy).await;
    let (_, second) = Upstream::start(Era::Legacy).await;
    hanging.hang_on("tools/list");
    let rig = Rig::unread(vec![http_offer("a", &first), http_offer("b", &second)]).await;
    let gate = rig.gate.clone();
    let reading = tokio::spawn(async move { gate.read_catalogues().await });
    let served = rig.gate.served(&"b".parse().unwrap()).unwrap();
    until("the other one is read", || served.live().tool("echo").is_some()).await;
    assert!(!reading.is_finished());
    reading.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_a_read_that_fails_start_none_of_their_own() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let mut offer = http_offer("up", &url);
    let mut spec = (*offer.spec).clone();
    spec.timeouts.first = Duration::from_millis(700);
    offer.spec = Arc::new(spec);
    let rig = Rig::new(vec![offer]).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let before = upstream.posted("tools/list").len();
    upstream.hang_on("tools/list");
    let calls = (0..4).map(|_| client.call("late", json!({})));
    for call in futures::future::join_all(calls).await {
        assert_eq!(call.code(), -32602);
    }
    assert_eq!(upstream.posted("tools/list").len(), before + 1);
}
