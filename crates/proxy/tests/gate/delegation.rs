//! Agents that act for somebody: whose state it is, what ends it, what stands on record, what the inventory learns.

use std::time::Duration;

use http::StatusCode;
use sallyport_mcp::Era;
use sallyport_model::{
    Actor, AgentId, ClientId, EventKind, GrantId, Mark, TenantId, Timestamp, UserId, principal::PrincipalKind,
};
use sallyport_oauth::AccessClaims;
use sallyport_storage::{Agent, AgentBounds, Agents, RevocationSubject, SqliteStore, Tenant, Tenants as _};
use serde_json::json;

use crate::rig::{NOW, Rig, claims, client::Client, http_offer, until, upstream::Upstream};

fn agents(names: &[&str]) -> Vec<AgentId> {
    names.iter().map(|name| AgentId::new(*name).unwrap()).collect()
}

/// Claims of a chain that acts for Ann; the one that presents the token first.
fn for_ann(upstream: &str, chain: &[&str]) -> AccessClaims {
    let mut claims = claims("ann", upstream);
    claims.act = agents(chain);
    claims.ancestors = (1..chain.len()).map(|n| GrantId::new(format!("g-older-{n}")).unwrap()).collect();
    claims
}

async fn world(server: Era) -> Rig {
    let (_, url) = Upstream::start(server).await;
    Rig::new(vec![http_offer("up", &url)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegated_session_is_of_one_chain_alone() {
    for server in [Era::Legacy, Era::Modern] {
        let rig = world(server).await;
        let mine =
            Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&for_ann("up", &["a-robot"])), json!({})).await;
        for chain in [&[][..], &["a-other"], &["a-sub", "a-robot"], &["a-robot", "a-sub"]] {
            let mut thief = Client::unconnected(&rig, "up", "2025-11-25", rig.sign(&for_ann("up", chain)));
            thief.session = mine.session.clone();
            assert_eq!(thief.call("echo", json!({})).await.status, StatusCode::NOT_FOUND, "{chain:?}");
            for verb in ["GET", "DELETE"] {
                assert_eq!(thief.verb(verb, &[]).await.status, StatusCode::NOT_FOUND, "{verb} {chain:?}");
            }
        }
        assert!(mine.call("echo", json!({})).await.response.get("result").is_some(), "it is still the agent's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_one_agent_is_answered_by_no_other_of_the_same_person() {
    for server in [Era::Legacy, Era::Modern] {
        let rig = world(server).await;
        let able = crate::rig::able;
        let token = |chain: &[&str]| rig.sign(&for_ann("up", chain));
        let mine = Client::connect_as(&rig, "up", "2026-07-28", token(&["a-robot"]), able()).await;
        let params = json!({"name": "ask_form", "arguments": {"a": 1}});
        let asked = mine.request_once("tools/call", params.clone()).await;
        let key = asked.result()["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let mut retry = params.clone();
        retry["requestState"] = asked.result()["requestState"].clone();
        retry["inputResponses"] = json!({key.as_str(): {"action": "accept"}});
        for chain in [&[][..], &["a-other"], &["a-sub", "a-robot"]] {
            let thief = Client::connect_as(&rig, "up", "2026-07-28", token(chain), able()).await;
            let refused = thief.request("tools/call", retry.clone()).await;
            assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, -32602), "{chain:?}");
        }
        assert_eq!(mine.request("tools/call", retry).await.text(), r#"{"action":"accept"}"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_ends_with_any_of_its_links() {
    let ends: [fn() -> RevocationSubject; 5] = [
        || RevocationSubject::Agent(AgentId::new("a-sub").unwrap()),
        || RevocationSubject::Agent(AgentId::new("a-robot").unwrap()),
        || RevocationSubject::User(UserId::new("u-ann").unwrap()),
        || RevocationSubject::Grant(GrantId::new("g-ann").unwrap()),
        || RevocationSubject::Grant(GrantId::new("g-older-1").unwrap()),
    ];
    for end in ends {
        let rig = world(Era::Legacy).await;
        let token = rig.sign(&for_ann("up", &["a-sub", "a-robot"]));
        let chain = Client::connect_as(&rig, "up", "2025-11-25", token, json!({})).await;
        let unrelated = rig.sign(&for_ann("up", &["a-other"]));
        chain.call("echo", json!({})).await.result();
        let mut stream = chain.verb("GET", &[]).await;
        rig.revoke(end()).await;
        assert_eq!(chain.call("echo", json!({})).await.status, StatusCode::UNAUTHORIZED, "{:?}", end());
        assert!(stream.next().await.is_none(), "its streams end with it: {:?}", end());
        if matches!(end(), RevocationSubject::Agent(_)) {
            Client::connect_as(&rig, "up", "2025-11-25", unrelated, json!({})).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_who_acts_for_whom_and_how_the_token_was_bound() {
    let rig = world(Era::Legacy).await;
    let mut robot = claims("robot", "up");
    robot.sub = "a-robot".to_owned();
    robot.principal_type = PrincipalKind::Agent;
    let ann = Actor::Human(UserId::new("u-ann").unwrap());
    let agent = |name: &str| Actor::Agent(AgentId::new(name).unwrap());
    for (token, subject, behalf, mark) in [
        (claims("ann", "up"), ann.clone(), vec![], Mark::Human),
        (robot, agent("a-robot"), vec![], Mark::Agent),
        (for_ann("up", &["a-robot"]), agent("a-robot"), vec![ann.clone()], Mark::AgentForHuman),
        (
            for_ann("up", &["a-sub", "a-robot"]),
            agent("a-sub"),
            vec![agent("a-robot"), ann.clone()],
            Mark::AgentForHuman,
        ),
    ] {
        let before = rig.log.events().len();
        let client = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&token), json!({})).await;
        client.call("write", json!({})).await.result();
        client.call("nothing", json!({})).await;
        client.verb("DELETE", &[]).await;
        let events = rig.log.events().split_off(before);
        for kind in [
            EventKind::McpSessionOpened,
            EventKind::CallOpened,
            EventKind::CallClosed,
            EventKind::CallRefused,
            EventKind::McpSessionClosed,
        ] {
            assert!(events.iter().any(|event| event.kind == kind), "{kind:?}");
        }
        for event in events {
            let who = event.who.as_ref().unwrap();
            assert_eq!((&who.subject, &who.on_behalf_of, who.mark()), (&subject, &behalf, mark), "{:?}", event.kind);
            assert_eq!(event.facts["bound"], "bearer", "{:?}", event.kind);
            let written = serde_json::to_value(&event).unwrap();
            assert_eq!(written["who"]["mark"], mark.as_str(), "{written}");
        }
    }
}

async fn add_agent(store: &SqliteStore, id: &str) {
    let agent = Agent {
        id: AgentId::new(id).unwrap(),
        tenant: TenantId::new("acme").unwrap(),
        name: id.to_owned(),
        owner: None,
        purpose: "to test".to_owned(),
        client: ClientId::new(format!("c-{id}")).unwrap(),
        scopes: "up:read up:write".parse().unwrap(),
        resources: Vec::new(),
        created_at: Timestamp::from_secs(NOW),
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    };
    store.put_agent(&agent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_learns_which_scopes_every_agent_of_a_chain_used() {
    let rig = world(Era::Legacy).await;
    let now = Timestamp::from_secs(NOW);
    rig.store.put_tenant(&Tenant::new(TenantId::new("acme").unwrap(), "Acme", now)).await.unwrap();
    for id in ["a-robot", "a-sub"] {
        add_agent(&rig.store, id).await;
    }
    let used = async |id: &str| -> Vec<String> {
        let uses = rig.store.scope_uses(&AgentId::new(id).unwrap()).await.unwrap();
        assert!(uses.iter().all(|used| used.last_used_at == now));
        uses.into_iter().map(|used| used.scope).collect()
    };
    let person = Client::connect(&rig, "up", Era::Legacy).await;
    person.call("fail", json!({})).await;
    let mut reader = for_ann("up", &["a-sub", "a-robot"]);
    reader.scope = "up:read".parse().unwrap();
    let chain = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&reader), json!({})).await;
    chain.request("tools/list", json!({})).await.result();
    chain.call("echo", json!({})).await.result();
    assert_eq!(chain.call("write", json!({})).await.status, StatusCode::FORBIDDEN, "refused, and so not used");
    for _ in 0..500 {
        if !used("a-sub").await.is_empty() && !used("a-robot").await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((used("a-sub").await, used("a-robot").await), (vec!["up:echo".to_owned()], vec!["up:echo".to_owned()]));

    let alone = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&for_ann("up", &["a-robot"])), json!({})).await;
    alone.request("resources/read", json!({"uri": "mem://a"})).await.result();
    until("the call is closed", || !rig.log.about(EventKind::CallClosed, "resources/read").is_empty()).await;
    rig.gate.stop(Duration::from_secs(1)).await;
    assert_eq!(used("a-robot").await, ["up:echo", "up:read"], "an orderly stop loses nothing");
    assert_eq!(used("a-sub").await, ["up:echo"]);
}
