use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    errors::{INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR},
    json::canonical,
};

fn refused(bytes: &[u8]) -> Refusal {
    parse(bytes, Limits::default()).expect_err("must be refused")
}

fn one(text: &str) -> Message {
    parse_one(text.as_bytes(), 64).expect("must be accepted")
}

#[test]
fn the_three_kinds_are_told_apart() {
    let request = one(r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{}}"#);
    assert!(matches!(&request, Message::Request(r) if r.id == RequestId::from("a") && r.params == Some(Object::new())));
    let notification = one(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert!(matches!(&notification, Message::Notification(n) if n.params.is_none()));
    let result = one(r#"{"jsonrpc":"2.0","id":-7,"result":{}}"#);
    assert!(matches!(&result, Message::Response(r) if r.id == Some(RequestId::Number(-7))));
    let error = one(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#);
    assert!(matches!(&error, Message::Response(r) if r.id.is_none() && matches!(r.outcome, Outcome::Error(_))));
}

#[test]
fn malformed_bytes_are_parse_errors() {
    let cases: [(&[u8], &str); 24] = [
        (b"", "expected a JSON value"),
        (b"{", "a key in double quotes"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping""#, "`,` or `}`"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"pi"#, "the end of a string"),
        (b"\xEF\xBB\xBF{}", "byte order mark"),
        (b"\xFF\xFE{\0}\0", "byte order mark"),
        (b"\xFE\xFF\0{\0}", "byte order mark"),
        (b"{\"a\":\"\xC3\x28\"}", "not UTF-8 at byte 6"),
        (b"{\"a\":\"\xED\xA0\x80\"}", "not UTF-8"),
        (br#"{} {}"#, "bytes follow"),
        (b"{}\0", "bytes follow"),
        (br#"{"a":1,}"#, "a key in double quotes"),
        (br#"[1,]"#, "a JSON value"),
        (br#"{"a" 1}"#, "`:` after a key"),
        (br#"{a:1}"#, "a key in double quotes"),
        (br#"{"a":01}"#, "`,` or `}`"),
        (br#"{"a":1.}"#, "a digit"),
        (br#"{"a":+1}"#, "a JSON value"),
        (br#"{"a":NaN}"#, "a JSON value"),
        (br#"{"a":tru}"#, "true"),
        (b"{\"a\":\"\n\"}", "control characters"),
        (br#"{"a":"\x41"}"#, "a known escape"),
        (br#"{"a":"\ud800"}"#, "a paired surrogate"),
        (br#"{"a":"\ud800\u0041"}"#, "a paired surrogate"),
    ];
    for (bytes, says) in cases {
        let refusal = refused(bytes);
        let shown = String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(refusal.error.code(), PARSE_ERROR, "{shown}");
        assert!(refusal.to_string().contains(says), "{shown}: {refusal}");
        assert_eq!(refusal.status(crate::Era::Legacy), 400);
        assert_eq!(refusal.status(crate::Era::Modern), 400);
    }
}

#[test]
fn duplicate_keys_are_refused_at_any_depth_and_spelling() {
    for text in [
        r#"{"jsonrpc":"2.0","id":7,"method":"x","method":"y"}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"name":"a","n\u0061me":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":[{"b":{"c":1,"d":2,"c":1}}]}}"#,
    ] {
        let refusal = refused(text.as_bytes());
        assert!(matches!(refusal.error, Error::DuplicateKey { .. }), "{text}");
        assert_eq!(refusal.id, Some(RequestId::Number(7)), "{text}");
        assert_eq!(refusal.error.code(), INVALID_REQUEST);
    }
    let twice = refused(br#"{"jsonrpc":"2.0","id":7,"id":8,"method":"x"}"#);
    assert_eq!(twice.id, None, "an id that is there twice is nobody's");
}

#[test]
fn look_alike_keys_are_refused() {
    for (text, known) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}"#, "method"),
        (r#"{"JSONRPC":"2.0","jsonrpc":"2.0","id":1,"method":"x"}"#, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","param\u017f":{}}"#, "params"),
        (r#"{"jsonrpc":"2.0","id":1,"ID":2,"method":"x"}"#, "id"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#, "name"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Arguments":{}}}"#, "arguments"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"ta\u212aid":"a"}}"#, ""),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"tas\u212aId":"a"}}"#, "taskId"),
    ] {
        match (parse(text.as_bytes(), Limits::default()), known) {
            (Ok(_), "") => {}
            (Err(Refusal { error: Error::CaseVariant { known: found, .. }, id }), known) => {
                assert_eq!(found, known, "{text}");
                assert_eq!(id, Some(RequestId::Number(1)));
            }
            (other, _) => panic!("{text}: {other:?}"),
        }
    }
    // Arguments belong to the tool: it may have any keys.
    one(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"Name":1,"name":2}}}"#);
}

#[test]
fn keys_that_json_libraries_interpret_are_refused() {
    for key in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{{"{key}":"{{}}"}}}}}}"#);
        assert!(matches!(refused(text.as_bytes()).error, Error::ReservedKey { .. }));
    }
}

#[test]
fn depth_is_limited_and_needs_no_stack() {
    let nested = |depth: usize, open: &str, close: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}1{}}}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    assert!(parse_one(nested(62, "[", "]").as_bytes(), 64).is_ok(), "64 levels with the envelope's two");
    for depth in [63, 10_000, 1_000_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let refusal = refused(nested(depth, open, close).as_bytes());
            assert_eq!(refusal.error, Error::TooDeep { limit: 64 });
            assert_eq!(refusal.id, Some(RequestId::Number(1)));
        }
    }
    assert_eq!(refused("[".repeat(10_000).as_bytes()).error, Error::TooDeep { limit: 64 });
}

#[test]
fn values_are_counted_at_every_level() {
    let text = |items: usize| format!("[[{}]]", vec!["{}"; items].join(","));
    assert!(json::parse(text(json::MAX_VALUES - 2).as_bytes(), 64).is_ok());
    let error = json::parse(text(json::MAX_VALUES - 1).as_bytes(), 64).unwrap_err();
    assert_eq!(error, Error::TooManyValues { limit: json::MAX_VALUES });
    assert_eq!((error.code(), error.status(crate::Era::Legacy).as_u16()), (-32600, 400));
}

#[test]
fn wrong_envelopes_are_refused() {
    for (text, code, id) in [
        ("7", INVALID_REQUEST, None),
        (r#""x""#, INVALID_REQUEST, None),
        ("{}", INVALID_REQUEST, None),
        (r#"{"id":1,"method":"x"}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":2.0,"id":1,"method":"x"}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":1e3,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":-0,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":true,"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#, INVALID_PARAMS, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#, INVALID_PARAMS, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":"a"}"#, INVALID_PARAMS, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","result":{}}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, INVALID_REQUEST, None),
        (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"message":"no"}}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":"no"}}"#, INVALID_REQUEST, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1.5,"error":{"code":1,"message":"no"}}"#, INVALID_REQUEST, None),
    ] {
        let refusal = refused(text.as_bytes());
        assert_eq!((refusal.error.code(), refusal.id.clone()), (code, id.map(RequestId::Number)), "{text}");
        let response = Message::from(refusal.response()).to_value();
        assert_eq!(response.pointer("/error/code"), Some(&json!(code)));
        assert_eq!(response.get("id").is_some(), id.is_some(), "an unread id is left out");
    }
}

#[test]
fn batches_exist_only_where_they_are_allowed() {
    let body = br#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"}]"#;
    assert_eq!(refused(body).error, Error::BatchRefused);
    assert_eq!(parse_one(body, 64).expect_err("one only").error, Error::BatchRefused);
    let allowed = Limits { batch: 2, ..Limits::default() };
    assert!(matches!(parse(body, allowed), Ok(Incoming::Batch(messages)) if messages.len() == 2));
    let refuse = |text: &str| parse(text.as_bytes(), allowed).expect_err("must be refused").error;
    assert!(matches!(refuse("[]"), Error::InvalidRequest(_)));
    assert!(matches!(refuse("[1]"), Error::InvalidRequest(_)));
    assert!(matches!(refuse("[[]]"), Error::InvalidRequest(_)));
    assert!(matches!(refuse(r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{}]"#), Error::InvalidRequest(_)));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert!(matches!(refuse(&format!("[{ping},{ping}]")), Error::InvalidRequest(_)));
    assert_eq!(refuse(&format!("[{ping},{ping},{ping}]")), Error::BatchTooLong { limit: 2 });
}

#[test]
fn ten_megabytes_are_read_or_refused() {
    let long = "x".repeat(10 << 20);
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":"{long}"}}}}"#);
    assert!(matches!(one(&text), Message::Request(r) if r.param_str("a").map(str::len) == Some(10 << 20)));
    assert_eq!(refused(&text.as_bytes()[..text.len() - 3]).error.code(), PARSE_ERROR);
}

#[test]
fn what_is_forwarded_is_written_anew() {
    let text = concat!(
        r#" { "zeta" : [ ] , "method":"tools\/call", "jsonrpc":"2.0", "id":9007199254740993, "params": "#,
        r#"{"z":1.0,"name":"\u0061","a":1e400,"big":123456789012345678901234567890,"neg":-0.0,"s":"\ud83d\ude00é"}} "#
    );
    let expected = concat!(
        r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":"#,
        r#"{"z":1.0,"name":"a","a":1e400,"big":123456789012345678901234567890,"neg":-0.0,"s":"😀é"},"zeta":[]}"#
    );
    assert_eq!(String::from_utf8(one(text).to_vec()).expect("UTF-8"), expected);
}

#[test]
fn unknown_members_of_errors_survive() {
    let text = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-3,"message":"m","data":[1.50],"hint":"h"},"trace":"t"}"#;
    assert_eq!(String::from_utf8(one(text).to_vec()).expect("UTF-8"), text);
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?"
        .prop_map(|text| json::parse(text.as_bytes(), 1).expect("the grammar of numbers"));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number,
        any::<String>().prop_map(Value::String)
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes, Limits { depth: 8, batch: 4 });
    }

    #[test]
    fn nearly_json_never_panics(text in r#"[\[\]{}:,"\\ u0-9a-fedn.+-]{0,200}"#) {
        let _ = parse(text.as_bytes(), Limits { depth: 8, batch: 4 });
    }

    /// What this parser accepts, `serde_json` accepts and understands alike.
    #[test]
    fn agrees_with_another_parser(text in r#"[\[\]{}:,"\\ u0-9a-fedntrl.+-]{0,40}"#) {
        if let Ok(ours) = json::parse(text.as_bytes(), 100) {
            let theirs: Value = serde_json::from_str(&text).expect("accepted here, refused there");
            let again: Value = serde_json::from_slice(&json::to_vec(&ours)).expect("what was written is read");
            prop_assert_eq!(again, theirs, "but for the spelling of exponents");
        }
    }

    #[test]
    fn writing_and_reading_is_faithful(value in arbitrary_json()) {
        let bytes = json::to_vec(&value);
        let again = json::parse(&bytes, 128).expect("what was written is read");
        prop_assert_eq!(&again, &value);
        prop_assert_eq!(json::to_vec(&again), bytes, "order and numbers are kept");
        let spaced = serde_json::to_vec_pretty(&value).expect("a value");
        prop_assert_eq!(json::parse(&spaced, 128).expect("white space is nothing"), value.clone());
        prop_assert_eq!(canonical(&again), canonical(&value));
    }

    #[test]
    fn messages_survive_a_round_trip(id in any::<i64>(), method in "[a-z/]{1,20}", value in arbitrary_json()) {
        let params = Object::from_iter([("x-value".to_owned(), value)]);
        let message = Message::from(Request::new(id, method, Some(params)));
        prop_assert_eq!(json::to_vec(&message.to_value()), message.to_vec(), "two ways to write, one text");
        prop_assert_eq!(parse_one(&message.to_vec(), 64).expect("well-formed"), message);
    }

    #[test]
    fn canonical_text_ignores_order(mut members in prop::collection::btree_map(any::<String>(), any::<i64>(), 0..8)) {
        let forward: Value = members.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Object>().into();
        let backward: Value = members.iter().rev().map(|(k, v)| (k.clone(), json!(v))).collect::<Object>().into();
        prop_assert_eq!(json::digest(&forward), json::digest(&backward));
        if let Some((_, first)) = members.iter_mut().next() {
            *first = first.wrapping_add(1);
            let other: Value = members.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Object>().into();
            prop_assert_ne!(json::digest(&forward), json::digest(&other));
        }
    }
}
