//! Security events that are fetched.

use std::time::Duration;

use sallyport_model::EventKind;
use serde_json::{Value, json};

use crate::{
    oidc_provider::with,
    ssf_transmitter::{CAEP, Made, RISC, SSF, Scene, another_node, iss_sub},
};

async fn scene() -> Scene {
    Scene::made(Made { push: false, ..Made::default() }).await
}

fn lay(scene: &Scene, jti: &str, event: &str, subject: &Value) {
    let claims = scene.claims(jti, event, &json!({}), subject);
    scene.transmitter.lay_ready(jti, scene.transmitter.sign(&json!({}), &claims));
}

/// A round later.
async fn round(scene: &Scene) -> usize {
    scene.app.later(Duration::from_secs(5));
    scene.identity.poll_signals().await.unwrap()
}

#[tokio::test]
async fn what_waits_is_fetched_acted_upon_and_then_acknowledged() {
    let scene = scene().await;
    let ann = scene.access(&scene.connection, "ann", None).await;
    lay(&scene, "e1", &format!("{CAEP}session-revoked"), &iss_sub("ann"));
    lay(&scene, "e2", &format!("{RISC}account-disabled"), &iss_sub("nobody"));
    let claims = scene.claims("e3", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann"));
    let foreign = with(claims.clone(), &json!({"aud": "https://other.example"}));
    scene.transmitter.lay_ready("e3", scene.transmitter.sign(&json!({}), &foreign));
    scene.transmitter.lay_ready("e4", scene.transmitter.sign(&json!({}), &claims));
    assert_eq!(round(&scene).await, 1);
    assert!(!scene.lives(&ann).await);
    let known = scene.transmitter.is();
    assert_eq!(known.acknowledged, ["e1", "e2"]);
    assert_eq!(known.errors["e3"]["err"], json!("invalid_audience"));
    assert_eq!(known.errors["e4"]["err"], json!("invalid_request"), "it came under another id than its own");
    assert!(known.waiting.is_empty());
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_committed_and_recorded() {
    for step in ["revoke", "use_once", "link", "the log"] {
        let scene = scene().await;
        let ann = scene.access(&scene.connection, "ann", None).await;
        lay(&scene, "e1", &format!("{RISC}account-disabled"), &iss_sub("ann"));
        scene.failing.refuse(&[step]);
        scene.app.log.broken.store(step == "the log", std::sync::atomic::Ordering::SeqCst);
        assert_eq!(round(&scene).await, 0, "{step}");
        assert!(scene.transmitter.is().acknowledged.is_empty() && scene.transmitter.is().errors.is_empty(), "{step}");
        scene.failing.refuse(&[]);
        scene.app.log.broken.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(round(&scene).await, 1, "{step}");
        assert_eq!(scene.transmitter.is().acknowledged, ["e1"], "{step}");
        assert!(!scene.lives(&ann).await && scene.is_disabled(&ann).await);
        assert_eq!(scene.kept().await.last_fault, None, "{step}");
    }
}

#[tokio::test]
async fn one_that_fails_keeps_no_other_waiting() {
    let scene = scene().await;
    let ann = scene.access(&scene.connection, "ann", None).await;
    let bob = scene.access(&scene.connection, "bob", None).await;
    lay(&scene, "e1", &format!("{RISC}account-disabled"), &iss_sub("ann"));
    lay(&scene, "e2", &format!("{CAEP}session-revoked"), &iss_sub("bob"));
    scene.failing.refuse(&["set_disabled"]);
    assert_eq!(round(&scene).await, 0);
    assert_eq!((scene.lives(&ann).await, scene.lives(&bob).await), (true, false));
    assert_eq!(scene.transmitter.is().acknowledged, ["e2"]);
    assert!(scene.kept().await.last_fault.unwrap().starts_with("the poll failed: "));
    scene.failing.refuse(&[]);
    round(&scene).await;
    assert!(!scene.lives(&ann).await);
}

#[tokio::test]
async fn an_event_that_is_given_twice_acts_once() {
    let scene = scene().await;
    let ann = scene.access(&scene.connection, "ann", None).await;
    let event = format!("{CAEP}session-revoked");
    lay(&scene, "e1", &event, &iss_sub("ann"));
    round(&scene).await;
    let (epoch, recorded) = (scene.epoch().await, scene.app.log.count(EventKind::Revoked));
    let again = scene.access_of(ann.person.clone(), &scene.connection, "ann", None).await;
    lay(&scene, "e1", &event, &iss_sub("ann"));
    round(&scene).await;
    assert!(scene.lives(&again).await);
    assert_eq!((scene.epoch().await, scene.app.log.count(EventKind::Revoked)), (epoch, recorded));
    assert_eq!(scene.transmitter.is().acknowledged, ["e1", "e1"]);
}

#[tokio::test]
async fn more_than_a_page_is_fetched_in_one_round() {
    let scene = scene().await;
    scene.transmitter.is().page = 3;
    for number in 0..10 {
        lay(&scene, &format!("e{number}"), &format!("{CAEP}session-revoked"), &iss_sub("nobody"));
    }
    round(&scene).await;
    assert_eq!(scene.transmitter.is().acknowledged.len(), 10);
}

#[tokio::test]
async fn of_several_nodes_one_asks_in_each_round() {
    let scene = scene().await;
    let second = another_node(&scene.app, scene.app.store.clone());
    scene.app.later(Duration::from_secs(5));
    scene.identity.poll_signals().await.unwrap();
    second.poll_signals().await.unwrap();
    assert_eq!(scene.transmitter.asked("POST /poll/stream-0"), 1);
    scene.app.later(Duration::from_secs(5));
    second.poll_signals().await.unwrap();
    scene.identity.poll_signals().await.unwrap();
    assert_eq!(scene.transmitter.asked("POST /poll/stream-0"), 2);
}

#[tokio::test]
async fn a_transmitter_that_is_down_is_noted_until_it_is_back() {
    let scene = scene().await;
    scene.transmitter.is().down = true;
    assert_eq!(round(&scene).await, 0);
    assert_eq!(scene.kept().await.last_fault.as_deref(), Some("the poll failed: the transmitter answered 502"));
    scene.transmitter.is().down = false;
    let state = scene.transmitter.is().states[0].clone();
    let claims = scene.claims(
        "v1",
        &format!("{SSF}verification"),
        &json!({"state": state}),
        &json!({"format": "opaque", "id": "stream-0"}),
    );
    scene.transmitter.lay_ready("v1", scene.transmitter.sign(&json!({}), &claims));
    round(&scene).await;
    let kept = scene.kept().await;
    assert_eq!((kept.verified_at, kept.last_fault), (Some(scene.app.now()), None));
}

#[tokio::test]
async fn nobody_pushes_to_a_stream_that_is_fetched() {
    let mut scene = scene().await;
    let answer = scene.tell("e1", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann")).await;
    assert_eq!(answer.status, http::StatusCode::NOT_FOUND);
}
