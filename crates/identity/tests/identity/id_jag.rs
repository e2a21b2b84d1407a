//! ID-JAGs of a tenant's provider: whose they are, by the connection's rules, and what ends what they bring.

use std::time::Duration;

use sallyport_identity::id_jag::{IdJagConnection, METHOD};
use sallyport_model::{ClientId, SessionId, UserId, event::Source};
use sallyport_oauth::id_jag::{self, ExpectIdJag, IdJag};
use sallyport_storage::{BrowserSession, Domain, DomainProof, Person, PersonOrigin, RevocationSubject, Role};
use serde_json::{Value, json};

use crate::{
    oidc_provider::{Stage, connect, settings, with},
    support::tenant,
};

const CLIENT: &str = "reporting";
const OURS: &str = "https://gate.example";

fn source() -> Source {
    Source { address: "192.0.2.1".into(), user_agent: None }
}

/// As the provider issues one to `reporting`, verified.
async fn issued(stage: &Stage, jti: &str, changes: &Value) -> (IdJagConnection, IdJag) {
    let now = stage.provider.now();
    let claims = json!({
        "iss": stage.provider.origin, "sub": "alice", "aud": OURS, "client_id": CLIENT, "jti": jti, "iat": now,
        "exp": now + 300, "resource": "https://gate.example/mcp/files", "scope": "files:read",
        "email": "alice@acme.example", "email_verified": true, "name": "Ms alice", "groups": ["staff"],
        "preferred_username": "alice", "amr": ["pwd"], "auth_time": now,
    });
    let token = stage.provider.sign(Some(id_jag::TYPE), &with(claims, changes));
    let found = stage.app.identity.id_jag_connections(&stage.provider.origin).await.unwrap();
    let connection = found.into_iter().next().expect("a connection");
    let keys = stage.app.identity.id_jag_keys(&connection, None).await.unwrap();
    let client = ClientId::new(CLIENT).unwrap();
    let expect = ExpectIdJag {
        issuer: &connection.issuer,
        audience: OURS,
        client: &client,
        algorithms: connection.algorithms(),
        longest: id_jag::MAX_LIFETIME,
        moment: connection.moment(&stage.app.identity),
    };
    let verified = id_jag::verify(&token, &keys, &expect).unwrap();
    (connection, verified)
}

async fn session(stage: &Stage, jti: &str, changes: &Value) -> Result<BrowserSession, &'static str> {
    let (connection, id_jag) = issued(stage, jti, changes).await;
    let session = stage.app.identity.person_by_id_jag(&source(), &connection, &id_jag).await.unwrap();
    session.map_err(|refused| refused.code)
}

async fn stage() -> Stage {
    Stage::set(|settings| settings.id_jag = true).await
}

async fn lives(stage: &Stage, id: &SessionId) -> bool {
    let all = stage.app.store.browser_sessions(&tenant(), None, stage.app.now()).await.unwrap();
    all.iter().any(|session| session.id == *id)
}

/// Somebody of the tenant who has signed in nowhere yet.
async fn external(stage: &Stage, email: &str) -> UserId {
    let id = UserId::new("known-before").unwrap();
    let person = Person {
        id: id.clone(),
        tenant: tenant(),
        origin: PersonOrigin::External,
        login: id.to_string(),
        email: Some(email.to_owned()),
        display_name: "Alice".into(),
        role: Role::User,
        groups: Vec::new(),
        password_hash: None,
        disabled: false,
        created_at: stage.app.now(),
    };
    stage.app.store.add_person(&person).await.unwrap();
    id
}

#[tokio::test]
async fn only_a_connection_that_says_so_takes_them_and_only_of_its_own_issuer() {
    let stage = Stage::new().await;
    let found = |issuer: String| {
        let identity = stage.app.identity.clone();
        async move { identity.id_jag_connections(&issuer).await.unwrap().len() }
    };
    assert_eq!(found(stage.provider.origin.clone()).await, 0, "off by default");
    let mut on = settings(&stage.provider);
    on.id_jag = true;
    connect(&stage.app, "globex", on).await;
    assert_eq!(found(stage.provider.origin.clone()).await, 1);
    for other in [format!("{}/", stage.provider.origin), "https://evil.example".into(), String::new()] {
        assert_eq!(found(other).await, 0);
    }
    let mut globex = stage.app.store.tenant(&"globex".parse().unwrap()).await.unwrap().unwrap();
    globex.suspended = true;
    stage.app.store.put_tenant(&globex).await.unwrap();
    assert_eq!(found(stage.provider.origin.clone()).await, 0, "a suspended tenant's");
}

