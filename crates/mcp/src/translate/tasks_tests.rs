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
    let mut result = object(json!({"content": [], "isError": true}));
    relate(&mut result, "t");
    let done = got_to_modern(&with(legacy(), json!({"status": "failed"})), Some(&Outcome::Result(result)));
    let expected = json!({"content": [], "isError": true, "resultType": "complete"});
    assert_eq!((&done["status"], &done["result"]), (&json!("completed"), &expected));
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
fn questions_are_shown_under_their_keys_and_only_those_that_were_looked_at() {
    let form = object(json!({"message": "Who?"}));
    let asked = crate::envelope::Request::new(1, "elicitation/create", Some(form));
    let question = InputRequest::from_request(&asked).expect("a question");
    let smuggled = with(
        legacy(),
        json!({"status": "input_required", "inputRequests": {"x": {"method": "sampling/createMessage"}}, "result": {}, "error": {}}),
    );
    let asking = asking_to_modern(&smuggled, vec![("input-1".to_owned(), question)]);
    let shown = json!({"input-1": {"method": "elicitation/create", "params": {"message": "Who?"}}});
    let expected =
        with(modern(), json!({"status": "input_required", "inputRequests": shown, "resultType": "complete"}));
    assert_eq!(Value::Object(asking), Value::Object(expected));
    for quiet in [
        asking_to_modern(&smuggled, Vec::new()),
        got_to_modern(&with(smuggled.clone().into(), json!({"status": "working"})), None),
    ] {
        assert_eq!(Value::Object(quiet), Value::Object(with(modern(), json!({"resultType": "complete"}))));
    }
    let created = created_to_modern(&object(json!({ "task": smuggled }))).expect("a task");
    assert!(INLINED.iter().all(|key| !created.contains_key(*key)), "{created:?}");
}

#[test]
fn outcomes_reach_a_modern_client_in_its_eras_terms() {
    let gone = got_to_modern(&object(legacy()), Some(&Outcome::Error(RpcError::new(-32002, "no such resource"))));
    assert_eq!((&gone["status"], &gone["error"]["code"]), (&json!("failed"), &json!(-32602)));
    let round = Outcome::Result(object(json!({"resultType": "input_required", "content": []})));
    assert_eq!(got_to_modern(&object(legacy()), Some(&round))["result"]["resultType"], "complete");
}

#[test]
fn task_support_capability_and_status_are_read_with_the_safe_default() {
    for (definition, support) in [
        (json!({"execution": {"taskSupport": "required"}}), TaskSupport::Required),
        (json!({"execution": {"taskSupport": "optional"}}), TaskSupport::Optional),
        (json!({"execution": {"taskSupport": "forbidden"}}), TaskSupport::Forbidden),
        (json!({"execution": {"taskSupport": "Required"}}), TaskSupport::Forbidden),
        (json!({"execution": "required"}), TaskSupport::Forbidden),
        (json!({}), TaskSupport::Forbidden),
    ] {
        assert_eq!(TaskSupport::of(&definition), support, "{definition}");
    }
    for (capabilities, takes) in [
        (json!({"tasks": {"requests": {"tools": {"call": {}}}}}), true),
        (json!({"tasks": {"requests": {"tools": {"call": true}}}}), false),
        (json!({"tasks": {"requests": {"tools": {}}}}), false),
        (json!({"extensions": {"io.modelcontextprotocol/tasks": {}}}), false),
    ] {
        assert_eq!(offered(&object(capabilities.clone())), takes, "{capabilities}");
    }
    for (status, read) in [
        (json!("working"), Status::Working),
        (json!("input_required"), Status::InputRequired),
        (json!("completed"), Status::Ended),
        (json!("failed"), Status::Ended),
        (json!("cancelled"), Status::Cancelled),
        (json!("else"), Status::Working),
        (json!(7), Status::Working),
    ] {
        assert_eq!(Status::of(&with(legacy(), json!({"status": status}))), read, "{status}");
    }
}

#[test]
fn messages_say_which_task_they_belong_to_and_lose_it_without_a_trace() {
    let mut params = object(json!({"a": 1}));
    relate(&mut params, "t");
    assert_eq!(related(Some(&params)), Some("t"));
    unrelate(&mut params);
    assert_eq!((Value::Object(params.clone()), related(Some(&params)), related(None)), (json!({"a": 1}), None, None));
    let mut kept = object(json!({"_meta": {"v/x": 1}}));
    unrelate(&mut kept);
    assert_eq!(Value::Object(kept), json!({"_meta": {"v/x": 1}}));
}

proptest::proptest! {
    #[test]
    fn no_task_of_an_upstream_shows_what_was_not_looked_at(
        status in "[a-z_]{0,14}", keys in proptest::collection::vec("result|error|inputRequests|task|_meta|x", 0..6)
    ) {
        let mut task = with(legacy(), json!({"status": status}));
        for key in keys { task.insert(key, json!({"taskId": "other"})); }
        for shown in [got_to_modern(&task, None), asking_to_modern(&task, Vec::new())] {
            proptest::prop_assert!(INLINED.iter().all(|key| !shown.contains_key(*key)));
            proptest::prop_assert_eq!(&shown["resultType"], "complete");
        }
    }
}

#[test]
fn a_request_for_a_task_is_taken_out() {
    let mut params = object(json!({"name": "a", "task": {"ttl": 1}}));
    assert!(take_request(&mut params));
    assert!(!take_request(&mut params));
    put_request(&mut params, 5);
    assert_eq!(params["task"], json!({"ttl": 5}));
    assert!(take_request(&mut params));
    assert_eq!(Value::Object(params), json!({"name": "a"}));
}
