//! Agents: the rules by which they are made, what becomes of them when their owner leaves, and a person's own page.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_identity::{
    IdentityError,
    agents::{
        AgentChange, AgentEdit, AgentRules, AskedCredential, CredentialSource, NewAgent, Offer, OfferedResource,
        OfferedScope, Risk, Shown,
    },
};
use sallyport_model::{Actor, AgentId, EventKind, Scope, ScopeSet, Timestamp, UserId};
use sallyport_storage::{
    Agent, AgentBounds, CredentialKind, Grant, Person, RevocationSubject, Role, ScimClient, ScopeUse,
};
use serde_json::json;

use crate::{
    account::grant,
    support::{Browser, PASSWORD, TestApp, digest, tenant},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Desk(Vec<OfferedResource>);

impl Offer for Desk {
    fn resources(&self) -> Vec<OfferedResource> {
        self.0.clone()
    }
}

fn scope(text: &str) -> Scope {
    Scope::new(text).unwrap()
}

fn scopes(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

/// `files` for everybody with one tool; `pay` for another tenant only.
fn offer() -> Vec<OfferedResource> {
    let offered = |text: &str, group: Option<&str>| OfferedScope {
        scope: scope(text),
        title: text.to_uppercase(),
        group: group.map(scope),
    };
    let resource = |name: &str, tenants: Option<Vec<_>>, scopes| OfferedResource {
        uri: format!("https://gate.example/mcp/{name}"),
        upstream: name.parse().unwrap(),
        tenants,
        scopes,
    };
    let files = vec![
        offered("files:read", None),
        offered("files:write", None),
        offered("files:list", Some("files:read")),
        offered("files:put", Some("files:write")),
    ];
    let globex = "globex".parse().unwrap();
    vec![resource("files", None, files), resource("pay", Some(vec![globex]), vec![offered("pay:read", None)])]
}

fn new(owner: Option<&Person>) -> NewAgent {
    NewAgent {
        tenant: tenant(),
        client: Some("nightly".into()),
        name: "Nightly report".into(),
        owner: owner.map(|person| person.id.clone()),
        purpose: "Reads tickets at night".into(),
        scopes: scopes("files:read"),
        resources: Vec::new(),
        bounds: AgentBounds::default(),
    }
}

fn rules<'a>(app: &'a TestApp, offer: &'a [OfferedResource]) -> AgentRules<'a> {
    AgentRules { store: app.store.as_ref(), rng: app.rng.as_ref(), now: app.now(), offer }
}

async fn make(app: &TestApp, change: AgentChange) -> Agent {
    let agent = change.agent.clone();
    change.make(app.store.as_ref(), app.now()).await.unwrap();
    agent
}

async fn made(app: &TestApp, new: NewAgent) -> Agent {
    let offer = offer();
    make(app, rules(app, &offer).create(new).await.unwrap()).await
}

async fn refused(app: &TestApp, new: NewAgent) -> &'static str {
    let offer = offer();
    match rules(app, &offer).create(new).await {
        Err(IdentityError::Agent { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

async fn settings(app: &TestApp, change: impl FnOnce(&mut sallyport_storage::TenantSettings)) {
    let mut acme = app.store.tenant(&tenant()).await.unwrap().unwrap();
    change(&mut acme.settings);
    app.store.put_tenant(&acme).await.unwrap();
}

async fn stands(app: &TestApp, id: &AgentId) -> Agent {
    app.store.agent(id).await.unwrap().unwrap()
}

/// A grant under which `agent` acts for `person`.
async fn delegation(app: &TestApp, person: &Person, agent: &Agent) -> Grant {
    let hers = grant(app, person, tenant(), "unused").await;
    let delegated = Grant {
        id: sallyport_model::GrantId::mint(app.rng.as_ref()),
        actors: vec![agent.id.clone()],
        client: agent.client.clone(),
        ..hers
    };
    app.store.add_grant(&delegated).await.unwrap();
    delegated
}

async fn revocations(app: &TestApp, of: &AgentId) -> usize {
    let all = app.store.revocations_after(0, 100).await.unwrap();
    all.iter().filter(|one| one.subject == RevocationSubject::Agent(of.clone())).count()
}

#[tokio::test]
async fn an_agent_is_made_within_the_rules_only() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let agent = made(&app, new(Some(&ada))).await;
    assert_eq!(agent.resources, ["https://gate.example/mcp/files"], "they follow the scopes");
    let client = app.store.client(&agent.client).await.unwrap().unwrap();
    assert_eq!(client.agent, Some(agent.id.clone()));
    assert!(!client.grant_types.iter().any(|grant| grant == "authorization_code"));

    let stranger = UserId::new("nobody").unwrap();
    let free = || NewAgent { client: None, ..new(Some(&ada)) };
    let off = app.person("off", Role::User).await;
    app.store.set_disabled(&off.id, true).await.unwrap();
    let with = |bounds: AgentBounds| NewAgent { bounds, ..free() };
    for (field, wrong) in [
        ("client_id", new(Some(&ada))),
        ("client_id", NewAgent { client: Some("https://x.example/c".into()), ..free() }),
        ("owner", NewAgent { owner: Some(stranger.clone()), ..free() }),
        ("owner", NewAgent { owner: Some(off.id.clone()), ..free() }),
        ("purpose", NewAgent { purpose: " ".into(), ..free() }),
        ("name", NewAgent { name: "a\nb".into(), ..free() }),
        ("scopes", NewAgent { scopes: ScopeSet::empty(), ..free() }),
        ("scopes", NewAgent { scopes: scopes("files:read nothing:read"), ..free() }),
        ("scopes", NewAgent { scopes: scopes("pay:read"), ..free() }),
        ("servers", NewAgent { resources: vec!["https://gate.example/mcp/pay".into()], ..free() }),
        ("networks", with(AgentBounds { networks: vec!["ten".into()], ..AgentBounds::default() })),
        ("ends", with(AgentBounds { ends_at: Some(app.now()), ..AgentBounds::default() })),
        (
            "redirect_uris",
            with(AgentBounds { redirect_uris: vec!["http://x.example/cb".into()], ..AgentBounds::default() }),
        ),
        ("delegates", with(AgentBounds { delegates: vec![AgentId::new("other").unwrap()], ..AgentBounds::default() })),
        ("successor", with(AgentBounds { successor: Some(stranger), ..AgentBounds::default() })),
        ("successor", with(AgentBounds { successor: Some(ada.id.clone()), ..AgentBounds::default() })),
    ] {
        assert_eq!(refused(&app, wrong.clone()).await, field, "{wrong:?}");
    }
    assert_eq!(app.store.agents(&tenant()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_credential_lives_no_longer_than_its_tenant_says_and_a_secret_only_where_allowed() {
    let app = TestApp::new().await;
    let agent = made(&app, new(None)).await;
    let offer = offer();
    let ask = |source, life| AskedCredential { source, life };
    let field = |error: IdentityError| match error {
        IdentityError::Agent { field, .. } => field,
        other => panic!("{other}"),
    };
    let rules_now = rules(&app, &offer);
    let made = rules_now.add_credential(&agent, ask(CredentialSource::NewKey, None)).await.unwrap();
    assert_eq!(made.credential.expires_at, app.now().plus(90 * DAY));
    let Shown::PrivateKey { pem, kid, jwk } = &made.shown else { panic!("{:?}", made.shown) };
    assert!(pem.expose().starts_with("-----BEGIN PRIVATE KEY-----\n") && jwk["kid"] == **kid && jwk.get("d").is_none());
    assert!(!made.change.facts.to_string().contains("PRIVATE"));
    let too_long = rules_now.add_credential(&agent, ask(CredentialSource::NewKey, Some(91 * DAY))).await;
    assert_eq!(field(too_long.unwrap_err()), "life");
    assert_eq!(
        field(rules_now.add_credential(&agent, ask(CredentialSource::Secret, None)).await.unwrap_err()),
        "secret"
    );

    settings(&app, |settings| {
        settings.agent_secrets = true;
        settings.agent_credential_seconds = Some(3600);
    })
    .await;
    let made = rules_now.add_credential(&agent, ask(CredentialSource::Secret, None)).await.unwrap();
    assert_eq!(made.credential.expires_at, app.now().plus(Duration::from_secs(3600)));
    let Shown::Secret(secret) = &made.shown else { panic!("{:?}", made.shown) };
    assert_eq!(made.credential.kind, CredentialKind::Secret { sha256: digest(secret.expose()) });
    assert!(!made.change.facts.to_string().contains(secret.expose()));

    let private = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}]});
    let symmetric = json!({"keys": [{"kty": "oct", "k": "AA"}]});
    let odd = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]});
    for jwks in [private, symmetric, odd, json!({"keys": []}), json!([])] {
        let error =
            rules_now.add_credential(&agent, ask(CredentialSource::Jwks(jwks.clone()), None)).await.unwrap_err();
        assert_eq!(field(error), "jwks", "{jwks}");
    }
    let wide = json!({"platform": "github_actions", "issuer": "https://token.actions.githubusercontent.com",
        "keys": "discovery", "rules": []});
    let error =
        rules_now.add_credential(&agent, ask(CredentialSource::Workload(wide.clone()), None)).await.unwrap_err();
    assert_eq!(field(error), "workload");
    let narrow = crate::oidc_provider::with(wide, &json!({"rules": [{"claim": "repository", "equals": "acme/app"}]}));
    let made = rules_now.add_credential(&agent, ask(CredentialSource::Workload(narrow), None)).await.unwrap();
    assert_eq!(made.credential.issuer.as_deref(), Some("https://token.actions.githubusercontent.com"));
}

