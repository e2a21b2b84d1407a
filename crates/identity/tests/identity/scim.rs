//! SCIM over HTTP: whose token it is, and what a change of a user does to the person.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_model::{ConnectionId, EventKind, ScimClientId, SessionId, TenantId, UserId};
use sallyport_storage::{BrowserSession, Connection, ConnectionProtocol, Link, Person, PersonOrigin, Role, ScimClient};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, digest, tenant};

const TOKEN: &str = "sps_token-of-acme";
const OTHER: &str = "sps_token-of-globex";

async fn app() -> TestApp {
    let app = TestApp::new().await;
    for (token, whose) in [(TOKEN, "acme"), (OTHER, "globex")] {
        let client = ScimClient {
            id: ScimClientId::new(whose).unwrap(),
            tenant: TenantId::new(whose).unwrap(),
            name: "their IdP".into(),
            token: digest(token),
            created_at: app.now(),
            expires_at: None,
        };
        app.store.add_scim_client(&client).await.unwrap();
    }
    app
}

async fn send(app: &TestApp, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/scim/v2{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/scim+json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    app.browser().send(request.body(body).unwrap()).await
}

async fn created(app: &TestApp, name: &str) -> String {
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "externalId": format!("ext-{name}"),
        "displayName": format!("Ms {name}"),
        "emails": [{"value": format!("{name}@acme.example"), "primary": true}],
    });
    let answer = send(app, TOKEN, "POST", "/Users", Some(&user)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn signed_in(app: &TestApp, user: &str) -> BrowserSession {
    let session = BrowserSession {
        id: SessionId::new(format!("session-of-{user}")).unwrap(),
        cookie: digest(user),
        user: UserId::new(user).unwrap(),
        tenant: tenant(),
        methods: vec![],
        authenticated_at: app.now(),
        expires_at: app.now().plus(Duration::from_secs(3600)),
        provider: None,
    };
    app.store.add_browser_session(&session).await.unwrap();
    session
}

#[tokio::test]
async fn a_user_is_a_person_and_loses_everything_when_deactivated() {
    let app = app().await;
    let id = created(&app, "bob").await;
    let user = UserId::new(&id).unwrap();
    let person = app.store.person(&user).await.unwrap().unwrap();
    assert_eq!((person.origin, person.disabled), (PersonOrigin::External, false));
    assert_eq!((person.email.as_deref(), person.display_name.as_str()), (Some("bob@acme.example"), "Ms bob"));
    let session = signed_in(&app, &id).await;

    let off = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "Replace", "path": "active", "value": "False"}],
    });
    let answer = send(&app, TOKEN, "PATCH", &format!("/Users/{id}"), Some(&off)).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    assert!(app.store.person(&user).await.unwrap().unwrap().disabled);
    assert_eq!(app.store.browser_session(&session.cookie, app.now()).await.unwrap(), None);
    assert_eq!(app.store.revocations_after(0, 10).await.unwrap().len(), 1);
    assert_eq!(app.log.count(EventKind::Revoked), 1);

    let on = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": true}}],
    });
    assert!(send(&app, TOKEN, "PATCH", &format!("/Users/{id}"), Some(&on)).await.status.is_success());
    assert!(!app.store.person(&user).await.unwrap().unwrap().disabled);
    assert_eq!(app.store.browser_session(&session.cookie, app.now()).await.unwrap(), None, "nothing lives again");

    assert_eq!(send(&app, TOKEN, "DELETE", &format!("/Users/{id}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.store.person(&user).await.unwrap(), None);
    assert_eq!(app.store.revocations_after(0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn another_tenants_token_finds_nothing_and_no_token_gets_nothing() {
    let app = app().await;
    let id = created(&app, "bob").await;
    let path = format!("/Users/{id}");
    for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some(json!({"userName": "x", "active": false})))] {
        let answer = send(&app, OTHER, method, &path, body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {}", answer.text);
    }
    let theirs = send(&app, OTHER, "GET", "/Users?filter=userName%20eq%20%22bob%22", None).await;
    assert_eq!(theirs.json()["totalResults"], 0);
    let group = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "g",
        "members": [{"value": id}]});
    assert_eq!(send(&app, OTHER, "POST", "/Groups", Some(&group)).await.status, StatusCode::BAD_REQUEST);
    for token in ["", "sps_token", "sps_token-of-acme2"] {
        assert_eq!(send(&app, token, "GET", &path, None).await.status, StatusCode::UNAUTHORIZED, "{token:?}");
    }
    // The right token under another scheme, or twice, is no token (RFC 6750 section 2.1).
    for lines in [vec![format!("Token {TOKEN}")], vec![format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}")]] {
        let mut request = Request::get(format!("/scim/v2{path}"));
        for line in &lines {
            request = request.header(header::AUTHORIZATION, line);
        }
        let answer = app.browser().send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{lines:?}");
    }
    assert!(app.store.person(&UserId::new(&id).unwrap()).await.unwrap().is_some_and(|person| !person.disabled));
}

#[tokio::test]
async fn groups_have_members_and_the_person_leaves_them_with_her_account() {
    let app = app().await;
    let (bob, cat) = (created(&app, "bob").await, created(&app, "cat").await);
    let group = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Writers",
        "members": [{"value": bob}]});
    let made = send(&app, TOKEN, "POST", "/Groups", Some(&group)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let path = format!("/Groups/{}", made.json()["id"].as_str().unwrap());
    let add = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "Add", "path": "members", "value": [{"value": cat}]}],
    });
    assert!(send(&app, TOKEN, "PATCH", &path, Some(&add)).await.status.is_success());
    let read = send(&app, TOKEN, "GET", &path, None).await.json();
    assert_eq!(read["members"].as_array().unwrap().len(), 2);
    send(&app, TOKEN, "DELETE", &format!("/Users/{bob}"), None).await;
    let read = send(&app, TOKEN, "GET", &path, None).await.json();
    assert_eq!(read["members"].as_array().unwrap().len(), 1);
    let same = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "WRITERS"});
    let again = send(&app, TOKEN, "POST", "/Groups", Some(&same)).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "the name is taken: {}", again.text);
}

