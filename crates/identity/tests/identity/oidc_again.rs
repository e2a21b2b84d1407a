//! Each refresh here asks the provider about the person again.

use std::{collections::BTreeMap, time::Duration};

use sallyport_identity::SessionStanding;
use sallyport_model::{ConnectionId, EventKind, SessionId};
use serde_json::{Value, json};

use crate::{oidc_provider::Stage, support::Browser};

async fn standing(stage: &Stage, session: &SessionId) -> SessionStanding {
    stage.app.identity.standing(session).await.unwrap()
}

async fn signed_in(stage: &Stage) -> (Browser, SessionId) {
    let browser = stage.signed_in("alice").await;
    let session = stage.session(&browser).await.unwrap();
    (browser, session)
}

#[tokio::test]
async fn a_person_whom_the_provider_stands_by_stands_again_and_again() {
    let stage = Stage::new().await;
    let (_, session) = signed_in(&stage).await;
    for asked in 1..4 {
        stage.app.later(Duration::from_secs(300));
        assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
        assert_eq!(stage.provider.asked("/token"), 1 + asked);
        let token = stage.app.store.provider_token(&session).await.unwrap().unwrap();
        assert_eq!(token.asked_at, stage.app.now(), "the rotated token is kept");
    }
    // Twice in one moment is twice asked.
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
    assert_eq!(stage.provider.asked("/token"), 5);
}

#[tokio::test]
async fn a_person_whom_the_provider_drops_is_out_with_all_that_she_gave() {
    for error in ["invalid_grant", "access_denied"] {
        let stage = Stage::new().await;
        let (browser, session) = signed_in(&stage).await;
        stage.provider.is().token_error = Some((400, json!({"error": error})));
        assert_eq!(standing(&stage, &session).await, SessionStanding::Ended);
        assert!(stage.session(&browser).await.is_none());
        let event = stage.app.log.last();
        assert_eq!((event.kind, &event.facts["reason"]), (EventKind::Revoked, &json!("provider_refused_refresh")));
        assert_eq!(event.who.unwrap().session, Some(session));
        assert_eq!(stage.app.store.revocations_after(0, 10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_gives_nothing_and_ends_nothing() {
    let stage = Stage::new().await;
    let (browser, session) = signed_in(&stage).await;
    for (status, body) in [
        (500, json!({"error": "invalid_grant"})),
        (503, json!({})),
        (429, json!({"error": "slow_down"})),
        (401, json!({"error": "invalid_client"})),
        (400, json!({"error": "invalid_scope"})),
        (200, json!({"nonsense": true})),
    ] {
        stage.provider.is().token_error = Some((status, body));
        assert_eq!(standing(&stage, &session).await, SessionStanding::Unknown, "{status}");
    }
    assert!(stage.session(&browser).await.is_some());
    stage.provider.is().token_error = None;
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands, "as soon as it answers");
}

#[tokio::test]
async fn a_provider_that_gives_no_refresh_token_cannot_be_asked_and_that_shows() {
    let stage = Stage::new().await;
    stage.provider.is().gives_refresh_tokens = false;
    let (_, session) = signed_in(&stage).await;
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
    assert_eq!(stage.provider.asked("/token"), 1);
    let id = ConnectionId::new("acme-idp").unwrap();
    assert_eq!(stage.app.store.fetched(&id, "refresh").await.unwrap().unwrap().0, "none");
}

#[tokio::test]
async fn a_connection_that_shall_not_ask_keeps_no_token() {
    let stage = Stage::set(|settings| settings.ask_again = false).await;
    let (_, session) = signed_in(&stage).await;
    assert!(stage.app.store.provider_token(&session).await.unwrap().is_none());
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
}

#[tokio::test]
async fn a_refreshed_id_token_about_somebody_else_ends_the_session() {
    for (refreshed, reason) in [
        (json!({"sub": "mallory"}), "provider_id_token_refused"),
        (json!({"aud": "other"}), "provider_id_token_refused"),
        (json!({"iss": "https://evil.example"}), "provider_id_token_refused"),
    ] {
        let stage = Stage::new().await;
        let (browser, session) = signed_in(&stage).await;
        stage.provider.is().refreshed = refreshed;
        assert_eq!(standing(&stage, &session).await, SessionStanding::Ended);
        assert!(stage.session(&browser).await.is_none());
        assert_eq!(stage.app.log.last().facts["reason"], reason);
    }
    // A key that is not known yet is no word against her; the rotated token is kept.
    let stage = Stage::new().await;
    let (_, session) = signed_in(&stage).await;
    stage.provider.is().header = json!({"kid": "k-new"});
    assert_eq!(standing(&stage, &session).await, SessionStanding::Unknown);
    stage.provider.is().header = json!({});
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
    stage.provider.is().refreshed = json!(false);
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands, "an ID token is optional");
}

#[tokio::test]
async fn groups_that_are_gone_at_the_provider_are_gone_here() {
    let stage = Stage::set(|settings| settings.mapping.admitted = vec!["staff".into()]).await;
    let (browser, session) = signed_in(&stage).await;
    stage.provider.is().refreshed = json!({"groups": ["staff", "new"]});
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.person.groups, ["new", "staff"]);
    stage.provider.is().refreshed = json!({"groups": null});
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands, "no word of groups is no word against her");
    stage.provider.is().refreshed = json!({"groups": ["other"]});
    assert_eq!(standing(&stage, &session).await, SessionStanding::Ended);
    assert_eq!(stage.app.log.last().facts["reason"], "group_missing");
}

#[tokio::test]
async fn of_any_number_that_ask_at_once_one_asks_the_provider() {
    let stage = Stage::new().await;
    let (_, session) = signed_in(&stage).await;
    let (a, b, c) = tokio::join!(standing(&stage, &session), standing(&stage, &session), standing(&stage, &session));
    assert_eq!([a, b, c], [SessionStanding::Stands; 3]);
    let is_refresh =
        |form: &BTreeMap<String, String>| form.get("grant_type").is_some_and(|kind| kind == "refresh_token");
    let forms: Vec<_> = stage.provider.is().seen.iter().map(|(_, form)| form.clone()).filter(is_refresh).collect();
    // Whoever comes when the first has been answered asks with the token that came of it.
    let used: std::collections::BTreeSet<_> = forms.iter().map(|form| form["refresh_token"].clone()).collect();
    assert!((1..=3).contains(&forms.len()), "{forms:?}");
    assert_eq!(used.len(), forms.len(), "a second use of one refresh token would look like theft: {forms:?}");
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
}

#[tokio::test]
async fn a_token_that_is_bound_is_refreshed_with_its_key() {
    let stage = Stage::new().await;
    stage.provider.is().metadata = json!({"dpop_signing_alg_values_supported": ["ES256"]});
    stage.provider.is().wants_dpop = true;
    let (_, session) = signed_in(&stage).await;
    assert_eq!(standing(&stage, &session).await, SessionStanding::Stands);
    let kept = stage.app.store.provider_token(&session).await.unwrap().unwrap();
    let kept: Value = serde_json::from_str(&kept.token).unwrap();
    assert!(kept["dpop_key"].is_string());
    assert!(!format!("{:?}", stage.app.log.events.lock().unwrap()).contains("rt-"));
}
