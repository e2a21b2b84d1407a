use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::*;
use crate::{
    envelope::{Notification, Response},
    errors::{HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, UNSUPPORTED_PROTOCOL_VERSION},
    json::Object,
};

fn headers(version: Option<&str>) -> HeaderMap {
    version
        .map(|v| (http::HeaderName::from_static(PROTOCOL_VERSION_HEADER), HeaderValue::from_str(v).unwrap()))
        .into_iter()
        .collect()
}

fn request(method: &str, params: Value) -> Message {
    Request::new(1, method, params.as_object().cloned()).into()
}

fn meta(version: &str) -> Value {
    json!({"_meta": {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}}})
}

fn decide(message: &Message, header: Option<&str>) -> Result<Spoken, Error> {
    Spoken::decide(message, &headers(header), &ProtocolVersion::ALL)
}

fn code(message: &Message, header: Option<&str>) -> i64 {
    let error = decide(message, header).expect_err("must be refused");
    assert_eq!(error.status(Era::Modern), StatusCode::BAD_REQUEST);
    error.code()
}

#[test]
fn modern_metadata_makes_a_modern_request() {
    let Ok(Spoken::Modern(meta)) = decide(&request("tools/list", meta("2026-07-28")), Some("2026-07-28")) else {
        panic!("modern");
    };
    assert_eq!(meta.protocol_version, ProtocolVersion::V2026_07_28);
    assert_eq!((meta.client_info, meta.log_level), (None, None));
}

#[test]
fn header_and_metadata_must_agree() {
    let message = request("tools/list", meta("2026-07-28"));
    assert_eq!(code(&message, None), HEADER_MISMATCH);
    assert_eq!(code(&message, Some("2025-11-25")), HEADER_MISMATCH);
    assert_eq!(code(&request("tools/list", meta("v999")), Some("2026-07-28")), HEADER_MISMATCH);
    let mut twice = headers(Some("2026-07-28"));
    twice.append(PROTOCOL_VERSION_HEADER, HeaderValue::from_static("2026-07-28"));
    let error = Spoken::decide(&message, &twice, &ProtocolVersion::ALL).expect_err("twice");
    assert_eq!(error.code(), HEADER_MISMATCH);
}

#[test]
fn versions_that_are_not_served_are_refused_with_those_that_are() {
    let error = decide(&request("tools/list", meta("1900-01-01")), Some("1900-01-01")).expect_err("unknown");
    assert_eq!(error.code(), UNSUPPORTED_PROTOCOL_VERSION);
    assert_eq!(
        error.rpc().data,
        Some(
            json!({"supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"], "requested": "1900-01-01"})
        )
    );
    let legacy = decide(&request("tools/list", meta("2025-11-25")), Some("2025-11-25"))
        .expect_err("legacy version, modern form");
    assert_eq!(legacy.rpc().data, Some(json!({"supported": ["2026-07-28"], "requested": "2025-11-25"})));
    let plain = request("tools/list", json!({}));
    for header in ["2099-01-01", "", "2025-11-25 ", "2025-11-2", "latest"] {
        match decide(&plain, Some(header)) {
            Ok(spoken) => assert_eq!((header.trim(), spoken.era()), ("2025-11-25", Era::Legacy)),
            Err(error) => assert_eq!(error.status(Era::Legacy), StatusCode::BAD_REQUEST, "{header}"),
        }
    }
    let only_new = [ProtocolVersion::V2026_07_28, ProtocolVersion::V2025_11_25];
    assert!(Spoken::decide(&plain, &headers(Some("2025-03-26")), &only_new).is_err(), "known but not served");
}

