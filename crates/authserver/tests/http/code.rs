//! `POST /oauth/token` with `grant_type=authorization_code`, and client authentication.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_model::{EventKind, TenantId, Timestamp, UserId};
use sallyport_storage::{Directory, Tenant, Tenants};
use serde_json::json;

use crate::app::*;

#[tokio::test]
async fn a_client_authenticates_as_registered_and_one_way_at_a_time() {
    let app = App::new().await;
    let mut alice = app.alice();
    let mut code = Vec::new();
    for _ in 0..2 {
        let request = changed(request("web", WEB_REDIRECT), "prompt", "consent");
        code.push(alice.code(&request).await);
    }
    let redeem = redeem("web", WEB_REDIRECT, &code[0]);
    for wrong in [
        redeem.clone(),
        [&redeem[..], &[("client_secret", "wrong")]].concat(),
        [&redeem[..], &[("client_assertion", "e30.e30.e30")]].concat(),
        [&redeem[..], &[("client_secret", SECRET), ("client_assertion", "e30.e30.e30")]].concat(),
    ] {
        let answer = app.token(&wrong).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));
        assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
    }
    let both =
        basic(form_request("/oauth/token", &[&redeem[..], &[("client_secret", SECRET)]].concat()), "web", SECRET);
    assert_eq!(app.send(both).await.error(), "invalid_client");
    let other = basic(form_request("/oauth/token", &redeem), "robot", SECRET);
    assert_eq!(app.send(other).await.error(), "invalid_client", "Basic names another client than the body");
    // None of these spent the code.
    let good = basic(form_request("/oauth/token", &redeem), "web", SECRET);
    assert_eq!(app.send(good).await.status, StatusCode::OK);
    let redeem = [&crate::app::redeem("web", WEB_REDIRECT, &code[1])[..], &[("client_secret", SECRET)]].concat();
    assert_eq!(app.token(&redeem).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_public_client_with_a_secret_is_refused() {
    let app = App::new().await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let with = [&redeem(&client, LOOPBACK, &code)[..], &[("client_secret", "x")]].concat();
    assert_eq!(app.token(&with).await.error(), "invalid_client");
}

#[tokio::test]
async fn only_forms_and_known_grant_types_are_read() {
    let app = App::new().await;
    let json = Request::post("/oauth/token").header(header::CONTENT_TYPE, "application/json");
    let answer = app.send(json.body(Body::from("{\"grant_type\":\"authorization_code\"}")).unwrap()).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"));
    for grant in ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "AUTHORIZATION_CODE"] {
        let form = [("grant_type", grant), ("client_id", "web"), ("username", "alice"), ("password", "x")];
        assert_eq!(app.token(&form).await.error(), "unsupported_grant_type", "{grant}");
    }
    assert_eq!(app.token(&[]).await.error(), "invalid_request");
    assert_eq!(app.get("/oauth/token?grant_type=password").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_code_ends_after_a_minute() {
    let app = App::new().await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    app.clock.advance(Duration::from_secs(61));
    assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["code_expired"]);
}

#[tokio::test]
async fn an_id_token_comes_with_openid_only() {
    let app = App::new().await;
    let client = app.register().await;
    assert!(app.tokens(&client, LOOPBACK).await.json().get("id_token").is_none());
    let with = changed(changed(request(&client, LOOPBACK), "scope", "openid files:read"), "nonce", "n-1");
    let code = app.alice().code(&with).await;
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    assert_eq!(tokens.text("scope"), "files:read openid");
    let id_token = tokens.text("id_token");
    let id = sallyport_oauth::jws::Compact::parse(&id_token).unwrap();
    assert_eq!(id.typ.as_deref(), Some("JWT"));
    assert_eq!((&id.claims["aud"], &id.claims["nonce"]), (&json!(client), &json!("n-1")));
    let principal = app.verify(&tokens.text("access_token"), FILES).unwrap();
    assert_eq!(principal.scopes, scopes("files:read"), "openid is no scope of the resource");
}

#[tokio::test]
async fn a_disabled_person_or_suspended_tenant_gets_no_token() {
    let app = App::new().await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    app.store.set_disabled(&UserId::new("alice").unwrap(), true).await.unwrap();
    assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant");
    Directory::set_disabled(app.store.as_ref(), &UserId::new("alice").unwrap(), false).await.unwrap();
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let id = TenantId::new("acme").unwrap();
    let tenant = Tenant { suspended: true, ..Tenant::new(id, "Acme", Timestamp::from_secs(0)) };
    Tenants::put_tenant(app.store.as_ref(), &tenant).await.unwrap();
    assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant");
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
}

#[tokio::test]
async fn a_client_that_did_not_ask_for_refreshing_gets_no_refresh_token() {
    let app = App::new().await;
    let metadata = json!({"redirect_uris": [LOOPBACK], "grant_types": ["authorization_code"]});
    let client = app.register_with(metadata).await.text("client_id");
    assert!(app.tokens(&client, LOOPBACK).await.json().get("refresh_token").is_none());
    let silent = app.register().await;
    assert!(app.tokens(&silent, LOOPBACK).await.json().get("refresh_token").is_some());
}
