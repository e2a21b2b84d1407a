//! `POST /oauth/token` with `grant_type=client_credentials`.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::{Actor, AgentId, Clock, EventKind};
use sallyport_storage::{Agents, RevocationSubject, Revocations};

use crate::{app::*, kit::*};

const ROBOT: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET)];

fn ask<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&ROBOT[..], more].concat()
}

#[tokio::test]
async fn an_agent_gets_a_token_of_its_own() {
    let app = App::new().await;
    let answer = app.token(&ask(&[("resource", FILES)])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(answer.json().get("refresh_token").is_none() && answer.json().get("id_token").is_none());
    assert_eq!(answer.json()["expires_in"], 300);
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.subject, Actor::Agent(AgentId::new("robot-1").unwrap()));
    assert_eq!(principal.tenant.as_str(), "acme");
    let basic = basic(
        form_request("/oauth/token", &[("grant_type", "client_credentials"), ("resource", FILES)]),
        "robot",
        SECRET,
    );
    app.clock.advance(Duration::from_secs(200));
    let again = app.send(basic).await.text("access_token");
    let again = app.verify(&again, FILES).unwrap();
    assert_eq!((again.binding(), again.grant), (principal.binding(), principal.grant), "one session, one grant");
    assert_ne!(again.token, principal.token);
    let issued = app.log.of(EventKind::TokenIssued);
    assert_eq!(issued[0].who.as_ref().unwrap().subject, principal.subject);
}

#[tokio::test]
async fn scopes_are_cut_to_the_agents_and_a_broad_scope_covers_a_narrow_one() {
    let app = App::new().await;
    for (asked, given) in [
        ("files:read", "files:read"),
        ("files:write mail:send", "files:write"),
        ("files:read files:write", "files:read files:write"),
    ] {
        let answer = app.token(&ask(&[("resource", FILES), ("scope", asked)])).await;
        assert_eq!(answer.text("scope"), given, "{asked}");
    }
    for asked in ["mail:send", "files:share", "openid", "*"] {
        assert_eq!(app.token(&ask(&[("resource", FILES), ("scope", asked)])).await.error(), "invalid_scope", "{asked}");
    }
}

#[tokio::test]
async fn the_resource_is_one_of_the_agents() {
    let app = App::new().await;
    for resource in [MAIL, "https://gate.example/mcp/", "https://evil.example/mcp/files"] {
        assert_eq!(app.token(&ask(&[("resource", resource)])).await.error(), "invalid_target", "{resource}");
    }
    assert_eq!(app.token(&ask(&[])).await.error(), "invalid_target", "with two resources one must be named");
    assert_eq!(app.token(&ask(&[("resource", FILES), ("resource", MAIL)])).await.error(), "invalid_target");
}

#[tokio::test]
async fn an_agents_client_never_acts_for_a_person_and_a_persons_client_never_as_an_agent() {
    let app = App::new().await;
    let form =
        [("grant_type", "client_credentials"), ("client_id", "web"), ("client_secret", SECRET), ("resource", FILES)];
    assert_eq!(app.token(&form).await.error(), "unauthorized_client");
    let public = app.register().await;
    let form = [("grant_type", "client_credentials"), ("client_id", &public), ("resource", FILES)];
    assert_eq!(app.token(&form).await.error(), "unauthorized_client");
    let page = app.alice().authorize(&request("robot", WEB_REDIRECT)).await;
    assert_eq!((page.status, page.location()), (StatusCode::BAD_REQUEST, None));
    let mut robot = app.store.client(&"robot".parse().unwrap()).await.unwrap().unwrap();
    robot.redirect_uris = vec![WEB_REDIRECT.into()];
    robot.grant_types.push("authorization_code".into());
    app.store.put_client(&robot).await.unwrap();
    let answer = app.alice().authorize(&request("robot", WEB_REDIRECT)).await;
    assert_eq!(answer.answered("error").as_deref(), Some("unauthorized_client"), "not even if misconfigured");
}

#[tokio::test]
async fn a_suspended_or_revoked_agent_gets_nothing() {
    let app = App::new().await;
    let token = app.token(&ask(&[("resource", FILES)])).await.text("access_token");
    let grant = app.verify(&token, FILES).unwrap().grant;
    let id = AgentId::new("robot-1").unwrap();
    app.clock.advance(Duration::from_secs(1));
    Revocations::revoke(app.store.as_ref(), &RevocationSubject::Agent(id.clone()), app.clock.now()).await.unwrap();
    app.clock.advance(Duration::from_secs(1));
    let token = app.token(&ask(&[("resource", FILES)])).await.text("access_token");
    assert_ne!(app.verify(&token, FILES).unwrap().grant, grant, "a revoked grant is not used again");
    let mut agent = app.store.agent(&id).await.unwrap().unwrap();
    agent.suspended = true;
    Agents::put_agent(app.store.as_ref(), &agent).await.unwrap();
    assert_eq!(app.token(&ask(&[("resource", FILES)])).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["agent_suspended"]);
}

#[tokio::test]
async fn what_was_revoked_while_it_was_asked_for_gives_no_token() {
    let app = App::new().await;
    let id = AgentId::new("robot-1").unwrap();
    // As if it came after the agent was found good and before its grant was stored.
    Revocations::revoke(app.store.as_ref(), &RevocationSubject::Agent(id), app.clock.now()).await.unwrap();
    assert_eq!(app.token(&ask(&[("resource", FILES)])).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["grant_ended"]);
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(app.token(&ask(&[("resource", FILES)])).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_grant_that_is_bound_to_a_dpop_key_ends_with_its_token() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    for _ in 0..2 {
        let proof = Key::new().proof(&app).await;
        let answer = robot.ask_with(&CREDENTIALS, &proof).await;
        let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
        let grant = app.store.grant(&principal.grant).await.unwrap().unwrap();
        assert_eq!(grant.expires_at, principal.expires_at, "no row of a day for a key of a minute");
    }
}
