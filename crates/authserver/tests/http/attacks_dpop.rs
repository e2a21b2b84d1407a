//! Attacks on sender binding; each name is a row of `docs/attacks.md`.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use sallyport_model::{Clock, EventKind};
use serde_json::{Value, json};

use crate::{app::*, kit::*};

/// A client of alice's with a bound grant, its key and its refresh token.
async fn bound(app: &std::sync::Arc<App>) -> (String, Key, String) {
    let (client, key) = (app.register().await, Key::new());
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let answer = app.token_with(&redeem(&client, LOOPBACK, &code), &key.proof(app).await).await;
    let token = answer.text("refresh_token");
    (client, key, token)
}

fn refresh<'a>(client: &'a str, token: &'a str) -> [(&'a str, &'a str); 3] {
    [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]
}

#[tokio::test]
async fn a_stolen_refresh_token_without_its_key_neither_works_nor_ends_the_family() {
    let app = App::new().await;
    let (client, key, first) = bound(&app).await;
    let thief = Key::new();
    assert_eq!(app.token(&refresh(&client, &first)).await.error(), "invalid_grant");
    assert_eq!(app.token_with(&refresh(&client, &first), &thief.proof(&app).await).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["bound_to_another_key", "bound_to_another_key"]);
    let second = app.token_with(&refresh(&client, &first), &key.proof(&app).await).await.text("refresh_token");
    app.clock.advance(Duration::from_secs(60));
    let spent = app.token_with(&refresh(&client, &first), &thief.proof(&app).await).await;
    assert_eq!(spent.error(), "invalid_grant");
    assert!(app.log.of(EventKind::ReplayDetected).is_empty(), "without the key even a spent one does nothing");
    assert_eq!(
        app.token_with(&refresh(&client, &second), &key.proof(&app).await).await.status,
        StatusCode::OK,
        "the client goes on"
    );
    let reused = app.token_with(&refresh(&client, &first), &key.proof(&app).await).await;
    assert_eq!(reused.error(), "invalid_grant");
    assert_eq!(app.log.of(EventKind::ReplayDetected).len(), 1, "with the key, reuse is reuse");
}

#[tokio::test]
async fn no_key_is_swapped_at_a_refresh() {
    let app = App::new().await;
    let (client, key, token) = bound(&app).await;
    let other = Key::new();
    // The other key's proof with the right key in the claims, or the right key's header over the other's signature.
    let mut claims = other.claims(&app, TOKEN_URL).await;
    claims["jkt"] = json!(key.jkt());
    let forged = other.sign(&json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()}), &claims);
    for proof in [other.proof_of(&claims), forged] {
        let answer = app.token_with(&refresh(&client, &token), &proof).await;
        assert!(matches!(answer.error().as_str(), "invalid_grant" | "invalid_dpop_proof"), "{}", answer.body);
    }
    assert_eq!(app.token_with(&refresh(&client, &token), &key.proof(&app).await).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_proof_is_used_once_wherever_it_was_used() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let key = Key::new();
    let proof = key.proof(&app).await;
    assert_eq!(robot.ask_with(&CREDENTIALS, &proof).await.status, StatusCode::OK);
    assert_eq!(robot.ask_with(&CREDENTIALS, &proof).await.error(), "invalid_dpop_proof");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["dpop_replayed"]);
    let elsewhere = app.another_node().await;
    let assertion = robot.assertion();
    let own = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)];
    let replayed = elsewhere.token_with(&[&CREDENTIALS[..], &own].concat(), &proof).await;
    assert_eq!(replayed.error(), "invalid_dpop_proof", "another node knows");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["dpop_replayed", "dpop_replayed"]);
    app.clock.advance(Duration::from_secs(301));
    assert_ne!(robot.ask_with(&CREDENTIALS, &proof).await.status, StatusCode::OK, "nor when it is forgotten");
    let claims = key.claims(&app, TOKEN_URL).await;
    let callers = (0..20).map(|_| {
        let (proof, assertion, app) = (key.proof_of(&claims), robot.assertion(), app.clone());
        tokio::spawn(async move {
            let own = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)];
            app.token_with(&[&CREDENTIALS[..], &own].concat(), &proof).await.status
        })
    });
    let mut won = 0;
    for caller in callers.collect::<Vec<_>>() {
        won += usize::from(caller.await.unwrap() == StatusCode::OK);
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_proof_for_another_request_key_or_time_is_refused() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let key = Key::new();
    let good = key.claims(&app, TOKEN_URL).await;
    let now = app.clock.now().as_secs();
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims["jti"] = if name == "jti" { claims["jti"].clone() } else { json!(random()) };
        key.proof_of(&claims)
    };
    let header = |name: &str, value: Value| {
        let mut header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()});
        header[name] = value;
        key.sign(&header, &good)
    };
    let mut private = key.jwk();
    private["d"] = private["x"].clone();
    for (what, proof) in [
        ("htu", with("htu", json!("https://evil.example/oauth/token"))),
        ("htu", with("htu", json!("https://gate.example/oauth/par"))),
        ("htu", with("htu", json!("http://gate.example/oauth/token"))),
        ("htu", with("htu", json!("https://gate.example/oauth/token/"))),
        ("htm", with("htm", json!("GET"))),
        ("htm", with("htm", json!("post"))),
        ("iat", with("iat", json!(now - 301))),
        ("iat", with("iat", json!(now + 301))),
        ("jti", with("jti", json!(""))),
        ("jti", with("jti", json!(1))),
        ("typ", header("typ", json!("JWT"))),
        ("typ", header("typ", json!("at+jwt"))),
        ("alg", header("alg", json!("none"))),
        ("alg", header("alg", json!("HS256"))),
        ("jwk", header("jwk", Key::new().jwk())),
        ("jwk", header("jwk", private)),
        ("form", "x".to_owned()),
    ] {
        let answer = robot.ask_with(&CREDENTIALS, &proof).await;
        assert_eq!((answer.status, answer.error()), (StatusCode::BAD_REQUEST, "invalid_dpop_proof".into()), "{what}");
    }
    let mut twice = with_proof(form_request("/oauth/token", &CREDENTIALS), &key.proof_of(&good));
    twice.headers_mut().append("dpop", HeaderValue::from_str(&key.proof(&app).await).unwrap());
    assert_eq!(app.send(twice).await.error(), "invalid_dpop_proof", "two proofs");
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
    assert_eq!(robot.ask_with(&CREDENTIALS, &key.proof_of(&good)).await.status, StatusCode::OK, "the good one is good");
}

