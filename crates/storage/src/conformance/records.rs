//! Tenants, agents, clients, consents, browser sessions and pins: what goes in comes out.

use std::sync::Arc;

use sallyport_model::{AgentId, UpstreamName};

use super::samples::*;
use crate::{
    Agent, AgentBounds, ApplicationType, ClientAuthMethod, ClientRecord, ClientSource, Consent, Definition,
    DefinitionKind, PinChange, Store, StoreError, Tenant,
};

pub(super) async fn run(store: Arc<dyn Store>) {
    tenants(&*store).await;
    agents(&*store).await;
    clients(&*store).await;
    consents(&*store).await;
    sessions(&*store).await;
    pins(&*store).await;
}

async fn tenants(store: &dyn Store) {
    let acme = Tenant::new(tenant("acme"), HOSTILE, NOW);
    let zed = Tenant { id: tenant("zed"), name: "Zed".into(), ..acme.clone() };
    assert_eq!(store.tenant(&acme.id).await.unwrap(), None);
    store.put_tenant(&zed).await.unwrap();
    store.put_tenant(&acme).await.unwrap();
    assert_eq!(store.tenants().await.unwrap(), [acme.clone(), zed.clone()]);

    let later = Tenant { name: "Acme".into(), suspended: true, created_at: NOW.plus(HOUR), ..acme.clone() };
    store.put_tenant(&later).await.unwrap();
    let kept = Tenant { created_at: NOW, ..later };
    assert_eq!(store.tenant(&acme.id).await.unwrap(), Some(kept), "an update keeps the time of creation");
}

async fn agents(store: &dyn Store) {
    let robot = Agent {
        id: AgentId::new("robot").unwrap(),
        tenant: tenant("acme"),
        client: client("robot-client"),
        name: HOSTILE.into(),
        owner: Some(user("ann")),
        purpose: HOSTILE.into(),
        scopes: scopes("files.read"),
        resources: vec![HOSTILE.into(), "https://gate.example/mcp/files".into()],
        created_at: NOW,
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    };
    store.put_agent(&robot).await.unwrap();
    assert_eq!(store.agent(&robot.id).await.unwrap(), Some(robot.clone()));
    let frozen = Agent { suspended: true, owner: None, ..robot };
    store.put_agent(&frozen).await.unwrap();
    assert_eq!(store.agents(&tenant("acme")).await.unwrap(), [frozen]);
    assert!(store.agents(&tenant("zed")).await.unwrap().is_empty());
    assert_eq!(store.agent(&AgentId::new("nobody").unwrap()).await.unwrap(), None);
}

async fn clients(store: &dyn Store) {
    let public = ClientRecord {
        id: client("https://editor.example/client.json"),
        source: ClientSource::MetadataDocument,
        name: HOSTILE.into(),
        redirect_uris: vec!["http://127.0.0.1/callback".into(), HOSTILE.into()],
        application_type: ApplicationType::Native,
        auth: ClientAuthMethod::None,
        grant_types: vec!["authorization_code".into(), "refresh_token".into()],
        uri: Some("https://editor.example/".into()),
        agent: None,
        created_at: NOW,
        stale_at: Some(NOW.plus(HOUR)),
    };
    let with_secret = ClientRecord {
        id: client("secret"),
        source: ClientSource::Dynamic,
        application_type: ApplicationType::Web,
        auth: ClientAuthMethod::Secret { sha256: digest(1) },
        uri: None,
        stale_at: None,
        created_at: NOW.plus(HOUR),
        ..public.clone()
    };
    let with_key = ClientRecord {
        id: client("key"),
        source: ClientSource::Preregistered,
        auth: ClientAuthMethod::PrivateKeyJwt {
            jwks: serde_json::json!({ "keys": [{ "kty": "EC", "n": 1.5, "big": 18_446_744_073_709_551_615u64 }] }),
        },
        agent: Some(AgentId::new("robot").unwrap()),
        created_at: NOW.plus(2 * HOUR),
        ..public.clone()
    };
    for record in [&public, &with_secret, &with_key] {
        store.add_client(record).await.unwrap();
        assert_eq!(store.client(&record.id).await.unwrap().as_ref(), Some(record));
        assert!(matches!(store.add_client(record).await, Err(StoreError::Exists("client"))));
    }
    assert_eq!(store.clients(2).await.unwrap(), [with_key, with_secret.clone()], "newest first, no more than asked");
    assert_eq!(store.dynamic_clients().await.unwrap(), 1);
    let renamed = ClientRecord { name: "Editor".into(), auth: ClientAuthMethod::None, ..with_secret };
    store.put_client(&renamed).await.unwrap();
    assert_eq!(store.client(&renamed.id).await.unwrap(), Some(renamed));
    assert_eq!(store.client(&client("nobody")).await.unwrap(), None);
}

