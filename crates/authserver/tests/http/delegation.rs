//! A person lets an agent act for her, by the authorization code flow.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::{Actor, Clock, EventKind, Mark};
use sallyport_storage::{RevocationSubject, Revocations};
use serde_json::json;

use crate::app::*;

#[tokio::test]
async fn the_page_says_which_agent_for_what_and_until_when() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    app.change_agent("sorter", |agent| agent.owner = Some("bob".parse().unwrap())).await;
    let page = app.alice().authorize(&robot.request()).await;
    for said in [
        "Let The agent sorter act for you?",
        "a machine, not a person",
        "It sorts &lt;files&gt;",
        "bob of Acme",
        "Title of files:read",
        "15 January 2027, 16:00 UTC",
        "agent.example",
    ] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
}

#[tokio::test]
async fn the_token_is_hers_with_the_agent_as_actor_narrower_and_shorter() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    app.settings(|settings| settings.delegation_seconds = Some(1800)).await;
    let wide = changed(robot.request(), "scope", "files:read files:share");
    let code = app.alice().code(&wide).await;
    let answer = robot.redeem(&code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.text("scope"), "files:read", "no more than the agent may have itself");
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.subject, Actor::Human("alice".parse().unwrap()));
    assert_eq!(principal.actors, [robot.agent_id()]);
    assert_eq!(principal.mark(), Mark::AgentForHuman);
    let grant = app.store.grant(&principal.grant).await.unwrap().unwrap();
    assert_eq!(grant.expires_at, app.clock.now().plus(Duration::from_secs(1800)));
    let acted = app.store.grants_acted(&"acme".parse().unwrap(), &robot.agent_id(), app.clock.now()).await.unwrap();
    assert_eq!(acted, [grant]);
    let consented = app.log.of(EventKind::Consented)[0].clone();
    assert_eq!(consented.who.as_ref().unwrap().subject, principal.subject, "it was she who decided");
    assert_eq!(consented.facts["chain"], json!(["sorter"]));
    let issued = app.log.of(EventKind::TokenIssued)[0].clone();
    let who = issued.who.unwrap();
    assert_eq!((who.subject.clone(), who.on_behalf_of.clone()), (principal.acting(), vec![principal.subject.clone()]));
    assert_eq!(issued.facts["mark"], "agent_for_human");
    let token = answer.text("access_token");
    let asked = basic(form_request("/oauth/introspect", &[("token", &token)]), "files-server", "introspect");
    let said = app.send(asked).await.json();
    assert_eq!((&said["act"], &said["mark"]), (&json!({"sub": "sorter"}), &json!("agent_for_human")));
    assert_eq!((&said["sub"], &said["principal_type"]), (&json!("alice"), &json!("human")));
}

#[tokio::test]
async fn she_is_asked_each_time_and_by_its_own_redirect_only() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let mut alice = app.alice();
    alice.code(&robot.request()).await;
    assert_eq!(alice.authorize(&robot.request()).await.status, StatusCode::OK, "the page again");
    let silent = alice.authorize(&changed(robot.request(), "prompt", "none")).await;
    assert_eq!(silent.answered("error").as_deref(), Some("consent_required"));
    let elsewhere = alice.authorize(&changed(robot.request(), "redirect_uri", WEB_REDIRECT)).await;
    assert_eq!((elsewhere.status, elsewhere.location()), (StatusCode::BAD_REQUEST, None));
    app.change_agent("sorter", |agent| agent.bounds.redirect_uris.clear()).await;
    let none = alice.authorize(&robot.request()).await;
    assert_eq!((none.status, none.location()), (StatusCode::BAD_REQUEST, None), "nobody may let it act any more");
}

