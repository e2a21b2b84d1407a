//! `POST /oauth/revoke`.

use http::StatusCode;
use sallyport_model::{EventKind, SystemRng};
use sallyport_storage::{RevocationSubject, Revocations};

use crate::{app::*, kit::*};

#[tokio::test]
async fn a_refresh_token_takes_its_whole_grant_with_it() {
    let app = App::new().await;
    let client = app.register().await;
    let tokens = app.tokens(&client, LOOPBACK).await;
    let refresh = tokens.text("refresh_token");
    let answer = app.post("/oauth/revoke", &[("client_id", &client), ("token", &refresh)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let form = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &refresh)];
    assert_eq!(app.token(&form).await.error(), "invalid_grant");
    let grant = app.verify(&tokens.text("access_token"), FILES).unwrap().grant;
    let log = Revocations::revocations_after(app.store.as_ref(), 0, 10).await.unwrap();
    assert_eq!(log[0].subject, RevocationSubject::Grant(grant));
    assert_eq!(app.log.of(EventKind::Revoked).len(), 1);
}

#[tokio::test]
async fn an_access_token_is_revoked_alone() {
    let app = App::new().await;
    let client = app.register().await;
    let tokens = app.tokens(&client, LOOPBACK).await;
    let access = tokens.text("access_token");
    let hint = [("client_id", &*client), ("token", &access), ("token_type_hint", "refresh_token")];
    assert_eq!(app.post("/oauth/revoke", &hint).await.status, StatusCode::OK, "a wrong hint does no harm");
    let log = Revocations::revocations_after(app.store.as_ref(), 0, 10).await.unwrap();
    assert_eq!(log[0].subject, RevocationSubject::Token(app.verify(&access, FILES).unwrap().token));
    let form =
        [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &tokens.text("refresh_token"))];
    assert_eq!(app.token(&form).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_unknown_token_is_fine_and_an_unknown_client_is_not() {
    let app = App::new().await;
    let client = app.register().await;
    for token in ["x", "e30.e30.e30", &"A".repeat(43)] {
        assert_eq!(app.post("/oauth/revoke", &[("client_id", &client), ("token", token)]).await.status, StatusCode::OK);
    }
    assert_eq!(app.post("/oauth/revoke", &[("client_id", &client)]).await.error(), "invalid_request");
    assert_eq!(app.post("/oauth/revoke", &[("token", "x")]).await.error(), "invalid_client");
    assert_eq!(app.post("/oauth/revoke", &[("client_id", "web"), ("token", "x")]).await.error(), "invalid_client");
    assert!(Revocations::revocations_after(app.store.as_ref(), 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_revoked_again_and_again_is_one_event_and_one_row() {
    let app = App::new().await;
    let client = app.register().await;
    let tokens = app.tokens(&client, LOOPBACK).await;
    for (name, rows) in [("access_token", 1), ("refresh_token", 2)] {
        for _ in 0..20 {
            let form = [("client_id", &*client), ("token", &tokens.text(name))];
            assert_eq!(app.post("/oauth/revoke", &form).await.status, StatusCode::OK);
        }
        let log = Revocations::revocations_after(app.store.as_ref(), 0, 100).await.unwrap();
        assert_eq!((log.len(), app.log.of(EventKind::Revoked).len()), (rows, rows), "{name}");
    }
    let counted = app.strangers.drain(app.clock.as_ref(), &SystemRng);
    assert_eq!(counted.len(), 1);
    assert_eq!((&counted[0].facts["code"], &counted[0].facts["times"]), (&"revoked_again".into(), &38.into()));
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_revoked_as_well() {
    let app = App::new().await;
    let client = app.register().await;
    let access = app.tokens(&client, LOOPBACK).await.text("access_token");
    app.clock.advance(std::time::Duration::from_secs(301));
    let answer = app.post("/oauth/revoke", &[("client_id", &client), ("token", &access)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(Revocations::revocations_after(app.store.as_ref(), 0, 10).await.unwrap().is_empty());
    assert!(app.log.of(EventKind::Revoked).is_empty());
}

#[tokio::test]
async fn a_revoked_token_takes_with_it_what_was_exchanged_out_of_it() {
    let app = App::new().await;
    let (first, second, third) = (app.agent("first").await, app.agent("second").await, app.agent("third").await);
    app.settings(|settings| settings.agent_depth = Some(3)).await;
    first.lets(&second).await;
    second.lets(&third).await;
    let is_active = async |token: &str| {
        let asked = basic(form_request("/oauth/introspect", &[("token", token)]), "files-server", "introspect");
        app.send(asked).await.json()["active"].as_bool().unwrap()
    };
    let token = first.token().await;
    let other = third.token().await;
    let for_first = second.exchange(&token, &[]).await.text("access_token");
    let for_both = third.exchange(&for_first, &[]).await.text("access_token");
    for living in [&token, &for_first, &for_both, &other] {
        assert!(is_active(living).await);
    }
    app.clock.advance(std::time::Duration::from_secs(1));
    for _ in 0..2 {
        let assertion = first.assertion();
        let form = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion), ("token", &*token)];
        assert_eq!(app.post("/oauth/revoke", &form).await.status, StatusCode::OK);
    }
    for dead in [&token, &for_first, &for_both] {
        assert!(!is_active(dead).await);
    }
    assert!(is_active(&other).await, "what is not of it");
    assert_eq!(third.exchange(&for_first, &[]).await.error(), "invalid_request");
    let revoked = app.log.of(EventKind::Revoked);
    assert_eq!((revoked.len(), &revoked[0].facts["exchanged"]), (1, &1.into()));
    // The grant goes on: only tokens ended.
    let again = first.token().await;
    let given = second.exchange(&again, &[]).await;
    assert!(is_active(&given.text("access_token")).await);
}
