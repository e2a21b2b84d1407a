//! `POST /oauth/par`.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::app::*;

async fn push(app: &App, client: &str, redirect_uri: &str, secret: Option<&str>) -> Answer {
    let mut form = request(client, redirect_uri);
    if let Some(secret) = secret {
        form.push(("client_secret", secret.to_owned()));
    }
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    app.post("/oauth/par", &form).await
}

fn by_reference(client: &str, request_uri: &str) -> Vec<(&'static str, String)> {
    vec![("client_id", client.to_owned()), ("request_uri", request_uri.to_owned())]
}

#[tokio::test]
async fn a_pushed_request_is_used_once_by_its_client_in_time() {
    let app = App::new().await;
    let pushed = push(&app, "web", WEB_REDIRECT, Some(SECRET)).await;
    assert_eq!((pushed.status, &pushed.json()["expires_in"]), (StatusCode::CREATED, &json!(90)));
    let uri = pushed.text("request_uri");
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"));
    let other = app.register().await;
    let stolen = app.alice().authorize(&by_reference(&other, &uri)).await;
    assert_eq!((stolen.status, stolen.location()), (StatusCode::BAD_REQUEST, None), "another client");
    let mut smuggled = by_reference("web", &uri);
    smuggled.push(("scope", "files:write".into()));
    smuggled.push(("redirect_uri", "https://evil.example/cb".into()));
    let mut alice = app.alice();
    let page = alice.authorize(&smuggled).await;
    assert!(page.body.contains("Title of files:read") && !page.body.contains("files:write"), "what was pushed counts");
    let answer = alice.decide(&page, "allow").await;
    assert!(answer.location().unwrap().starts_with(WEB_REDIRECT));
    assert!(answer.answered("code").is_some());
    let again = alice.authorize(&by_reference("web", &uri)).await;
    assert_eq!((again.status, again.location()), (StatusCode::BAD_REQUEST, None), "used");
    let uri = push(&app, "web", WEB_REDIRECT, Some(SECRET)).await.text("request_uri");
    app.clock.advance(Duration::from_secs(91));
    assert_eq!(alice.authorize(&by_reference("web", &uri)).await.status, StatusCode::BAD_REQUEST, "ended");
}

#[tokio::test]
async fn a_pushed_request_is_checked_whole_and_its_client_authenticated() {
    let app = App::new().await;
    assert_eq!(push(&app, "web", WEB_REDIRECT, None).await.error(), "invalid_client");
    assert_eq!(push(&app, "web", WEB_REDIRECT, Some("wrong")).await.error(), "invalid_client");
    assert_eq!(push(&app, "web", "https://evil.example/cb", Some(SECRET)).await.error(), "invalid_request");
    let client = app.register().await;
    assert_eq!(push(&app, &client, LOOPBACK, None).await.status, StatusCode::CREATED, "a public client may push");
    let challenge = changed(request(&client, LOOPBACK), "code_challenge_method", "plain");
    let form: Vec<(&str, &str)> = challenge.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(app.post("/oauth/par", &form).await.error(), "invalid_request");
}

#[tokio::test]
async fn no_request_uri_but_ours_is_taken_and_none_is_fetched() {
    let app = App::new().await;
    for uri in [
        "https://evil.example/request.jwt",
        "urn:ietf:params:oauth:request_uri:x",
        "urn:ietf:params:oauth:request_uri:",
        "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let answer = app.alice().authorize(&by_reference("web", uri)).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "{uri}");
    }
    assert_eq!(app.documents.fetched.load(std::sync::atomic::Ordering::SeqCst), 0);
    let form = [("client_id", "web"), ("client_secret", SECRET), ("request_uri", "urn:x")];
    assert_eq!(app.post("/oauth/par", &form).await.error(), "invalid_request");
}
