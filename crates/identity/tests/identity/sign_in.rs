//! `/signin` with login and password.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::{StatusCode, header};
use sallyport_identity::{IdentityConfig, IdentityError, NewPerson};
use sallyport_model::{Actor, EventKind, Secret};
use sallyport_storage::Role;

use crate::support::{Answer, Browser, PASSWORD, TestApp, tenant};

const MINUTE: Duration = Duration::from_secs(60);

fn said(answer: &Answer) -> &str {
    answer.text.split("role=\"alert\">").nth(1).unwrap().split('<').next().unwrap()
}

#[tokio::test]
async fn a_good_sign_in_leads_on_and_is_recorded() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mut browser = app.browser();
    let answer = browser.sign_in("  Ada ", PASSWORD, "/oauth/authorize?request=7").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location(), "/oauth/authorize?request=7");
    let signed_in = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(signed_in.person.id, ada.id);
    assert_eq!(signed_in.session.methods, ["pwd"]);
    let event = app.log.last();
    assert_eq!(event.kind, EventKind::SignedIn);
    assert_eq!(event.tenant, Some(tenant()));
    let who = event.who.unwrap();
    assert_eq!(who.subject, Actor::Human(ada.id));
    assert_eq!(who.session, Some(signed_in.session.id));
    assert_eq!(event.source.unwrap().address, "192.0.2.1");
}

#[tokio::test]
async fn a_person_added_to_the_store_beside_signs_in_and_is_held_to_the_same_rules() {
    let app = TestApp::new().await;
    let new = |login: &str, password: &str| NewPerson {
        tenant: tenant(),
        login: login.to_owned(),
        email: None,
        display_name: "Ada".to_owned(),
        role: Role::User,
        password: Some(Secret::new(password)),
    };
    let add = async |new: NewPerson| new.add_to(app.store.as_ref(), app.rng.as_ref(), app.now()).await;
    let ada = add(new(" Ada@Acme.example ", PASSWORD)).await.unwrap();
    assert_eq!((ada.login.as_str(), ada.created_at), ("ada@acme.example", app.now()));
    for no in ["", "a b", "a\u{7}", &"x".repeat(255)] {
        assert!(matches!(add(new(no, PASSWORD)).await, Err(IdentityError::BadLogin(_))), "{no:?}");
    }
    assert!(matches!(add(new("bob", "too short")).await, Err(IdentityError::WeakPassword(_))));
    assert!(add(new("ada@acme.example", PASSWORD)).await.is_err(), "the login is taken");
    let mut browser = app.browser();
    browser.sign_in("ada@acme.example", PASSWORD, "/account").await;
    let signed_in = app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(signed_in.person.id, ada.id);
}

#[tokio::test]
async fn wrong_and_unknown_get_the_same_answer_and_similar_work() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let mut bodies = Vec::new();
    let mut times = Vec::new();
    for login in ["ada", "nobody"] {
        let mut browser = app.browser();
        let csrf = browser.get("/signin").await.field("csrf");
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            let answer =
                browser.post("/signin", &[("csrf", &csrf), ("login", login), ("password", "not her password")]).await;
            best = best.min(begun.elapsed());
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
            bodies.push(answer.text.replace(&csrf, "").replace(&format!("value=\"{login}\""), ""));
        }
        times.push(best);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    // Without the stand-in hash an unknown login would take a twentieth.
    let ratio = times[0].as_secs_f64() / times[1].as_secs_f64();
    assert!((0.3..3.0).contains(&ratio), "{times:?}");
    let events = app.log.events.lock().unwrap();
    let codes: Vec<_> = events.iter().map(|event| event.decision.as_ref().unwrap().code.as_str()).collect();
    assert_eq!(codes[0], "wrong_password");
    assert_eq!(codes[3], "unknown_login");
    assert_eq!(events[3].claimed.as_ref().unwrap()["login"], "nobody");
    assert!(events.iter().all(|event| event.who.is_none()));
    assert!(!format!("{events:?}").contains("not her password"));
}

