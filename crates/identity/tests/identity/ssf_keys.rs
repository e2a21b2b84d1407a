//! The keys of transmitters: how long they count, and when they are fetched again.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::{
    oidc_provider::Key,
    ssf_transmitter::{CAEP, Made, Scene, another_node, iss_sub},
    support::Browser,
};

const KEYS: &str = "GET /jwks";

#[tokio::test]
async fn a_new_key_is_taken_at_once_and_a_made_up_one_does_not_make_us_ask_again_and_again() {
    let mut scene = Scene::new().await;
    let event = format!("{CAEP}session-revoked");
    scene.tell("e1", &event, &json!({}), &iss_sub("nobody")).await;
    assert_eq!(scene.transmitter.asked(KEYS), 0, "known from the set-up");
    scene.transmitter.is().keys.push(Key::new("k2"));
    assert_eq!(scene.tell("e2", &event, &json!({}), &iss_sub("nobody")).await.status, StatusCode::ACCEPTED);
    assert_eq!(scene.transmitter.asked(KEYS), 1);
    let claims = scene.claims("e3", &event, &json!({}), &iss_sub("nobody"));
    let made_up = |kid: &str| Key::new(kid).sign(&json!({"alg": "ES256", "kid": kid, "typ": "secevent+jwt"}), &claims);
    for number in 0..5 {
        // It may be a new key, and we have asked a moment ago: neither taken nor refused.
        let answer = scene.push(&made_up(&format!("made-up-{number}"))).await;
        assert_eq!(answer.json()["error"]["code"], json!("keys_unavailable"));
        assert_eq!(answer.headers["retry-after"], "30");
    }
    assert_eq!(scene.transmitter.asked(KEYS), 1);
    scene.app.later(Duration::from_secs(31));
    assert_eq!(scene.push(&made_up("made-up-9")).await.json()["err"], json!("invalid_key"));
    assert_eq!(scene.transmitter.asked(KEYS), 2);
    scene.app.later(Duration::from_secs(31));
    scene.transmitter.is().keys.push(Key::new("k3"));
    assert_eq!(scene.tell("e4", &event, &json!({}), &iss_sub("nobody")).await.status, StatusCode::ACCEPTED);
    assert_eq!(scene.transmitter.asked(KEYS), 3);
    // A key that was taken back counts no longer than an hour.
    scene.transmitter.is().keys.remove(0);
    scene.app.later(Duration::from_secs(3600));
    assert_eq!(scene.tell("e5", &event, &json!({}), &iss_sub("nobody")).await.status, StatusCode::ACCEPTED);
    assert_eq!(scene.transmitter.asked(KEYS), 4);
}

#[tokio::test]
async fn while_the_keys_cannot_be_had_the_last_ones_count_for_a_day() {
    let mut scene = Scene::new().await;
    let event = format!("{CAEP}session-revoked");
    scene.transmitter.is().down = true;
    scene.app.later(Duration::from_secs(2 * 3600));
    for number in 0..3 {
        let answer = scene.tell(&format!("e{number}"), &event, &json!({}), &iss_sub("nobody")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    assert!(scene.transmitter.asked(KEYS) <= 2, "not asked with every event while it is down");
    // A key that we do not know may be a new one: come again.
    let claims = scene.claims("e7", &event, &json!({}), &iss_sub("nobody"));
    let token = Key::new("k8").sign(&json!({"alg": "ES256", "kid": "k8", "typ": "secevent+jwt"}), &claims);
    let answer = scene.push(&token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"]["code"], json!("keys_unavailable"));
    scene.app.later(Duration::from_secs(22 * 3600));
    let answer = scene.tell("e9", &event, &json!({}), &iss_sub("nobody")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "a day later nobody knows whose they are");
    scene.transmitter.is().down = false;
    assert_eq!(scene.tell("e9", &event, &json!({}), &iss_sub("nobody")).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_restart_needs_no_transmitter() {
    for of_connection in [true, false] {
        let mut scene = Scene::made(Made { of_connection, ..Made::default() }).await;
        let event = format!("{CAEP}session-revoked");
        scene.transmitter.is().keys.push(Key::new("k2"));
        scene.tell("e1", &event, &json!({}), &iss_sub("nobody")).await;
        scene.transmitter.is().down = true;
        let restarted = another_node(&scene.app, scene.app.store.clone());
        scene.browser = Browser::at(restarted.router(), "192.0.2.9");
        let answer = scene.tell("e2", &event, &json!({}), &iss_sub("nobody")).await;
        // Without a connection only the keys of the set-up are kept, and the new one is not among them.
        let wanted = if of_connection { StatusCode::ACCEPTED } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(answer.status, wanted);
    }
}
