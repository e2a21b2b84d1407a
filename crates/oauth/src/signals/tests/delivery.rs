use proptest::prelude::*;
use serde_json::{Value, json};

use crate::signals::delivery::{ErrorCode, Poll, PushAnswer, polled};

#[test]
fn a_push_is_answered_as_the_specification_says() {
    assert_eq!(PushAnswer::accepted(), PushAnswer { status: 202, body: None });
    for code in [
        ErrorCode::InvalidRequest,
        ErrorCode::InvalidKey,
        ErrorCode::InvalidIssuer,
        ErrorCode::InvalidAudience,
        ErrorCode::AuthenticationFailed,
        ErrorCode::AccessDenied,
        ErrorCode::InvalidState,
    ] {
        let answer = PushAnswer::refused(code);
        let body: Value = serde_json::from_str(&answer.body.unwrap()).unwrap();
        assert_eq!((answer.status, &body["err"]), (400, &json!(code.as_str())));
        assert!(!body["description"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_poll_acknowledges_and_refuses_by_id() {
    let mut poll = Poll::new(1000, false);
    assert_eq!(poll.to_body(), r#"{"maxEvents":256,"returnImmediately":false}"#);
    poll.acknowledge("e1");
    poll.refuse("e2", ErrorCode::InvalidKey);
    let body: Value = serde_json::from_str(&poll.to_body()).unwrap();
    assert_eq!(body["ack"], json!(["e1"]));
    assert_eq!(body["setErrs"], json!({"e2": {"err": "invalid_key", "description": "refused: invalid_key"}}));
}

#[test]
fn what_a_poll_brings_is_bounded_and_unambiguous() {
    let read = |status, body: &str| polled(status, body.as_bytes()).map_err(|fault| fault.code());
    let two = read(200, r#"{"sets":{"e1":"a.b.c","e2":"d.e.f"},"moreAvailable":true}"#).unwrap();
    assert_eq!(two.sets[0], ("e1".to_owned(), "a.b.c".to_owned()));
    assert!(two.more_available && two.sets.len() == 2);
    assert!(!read(200, r#"{"sets":{}}"#).unwrap().more_available);
    for (body, wanted) in [
        ("{}", "signal_member"),
        (r#"{"sets":[]}"#, "signal_member"),
        (r#"{"sets":{"e1":1}}"#, "signal_member"),
        (r#"{"sets":{"e1":"a","e1":"b"}}"#, "signal_document"),
        ("[]", "signal_document"),
    ] {
        assert_eq!(read(200, body), Err(wanted), "{body}");
    }
    let many: serde_json::Map<String, Value> = (0..257).map(|n| (n.to_string(), json!("a.b.c"))).collect();
    assert_eq!(read(200, &json!({ "sets": many }).to_string()), Err("signal_member"));
    assert_eq!(read(401, r#"{"description":"who"}"#), Err("signal_answer"));
    let fault = polled(401, br#"{"description":"who"}"#).unwrap_err();
    assert_eq!(fault.to_string(), "the transmitter answered 401 (who)");
    assert!(fault.remedy().is_some());
    assert_eq!(polled(200, &vec![b' '; 9 * 1024 * 1024]).unwrap_err().code(), "signal_too_large");
}

proptest! {
    #[test]
    fn no_answer_panics(status in 100u16..600, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = polled(status, &bytes);
    }
}