#[tokio::test]
async fn the_sixth_attempt_is_locked_even_with_the_right_password_until_the_lock_ends() {
    for login in ["ada", "nobody"] {
        let app = TestApp::new().await;
        app.person("ada", Role::User).await;
        let mut browser = app.browser();
        for _ in 0..5 {
            assert_eq!(browser.sign_in(login, "wrong password", "").await.status, StatusCode::FORBIDDEN);
        }
        let locked = browser.sign_in(login, PASSWORD, "").await;
        assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(locked.headers[header::RETRY_AFTER], "900");
        assert_eq!(said(&locked), "Too many attempts. Wait 15 minutes and try again.");
        assert_eq!(app.log.last().decision.unwrap().code, "locked");
        let elsewhere = Browser::at(app.router.clone(), "198.51.100.9").sign_in(login, PASSWORD, "").await;
        assert_eq!(elsewhere.status, StatusCode::TOO_MANY_REQUESTS, "a lock holds from every address");
        app.later(MINUTE * 15 + Duration::from_secs(1));
        let status = browser.sign_in(login, PASSWORD, "").await.status;
        assert_eq!(status, if login == "ada" { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN });
    }
}

#[tokio::test]
async fn a_success_forgets_the_failures_of_the_login() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let mut browser = app.browser();
    for _ in 0..3 {
        for _ in 0..4 {
            browser.sign_in("ada", "wrong password", "").await;
        }
        assert_eq!(browser.sign_in("ada", PASSWORD, "").await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_attempts_get_no_more_tries_than_serial_ones() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let mut browser = app.browser();
    let csrf = browser.get("/signin").await.field("csrf");
    let attempts = (0..40).map(|_| {
        let (mut browser, csrf) = (browser.clone(), csrf.clone());
        tokio::spawn(async move {
            let fields = [("csrf", csrf.as_str()), ("login", "ada"), ("password", "wrong password")];
            browser.post("/signin", &fields).await.status
        })
    });
    let mut tried = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        tried += usize::from(attempt.await.unwrap() == StatusCode::FORBIDDEN);
    }
    assert_eq!(tried, 5);
}

