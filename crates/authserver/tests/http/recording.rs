//! What cannot be recorded does not happen, and nothing secret is ever recorded.

use std::sync::atomic::Ordering;

use http::StatusCode;
use sallyport_model::{AuditEvent, EventKind, SystemRng};
use sallyport_storage::Consents;

use crate::app::*;

#[tokio::test]
async fn without_a_log_nothing_is_issued() {
    let app = App::new().await;
    let client = app.register().await;
    let mut alice = app.alice();
    let code = alice.code(&request(&client, LOOPBACK)).await;
    let tokens = app.tokens(&client, LOOPBACK).await;
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    app.log.broken.store(true, Ordering::SeqCst);
    let refresh =
        [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &tokens.text("refresh_token"))];
    let robot =
        [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET), ("resource", FILES)];
    for form in [&redeem(&client, LOOPBACK, &code)[..], &refresh, &robot, &[("grant_type", "password")]] {
        let answer = app.token(form).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{form:?}");
        assert!(!answer.body.contains("_token\""), "{}", answer.body);
    }
    let answer = alice.decide(&page, "allow").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SERVICE_UNAVAILABLE, None));
    let (user, web) = ("alice".parse().unwrap(), "web".parse().unwrap());
    assert!(Consents::consent(app.store.as_ref(), &user, &web, FILES).await.unwrap().is_none(), "no consent either");
    let registered = app.register_with(serde_json::json!({"redirect_uris": [LOOPBACK]})).await;
    assert_eq!(registered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!registered.body.contains("client_id"));
    let refused = app.alice().authorize(&changed(request("web", WEB_REDIRECT), "scope", "mail:send")).await;
    assert_eq!(
        (refused.status, refused.location()),
        (StatusCode::SERVICE_UNAVAILABLE, None),
        "a refusal is an event too"
    );
}

#[tokio::test]
async fn an_issued_token_is_recorded_with_its_principal_before_it_leaves() {
    let app = App::new().await;
    let client = app.register().await;
    let tokens = app.tokens(&client, LOOPBACK).await;
    let principal = app.verify(&tokens.text("access_token"), FILES).unwrap();
    let events = app.log.of(EventKind::TokenIssued);
    let event = events.last().unwrap();
    let who = event.who.as_ref().unwrap();
    assert_eq!(event.tenant.as_ref(), Some(&principal.tenant));
    assert_eq!((&who.subject, who.client.as_ref()), (&principal.subject, Some(&principal.client)));
    assert_eq!((who.session.as_ref(), who.grant.as_ref()), (Some(&principal.session), Some(&principal.grant)));
    assert_eq!(who.token.as_ref(), Some(&principal.token));
    assert_eq!(event.facts["resource"], FILES);
    assert_eq!(event.source.as_ref().unwrap().address, "192.0.2.1");
}

#[tokio::test]
async fn no_event_holds_a_code_token_secret_or_verifier() {
    let app = App::new().await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    app.token(&redeem(&client, LOOPBACK, &code)).await;
    app.token(&[
        ("grant_type", "refresh_token"),
        ("client_id", "web"),
        ("client_secret", SECRET),
        ("refresh_token", &refresh),
    ])
    .await;
    app.token(&[
        ("grant_type", "refresh_token"),
        ("client_id", "web"),
        ("client_secret", "wr0ng-guess"),
        ("refresh_token", &refresh),
    ])
    .await;
    app.post("/oauth/revoke", &[("client_id", &client), ("token", &access)]).await;
    let log = serde_json::to_string(&app.log.events()).unwrap();
    for secret in [&code, &access, &refresh, &SECRET.to_owned(), &"wr0ng-guess".to_owned(), &VERIFIER.to_owned()] {
        assert!(!log.contains(secret.as_str()), "{secret}");
    }
    assert!(log.len() > 1000);
}

#[tokio::test]
async fn a_strangers_claims_are_marked_as_claims_and_a_flood_is_not_written_out() {
    let app = App::with(|config| config.rates.recorded_refusals_per_minute = 5).await;
    for _ in 0..20 {
        let form = [("grant_type", "refresh_token"), ("client_id", "no\u{7f}body"), ("refresh_token", "x")];
        assert_eq!(app.token(&form).await.status, StatusCode::BAD_REQUEST);
        let form = [("grant_type", "refresh_token"), ("client_id", "nobody"), ("refresh_token", "x")];
        assert_eq!(app.token(&form).await.error(), "invalid_client");
    }
    let refused = app.log.of(EventKind::TokenRefused);
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|event| event.who.is_none() && event.tenant.is_none()));
    assert!(refused.iter().any(|event| event.claimed.as_ref().is_some_and(|c| c["client_id"] == "nobody")));
    let none = app
        .store
        .grants_of(
            &"acme".parse().unwrap(),
            &sallyport_model::Actor::Human("alice".parse().unwrap()),
            sallyport_model::Timestamp::from_secs(0),
        )
        .await;
    assert!(none.unwrap().is_empty());
}

fn counted(app: &App) -> Vec<(String, u64)> {
    let events = app.strangers.drain(app.clock.as_ref(), &SystemRng);
    let of =
        |event: &AuditEvent| (event.facts["code"].as_str().unwrap().to_owned(), event.facts["times"].as_u64().unwrap());
    events.iter().map(of).collect()
}

#[tokio::test]
async fn the_name_of_a_client_buys_no_place_in_the_log() {
    let app = App::with(|config| config.rates.recorded_refusals_per_minute = 5).await;
    let client = app.register().await;
    for _ in 0..100 {
        let form = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &"A".repeat(43))];
        assert_eq!(app.token(&form).await.error(), "invalid_grant");
        app.token(&[("grant_type", "refresh_token"), ("client_id", "web"), ("client_secret", "guess")]).await;
    }
    assert_eq!(app.log.of(EventKind::TokenRefused).len(), 5);
    let counted = counted(&app);
    assert_eq!(counted.len(), 2, "{counted:?}");
    assert_eq!(counted.iter().map(|(_, times)| times).sum::<u64>(), 195, "nobody is forgotten");
    // Who has proved to be the client stands in the log, each time.
    for _ in 0..10 {
        let form = [("grant_type", "refresh_token"), ("client_id", "web"), ("client_secret", SECRET)];
        assert_eq!(app.token(&form).await.error(), "invalid_request");
    }
    assert_eq!(app.log.of(EventKind::TokenRefused).len(), 15);
}

#[tokio::test]
async fn a_spent_code_and_a_spent_refresh_token_are_detected_once() {
    let app = App::with(|config| config.rates.recorded_refusals_per_minute = 5).await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    app.token(&redeem(&client, LOOPBACK, &code)).await;
    for _ in 0..50 {
        assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant");
    }
    assert_eq!(app.log.of(EventKind::ReplayDetected).len(), 1);
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["code_replayed"]);
    assert_eq!(counted(&app), [("code_replayed".to_owned(), 49)]);

    let first = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    let refresh = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &*first)];
    app.token(&refresh).await;
    app.clock.advance(std::time::Duration::from_secs(11));
    for _ in 0..50 {
        assert_eq!(app.token(&refresh).await.error(), "invalid_grant");
    }
    assert_eq!(app.log.of(EventKind::ReplayDetected).len(), 2);
    assert_eq!(app.log.of(EventKind::TokenRefused).len(), 5);
    assert_eq!(counted(&app), [("grant_revoked".to_owned(), 46)]);
}
