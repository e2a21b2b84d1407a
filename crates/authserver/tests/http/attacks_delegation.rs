//! Attacks by delegation; each name is a row of `docs/attacks.md`.

use std::time::Duration;

use http::StatusCode;
use sallyport_identity::SessionStanding;
use sallyport_model::{Clock, EventKind};
use sallyport_storage::{RevocationSubject, Revocations};
use serde_json::json;

use crate::{app::*, kit::*};

async fn last(app: &App) -> String {
    app.log.codes(EventKind::TokenRefused).pop().unwrap()
}

#[tokio::test]
async fn an_exchange_never_widens_scopes() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let narrow = first.ask(&[&CREDENTIALS[..], &[("scope", "files:read")]].concat()).await.text("access_token");
    for asked in ["files:write", "files:read files:write", "files:share", "mail:send", "openid"] {
        assert_eq!(second.exchange(&narrow, &[("scope", asked)]).await.error(), "invalid_scope", "{asked}");
    }
    assert_eq!(second.exchange(&narrow, &[]).await.text("scope"), "files:read");
    let wide = first.token().await;
    assert_eq!(second.exchange(&wide, &[("scope", "files:read")]).await.text("scope"), "files:read");
    app.change_agent("second", |agent| agent.scopes = "files:read".parse().unwrap()).await;
    assert_eq!(second.exchange(&wide, &[("scope", "files:write")]).await.error(), "invalid_scope", "its own ceiling");
    assert_eq!(second.exchange(&wide, &[]).await.text("scope"), "files:read");
    app.change_agent("second", |agent| agent.scopes = "files:write".parse().unwrap()).await;
    app.change_agent("first", |agent| agent.scopes = "files:read".parse().unwrap()).await;
    assert_eq!(second.exchange(&wide, &[("scope", "files:write")]).await.error(), "invalid_scope", "narrowed since");
    app.change_agent("second", |agent| agent.resources = vec![MAIL.into()]).await;
    assert_eq!(second.exchange(&wide, &[]).await.error(), "invalid_target");
}

#[tokio::test]
async fn an_exchange_never_lives_longer_than_what_it_came_of() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let own = first.token().await;
    app.clock.advance(Duration::from_secs(200));
    let answer = second.exchange(&own, &[]).await;
    assert_eq!(answer.json()["expires_in"], 100);
    app.clock.advance(Duration::from_secs(100));
    assert_eq!(second.exchange(&own, &[]).await.error(), "invalid_request");
    assert_eq!(last(&app).await, "subject_token_invalid");
}

#[tokio::test]
async fn delegation_goes_neither_in_a_circle_nor_deeper_than_allowed_nor_to_just_anybody() {
    let app = App::new().await;
    let (a, b, c) = (app.agent("a").await, app.agent("b").await, app.agent("c").await);
    let own = a.token().await;
    assert_eq!(b.exchange(&own, &[]).await.error(), "invalid_request");
    assert_eq!(last(&app).await, "delegation_not_allowed");
    for (one, other) in [(&a, &b), (&b, &a), (&b, &c), (&a, &a), (&c, &a)] {
        one.lets(other).await;
    }
    assert_eq!(a.exchange(&own, &[]).await.error(), "invalid_request", "for itself");
    assert_eq!(last(&app).await, "delegation_loop");
    let for_a = b.exchange(&own, &[]).await.text("access_token");
    assert_eq!(a.exchange(&for_a, &[]).await.error(), "invalid_request", "back to where it came from");
    assert_eq!(last(&app).await, "delegation_loop");
    assert_eq!(c.exchange(&for_a, &[]).await.error(), "invalid_request", "three are too many");
    assert_eq!(last(&app).await, "delegation_depth");
    app.settings(|settings| settings.agent_depth = Some(3)).await;
    let deeper = c.exchange(&for_a, &[]).await;
    assert_eq!(deeper.status, StatusCode::OK, "{}", deeper.body);
    let principal = app.verify(&deeper.text("access_token"), FILES).unwrap();
    assert_eq!((principal.actors.len(), principal.ancestors.len()), (2, 2));
    assert_eq!(a.exchange(&deeper.text("access_token"), &[]).await.error(), "invalid_request");
    assert_eq!(last(&app).await, "delegation_loop");
    app.settings(|settings| settings.agent_depth = Some(1)).await;
    assert_eq!(b.exchange(&own, &[]).await.error(), "invalid_request");
    app.settings(|settings| settings.agent_depth = Some(0)).await;
    let page = app.alice().authorize(&a.request()).await;
    assert_eq!((page.status, page.location()), (StatusCode::BAD_REQUEST, None), "agents act for nobody");
}

#[tokio::test]
async fn nothing_is_exchanged_after_its_origin_was_revoked_and_what_was_ends_with_it() {
    for which in 0..5 {
        let app = App::new().await;
        let (first, second) = (app.agent("first").await, app.agent("second").await);
        first.lets(&second).await;
        let hers = first.for_alice().await.text("access_token");
        let parent = app.verify(&hers, FILES).unwrap();
        let given = second.exchange(&hers, &[]).await.text("access_token");
        app.clock.advance(Duration::from_secs(1));
        let subject = match which {
            0 => RevocationSubject::Grant(parent.grant.clone()),
            1 => RevocationSubject::Token(parent.token.clone()),
            2 => RevocationSubject::Agent(first.agent_id()),
            3 => RevocationSubject::User("alice".parse().unwrap()),
            _ => RevocationSubject::Session(parent.session.clone()),
        };
        Revocations::revoke(app.store.as_ref(), &subject, app.clock.now()).await.unwrap();
        assert_eq!(second.exchange(&hers, &[]).await.error(), "invalid_request", "{subject:?}");
        assert_eq!(last(&app).await, "subject_token_revoked");
        if which != 1 {
            let asked = basic(form_request("/oauth/introspect", &[("token", &given)]), "files-server", "introspect");
            assert_eq!(app.send(asked).await.json(), json!({"active": false}), "{subject:?}");
        }
    }
}