#[tokio::test]
async fn an_address_is_locked_for_all_logins_and_a_success_does_not_buy_tries() {
    let mut config = IdentityConfig::default();
    config.address_lock.limit = 6;
    let app = TestApp::with("https://gate.example", config).await;
    app.person("ada", Role::User).await;
    let mut browser = app.browser();
    for guess in 0..6 {
        let login = format!("guess{guess}");
        assert_eq!(browser.sign_in(&login, "wrong password", "").await.status, StatusCode::FORBIDDEN);
        if guess == 3 {
            assert_eq!(browser.sign_in("ada", PASSWORD, "").await.status, StatusCode::SEE_OTHER);
        }
    }
    assert_eq!(browser.sign_in("ada", PASSWORD, "").await.status, StatusCode::TOO_MANY_REQUESTS);
    let mut elsewhere = Browser::at(app.router.clone(), "198.51.100.9");
    assert_eq!(elsewhere.sign_in("ada", PASSWORD, "").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn disabled_people_and_people_of_suspended_tenants_look_like_a_wrong_password() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mut browser = app.browser();
    let wrong = browser.sign_in("ada", "wrong password", "").await;
    app.store.set_disabled(&ada.id, true).await.unwrap();
    let disabled = browser.sign_in("ada", PASSWORD, "").await;
    assert_eq!((disabled.status, said(&disabled)), (wrong.status, said(&wrong)));
    assert_eq!(app.log.last().decision.unwrap().code, "disabled");
    app.store.set_disabled(&ada.id, false).await.unwrap();
    assert_eq!(browser.sign_in("ada", PASSWORD, "").await.status, StatusCode::SEE_OTHER);
    let mut acme = app.store.tenant(&tenant()).await.unwrap().unwrap();
    acme.suspended = true;
    app.store.put_tenant(&acme).await.unwrap();
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_none());
    assert_eq!(app.browser().sign_in("ada", PASSWORD, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_without_its_token_or_from_elsewhere_is_refused() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let mut mine = app.browser();
    let csrf = mine.get("/signin").await.field("csrf");
    let mut other = app.browser();
    let foreign = other.get("/signin").await.field("csrf");
    let fields = |token: &str| {
        vec![
            ("csrf".to_owned(), token.to_owned()),
            ("login".into(), "ada".into()),
            ("password".into(), PASSWORD.into()),
        ]
    };
    let cases = [
        ("", "https://gate.example", "form_expired"),
        ("AAAA", "https://gate.example", "form_expired"),
        (&foreign, "https://gate.example", "form_expired"),
        (&csrf, "https://evil.example", "cross_site_request"),
        (&csrf, "null", "cross_site_request"),
    ];
    for (token, origin, code) in cases {
        let mut browser = mine.clone();
        browser.headers = vec![("origin", origin.to_owned())];
        let fields = fields(token);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = browser.post("/signin", &fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.text.contains(code), "{token} {origin}: {}", answer.text);
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
    let bare = app.browser().post("/signin", &[("csrf", &csrf), ("login", "ada"), ("password", PASSWORD)]).await;
    assert!(bare.text.contains("no_cookie"));
    assert_eq!(app.log.count(EventKind::SignedIn), 0);
    mine.headers = vec![("origin", "https://gate.example".to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
    let good = mine.post("/signin", &[("csrf", &csrf), ("login", "ada"), ("password", PASSWORD)]).await;
    assert_eq!(good.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn no_link_leads_away_from_here() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    for trick in ["//evil.example", "https://evil.example", "/\\evil.example", "/oauth/../x", "javascript:alert(1)", ""]
    {
        let answer = app.browser().sign_in("ada", PASSWORD, trick).await;
        assert_eq!(answer.location(), "/account", "{trick}");
        assert_eq!(app.identity.sign_in_url(trick), "/signin?continue_to=%2Faccount");
    }
    let url = app.identity.sign_in_url("/oauth/authorize?a=b&c=%22");
    let mut browser = app.browser();
    assert_eq!(browser.get(&url).await.field("continue_to"), "/oauth/authorize?a=b&c=%22");
    let hostile = browser.get("/signin?continue_to=%22%3E%3Cscript%3E&done=%3Cscript%3E").await;
    assert!(!hostile.text.contains("<script>"));
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    app.log.broken.store(true, Ordering::SeqCst);
    let mut browser = app.browser();
    for password in [PASSWORD, "wrong password"] {
        let answer = browser.sign_in("ada", password, "").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.text.contains("audit_unavailable"));
    }
    assert!(!browser.cookies.keys().any(|name| name.contains("session")));
}

#[tokio::test]
async fn without_a_local_directory_there_is_no_form_and_nobody_is_signed_in() {
    let config = IdentityConfig { local_directory: false, ..IdentityConfig::default() };
    let app = TestApp::with("https://gate.example", config).await;
    let page = app.browser().get("/signin").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.text.contains("password"), "{}", page.text);
    assert!(page.text.contains("No organisation has connected"), "{}", page.text);
    assert_eq!(app.browser().post("/signin", &[("login", "ada")]).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_request_whose_address_nobody_knows_is_not_served() {
    let app = TestApp::new().await;
    let request = http::Request::get("/signin").body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(app.router.clone(), request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_flood_is_recorded_up_to_each_lock_and_then_counted() {
    let mut config = IdentityConfig::default();
    config.address_lock.limit = 8;
    let app = TestApp::with("https://gate.example", config).await;
    let mut browser = app.browser();
    let csrf = browser.get("/signin").await.field("csrf");
    for n in 0..300 {
        let login = format!("nobody{}", n % 3);
        let fields = [("csrf", csrf.as_str()), ("login", &login), ("password", "wrong password")];
        browser.post("/signin", &fields).await;
    }
    let codes: Vec<_> =
        app.log.events.lock().unwrap().iter().map(|event| event.decision.clone().unwrap().code).collect();
    assert_eq!(codes.len(), 9, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| *code == "unknown_login").count(), 8);
    assert!(codes.contains(&"address_locked".to_owned()), "the lock itself, once");
    let counted = app.strangers.drain(app.clock.as_ref(), app.rng.as_ref());
    assert_eq!(counted.len(), 1);
    assert_eq!((&counted[0].facts["code"], &counted[0].facts["times"]), (&"locked".into(), &292.into()));
}

#[tokio::test]
async fn a_locked_login_is_on_record_once_and_its_next_lock_again() {
    let app = TestApp::new().await;
    let mut browser = app.browser();
    for round in 1..=2 {
        for _ in 0..20 {
            browser.sign_in("nobody", "wrong password", "").await;
        }
        let events = app.log.events.lock().unwrap().clone();
        let locked = events.iter().filter(|event| event.decision.as_ref().unwrap().code == "locked").count();
        assert_eq!((locked, events.len()), (round, round * 6));
        app.later(MINUTE * 31);
    }
}
