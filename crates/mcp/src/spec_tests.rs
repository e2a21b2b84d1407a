//! The examples of the 2026-07-28 schema, read, checked and written back.

use std::{fs, path::Path};

use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    catalogue,
    envelope::{self, Message, Outcome},
    era::{Era, ProtocolVersion, Spoken},
    errors, headers, json as strict,
    meta::ClientCapabilities,
    methods::{ListKind, client_rule},
    translate::{
        handshake,
        input::{InputRequired, Retry},
        notifications::{Delivery, Filter, delivery, tag, untag},
        results::ResultType,
    },
};

/// The examples whose type's name ends so: type, text.
fn examples(suffix: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec/2026-07-28");
    let mut found = Vec::new();
    for kind in fs::read_dir(root).expect("examples").map(|entry| entry.expect("entry").path()) {
        let name = kind.file_name().expect("name").to_string_lossy().into_owned();
        if name.ends_with(suffix) {
            for file in fs::read_dir(&kind).expect("examples") {
                found.push((name.clone(), fs::read(file.expect("entry").path()).expect("readable")));
            }
        }
    }
    assert!(!found.is_empty(), "{suffix}");
    found
}

fn message(name: &str, bytes: &[u8]) -> Message {
    let message = envelope::parse_one(bytes, 64).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let plain: Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(message.to_value(), plain, "{name} is written as it was read");
    message
}

#[test]
fn requests_are_modern_and_their_headers_check() {
    for (name, bytes) in examples("Request") {
        let Message::Request(request) = message(&name, &bytes) else { panic!("{name}") };
        client_rule(&request.method, Era::Modern).unwrap_or_else(|error| panic!("{name}: {error}"));
        let made = headers::encode(&request, ProtocolVersion::LATEST, None).expect("encodable");
        headers::check(&request, &made, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        let spoken = Spoken::decide(&Message::from(request.clone()), &made, &ProtocolVersion::ALL);
        assert!(matches!(spoken, Ok(Spoken::Modern(_))), "{name}: {spoken:?}");
        assert!(headers::check(&request, &HeaderMap::new(), None).is_err());
        if request.method == "subscriptions/listen" {
            assert!(!Filter::read(request.params.as_ref()).expect("a filter").is_empty());
        }
    }
}

#[test]
fn notifications_have_a_place_and_survive_tagging() {
    for (name, bytes) in examples("Notification") {
        let Message::Notification(mut notification) = message(&name, &bytes) else { panic!("{name}") };
        assert_ne!(delivery(&notification.method), Delivery::Unknown, "{name}");
        untag(&mut notification);
        let before = notification.clone();
        tag(&mut notification, &7.into());
        assert_eq!(untag(&mut notification), Some(7.into()));
        assert_eq!(notification, before, "{name}");
    }
}

#[test]
fn responses_are_complete_and_errors_are_modern() {
    for (name, bytes) in examples("ResultResponse") {
        let Message::Response(response) = message(&name, &bytes) else { panic!("{name}") };
        let Outcome::Result(result) = response.outcome else { panic!("{name}") };
        assert_eq!(ResultType::of(&result), ResultType::Complete, "{name}");
    }
    for (name, bytes) in examples("Error") {
        let Message::Response(response) = message(&name, &bytes) else { panic!("{name}") };
        let Outcome::Error(error) = response.outcome else { panic!("{name}") };
        assert!(error.is_modern() && error.status(Era::Modern) == 400, "{name}");
        let legacy = error.across("tools/call", Era::Modern, Era::Legacy);
        assert_eq!(legacy.code, errors::INTERNAL_ERROR);
    }
}

fn object(bytes: &[u8]) -> strict::Object {
    strict::parse(bytes, 64).expect("JSON").as_object().cloned().expect("an object")
}

#[test]
fn interim_results_are_read_and_written_back() {
    for (name, bytes) in examples("InputRequiredResult") {
        let result = object(&bytes);
        assert_eq!(ResultType::of(&result), ResultType::InputRequired);
        let required = InputRequired::read(&result).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(required.to_result(), result);
        let able = required.permit(&ClientCapabilities::default()).is_ok();
        assert_eq!(able, required.requests.is_empty(), "nothing may be asked of a client that declared nothing");
    }
    for (_, bytes) in examples("InputResponses") {
        let responses = object(&bytes);
        let mut params = object(br#"{"name":"t","requestState":"s"}"#);
        params.insert("inputResponses".into(), responses.clone().into());
        let retry = Retry::take(&mut params).expect("well-formed").expect("a retry");
        assert_eq!((&retry.responses, retry.request_state.as_deref()), (&responses, Some("s")));
        assert_eq!(Value::Object(params.clone()), json!({"name": "t"}));
        assert_eq!(Retry::take(&mut params), Ok(None));
    }
}

#[test]
fn lists_and_handshakes_are_read() {
    for (_, bytes) in examples("ListToolsResult") {
        let page = catalogue::read_page(ListKind::Tools, &object(&bytes)).expect("a page");
        assert!(page.rejected.is_empty() && !page.definitions.is_empty());
    }
    for (_, bytes) in examples("DiscoverResult") {
        let discovered = object(&bytes);
        let initialized =
            handshake::initialize_result(discovered.clone(), ProtocolVersion::LATEST_LEGACY, true).expect("translated");
        let again = handshake::discover_result(initialized, &[ProtocolVersion::LATEST], 3_600_000, true).expect("back");
        assert_eq!(again["capabilities"], discovered["capabilities"]);
        assert_eq!(again.get("instructions"), discovered.get("instructions"));
        assert_eq!(again["cacheScope"], "private");
    }
}
