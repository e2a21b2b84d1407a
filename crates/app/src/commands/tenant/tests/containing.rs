//! `sallyport contain`.

use super::*;

use sallyport_model::AgentId;
use sallyport_storage::{
    Agent, AgentBounds, Agents as _, ApplicationType, ClientAuthMethod, ClientRecord, ClientSource, Clients as _,
    RevocationSubject, Revocations as _,
};
use serde_json::json;

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.person("beta", "ann", PersonOrigin::Local).await;
    bench.person("gamma", "gil", PersonOrigin::Local).await;
    let cli = ClientId::new("cli").unwrap();
    let client = ClientRecord {
        id: cli.clone(),
        source: ClientSource::Preregistered,
        name: "A client".into(),
        redirect_uris: Vec::new(),
        application_type: ApplicationType::Native,
        auth: ClientAuthMethod::None,
        grant_types: Vec::new(),
        uri: None,
        agent: None,
        created_at: NOW,
        stale_at: None,
    };
    bench.store.add_client(&client).await.unwrap();
    let agent = Agent {
        id: AgentId::new("bot").unwrap(),
        tenant: id("beta"),
        client: cli,
        name: "Bot".into(),
        owner: None,
        purpose: "tests".into(),
        scopes: ScopeSet::default(),
        resources: Vec::new(),
        created_at: NOW,
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    };
    bench.store.put_agent(&agent).await.unwrap();
    bench.signed_in("beta", "ann", "s1", None).await;
    bench.signed_in("beta", "ann", "s2", None).await;
    bench.signed_in("gamma", "gil", "s3", None).await;
    bench.grant("beta", Actor::Agent(AgentId::new("bot").unwrap()), "a1", "cli").await;
    bench
}

fn ended(grants: usize, sessions: usize) -> Value {
    json!({
        "grants": { "number": grants, "at_least": false }, "sessions": { "number": sessions, "at_least": false },
    })
}

#[tokio::test]
async fn each_ends_its_own_and_says_how_much() {
    for (typed, subject, tenant, figures) in [
        ("user ann", json!({ "kind": "user", "id": "ann" }), json!("beta"), ended(2, 2)),
        ("user ANN --tenant beta", json!({ "kind": "user", "id": "ann" }), json!("beta"), ended(2, 2)),
        ("agent bot --tenant beta", json!({ "kind": "agent", "id": "bot" }), json!("beta"), ended(1, 0)),
        ("client cli", json!({ "kind": "client", "id": "cli" }), Value::Null, ended(4, 0)),
        ("session s1", json!({ "kind": "session", "id": "s1" }), json!("beta"), ended(1, 1)),
        ("tenant beta", json!({ "kind": "tenant", "id": "beta" }), json!("beta"), ended(3, 2)),
    ] {
        let bench = bench().await;
        let answer = bench.json(&format!("contain {typed}")).await;
        assert_eq!(
            answer,
            json!({ "subject": subject, "tenant": tenant, "epoch": 1, "at": NOW.to_string(), "ended": figures }),
            "{typed}"
        );
        let log = bench.store.revocations_after(0, 10).await.unwrap();
        assert_eq!((log.len(), json!(log[0].subject), log[0].at), (1, subject.clone(), NOW), "{typed}");
        let event = bench.noticed().await;
        assert_eq!((&event.facts["action"], &event.facts["subject"]), (&json!("contain"), &subject), "{typed}");
        assert_eq!(event.facts["ended"], figures, "{typed}");
        assert_eq!(json!(event.tenant), tenant, "{typed}");
    }
}

#[tokio::test]
async fn another_tenants_and_what_is_not_there_is_refused() {
    let bench = bench().await;
    for (typed, why) in [
        ("user ann --tenant gamma", "gamma has no person `ann`"),
        ("user nobody", "there is no person `nobody`"),
        ("agent bot --tenant gamma", "gamma has no agent `bot`"),
        ("agent ann", "there is no agent `ann`"),
        ("session s3 --tenant beta", "beta has no session `s3`"),
        ("session s9", "there is no session `s9`"),
        ("client other", "there is no client `other`"),
        ("tenant delta", "there is no tenant `delta`"),
    ] {
        bench.refused(&format!("contain {typed}"), why).await;
    }
    assert!(bench.store.revocations_after(0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_ended_is_counted_once() {
    let bench = bench().await;
    bench.json("contain session s1").await;
    assert_eq!(bench.json("contain session s1").await["ended"], ended(0, 0));
    assert_eq!(bench.json("contain user ann").await["ended"], ended(1, 1));
    assert_eq!(bench.json("contain tenant beta").await["ended"], ended(1, 0), "the agent's");
    let log = bench.store.revocations_after(0, 10).await.unwrap();
    assert_eq!(log.last().unwrap().subject, RevocationSubject::Tenant(id("beta")));
    assert_eq!(bench.json("tenant sessions gamma").await.as_array().unwrap().len(), 1);
}
