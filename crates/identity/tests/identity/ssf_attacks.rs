//! Security events that are not what they say, or not for us.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::EventKind;
use serde_json::{Value, json};

use crate::{
    oidc_provider::{Key, b64, with},
    ssf_transmitter::{CAEP, RISC, Scene, iss_sub},
};

fn refused(scene: &Scene, answer: &crate::support::Answer) -> Value {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json");
    let body = answer.json();
    assert!(body["description"].is_string());
    assert!(!answer.text.contains(&scene.bearer));
    body["err"].clone()
}

#[tokio::test]
async fn a_forged_event_is_refused_and_changes_nothing() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let good = scene.claims("e1", &format!("{RISC}account-disabled"), &json!({}), &iss_sub("ann"));
    let now = scene.app.now().as_secs();
    let (stranger, namesake) = (Key::new("k9"), Key::new("k1"));
    let head = |kid: &str| json!({"alg": "ES256", "kid": kid, "typ": "secevent+jwt"});
    let point = namesake.point();
    let own = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let unsigned = |alg: &str| {
        let head = json!({"alg": alg, "kid": "k1", "typ": "secevent+jwt"});
        format!("{}.{}.", b64(head.to_string()), b64(good.to_string()))
    };
    let signed = |header: Value, changes: Value| scene.transmitter.sign(&header, &with(good.clone(), &changes));
    let tampered = {
        let token = signed(json!({}), json!({}));
        let parts: Vec<&str> = token.split('.').collect();
        let claims = with(good.clone(), &json!({"sub_id": iss_sub("bob")}));
        format!("{}.{}.{}", parts[0], b64(claims.to_string()), parts[2])
    };
    let cases: Vec<(&str, String, &str)> = vec![
        ("a key of somebody else", stranger.sign(&head("k9"), &good), "invalid_key"),
        ("a key of the same name", namesake.sign(&head("k1"), &good), "invalid_key"),
        ("a key in the header", namesake.sign(&with(head("k1"), &json!({"jwk": own})), &good), "invalid_request"),
        ("alg none", unsigned("none"), "invalid_key"),
        ("alg HS256", format!("{}{}", unsigned("HS256"), b64([7; 32])), "invalid_key"),
        ("claims changed", tampered, "invalid_key"),
        ("another issuer", signed(json!({}), json!({"iss": "https://evil.example"})), "invalid_issuer"),
        ("another audience", signed(json!({}), json!({"aud": "https://other.example"})), "invalid_audience"),
        ("no audience", signed(json!({}), json!({"aud": null})), "invalid_request"),
        ("an ID token's type", signed(json!({"typ": "JWT"}), json!({})), "invalid_request"),
        ("no type", signed(json!({"typ": null}), json!({})), "invalid_request"),
        ("a log-out token", signed(json!({"typ": "logout+jwt"}), json!({})), "invalid_request"),
        ("an end", signed(json!({}), json!({"exp": now + 60})), "invalid_request"),
        ("a sub", signed(json!({}), json!({"sub": "ann"})), "invalid_request"),
        ("too old", signed(json!({}), json!({"iat": now - 8 * 86_400})), "invalid_request"),
        ("from the future", signed(json!({}), json!({"iat": now + 3600})), "invalid_request"),
        ("no jti", signed(json!({}), json!({"jti": null})), "invalid_request"),
        ("no subject", signed(json!({}), json!({"sub_id": null})), "invalid_request"),
        ("a subject of nobody knows what", signed(json!({}), json!({"sub_id": {"format": "x"}})), "invalid_request"),
        ("no events", signed(json!({}), json!({"events": {}})), "invalid_request"),
        ("no token at all", "eyJ.not.a-token".into(), "invalid_request"),
        ("nothing", String::new(), "invalid_request"),
    ];
    let before = (scene.epoch().await, scene.app.log.events.lock().unwrap().len());
    for (what, token, wanted) in cases {
        let answer = scene.push(&token).await;
        assert_eq!(refused(&scene, &answer), json!(wanted), "{what}");
        assert!(scene.kept().await.last_fault.is_some(), "{what}: an administrator can see why");
    }
    assert!(scene.lives(&ann).await && !scene.is_disabled(&ann).await);
    assert_eq!((scene.epoch().await, scene.app.log.events.lock().unwrap().len()), before);
    // None of them used up the id of the good one.
    let token = scene.transmitter.sign(&json!({}), &good);
    assert_eq!(scene.push(&token).await.status, StatusCode::ACCEPTED);
    assert!(!scene.lives(&ann).await);
    assert_eq!(scene.kept().await.last_fault, None);
}

