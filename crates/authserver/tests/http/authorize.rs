//! `GET /oauth/authorize` and what follows it.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_model::{Clock, EventKind};
use sallyport_storage::Clients;

use crate::app::*;

#[tokio::test]
async fn the_whole_flow_ends_with_a_token_for_the_resource() {
    let app = App::new().await;
    let client = app.register().await;
    let mut browser = app.browser();
    let away = browser.authorize(&request(&client, LOOPBACK)).await;
    let sign_in = away.location().unwrap();
    let resume = sign_in.strip_prefix("/signin?continue_to=").unwrap();
    let resume = percent(resume);
    assert!(resume.starts_with("/oauth/authorize/resume?handle="), "{resume}");
    browser.sign_in("alice");
    let page = browser.walk(&resume).await;
    let answer = browser.decide(&page, "allow").await;
    assert!(answer.location().unwrap().starts_with(LOOPBACK));
    assert_eq!(answer.answered("state").as_deref(), Some("st&te=1"));
    assert_eq!(answer.answered("iss").as_deref(), Some(ISSUER));
    let code = answer.answered("code").unwrap();
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    assert_eq!(tokens.status, StatusCode::OK);
    assert_eq!(tokens.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(tokens.text("token_type"), "Bearer");
    assert_eq!(tokens.json()["expires_in"], 300);
    let principal = app.verify(&tokens.text("access_token"), FILES).unwrap();
    assert_eq!(principal.scopes, scopes("files:read"));
    assert_eq!(principal.subject.id(), "alice");
    assert_eq!(principal.client.as_str(), client);
    let kinds: Vec<_> = app.log.events().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::ClientRegistered, EventKind::Consented, EventKind::TokenIssued]);
}

fn percent(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={text}").as_bytes()).next().unwrap().1.into_owned()
}

