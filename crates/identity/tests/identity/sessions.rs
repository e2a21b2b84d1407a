//! Sessions and their cookies.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use sallyport_identity::{Deps, Identity, IdentityConfig};
use sallyport_model::{EventKind, ManualClock, Rng, Secret, SessionId, SystemRng};
use sallyport_storage::{BrowserSession, Role, StoreError};

use crate::support::{Browser, PASSWORD, TestApp, providers};

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

#[tokio::test]
async fn a_sign_in_that_began_before_the_password_changed_makes_no_session() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let began = app.now();
    app.later(Duration::from_millis(20));
    app.identity.set_password(&ada.id, Secret::new("another long password")).await.unwrap();
    app.later(Duration::from_millis(20));
    // As the sign-in stores it: with the time from before it looked at the old password.
    let session = BrowserSession {
        id: SessionId::new("late").unwrap(),
        cookie: [7; 32],
        user: ada.id,
        tenant: ada.tenant,
        methods: vec!["pwd".into()],
        authenticated_at: began,
        expires_at: app.now().plus(Duration::from_secs(60)),
        provider: None,
    };
    let stored = app.store.add_browser_session(&session).await;
    assert!(matches!(stored, Err(StoreError::Missing("person who may sign in"))), "{stored:?}");
    let mut browser = app.browser();
    assert_eq!(browser.sign_in("ada", "another long password", "").await.status, StatusCode::SEE_OTHER);
}

/// Takes a second for each draw.
#[derive(Debug)]
struct Slow(Arc<ManualClock>);

impl Rng for Slow {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.advance(Duration::from_secs(1));
        SystemRng.fill(bytes);
    }
}

#[tokio::test]
async fn a_session_begins_before_the_proof_was_looked_at() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let deps = Deps {
        store: app.store.clone(),
        clock: app.clock.clone(),
        rng: Arc::new(Slow(app.clock.clone())),
        recorder: app.log.clone(),
        strangers: app.strangers.clone(),
        providers: providers(),
        shell: app.shell.clone(),
        config: IdentityConfig::default(),
    };
    let identity = Identity::new(deps).unwrap();
    let mut browser = Browser::at(identity.router(), "192.0.2.1");
    let csrf = browser.get("/signin").await.field("csrf");
    let began = app.now();
    browser.post("/signin", &[("csrf", &csrf), ("login", "ada"), ("password", PASSWORD)]).await;
    let me = identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert!(app.now() > began);
    assert_eq!(me.session.authenticated_at, began, "a revocation after it was meant covers this session");
}