#[tokio::test]
async fn a_rotated_credential_goes_on_for_the_overlap_and_a_revoked_one_ends_every_token() {
    let app = TestApp::new().await;
    let agent = made(&app, new(None)).await;
    let offer = offer();
    let first = rules(&app, &offer)
        .add_credential(&agent, AskedCredential { source: CredentialSource::NewKey, life: None })
        .await
        .unwrap();
    let old = first.credential.id.clone();
    first.change.make(app.store.as_ref(), app.now()).await.unwrap();
    let next = rules(&app, &offer).rotate_credential(&agent, old.as_str(), None, None, DAY).await.unwrap();
    next.change.make(app.store.as_ref(), app.now()).await.unwrap();
    let alive = |at: Timestamp| {
        let app = &app;
        let agent = agent.id.clone();
        async move {
            let all = app.store.credentials(&agent).await.unwrap();
            all.into_iter().filter(|one| one.lives(at)).map(|one| one.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(alive(app.now()).await.len(), 2, "both work for a day");
    assert_eq!(alive(app.now().plus(DAY)).await, std::slice::from_ref(&next.credential.id));
    app.later(DAY);
    assert!(
        rules(&app, &offer).rotate_credential(&agent, old.as_str(), None, None, DAY).await.is_err(),
        "it has ended"
    );
    let before = revocations(&app, &agent.id).await;
    let revoked = rules(&app, &offer).revoke_credential(&agent, next.credential.id.as_str()).await.unwrap();
    revoked.make(app.store.as_ref(), app.now()).await.unwrap();
    assert!(alive(app.now()).await.is_empty());
    assert_eq!(revocations(&app, &agent.id).await, before + 1);
}

#[tokio::test]
async fn narrowing_leaves_the_scopes_of_what_was_called_and_nothing_else() {
    let app = TestApp::new().await;
    let agent = made(&app, NewAgent { scopes: scopes("files:read files:write"), ..new(None) }).await;
    let offer = offer();
    assert!(rules(&app, &offer).narrow(&agent).await.is_err(), "nothing was used");
    let used = |name: &str| ScopeUse { scope: name.into(), last_used_at: app.now() };
    // A scope that it does not hold is not given to it by its history.
    app.store.note_scope_uses(&agent.id, &[used("files:list"), used("pay:read")]).await.unwrap();
    let listed = rules(&app, &offer).listed(agent.clone()).await.unwrap();
    let idle: Vec<_> = listed.scopes.iter().map(|held| (held.scope.as_str(), held.unused_since.is_some())).collect();
    assert_eq!(idle, [("files:read", false), ("files:write", true)]);
    assert!(listed.risks.contains(&Risk::NoOwner) && listed.risks.contains(&Risk::NoCredential));
    let narrowed = make(&app, rules(&app, &offer).narrow(&agent).await.unwrap()).await;
    assert_eq!(narrowed.scopes, scopes("files:list"));
    assert_eq!(stands(&app, &agent.id).await.scopes, scopes("files:list"));
}

#[tokio::test]
async fn suspending_ends_tokens_and_delegations_and_no_session_of_a_person() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let mut browser = app.browser();
    browser.sign_in("ada", PASSWORD, "").await;
    let agent = made(&app, new(Some(&ada))).await;
    let delegated = delegation(&app, &ada, &agent).await;
    let own = grant(&app, &ada, tenant(), "her-client").await;
    let offer = offer();
    make(&app, rules(&app, &offer).suspend(&agent)).await;
    assert!(stands(&app, &agent.id).await.suspended);
    let dead = |id| {
        let app = &app;
        async move { app.store.grant(&id).await.unwrap().unwrap().revoked_at.is_some() }
    };
    assert!(dead(delegated.id).await && !dead(own.id).await);
    assert!(app.identity.current(&browser.header_map()).await.unwrap().is_some());
    let resumed = rules(&app, &offer).resume(&stands(&app, &agent.id).await).await.unwrap();
    assert!(!make(&app, resumed).await.suspended);
}

const TOKEN: &str = "sps_token-of-acme";

async fn scim(app: &TestApp, method: &str, path: &str, body: Option<serde_json::Value>) -> StatusCode {
    let request = Request::builder()
        .method(method)
        .uri(format!("/scim/v2{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(header::CONTENT_TYPE, "application/scim+json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    app.browser().send(request.body(body).unwrap()).await.status
}

/// Somebody whom SCIM brought.
async fn provisioned(app: &TestApp, name: &str) -> Person {
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name});
    assert_eq!(scim(app, "POST", "/Users", Some(body)).await, StatusCode::CREATED);
    let people = app.store.people(&tenant()).await.unwrap();
    people.into_iter().find(|person| person.display_name == name).unwrap()
}

async fn with_scim() -> TestApp {
    let app = TestApp::new().await;
    let client = ScimClient {
        id: "acme".parse().unwrap(),
        tenant: tenant(),
        name: "their IdP".into(),
        token: digest(TOKEN),
        created_at: app.now(),
        expires_at: None,
    };
    app.store.add_scim_client(&client).await.unwrap();
    app
}

#[tokio::test]
async fn when_scim_deactivates_their_owner_agents_stop_or_pass_on_and_coming_back_revives_nothing() {
    let app = with_scim().await;
    let (bob, eve) = (provisioned(&app, "bob").await, provisioned(&app, "eve").await);
    let id = |name: &str| Some(name.to_owned());
    let heir = |person: &Person| AgentBounds { successor: Some(person.id.clone()), ..AgentBounds::default() };
    let stops = made(&app, NewAgent { client: id("stops"), ..new(Some(&bob)) }).await;
    let passes = made(&app, NewAgent { client: id("passes"), bounds: heir(&eve), ..new(Some(&bob)) }).await;
    let hers = made(&app, NewAgent { client: id("hers"), ..new(Some(&eve)) }).await;
    let delegated = delegation(&app, &bob, &hers).await;

    let off = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}]});
    assert!(scim(&app, "PATCH", &format!("/Users/{}", bob.id), Some(off.clone())).await.is_success());
    let stopped = stands(&app, &stops.id).await;
    assert!(stopped.suspended && stopped.owner == Some(bob.id.clone()));
    assert_eq!(revocations(&app, &stops.id).await, 1);
    let passed = stands(&app, &passes.id).await;
    assert_eq!((passed.suspended, &passed.owner, &passed.bounds.successor), (false, &Some(eve.id.clone()), &None));
    assert_eq!(revocations(&app, &passes.id).await, 0);
    assert!(!stands(&app, &hers.id).await.suspended);
    let delegated = app.store.grant(&delegated.id).await.unwrap().unwrap();
    assert!(delegated.revoked_at.is_some(), "what acted for bob has ended with him");
    let outcomes: Vec<_> = {
        let events = app.log.events.lock().unwrap();
        let left = events.iter().filter(|event| event.facts.get("action") == Some(&json!("agent.owner_left")));
        left.map(|event| (event.kind, event.facts["outcome"].as_str().unwrap().to_owned())).collect()
    };
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.contains(&(EventKind::Revoked, "stopped".into())));
    assert!(outcomes.contains(&(EventKind::Administered, "passed".into())));

    // Once more changes nothing more.
    assert!(scim(&app, "PATCH", &format!("/Users/{}", bob.id), Some(off)).await.is_success());
    assert_eq!(revocations(&app, &stops.id).await, 1);
    let on = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": true}}]});
    assert!(scim(&app, "PATCH", &format!("/Users/{}", bob.id), Some(on)).await.is_success());
    assert!(stands(&app, &stops.id).await.suspended);
    assert_eq!(stands(&app, &passes.id).await.owner, Some(eve.id.clone()));
}

