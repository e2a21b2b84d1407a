//! Sessions and their cookies.

use std::time::Duration;

use http::StatusCode;
use sallyport_identity::IdentityConfig;
use sallyport_model::{EventKind, Secret};
use sallyport_storage::Role;

use crate::support::{PASSWORD, TestApp};

#[tokio::test]
async fn cookies_are_host_locked_over_https_and_plain_on_loopback() {
    for (url, prefix, secure) in [("https://gate.example", "__Host-", true), ("http://127.0.0.1:8080", "", false)] {
        let app = TestApp::with(url, IdentityConfig::default()).await;
        app.person("ada", Role::User).await;
        let mut browser = app.browser();
        let mut cookies = browser.get("/signin").await.set_cookies();
        cookies.extend(browser.sign_in("ada", PASSWORD, "").await.set_cookies());
        assert_eq!(cookies.len(), 2, "{cookies:?}");
        for cookie in cookies {
            assert!(cookie.starts_with(&format!("{prefix}sallyport-")), "{cookie}");
            assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
            assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
            assert!(!cookie.contains("Domain"));
        }
    }
}

#[tokio::test]
async fn a_session_ends_by_time_by_signing_out_and_by_disabling() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mut browser = app.browser();
    browser.sign_in("ada", PASSWORD, "").await;
    app.later(Duration::from_secs(12 * 3600 - 1));
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_some());
    app.later(Duration::from_secs(2));
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_none());
    assert_eq!(browser.get("/account").await.location(), "/signin?continue_to=%2Faccount");

    browser.sign_in("ada", PASSWORD, "").await;
    let kept = browser.clone();
    let csrf = browser.get("/account").await.field("csrf");
    assert_eq!(browser.post("/signout", &[("csrf", "x")]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.post("/signout", &[("csrf", &csrf)]).await.location(), "/signin?done=signed_out");
    assert_eq!(app.log.last().kind, EventKind::SignedOut);
    assert!(app.identity.current(&kept.header_map()).await.unwrap().is_none(), "the old cookie is dead");

    browser.sign_in("ada", PASSWORD, "").await;
    app.store.set_disabled(&ada.id, true).await.unwrap();
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_none());
}

#[tokio::test]
async fn signing_in_makes_a_new_session_and_ends_the_one_before() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let mut browser = app.browser();
    browser.cookies.insert("__Host-sallyport-session".to_owned(), "planted".to_owned());
    browser.sign_in("ada", PASSWORD, "").await;
    let first = browser.clone();
    assert_ne!(first.cookies["__Host-sallyport-session"], "planted");
    browser.sign_in("ada", PASSWORD, "").await;
    assert_ne!(first.cookies["__Host-sallyport-session"], browser.cookies["__Host-sallyport-session"]);
    assert!(app.identity.current(&first.header_map()).await.unwrap().is_none());
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_the_old_password() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mut browser = app.browser();
    browser.sign_in("ada", PASSWORD, "").await;
    app.later(Duration::from_secs(1));
    app.identity.set_password(&ada.id, Secret::new("another long password")).await.unwrap();
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_none());
    app.later(Duration::from_secs(1));
    assert_eq!(browser.sign_in("ada", PASSWORD, "").await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.sign_in("ada", "another long password", "").await.status, StatusCode::SEE_OTHER);
    assert!(app.identity.set_password(&ada.id, Secret::new("too short")).await.is_err());
}
