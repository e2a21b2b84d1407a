use serde_json::json;

use super::*;
use crate::methods::{Answerer, rule};

fn object(value: Value) -> Object {
    value.as_object().cloned().expect("object")
}

fn notification(method: &str, params: Value) -> Notification {
    Notification::new(method, params.as_object().cloned())
}

fn filter(wanted: Value) -> Result<Filter, Error> {
    Filter::read(Some(&object(json!({"notifications": wanted}))))
}

#[test]
fn nothing_is_sent_that_was_not_asked_for() {
    let all = [
        notification("notifications/tools/list_changed", json!(null)),
        notification("notifications/prompts/list_changed", json!(null)),
        notification("notifications/resources/list_changed", json!({})),
        notification("notifications/resources/updated", json!({"uri": "file:///a/b"})),
        notification("notifications/tasks", json!({"taskId": "t"})),
        notification("notifications/message", json!({"level": "info"})),
        notification("notifications/progress", json!({"progressToken": 1})),
        notification("notifications/x", json!({})),
    ];
    for (wanted, passed) in [
        (json!({}), &[][..]),
        (json!({"toolsListChanged": true}), &[0]),
        (json!({"toolsListChanged": false, "promptsListChanged": true}), &[1]),
        (json!({"resourcesListChanged": true}), &[2]),
        (json!({"resourceSubscriptions": ["file:///a/b"]}), &[3]),
        (json!({"resourceSubscriptions": ["file:///a"]}), &[3]),
        (json!({"resourceSubscriptions": ["file:///a/"]}), &[3]),
        (json!({"resourceSubscriptions": ["file:///a/b/c", "file:///", "x"]}), &[3]),
        (json!({"resourceSubscriptions": ["file:///a/bb"]}), &[]),
        (json!({"taskIds": ["t"], "unknown": true}), &[4]),
        (json!({"taskIds": ["u"]}), &[]),
    ] {
        let filter = filter(wanted.clone()).expect("a filter");
        let wants: Vec<usize> = (0..all.len()).filter(|i| filter.wants(&all[*i])).collect();
        assert_eq!(wants, passed, "{wanted}");
    }
    let under_a = filter(json!({"resourceSubscriptions": ["file:///a"]})).expect("a filter");
    for uri in ["file:///ab", "file:///a/../secret", "file:///A/b", "file:///"] {
        assert!(!under_a.wants(&notification("notifications/resources/updated", json!({"uri": uri}))), "{uri}");
    }
}

#[test]
fn filters_are_limited_to_what_is_offered() {
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["a:b"]});
    let mut limited = filter(wanted.clone()).expect("a filter");
    limited.limit_to(&object(
        json!({"tools": {"listChanged": true}, "prompts": {}, "resources": {"listChanged": false, "subscribe": true}}),
    ));
    assert_eq!(Value::Object(limited.to_object()), json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}));
    let mut tasks = filter(json!({"taskIds": ["t"]})).expect("a filter");
    tasks.limit_to(&object(json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})));
    assert_eq!(tasks.task_ids, ["t"]);
    tasks.limit_to(&object(json!({"tasks": {}})));
    assert!(tasks.is_empty());
    let mut nothing = filter(wanted).expect("a filter");
    nothing.limit_to(&Object::new());
    assert!(nothing.is_empty());
}

#[test]
fn malformed_filters_are_refused() {
    for wanted in [
        json!(null),
        json!([]),
        json!({"toolsListChanged": 1}),
        json!({"resourceSubscriptions": "a"}),
        json!({"taskIds": [1]}),
    ] {
        assert!(matches!(filter(wanted.clone()), Err(Error::InvalidParams(_))), "{wanted}");
    }
    assert!(Filter::read(None).is_err());
}

#[test]
fn streams_are_acknowledged_tagged_and_ended() {
    let listen = RequestId::from("l-1");
    let filter = filter(json!({"toolsListChanged": true, "unknown": 1})).expect("a filter");
    let acknowledged = filter.acknowledgement(&listen);
    assert_eq!(acknowledged.method, "notifications/subscriptions/acknowledged");
    assert_eq!(
        acknowledged.params.map(Value::Object),
        Some(
            json!({"notifications": {"toolsListChanged": true}, "_meta": {"io.modelcontextprotocol/subscriptionId": "l-1"}})
        )
    );
    assert_eq!(
        Value::Object(listen_result(&1.into())),
        json!({"resultType": "complete", "_meta": {"io.modelcontextprotocol/subscriptionId": 1}})
    );
    let mut bare = notification("notifications/tools/list_changed", json!(null));
    tag(&mut bare, &listen);
    assert_eq!(crate::meta::subscription_id(bare.params.as_ref().expect("params")), Some(listen.clone()));
    assert_eq!(untag(&mut bare), Some(listen));
    assert_eq!(bare.params, None);
    assert_eq!(untag(&mut bare), None);
}

#[test]
fn log_messages_need_a_level_that_was_asked_for() {
    let log = |level: &str| notification("notifications/message", json!({"level": level, "data": 1}));
    assert!(!log_admitted(&log("emergency"), None));
    assert!(log_admitted(&log("warning"), Some(LogLevel::Warning)));
    assert!(log_admitted(&log("error"), Some(LogLevel::Warning)));
    assert!(!log_admitted(&log("notice"), Some(LogLevel::Warning)));
    assert!(log_admitted(&log("custom"), Some(LogLevel::Warning)));
    assert_eq!(set_level(Some(&object(json!({"level": "alert"})))), Ok(LogLevel::Alert));
    for params in [json!({}), json!({"level": "ALERT"}), json!({"level": 3})] {
        assert!(set_level(Some(&object(params))).is_err());
    }
    assert!(set_level(None).is_err());
    for level in ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] {
        assert_eq!(LogLevel::parse(level).map(LogLevel::as_str), Some(level));
    }
}

#[test]
fn deliveries_agree_with_the_table_of_methods() {
    for method in [
        "notifications/tools/list_changed",
        "notifications/resources/updated",
        "notifications/tasks",
        "notifications/message",
    ] {
        assert_eq!(rule(method).answerer, Answerer::Client, "{method}");
        assert_ne!(delivery(method), Delivery::Unknown);
    }
    for method in ["notifications/elicitation/complete", "notifications/tasks/status"] {
        assert!(!rule(method).modern && delivery(method) == Delivery::LegacyOnly, "{method}");
    }
}

#[test]
fn cancellation_and_progress_name_their_request() {
    let cancelled_one = cancel(&"a".into(), Some("why"));
    assert_eq!(cancelled(&cancelled_one), Some("a".into()));
    assert_eq!(cancelled_one.param("reason"), Some(&json!("why")));
    assert_eq!(cancelled(&cancel(&7.into(), None)), Some(7.into()));
    for params in [json!({}), json!({"requestId": null}), json!({"requestId": 1.5})] {
        assert_eq!(cancelled(&notification("notifications/cancelled", params)), None);
    }
    let progress = |token: Value| notification("notifications/progress", json!({"progressToken": token}));
    assert_eq!(progress_token(&progress(json!("t"))), Some(&json!("t")));
    assert_eq!(progress_token(&progress(json!({}))), None);
}
