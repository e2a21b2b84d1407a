use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::errors::HEADER_MISMATCH;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    map
}

fn request(method: &str, params: Value) -> Request {
    Request::new(1, method, params.as_object().cloned())
}

fn mismatch(request: &Request, pairs: &[(&str, &str)], schema: Option<&Value>) -> bool {
    match check(request, &headers(pairs), schema) {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error.code(), HEADER_MISMATCH, "{error}");
            true
        }
    }
}

#[test]
fn method_and_name_must_match() {
    let call = request("tools/call", json!({"name": "foo"}));
    let method = ("Mcp-Method", "tools/call");
    assert!(!mismatch(&call, &[method, ("Mcp-Name", "foo")], None));
    assert!(!mismatch(&call, &[("mcp-method", "tools/call"), ("MCP-NAME", "  foo \t")], None));
    assert!(!mismatch(&call, &[method, ("Mcp-Name", "=?base64?Zm9v?=")], None));
    for pairs in [
        &[("Mcp-Name", "foo")][..],
        &[("Mcp-Method", "TOOLS/CALL"), ("Mcp-Name", "foo")],
        &[("Mcp-Method", "prompts/get"), ("Mcp-Name", "foo")],
        &[method],
        &[method, ("Mcp-Name", "bar")],
        &[method, ("Mcp-Name", "Foo")],
        &[method, ("Mcp-Name", "foo"), ("Mcp-Name", "foo")],
        &[method, method, ("Mcp-Name", "foo")],
        &[method, ("Mcp-Name", "=?base64?Zm9?=")],
        &[method, ("Mcp-Name", "=?base64?Zm9v!?=")],
        &[method, ("Mcp-Name", "=?base64?/w==?=")],
        &[method, ("Mcp-Name", "=?BASE64?Zm9v?=")],
        &[method, ("Mcp-Name", "fo\u{f6}")],
    ] {
        assert!(mismatch(&call, pairs, None), "{pairs:?}");
    }
    let read = request("resources/read", json!({"uri": "file:///é"}));
    assert!(!mismatch(&read, &[("Mcp-Method", "resources/read"), ("Mcp-Name", "=?base64?ZmlsZTovLy/DqQ==?=")], None));
    let nameless = request("tools/call", json!({}));
    assert!(matches!(check(&nameless, &headers(&[method, ("Mcp-Name", "x")]), None), Err(Error::InvalidParams(_))));
    let task = request("tasks/get", json!({"taskId": "t"}));
    assert!(!mismatch(&task, &[("Mcp-Method", "tasks/get")], None));
    assert!(mismatch(&task, &[("Mcp-Method", "tasks/get"), ("Mcp-Name", "u")], None));
    assert!(!mismatch(&request("tools/list", json!({})), &[("Mcp-Method", "tools/list")], None));
}

#[test]
fn values_are_encoded_as_the_specification_shows() {
    for (text, encoded) in [
        ("us-west1", "us-west1"),
        ("us west 1", "us west 1"),
        ("", ""),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("line1\r\nline2", "=?base64?bGluZTENCmxpbmUy?="),
        ("\tindented", "=?base64?CWluZGVudGVk?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ] {
        assert_eq!(encode_value(text), encoded);
        assert_eq!(decode_value("h", encoded).as_deref(), Ok(text));
    }
    for literal in ["SGVsbG8=", "=?base64?SGVsbG8=", "=?BASE64?SGVsbG8=?="] {
        assert_eq!(decode_value("h", literal).as_deref(), Ok(literal));
    }
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "limits": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
        "dry": {"type": ["boolean", "null"], "x-mcp-header": "Dry-Run"},
        "x-mcp-header": {"type": "object"},
        "query": {"type": "string", "default": {"x-mcp-header": "not an annotation"}},
    }})
}

#[test]
fn annotated_parameters_must_match() {
    let schema = schema();
    let call = |arguments: Value| request("tools/call", json!({"name": "sql", "arguments": arguments}));
    let base = [("Mcp-Method", "tools/call"), ("Mcp-Name", "sql")];
    let with = |more: &[(&'static str, &'static str)]| base.iter().chain(more).copied().collect::<Vec<_>>();
    let full = call(json!({"region": "us-west1", "limits": {"count": 42}, "dry": true}));
    let right = [("Mcp-Param-Region", "us-west1"), ("Mcp-Param-Count", "42"), ("Mcp-Param-Dry-Run", "true")];
    assert!(!mismatch(&full, &with(&right), Some(&schema)));
    for (index, wrong) in
        [(0, "us-west2"), (0, "US-WEST1"), (1, "43"), (1, "forty-two"), (1, "042"), (2, "TRUE"), (2, "1")]
    {
        let mut pairs = right;
        pairs[index].1 = wrong;
        assert!(mismatch(&full, &with(&pairs), Some(&schema)), "{wrong}");
    }
    for same in ["42.0", "4.2e1", "=?base64?NDI=?="] {
        let mut pairs = right;
        pairs[1].1 = same;
        assert!(!mismatch(&full, &with(&pairs), Some(&schema)), "{same}");
    }
    assert!(mismatch(&full, &with(&right[..2]), Some(&schema)), "missing");
    assert!(mismatch(&full, &with(&[right[0], right[0], right[1], right[2]]), Some(&schema)), "twice");
    let none = call(json!({"region": null, "limits": {}}));
    assert!(!mismatch(&none, &base, Some(&schema)));
    assert!(mismatch(&none, &with(&right[..1]), Some(&schema)), "a header for an absent argument");
    assert!(!mismatch(&none, &with(&[("Mcp-Param-Other", "x")]), Some(&schema)), "unrecognised headers are ignored");
    for unfit in [
        json!({"region": ["us-west1"]}),
        json!({"limits": {"count": 0.5}}),
        json!({"limits": {"count": 9007199254740992_i64}}),
    ] {
        assert!(mismatch(&call(unfit), &base, Some(&schema)));
    }
}

