//! Workload identity federation: a platform's token is an agent's credential.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use sallyport_model::{Actor, Clock, EventKind};
use sallyport_storage::{CredentialKind, MOST_WORKLOADS};
use serde_json::{Value, json};

use crate::{app::*, kit::*};

pub(crate) const PLATFORM: &str = "https://token.actions.githubusercontent.com";

pub(crate) fn publish(app: &App, key: &Key) {
    let mut jwk = key.jwk();
    jwk["kid"] = json!("k1");
    let mut at = app.platforms.at.lock().unwrap();
    let discovery = json!({"issuer": PLATFORM, "jwks_uri": format!("{PLATFORM}/keys")});
    at.insert(format!("{PLATFORM}/.well-known/openid-configuration"), (discovery.to_string(), None));
    at.insert(format!("{PLATFORM}/keys"), (json!({"keys": [jwk]}).to_string(), None));
}

pub(crate) fn trust(rules: Value) -> CredentialKind {
    let trust = json!({"platform": "github_actions", "issuer": PLATFORM, "keys": "discovery", "rules": rules});
    CredentialKind::Workload { trust }
}

pub(crate) fn repository(name: &str) -> CredentialKind {
    trust(json!([{"claim": "repository", "equals": name}]))
}

pub(crate) fn claims(app: &App) -> Value {
    let now = app.clock.now().as_secs();
    json!({"iss": PLATFORM, "sub": "repo:acme/app:ref:refs/heads/main", "aud": ISSUER, "iat": now, "exp": now + 600,
        "jti": random(), "repository": "acme/app", "ref": "refs/heads/main"})
}

pub(crate) fn token_of(key: &Key, claims: &Value) -> String {
    key.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}), claims)
}

pub(crate) async fn ask(app: &App, assertion: &str, more: &[(&str, &str)]) -> Answer {
    app.token(&[&[("grant_type", JWT_BEARER), ("assertion", assertion), ("resource", FILES)][..], more].concat()).await
}

#[tokio::test]
async fn a_workload_gets_its_agents_token_without_any_secret_of_ours() {
    let app = App::new().await;
    let (robot, key) = (app.agent("deployer").await, Key::new());
    publish(&app, &key);
    let id = robot.credential("ci", repository("acme/app")).await;
    let token = token_of(&key, &claims(&app));
    let answer = ask(&app, &token, &[("scope", "files:read")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.text("scope"), "files:read");
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.subject, Actor::Agent(robot.agent_id()));
    let issued = app.log.of(EventKind::TokenIssued).pop().unwrap();
    assert_eq!((&issued.facts["credential"], &issued.facts["credential_kind"]), (&json!(id), &json!("workload")));
    assert_eq!(issued.facts["workload"], "repo:acme/app:ref:refs/heads/main");
    assert_eq!(
        ask(&app, &token, &[]).await.status,
        StatusCode::OK,
        "platforms write a token to a file: it is used again"
    );
    let named = ask(&app, &token, &[("client_id", "client-deployer")]).await;
    assert_eq!(named.status, StatusCode::OK);
    assert_eq!(ask(&app, &token, &[("client_id", "web")]).await.error(), "invalid_grant", "another client");
    let proof = Key::new().proof(&app).await;
    let form = [("grant_type", JWT_BEARER), ("assertion", &*token), ("resource", FILES)];
    assert_eq!(app.token_with(&form, &proof).await.text("token_type"), "DPoP");
}

#[tokio::test]
async fn exactly_one_agent_must_fit() {
    let app = App::new().await;
    let (one, two, key) = (app.agent("one").await, app.agent("two").await, Key::new());
    publish(&app, &key);
    let branch =
        trust(json!([{"claim": "repository", "equals": "acme/app"}, {"claim": "ref", "equals": "refs/heads/main"}]));
    one.credential("ci", repository("acme/app")).await;
    one.credential("main", branch.clone()).await;
    let token = token_of(&key, &claims(&app));
    assert_eq!(ask(&app, &token, &[]).await.status, StatusCode::OK, "two credentials of one agent are one agent");
    two.credential("ci", branch).await;
    assert_eq!(ask(&app, &token, &[]).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["workload_ambiguous"]);
    let named = ask(&app, &token, &[("client_id", "client-two")]).await;
    assert_eq!(app.verify(&named.text("access_token"), FILES).unwrap().subject, Actor::Agent(two.agent_id()));
    let mut other = claims(&app);
    other["ref"] = json!("refs/heads/other");
    let answer = ask(&app, &token_of(&key, &other), &[]).await;
    assert_eq!(app.verify(&answer.text("access_token"), FILES).unwrap().subject, Actor::Agent(one.agent_id()));
    other["repository"] = json!("evil/app");
    assert_eq!(ask(&app, &token_of(&key, &other), &[]).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused).last().unwrap(), "workload_unknown");
}

