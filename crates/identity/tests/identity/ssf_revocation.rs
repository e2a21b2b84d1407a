//! Global Token Revocation, as Okta's Universal Logout sends it.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_identity::ssf::{
    settings::OpaqueSubject,
    setup::{NewEndpoint, SignalSetup, revocation_url},
};
use sallyport_model::EventKind;
use serde_json::{Value, json};

use crate::{
    oidc_provider::{Key, with},
    ssf_transmitter::{IDP, Scene, acme, connect, iss_sub, loopback, prove},
    support::Answer,
};

/// A scene with an endpoint; the bearer token if there is one.
async fn endpoint(signed: bool) -> (Scene, Option<String>) {
    let mut scene = Scene::new().await;
    let providers = loopback();
    let setup = SignalSetup {
        providers: &providers,
        store: scene.app.store.as_ref(),
        rng: scene.app.rng.as_ref(),
        now: scene.app.now(),
        origin: "https://gate.example",
    };
    let new = NewEndpoint {
        tenant: acme(),
        connection: Some(scene.connection.clone()),
        issuer: signed.then(|| scene.transmitter.issuer.clone()),
        client_id: signed.then(|| "gate".to_owned()),
        opaque: OpaqueSubject::Subject,
    };
    let (stream, bearer) = setup.revocation_endpoint(new).await.unwrap();
    scene.stream = stream.id;
    (scene, bearer.map(|bearer| bearer.expose().to_owned()))
}

fn caller(scene: &Scene, jti: &str, changes: &Value) -> Value {
    let now = scene.app.now().as_secs();
    let claims = json!({
        "iss": scene.transmitter.issuer, "aud": revocation_url("https://gate.example", &scene.stream),
        "sub": "gate", "jti": jti, "iat": now, "exp": now + 300,
    });
    with(claims, changes)
}

fn signed(scene: &Scene, jti: &str, changes: &Value) -> String {
    let typ = json!({"typ": "global-token-revocation+jwt"});
    scene.transmitter.sign(&typ, &caller(scene, jti, changes))
}

async fn call(scene: &mut Scene, token: Option<&str>, body: &Value) -> Answer {
    let path = format!("/signals/{}/revoke", scene.stream);
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    scene.browser.send(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_signed_caller_ends_everything_of_one_person() {
    let (mut scene, bearer) = endpoint(true).await;
    assert_eq!(bearer, None);
    prove(&scene.app, &acme(), "acme.example").await;
    for (number, subject) in [
        json!({"sub_id": iss_sub("ann")}),
        json!({"subject": iss_sub("ann")}),
        json!({"sub_id": {"format": "email", "email": "ann@acme.example"}}),
    ]
    .iter()
    .enumerate()
    {
        let ann = match number {
            0 => scene.access(&scene.connection.clone(), "ann", None).await,
            _ => {
                let link = scene.app.store.link(&scene.connection, &format!("{IDP} ann")).await.unwrap().unwrap();
                let person = scene.app.store.person(&link.user).await.unwrap().unwrap();
                scene.access_of(person, &scene.connection.clone(), "ann", None).await
            }
        };
        let elsewhere = scene.access_of(ann.person.clone(), &scene.other.clone(), "ann", None).await;
        let bob = scene.access(&scene.connection.clone(), &format!("bob{number}"), None).await;
        scene.app.later(Duration::from_secs(1));
        let token = signed(&scene, &format!("c{number}"), &json!({}));
        let answer = call(&mut scene, Some(&token), subject).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""), "{subject}");
        assert!(!scene.lives(&ann).await && !scene.lives(&elsewhere).await && scene.lives(&bob).await);
        assert!(!scene.is_disabled(&ann).await, "she may sign in again, if her provider lets her");
        let last = scene.app.log.last();
        assert_eq!((last.kind, last.tenant), (EventKind::Revoked, Some(acme())));
        assert_eq!(last.facts["caller"], json!(scene.transmitter.issuer));
        scene.app.later(Duration::from_secs(1));
    }
    assert!(scene.kept().await.verified_at.is_some());
}

