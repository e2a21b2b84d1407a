//! Agents, their credentials, and what is noted of their use.

use std::{sync::Arc, time::Duration};

use sallyport_model::{AgentId, CredentialId};
use serde_json::json;

use super::samples::*;
use crate::{
    Agent, AgentBounds, AgentCredential, AgentHours, ApplicationType, ClientAuthMethod, ClientRecord, ClientSource,
    Consent, CredentialKind, RevocationSubject, ScopeUse, Store, StoreError, Tenant,
};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn agent_id(name: &str) -> AgentId {
    AgentId::new(name).unwrap()
}

fn credential_id(name: &str) -> CredentialId {
    CredentialId::new(name).unwrap()
}

/// An agent of `acme` with a client of its own.
pub(super) fn agent(name: &str) -> Agent {
    Agent {
        id: agent_id(name),
        tenant: tenant("acme"),
        client: client(&format!("{name}-client")),
        name: HOSTILE.into(),
        owner: Some(user("ann")),
        purpose: HOSTILE.into(),
        scopes: scopes("files.read"),
        resources: vec!["https://gate.example/mcp/files".into()],
        created_at: NOW,
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    }
}

/// The client that an agent is.
pub(super) fn client_of(agent: &Agent) -> ClientRecord {
    ClientRecord {
        id: agent.client.clone(),
        source: ClientSource::Preregistered,
        name: HOSTILE.into(),
        redirect_uris: Vec::new(),
        application_type: ApplicationType::Web,
        auth: ClientAuthMethod::AgentCredential,
        grant_types: vec!["client_credentials".into()],
        uri: None,
        agent: Some(agent.id.clone()),
        created_at: NOW,
        stale_at: None,
    }
}

fn credential(id: &str, agent: &str) -> AgentCredential {
    AgentCredential {
        id: credential_id(id),
        agent: agent_id(agent),
        tenant: tenant("acme"),
        kind: CredentialKind::Secret { sha256: digest(1) },
        issuer: None,
        created_at: NOW,
        expires_at: NOW.plus(DAY),
        revoked_at: None,
        last_used_at: None,
    }
}

fn bounds() -> AgentBounds {
    AgentBounds {
        networks: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
        hours: Some(AgentHours { zone: "Europe/Berlin".into(), days: vec![1, 5], from: 480, to: 1_080 }),
        ends_at: Some(NOW.plus(DAY)),
        token_seconds: Some(60),
        sender_bound: true,
        redirect_uris: vec![HOSTILE.into()],
        delegates: vec![agent_id("sub")],
        successor: Some(user("bob")),
        personal: true,
    }
}

pub(super) async fn put(store: Arc<dyn Store>) {
    let robot = agent("robot");
    store.put_agent(&robot).await.unwrap();
    assert_eq!(store.agent(&robot.id).await.unwrap(), Some(robot.clone()));
    store.note_agent_use(&robot.id, None, NOW).await.unwrap();
    let bounded =
        Agent { client: client("another"), owner: None, bounds: bounds(), last_used_at: Some(NOW.plus(DAY)), ..robot };
    store.put_agent(&bounded).await.unwrap();
    let kept = Agent { last_used_at: Some(NOW), ..bounded.clone() };
    assert_eq!(store.agent(&bounded.id).await.unwrap(), Some(kept.clone()), "all but the last use is replaced");

    let taken = async |agent: &Agent| matches!(store.put_agent(agent).await, Err(StoreError::Exists(_)));
    assert!(taken(&Agent { tenant: tenant("zed"), ..bounded.clone() }).await, "another tenant's id");
    assert!(taken(&Agent { client: client("another"), ..agent("thief") }).await, "another agent's client");
    let theirs = Agent { client: client("another"), tenant: tenant("zed"), ..agent("thief") };
    assert!(taken(&theirs).await, "another tenant's client");
    store.put_client(&client_of(&agent("reserved"))).await.unwrap();
    assert!(taken(&Agent { client: client("reserved-client"), ..agent("thief") }).await, "a client that is another's");
    let other = agent("other");
    store.put_agent(&other).await.unwrap();
    assert!(taken(&Agent { client: client("another"), ..other.clone() }).await, "nor by a change");
    assert_eq!(store.agents(&tenant("acme")).await.unwrap(), [other, kept], "by id, and nothing came of the rest");
    assert!(store.agents(&tenant("zed")).await.unwrap().is_empty());
    store.put_agent(&agent("reserved")).await.unwrap();

    let abroad = Agent { tenant: tenant("zed"), ..agent("abroad") };
    store.put_agent(&abroad).await.unwrap();
    let hers = store.agents_of(&user("ann")).await.unwrap();
    assert_eq!(hers, [abroad, agent("other"), agent("reserved")], "in whichever tenant, by id");
    assert!(store.agents_of(&user("bob")).await.unwrap().is_empty(), "a successor does not answer for it yet");
}

