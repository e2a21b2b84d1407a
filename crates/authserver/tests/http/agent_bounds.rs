//! What bounds an agent's tokens: networks, hours, an end, a lifetime, its owner, and binding.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::{Clock, EventKind};
use sallyport_storage::AgentHours;

use crate::{app::*, kit::*};

async fn last(app: &App) -> String {
    app.log.codes(EventKind::TokenRefused).pop().unwrap()
}

#[tokio::test]
async fn a_request_from_another_network_gets_nothing() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    app.change_agent("sorter", |agent| agent.bounds.networks = vec!["198.51.100.0/24".into()]).await;
    let form = |assertion: String| {
        let own = [("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion)];
        CREDENTIALS.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(own).collect::<Vec<_>>()
    };
    for (address, allowed) in
        [("198.51.100.7", true), ("192.0.2.1", false), ("::ffff:198.51.100.9", true), ("2001:db8::1", false)]
    {
        let form = form(robot.assertion());
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = app.token_from(&form, address).await;
        assert_eq!(answer.status == StatusCode::OK, allowed, "{address}: {}", answer.body);
        if !allowed {
            assert_eq!((answer.error().as_str(), last(&app).await.as_str()), ("invalid_grant", "agent_network"));
        }
    }
}

#[tokio::test]
async fn hours_and_the_end_bound_the_token_too() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    // It is Friday, 09:00 in Berlin.
    let hours = |from, to| Some(AgentHours { zone: "Europe/Berlin".into(), days: vec![5], from, to });
    app.change_agent("sorter", |agent| agent.bounds.hours = hours(8 * 60, 9 * 60 + 2)).await;
    let answer = robot.ask(&CREDENTIALS).await;
    assert_eq!(answer.json()["expires_in"], 120, "no token outlives the hours");
    app.change_agent("sorter", |agent| agent.bounds.hours = hours(10 * 60, 11 * 60)).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "agent_hours");
    let end = app.clock.now().plus(Duration::from_secs(90));
    app.change_agent("sorter", |agent| (agent.bounds.hours, agent.bounds.ends_at) = (None, Some(end))).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.json()["expires_in"], 90);
    app.clock.advance(Duration::from_secs(90));
    assert_eq!(robot.ask(&CREDENTIALS).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "agent_ended");
}

#[tokio::test]
async fn an_agents_lifetime_only_shortens() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    for (seconds, lives) in [(60, 60), (86_400, 300)] {
        app.change_agent("sorter", |agent| agent.bounds.token_seconds = Some(seconds)).await;
        assert_eq!(robot.ask(&CREDENTIALS).await.json()["expires_in"], lives);
    }
}

#[tokio::test]
async fn an_agent_whose_owner_is_gone_stops_unless_somebody_follows_her() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    app.change_agent("sorter", |agent| agent.owner = Some("alice".parse().unwrap())).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.status, StatusCode::OK);
    app.disable("alice", true).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "agent_owner_gone");
    app.change_agent("sorter", |agent| agent.bounds.successor = Some("bob".parse().unwrap())).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.status, StatusCode::OK);
    app.disable("bob", true).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.error(), "invalid_grant");
    app.change_agent("sorter", |agent| agent.owner = Some("nobody".parse().unwrap())).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.error(), "invalid_grant", "removed");
}

#[tokio::test]
async fn a_bearer_token_is_refused_with_a_remedy_where_binding_is_demanded() {
    for by_tenant in [true, false] {
        let app = App::new().await;
        let robot = app.agent("sorter").await;
        match by_tenant {
            true => app.settings(|settings| settings.sender_bound = true).await,
            false => app.change_agent("sorter", |agent| agent.bounds.sender_bound = true).await,
        }
        let refused = robot.ask(&CREDENTIALS).await;
        assert_eq!(refused.error(), "invalid_dpop_proof");
        assert!(refused.text("error_description").contains("send a DPoP proof"), "{}", refused.body);
        assert_eq!(last(&app).await, "sender_binding_demanded");
        let proof = Key::new().proof(&app).await;
        assert_eq!(robot.ask_with(&CREDENTIALS, &proof).await.status, StatusCode::OK);
    }
    let app = App::new().await;
    app.settings(|settings| settings.sender_bound = true).await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_dpop_proof", "people's too");
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let proof = Key::new().proof(&app).await;
    assert_eq!(app.token_with(&redeem(&client, LOOPBACK, &code), &proof).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bearer_grant_from_before_is_not_refreshed_without_a_key() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    app.settings(|settings| settings.sender_bound = true).await;
    let form = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &*token)];
    assert_eq!(app.token(&form).await.error(), "invalid_dpop_proof");
    let key = Key::new();
    let answer = app.token_with(&form, &key.proof(&app).await).await;
    assert_eq!((answer.status, answer.text("token_type")), (StatusCode::OK, "DPoP".into()), "it was not spent");
    let next = answer.text("refresh_token");
    let form = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &*next)];
    let other = Key::new().proof(&app).await;
    assert_eq!(app.token_with(&form, &other).await.error(), "invalid_grant", "from then on it is that key's");
    assert_eq!(app.token_with(&form, &key.proof(&app).await).await.status, StatusCode::OK);
}