#[tokio::test]
async fn when_scim_deletes_their_owner_agents_stop_and_a_successor_who_is_gone_inherits_nothing() {
    let app = with_scim().await;
    let (bob, eve) = (provisioned(&app, "bob").await, provisioned(&app, "eve").await);
    let bounds = AgentBounds { successor: Some(eve.id.clone()), ..AgentBounds::default() };
    let agent = made(&app, NewAgent { bounds, ..new(Some(&bob)) }).await;
    assert_eq!(scim(&app, "DELETE", &format!("/Users/{}", eve.id), None).await, StatusCode::NO_CONTENT);
    assert!(!stands(&app, &agent.id).await.suspended, "its owner is there");
    assert_eq!(scim(&app, "DELETE", &format!("/Users/{}", bob.id), None).await, StatusCode::NO_CONTENT);
    assert!(stands(&app, &agent.id).await.suspended);
    let offer = offer();
    let resumed = rules(&app, &offer).resume(&stands(&app, &agent.id).await).await;
    assert!(matches!(resumed, Err(IdentityError::Agent { field: "owner", .. })), "nobody answers for it");
}

#[tokio::test]
async fn an_administrators_word_settles_agents_too() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let agent = made(&app, new(Some(&ada))).await;
    app.store.set_disabled(&ada.id, true).await.unwrap();
    app.identity.settle_agents_of(&ada.id, None).await.unwrap();
    assert!(stands(&app, &agent.id).await.suspended);
    assert_eq!(app.log.last().who.unwrap().subject, Actor::Agent(agent.id));
}

