//! ID-JAGs of a tenant's provider: whose they are, by the connection's rules, and what ends what they bring.

use std::time::Duration;

use sallyport_identity::id_jag::{IdJagConnection, METHOD};
use sallyport_model::{ClientId, SessionId, TenantId, UserId, event::Source};
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
    let stage = Stage::set(|settings| settings.id_jag = true).await;
    proves(&stage, "acme", "acme.example").await;
    stage
}

async fn proves(stage: &Stage, tenant: &str, name: &str) {
    let domain = Domain {
        tenant: TenantId::new(tenant).unwrap(),
        name: name.into(),
        challenge: "c".into(),
        connection: None,
        claimed_at: stage.app.now(),
        proved: Some((DomainProof::Operator, stage.app.now())),
    };
    stage.app.store.put_domain(&domain).await.unwrap();
}

/// The connections to the provider: whose, and why they refuse.
async fn found(stage: &Stage) -> Vec<(String, Option<&'static str>)> {
    let all = stage.app.identity.id_jag_connections(&stage.provider.origin).await.unwrap();
    all.into_iter().map(|one| (one.connection.tenant.to_string(), one.refuses)).collect()
}

async fn suspend(stage: &Stage, tenant: &str, suspended: bool) {
    let mut tenant = stage.app.store.tenant(&tenant.parse().unwrap()).await.unwrap().unwrap();
    tenant.suspended = suspended;
    stage.app.store.put_tenant(&tenant).await.unwrap();
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
    let of = |tenant: &str, refuses| (tenant.to_owned(), refuses);
    assert_eq!(found(&stage).await, [of("acme", Some("id_jag_tenant_off"))], "off by default");
    let mut on = settings(&stage.provider);
    on.id_jag = true;
    connect(&stage.app, "globex", on).await;
    assert_eq!(found(&stage).await, [of("acme", Some("id_jag_tenant_off")), of("globex", None)]);
    for other in [format!("{}/", stage.provider.origin), "https://evil.example".into(), String::new()] {
        assert!(stage.app.identity.id_jag_connections(&other).await.unwrap().is_empty());
    }
    suspend(&stage, "globex", true).await;
    assert_eq!(found(&stage).await[1], of("globex", Some("id_jag_tenant_suspended")));
    suspend(&stage, "globex", false).await;
    let mut connection = stage.app.store.connections(&TenantId::new("globex").unwrap()).await.unwrap().remove(0);
    let was = connection.clone();
    connection.enabled = false;
    assert!(stage.app.store.exchange_connection(&was, &connection).await.unwrap());
    assert_eq!(found(&stage).await[1], of("globex", Some("id_jag_tenant_disabled")));
}

#[tokio::test]
async fn a_connection_to_anothers_provider_makes_and_links_nobody_of_a_domain_that_is_not_its_tenants() {
    let stage = stage().await;
    let mut greedy = settings(&stage.provider);
    (greedy.id_jag, greedy.mapping.create, greedy.mapping.scim) = (true, true, None);
    connect(&stage.app, "globex", greedy).await;
    let globex = TenantId::new("globex").unwrap();
    let ask = async |jti: &str, changes: Value| {
        let (_, id_jag) = issued(&stage, jti, &changes).await;
        let all = stage.app.identity.id_jag_connections(&stage.provider.origin).await.unwrap();
        let of = all.into_iter().find(|one| one.connection.tenant == globex).unwrap();
        let session = stage.app.identity.person_by_id_jag(&source(), &of, &id_jag).await.unwrap();
        session.map(|session| session.tenant.to_string()).map_err(|refused| refused.code)
    };
    assert_eq!(ask("j1", json!({})).await, Err("id_jag_tenant_domain"));
    assert_eq!(ask("j2", json!({"email_verified": false})).await, Err("id_jag_tenant_domain"));
    suspend(&stage, "acme", true).await;
    assert_eq!(ask("j3", json!({})).await, Err("id_jag_tenant_domain"), "its owner is suspended");
    for nobodys in [json!({"email": null}), json!({"email": "alice@nobody.example"})] {
        assert_eq!(ask("j4", nobodys).await, Err("id_jag_tenant_domain_unproved"));
    }
    assert!(stage.app.store.people(&globex).await.unwrap().is_empty(), "nobody was made");
    proves(&stage, "globex", "globex.example").await;
    let own = json!({"sub": "gina", "email": "gina@Globex.example"});
    let unverified = with(own.clone(), &json!({"email_verified": false}));
    assert_eq!(ask("j5", unverified).await, Err("id_jag_tenant_domain_unproved"));
    assert_eq!(ask("j6", own.clone()).await, Ok("globex".into()));
    let moved = with(own, &json!({"email": "gina@nobody.example"}));
    assert_eq!(ask("j7", moved).await, Ok("globex".into()), "known by this very connection");
    let mut off = stage.app.store.connections(&globex).await.unwrap().remove(0);
    let was = off.clone();
    off.enabled = false;
    assert!(stage.app.store.exchange_connection(&was, &off).await.unwrap());
    assert_eq!(ask("j8", json!({"sub": "gina"})).await, Err("id_jag_tenant_disabled"));
    let (_, id_jag) = issued(&stage, "j9", &json!({"sub": "gina", "email": null})).await;
    for of in stage.app.identity.id_jag_connections(&stage.provider.origin).await.unwrap() {
        let standing = stage.app.identity.id_jag_standing(&of, &id_jag).await.unwrap();
        assert_eq!(standing.linked, of.connection.tenant == globex, "links count where nothing is taken too");
    }
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
    proves(&stage, "acme", "acme.example").await;
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
async fn what_an_id_jag_does_not_say_stays_as_it_is_known() {
    let stage = Stage::set(|settings| {
        settings.id_jag = true;
        settings.mapping.admitted = vec!["staff".into()];
        settings.mapping.administrators = vec!["staff".into()];
    })
    .await;
    proves(&stage, "acme", "acme.example").await;
    let user = session(&stage, "j1", &json!({})).await.unwrap().user;
    let before = stage.app.store.person(&user).await.unwrap().unwrap();
    assert_eq!((before.role, before.groups.len()), (Role::Administrator, 1));
    let silent =
        json!({"email": null, "email_verified": null, "name": null, "groups": null, "preferred_username": null});
    assert!(session(&stage, "j2", &silent).await.is_ok());
    assert_eq!(stage.app.store.person(&user).await.unwrap().unwrap(), before);
    assert_eq!(
        session(&stage, "j3", &json!({"groups": []})).await.map(drop),
        Err("group_missing"),
        "none is not silence"
    );
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
    let unproved = Err("id_jag_tenant_domain_unproved");
    assert_eq!(session(&stage, "j1", &json!({})).await.map(drop), unproved, "nobody proved the domain");
    proves(&stage, "acme", "acme.example").await;
    assert_eq!(session(&stage, "j2", &json!({"email_verified": false})).await.map(drop), unproved);
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