#[test]
fn upstream_headers_are_made_from_the_body() {
    let body = request(
        "tools/call",
        json!({"name": "größe", "arguments": {"region": "eu", "limits": {"count": 42.0}, "dry": null}}),
    );
    let made = encode(&body, ProtocolVersion::LATEST, Some(&schema())).expect("encodable");
    let made: Vec<_> = made.iter().map(|(k, v)| (k.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(
        made,
        [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
            ("mcp-param-region", "eu"),
            ("mcp-param-count", "42"),
        ]
    );
    assert!(encode(&request("tools/lïst", json!({})), ProtocolVersion::LATEST, None).is_err());
    assert!(encode(&request("x\ny", json!({})), ProtocolVersion::LATEST, None).is_err());
    assert!(encode(&request("tools/call", json!({})), ProtocolVersion::LATEST, None).is_err());
}

#[test]
fn invalid_annotations_are_refused() {
    let on = |property: Value| json!({"type": "object", "properties": {"p": property}});
    for schema in [
        on(json!({"type": "string", "x-mcp-header": ""})),
        on(json!({"type": "string", "x-mcp-header": "My Region"})),
        on(json!({"type": "string", "x-mcp-header": "Region:Primary"})),
        on(json!({"type": "string", "x-mcp-header": "Région"})),
        on(json!({"type": "string", "x-mcp-header": "Region\t1"})),
        on(json!({"type": "string", "x-mcp-header": "a\r\nEvil: 1"})),
        on(json!({"type": "string", "x-mcp-header": 7})),
        on(json!({"type": "number", "x-mcp-header": "A"})),
        on(json!({"type": "array", "x-mcp-header": "A"})),
        on(json!({"type": "object", "x-mcp-header": "A"})),
        on(json!({"type": "null", "x-mcp-header": "A"})),
        on(json!({"type": ["string", "integer"], "x-mcp-header": "A"})),
        on(json!({"x-mcp-header": "A"})),
        on(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}})),
        on(json!({"anyOf": [{"type": "string", "x-mcp-header": "A"}]})),
        on(json!({"not": {"properties": {"q": {"type": "string", "x-mcp-header": "A"}}}})),
        json!({"type": "object", "x-mcp-header": "A"}),
        json!({"type": "object", "$defs": {"d": {"type": "string", "x-mcp-header": "A"}}}),
        json!({"type": "object", "then": {"properties": {"q": {"type": "string", "x-mcp-header": "A"}}}}),
        json!({"type": "object", "properties": {
            "a": {"type": "string", "x-mcp-header": "Region"}, "b": {"type": "string", "x-mcp-header": "REGION"}}}),
    ] {
        assert!(matches!(param_headers(&schema), Err(Error::HeaderAnnotation(_))), "{schema}");
    }
    assert_eq!(param_headers(&schema()).expect("valid").len(), 3);
    assert_eq!(param_headers(&json!({})).expect("none"), []);
}

proptest! {
    #[test]
    fn values_survive_encoding(text in any::<String>()) {
        let encoded = encode_value(&text);
        prop_assert!(HeaderValue::from_str(&encoded).is_ok());
        prop_assert_eq!(decode_value("h", &encoded), Ok(text));
    }

    #[test]
    fn arbitrary_values_never_panic(text in any::<String>()) {
        let _ = decode_value("h", &text);
        let _ = decode_value("h", &format!("=?base64?{text}?="));
    }

    #[test]
    fn what_is_encoded_checks(name in any::<String>(), region in any::<String>(), count in -9007199254740991_i64..=9007199254740991, dry in any::<bool>()) {
        let body = request("tools/call", json!({"name": name, "arguments": {"region": region, "limits": {"count": count}, "dry": dry}}));
        let made = encode(&body, ProtocolVersion::LATEST, Some(&schema())).expect("encodable");
        prop_assert_eq!(check(&body, &made, Some(&schema())), Ok(()));
    }
}
