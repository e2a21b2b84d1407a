//! What is shown and may be called follows from what is pinned.

use sallyport_mcp::Era;
use sallyport_model::EventKind;
use serde_json::json;

use crate::rig::{Rig, client::Client, http_offer, upstream::Upstream};

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
