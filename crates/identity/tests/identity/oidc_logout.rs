//! The provider says that somebody is out.

use http::{StatusCode, header};
use sallyport_model::EventKind;
use sallyport_storage::RevocationSubject;
use serde_json::{Value, json};

use crate::{
    oidc_provider::{Key, Stage, connect, settings},
    support::{Answer, Browser},
};

const LOGOUT: &str = "/signin/oidc/acme-idp/logout";

async fn post(stage: &Stage, path: &str, token: &str) -> Answer {
    let answer = stage.app.browser().post(path, &[("logout_token", token)]).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    answer
}

async fn is_in(stage: &Stage, browser: &Browser) -> bool {
    stage.session(browser).await.is_some()
}

#[tokio::test]
async fn a_session_at_the_provider_ends_the_one_here_with_all_that_was_given_in_it() {
    let stage = Stage::new().await;
    stage.provider.is().claims = json!({"sid": "one"});
    let first = stage.signed_in("alice").await;
    stage.provider.is().claims = json!({"sid": "two"});
    let second = stage.signed_in("alice").await;
    let session = stage.session(&first).await.unwrap();
    let token = stage.provider.logout_token("j1", &json!({"sid": "one", "sub": "alice"}));
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    assert!(!is_in(&stage, &first).await && is_in(&stage, &second).await);
    let epochs = stage.app.store.revocations_after(0, 10).await.unwrap();
    assert!(epochs.iter().any(|entry| entry.subject == RevocationSubject::Session(session.clone())), "{epochs:?}");
    let event = stage.app.log.last();
    assert_eq!((event.kind, &event.facts["reason"]), (EventKind::Revoked, &json!("backchannel_logout")));
    assert_eq!(event.who.unwrap().session, Some(session));
}

#[tokio::test]
async fn a_person_at_the_provider_ends_all_of_hers_and_nobody_elses() {
    let stage = Stage::new().await;
    connect(&stage.app, "globex", settings(&stage.provider)).await;
    let (first, second) = (stage.signed_in("alice").await, stage.signed_in("alice").await);
    let bob = stage.signed_in("bob").await;
    let mut elsewhere = stage.app.browser();
    stage.sign_in(&mut elsewhere, "globex", "alice").await;
    let token = stage.provider.logout_token("j1", &json!({"sub": "alice"}));
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    assert!(!is_in(&stage, &first).await && !is_in(&stage, &second).await);
    assert!(is_in(&stage, &bob).await && is_in(&stage, &elsewhere).await, "only hers, only at this connection");
    assert_eq!(stage.app.log.count(EventKind::Revoked), 2);
}

#[tokio::test]
async fn a_session_that_the_id_token_did_not_name_is_taken_for_the_one_that_is_meant() {
    let stage = Stage::new().await;
    stage.provider.is().claims = json!({"sid": null});
    let browser = stage.signed_in("alice").await;
    let token = stage.provider.logout_token("j1", &json!({"sid": "unheard-of", "sub": "alice"}));
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    assert!(!is_in(&stage, &browser).await);
}