#[tokio::test]
async fn no_one_of_a_chain_may_have_fallen() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let hers = first.for_alice().await.text("access_token");
    app.change_agent("first", |agent| agent.suspended = true).await;
    assert_eq!(second.exchange(&hers, &[]).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "agent_suspended");
    app.change_agent("first", |agent| (agent.suspended, agent.owner) = (false, Some("bob".parse().unwrap()))).await;
    app.disable("bob", true).await;
    assert_eq!(second.exchange(&hers, &[]).await.error(), "invalid_grant", "its owner is deactivated");
    assert_eq!(last(&app).await, "agent_owner_gone");
    app.disable("bob", false).await;
    app.disable("alice", true).await;
    assert_eq!(second.exchange(&hers, &[]).await.error(), "invalid_grant", "so is she");
    assert_eq!(last(&app).await, "person_disabled");
    app.disable("alice", false).await;
    *app.standing.lock().unwrap() = SessionStanding::Ended;
    assert_ne!(second.exchange(&hers, &[]).await.status, StatusCode::OK, "her provider no longer stands by her");
}

#[tokio::test]
async fn a_persons_own_token_and_another_tenants_are_not_exchanged() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let client = app.register().await;
    let hers = app.tokens(&client, LOOPBACK).await.text("access_token");
    assert_eq!(robot.exchange(&hers, &[]).await.error(), "invalid_request");
    assert_eq!(last(&app).await, "subject_token_of_a_person");
    app.globex().await;
    let foreign = app.agent_of("globex", "stranger").await;
    app.change_agent("stranger", |agent| agent.bounds.delegates.push(robot.agent_id())).await;
    let theirs = foreign.token().await;
    assert_eq!(robot.exchange(&theirs, &[]).await.error(), "invalid_request");
    assert_eq!(last(&app).await, "subject_token_of_another_tenant");
    robot.lets(&foreign).await;
    assert_eq!(foreign.exchange(&robot.token().await, &[]).await.error(), "invalid_request");
}

#[tokio::test]
async fn a_bound_token_does_not_become_a_bearer_token_by_exchange() {
    let app = App::new().await;
    let (first, second) = (app.agent("first").await, app.agent("second").await);
    first.lets(&second).await;
    let bound = first.ask_with(&CREDENTIALS, &Key::new().proof(&app).await).await.text("access_token");
    assert_eq!(second.exchange(&bound, &[]).await.error(), "invalid_dpop_proof");
    assert_eq!(last(&app).await, "sender_binding_demanded");
    let key = Key::new();
    let answer = second.ask_with(&exchange_of(&bound), &key.proof(&app).await).await;
    assert_eq!(answer.text("token_type"), "DPoP");
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.bound_to, Some(sallyport_model::KeyBinding::Dpop(key.jkt())), "its own key, not the other's");
    let plain = first.token().await;
    app.change_agent("first", |agent| agent.bounds.sender_bound = true).await;
    assert_eq!(second.exchange(&plain, &[]).await.error(), "invalid_dpop_proof", "demanded of one, of all");
}

#[tokio::test]
async fn a_suspended_agents_delegation_is_not_refreshed() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let token = robot.for_alice().await.text("refresh_token");
    app.change_agent("sorter", |agent| agent.suspended = true).await;
    assert_eq!(robot.refresh(&token).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "agent_suspended");
    let other = app.agent("other").await;
    assert_eq!(other.refresh(&token).await.error(), "invalid_grant", "nor by another agent");
    assert_eq!(last(&app).await, "refresh_of_another_client");
}

#[tokio::test]
async fn an_agent_that_was_narrowed_since_she_was_asked_gets_no_more_than_it_may_have_now() {
    let narrow = |agent: &mut sallyport_storage::Agent| agent.scopes = "files:read".parse().unwrap();
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let both = changed(robot.request(), "scope", "files:read files:write openid");
    // Between the page and her decision.
    let mut alice = app.alice();
    let page = alice.authorize(&both).await;
    app.change_agent("sorter", narrow).await;
    let code = alice.decide(&page, "allow").await.answered("code").unwrap();
    assert_eq!(app.log.of(EventKind::Consented).pop().unwrap().facts["scopes"], "files:read openid");
    let answer = robot.redeem(&code).await;
    assert_eq!(answer.text("scope"), "files:read openid", "{}", answer.body);
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    let grant = app.store.grant(&principal.grant).await.unwrap().unwrap();
    assert_eq!(grant.scopes.to_string(), "files:read openid");
    // Between her decision and the redeeming.
    app.change_agent("sorter", |agent| agent.scopes = "files:write".parse().unwrap()).await;
    let code = app.alice().code(&both).await;
    app.change_agent("sorter", narrow).await;
    let answer = robot.redeem(&code).await;
    assert_eq!(answer.text("scope"), "files:read openid", "{}", answer.body);
    assert_eq!(app.verify(&answer.text("access_token"), FILES).unwrap().scopes.to_string(), "files:read");
    // Nothing is left of it.
    for which in 0..2 {
        let code = app.alice().code(&changed(robot.request(), "scope", "files:read")).await;
        app.change_agent("sorter", |agent| match which {
            0 => agent.scopes = "files:share".parse().unwrap(),
            _ => agent.resources = vec![MAIL.into()],
        })
        .await;
        assert_eq!(robot.redeem(&code).await.error(), "invalid_grant");
        assert_eq!(last(&app).await, "scope_not_the_agents");
        app.change_agent("sorter", narrow).await;
    }
}
