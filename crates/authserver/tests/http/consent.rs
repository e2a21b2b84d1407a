//! `POST /oauth/consent` and the page before it.

use http::{StatusCode, header};
use sallyport_model::{EventKind, UserId};
use sallyport_storage::Consents;

use crate::app::*;

#[tokio::test]
async fn the_page_names_client_person_resource_scopes_and_where_the_answer_goes() {
    let app = App::new().await;
    let client = app
        .register_with(serde_json::json!({"client_name": "<b>Bank</b>", "redirect_uris": [LOOPBACK]}))
        .await
        .text("client_id");
    let page = app.alice().authorize(&request(&client, LOOPBACK)).await;
    for text in [
        "&lt;b&gt;Bank&lt;/b&gt;",
        "alice of Acme",
        "The files",
        "Title of files:read",
        "127.0.0.1",
        LOOPBACK,
        "registered itself",
        "chose its name itself",
        "pose as this application",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(!page.body.contains("<b>Bank"));
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self' http://127.0.0.1:3334"));
    assert_eq!(page.headers["x-frame-options"], "DENY");
    assert!(!policy.contains("script"));
    let page = app.alice().authorize(&request("web", WEB_REDIRECT)).await;
    assert!(!page.body.contains("chose its name itself") && !page.body.contains("pose as this application"));
}

#[tokio::test]
async fn denial_goes_back_as_access_denied_with_issuer() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    let answer = alice.decide(&page, "deny").await;
    assert_eq!(answer.answered("error").as_deref(), Some("access_denied"));
    assert_eq!(answer.answered("iss").as_deref(), Some(ISSUER));
    assert_eq!(answer.answered("state").as_deref(), Some("st&te=1"));
    let denied = app.log.of(EventKind::ConsentDenied);
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0].tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!(denied[0].who.as_ref().unwrap().subject.id(), "alice");
    assert!(app.log.of(EventKind::Consented).is_empty());
}

#[tokio::test]
async fn one_page_is_answered_once() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    assert_eq!(alice.decide(&page, "allow").await.status, StatusCode::SEE_OTHER);
    for decision in ["allow", "deny"] {
        let answer = alice.decide(&page, decision).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
    }
}

#[tokio::test]
async fn a_form_without_a_decision_decides_nothing() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    assert_eq!(alice.decide(&page, "perhaps").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(alice.decide(&page, "allow").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn consent_is_remembered_for_the_same_scopes_and_client_only() {
    let app = App::new().await;
    let mut alice = app.alice();
    let write = changed(request("web", WEB_REDIRECT), "scope", "files:write");
    alice.code(&write).await;
    for scope in ["files:write", "files:read", "files:read files:write openid"] {
        let answer = alice.authorize(&changed(request("web", WEB_REDIRECT), "scope", scope)).await;
        assert!(answer.answered("code").is_some(), "{scope}");
    }
    let page = alice.authorize(&changed(request("web", WEB_REDIRECT), "prompt", "consent")).await;
    assert_eq!(page.status, StatusCode::OK, "prompt=consent asks again");
    let mail = changed(changed(request("web", WEB_REDIRECT), "resource", MAIL), "scope", "mail:send");
    assert_eq!(alice.authorize(&mail).await.status, StatusCode::OK, "another resource asks");
    let mut bob = app.browser();
    bob.sign_in("bob");
    assert_eq!(bob.authorize(&write).await.status, StatusCode::OK, "another person is asked");
    let remembered = app.log.of(EventKind::Consented);
    assert_eq!(remembered.iter().filter(|event| event.facts["remembered"] == true).count(), 3);
    let web = "web".parse().unwrap();
    Consents::remove_consent(app.store.as_ref(), &UserId::new("alice").unwrap(), &web, FILES).await.unwrap();
    assert_eq!(alice.authorize(&write).await.status, StatusCode::OK, "withdrawn: asks");
}

#[tokio::test]
async fn a_public_client_on_loopback_is_asked_for_every_time() {
    let app = App::new().await;
    let client = app.register().await;
    let mut alice = app.alice();
    alice.code(&request(&client, LOOPBACK)).await;
    let page = alice.authorize(&request(&client, LOOPBACK)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Allowed before"));
}

#[tokio::test]
async fn a_step_up_shows_what_is_added_and_gives_what_is_asked() {
    let app = App::new().await;
    let mut alice = app.alice();
    alice.code(&request("web", WEB_REDIRECT)).await;
    let more = changed(request("web", WEB_REDIRECT), "scope", "files:read files:write");
    let page = alice.authorize(&more).await;
    let (new, old) = (page.body.find(">New<").unwrap(), page.body.find("Allowed before").unwrap());
    let (write, read) = (page.body.find("files:write").unwrap(), page.body.find("Title of files:read").unwrap());
    assert!(new < write && write < old && old < read);
    let code = alice.decide(&page, "allow").await.answered("code").unwrap();
    let redeem = [&redeem("web", WEB_REDIRECT, &code)[..], &[("client_secret", SECRET)]].concat();
    assert_eq!(app.token(&redeem).await.text("scope"), "files:read files:write");
    let narrow = alice.authorize(&request("web", WEB_REDIRECT)).await.answered("code").unwrap();
    let redeem = [&crate::app::redeem("web", WEB_REDIRECT, &narrow)[..], &[("client_secret", SECRET)]].concat();
    assert_eq!(app.token(&redeem).await.text("scope"), "files:read", "no more than asked");
}

#[tokio::test]
async fn a_later_consent_adds_to_an_earlier_one_for_the_same_redirect_uri() {
    let app = App::new().await;
    let mut alice = app.alice();
    alice.code(&request("web", WEB_REDIRECT)).await;
    alice.code(&changed(request("web", WEB_REDIRECT), "scope", "files:share")).await;
    for scope in ["files:read", "files:share", "files:read files:share"] {
        let answer = alice.authorize(&changed(request("web", WEB_REDIRECT), "scope", scope)).await;
        assert!(answer.answered("code").is_some(), "{scope}");
    }
}
