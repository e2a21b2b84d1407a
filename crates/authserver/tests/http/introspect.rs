//! `POST /oauth/introspect`.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::Clock;
use sallyport_storage::{RevocationSubject, Revocations};
use serde_json::json;

use crate::app::*;

async fn introspect(app: &App, token: &str) -> Answer {
    app.send(basic(form_request("/oauth/introspect", &[("token", token)]), "files-server", "introspect")).await
}

#[tokio::test]
async fn a_good_token_is_described_to_its_own_resource_only() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("access_token");
    let answer = introspect(&app, &token).await.json();
    assert_eq!(answer["active"], true);
    assert_eq!(answer["sub"], "alice");
    assert_eq!(answer["aud"], FILES);
    assert_eq!(answer["scope"], "files:read");
    assert_eq!(answer["principal_type"], "human");
    let mail = changed(changed(request(&client, LOOPBACK), "resource", MAIL), "scope", "mail:send");
    let code = app.alice().code(&mail).await;
    let redeem =
        [("grant_type", "authorization_code"), ("client_id", &*client), ("code", &code), ("code_verifier", VERIFIER)];
    let foreign = app.token(&redeem).await.text("access_token");
    assert_eq!(introspect(&app, &foreign).await.json(), json!({"active": false}));
}

#[tokio::test]
async fn whatever_is_not_good_is_inactive_and_nothing_more() {
    let app = App::new().await;
    let client = app.register().await;
    let tokens = app.tokens(&client, LOOPBACK).await;
    let access = tokens.text("access_token");
    for token in ["x", "e30.e30.", &tokens.text("refresh_token"), &format!("{access}x")] {
        assert_eq!(introspect(&app, token).await.json(), json!({"active": false}), "{token}");
    }
    let token = app.verify(&access, FILES).unwrap().token;
    Revocations::revoke(app.store.as_ref(), &RevocationSubject::Token(token), app.clock.now()).await.unwrap();
    assert_eq!(introspect(&app, &access).await.json(), json!({"active": false}), "token revoked");
    let other = app.tokens(&client, LOOPBACK).await.text("access_token");
    let grant = app.verify(&other, FILES).unwrap().grant;
    Revocations::revoke(app.store.as_ref(), &RevocationSubject::Grant(grant), app.clock.now()).await.unwrap();
    assert_eq!(introspect(&app, &other).await.json(), json!({"active": false}), "grant revoked");
    let last = app.tokens(&client, LOOPBACK).await.text("access_token");
    app.clock.advance(Duration::from_secs(300));
    assert_eq!(introspect(&app, &last).await.json(), json!({"active": false}), "expired");
}

#[tokio::test]
async fn only_callers_of_the_configuration_may_ask() {
    let app = App::new().await;
    let form = [("token", "x")];
    for (id, secret) in [("files-server", "wrong"), ("web", SECRET), ("", "introspect"), ("files-server", "")] {
        let answer = app.send(basic(form_request("/oauth/introspect", &form), id, secret)).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"), "{id}");
    }
    assert_eq!(app.post("/oauth/introspect", &form).await.status, StatusCode::UNAUTHORIZED);
}