#[tokio::test]
async fn a_token_counts_once() {
    let stage = Stage::new().await;
    let before = stage.signed_in("alice").await;
    let token = stage.provider.logout_token("j1", &json!({"sub": "alice"}));
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    let after = stage.signed_in("alice").await;
    let answer = post(&stage, LOGOUT, &token).await;
    assert_eq!((answer.status, &answer.json()["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    assert!(!is_in(&stage, &before).await && is_in(&stage, &after).await);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_acknowledged_and_may_come_once_more() {
    let stage = Stage::new().await;
    let browser = stage.signed_in("alice").await;
    let token = stage.provider.logout_token("j1", &json!({"sub": "alice"}));
    stage.app.log.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = post(&stage, LOGOUT, &token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    assert!(!is_in(&stage, &browser).await, "access ends even so");
    stage.app.log.broken.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_forged_token_ends_nothing() {
    let stage = Stage::new().await;
    let browser = stage.signed_in("alice").await;
    let now = stage.provider.now();
    let sub = |mut changes: Value| {
        let all = changes.as_object_mut().unwrap();
        all.entry("sub").or_insert(json!("alice"));
        changes
    };
    let good = stage.provider.logout_token("j0", &sub(json!({"sub": "nobody"})));
    let mut forged = vec![
        stage.provider.logout_token("j1", &sub(json!({"aud": "other"}))),
        stage.provider.logout_token("j2", &sub(json!({"aud": []}))),
        stage.provider.logout_token("j3", &sub(json!({"iss": "https://evil.example"}))),
        stage.provider.logout_token("j4", &sub(json!({"nonce": "n"}))),
        stage.provider.logout_token("j5", &sub(json!({"events": {}}))),
        stage.provider.logout_token("j6", &sub(json!({"events": null}))),
        stage.provider.logout_token("j7", &sub(json!({"sub": null}))),
        stage.provider.logout_token("j8", &sub(json!({"exp": now - 120}))),
        stage.provider.logout_token("j9", &sub(json!({"iat": now + 600, "exp": now + 700}))),
        stage.provider.logout_token("ja", &sub(json!({"jti": null}))),
        stage.provider.sign(Some("secevent+jwt"), &json!({"sub": "alice"})),
        Key::new("k1").sign(&json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"}), &json!({"sub": "alice"})),
        format!("{}x", good),
        String::new(),
        "a.b.c".to_owned(),
    ];
    let [header, claims, _] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    forged.push(format!("{}.{claims}.", crate::oidc_provider::b64(r#"{"alg":"none"}"#)));
    forged.push(format!("{header}.{claims}."));
    for token in &forged {
        let answer = post(&stage, LOGOUT, token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{token}: {}", answer.text);
    }
    let token = stage.provider.logout_token("jb", &sub(json!({})));
    for path in ["/signin/oidc/nobody/logout", "/signin/oidc/globex-idp/logout"] {
        assert_eq!(post(&stage, path, &token).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let large = "x".repeat(70_000);
    assert_eq!(post(&stage, LOGOUT, &large).await.status, StatusCode::BAD_REQUEST);
    let empty = stage.app.browser().post(LOGOUT, &[]).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    assert!(is_in(&stage, &browser).await);
    assert_eq!(stage.app.log.count(EventKind::Revoked), 0);
}

#[tokio::test]
async fn a_connection_that_is_switched_off_still_ends_what_it_began() {
    let stage = Stage::new().await;
    let browser = stage.signed_in("alice").await;
    let id = sallyport_model::ConnectionId::new("acme-idp").unwrap();
    let mut connection = stage.app.store.connection(&id).await.unwrap().unwrap();
    connection.enabled = false;
    stage.app.store.put_connection(&connection).await.unwrap();
    let token = stage.provider.logout_token("j1", &json!({"sid": "sid-of-alice"}));
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    assert!(!is_in(&stage, &browser).await);
}

#[tokio::test]
async fn a_frame_ends_this_browsers_session_and_only_by_its_name() {
    let stage = Stage::new().await;
    let mut alice = stage.signed_in("alice").await;
    let mut bob = stage.signed_in("bob").await;
    let issuer = stage.provider.origin.replace(':', "%3A").replace('/', "%2F");
    let path = |sid: &str| format!("/signin/oidc/acme-idp/frontchannel-logout?iss={issuer}&sid={sid}");
    // Any page can make a browser load this: without the name of the session nothing ends.
    for query in [
        "",
        &format!("?iss={issuer}&sid=sid-of-bob"),
        "?sid=sid-of-alice",
        "?iss=https%3A%2F%2Fevil.example&sid=sid-of-alice",
    ] {
        alice.get(&format!("/signin/oidc/acme-idp/frontchannel-logout{query}")).await;
        assert!(is_in(&stage, &alice).await, "{query}");
    }
    bob.get(&path("sid-of-alice")).await;
    let answer = alice.get(&path("sid-of-alice")).await;
    assert_eq!(answer.status, StatusCode::OK);
    let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert_eq!(policy, format!("default-src 'none'; frame-ancestors {}", stage.provider.origin));
    assert!(!answer.headers.contains_key("x-frame-options"));
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert!(!is_in(&stage, &alice).await && is_in(&stage, &bob).await);
    assert_eq!(stage.app.log.last().facts["reason"], "frontchannel_logout");
}

#[tokio::test]
async fn a_log_out_that_overtakes_the_sign_in_still_counts() {
    let stage = Stage::new().await;
    stage.signed_in("bob").await;
    let mut browser = stage.app.browser();
    let location = stage.leave(&mut browser, "acme").await;
    let back = stage.provider.sign_in(&location, "alice");
    let token = stage.provider.logout_token("j1", &json!({"sid": "sid-of-alice"}));
    assert_eq!(post(&stage, LOGOUT, &token).await.status, StatusCode::OK);
    stage.assert_refused(&browser.get(&back).await, "revoked_meanwhile");
    assert!(!is_in(&stage, &browser).await);
    // Looking is no marking.
    assert_eq!(stage.app.log.count(EventKind::Revoked), 1);
    stage.signed_in("bob").await;
    stage.signed_in("bob").await;
}