#[tokio::test]
async fn a_dead_credential_or_agent_gets_nothing() {
    let app = App::new().await;
    let (robot, key) = (app.agent("deployer").await, Key::new());
    publish(&app, &key);
    let id = robot.credential("ci", repository("acme/app")).await;
    app.change_agent("deployer", |agent| agent.suspended = true).await;
    let token = token_of(&key, &claims(&app));
    assert_eq!(ask(&app, &token, &[]).await.error(), "invalid_grant");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["agent_suspended"]);
    app.change_agent("deployer", |agent| agent.suspended = false).await;
    app.store.revoke_credential(&robot.agent_id(), &id, app.clock.now()).await.unwrap();
    assert_eq!(ask(&app, &token, &[]).await.error(), "invalid_grant");
}

#[tokio::test]
async fn a_platform_that_is_silent_admits_nobody() {
    let app = App::new().await;
    let (robot, key) = (app.agent("deployer").await, Key::new());
    robot.credential("ci", repository("acme/app")).await;
    let token = token_of(&key, &claims(&app));
    let answer = ask(&app, &token, &[]).await;
    assert_eq!((answer.status, answer.error()), (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable".into()));
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
}

#[tokio::test]
async fn a_credential_that_ends_while_the_platform_is_asked_gives_nothing() {
    for expire in [true, false] {
        let app = App::new().await;
        let (robot, key) = (app.agent("deployer").await, Key::new());
        publish(&app, &key);
        let id = robot.credential("ci", repository("acme/app")).await;
        let token = token_of(&key, &claims(&app));
        let gate = Arc::new(tokio::sync::Notify::new());
        *app.platforms.gate.lock().unwrap() = Some(Arc::clone(&gate));
        let asked = ask(&app, &token, &[]);
        let ends = async {
            while app.platforms.fetched.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let (agent, now) = (robot.agent_id(), app.clock.now());
            let ended = match expire {
                true => app.store.expire_credential(&agent, &id, now).await.unwrap(),
                false => app.store.revoke_credential(&agent, &id, now).await.unwrap(),
            };
            assert!(ended);
            gate.notify_one();
        };
        let (answer, ()) = tokio::join!(asked, ends);
        assert_eq!(answer.error(), "invalid_grant", "{}", answer.body);
        assert_eq!(app.log.codes(EventKind::TokenRefused), ["grant_ended"]);
        assert!(app.log.of(EventKind::TokenIssued).is_empty());
    }
}

#[tokio::test]
async fn an_agent_that_is_revoked_while_the_platform_is_asked_gets_nothing() {
    let app = App::new().await;
    let (robot, key) = (app.agent("deployer").await, Key::new());
    publish(&app, &key);
    robot.credential("ci", repository("acme/app")).await;
    let token = token_of(&key, &claims(&app));
    let gate = Arc::new(tokio::sync::Notify::new());
    *app.platforms.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let ends = async {
        while app.platforms.fetched.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let subject = sallyport_storage::RevocationSubject::Agent(robot.agent_id());
        app.store.revoke(&subject, app.clock.now()).await.unwrap();
        // The grant is made later than that; the request came before.
        app.clock.advance(Duration::from_secs(2));
        gate.notify_one();
    };
    let (answer, ()) = tokio::join!(ask(&app, &token, &[]), ends);
    assert_eq!(answer.error(), "invalid_grant", "{}", answer.body);
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["grant_ended"]);
    assert_eq!(ask(&app, &token, &[]).await.status, StatusCode::OK, "what came later is another matter");
}

#[tokio::test]
async fn where_very_many_trust_an_issuer_the_agent_must_be_named() {
    let app = App::new().await;
    let (crowd, robot, key) = (app.agent("crowd").await, app.agent("zed").await, Key::new());
    publish(&app, &key);
    robot.credential("ci", repository("acme/app")).await;
    for n in 0..MOST_WORKLOADS {
        crowd.credential(&format!("c{n}"), repository("other/app")).await;
    }
    let token = token_of(&key, &claims(&app));
    let refused = ask(&app, &token, &[]).await;
    assert_eq!(refused.error(), "invalid_grant");
    assert!(refused.text("error_description").contains("send the client_id"), "{}", refused.body);
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["workload_too_many"]);
    let named = ask(&app, &token, &[("client_id", "client-zed")]).await;
    assert_eq!(app.verify(&named.text("access_token"), FILES).unwrap().subject, Actor::Agent(robot.agent_id()));
}