#[tokio::test]
async fn a_person_is_made_once_and_her_session_stands_on_the_providers() {
    let stage = stage().await;
    let first = session(&stage, "j1", &json!({})).await.unwrap();
    assert!(first.methods.contains(&METHOD.to_owned()));
    let event = stage.app.log.last();
    assert_eq!(event.who.unwrap().session, Some(first.id.clone()));
    let again = session(&stage, "j2", &json!({})).await.unwrap();
    assert_eq!(first.id, again.id, "one that comes every few minutes fills nothing");
    let person = stage.app.store.person(&first.user).await.unwrap().unwrap();
    assert_eq!((person.tenant, person.email.as_deref()), (tenant(), Some("alice@acme.example")));
    // Signing in with a browser is the same person.
    let browser = stage.signed_in("alice").await;
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.person.id, first.user);
    assert_ne!(me.session.id, first.id);
}

#[tokio::test]
async fn the_connections_demands_and_groups_count_without_a_browser_too() {
    let stage = Stage::set(|settings| {
        settings.id_jag = true;
        settings.mapping.admitted = vec!["staff".into()];
        settings.demands.mfa = true;
    })
    .await;
    assert!(session(&stage, "j1", &json!({})).await.is_err_and(|code| code.contains("mfa")));
    let strong = json!({"amr": ["pwd", "mfa"]});
    assert!(session(&stage, "j2", &strong).await.is_ok());
    assert_eq!(
        session(&stage, "j3", &with(strong, &json!({"sub": "eve", "groups": ["guests"]}))).await,
        Err("group_missing")
    );
    assert_eq!(stage.app.store.people(&tenant()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_address_links_only_where_it_is_verified_and_of_a_proved_domain() {
    let stage = Stage::set(|settings| {
        settings.id_jag = true;
        settings.mapping.scim = None;
        settings.mapping.link_by_email = true;
        settings.mapping.create = false;
    })
    .await;
    let known = external(&stage, "alice@acme.example").await;
    assert_eq!(session(&stage, "j1", &json!({})).await, Err("not_provisioned"), "nobody proved the domain");
    let domain = Domain {
        tenant: tenant(),
        name: "acme.example".into(),
        challenge: "c".into(),
        connection: None,
        claimed_at: stage.app.now(),
        proved: Some((DomainProof::Operator, stage.app.now())),
    };
    stage.app.store.put_domain(&domain).await.unwrap();
    assert_eq!(session(&stage, "j2", &json!({"email_verified": false})).await, Err("not_provisioned"));
    assert_eq!(session(&stage, "j3", &json!({})).await.unwrap().user, known);
}

#[tokio::test]
async fn log_out_and_revocation_end_it_and_older_words_do_not_bring_it_back() {
    let stage = stage().await;
    let first = session(&stage, "j1", &json!({})).await.unwrap();
    let (connection, old) = issued(&stage, "j2", &json!({})).await;
    stage.app.later(Duration::from_secs(1));
    let token = stage.provider.logout_token("out", &json!({"sub": "alice"}));
    let answer = stage.app.browser().post("/signin/oidc/acme-idp/logout", &[("logout_token", &token)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!lives(&stage, &first.id).await, "the provider's log-out ends it");

    let user = RevocationSubject::User(first.user.clone());
    stage.app.store.revoke(&user, stage.app.now()).await.unwrap();
    let refused = stage.app.identity.person_by_id_jag(&source(), &connection, &old).await.unwrap();
    assert_eq!(refused.unwrap_err().code, "revoked_meanwhile");
    stage.app.later(Duration::from_secs(1));
    assert!(session(&stage, "j3", &json!({})).await.is_ok(), "what the provider says afterwards counts");
    stage.app.store.set_disabled(&first.user, true).await.unwrap();
    assert_eq!(session(&stage, "j4", &json!({})).await, Err("disabled"));
}

#[tokio::test]
async fn keys_that_are_new_are_found_and_a_provider_that_is_down_is_said_so() {
    let stage = stage().await;
    session(&stage, "j1", &json!({})).await.unwrap();
    let found = stage.app.identity.id_jag_connections(&stage.provider.origin).await.unwrap().remove(0);
    let before = stage.app.identity.id_jag_keys(&found, None).await.unwrap();
    assert!(before.knows("k1"));
    stage.provider.is().keys = vec![crate::oidc_provider::Key::new("k2")];
    let doubt = sallyport_oauth::oidc::JwtFault::UnknownKey { kid: "k2".into() };
    let after = stage.app.identity.id_jag_keys(&found, Some(&doubt)).await.unwrap();
    assert!(after.knows("k2"));
}
