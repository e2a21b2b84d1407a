//! `POST /oauth/token` with `grant_type=refresh_token`.

use std::time::Duration;

use http::StatusCode;
use sallyport_identity::SessionStanding;
use sallyport_model::{Clock, EventKind, TenantId, UserId};
use sallyport_storage::{Directory, RevocationSubject, Revocations, TenantSettings};

use crate::app::*;

fn refresh<'a>(client: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token), ("resource", FILES)]
}

#[tokio::test]
async fn each_refresh_token_is_replaced_and_keeps_session_and_grant() {
    let app = App::new().await;
    let client = app.register().await;
    let first = app.tokens(&client, LOOPBACK).await;
    let second = app.token(&refresh(&client, &first.text("refresh_token"))).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.body);
    assert_ne!(first.text("refresh_token"), second.text("refresh_token"));
    let before = app.verify(&first.text("access_token"), FILES).unwrap();
    let after = app.verify(&second.text("access_token"), FILES).unwrap();
    assert_eq!(before.binding(), after.binding());
    assert_eq!(before.grant, after.grant);
    assert_ne!(before.token, after.token);
    let third = app.token(&refresh(&client, &second.text("refresh_token"))).await;
    assert_eq!(third.status, StatusCode::OK);
}

#[tokio::test]
async fn the_predecessor_within_ten_seconds_fails_and_the_family_lives() {
    let app = App::new().await;
    let client = app.register().await;
    let first = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    let second = app.token(&refresh(&client, &first)).await.text("refresh_token");
    app.clock.advance(Duration::from_secs(5));
    assert_eq!(app.token(&refresh(&client, &first)).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["refresh_raced"]);
    assert_eq!(app.token(&refresh(&client, &second)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_narrower_scope_is_given_once_and_a_broader_one_never() {
    let app = App::new().await;
    let client = app.register().await;
    let both = changed(request(&client, LOOPBACK), "scope", "files:read files:write");
    let code = app.alice().code(&both).await;
    let token = app.token(&redeem(&client, LOOPBACK, &code)).await.text("refresh_token");
    let narrow = [&refresh(&client, &token)[..], &[("scope", "files:read")]].concat();
    let answer = app.token(&narrow).await;
    assert_eq!(answer.text("scope"), "files:read");
    let token = answer.text("refresh_token");
    for scope in ["files:read mail:send", "files:admin", "files:read\""] {
        let broad = [&refresh(&client, &token)[..], &[("scope", scope)]].concat();
        assert_eq!(app.token(&broad).await.error(), "invalid_scope", "{scope}");
    }
    let whole = app.token(&refresh(&client, &token)).await;
    assert_eq!(whole.text("scope"), "files:read files:write", "the refusals did not spend it");
}

#[tokio::test]
async fn another_resource_is_refused_and_spends_nothing() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    for resource in [MAIL, "https://evil.example/"] {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &client),
            ("refresh_token", &token),
            ("resource", resource),
        ];
        assert_eq!(app.token(&form).await.error(), "invalid_target", "{resource}");
    }
    assert_eq!(app.token(&refresh(&client, &token)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn idle_and_absolute_ends_are_kept() {
    let app = App::new().await;
    let client = app.register().await;
    let idle = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    app.clock.advance(Duration::from_secs(8 * 3600 + 1));
    assert_eq!(app.token(&refresh(&client, &idle)).await.error(), "invalid_grant");
    let mut token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    for _ in 0..3 {
        app.clock.advance(Duration::from_secs(7 * 3600));
        token = app.token(&refresh(&client, &token)).await.text("refresh_token");
    }
    app.clock.advance(Duration::from_secs(3 * 3600 - 60));
    let last = app.token(&refresh(&client, &token)).await;
    assert_eq!(last.json()["expires_in"], 60, "no access token outlives its grant");
    app.clock.advance(Duration::from_secs(61));
    assert_eq!(app.token(&refresh(&client, &last.text("refresh_token"))).await.error(), "invalid_grant");
}

#[tokio::test]
async fn whatever_ends_the_person_session_client_or_tenant_ends_refreshing() {
    for which in 0..5 {
        let app = App::new().await;
        let client = app.register().await;
        let tokens = app.tokens(&client, LOOPBACK).await;
        let principal = app.verify(&tokens.text("access_token"), FILES).unwrap();
        let subject = match which {
            0 => RevocationSubject::Session(principal.session),
            1 => RevocationSubject::Grant(principal.grant),
            2 => RevocationSubject::User(UserId::new("alice").unwrap()),
            3 => RevocationSubject::Client(principal.client),
            _ => RevocationSubject::Tenant(principal.tenant),
        };
        app.clock.advance(Duration::from_secs(1));
        Revocations::revoke(app.store.as_ref(), &subject, sallyport_model::Clock::now(app.clock.as_ref()))
            .await
            .unwrap();
        let answer = app.token(&refresh(&client, &tokens.text("refresh_token"))).await;
        assert_eq!(answer.error(), "invalid_grant", "{subject:?}");
    }
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    Directory::set_disabled(app.store.as_ref(), &UserId::new("alice").unwrap(), true).await.unwrap();
    assert_eq!(app.token(&refresh(&client, &token)).await.error(), "invalid_grant", "disabled");
}

#[tokio::test]
async fn a_client_that_loses_the_grant_type_cannot_go_on_refreshing() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    let mut record = app.store.client(&client.parse().unwrap()).await.unwrap().unwrap();
    record.grant_types = vec!["authorization_code".into()];
    app.store.put_client(&record).await.unwrap();
    assert_eq!(app.token(&refresh(&client, &token)).await.error(), "unauthorized_client");
}

#[tokio::test]
async fn the_provider_is_asked_before_a_refresh_and_its_silence_spends_nothing() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    *app.standing.lock().unwrap() = SessionStanding::Unknown;
    let silent = app.token(&refresh(&client, &token)).await;
    assert_eq!((silent.status, silent.error()), (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable".into()));
    *app.standing.lock().unwrap() = SessionStanding::Stands;
    let token = app.token(&refresh(&client, &token)).await.text("refresh_token");
    *app.standing.lock().unwrap() = SessionStanding::Ended;
    assert_eq!(app.token(&refresh(&client, &token)).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused).last().unwrap(), "provider_session_ended");
}

#[tokio::test]
async fn a_tenant_shortens_lifetimes_and_never_lengthens_them() {
    let app = App::new().await;
    let client = app.register().await;
    let tenant = TenantId::new("acme").unwrap();
    let mut acme = app.store.tenant(&tenant).await.unwrap().unwrap();
    for (seconds, lives) in [(60, 60), (1_000_000, 300)] {
        acme.settings = TenantSettings {
            access_token_seconds: Some(seconds),
            refresh_idle_seconds: Some(seconds),
            grant_seconds: Some(seconds),
            ..TenantSettings::default()
        };
        app.store.put_tenant(&acme).await.unwrap();
        let tokens = app.tokens(&client, LOOPBACK).await;
        let claims = app.verify(&tokens.text("access_token"), FILES).unwrap();
        assert_eq!(claims.expires_at.since(app.clock.now()).as_secs(), lives);
        let grant = app.store.grant(&claims.grant).await.unwrap().unwrap();
        let whole = Duration::from_secs(seconds.min(24 * 3600));
        assert_eq!(grant.expires_at, app.clock.now().plus(whole));
    }
}