#[tokio::test]
async fn who_does_not_bring_the_streams_token_is_not_heard() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let claims = scene.claims("e1", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann"));
    let token = scene.transmitter.sign(&json!({}), &claims);
    let good = format!("Bearer {}", scene.bearer);
    let kind = "application/secevent+jwt";
    for wrong in [None, Some("Bearer "), Some("Bearer x"), Some(&scene.bearer.clone()[..]), Some("Basic eDp5")] {
        let answer = scene.push_as(wrong, kind, token.clone()).await;
        assert_eq!(refused(&scene, &answer), json!("authentication_failed"), "{wrong:?}");
    }
    for wrong in ["application/json", "application/jwt", "", "text/application/secevent+jwt"] {
        let answer = scene.push_as(Some(&good), wrong, token.clone()).await;
        assert_eq!(refused(&scene, &answer), json!("invalid_request"), "{wrong:?}");
    }
    let large = "x".repeat(64 * 1024 + 1);
    assert_eq!(scene.push_as(Some(&good), kind, large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(scene.lives(&ann).await);
    let mine = scene.stream.clone();
    for gone in ["unknown", "stream-0", "%00"] {
        scene.stream = gone.replace('%', "%25").parse().unwrap();
        assert_eq!(scene.push_as(Some(&good), kind, token.clone()).await.status, StatusCode::NOT_FOUND, "{gone}");
    }
    scene.stream = mine;
    assert_eq!(scene.push_as(Some(&good), "Application/SecEvent+JWT; charset=us-ascii", token).await.status, 202);
    assert!(!scene.lives(&ann).await);
}

#[tokio::test]
async fn an_event_of_another_stream_is_refused() {
    let mut scene = Scene::new().await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let globex = crate::ssf_transmitter::Transmitter::start().await;
    let claims = scene.claims("e1", &format!("{CAEP}session-revoked"), &json!({}), &iss_sub("ann"));
    // Signed by a transmitter that another tenant trusts, whatever it says.
    for issuer in [scene.transmitter.issuer.clone(), globex.issuer.clone()] {
        let token = globex.sign(&json!({}), &with(claims.clone(), &json!({"iss": issuer})));
        assert!(["invalid_key", "invalid_issuer"].contains(
            &refused(&scene, &scene_push(&mut scene.browser.clone(), &scene, &token).await).as_str().unwrap()
        ));
    }
    assert!(scene.lives(&ann).await);
    // Another stream's bearer token opens nothing here.
    let first = (scene.stream.clone(), scene.bearer.clone());
    let second = scene.add(&crate::ssf_transmitter::Made::default()).await;
    scene.stream = second.id;
    let token = scene.transmitter.sign(&json!({}), &claims);
    let answer = scene.push(&token).await;
    assert_eq!(refused(&scene, &answer), json!("authentication_failed"));
    (scene.stream, scene.bearer) = first;
    assert_eq!(scene.app.log.count(EventKind::Revoked), 0);
    scene.app.later(Duration::from_secs(1));
    assert_eq!(scene.push(&token).await.status, StatusCode::ACCEPTED);
}

async fn scene_push(browser: &mut crate::support::Browser, scene: &Scene, token: &str) -> crate::support::Answer {
    let request = http::Request::post(format!("/signals/{}/events", scene.stream))
        .header("content-type", "application/secevent+jwt")
        .header("authorization", format!("Bearer {}", scene.bearer))
        .body(axum::body::Body::from(token.to_owned()));
    browser.send(request.unwrap()).await
}
