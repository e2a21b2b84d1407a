//! Processes: start, silence, crash, restart, limits and the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use sallyport_mcp::Era;
use sallyport_model::{Principal, Secret, SessionId};
use sallyport_outbound::stdio::{SpawnLimits, Spawner, StdioSpec};
use sallyport_proxy::upstream::{
    Caller, Connector, ConnectorOptions, Transport, UpstreamCredential, UpstreamError, UpstreamSpec,
};
use serde_json::json;

use crate::{
    fixture::*,
    stdio::{legacy_script, script},
};

fn with(change: impl FnOnce(&mut ConnectorOptions)) -> Connector {
    let spawn = SpawnLimits {
        eof_grace: Duration::from_millis(200),
        term_grace: Duration::from_millis(500),
        ..SpawnLimits::default()
    };
    let mut options = ConnectorOptions { spawn, backoff_first: Duration::from_millis(300), ..Default::default() };
    change(&mut options);
    Connector::new(options, Spawner::new())
}

/// Whether the process is there and not a zombie.
fn runs(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

async fn eventually(what: impl Fn() -> bool) -> bool {
    for _ in 0..150 {
        if what() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

async fn children(session: &dyn sallyport_proxy::upstream::UpstreamSession) -> Vec<i64> {
    let found = value(session, tool(1, "children", json!({}))).await;
    found["pids"].as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap()).collect()
}

#[tokio::test]
async fn the_last_session_to_close_ends_the_process_with_its_children() {
    let connector = with(|_| {});
    let spec = legacy_script("stubborn");
    let one = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let two = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let pids = children(&*one).await;
    one.close().await;
    assert!(!one.is_alive() && two.is_alive() && runs(pids[0]) && runs(pids[1]));
    assert!(matches!(failure(&*one, tool(2, "count", json!({}))).await, UpstreamError::SessionEnded));
    two.close().await;
    assert!(eventually(|| !runs(pids[0]) && !runs(pids[1])).await);
    assert_eq!(connector.process_count(), 0);
    let fresh = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    assert_eq!(value(&*fresh, tool(3, "count", json!({}))).await["count"], 1, "an asked end is no crash");
}

#[tokio::test]
async fn shutting_down_and_dropping_end_every_process() {
    let connector = with(|_| {});
    let spec = legacy_script("stubborn");
    let mut pids = Vec::new();
    for person in ["ann", "bob"] {
        let session = connector.open(&spec, &legacy_client(), &owner(person)).await.unwrap();
        pids.extend(children(&*session).await);
    }
    connector.shut_down().await;
    assert!(eventually(|| pids.iter().all(|pid| !runs(*pid))).await);
    let failed = connector.open(&spec, &legacy_client(), &owner("ann")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Unreachable(_)) && !failed.sent(), "{failed:?}");

    let other = with(|_| {});
    let session = other.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let pids = children(&*session).await;
    drop((session, other));
    assert!(eventually(|| pids.iter().all(|pid| !runs(*pid))).await);
}

#[tokio::test]
async fn the_processes_of_one_owner_can_be_ended_at_once() {
    let connector = with(|_| {});
    let open =
        async |spec: &UpstreamSpec, person| connector.open(spec, &legacy_client(), &owner(person)).await.unwrap();
    let own = legacy_script("");
    let (ann, bob) = (open(&own, "ann").await, open(&own, "bob").await);
    let mut shared = script("legacy_server.py", "", true);
    shared.name = sallyport_model::UpstreamName::new("shared").unwrap();
    let both = open(&shared, "ann").await;
    let hanging = ann.request(tool(1, "hang", json!({}))).await.unwrap();
    assert_eq!(connector.end_processes(|whose| *whose == owner("ann").owner()), 1);
    assert!(!ann.is_alive() && bob.is_alive() && both.is_alive());
    assert!(matches!(&all(hanging).await[..], [Err(UpstreamError::Exited { .. })]));
    let again = open(&own, "ann").await;
    assert_eq!(value(&*again, tool(1, "count", json!({}))).await["count"], 1, "it was no crash");
}

#[tokio::test]
async fn a_crash_fails_calls_in_flight_and_the_next_start_waits() {
    let connector = with(|_| {});
    let (spec, client) = (legacy_script(""), legacy_client());
    let session = connector.open(&spec, &client, &owner("ann")).await.unwrap();
    value(&*session, tool(1, "count", json!({}))).await;
    let hanging = session.request(tool(2, "hang", json!({}))).await.unwrap();
    let mut own = session.listen(None).await.unwrap();
    let crashed = failure(&*session, tool(3, "crash", json!({}))).await;
    assert!(matches!(crashed, UpstreamError::Exited { code: Some(7) }) && crashed.sent(), "{crashed:?}");
    assert!(matches!(&all(hanging).await[..], [Err(UpstreamError::Exited { code: Some(7) })]));
    assert!(matches!(own.next().await, Some(Err(UpstreamError::Exited { .. }))) && own.next().await.is_none());
    assert!(!session.is_alive());
    assert!(matches!(failure(&*session, tool(4, "count", json!({}))).await, UpstreamError::SessionEnded));

    let first = wait_of(&connector, &spec).await;
    assert!(first <= Duration::from_millis(300));
    connector.open(&spec, &client, &owner("bob")).await.expect("another owner's process is none of its business");
    tokio::time::sleep(first).await;
    let again = connector.open(&spec, &client, &owner("ann")).await.unwrap();
    assert_eq!(value(&*again, tool(5, "count", json!({}))).await["count"], 1, "a fresh process");
    failure(&*again, tool(6, "crash", json!({}))).await;
    let second = wait_of(&connector, &spec).await;
    assert!(second > Duration::from_millis(350), "the wait doubles: {second:?}");
}

async fn wait_of(connector: &Connector, spec: &UpstreamSpec) -> Duration {
    // The end is noticed by a task of its own.
    for _ in 0..50 {
        match connector.open(spec, &legacy_client(), &owner("ann")).await {
            Err(UpstreamError::BackingOff { retry_after }) => return retry_after,
            Err(other) => panic!("{other:?}"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    panic!("no back-off");
}

#[tokio::test]
async fn a_process_that_nobody_uses_is_ended() {
    let connector = with(|options| options.idle_stop = Duration::from_millis(400));
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    value(&*session, tool(1, "count", json!({}))).await;
    let own = session.listen(None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(session.is_alive(), "somebody listens");
    drop(own);
    assert!(eventually(|| !session.is_alive() && connector.process_count() == 0).await);
    let again = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    assert_eq!(value(&*again, tool(2, "count", json!({}))).await["count"], 1);
}

#[tokio::test]
async fn processes_are_limited_and_unused_ones_make_room() {
    let connector = with(|options| options.max_processes = 2);
    let spec = legacy_script("");
    let open = async |person| connector.open(&spec, &legacy_client(), &owner(person)).await;
    let (ann, _bob) = (open("ann").await.unwrap(), open("bob").await.unwrap());
    let failed = open("eve").await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Busy { limit: 2, .. }) && !failed.sent(), "{failed:?}");
    drop(ann);
    open("eve").await.unwrap();
    assert!(eventually(|| connector.process_count() == 2).await);
}

#[tokio::test]
async fn one_owner_cannot_take_all_places() {
    let connector = with(|options| options.max_processes_per_owner = 2);
    let spec = legacy_script("");
    let mut kept = Vec::new();
    for n in 0..3 {
        let client =
            sallyport_proxy::upstream::ClientFacts { capabilities: object(json!({"n": n})), ..legacy_client() };
        match connector.open(&spec, &client, &owner("ann")).await {
            Ok(session) => kept.push(session),
            Err(error) => assert!(matches!(error, UpstreamError::Busy { limit: 2, .. }) && n == 2, "{error:?}"),
        }
    }
    assert_eq!(kept.len(), 2, "a process keeps the capabilities of its handshake, so each needs its own");
    connector.open(&spec, &legacy_client(), &owner("bob")).await.unwrap();
}

#[tokio::test]
async fn one_person_cannot_take_all_places_by_signing_in_again_and_again() {
    let connector = with(|options| options.max_processes_per_subject = 2);
    let spec = legacy_script("");
    let signed_in = |person: &str, tenant: &str, session: &str| match owner_in(tenant, person) {
        Caller::Principal(principal) => {
            let principal = (*principal).clone();
            Caller::Principal(Arc::new(Principal { session: SessionId::new(session).unwrap(), ..principal }))
        }
        other => other,
    };
    let open = async |owner: Caller| connector.open(&spec, &legacy_client(), &owner).await;
    let one = open(signed_in("ann", "acme", "s1")).await.unwrap();
    let _two = open(signed_in("ann", "acme", "s2")).await.unwrap();
    let failed = open(signed_in("ann", "acme", "s3")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Busy { limit: 2, .. }) && !failed.sent(), "{failed:?}");
    open(signed_in("bob", "acme", "s1")).await.unwrap();
    open(signed_in("ann", "globex", "s1")).await.unwrap();
    drop(one);
    open(signed_in("ann", "acme", "s3")).await.unwrap();
}

#[tokio::test]
async fn calls_in_flight_are_limited() {
    let connector = with(|options| options.max_in_flight = 2);
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let _one = session.request(tool(1, "hang", json!({}))).await.unwrap();
    let _two = session.request(tool(2, "hang", json!({}))).await.unwrap();
    assert!(matches!(failure(&*session, tool(3, "count", json!({}))).await, UpstreamError::Busy { limit: 2, .. }));
    session.cancel(&1.into(), None).await;
    value(&*session, tool(4, "count", json!({}))).await;
}

#[tokio::test]
async fn a_legacy_server_may_refuse_the_probe_ignore_it_or_die_of_it() {
    for mode in ["", "silent", "dies"] {
        let connector = with(|_| {});
        let spec = legacy_script(mode);
        let session = connector.open(&spec, &modern_client(), &owner("ann")).await.unwrap();
        let facts = session.facts();
        assert_eq!((facts.era, facts.protocol_version.as_str()), (Era::Legacy, "2025-11-25"), "{mode}");
        value(&*session, tool(1, "count", json!({}))).await;
        connector.shut_down().await;
    }
}

#[tokio::test]
async fn a_modern_server_that_starts_slowly_is_not_taken_for_a_legacy_one() {
    let mut spec = script("modern_server.py", "slow", false);
    spec.timeouts.probe = Duration::from_millis(300);
    let session = with(|_| {}).open(&spec, &modern_client(), &owner("ann")).await.unwrap();
    assert_eq!(session.facts().era, Era::Modern);
}

#[tokio::test]
async fn noise_is_skipped_and_a_broken_answer_fails_its_call_alone() {
    let connector = with(|_| {});
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let failed = failure(&*session, tool(1, "noise", json!({}))).await;
    assert!(matches!(failed, UpstreamError::Protocol(_)), "{failed:?}");
    value(&*session, tool(2, "count", json!({}))).await;
}

#[tokio::test]
async fn a_line_over_the_limit_ends_the_process() {
    let connector = with(|_| {});
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let failed = failure(&*session, tool(1, "huge", json!({}))).await;
    assert!(matches!(failed, UpstreamError::TooLarge { limit: 10_000 }), "{failed:?}");
    assert!(eventually(|| !session.is_alive()).await);
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled_at_the_process() {
    let connector = with(|_| {});
    let mut spec = legacy_script("");
    let session = {
        spec.timeouts.first = Duration::from_millis(1500);
        connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap()
    };
    let failed = failure(&*session, tool(1, "hang", json!({}))).await;
    assert!(matches!(failed, UpstreamError::TimedOut { sent: true, .. }), "{failed:?}");
    let seen = value(&*session, tool(2, "cancelled", json!({}))).await;
    assert_eq!(seen["cancelled"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_flood_is_held_back_and_comes_whole_to_one_who_reads() {
    let connector = with(|_| {});
    let session = connector.open(&legacy_script(""), &legacy_client(), &owner("ann")).await.unwrap();
    let stream = session.request(tool(1, "flood", json!({}))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(messages(stream).await.len(), 2001);
}

#[tokio::test]
async fn one_slow_reader_of_a_shared_process_does_not_hold_back_the_others() {
    let connector = with(|_| {});
    let spec = script("legacy_server.py", "", true);
    let ann = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let bob = connector.open(&spec, &legacy_client(), &owner("bob")).await.unwrap();
    let _unread = ann.listen(None).await.unwrap();
    value(&*bob, tool(1, "flood", json!({}))).await;
    value(&*bob, tool(2, "count", json!({}))).await;
}

#[tokio::test]
async fn a_process_sees_the_configured_environment_and_takes_no_other_credential() {
    let mut spec = legacy_script("");
    let path = format!("{}/tests/upstream/legacy_server.py", env!("CARGO_MANIFEST_DIR"));
    let env = BTreeMap::from([("SERVICE_KEY".to_owned(), Secret::new("k"))]);
    let stdio = StdioSpec::from_configuration("python3", vec![path], env, None);
    spec.transport = Transport::Stdio { spec: stdio, shareable: false };
    let connector = with(|_| {});
    let session = connector.open(&spec, &legacy_client(), &owner("ann")).await.unwrap();
    let names = value(&*session, tool(1, "env", json!({}))).await["env"].to_string();
    assert!(names.contains("SERVICE_KEY") && !names.contains("CARGO_"), "{names}");
    spec.credential = UpstreamCredential::Bearer(Secret::new("x"));
    let failed = connector.open(&spec, &legacy_client(), &owner("ann")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Configuration(_)), "{failed:?}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_backs_off() {
    let mut spec = legacy_script("");
    let stdio = StdioSpec::from_configuration("no-such-command-here", vec![], BTreeMap::new(), None);
    spec.transport = Transport::Stdio { spec: stdio, shareable: false };
    let connector = with(|_| {});
    let failed = connector.open(&spec, &legacy_client(), &owner("ann")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Unreachable(_)), "{failed:?}");
    let failed = connector.open(&spec, &legacy_client(), &owner("ann")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::BackingOff { .. }), "{failed:?}");
}
