//! The way round the real sign-in pages and back.

use std::time::Duration;

use http::{StatusCode, header};
use sallyport_identity::SessionStanding;
use sallyport_model::EventKind;

use crate::app::*;

async fn sign_in(browser: &mut Browser, password: &str, at: &str) -> Answer {
    let form = browser.get(at).await;
    let (csrf, continue_to) = (form.field("csrf"), form.field("continue_to").replace("&amp;", "&"));
    let form = [("csrf", &*csrf), ("continue_to", &continue_to), ("login", "alice"), ("password", password)];
    browser.post("/signin", &form).await
}

#[tokio::test]
async fn signing_in_leads_back_to_the_consent_page_of_the_same_request() {
    let app = App::with_real_sign_in().await;
    let client = app.register().await;
    let mut browser = app.browser();
    let away = browser.authorize(&request(&client, LOOPBACK)).await;
    let at = away.location().unwrap().to_owned();
    assert_eq!(sign_in(&mut browser, "wrong horse battery", &at).await.location(), None);
    let back = sign_in(&mut browser, "correct horse battery", &at).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.body);
    let page = browser.walk(back.location().unwrap()).await;
    assert!(page.body.contains("Allow A tool?") && page.body.contains("alice of Acme"), "{}", page.body);
    let code = browser.decide(&page, "allow").await.answered("code").unwrap();
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    assert_eq!(app.verify(&tokens.text("access_token"), FILES).unwrap().subject.id(), "alice");
    let kinds: Vec<_> = app.log.events().iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::ClientRegistered,
            EventKind::SignInRefused,
            EventKind::SignedIn,
            EventKind::Consented,
            EventKind::TokenIssued,
        ]
    );
}

#[tokio::test]
async fn right_after_signing_in_a_remembered_consent_leaves_by_a_page_of_its_own() {
    let app = App::with_real_sign_in().await;
    let mut browser = app.browser();
    for first in [true, false] {
        browser.cookies.clear();
        let away = browser.authorize(&request("web", WEB_REDIRECT)).await;
        let at = away.location().unwrap().to_owned();
        let back = sign_in(&mut browser, "correct horse battery", &at).await;
        let page = browser.walk(back.location().unwrap()).await;
        assert_eq!(page.status, StatusCode::OK);
        if first {
            browser.decide(&page, "allow").await.answered("code").unwrap();
        } else {
            // A redirect would be cut off by the sign-in page's form-action.
            let refresh = page.headers[header::REFRESH].to_str().unwrap();
            assert!(refresh.starts_with("0; url=https://web.example/cb?code="), "{refresh}");
        }
    }
}

#[tokio::test]
async fn prompt_login_asks_a_signed_in_person_for_the_password_again() {
    let app = App::with_real_sign_in().await;
    let mut browser = app.browser();
    let away = browser.authorize(&request("web", WEB_REDIRECT)).await;
    let at = away.location().unwrap().to_owned();
    sign_in(&mut browser, "correct horse battery", &at).await;
    app.clock.advance(std::time::Duration::from_secs(5));
    let away = browser.authorize(&changed(request("web", WEB_REDIRECT), "prompt", "login")).await;
    let at = away.location().unwrap().to_owned();
    assert!(at.starts_with("/signin"));
    let back = sign_in(&mut browser, "correct horse battery", &at).await;
    let page = browser.walk(back.location().unwrap()).await;
    assert!(page.body.contains("Allow Client web?"));
}

#[tokio::test]
async fn an_earlier_session_gives_nothing_new_without_its_provider_and_nothing_outlives_it() {
    let app = App::new().await;
    let client = app.register().await;
    let mut browser = app.alice();
    browser.federate();
    app.clock.advance(Duration::from_secs(60));
    let asked = request(&client, LOOPBACK);
    for (standing, status) in
        [(SessionStanding::Unknown, StatusCode::SERVICE_UNAVAILABLE), (SessionStanding::Ended, StatusCode::SEE_OTHER)]
    {
        *app.standing.lock().unwrap() = standing;
        let page = browser.authorize(&asked).await;
        let answer = browser.decide(&page, "allow").await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.location().is_none_or(|to| to.starts_with("/signin?")), "{:?}", answer.location());
    }
    assert!(app.log.of(EventKind::Consented).is_empty());
    *app.standing.lock().unwrap() = SessionStanding::Stands;
    let code = browser.code(&asked).await;
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    let claims = app.verify(&tokens.text("access_token"), FILES).unwrap();
    let grant = app.store.grant(&claims.grant).await.unwrap().unwrap();
    assert_eq!(grant.expires_at.since(grant.created_at), Duration::from_secs(540), "not past the provider's end");
}
