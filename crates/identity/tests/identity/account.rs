//! `/account`: a person acts on what is hers and on nothing else.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::{Actor, ClientId, EventKind, GrantId, Scope, SessionId, TenantId};
use sallyport_storage::{Consent, Grant, Person, Role};

use crate::support::{Browser, PASSWORD, TestApp, tenant};

const RESOURCE: &str = "https://gate.example/mcp/files";

pub(crate) async fn grant(app: &TestApp, person: &Person, of: TenantId, client: &str) -> Grant {
    let now = app.now();
    let grant = Grant {
        id: GrantId::mint(app.rng.as_ref()),
        tenant: of,
        subject: Actor::Human(person.id.clone()),
        actors: Vec::new(),
        ancestors: Vec::new(),
        client: ClientId::new(client).unwrap(),
        resource: RESOURCE.to_owned(),
        scopes: ["files:read", "files:search"].into_iter().map(|scope| Scope::new(scope).unwrap()).collect(),
        session: SessionId::mint(app.rng.as_ref()),
        authenticated_at: now,
        created_at: now,
        expires_at: now.plus(Duration::from_secs(86_400)),
        revoked_at: None,
        bound_to: None,
    };
    app.store.add_grant(&grant).await.unwrap();
    grant
}

pub(crate) async fn consent(app: &TestApp, person: &Person, client: &str) {
    let consent = Consent {
        user: person.id.clone(),
        client: ClientId::new(client).unwrap(),
        resource: RESOURCE.to_owned(),
        scopes: ["files:read"].into_iter().map(|scope| Scope::new(scope).unwrap()).collect(),
        redirect_uri: "http://127.0.0.1/cb".to_owned(),
        given_at: app.now(),
    };
    app.store.put_consent(&consent).await.unwrap();
}

async fn signed_in(app: &TestApp, login: &str) -> (Browser, String) {
    let mut browser = app.browser();
    browser.sign_in(login, PASSWORD, "").await;
    let csrf = browser.get("/account").await.field("csrf");
    (browser, csrf)
}

async fn alive(app: &TestApp, grant: &Grant) -> bool {
    app.store.grant(&grant.id).await.unwrap().unwrap().revoked_at.is_none()
}

#[tokio::test]
async fn a_person_disconnects_her_own_application_and_it_must_ask_again() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mine = grant(&app, &ada, tenant(), "client-1").await;
    let twin = grant(&app, &ada, tenant(), "client-1").await;
    consent(&app, &ada, "client-1").await;
    let (mut browser, csrf) = signed_in(&app, "ada").await;
    let page = browser.get("/account").await;
    assert!(page.text.contains("client-1") && page.text.contains("files:search"));
    let consent_of = || app.store.consent(&ada.id, &mine.client, RESOURCE);
    let answer = browser.post("/account/grants/revoke", &[("csrf", &csrf), ("grant", mine.id.as_str())]).await;
    assert_eq!(answer.location(), "/account?done=disconnected");
    assert!(!alive(&app, &mine).await && alive(&app, &twin).await);
    assert!(consent_of().await.unwrap().is_some(), "another grant rests on it");
    let event = app.log.last();
    assert_eq!(event.kind, EventKind::Revoked);
    assert_eq!(event.facts["grant"], mine.id.as_str());
    browser.post("/account/grants/revoke", &[("csrf", &csrf), ("grant", twin.id.as_str())]).await;
    assert!(consent_of().await.unwrap().is_none());
    let again = browser.post("/account/grants/revoke", &[("csrf", &csrf), ("grant", mine.id.as_str())]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn somebody_elses_grant_is_one_that_does_not_exist() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let bob = app.person("bob", Role::Administrator).await;
    let hers = grant(&app, &ada, tenant(), "client-1").await;
    let other_tenant = grant(&app, &bob, TenantId::new("globex").unwrap(), "client-1").await;
    let (mut browser, csrf) = signed_in(&app, "bob").await;
    let mut answers = Vec::new();
    for id in [hers.id.as_str(), other_tenant.id.as_str(), "no-such-grant"] {
        let answer = browser.post("/account/grants/revoke", &[("csrf", &csrf), ("grant", id)]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        answers.push(answer.text);
    }
    assert!(answers.iter().all(|text| *text == answers[0]));
    assert!(alive(&app, &hers).await && alive(&app, &other_tenant).await);
    assert_eq!(app.log.count(EventKind::Revoked), 0);
}

#[tokio::test]
async fn withdrawing_a_permission_ends_what_rests_on_it() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mine = grant(&app, &ada, tenant(), "client-1").await;
    let unrelated = grant(&app, &ada, tenant(), "client-2").await;
    consent(&app, &ada, "client-1").await;
    let (mut browser, csrf) = signed_in(&app, "ada").await;
    let fields = [("csrf", csrf.as_str()), ("client", "client-1"), ("resource", RESOURCE)];
    assert_eq!(browser.post("/account/consents/withdraw", &fields).await.location(), "/account?done=withdrawn");
    assert!(!alive(&app, &mine).await && alive(&app, &unrelated).await);
    assert_eq!(browser.post("/account/consents/withdraw", &fields).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn no_action_without_a_session_or_with_the_token_of_another_session() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    app.person("bob", Role::User).await;
    let mine = grant(&app, &ada, tenant(), "client-1").await;
    let (mut ada_browser, _) = signed_in(&app, "ada").await;
    let (_, bobs_token) = signed_in(&app, "bob").await;
    let sign_in_token = ada_browser.get("/signin").await.field("csrf");
    for token in [bobs_token.as_str(), &sign_in_token, ""] {
        let fields = [("csrf", token), ("grant", mine.id.as_str())];
        assert_eq!(ada_browser.post("/account/grants/revoke", &fields).await.status, StatusCode::FORBIDDEN);
        let stranger = app.browser().post("/account/grants/revoke", &fields).await;
        assert!(stranger.text.contains("not_signed_in"));
    }
    for path in
        ["/account/grants/revoke", "/account/consents/withdraw", "/account/passkeys/remove", "/signin", "/signout"]
    {
        assert_eq!(app.browser().get(path).await.status == StatusCode::OK, path == "/signin", "{path}");
    }
    assert!(alive(&app, &mine).await);
}