pub(super) async fn credentials(store: Arc<dyn Store>) {
    let robot = agent_id("robot");
    store.put_agent(&agent("robot")).await.unwrap();
    store.put_agent(&agent("other")).await.unwrap();
    let kinds = [
        CredentialKind::Keys { jwks: json!({"keys": [{"kty": "OKP", "x": HOSTILE}]}) },
        CredentialKind::Certificate { x5t_s256: HOSTILE.into() },
        CredentialKind::CertificateName { of: "dns".into(), name: "robot.example".into() },
        CredentialKind::Workload { trust: json!({"issuer": HOSTILE, "rules": []}) },
        CredentialKind::Secret { sha256: digest(7) },
    ];
    let mut all = Vec::new();
    for (n, kind) in (1u32..).zip(kinds) {
        let new = AgentCredential { kind, created_at: NOW.plus(MINUTE * n), ..credential(&format!("c-{n}"), "robot") };
        store.add_credential(&new).await.unwrap();
        all.insert(0, new);
    }
    assert_eq!(store.credentials(&robot).await.unwrap(), all, "newest first, each as it was");
    assert!(store.credentials(&agent_id("other")).await.unwrap().is_empty());
    let taken = store.add_credential(&credential("c-1", "other")).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    for nowhere in
        [credential("c-9", "nobody"), AgentCredential { tenant: tenant("zed"), ..credential("c-9", "robot") }]
    {
        let refused = store.add_credential(&nowhere).await;
        assert!(matches!(refused, Err(StoreError::Missing("agent"))), "{refused:?}");
    }

    let at = NOW.plus(HOUR);
    let (first, second) = (credential_id("c-1"), credential_id("c-2"));
    assert!(!store.revoke_credential(&agent_id("other"), &first, at).await.unwrap(), "another agent's");
    assert!(store.revoke_credential(&robot, &first, at).await.unwrap());
    assert!(!store.revoke_credential(&robot, &first, at.plus(HOUR)).await.unwrap(), "it lived no more");
    assert!(!store.expire_credential(&robot, &first, at).await.unwrap());
    assert!(!store.expire_credential(&agent_id("other"), &second, at).await.unwrap(), "another agent's");
    assert!(store.expire_credential(&robot, &second, at.plus(DAY)).await.unwrap(), "it is there");
    let now = store.credentials(&robot).await.unwrap();
    assert_eq!((now[4].revoked_at, now[4].expires_at), (Some(at), NOW.plus(DAY)));
    assert_eq!(now[3], all[3], "an end is never put off");
    assert!(store.expire_credential(&robot, &second, at).await.unwrap());
    assert_eq!(store.credentials(&robot).await.unwrap()[3].expires_at, at);
    assert!(!store.revoke_credential(&robot, &second, at).await.unwrap(), "it ended then");
    let lives: Vec<bool> = store.credentials(&robot).await.unwrap().iter().map(|one| one.lives(at)).collect();
    assert_eq!(lives, [true, true, true, false, false]);

    // Those that replaced a client's own are read back as they are.
    store.put_client(&client_of(&agent("robot"))).await.unwrap();
    assert_eq!(store.client(&client("robot-client")).await.unwrap(), Some(client_of(&agent("robot"))));
    store.put_agent(&Agent { suspended: true, ..agent("robot") }).await.unwrap();
    assert_eq!(store.credentials(&robot).await.unwrap().len(), 5, "a change of the agent leaves them");
}

