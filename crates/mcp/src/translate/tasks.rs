//! The shapes of tasks: core of 2025-11-25 ⇄ the tasks extension (SEP-2663).
//!
//! | legacy | modern |
//! |---|---|
//! | `params.task` asks for a task | the server decides; the client declares the extension |
//! | `{task: {…, ttl, pollInterval}}` | `resultType: "task"` and the same members flat, `ttlMs`, `pollIntervalMs` |
//! | `tasks/get` answers with the task | … with its result, error or questions inside |
//! | `tasks/result` waits for the outcome | does not exist: poll `tasks/get` |
//! | `tasks/cancel` answers with the task | … with nothing |
//! | `tasks/list` | does not exist |
//! | – | `tasks/update` |
//!
//! Waiting, polling and whose task it is are the gate's.

use serde_json::{Value, json};

use crate::{
    envelope::Outcome,
    errors::{Error, INVALID_PARAMS, RpcError},
    json::Object,
    meta::{META, RELATED_TASK, meta_mut},
    translate::results,
};

const RENAMED: [(&str, &str); 2] = [("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")];

/// Members that a modern `tasks/get` carries beside the task.
const INLINED: [&str; 3] = ["result", "error", "inputRequests"];

/// A legacy upstream's `CreateTaskResult` for a modern client. `None` if the result is not one.
pub fn created_to_modern(result: &Object) -> Option<Object> {
    let mut modern = result.clone();
    let Some(Value::Object(task)) = modern.shift_remove("task") else { return None };
    if !task.get("taskId").is_some_and(Value::is_string) {
        return None;
    }
    modern.extend(task);
    rename(&mut modern, |(legacy, modern)| (legacy, modern));
    modern.insert("resultType".to_owned(), "task".into());
    Some(modern)
}

/// A modern upstream's `CreateTaskResult` for a legacy client that asked for a task.
///
/// # Errors
/// [`Error::ResultShape`] when it has no `taskId`.
pub fn created_to_legacy(result: &Object) -> Result<Object, Error> {
    let mut task = result.clone();
    if !task.get("taskId").is_some_and(Value::is_string) {
        return Err(Error::ResultShape("a task has no string `taskId`".into()));
    }
    let meta = task.shift_remove(META);
    task.shift_remove("resultType");
    rename(&mut task, |(legacy, modern)| (modern, legacy));
    let mut legacy = Object::from_iter([("task".to_owned(), Value::Object(task))]);
    if let Some(meta) = meta {
        legacy.insert(META.to_owned(), meta);
    }
    Ok(legacy)
}

/// A legacy `tasks/get` answer for a modern client. `outcome` is what `tasks/result` answered, for a task
/// that is `completed` or `failed`; without it the client would never see the outcome.
///
/// A legacy task also `fail`s with a result (`isError`), which the modern era calls completed.
pub fn got_to_modern(task: &Object, outcome: Option<&Outcome>) -> Object {
    let mut modern = task.clone();
    rename(&mut modern, |(legacy, modern)| (legacy, modern));
    match outcome {
        Some(Outcome::Result(result)) => {
            modern.insert("status".to_owned(), "completed".into());
            modern.insert("result".to_owned(), Value::Object(result.clone()));
        }
        Some(Outcome::Error(error)) => {
            modern.insert("status".to_owned(), "failed".into());
            modern.insert("error".to_owned(), Value::Object(error.to_object()));
        }
        None => {}
    }
    modern.insert("resultType".to_owned(), "complete".into());
    modern
}

/// A modern `tasks/get` answer, or a `notifications/tasks`, as a legacy task.
pub fn got_to_legacy(task: &Object) -> Object {
    let mut legacy = task.clone();
    for key in INLINED {
        legacy.shift_remove(key);
    }
    results::to_legacy("tasks/get", &mut legacy);
    rename(&mut legacy, |(legacy, modern)| (modern, legacy));
    legacy
}

/// The outcome inside a modern `tasks/get` answer, as `tasks/result` would give it to a legacy client;
/// `None` while there is none.
///
/// # Errors
/// [`Error::ResultShape`] when a finished task lacks its outcome.
pub fn outcome(task: &Object) -> Result<Option<Outcome>, Error> {
    match (task.get("status").and_then(Value::as_str), task.get("result"), task.get("error")) {
        (Some("completed"), Some(Value::Object(result)), _) => {
            let mut result = result.clone();
            results::to_legacy("tools/call", &mut result);
            if let Some(id) = task.get("taskId") {
                meta_mut(&mut result).insert(RELATED_TASK.to_owned(), json!({ "taskId": id }));
            }
            Ok(Some(Outcome::Result(result)))
        }
        (Some("failed"), _, Some(Value::Object(error))) => RpcError::from_object(error.clone())
            .map(|error| Some(Outcome::Error(error)))
            .map_err(|_| Error::ResultShape("a failed task's `error` is no JSON-RPC error".into())),
        (Some("completed" | "failed"), ..) => Err(Error::ResultShape("a finished task lacks its outcome".into())),
        (Some("cancelled"), ..) => {
            Ok(Some(Outcome::Error(RpcError::new(INVALID_PARAMS, "the task was cancelled and has no result"))))
        }
        _ => Ok(None),
    }
}

/// Takes `params.task` out of a legacy request: whether the client asked for a task.
pub fn take_request(params: &mut Object) -> bool {
    params.shift_remove("task").is_some()
}

/// Renames members in place; their order survives.
fn rename(task: &mut Object, direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    let pairs = RENAMED.map(direction);
    *task = std::mem::take(task)
        .into_iter()
        .map(|(key, value)| match pairs.iter().find(|(from, _)| *from == key) {
            Some((_, to)) => ((*to).to_owned(), value),
            None => (key, value),
        })
        .collect();
}

#[cfg(test)]
#[path = "tasks_tests.rs"]
mod tests;
