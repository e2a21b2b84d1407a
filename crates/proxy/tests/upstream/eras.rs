//! Which era is spoken: every pair of client and upstream.

use sallyport_mcp::Era;
use sallyport_proxy::upstream::UpstreamError;
use serde_json::{Value, json};

use crate::fixture::*;

#[tokio::test]
async fn a_modern_client_falls_back_to_the_newest_legacy_version_and_remembers() {
    let server = legacy(|seen| result(seen, json!({}))).await;
    let connector = connector();
    let session = connector.open(&server.spec(), &modern_client(), &owner("a")).await.unwrap();
    assert_eq!((session.facts().era, session.facts().protocol_version.as_str()), (Era::Legacy, "2025-11-25"));
    assert_eq!(server.asked(), ["server/discover", "initialize", "notifications/initialized"]);
    let asked = server.seen()[1].body["params"].clone();
    assert_eq!(asked["capabilities"], json!({"elicitation": {}}));
    connector.open(&server.spec(), &modern_client(), &owner("a")).await.unwrap();
    assert_eq!(server.asked()[3..], ["initialize", "notifications/initialized"], "not probed again");
}

#[tokio::test]
async fn any_unrecognised_refusal_of_a_probe_leads_to_initialize() {
    type Script = fn(&Seen) -> axum::response::Response;
    let refusals: [Script; 6] = [
        |_| empty(400),
        |_| empty(404),
        |_| empty(405),
        |seen| error(200, seen.id(), -32601, Value::Null),
        |_| error(400, Value::Null, -32000, Value::Null),
        |seen| result(seen, json!({"surprise": true})),
    ];
    for refusal in refusals {
        let server = Fixture::serve(move |seen| match seen.method() {
            "initialize" => json_answer(200, initialize_result(seen)),
            "notifications/initialized" => empty(202),
            _ => refusal(seen),
        })
        .await;
        assert_eq!(server.open(&modern_client()).await.facts().era, Era::Legacy);
    }
}

#[tokio::test]
async fn a_legacy_client_reaches_a_modern_upstream_and_it_is_asked_once() {
    let server = modern(|seen| result(seen, json!({"resultType": "complete"}))).await;
    let connector = connector();
    let session = connector.open(&server.spec(), &legacy_client(), &owner("a")).await.unwrap();
    assert_eq!((session.facts().era, session.facts().protocol_version.as_str()), (Era::Modern, "2026-07-28"));
    assert_eq!(session.facts().about["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(server.asked(), ["initialize", "server/discover"]);
    let session = connector.open(&server.spec(), &legacy_client(), &owner("b")).await.unwrap();
    assert_eq!(server.seen().len(), 2, "what is known is not asked again");
    value(&*session, call(1, "tools/list", json!({}))).await;
    assert_eq!(server.last().body["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"], "c");
}

#[tokio::test]
async fn an_upstream_of_both_eras_is_spoken_to_in_the_clients_own() {
    let server = Fixture::serve(|seen| match seen.method() {
        "initialize" => json_answer(200, initialize_result(seen)),
        "server/discover" => discover_result(seen, &["2025-11-25", "2026-07-28"]),
        _ => empty(202),
    })
    .await;
    let connector = connector();
    for client in [legacy_client(), modern_client(), legacy_client(), modern_client()] {
        let session = connector.open(&server.spec(), &client, &owner("a")).await.unwrap();
        assert_eq!(session.facts().era, client.era);
    }
}

#[tokio::test]
async fn a_recognised_modern_error_never_leads_to_initialize() {
    for (code, data) in [(-32020, json!({})), (-32021, json!({})), (-32022, json!({"supported": ["2031-01-01"]}))] {
        let server = Fixture::serve(move |seen| error(400, seen.id(), code, data.clone())).await;
        let failed = connector().open(&server.spec(), &modern_client(), &owner("a")).await.err().unwrap();
        match (&failed, code) {
            (UpstreamError::NoCommonVersion { offered }, -32022) => assert_eq!(offered[..], ["2031-01-01"]),
            (UpstreamError::HandshakeRefused(_), _) => {}
            _ => panic!("{failed:?}"),
        }
        assert_eq!(server.asked(), ["server/discover"]);
    }
}

#[tokio::test]
async fn a_modern_refusal_that_names_a_legacy_version_leads_to_it() {
    let server = Fixture::serve(|seen| match seen.method() {
        "initialize" => json_answer(200, initialize_result(seen)),
        "server/discover" => error(400, seen.id(), -32022, json!({"supported": ["2025-11-25"]})),
        _ => empty(202),
    })
    .await;
    assert_eq!(server.open(&modern_client()).await.facts().era, Era::Legacy);
}

#[tokio::test]
async fn a_belief_that_fails_is_given_up() {
    let upgraded = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = std::sync::Arc::clone(&upgraded);
    let server = Fixture::serve(move |seen| match (seen.method(), switch.load(std::sync::atomic::Ordering::SeqCst)) {
        ("initialize", false) => json_answer(200, initialize_result(seen)),
        ("notifications/initialized", false) => empty(202),
        ("server/discover", true) => discover_result(seen, &["2026-07-28"]),
        (_, true) => error(400, seen.id(), -32020, json!({})),
        _ => empty(400),
    })
    .await;
    let connector = connector();
    let open = async || connector.open(&server.spec(), &modern_client(), &owner("a")).await.unwrap().facts().era;
    assert_eq!(open().await, Era::Legacy);
    upgraded.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(open().await, Era::Modern);
}

#[tokio::test]
async fn an_upstream_that_refuses_both_eras_or_the_credential_is_an_error() {
    let server = Fixture::serve(|_| empty(405)).await;
    let failed = connector().open(&server.spec(), &legacy_client(), &owner("a")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::Status { status: 405, .. }), "{failed:?}");
    let server = Fixture::serve(|_| empty(401)).await;
    let failed = connector().open(&server.spec(), &modern_client(), &owner("a")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::CredentialRefused { status: 401 }), "{failed:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_unknown_legacy_version_is_refused() {
    let server = Fixture::serve(|seen| {
        result(seen, json!({"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {}}))
    })
    .await;
    let failed = connector().open(&server.spec(), &legacy_client(), &owner("a")).await.err().unwrap();
    assert!(matches!(failed, UpstreamError::NoCommonVersion { .. }), "{failed:?}");
}
