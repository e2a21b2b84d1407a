use super::*;

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("object")
}

fn legacy() -> Value {
    json!({"taskId": "t", "status": "working", "createdAt": "2025-11-25T10:30:00Z", "lastUpdatedAt": "2025-11-25T10:30:00Z", "ttl": null, "pollInterval": 5000})
}

fn modern() -> Value {
    json!({"taskId": "t", "status": "working", "createdAt": "2025-11-25T10:30:00Z", "lastUpdatedAt": "2025-11-25T10:30:00Z", "ttlMs": null, "pollIntervalMs": 5000})
}

fn with(mut base: Value, more: Value) -> Object {
    base.as_object_mut().expect("object").extend(object(more));
    object(base)
}

#[test]
fn created_tasks_cross_both_ways() {
    let created = object(json!({"_meta": {"v/x": 1}, "task": legacy()}));
    let there = created_to_modern(&created).expect("a task");
    assert_eq!(
        Value::Object(there.clone()),
        Value::Object(with(modern(), json!({"_meta": {"v/x": 1}, "resultType": "task"})))
    );
    assert_eq!(created_to_legacy(&there), Ok(created));
    assert_eq!(created_to_modern(&object(json!({"content": [], "task": "x"}))), None);
    assert_eq!(created_to_modern(&object(json!({"task": {"status": "working"}}))), None);
    assert!(created_to_legacy(&object(json!({"resultType": "task"}))).is_err());
}

#[test]
fn polled_tasks_cross_both_ways() {
    let polled = got_to_modern(&object(legacy()), None);
    assert_eq!(Value::Object(polled.clone()), Value::Object(with(modern(), json!({"resultType": "complete"}))));
    assert_eq!(Value::Object(got_to_legacy(&polled)), legacy());
    let result = object(json!({"content": [], "isError": true}));
    let done = got_to_modern(&with(legacy(), json!({"status": "failed"})), Some(&Outcome::Result(result.clone())));
    assert_eq!((&done["status"], &done["result"]), (&json!("completed"), &Value::Object(result)));
    let failed = got_to_modern(&object(legacy()), Some(&Outcome::Error(RpcError::new(-1, "m"))));
    assert_eq!((&failed["status"], &failed["error"]), (&json!("failed"), &json!({"code": -1, "message": "m"})));
    assert!(got_to_legacy(&failed).get("error").is_none());
}

#[test]
fn outcomes_come_out_when_there_is_one() {
    assert_eq!(outcome(&object(modern())), Ok(None));
    assert_eq!(outcome(&with(modern(), json!({"status": "input_required", "inputRequests": {}}))), Ok(None));
    let done = with(modern(), json!({"status": "completed", "result": {"content": [], "resultType": "complete"}}));
    let expected = json!({"content": [], "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}});
    assert_eq!(outcome(&done), Ok(Some(Outcome::Result(object(expected)))));
    let failed = with(modern(), json!({"status": "failed", "error": {"code": -5, "message": "m", "data": 1}}));
    assert!(matches!(outcome(&failed), Ok(Some(Outcome::Error(e))) if e.code == -5 && e.data == Some(json!(1))));
    assert!(matches!(outcome(&with(modern(), json!({"status": "cancelled"}))), Ok(Some(Outcome::Error(_)))));
    for broken in [
        json!({"status": "completed"}),
        json!({"status": "failed"}),
        json!({"status": "failed", "error": 1}),
        json!({"status": "completed", "result": 1}),
    ] {
        assert!(matches!(outcome(&with(modern(), broken)), Err(Error::ResultShape(_))));
    }
}

#[test]
fn a_request_for_a_task_is_taken_out() {
    let mut params = object(json!({"name": "a", "task": {"ttl": 1}}));
    assert!(take_request(&mut params));
    assert!(!take_request(&mut params));
    assert_eq!(Value::Object(params), json!({"name": "a"}));
}