#[test]
fn incomplete_metadata_is_invalid_params() {
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let version = "io.modelcontextprotocol/protocolVersion";
    for params in [
        json!({}),
        json!({"_meta": {}}),
        json!({"_meta": 7}),
        json!({"_meta": {(capabilities): {}}}),
        json!({"_meta": {(version): "2026-07-28"}}),
        json!({"_meta": {(version): 20260728, (capabilities): {}}}),
        json!({"_meta": {(version): "2026-07-28", (capabilities): []}}),
        json!({"_meta": {(version): "2026-07-28", (capabilities): {}, "io.modelcontextprotocol/clientInfo": "x"}}),
        json!({"_meta": {(version): "2026-07-28", (capabilities): {}, "io.modelcontextprotocol/logLevel": "loud"}}),
        json!({"_meta": {(version): "2026-07-28", (capabilities): {}, "progressToken": {}}}),
    ] {
        assert_eq!(code(&request("server/discover", params.clone()), Some("2026-07-28")), INVALID_PARAMS, "{params}");
    }
    assert_eq!(
        code(&request("initialize", json!({"protocolVersion": "2025-11-25"})), Some("2026-07-28")),
        INVALID_PARAMS
    );
    assert_eq!(code(&request("server/discover", json!({})), None), INVALID_PARAMS);
}

#[test]
fn legacy_messages_are_legacy() {
    let spoken = decide(&request("initialize", json!({"protocolVersion": "2099-01-01"})), None);
    assert_eq!(spoken, Ok(Spoken::Initialize { requested: "2099-01-01".into() }));
    assert_eq!(code(&request("initialize", json!({"protocolVersion": 1})), None), INVALID_PARAMS);
    let list = request("tools/list", json!({"_meta": {"progressToken": 1}}));
    assert_eq!(decide(&list, None), Ok(Spoken::Legacy { header: None }));
    assert_eq!(decide(&list, Some("2025-06-18")), Ok(Spoken::Legacy { header: Some(ProtocolVersion::V2025_06_18) }));
    let discover = request("server/discover", json!({}));
    assert_eq!(decide(&discover, Some("2025-11-25")).map(|s| s.era()), Ok(Era::Legacy));
}

#[test]
fn modern_clients_send_no_responses() {
    let response = Message::from(Response::result(1, Object::new()));
    assert_eq!(code(&response, Some("2026-07-28")), INVALID_REQUEST);
    assert_eq!(decide(&response, None).map(|s| s.era()), Ok(Era::Legacy));
    let notification = Message::from(Notification::new("notifications/cancelled", None));
    assert_eq!(decide(&notification, Some("2026-07-28")), Ok(Spoken::ModernNotification));
}

#[test]
fn initialize_is_never_answered_with_a_modern_version() {
    use ProtocolVersion as V;
    for (requested, supported, answer) in [
        ("2025-06-18", &V::ALL[..], Some(V::V2025_06_18)),
        ("2026-07-28", &V::ALL[..], Some(V::V2025_11_25)),
        ("2099-01-01", &V::ALL[..], Some(V::V2025_11_25)),
        ("2024-11-05", &[V::V2026_07_28, V::V2025_03_26][..], Some(V::V2025_03_26)),
        ("2025-11-25", &[V::V2026_07_28][..], None),
    ] {
        assert_eq!(V::negotiate(requested, supported), answer, "{requested}");
    }
}

#[test]
fn metadata_is_inserted_and_stripped() {
    let Ok(Spoken::Modern(meta)) = decide(&request("x", meta("2026-07-28")), Some("2026-07-28")) else {
        panic!("modern")
    };
    let original = json!({"_meta": {"traceparent": "00-1", "progressToken": 4}, "name": "a"});
    let mut params = original.as_object().cloned().expect("object");
    let meta = RequestMeta { log_level: Some(crate::LogLevel::Warning), ..*meta };
    meta.insert(&mut params);
    assert_eq!(params["_meta"]["io.modelcontextprotocol/logLevel"], "warning");
    assert_eq!(params["_meta"]["traceparent"], "00-1");
    RequestMeta::strip(&mut params);
    assert_eq!(Value::Object(params), original);
    let mut bare = Object::new();
    meta.insert(&mut bare);
    RequestMeta::strip(&mut bare);
    assert!(bare.is_empty(), "an empty `_meta` goes too");
}

#[test]
fn batches_hold_neither_handshakes_nor_modern_requests() {
    let list = request("tools/list", json!({}));
    assert_eq!(check_batch(&[list.clone(), Notification::new("x", None).into()]), Ok(()));
    for bad in [request("initialize", json!({})), request("tools/list", meta("2026-07-28"))] {
        let refusal = check_batch(&[list.clone(), bad]).expect_err("must be refused");
        assert_eq!((refusal.error.code(), refusal.id), (INVALID_REQUEST, Some(1.into())));
    }
}