/// A client that registered itself goes after a day, unless somebody uses it or agreed to it.
pub(super) async fn clients_end(store: Arc<dyn Store>) {
    let record = |name: &str, source| ClientRecord {
        id: client(name),
        source,
        name: HOSTILE.into(),
        redirect_uris: vec!["http://127.0.0.1/callback".into()],
        application_type: ApplicationType::Native,
        auth: ClientAuthMethod::None,
        grant_types: vec!["authorization_code".into()],
        uri: None,
        agent: None,
        created_at: NOW,
        stale_at: None,
    };
    for (name, source) in [
        ("unused", ClientSource::Dynamic),
        ("editor", ClientSource::Dynamic),
        ("agreed", ClientSource::Dynamic),
        ("ours", ClientSource::Preregistered),
        ("https://c.example/x", ClientSource::MetadataDocument),
    ] {
        store.add_client(&record(name, source)).await.unwrap();
    }
    store.add_grant(&grant("g1")).await.unwrap();
    let consent = Consent {
        user: user("ann"),
        client: client("agreed"),
        resource: HOSTILE.into(),
        scopes: scopes("files.read"),
        redirect_uri: "http://127.0.0.1/callback".into(),
        given_at: NOW,
    };
    store.put_consent(&consent).await.unwrap();
    assert_eq!(store.purge(NOW.plus(DAY - HOUR)).await.unwrap(), 0, "not yet");
    assert_eq!(store.purge(NOW.plus(DAY)).await.unwrap(), 1);
    assert_eq!(store.client(&client("unused")).await.unwrap(), None);
    assert_eq!((store.dynamic_clients().await.unwrap(), store.clients(10).await.unwrap().len()), (2, 4));
    // Its grant ended a day ago.
    assert_eq!(store.purge(NOW.plus(2 * DAY)).await.unwrap(), 2, "the grant and then its client");
    assert_eq!(store.client(&client("editor")).await.unwrap(), None);
}

async fn consents(store: &dyn Store) {
    let given = Consent {
        user: user("ann"),
        client: client("editor"),
        resource: HOSTILE.into(),
        scopes: scopes("files.read"),
        redirect_uri: "http://127.0.0.1/callback".into(),
        given_at: NOW,
    };
    assert_eq!(store.consent(&given.user, &given.client, &given.resource).await.unwrap(), None);
    store.put_consent(&given).await.unwrap();
    let wider = Consent { scopes: scopes("files.read files.write"), given_at: NOW.plus(HOUR), ..given.clone() };
    store.put_consent(&wider).await.unwrap();
    assert_eq!(store.consent(&given.user, &given.client, &given.resource).await.unwrap(), Some(wider.clone()));
    assert_eq!(store.consent(&given.user, &given.client, "x").await.unwrap(), None, "one resource is not another");
    assert_eq!(store.consents(&user("ann")).await.unwrap(), [wider]);
    assert!(store.consents(&user("bob")).await.unwrap().is_empty());
    assert!(store.remove_consent(&given.user, &given.client, &given.resource).await.unwrap());
    assert!(!store.remove_consent(&given.user, &given.client, &given.resource).await.unwrap());
}

async fn sessions(store: &dyn Store) {
    let session = browser_session("s1", 1);
    store.add_browser_session(&session).await.unwrap();
    assert!(matches!(
        store.add_browser_session(&browser_session("s2", 1)).await,
        Err(StoreError::Exists("browser session"))
    ));
    assert_eq!(store.browser_session(&digest(1), NOW).await.unwrap(), None, "its person is not in the directory");
    store.add_person(&person("ann")).await.unwrap();
    assert_eq!(store.browser_session(&digest(1), NOW).await.unwrap(), Some(session.clone()));
    assert_eq!(store.browser_session(&digest(2), NOW).await.unwrap(), None);
    assert_eq!(store.browser_session(&digest(1), session.expires_at).await.unwrap(), None);
    store.set_disabled(&user("ann"), true).await.unwrap();
    assert_eq!(store.browser_session(&digest(1), NOW).await.unwrap(), None, "its person is disabled");
    store.set_disabled(&user("ann"), false).await.unwrap();
    assert!(store.end_browser_session(&session.id, NOW).await.unwrap());
    assert!(!store.end_browser_session(&session.id, NOW).await.unwrap());
    assert_eq!(store.browser_session(&digest(1), NOW).await.unwrap(), None);
    let old = browser_session("s3", 3);
    store.add_browser_session(&old).await.unwrap();
    assert!(!store.end_browser_session(&old.id, old.expires_at).await.unwrap(), "it had ended by itself");
}

async fn pins(store: &dyn Store) {
    let upstream = UpstreamName::new("files").unwrap();
    let define = |name: &str, content: u64, at| Definition {
        kind: DefinitionKind::Tool,
        name: name.into(),
        sha256: digest(content),
        raw: HOSTILE.into(),
        first_seen_at: at,
        pinned_at: at,
    };
    let (zip, list, hostile) = (define("zip", 1, NOW), define("list", 2, NOW), define(HOSTILE, 3, NOW));
    let first = [zip.clone(), list.clone(), hostile.clone()];
    let news = store.pin(&upstream, DefinitionKind::Tool, &first).await.unwrap();
    assert_eq!(news, first.map(PinChange::New), "in the order of the listing");
    let other = Definition { kind: DefinitionKind::Prompt, ..list.clone() };
    store.pin(&upstream, DefinitionKind::Prompt, std::slice::from_ref(&other)).await.unwrap();

    let later = NOW.plus(HOUR);
    let same = define("list", 2, later);
    let changed = define("zip", 9, later);
    let found = store.pin(&upstream, DefinitionKind::Tool, &[same, changed]).await.unwrap();
    let now = Definition { sha256: digest(9), pinned_at: later, ..zip };
    assert_eq!(found, [PinChange::Changed { was: digest(1), now: now.clone() }, PinChange::Gone(hostile)]);
    assert_eq!(store.pinned(&upstream).await.unwrap(), [list, now, other], "tools before prompts, by name");
    assert!(store.pinned(&UpstreamName::new("mail").unwrap()).await.unwrap().is_empty());

    let twice = [define("zip", 9, later), define("zip", 10, later)];
    let found = store.pin(&upstream, DefinitionKind::Tool, &twice).await.unwrap();
    assert!(matches!(&found[0], PinChange::Changed { was, .. } if *was == digest(9)), "a second content never hides");
}
