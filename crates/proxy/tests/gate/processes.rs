//! Stateful servers over stdio: whose process it is.

use sallyport_mcp::Era;
use sallyport_proxy::upstream::Transport;
use serde_json::json;

use crate::rig::{Rig, able, claims, client::Client, stdio_offer, until};

async fn world() -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cancelled");
    (Rig::new(vec![stdio_offer("old", Era::Legacy, &file), stdio_offer("new", Era::Modern, &file)]).await, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_principals_never_share_a_process() {
    let (rig, _dir) = world().await;
    for upstream in ["old", "new"] {
        for version in ["2025-11-25", "2026-07-28"] {
            let mut pids = Vec::new();
            let base = claims("ann", upstream);
            let mut others = vec![base.clone(); 4];
            others[1].sub = "u-bob".into();
            others[2].tenant = "globex".parse().unwrap();
            others[3].sid = "s-other".parse().unwrap();
            for claims in others {
                let client = Client::connect_as(&rig, upstream, version, rig.sign(&claims), able()).await;
                let notes = client.call("write", json!({"note": version})).await;
                assert_eq!(notes.text().matches(version).count(), 1, "no other's state is there: {notes:?}");
                pids.push(client.call("pid", json!({})).await.text().to_owned());
            }
            pids.sort();
            pids.dedup();
            assert_eq!(pids.len(), 4, "{upstream} {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_one_principal_share_theirs() {
    let (rig, _dir) = world().await;
    for upstream in ["old", "new"] {
        // The first one teaches the gate which era the server speaks.
        Client::connect(&rig, upstream, Era::Legacy).await.verb("DELETE", &[]).await;
        let first = Client::connect(&rig, upstream, Era::Legacy).await;
        let second = Client::connect(&rig, upstream, Era::Legacy).await;
        assert_ne!(first.session, second.session);
        assert_eq!(first.call("pid", json!({})).await.text(), second.call("pid", json!({})).await.text(), "{upstream}");
        first.call("write", json!({"note": "a"})).await.result();
        assert_eq!(second.call("write", json!({"note": "b"})).await.text(), r#"["a", "b"]"#);
        first.verb("DELETE", &[]).await;
        assert_eq!(
            second.call("write", json!({"note": "c"})).await.text(),
            r#"["a", "b", "c"]"#,
            "the other's goes on"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_with_its_last_session() {
    let (rig, _dir) = world().await;
    until("the catalogue's processes are gone", || rig.connector.process_count() == 0).await;
    let client = Client::connect(&rig, "old", Era::Legacy).await;
    assert_eq!(rig.connector.process_count(), 1);
    client.verb("DELETE", &[]).await;
    until("the process is gone", || rig.connector.process_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_upstream_forgot_is_opened_anew_for_a_modern_client() {
    let (upstream, url) = crate::rig::upstream::Upstream::start(Era::Legacy).await;
    // Its first session is the catalogue reader's.
    let rig = Rig::new(vec![crate::rig::http_offer("up", &url)]).await;
    let modern = Client::connect(&rig, "up", Era::Modern).await;
    let legacy = Client::connect(&rig, "up", Era::Legacy).await;
    modern.call("echo", json!({})).await.result();
    upstream.forget_sessions();
    let again = modern.call("write", json!({})).await;
    assert_eq!(again.text(), "1 notes", "and it was executed once");
    let lost = legacy.call("echo", json!({})).await;
    assert_eq!(lost.status, 404, "a legacy client initializes anew by itself: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_declared_shareable_is_shared_within_a_tenant_only_and_may_not_ask() {
    let dir = tempfile::tempdir().unwrap();
    let mut offer = stdio_offer("old", Era::Legacy, &dir.path().join("cancelled"));
    let mut spec = (*offer.spec).clone();
    if let Transport::Stdio { shareable, .. } = &mut spec.transport {
        *shareable = true;
    }
    offer.spec = spec.into();
    let rig = Rig::new(vec![offer]).await;
    for version in ["2025-03-26", "2025-11-25", "2026-07-28"] {
        let mut pids = Vec::new();
        for (person, tenant) in [("ann", "acme"), ("bob", "acme"), ("eve", "globex")] {
            let mut claims = claims(person, "old");
            claims.tenant = tenant.parse().unwrap();
            let client = Client::connect_as(&rig, "old", version, rig.sign(&claims), able()).await;
            if client.era == Era::Legacy {
                assert_eq!(client.greeting["protocolVersion"], version, "the client's own version, not the process's");
            }
            pids.push(client.call("pid", json!({})).await.text().to_owned());
            let asked = client.call("ask_form", json!({})).await;
            assert!(asked.questions.is_empty() && asked.text().contains("shared"), "{asked:?}");
        }
        assert_eq!(pids[0], pids[1], "one tenant's, {version}");
        assert_ne!(pids[0], pids[2], "another tenant's, {version}");
    }
}