/// Somebody who signed in by an identity provider before SCIM was set up.
async fn signed_in_first(app: &TestApp, name: &str) -> Person {
    let connection = ConnectionId::new("c1").unwrap();
    let settings = json!({"protocol": "oidc", "preset": "standard", "issuer": "https://idp.example/",
        "client_id": "x"});
    let stored = Connection {
        id: connection.clone(),
        tenant: tenant(),
        name: "idp".into(),
        protocol: ConnectionProtocol::Oidc,
        settings: settings.to_string(),
        enabled: true,
        created_at: app.now(),
        changed_at: app.now(),
    };
    app.store.put_connection(&stored).await.unwrap();
    let person = Person {
        id: UserId::new("first").unwrap(),
        tenant: tenant(),
        origin: PersonOrigin::External,
        login: "first".into(),
        email: Some(format!("{name}@acme.example")),
        display_name: "First".into(),
        role: Role::User,
        groups: vec![],
        password_hash: None,
        disabled: false,
        created_at: app.now(),
    };
    app.store.add_person(&person).await.unwrap();
    let link = Link {
        tenant: tenant(),
        connection,
        subject: "https://idp.example/ 1".into(),
        user: person.id.clone(),
        linked_at: app.now(),
        last_seen_at: app.now(),
        asserted: json!({"preferred_username": [name]}).to_string(),
    };
    app.store.put_link(&link).await.unwrap();
    person
}

#[tokio::test]
async fn who_signed_in_before_she_was_provisioned_is_the_same_person_and_can_be_cut_off() {
    let app = app().await;
    let person = signed_in_first(&app, "Bob").await;
    let session = signed_in(&app, "first").await;
    assert_eq!(created(&app, "bob").await, "first");
    let kept = app.store.person(&person.id).await.unwrap().unwrap();
    assert_eq!((kept.display_name.as_str(), kept.disabled), ("Ms bob", false));
    assert!(app.store.browser_session(&session.cookie, app.now()).await.unwrap().is_some());
    send(&app, TOKEN, "DELETE", "/Users/first", None).await;
    assert_eq!(app.store.browser_session(&session.cookie, app.now()).await.unwrap(), None);
    assert_eq!(app.store.person(&person.id).await.unwrap(), None);
}

#[tokio::test]
async fn without_a_log_nobody_is_let_in_and_somebody_can_still_be_cut_off() {
    let app = app().await;
    let id = created(&app, "bob").await;
    app.log.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let new = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "cat"});
    assert_eq!(send(&app, TOKEN, "POST", "/Users", Some(&new)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let found = send(&app, TOKEN, "GET", "/Users?filter=userName%20eq%20%22cat%22", None).await;
    assert_eq!(found.json()["totalResults"], 0);
    let gone = send(&app, TOKEN, "DELETE", &format!("/Users/{id}"), None).await;
    assert_eq!(gone.status, StatusCode::SERVICE_UNAVAILABLE, "the client hears that not all is well");
    assert_eq!(app.store.person(&UserId::new(&id).unwrap()).await.unwrap(), None, "and she is cut off");
}