#[tokio::test]
async fn a_caller_that_does_not_prove_itself_ends_nothing() {
    let (mut scene, _) = endpoint(true).await;
    let ann = scene.access(&scene.connection.clone(), "ann", None).await;
    let subject = json!({"sub_id": iss_sub("ann")});
    let typ = json!({"alg": "ES256", "kid": "k1", "typ": "global-token-revocation+jwt"});
    let now = scene.app.now().as_secs();
    let tokens = [
        String::new(),
        "x".into(),
        Key::new("k1").sign(&typ, &caller(&scene, "c", &json!({}))),
        scene.transmitter.sign(&json!({"typ": "JWT"}), &caller(&scene, "c", &json!({}))),
        scene.transmitter.sign(&json!({"typ": "secevent+jwt"}), &caller(&scene, "c", &json!({}))),
        signed(&scene, "c", &json!({"iss": "https://evil.example"})),
        signed(&scene, "c", &json!({"aud": "https://gate.example/signals/other/revoke"})),
        signed(&scene, "c", &json!({"sub": "another-client"})),
        signed(&scene, "c", &json!({"exp": now - 120})),
        signed(&scene, "c", &json!({"jti": null})),
    ];
    for token in &tokens {
        let answer = call(&mut scene, Some(token), &subject).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::UNAUTHORIZED, ""), "{token}");
    }
    assert_eq!(call(&mut scene, None, &subject).await.status, StatusCode::UNAUTHORIZED);
    assert!(scene.lives(&ann).await);
    let good = signed(&scene, "c", &json!({}));
    assert_eq!(call(&mut scene, Some(&good), &subject).await.status, StatusCode::NO_CONTENT);
    assert!(!scene.lives(&ann).await);
    let bob = scene.access(&scene.connection.clone(), "bob", None).await;
    let answer = call(&mut scene, Some(&good), &json!({"sub_id": iss_sub("bob")})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "its token was used");
    assert!(scene.lives(&bob).await);
}

#[tokio::test]
async fn nobody_of_another_tenant_or_connection_can_be_named() {
    let (mut scene, bearer) = endpoint(false).await;
    let bearer = bearer.unwrap();
    let foreign = connect(&scene.app, "globex", "idp").await;
    let stranger = scene.access(&foreign, "zoe", Some("s1")).await;
    let neighbour = scene.access(&scene.other.clone(), "eve", None).await;
    for subject in [
        iss_sub("zoe"),
        iss_sub("eve"),
        json!({"format": "opaque", "id": "s1"}),
        json!({"format": "email", "email": "zoe@globex.example"}),
        json!({"format": "complex", "session": {"format": "opaque", "id": "s1"}}),
    ] {
        let answer = call(&mut scene, Some(&bearer), &json!({"sub_id": subject})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{subject}");
        assert_eq!(scene.fact("effect"), json!("none"));
    }
    assert!(scene.lives(&stranger).await && scene.lives(&neighbour).await);
    for body in [json!({}), json!({"sub_id": {"format": "x"}}), json!({"sub_id": "ann"})] {
        let answer = call(&mut scene, Some(&bearer), &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.json()["error"]["code"].as_str().unwrap().starts_with("signal_subject"));
    }
    let other = format!("{bearer}x");
    assert_eq!(call(&mut scene, Some(&other), &json!({})).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_cannot_commit_is_not_answered_as_done() {
    for step in ["stream", "person", "revoke", "note_stream", "use_once", "the log"] {
        let (mut scene, _) = endpoint(true).await;
        let ann = scene.access(&scene.connection.clone(), "ann", None).await;
        let subject = json!({"sub_id": iss_sub("ann")});
        let token = signed(&scene, "c1", &json!({}));
        scene.failing.refuse(&[step]);
        scene.app.log.broken.store(step == "the log", std::sync::atomic::Ordering::SeqCst);
        let answer = call(&mut scene, Some(&token), &subject).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{step}");
        scene.failing.refuse(&[]);
        scene.app.log.broken.store(false, std::sync::atomic::Ordering::SeqCst);
        let token = signed(&scene, "c2", &json!({}));
        let answer = call(&mut scene, Some(&token), &subject).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{step}");
        assert!(!scene.lives(&ann).await, "{step}");
    }
}