pub(super) async fn workloads(store: Arc<dyn Store>) {
    for name in ["robot", "other"] {
        store.put_agent(&agent(name)).await.unwrap();
    }
    store.put_agent(&Agent { tenant: tenant("zed"), ..agent("abroad") }).await.unwrap();
    let issuer = format!("https://platform.example/{}", HOSTILE.repeat(100));
    let workload = |id: &str, agent: &str| AgentCredential {
        kind: CredentialKind::Workload { trust: json!({}) },
        issuer: Some(issuer.clone()),
        ..credential(id, agent)
    };
    let living = [
        workload("c-1", "robot"),
        workload("c-2", "other"),
        AgentCredential { tenant: tenant("zed"), ..workload("c-3", "abroad") },
    ];
    let rest = [
        AgentCredential { issuer: Some("https://elsewhere.example".into()), ..workload("c-4", "robot") },
        AgentCredential { expires_at: NOW, ..workload("c-5", "robot") },
        AgentCredential { revoked_at: Some(NOW), ..workload("c-6", "robot") },
        AgentCredential { kind: credential("x", "x").kind, ..workload("c-7", "robot") },
        credential("c-8", "robot"),
    ];
    for one in living.iter().chain(&rest) {
        store.add_credential(one).await.unwrap();
    }
    assert_eq!(store.workload_credentials(&issuer, NOW).await.unwrap(), living, "of all tenants");
    assert!(store.workload_credentials("", NOW).await.unwrap().is_empty());
    store.revoke_credential(&agent_id("robot"), &credential_id("c-1"), NOW).await.unwrap();
    assert_eq!(store.workload_credentials(&issuer, NOW).await.unwrap(), living[1..]);
    assert!(store.workload_credentials(&issuer, NOW.plus(DAY)).await.unwrap().is_empty(), "they have ended");
}

pub(super) async fn uses(store: Arc<dyn Store>) {
    let robot = agent_id("robot");
    store.put_agent(&agent("robot")).await.unwrap();
    store.put_agent(&agent("other")).await.unwrap();
    store.add_credential(&credential("c-1", "robot")).await.unwrap();
    store.add_credential(&credential("c-2", "robot")).await.unwrap();
    let seen = async || {
        let agent = store.agent(&robot).await.unwrap().unwrap().last_used_at;
        let by_age = store.credentials(&robot).await.unwrap();
        (agent, by_age[1].last_used_at, by_age[0].last_used_at)
    };
    let (c1, c2) = (credential_id("c-1"), credential_id("c-2"));
    let note = async |credential, at| store.note_agent_use(&robot, credential, at).await.unwrap();
    note(None, NOW).await;
    assert_eq!(seen().await, (Some(NOW), None, None));
    let soon = NOW.plus(MINUTE / 2);
    note(Some(&c1), soon).await;
    assert_eq!(seen().await, (Some(NOW), Some(soon), None), "each at most once a minute");
    let later = NOW.plus(MINUTE);
    note(Some(&c1), later).await;
    assert_eq!(seen().await, (Some(later), Some(soon), None));
    note(Some(&c2), NOW).await;
    assert_eq!(seen().await, (Some(later), Some(soon), Some(NOW)), "it never goes back");
    store.note_agent_use(&agent_id("other"), Some(&c2), later).await.unwrap();
    assert_eq!(seen().await.2, Some(NOW), "another agent's credential");
    store.note_agent_use(&agent_id("nobody"), Some(&credential_id("nothing")), NOW).await.unwrap();

    let used = |scope: &str, after| ScopeUse { scope: scope.into(), last_used_at: NOW.plus(after) };
    store.note_scope_uses(&robot, &[]).await.unwrap();
    store.note_scope_uses(&robot, &[used("b", HOUR), used(HOSTILE, HOUR), used("b", MINUTE)]).await.unwrap();
    store.note_scope_uses(&robot, &[used("a", HOUR), used(HOSTILE, DAY), used("b", MINUTE)]).await.unwrap();
    let expected = [used("a", HOUR), used("b", HOUR), used(HOSTILE, DAY)];
    assert_eq!(store.scope_uses(&robot).await.unwrap(), expected, "the later time stays");
    assert!(store.scope_uses(&agent_id("other")).await.unwrap().is_empty());
    store.note_scope_uses(&agent_id("nobody"), &[used("a", HOUR)]).await.unwrap();
    assert!(store.scope_uses(&agent_id("nobody")).await.unwrap().is_empty());
}

