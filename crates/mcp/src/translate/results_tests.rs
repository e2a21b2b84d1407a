use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("object")
}

#[test]
fn modern_members_are_added_where_the_method_demands_them() {
    let mut list = object(json!({"tools": [], "nextCursor": "c", "x": 1.0}));
    to_modern("tools/list", &mut list, 5_000);
    let expected = json!({"tools": [], "nextCursor": "c", "x": 1.0, "resultType": "complete", "ttlMs": 5000, "cacheScope": "private"});
    assert_eq!(Value::Object(list.clone()), expected);
    to_legacy("tools/list", &mut list);
    assert_eq!(Value::Object(list), json!({"tools": [], "nextCursor": "c", "x": 1.0}));
    let mut call = object(json!({"content": []}));
    to_modern("tools/call", &mut call, 5_000);
    assert_eq!(Value::Object(call), json!({"content": [], "resultType": "complete"}));
}

#[test]
fn a_legacy_upstream_cannot_open_a_round_trip_or_a_cache() {
    let mut result = object(json!({
        "resultType": "input_required", "inputRequests": {}, "contents": [], "cacheScope": "public", "ttlMs": -5,
    }));
    to_modern("resources/read", &mut result, 0);
    assert_eq!(
        (&result["resultType"], &result["cacheScope"], &result["ttlMs"]),
        (&json!("complete"), &json!("private"), &json!(0))
    );
}

#[test]
fn a_modern_upstreams_lists_become_private() {
    let mut result = object(json!({"resultType": "complete", "tools": [], "ttlMs": 7, "cacheScope": "public"}));
    make_private("tools/list", &mut result);
    assert_eq!((&result["cacheScope"], &result["ttlMs"]), (&json!("private"), &json!(7)));
    for (method, result) in
        [("tools/call", json!({"resultType": "complete"})), ("resources/read", json!({"resultType": "input_required"}))]
    {
        let mut after = object(result.clone());
        make_private(method, &mut after);
        assert_eq!(Value::Object(after), result);
    }
}

#[test]
fn a_tasks_time_to_live_is_not_a_caches() {
    let mut task = object(json!({"taskId": "t", "ttlMs": 7, "resultType": "complete"}));
    to_legacy("tasks/get", &mut task);
    assert_eq!(Value::Object(task), json!({"taskId": "t", "ttlMs": 7}));
}

#[test]
fn result_types_are_told_apart() {
    for (result, kind) in [
        (json!({}), ResultType::Complete),
        (json!({"resultType": "complete"}), ResultType::Complete),
        (json!({"resultType": "input_required"}), ResultType::InputRequired),
        (json!({"resultType": "task"}), ResultType::Task),
        (json!({"resultType": "Complete"}), ResultType::Other("Complete")),
        (json!({"resultType": null}), ResultType::Other("")),
    ] {
        assert_eq!(ResultType::of(&object(result)), kind);
    }
}
