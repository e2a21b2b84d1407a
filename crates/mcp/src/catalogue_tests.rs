use proptest::prelude::*;
use serde_json::json;

use super::*;

fn result() -> Object {
    let result = json!({
        "tools": [
            {"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true, "title": "Read"}},
            {"name": "wipe", "title": "Wipe", "inputSchema": {"type": "object"}, "x": 1.50},
            {"name": "twin", "inputSchema": {}}, {"name": "twin", "inputSchema": {"type": "object"}},
            {"name": ""}, {"inputSchema": {}}, "nonsense", {"name": "bare"},
        ],
        "nextCursor": "c", "unknown": [1.0], "_meta": {"a": 1},
    });
    result.as_object().cloned().expect("object")
}

#[test]
fn pages_are_read_and_the_unusable_rejected() {
    let page = read_page(ListKind::Tools, &result()).expect("a page");
    let names: Vec<_> = page.definitions.iter().map(|d| d.key.as_str()).collect();
    assert_eq!((names, page.rejected.len(), page.next_cursor.as_deref()), (vec!["read", "wipe"], 6, Some("c")));
    let [read, wipe] = &page.definitions[..] else { panic!("two") };
    assert_eq!(read.annotations, Annotations { read_only: true, ..Annotations::default() });
    assert_eq!((read.title.as_deref(), wipe.title.as_deref()), (Some("Read"), Some("Wipe")));
    let worst = Annotations { read_only: false, destructive: true, idempotent: false, open_world: true };
    assert_eq!(wipe.annotations, worst);
    assert_eq!(Annotations::read(Some(&json!({"readOnlyHint": "true", "destructiveHint": 0}))), worst);
    assert!(read_page(ListKind::Tools, &Object::new()).is_err());
    assert!(read_page(ListKind::Prompts, &result()).is_err());
}

#[test]
fn other_kinds_have_their_own_keys() {
    for (kind, key) in
        [(ListKind::Resources, "uri"), (ListKind::ResourceTemplates, "uriTemplate"), (ListKind::Prompts, "name")]
    {
        let result = json!({ (kind.member()): [{(key): "a", "annotations": {"readOnlyHint": true}}, {"id": "b"}] });
        let page = read_page(kind, result.as_object().expect("object")).expect("a page");
        assert_eq!((page.definitions.len(), page.rejected.len()), (1, 1));
        assert_eq!(page.definitions[0].annotations, Annotations::default(), "hints are of tools only");
    }
}

#[test]
fn filtering_keeps_everything_else() {
    let mut filtered = result();
    filter(ListKind::Tools, &mut filtered, |tool| tool.key != "read").expect("a list");
    let mut expected = result();
    expected["tools"] = json!([result()["tools"][1]]);
    assert_eq!(json::to_vec(&filtered.into()), json::to_vec(&expected.into()), "byte for byte");
    let mut none = result();
    filter(ListKind::Tools, &mut none, |_| false).expect("a list");
    assert_eq!(none["tools"], json!([]));
    assert!(filter(ListKind::Prompts, &mut none, |_| true).is_err(), "a missing list is not an empty one");
}

#[test]
fn the_hash_sees_changes_and_not_order() {
    let hash = |text: &str| {
        let raw = json::parse(text.as_bytes(), 64).expect("JSON");
        Definition::read(ListKind::Tools, raw).expect("a tool").hash()
    };
    let base = hash(r#"{"name":"a","inputSchema":{"b":1,"a":2},"description":"d"}"#);
    assert_eq!(base, hash(r#" {"description":"\u0064","inputSchema":{"a":2,"b":1},"name":"a"}"#));
    for other in [
        r#"{"name":"a","inputSchema":{"b":1.0,"a":2},"description":"d"}"#,
        r#"{"name":"a","inputSchema":{"b":1,"a":2},"description":"d "}"#,
        r#"{"name":"a","inputSchema":{"b":1,"a":2},"description":"d","annotations":{"readOnlyHint":true}}"#,
        r#"{"name":"a","inputSchema":{"b":1,"a":2},"description":"d","_meta":{}}"#,
    ] {
        assert_ne!(base, hash(other), "{other}");
    }
    assert_eq!(
        json::canonical(&json!({"b": [1, "é\n", null], "a": {"d": true, "c": {}}})),
        r#"{"a":{"c":{},"d":true},"b":[1,"é\n",null]}"#
    );
}

proptest! {
    #[test]
    fn filtering_never_adds(names in prop::collection::vec("[a-c]{0,2}", 0..8), keep in "[a-c]{1,2}") {
        let tools: Vec<_> = names.iter().map(|name| json!({"name": name, "inputSchema": {}})).collect();
        let mut result = Object::from_iter([("tools".to_owned(), tools.into())]);
        filter(ListKind::Tools, &mut result, |tool| tool.key == keep).expect("a list");
        let shown = result["tools"].as_array().map_or(0, Vec::len);
        let meant = names.iter().filter(|name| **name == keep).count();
        prop_assert_eq!(shown, usize::from(meant == 1), "once, or not at all when it is ambiguous");
    }
}