/// With everything that hangs on an agent.
async fn plant(store: &dyn Store, agent: &Agent) {
    store.put_agent(agent).await.unwrap();
    store.put_client(&client_of(agent)).await.unwrap();
    let name = agent.id.as_str();
    let proof = AgentCredential { tenant: agent.tenant.clone(), ..credential(&format!("{name}-c"), name) };
    store.add_credential(&proof).await.unwrap();
    let used = ScopeUse { scope: "files.read".into(), last_used_at: NOW };
    store.note_scope_uses(&agent.id, &[used]).await.unwrap();
    let consent = Consent {
        user: user("ann"),
        client: agent.client.clone(),
        resource: "https://gate.example/mcp/files".into(),
        scopes: scopes("files.read"),
        redirect_uri: "https://robot.example/".into(),
        given_at: NOW,
    };
    store.put_consent(&consent).await.unwrap();
}

/// How much of it is there.
async fn standing(store: &dyn Store, agent: &Agent) -> [usize; 5] {
    let consents = store.consents(&user("ann")).await.unwrap();
    [
        usize::from(store.agent(&agent.id).await.unwrap().is_some()),
        usize::from(store.client(&agent.client).await.unwrap().is_some()),
        store.credentials(&agent.id).await.unwrap().len(),
        store.scope_uses(&agent.id).await.unwrap().len(),
        consents.iter().filter(|consent| consent.client == agent.client).count(),
    ]
}

pub(super) async fn removed(store: Arc<dyn Store>) {
    let (robot, other) = (agent("robot"), agent("other"));
    plant(&*store, &robot).await;
    plant(&*store, &other).await;
    assert!(!store.remove_agent(&tenant("zed"), &robot.id, NOW).await.unwrap(), "another tenant's");
    assert!(!store.remove_agent(&tenant("acme"), &agent_id("nobody"), NOW).await.unwrap());
    assert_eq!((standing(&*store, &robot).await, standing(&*store, &other).await), ([1; 5], [1; 5]));
    assert!(store.revocations_after(0, 10).await.unwrap().is_empty());
    assert!(store.remove_agent(&tenant("acme"), &robot.id, NOW).await.unwrap());
    assert_eq!((standing(&*store, &robot).await, standing(&*store, &other).await), ([0; 5], [1; 5]));
    let log = store.revocations_after(0, 10).await.unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].subject, RevocationSubject::Agent(robot.id.clone()));
    assert!(!store.remove_agent(&tenant("acme"), &robot.id, NOW).await.unwrap(), "it is gone");

    // A tenant takes its agents along, with all that is theirs.
    store.put_tenant(&Tenant::new(tenant("acme"), "Acme", NOW)).await.unwrap();
    let abroad = Agent { tenant: tenant("zed"), ..agent("abroad") };
    plant(&*store, &abroad).await;
    assert!(store.remove_tenant(&tenant("acme"), NOW).await.unwrap());
    assert_eq!((standing(&*store, &other).await, standing(&*store, &abroad).await), ([0; 5], [1; 5]));
}
