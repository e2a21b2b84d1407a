//! Where somebody signs in: by her address, by a hint, by what she chose last.

use http::StatusCode;
use sallyport_model::{ConnectionId, TenantId};
use sallyport_storage::{Connection, ConnectionProtocol, Domain, DomainProof, Role, Tenant, TenantSettings};
use serde_json::json;

use crate::support::{PASSWORD, TestApp, tenant};

async fn connected(app: &TestApp, id: &str, whose: &str, enabled: bool) {
    let settings =
        json!({"protocol": "oidc", "preset": "standard", "issuer": "https://idp.example/", "client_id": "x"});
    let connection = Connection {
        id: ConnectionId::new(id).unwrap(),
        tenant: TenantId::new(whose).unwrap(),
        name: format!("{whose} & co"),
        protocol: ConnectionProtocol::Oidc,
        settings: settings.to_string(),
        enabled,
        created_at: app.now(),
        changed_at: app.now(),
    };
    app.store.put_connection(&connection).await.unwrap();
}

async fn domain(app: &TestApp, name: &str, whose: &str, proved: bool) {
    let domain = Domain {
        tenant: TenantId::new(whose).unwrap(),
        name: name.into(),
        challenge: "x".into(),
        connection: None,
        claimed_at: app.now(),
        proved: proved.then_some((DomainProof::Operator, app.now())),
    };
    app.store.put_domain(&domain).await.unwrap();
}

async fn asked(app: &TestApp, email: &str) -> (StatusCode, String) {
    let mut browser = app.browser();
    let csrf = browser.get("/signin").await.field("csrf");
    let answer = browser.post("/signin/sso", &[("csrf", &csrf), ("continue_to", "/account"), ("email", email)]).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn a_proved_domain_leads_to_its_tenants_provider_and_a_claimed_one_nowhere() {
    let app = TestApp::new().await;
    assert!(!app.browser().get("/signin").await.text.contains("organisation"), "nothing to find yet");
    connected(&app, "c-acme", "acme", true).await;
    connected(&app, "c-globex", "globex", true).await;
    domain(&app, "acme.example", "acme", true).await;
    domain(&app, "acme.example", "globex", false).await;
    domain(&app, "claimed.example", "globex", false).await;
    let (status, text) = asked(&app, "Ann@ACME.example").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("/signin/sso/c%2Dacme?continue_to=%2Faccount&amp;login_hint=Ann%40ACME%2Eexample"), "{text}");
    let (status, text) = asked(&app, "ann@claimed.example").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("domain_not_verified") && text.contains("Reference"), "{text}");
    assert_eq!(app.log.last().decision.unwrap().code, "domain_not_verified");
    for nowhere in ["ann@sub.acme.example", "ann@acme.example.evil", "acme.example", ""] {
        let (status, text) = asked(&app, nowhere).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{nowhere}");
        assert!(text.contains("No organisation signs in here"), "{text}");
    }
}

#[tokio::test]
async fn a_form_without_its_token_finds_nothing() {
    let app = TestApp::new().await;
    connected(&app, "c", "acme", true).await;
    domain(&app, "acme.example", "acme", true).await;
    let fields = [("csrf", "x"), ("continue_to", "/account"), ("email", "a@acme.example")];
    assert_eq!(app.browser().post("/signin/sso", &fields).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn hints_lead_there_at_once_and_trick_nobody_away() {
    let app = TestApp::new().await;
    connected(&app, "c", "acme", true).await;
    domain(&app, "acme.example", "acme", true).await;
    for hint in ["login_hint=ann%40acme.example", "tenant=acme"] {
        let answer = app.browser().get(&format!("/signin?continue_to=%2Faccount&{hint}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{hint}");
        assert!(answer.location().starts_with("/signin/sso/c?continue_to=%2Faccount"), "{}", answer.location());
    }
    for hint in ["login_hint=ann%40other.example", "tenant=globex", "tenant=../x", "login_hint=%00%40acme.example"] {
        assert_eq!(app.browser().get(&format!("/signin?{hint}")).await.status, StatusCode::OK, "{hint}");
    }
    let url = app.identity.sign_in_url_for("/account", Some("a&b@x"));
    assert_eq!(url, "/signin?continue_to=%2Faccount&login_hint=a%26b%40x");
}

#[tokio::test]
async fn the_password_form_sends_federated_people_on_and_keeps_local_ones() {
    let app = TestApp::new().await;
    connected(&app, "c", "acme", true).await;
    domain(&app, "acme.example", "acme", true).await;
    app.person("local@acme.example", Role::User).await;
    let on = app.browser().sign_in("ann@acme.example", PASSWORD, "/account").await;
    assert!(on.text.contains("/signin/sso/c?"), "{}", on.text);
    let here = app.browser().sign_in("local@acme.example", PASSWORD, "/account").await;
    assert_eq!((here.status, here.location()), (StatusCode::SEE_OTHER, "/account"));
}

#[tokio::test]
async fn a_connection_that_is_off_unknown_or_of_a_suspended_tenant_starts_nothing() {
    let app = TestApp::new().await;
    connected(&app, "off", "acme", false).await;
    connected(&app, "on", "globex", true).await;
    let globex = Tenant::new(TenantId::new("globex").unwrap(), "Globex", app.now());
    app.store.put_tenant(&Tenant { suspended: true, ..globex }).await.unwrap();
    let unknown = app.browser().get("/signin/sso/none").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(app.log.count(sallyport_model::EventKind::SignInRefused), 0, "anybody can ask for what is not there");
    for (id, code) in [("off", "connection_off"), ("on", "connection_off")] {
        let answer = app.browser().get(&format!("/signin/sso/{id}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.text.contains(code) && answer.text.contains("Reference"), "{}", answer.text);
        assert_eq!(app.log.last().decision.unwrap().code, code);
    }
}

#[tokio::test]
async fn a_tenant_that_wants_only_its_provider_has_no_passwords_here() {
    let app = TestApp::new().await;
    app.person("ada", Role::User).await;
    let mut acme = app.store.tenant(&tenant()).await.unwrap().unwrap();
    acme.settings = TenantSettings { federated_only: true, ..TenantSettings::default() };
    app.store.put_tenant(&acme).await.unwrap();
    let answer = app.browser().sign_in("ada", PASSWORD, "/account").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(app.log.last().decision.unwrap().code, "disabled");
}