#[tokio::test]
async fn a_nonce_of_one_node_is_good_at_another() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let elsewhere = app.another_node().await;
    let proof = Key::new().proof(&elsewhere).await;
    assert_eq!(robot.ask_with(&CREDENTIALS, &proof).await.status, StatusCode::OK);
}

#[tokio::test]
async fn whoever_has_nothing_good_spends_no_proof() {
    let app = App::new().await;
    let client = app.register().await;
    let key = Key::new();
    let proof = key.proof(&app).await;
    for form in [refresh(&client, "x"), refresh(&client, VERIFIER)] {
        assert_eq!(app.token_with(&form, &proof).await.error(), "invalid_grant");
    }
    let wrong = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", "x")];
    assert_eq!(app.token_with(&wrong, &proof).await.error(), "invalid_client");
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    assert_eq!(app.token_with(&redeem(&client, LOOPBACK, &code), &proof).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_old_nonce_does_not_revive_a_proof_made_ahead() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let key = Key::new();
    let mut ahead = key.claims(&app, TOKEN_URL).await;
    ahead["iat"] = json!(app.clock.now().as_secs() + 290);
    app.clock.advance(Duration::from_secs(290));
    assert_eq!(robot.ask_with(&CREDENTIALS, &key.proof_of(&ahead)).await.error(), "use_dpop_nonce");
}

#[tokio::test]
async fn a_code_redeemed_by_another_key_than_it_was_asked_with_is_lost_to_both() {
    let app = App::new().await;
    let client = app.register().await;
    let (key, thief) = (Key::new(), Key::new());
    let code = app.alice().code(&changed(request(&client, LOOPBACK), "dpop_jkt", &key.jkt())).await;
    let stolen = app.token_with(&redeem(&client, LOOPBACK, &code), &thief.proof(&app).await).await;
    assert_eq!(stolen.error(), "invalid_grant");
    let grant = app.log.of(EventKind::Consented)[0].who.clone().unwrap().grant.unwrap();
    assert!(app.store.grant(&grant).await.unwrap().unwrap().revoked_at.is_some());
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_refreshes_with_the_key_one_wins_and_the_family_lives() {
    let app = App::new().await;
    let (client, key, token) = bound(&app).await;
    let mut callers = Vec::new();
    for _ in 0..100 {
        let (app, client, token, proof) = (app.clone(), client.clone(), token.clone(), key.proof(&app).await);
        callers.push(tokio::spawn(async move { app.token_with(&refresh(&client, &token), &proof).await }));
    }
    let mut won = Vec::new();
    for caller in callers {
        let answer = caller.await.unwrap();
        match answer.status {
            StatusCode::OK => won.push(answer.text("refresh_token")),
            _ => assert_eq!(answer.error(), "invalid_grant"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(app.token_with(&refresh(&client, &won[0]), &key.proof(&app).await).await.status, StatusCode::OK);
}