async fn signed_in(app: &TestApp, login: &str) -> (Browser, String) {
    let mut browser = app.browser();
    browser.sign_in(login, PASSWORD, "").await;
    let csrf = browser.get("/account").await.field("csrf");
    (browser, csrf)
}

#[tokio::test]
async fn a_person_sees_who_acts_for_her_and_ends_it() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada", Role::User).await, app.person("bob", Role::User).await);
    let agent = made(&app, new(Some(&bob))).await;
    let delegated = delegation(&app, &ada, &agent).await;
    let (mut browser, csrf) = signed_in(&app, "ada").await;
    let page = browser.get("/account").await;
    for shown in ["Agents that act for you", "Nightly report", "Reads tickets at night", "Ms bob", "files:search"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    let answer = browser.post("/account/grants/revoke", &[("csrf", &csrf), ("grant", delegated.id.as_str())]).await;
    assert_eq!(answer.location(), "/account?done=disconnected");
    assert!(!browser.get("/account").await.text.contains("Agents that act for you"));
}

#[tokio::test]
async fn a_person_stops_the_agents_that_she_answers_for_and_no_others() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada", Role::User).await, app.person("bob", Role::Administrator).await);
    let hers = made(&app, new(Some(&ada))).await;
    let his = made(&app, NewAgent { client: Some("his".into()), ..new(Some(&bob)) }).await;
    let (mut browser, csrf) = signed_in(&app, "ada").await;
    assert!(browser.get("/account").await.text.contains("You answer for these"));
    for action in ["suspend", "end", "delete"] {
        let fields = [("csrf", csrf.as_str()), ("agent", his.id.as_str())];
        let answer = browser.post(&format!("/account/agents/{action}"), &fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{action}");
        let forged = browser.post(&format!("/account/agents/{action}"), &[("csrf", "x"), fields[1]]).await;
        assert_eq!(forged.status, StatusCode::FORBIDDEN, "{action}");
    }
    assert_eq!(revocations(&app, &his.id).await, 0);
    let fields = [("csrf", csrf.as_str()), ("agent", hers.id.as_str())];
    assert_eq!(
        browser.post("/account/agents/delete", &fields).await.status,
        StatusCode::FORBIDDEN,
        "an administrator's"
    );
    assert_eq!(browser.post("/account/agents/suspend", &fields).await.location(), "/account?done=agent_suspended");
    assert!(stands(&app, &hers.id).await.suspended);
    assert_eq!(app.log.last().facts["action"], "agent.suspend");
}

