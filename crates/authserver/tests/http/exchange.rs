//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange`: an agent lets another one act for it.

use http::StatusCode;
use sallyport_model::{Actor, EventKind, Mark};
use serde_json::json;

use crate::{app::*, kit::*};

#[tokio::test]
async fn an_agent_lets_another_act_for_it_and_the_chain_is_in_the_token() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let own = first.token().await;
    let answer = second.exchange(&own, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.text("issued_token_type"), ACCESS_TOKEN);
    assert!(answer.json().get("refresh_token").is_none());
    let before = app.verify(&own, FILES).unwrap();
    let after = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(after.subject, Actor::Agent(first.agent_id()));
    assert_eq!(after.actors, [second.agent_id()]);
    assert_eq!((after.mark(), &after.session), (Mark::Agent, &before.session));
    assert_eq!(after.ancestors, [before.grant]);
    assert!(after.expires_at <= before.expires_at);
    let issued = app.log.of(EventKind::TokenIssued).pop().unwrap();
    assert_eq!(issued.facts["credential"], "second-first");
    assert_eq!(issued.facts["subject_token"], before.token.as_str());
    let who = issued.who.unwrap();
    assert_eq!(
        (who.subject, who.on_behalf_of),
        (Actor::Agent(second.agent_id()), vec![Actor::Agent(first.agent_id())])
    );
}

#[tokio::test]
async fn for_a_person_the_chain_goes_on_and_she_stays_the_subject() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let hers = first.for_alice().await.text("access_token");
    let answer = second.exchange(&hers, &[("resource", FILES), ("audience", FILES)]).await;
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.subject, Actor::Human("alice".parse().unwrap()));
    assert_eq!(principal.actors, [second.agent_id(), first.agent_id()]);
    assert_eq!(principal.mark(), Mark::AgentForHuman);
    let token = answer.text("access_token");
    let asked = basic(form_request("/oauth/introspect", &[("token", &token)]), "files-server", "introspect");
    assert_eq!(app.send(asked).await.json()["act"], json!({"sub": "second", "act": {"sub": "first"}}));
}

#[tokio::test]
async fn the_request_must_be_whole_and_nothing_else_is_exchanged() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let own = first.token().await;
    for (name, value) in [
        ("subject_token", ""),
        ("subject_token", "x"),
        ("subject_token_type", ""),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
        ("actor_token", "x"),
        ("actor_token_type", ACCESS_TOKEN),
    ] {
        let mut form = exchange_of(&own).to_vec();
        form.retain(|(key, _)| *key != name);
        form.push((name, value));
        assert_eq!(second.ask(&form).await.error(), "invalid_request", "{name}={value}");
    }
    for (name, value) in [("resource", MAIL), ("audience", MAIL), ("resource", "https://evil.example/")] {
        assert_eq!(second.exchange(&own, &[(name, value)]).await.error(), "invalid_target", "{name}={value}");
    }
    let client = app.register().await;
    let form = [&exchange_of(&own)[..], &[("client_id", &*client)]].concat();
    assert_eq!(app.token(&form).await.error(), "unauthorized_client", "a person's client");
    let refresh = first.for_alice().await.text("refresh_token");
    assert_eq!(second.exchange(&refresh, &[]).await.error(), "invalid_request", "a refresh token");
    let with = [("requested_token_type", ACCESS_TOKEN)];
    assert_eq!(second.exchange(&own, &with).await.status, StatusCode::OK);
}
