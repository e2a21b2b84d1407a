//! Passkeys: added on the account page, used instead of and after a password.

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use sallyport_identity::{Identity, IdentityConfig, IdentityError};
use sallyport_model::{EventKind, Secret};
use sallyport_storage::Role;
use serde_json::{Value, json};

use crate::{
    authenticator::Authenticator,
    support::{Browser, PASSWORD, TestApp, providers},
};

const ORIGIN: &str = "https://gate.example";

async fn enrol(browser: &mut Browser, authenticator: &mut Authenticator) {
    let csrf = browser.get("/account").await.field("csrf");
    let options = browser.post_json("/account/passkeys/start", &json!({"csrf": csrf, "name": " Laptop\n "})).await;
    assert_eq!(options.status, StatusCode::OK, "{}", options.text);
    let credential = authenticator.create(&options.json());
    let done = browser.post_json("/account/passkeys/finish", &json!({"csrf": csrf, "credential": credential})).await;
    assert_eq!(done.json(), json!({"location": "/account?done=passkey_added"}));
}

async fn with_passkey(app: &TestApp, role: Role) -> Authenticator {
    app.person("ada", role).await;
    let mut browser = app.browser();
    browser.sign_in("ada", PASSWORD, "").await;
    let mut authenticator = Authenticator::new(ORIGIN, 7);
    enrol(&mut browser, &mut authenticator).await;
    authenticator
}

async fn start(browser: &mut Browser, continue_to: &str) -> (String, Value) {
    let csrf = browser.get("/signin").await.field("csrf");
    let body = json!({"csrf": csrf, "continue_to": continue_to});
    (csrf, browser.post_json("/signin/passkey/start", &body).await.json())
}