#[tokio::test]
async fn a_person_makes_an_agent_only_where_her_tenant_lets_her_and_within_what_is_offered() {
    let app = TestApp::new().await;
    app.identity.know_offer(Arc::new(Desk(offer())));
    let ada = app.person("ada", Role::User).await;
    let (mut browser, csrf) = signed_in(&app, "ada").await;
    let form = |scope: &'static str| {
        let csrf = csrf.clone();
        move |days: &'static str| {
            vec![
                ("csrf".to_owned(), csrf.clone()),
                ("name".into(), "Mine".into()),
                ("purpose".into(), "Sorts my files".into()),
                ("scope".into(), scope.into()),
                ("days".into(), days.into()),
            ]
        }
    };
    let post = async |browser: &mut Browser, fields: Vec<(String, String)>| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post("/account/agents/create", &fields).await
    };
    assert_eq!(post(&mut browser, form("files:read")("30")).await.status, StatusCode::BAD_REQUEST, "not permitted");
    settings(&app, |settings| settings.personal_agents = true).await;
    assert!(browser.get("/account").await.text.contains("Make an agent"));
    for (scope, days) in [("pay:read", "30"), ("files:read", "91"), ("files:read", "0"), ("x y", "30")] {
        let answer = post(&mut browser, form(scope)(days)).await;
        assert!(answer.status.is_client_error(), "{scope} {days}");
    }
    assert!(app.store.agents(&tenant()).await.unwrap().is_empty());
    let answer = post(&mut browser, form("files:read")("30")).await;
    assert!(answer.text.contains("BEGIN PRIVATE KEY") && answer.headers["cache-control"] == "no-store");
    let agents = app.store.agents(&tenant()).await.unwrap();
    assert_eq!((agents.len(), &agents[0].owner, agents[0].bounds.personal), (1, &Some(ada.id.clone()), true));
    assert!(!serde_json::to_string(&app.log.last()).unwrap().contains("PRIVATE"));
    assert!(!browser.get("/account").await.text.contains("PRIVATE"));
    let fields = [("csrf", csrf.as_str()), ("agent", agents[0].id.as_str())];
    assert_eq!(browser.post("/account/agents/delete", &fields).await.location(), "/account?done=agent_deleted");
    assert!(app.store.agents(&tenant()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_edit_keeps_what_it_does_not_name() {
    let app = TestApp::new().await;
    let ada = app.person("ada", Role::User).await;
    let agent = made(&app, new(Some(&ada))).await;
    let offer = offer();
    let edit = AgentEdit { scopes: Some(scopes("files:list")), ..AgentEdit::default() };
    let next = make(&app, rules(&app, &offer).edit(&agent, edit).await.unwrap()).await;
    assert_eq!(next, Agent { scopes: scopes("files:list"), ..agent });
    let edit = AgentEdit { owner: Some(None), ..AgentEdit::default() };
    assert_eq!(make(&app, rules(&app, &offer).edit(&next, edit).await.unwrap()).await.owner, None);
}

#[tokio::test]
async fn what_a_crash_left_unsettled_is_settled_later() {
    let app = TestApp::new().await;
    let (ada, bob) = (app.person("ada", Role::User).await, app.person("bob", Role::User).await);
    let left = made(&app, new(Some(&ada))).await;
    let stays = made(&app, NewAgent { client: Some("stays".into()), ..new(Some(&bob)) }).await;
    app.store.set_disabled(&ada.id, true).await.unwrap();
    let sweeping = tokio::spawn(app.identity.clone().keep_settling_agents());
    for _ in 0..500 {
        if stands(&app, &left.id).await.suspended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sweeping.abort();
    assert!(stands(&app, &left.id).await.suspended && !stands(&app, &stays.id).await.suspended);
    assert_eq!(revocations(&app, &left.id).await, 1);
}