#[tokio::test]
async fn a_wrong_client_or_redirect_uri_is_shown_and_never_redirected() {
    let app = App::new().await;
    let client = app.register().await;
    let good = request(&client, LOOPBACK);
    for (name, value) in [
        ("client_id", ""),
        ("client_id", "nobody"),
        ("client_id", "https://evil.example"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/cb"),
        ("redirect_uri", "http://127.0.0.1:3334/oauth/callback/"),
        ("redirect_uri", "http://127.0.0.1:3334/oauth/callback?x=1"),
        ("redirect_uri", "http://localhost:3334/oauth/callback"),
        ("redirect_uri", "http://127.0.0.1:80@evil.example/oauth/callback"),
        ("redirect_uri", "http://127.0.0.1.evil.example/oauth/callback"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        let answer = app.alice().authorize(&changed(good.clone(), name, value)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}={value}");
        assert_eq!(answer.location(), None, "{name}={value}");
        assert!(answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("frame-ancestors 'none'"));
    }
    assert_eq!(app.log.codes(EventKind::AuthorizationRefused).len(), 11);
}

#[tokio::test]
async fn any_port_of_a_loopback_redirect_will_do() {
    let app = App::new().await;
    let client = app.register().await;
    let elsewhere = "http://127.0.0.1:59999/oauth/callback";
    let code = app.alice().code(&request(&client, elsewhere)).await;
    assert_eq!(app.token(&redeem(&client, elsewhere, &code)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn everything_else_that_is_wrong_goes_back_with_error_state_and_issuer() {
    let app = App::new().await;
    let client = app.register().await;
    let good = request(&client, LOOPBACK);
    for (name, value, error) in [
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("resource", "", "invalid_target"),
        ("resource", "https://gate.example/mcp/other", "invalid_target"),
        ("resource", "https://gate.example/mcp/files/", "invalid_target"),
        ("scope", "mail:send", "invalid_scope"),
        ("scope", "files:read\u{e9}", "invalid_scope"),
        ("request", "e30.e30.", "request_not_supported"),
        ("prompt", "create", "invalid_request"),
        ("prompt", "none consent", "invalid_request"),
        ("max_age", "soon", "invalid_request"),
    ] {
        let answer = app.alice().authorize(&changed(good.clone(), name, value)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{name}={value}");
        assert!(answer.location().unwrap().starts_with(LOOPBACK), "{name}={value}");
        assert_eq!(answer.answered("error").as_deref(), Some(error), "{name}={value}");
        assert_eq!(answer.answered("iss").as_deref(), Some(ISSUER), "{name}={value}");
        assert_eq!(answer.answered("state").as_deref(), Some("st&te=1"), "{name}={value}");
        assert_eq!(answer.answered("code"), None);
    }
    assert_eq!(app.log.of(EventKind::AuthorizationRefused).len(), 17);
}

#[tokio::test]
async fn no_scope_is_the_initial_set_and_a_broad_one_is_marked() {
    let app = App::new().await;
    let client = app.register().await;
    let mut alice = app.alice();
    let page = alice.authorize(&changed(request(&client, LOOPBACK), "scope", "")).await;
    assert!(page.body.contains("Title of files:read") && !page.body.contains("Title of files:write"));
    let page = alice.authorize(&changed(request(&client, LOOPBACK), "scope", "files:write mail:send")).await;
    assert!(page.body.contains("Title of files:write") && page.body.contains("Can change or send things"));
    assert!(!page.body.contains("mail:send"));
}

#[tokio::test]
async fn prompt_none_answers_at_once_or_says_why_not() {
    let app = App::new().await;
    let silent = changed(request("web", WEB_REDIRECT), "prompt", "none");
    let answer = app.browser().authorize(&silent).await;
    assert_eq!(answer.answered("error").as_deref(), Some("login_required"));
    let mut alice = app.alice();
    let answer = alice.authorize(&silent).await;
    assert_eq!(answer.answered("error").as_deref(), Some("consent_required"));
    alice.code(&request("web", WEB_REDIRECT)).await;
    let answer = alice.authorize(&silent).await;
    assert!(answer.answered("code").is_some());
    app.clock.advance(Duration::from_secs(100));
    let answer = alice.authorize(&changed(silent, "max_age", "60")).await;
    assert_eq!(answer.answered("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn prompt_login_and_max_age_want_a_fresh_sign_in() {
    let app = App::new().await;
    for (name, value) in [("prompt", "login"), ("max_age", "60"), ("max_age", "0")] {
        let mut alice = app.alice();
        app.clock.advance(Duration::from_secs(100));
        let away = alice.authorize(&changed(request("web", WEB_REDIRECT), name, value)).await;
        let resume = percent(away.location().unwrap().strip_prefix("/signin?continue_to=").unwrap());
        let again = alice.walk(&resume).await;
        assert!(again.location().unwrap().starts_with("/signin"), "{name}: still not fresh");
        alice.sign_in("alice");
        app.clock.advance(Duration::from_secs(2));
        let page = alice.walk(&resume).await;
        assert_eq!(page.status, StatusCode::OK, "{name}={value}");
        assert!(page.body.contains("Allow Client web?"));
    }
}

#[tokio::test]
async fn a_form_post_is_sent_round_to_the_get() {
    let app = App::new().await;
    let query = authorize_path(&request("web", WEB_REDIRECT));
    let body = query.split_once('?').unwrap().1.to_owned();
    let post = Request::post("/oauth/authorize").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = app.send(post.body(Body::from(body)).unwrap()).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, Some(query.as_str())));
}

#[tokio::test]
async fn a_waiting_request_ends() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    app.clock.advance(Duration::from_secs(15 * 60 + 1));
    let answer = alice.decide(&page, "allow").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
}

#[tokio::test]
async fn a_client_whose_redirect_uri_is_withdrawn_meanwhile_gets_nothing() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    let mut client = app.store.client(&"web".parse().unwrap()).await.unwrap().unwrap();
    client.redirect_uris = vec!["https://web.example/other".into()];
    Clients::put_client(app.store.as_ref(), &client).await.unwrap();
    let answer = alice.decide(&page, "allow").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
    assert!(app.clock.now().as_secs() > 0);
}

#[tokio::test]
async fn too_many_requests_from_one_address_are_refused() {
    let app = App::with(|config| config.rates.authorizations_per_minute = 3).await;
    let mut alice = app.alice();
    for _ in 0..3 {
        assert_eq!(alice.get(&authorize_path(&request("web", WEB_REDIRECT))).await.status, StatusCode::SEE_OTHER);
    }
    let answer = alice.get(&authorize_path(&request("web", WEB_REDIRECT))).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_registered_website_is_no_open_redirect_before_a_person_has_agreed() {
    let app = App::new().await;
    let phish = "https://evil.example/phish";
    let metadata = serde_json::json!({"client_name": "x", "redirect_uris": [phish], "application_type": "web"});
    let client = app.register_with(metadata).await.text("client_id");
    let wrong = changed(request(&client, phish), "response_type", "x");
    let silent = changed(request(&client, phish), "prompt", "none");
    let mut alice = app.alice();
    for request in [&wrong, &silent] {
        for answer in [app.browser().authorize(request).await, alice.authorize(request).await] {
            assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
        }
    }
    assert_eq!(app.log.of(EventKind::AuthorizationRefused).len(), 4, "refused on the record");
    let page = alice.authorize(&request(&client, phish)).await;
    let denied = alice.decide(&page, "deny").await;
    assert_eq!(denied.answered("error").as_deref(), Some("access_denied"), "she has acted");
    alice.code(&request(&client, phish)).await;
    let answer = alice.authorize(&wrong).await;
    assert_eq!(answer.answered("error").as_deref(), Some("unsupported_response_type"), "she agreed to it");
    assert_eq!(answer.answered("iss").as_deref(), Some(ISSUER));
    let elsewhere = app.browser().authorize(&wrong).await;
    assert_eq!((elsewhere.status, elsewhere.location()), (StatusCode::BAD_REQUEST, None), "and nobody else");
    let vouched = changed(request("web", WEB_REDIRECT), "response_type", "x");
    assert!(app.browser().authorize(&vouched).await.location().is_some(), "the operator vouches for it");
}
