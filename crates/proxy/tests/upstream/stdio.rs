//! Processes: who shares one, and what the switchboard does to ids.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use sallyport_mcp::{Era, Message, Notification, Object, Outcome, Response, RpcError};
use sallyport_model::UpstreamName;
use sallyport_outbound::stdio::StdioSpec;
use sallyport_proxy::upstream::{Transport, UpstreamCredential, UpstreamError, UpstreamSession, UpstreamSpec};
use serde_json::{Value, json};

use crate::fixture::*;

pub(crate) fn script(file: &str, mode: &str, shareable: bool) -> UpstreamSpec {
    let path = format!("{}/tests/upstream/{file}", env!("CARGO_MANIFEST_DIR"));
    let args = vec!["-u".to_owned(), path, mode.to_owned()];
    let spec = StdioSpec::from_configuration("python3", args, BTreeMap::new(), None);
    // A busy machine may pause a process; only the modern one has streams that must outlast the limit.
    let idle = if file.starts_with("modern") { quick().idle } else { Duration::from_secs(5) };
    let probe = if mode == "silent" { quick().probe } else { Duration::from_secs(5) };
    UpstreamSpec {
        name: UpstreamName::new("process").unwrap(),
        transport: Transport::Stdio { spec, shareable },
        credential: UpstreamCredential::None,
        identity_header: false,
        timeouts: sallyport_proxy::upstream::Timeouts { first: Duration::from_secs(5), idle, probe, ..quick() },
        max_message_bytes: 10_000,
    }
}

pub(crate) fn legacy_script(mode: &str) -> UpstreamSpec {
    script("legacy_server.py", mode, false)
}

async fn count(session: &Arc<dyn UpstreamSession>) -> (i64, i64) {
    let found = value(&**session, tool(1, "count", json!({}))).await;
    (found["count"].as_i64().unwrap(), found["pid"].as_i64().unwrap())
}

#[tokio::test]
async fn a_stateful_server_has_one_process_for_each_owner() {
    let (connector, spec) = (connector(), legacy_script(""));
    let open = async |tenant, person| connector.open(&spec, &legacy_client(), &owner_in(tenant, person)).await.unwrap();
    let (ann, bob, other) = (open("acme", "ann").await, open("acme", "bob").await, open("globex", "ann").await);
    let again = open("acme", "ann").await;
    assert_eq!((count(&ann).await.0, count(&ann).await.0), (1, 2));
    assert_eq!(count(&bob).await.0, 1);
    assert_eq!(count(&other).await.0, 1);
    assert_eq!(count(&again).await.0, 3, "the same owner comes to the same process");
    let pids = [count(&ann).await.1, count(&bob).await.1, count(&other).await.1];
    assert!(pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2]);
    assert_eq!(connector.process_count(), 3);
    connector.shut_down().await;
}

#[tokio::test]
async fn a_shareable_server_is_shared_within_a_tenant_and_never_across() {
    let (connector, spec) = (connector(), script("legacy_server.py", "", true));
    let open = async |tenant, person| connector.open(&spec, &legacy_client(), &owner_in(tenant, person)).await.unwrap();
    let (ann, bob, other) = (open("acme", "ann").await, open("acme", "bob").await, open("globex", "ann").await);
    assert_eq!((count(&ann).await.0, count(&bob).await.0, count(&other).await.0), (1, 2, 1));
    assert_eq!(connector.process_count(), 2);
    // It was told nothing about any one client.
    assert_eq!(ann.facts().about["seen"]["capabilities"], json!({}));
    assert_eq!(ann.facts().about["seen"]["clientInfo"]["name"], "sallyport");
}

