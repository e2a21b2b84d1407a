//! `POST /oauth/revoke`.

use http::StatusCode;
use sallyport_model::EventKind;
use sallyport_storage::{RevocationSubject, Revocations};

use crate::app::*;

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
