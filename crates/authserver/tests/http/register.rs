//! `POST /oauth/register`.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;

use crate::app::*;

#[tokio::test]
async fn a_public_client_registers_without_a_secret() {
    let app = App::new().await;
    let answer =
        app.register_with(json!({"client_name": "A", "redirect_uris": [LOOPBACK], "scope": "x", "contacts": []})).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let client = answer.json();
    assert_eq!(client["token_endpoint_auth_method"], "none");
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(client["application_type"], "native");
    assert_eq!(client["redirect_uris"], json!([LOOPBACK]));
    assert!(client.get("client_secret").is_none());
}

#[tokio::test]
async fn a_secret_is_made_only_when_asked_for_and_works() {
    let app = App::new().await;
    let metadata = json!({"redirect_uris": [WEB_REDIRECT], "token_endpoint_auth_method": "client_secret_post"});
    let client = app.register_with(metadata).await;
    let (id, secret) = (client.text("client_id"), client.text("client_secret"));
    assert_eq!(secret.len(), 43);
    assert_eq!(client.json()["client_secret_expires_at"], 0);
    let code = app.alice().code(&request(&id, WEB_REDIRECT)).await;
    assert_eq!(app.token(&redeem(&id, WEB_REDIRECT, &code)).await.error(), "invalid_client");
    let with = [&redeem(&id, WEB_REDIRECT, &code)[..], &[("client_secret", &*secret)]].concat();
    assert_eq!(app.token(&with).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_refused() {
    let app = App::new().await;
    for (metadata, error) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://evil.example/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["https://*.example/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": [LOOPBACK], "application_type": "web"}), "invalid_redirect_uri"),
        (json!({"redirect_uris": [LOOPBACK], "grant_types": ["password"]}), "invalid_client_metadata"),
        (json!({"redirect_uris": [LOOPBACK], "software_statement": "x"}), "unapproved_software_statement"),
        (
            json!({"redirect_uris": [LOOPBACK], "token_endpoint_auth_method": "private_key_jwt",
            "jwks_uri": "https://169.254.169.254/"}),
            "invalid_client_metadata",
        ),
    ] {
        let answer = app.register_with(metadata.clone()).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, error), "{metadata}");
    }
    assert_eq!(app.documents.fetched.load(std::sync::atomic::Ordering::SeqCst), 0, "registering fetches nothing");
    for body in ["", "[]", "{\"redirect_uris\":[],\"redirect_uris\":[]}", "\u{feff}{}", "{"] {
        let answer = app.send(Request::post("/oauth/register").body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.error(), "invalid_client_metadata", "{body}");
    }
    let large = Body::from(vec![b' '; 65 * 1024]);
    assert_eq!(
        app.send(Request::post("/oauth/register").body(large).unwrap()).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn the_switch_the_cap_and_the_rate_hold() {
    let off = App::with(|config| config.dynamic_registration = false).await;
    assert_eq!(off.register_with(json!({"redirect_uris": [LOOPBACK]})).await.status, StatusCode::FORBIDDEN);
    let few = App::with(|config| config.dynamic_clients_limit = 2).await;
    few.register().await;
    few.register().await;
    assert_eq!(few.register_with(json!({"redirect_uris": [LOOPBACK]})).await.status, StatusCode::FORBIDDEN);
    let slow = App::with(|config| config.rates.registrations_per_hour = 2).await;
    slow.register().await;
    slow.register().await;
    assert_eq!(slow.register_with(json!({"redirect_uris": [LOOPBACK]})).await.status, StatusCode::TOO_MANY_REQUESTS);
}