#[tokio::test]
async fn two_starts_at_once_make_one_process() {
    let (connector, spec) = (connector(), legacy_script(""));
    let (client, owner) = (legacy_client(), owner("ann"));
    let opens = (0..8).map(|_| connector.open(&spec, &client, &owner));
    let sessions: Vec<_> = futures::future::join_all(opens).await.into_iter().map(Result::unwrap).collect();
    let mut pids = Vec::new();
    for session in &sessions {
        pids.push(count(session).await.1);
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
}

#[tokio::test]
async fn equal_ids_and_tokens_of_two_callers_never_meet() {
    let (connector, spec) = (connector(), script("legacy_server.py", "", true));
    let ann = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let bob = connector.open(&spec, &legacy_client(), &owner("bob")).await.unwrap();
    let ask = |who: &str| {
        let meta = json!({"progressToken": "t"});
        call(1, "tools/call", json!({"name": "slow", "arguments": {"who": who}, "_meta": meta}))
    };
    let (one, two) = tokio::join!(ann.request(ask("ann")), bob.request(ask("bob")));
    let (one, two) = tokio::join!(messages(one.unwrap()), messages(two.unwrap()));
    let mut upstream_ids = Vec::new();
    for (got, who) in [(one, "ann"), (two, "bob")] {
        let [Message::Notification(progress), Message::Response(response)] = &got[..] else { panic!("{got:?}") };
        assert_eq!((progress.param("for"), progress.param("progressToken")), (Some(&json!(who)), Some(&json!("t"))));
        let Outcome::Result(result) = &response.outcome else { panic!("{response:?}") };
        assert_eq!((&result["who"], &response.id), (&json!(who), &Some(1.into())));
        assert_eq!(result["seen"], result["token"]);
        upstream_ids.push(result["seen"].clone());
    }
    assert_ne!(upstream_ids[0], upstream_ids[1]);
}

#[tokio::test]
async fn a_servers_question_goes_to_the_one_call_in_progress_and_only_its_session_may_answer() {
    let (connector, spec) = (connector(), legacy_script(""));
    let ann = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let also_ann = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let _own = ann.listen(None).await.unwrap();
    let mut call = also_ann.request(tool(5, "ask", json!({}))).await.unwrap();
    let Some(Message::Request(asked)) = call.next().await.unwrap().unwrap().message().cloned() else { panic!() };
    assert_eq!(asked.method, "elicitation/create");
    let reply = || Response::result(asked.id.clone(), object(json!({"action": "accept"})));
    let stranger = ann.respond(reply()).await.unwrap_err();
    assert!(matches!(stranger, UpstreamError::UnknownRequest), "{stranger}");
    also_ann.respond(reply()).await.unwrap();
    let got = messages(call).await;
    let [Message::Response(Response { outcome: Outcome::Result(result), .. })] = &got[..] else { panic!("{got:?}") };
    assert_eq!(result["reply"], json!({"result": {"action": "accept"}}));
    assert!(matches!(also_ann.respond(reply()).await, Err(UpstreamError::UnknownRequest)), "answered once");
}

#[tokio::test]
async fn with_several_calls_in_progress_it_goes_to_the_listener() {
    let connector = connector();
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let mut own = session.listen(None).await.unwrap();
    let _hanging = session.request(tool(1, "hang", json!({}))).await.unwrap();
    let asking = session.request(tool(2, "ask", json!({}))).await.unwrap();
    let Some(Message::Request(asked)) = own.next().await.unwrap().unwrap().message().cloned() else { panic!() };
    session.respond(Response::result(asked.id, object(json!({"action": "accept"})))).await.unwrap();
    assert_eq!(messages(asking).await.len(), 1);
}

#[tokio::test]
async fn without_a_listener_it_goes_to_the_oldest_call() {
    let connector = connector();
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let mut oldest = session.request(tool(1, "hang", json!({}))).await.unwrap();
    let asking = session.request(tool(2, "ask", json!({}))).await.unwrap();
    let Some(Message::Request(asked)) = oldest.next().await.unwrap().unwrap().message().cloned() else { panic!() };
    let error = RpcError::new(-1, "declined").response(Some(asked.id));
    session.respond(error).await.unwrap();
    assert_eq!(messages(asking).await.len(), 1);
}

#[tokio::test]
async fn what_comes_before_anybody_listens_is_kept() {
    let connector = connector();
    let session = connector.open(&legacy_script("asks"), &legacy_client(), &owner("ann")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut own = session.listen(None).await.unwrap();
    let Some(Message::Request(asked)) = own.next().await.unwrap().unwrap().message().cloned() else { panic!() };
    assert_eq!(asked.method, "roots/list");
    session.respond(Response::result(asked.id, Object::new())).await.unwrap();
    assert!(matches!(session.listen(Some("e1")).await.err().unwrap(), UpstreamError::NotOffered(_)));
}

#[tokio::test]
async fn a_shared_server_may_not_ask_and_its_logs_reach_nobody() {
    let (connector, spec) = (connector(), script("legacy_server.py", "", true));
    let ann = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let bob = connector.open(&spec, &legacy_client(), &owner("bob")).await.unwrap();
    let mut bobs = bob.listen(None).await.unwrap();
    let reply = value(&*ann, tool(1, "ask", json!({}))).await;
    assert_eq!(reply["reply"]["error"]["code"], -32601);
    assert_eq!(messages(ann.request(tool(2, "log", json!({}))).await.unwrap()).await.len(), 1);
    let first = bobs.next().await.unwrap().unwrap();
    assert_eq!(first.message().unwrap().method(), Some("notifications/tools/list_changed"));
}

#[tokio::test]
async fn a_ping_is_answered_here() {
    let connector = connector();
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    assert_eq!(value(&*session, tool(1, "ping", json!({}))).await["reply"], json!({"result": {}}));
}

#[tokio::test]
async fn a_cancellation_names_the_upstreams_id_and_ends_the_stream() {
    let connector = connector();
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let also = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let hanging = session.request(tool(40, "hang", json!({}))).await.unwrap();
    also.cancel(&40.into(), None).await;
    assert_eq!(value(&*session, tool(41, "cancelled", json!({}))).await["cancelled"], json!([]), "not also's call");
    session.cancel(&40.into(), Some("enough")).await;
    assert!(all(hanging).await.is_empty());
    let second = session.request(tool(42, "hang", json!({}))).await.unwrap();
    let params = object(json!({"requestId": 42}));
    session.notify(Notification::new("notifications/cancelled", Some(params))).await.unwrap();
    assert!(all(second).await.is_empty());
    let seen = value(&*session, tool(43, "cancelled", json!({}))).await["cancelled"].clone();
    assert_eq!(seen[0]["reason"], "enough");
    let ids: Vec<i64> = seen.as_array().unwrap().iter().map(|c| c["requestId"].as_i64().unwrap()).collect();
    assert!(ids.len() == 2 && ids[0] < ids[1] && !ids.contains(&40), "{ids:?}");
}

#[tokio::test]
async fn a_modern_process_is_found_by_its_discovery() {
    let (connector, spec) = (connector(), script("modern_server.py", "", false));
    for client in [modern_client(), legacy_client()] {
        let session = connector.open(&spec, &client, &owner("ann")).await.unwrap();
        assert_eq!(session.facts().era, Era::Modern);
        let echoed = value(&*session, tool(9, "echo", json!({}))).await;
        let meta = &echoed["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "c");
        assert!(matches!(session.listen(None).await, Err(UpstreamError::NotOffered(_))));
        let answer = session.respond(Response::result(1, Object::new())).await;
        assert!(matches!(answer, Err(UpstreamError::NotOffered(_))));
    }
}

#[tokio::test]
async fn subscriptions_get_their_own_id_back() {
    let connector = connector();
    let session = connector.open(&script("modern_server.py", "", false), &modern_client(), &owner("a")).await.unwrap();
    let own = |params: &Value| params["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let open = call(70, "subscriptions/listen", json!({"notifications": {}}));
    let mut lasting = session.request(open).await.unwrap();
    for method in ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"] {
        let Some(Message::Notification(note)) = lasting.next().await.unwrap().unwrap().message().cloned() else {
            panic!("a request of a modern server is dropped")
        };
        assert_eq!((note.method.as_str(), own(&Value::Object(note.params.unwrap()))), (method, json!(70)));
    }
    let ends = call(71, "subscriptions/listen", json!({"notifications": {}, "end": true}));
    let got = messages(session.request(ends).await.unwrap()).await;
    let Some(Message::Response(Response { id, outcome: Outcome::Result(result), .. })) = got.last() else { panic!() };
    assert_eq!((id, own(&Value::Object(result.clone()))), (&Some(71.into()), json!(71)));
    let torn = call(72, "subscriptions/listen", json!({"notifications": {}, "tear": true}));
    let got = messages(session.request(torn).await.unwrap()).await;
    let Some(Message::Notification(note)) = got.last() else { panic!("{got:?}") };
    assert_eq!((note.method.as_str(), note.param("requestId")), ("notifications/cancelled", Some(&json!(72))));
    // Quiet for longer than a call may be; then dropped, which cancels in this era.
    assert!(tokio::time::timeout(Duration::from_millis(600), lasting.next()).await.is_err());
    drop(lasting);
    let seen = value(&*session, tool(73, "cancelled", json!({}))).await["cancelled"].clone();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
}