#[tokio::test]
async fn what_the_agent_may_not_have_nobody_gives_it() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let mut alice = app.alice();
    let share = alice.authorize(&changed(robot.request(), "scope", "files:share")).await;
    assert_eq!(share.answered("error").as_deref(), Some("invalid_scope"));
    let mail = changed(changed(robot.request(), "resource", MAIL), "scope", "mail:send");
    assert_eq!(alice.authorize(&mail).await.answered("error").as_deref(), Some("invalid_target"));
    app.globex().await;
    let foreign = app.agent_of("globex", "stranger").await;
    let page = alice.authorize(&foreign.request()).await;
    assert_eq!((page.status, page.location()), (StatusCode::BAD_REQUEST, None), "another tenant's agent");
    assert_eq!(app.log.codes(EventKind::AuthorizationRefused).last().unwrap(), "agent_of_another_tenant");
    assert!(app.log.of(EventKind::Consented).is_empty());
}

#[tokio::test]
async fn each_refresh_looks_at_the_agent_its_bounds_and_her() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let write = changed(robot.request(), "scope", "files:write");
    let mut token = robot.redeem(&app.alice().code(&write).await).await.text("refresh_token");
    let again = robot.refresh(&token).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_eq!(app.verify(&again.text("access_token"), FILES).unwrap().actors, [robot.agent_id()]);
    token = again.text("refresh_token");
    for code in ["agent_suspended", "agent_network", "agent_ended", "agent_owner_gone", "person_disabled"] {
        let now = app.clock.now();
        app.change_agent("sorter", |agent| match code {
            "agent_suspended" => agent.suspended = true,
            "agent_network" => agent.bounds.networks = vec!["198.51.100.0/24".into()],
            "agent_ended" => agent.bounds.ends_at = Some(now),
            "agent_owner_gone" => agent.owner = Some("nobody".parse().unwrap()),
            _ => {}
        })
        .await;
        app.disable("alice", code == "person_disabled").await;
        assert_eq!(robot.refresh(&token).await.error(), "invalid_grant", "{code}");
        assert_eq!(app.log.codes(EventKind::TokenRefused).last().unwrap(), code);
        app.change_agent("sorter", |agent| {
            (agent.suspended, agent.owner) = (false, None);
            (agent.bounds.networks, agent.bounds.ends_at) = (Vec::new(), None);
        })
        .await;
        app.disable("alice", false).await;
    }
    app.change_agent("sorter", |agent| agent.scopes = "files:share".parse().unwrap()).await;
    assert_eq!(robot.refresh(&token).await.error(), "invalid_grant", "nothing is left of what she gave");
    app.change_agent("sorter", |agent| agent.scopes = "files:write".parse().unwrap()).await;
    assert_eq!(robot.refresh(&token).await.status, StatusCode::OK, "none of these spent it");
}

#[tokio::test]
async fn she_ends_it_and_so_does_the_end_of_the_agent() {
    for which in 0..4 {
        let app = App::new().await;
        let robot = app.agent("sorter").await;
        let answer = robot.for_alice().await;
        let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
        app.clock.advance(Duration::from_secs(1));
        let now = app.clock.now();
        match which {
            0 => drop(app.store.revoke(&RevocationSubject::Grant(principal.grant), now).await.unwrap()),
            1 => drop(Revocations::revoke(app.store.as_ref(), &RevocationSubject::Agent(robot.agent_id()), now).await),
            2 => drop(app.store.revoke(&RevocationSubject::User("alice".parse().unwrap()), now).await.unwrap()),
            _ => assert!(app.store.remove_agent(&principal.tenant, &robot.agent_id(), now).await.unwrap()),
        }
        let refused = robot.refresh(&answer.text("refresh_token")).await;
        assert!(matches!(refused.error().as_str(), "invalid_grant" | "invalid_client"), "{which}: {}", refused.body);
        let token = answer.text("access_token");
        let asked = basic(form_request("/oauth/introspect", &[("token", &token)]), "files-server", "introspect");
        assert_eq!(app.send(asked).await.json(), json!({"active": false}), "{which}");
    }
}