#[tokio::test]
async fn a_passkey_signs_in_without_a_password() {
    let app = TestApp::new().await;
    let mut authenticator = with_passkey(&app, Role::User).await;
    let event = app.log.last();
    assert_eq!((event.kind, &event.facts["action"]), (EventKind::Administered, &json!("passkey_added")));
    for _ in 0..2 {
        let mut browser = app.browser();
        let (csrf, options) = start(&mut browser, "/oauth/authorize?x=1").await;
        assert_eq!(options["publicKey"]["allowCredentials"], json!([]));
        assert_eq!(options["publicKey"]["userVerification"], "required");
        let body = json!({"csrf": csrf, "credential": authenticator.get(&options)});
        let answer = browser.post_json("/signin/passkey/finish", &body).await;
        assert_eq!(answer.json(), json!({"location": "/oauth/authorize?x=1"}));
        let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
        assert_eq!(me.session.methods, ["hwk", "mfa"]);
        let passkeys = app.store.passkeys(&me.person.id).await.unwrap();
        assert_eq!((passkeys.len(), passkeys[0].name.as_str()), (1, "Laptop"));
        assert_eq!(passkeys[0].last_used_at, Some(app.now()));
        let replay = browser.post_json("/signin/passkey/finish", &body).await;
        assert_eq!(replay.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_ceremony_wants_the_forms_token_and_our_origin() {
    let app = TestApp::new().await;
    let mut authenticator = with_passkey(&app, Role::User).await;
    let mut browser = app.browser();
    let (csrf, options) = start(&mut browser, "").await;
    let credential = authenticator.get(&options);
    let body = |csrf: &str| json!({"csrf": csrf, "credential": credential});
    let foreign = app.browser().get("/signin").await.field("csrf");
    for path in ["/signin/passkey/start", "/signin/passkey/finish"] {
        for token in ["", &foreign] {
            let answer = browser.post_json(path, &body(token)).await;
            assert_eq!(
                (answer.status, &answer.json()["error"]["code"]),
                (StatusCode::FORBIDDEN, &json!("form_expired"))
            );
        }
        let mut elsewhere = browser.clone();
        elsewhere.headers = vec![("origin", "https://evil.example".to_owned())];
        let answer = elsewhere.post_json(path, &body(&csrf)).await;
        assert_eq!(answer.json()["error"]["code"], "cross_site_request");
    }
    // None of these spent the ceremony.
    assert_eq!(browser.post_json("/signin/passkey/finish", &body(&csrf)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_origin_an_unverified_user_a_stale_challenge_or_a_cloned_counter_is_refused() {
    let app = TestApp::new().await;
    let mut authenticator = with_passkey(&app, Role::User).await;
    let signed_in = app.log.count(EventKind::SignedIn);
    for case in ["origin", "unverified", "late", "counter", "signature", "nonsense", "other browser", "spent"] {
        let mut browser = app.browser();
        let (csrf, options) = start(&mut browser, "").await;
        authenticator.origin = if case == "origin" { "https://evil.example".to_owned() } else { ORIGIN.to_owned() };
        authenticator.verifies = case != "unverified";
        let kept = authenticator.counter;
        if case == "counter" {
            authenticator.counter = 0;
        }
        let mut credential = authenticator.get(&options);
        authenticator.counter = kept;
        match case {
            "late" => app.later(Duration::from_secs(5 * 60 + 1)),
            "signature" => credential["response"]["signature"] = "MAAA".into(),
            "nonsense" => credential = json!([1, {"a": null}]),
            _ => {}
        }
        let mut sender = browser.clone();
        if case == "other browser" {
            sender.cookies.remove("__Host-sallyport-ceremony");
        }
        if case == "spent" {
            let first = json!({"csrf": csrf, "credential": null});
            assert_eq!(sender.post_json("/signin/passkey/finish", &first).await.status, StatusCode::FORBIDDEN);
        }
        let answer = sender.post_json("/signin/passkey/finish", &json!({"csrf": csrf, "credential": credential})).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}: {}", answer.text);
        assert_eq!(answer.json()["error"]["code"], "passkey_refused", "{case}");
        assert!(app.identity.current(&sender.header_map()).await.unwrap().is_none(), "{case}");
    }
    assert_eq!(app.log.count(EventKind::SignedIn), signed_in);
    assert!(app.log.count(EventKind::SignInRefused) >= 4);
}

#[tokio::test]
async fn an_administrators_password_alone_is_not_enough_once_she_has_a_passkey() {
    let app = TestApp::new().await;
    let mut authenticator = with_passkey(&app, Role::Administrator).await;
    let mut browser = app.browser();
    let page = browser.sign_in("ada", PASSWORD, "/oauth/authorize?x=1").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("One more step"));
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_none());
    let csrf = page.attribute("data-csrf");
    let options = browser.post_json("/signin/passkey/start", &json!({"csrf": csrf})).await.json();
    assert_eq!(options["publicKey"]["allowCredentials"].as_array().unwrap().len(), 1);
    let stranger = Authenticator::new(ORIGIN, 9).get(&options);
    let body = json!({"csrf": csrf, "credential": stranger});
    assert_eq!(browser.clone().post_json("/signin/passkey/finish", &body).await.status, StatusCode::FORBIDDEN);

    let page = browser.sign_in("ada", PASSWORD, "/oauth/authorize?x=1").await;
    let csrf = page.attribute("data-csrf");
    let options = browser.post_json("/signin/passkey/start", &json!({"csrf": csrf})).await.json();
    let body = json!({"csrf": csrf, "credential": authenticator.get(&options)});
    let answer = browser.post_json("/signin/passkey/finish", &body).await;
    assert_eq!(answer.json(), json!({"location": "/oauth/authorize?x=1"}));
    let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.session.methods, ["pwd", "hwk", "mfa"]);
}

#[tokio::test]
async fn an_administrator_who_must_have_a_passkey_enrols_before_she_is_signed_in_and_keeps_one() {
    let config = IdentityConfig { require_passkey_for_administrators: true, ..IdentityConfig::default() };
    let app = TestApp::with(ORIGIN, config).await;
    app.person("ada", Role::Administrator).await;
    let mut browser = app.browser();
    let page = browser.sign_in("ada", PASSWORD, "/account").await;
    assert!(page.text.contains("Add a passkey"));
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_none());
    let csrf = page.attribute("data-csrf");
    let options = browser.post_json("/signin/passkey/start", &json!({"csrf": csrf})).await.json();
    let credential = Authenticator::new(ORIGIN, 7).create(&options);
    let answer = browser.post_json("/signin/passkey/finish", &json!({"csrf": csrf, "credential": credential})).await;
    assert_eq!(answer.json(), json!({"location": "/account"}), "{}", answer.text);
    let me = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    let csrf = browser.get("/account").await.field("csrf");
    let id = app.store.passkeys(&me.person.id).await.unwrap()[0].id.clone();
    let kept = browser.post("/account/passkeys/remove", &[("csrf", &csrf), ("passkey", &id)]).await;
    assert_eq!(kept.status, StatusCode::CONFLICT);
    assert!(app.browser().sign_in("ada", PASSWORD, "").await.text.contains("One more step"));
}

#[tokio::test]
async fn a_password_that_was_changed_or_overtaken_enrols_nothing() {
    let config = IdentityConfig { require_passkey_for_administrators: true, ..IdentityConfig::default() };
    for case in ["changed", "overtaken"] {
        let app = TestApp::with(ORIGIN, config.clone()).await;
        let ada = app.person("ada", Role::Administrator).await;
        let (mut thief, mut owner) = (app.browser(), app.browser());
        let mut ceremonies = Vec::new();
        for (browser, key) in [(&mut thief, 6), (&mut owner, 7)] {
            let csrf = browser.sign_in("ada", PASSWORD, "").await.attribute("data-csrf");
            let options = browser.post_json("/signin/passkey/start", &json!({"csrf": csrf})).await.json();
            let credential = Authenticator::new(ORIGIN, key).create(&options);
            ceremonies.push(json!({"csrf": csrf, "credential": credential}));
        }
        match case {
            "changed" => app.identity.set_password(&ada.id, Secret::new("another long password")).await.unwrap(),
            _ => drop(owner.post_json("/signin/passkey/finish", &ceremonies[1]).await.json()["location"].take()),
        }
        let expected = usize::from(case == "overtaken");
        let answer = thief.post_json("/signin/passkey/finish", &ceremonies[0]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}");
        assert_eq!(app.store.passkeys(&ada.id).await.unwrap().len(), expected, "{case}");
        assert_eq!(app.log.count(EventKind::SignedIn), expected, "{case}");
    }
}

#[tokio::test]
async fn a_passkey_that_cannot_be_recorded_is_not_kept() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mut browser = app.browser();
    browser.sign_in("ada", PASSWORD, "").await;
    let csrf = browser.get("/account").await.field("csrf");
    let options = browser.post_json("/account/passkeys/start", &json!({"csrf": csrf})).await.json();
    app.log.broken.store(true, Ordering::SeqCst);
    let body = json!({"csrf": csrf, "credential": Authenticator::new(ORIGIN, 7).create(&options)});
    let answer = browser.post_json("/account/passkeys/finish", &body).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(app.store.passkeys(&ada.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_passkey_is_removed_by_its_owner_and_only_soon_after_signing_in() {
    let app = TestApp::new().await;
    with_passkey(&app, Role::User).await;
    app.person("bob", Role::User).await;
    let mut ada = app.browser();
    ada.sign_in("ada", PASSWORD, "").await;
    let me = app.identity.current(&ada.header_map()).await.unwrap().unwrap();
    let id = app.store.passkeys(&me.person.id).await.unwrap()[0].id.clone();
    let mut bob = app.browser();
    bob.sign_in("bob", PASSWORD, "").await;
    let csrf = bob.get("/account").await.field("csrf");
    let foreign = bob.post("/account/passkeys/remove", &[("csrf", &csrf), ("passkey", &id)]).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let csrf = ada.get("/account").await.field("csrf");
    app.later(Duration::from_secs(16 * 60));
    let late = ada.post("/account/passkeys/remove", &[("csrf", &csrf), ("passkey", &id)]).await;
    assert!(late.text.contains("sign_in_again"));
    assert_eq!(ada.post_json("/account/passkeys/start", &json!({"csrf": csrf})).await.status, StatusCode::FORBIDDEN);
    ada.sign_in("ada", PASSWORD, "").await;
    let csrf = ada.get("/account").await.field("csrf");
    let gone = ada.post("/account/passkeys/remove", &[("csrf", &csrf), ("passkey", &id)]).await;
    assert_eq!(gone.location(), "/account?done=passkey_removed");
    assert!(app.store.passkeys(&me.person.id).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_enrolment_begun_in_one_session_is_not_finished_in_another() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    app.person("bob", Role::User).await;
    let mut ada = app.browser();
    ada.sign_in("ada", PASSWORD, "").await;
    // Another person's session, and another one of her own.
    for login in ["bob", "ada"] {
        let csrf = ada.get("/account").await.field("csrf");
        let options = ada.post_json("/account/passkeys/start", &json!({"csrf": csrf})).await.json();
        let mut other = app.browser();
        other.sign_in(login, PASSWORD, "").await;
        let ceremony = ada.cookies["__Host-sallyport-ceremony"].clone();
        other.cookies.insert("__Host-sallyport-ceremony".to_owned(), ceremony);
        let csrf = other.get("/account").await.field("csrf");
        let credential = Authenticator::new(ORIGIN, 7).create(&options);
        let body = json!({"csrf": csrf, "credential": credential});
        let answer = other.post_json("/account/passkeys/finish", &body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{login}");
    }
}

#[tokio::test]
async fn at_an_address_there_are_no_passkeys_and_demanding_them_is_an_error() {
    let app = TestApp::with("http://127.0.0.1:8080", IdentityConfig::default()).await;
    let mut browser = app.browser();
    assert!(!browser.get("/signin").await.text.contains("data-passkey"));
    assert_eq!(browser.post_json("/signin/passkey/start", &json!({})).await.status, StatusCode::NOT_FOUND);
    let deps = sallyport_identity::Deps {
        store: app.store.clone(),
        clock: app.clock.clone(),
        rng: app.rng.clone(),
        recorder: app.log.clone(),
        strangers: app.strangers.clone(),
        providers: providers(),
        shell: app.shell.clone(),
        config: IdentityConfig { require_passkey_for_administrators: true, ..IdentityConfig::default() },
    };
    assert!(matches!(Identity::new(deps), Err(IdentityError::PasskeysImpossible(_))));
}

#[tokio::test]
async fn a_flood_of_wrong_passkeys_is_recorded_up_to_the_addresss_lock_and_then_counted() {
    let mut config = IdentityConfig::default();
    config.address_lock.limit = 4;
    let app = TestApp::with(ORIGIN, config).await;
    let mut browser = app.browser();
    for _ in 0..30 {
        let (csrf, options) = start(&mut browser, "").await;
        let credential = Authenticator::new(ORIGIN, 9).get(&options);
        let body = json!({"csrf": csrf, "credential": credential});
        let answer = browser.post_json("/signin/passkey/finish", &body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(app.log.count(EventKind::SignInRefused), 4);
    let counted = app.strangers.drain(app.clock.as_ref(), app.rng.as_ref());
    assert_eq!(counted.len(), 1);
    assert_eq!((&counted[0].facts["code"], &counted[0].facts["times"]), (&"passkey_refused".into(), &26.into()));
}
