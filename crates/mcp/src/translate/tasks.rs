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
//! | questions on the stream of `tasks/result` | `inputRequests` in `tasks/get`, answers by `tasks/update` |
//!
//! Waiting, polling and whose task it is are the gate's.

use serde_json::{Value, json};

use crate::{
    envelope::Outcome,
    era::Era,
    errors::{Error, INVALID_PARAMS, RpcError},
    json::Object,
    meta::{META, RELATED_TASK, meta_mut, meta_of},
    translate::{
        input::{InputRequest, InputRequired},
        results,
    },
};

const RENAMED: [(&str, &str); 2] = [("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")];

/// Members that a modern `tasks/get` carries beside the task.
const INLINED: [&str; 3] = ["result", "error", "inputRequests"];

/// What a tool's definition says of being called as a task (2025-11-25 basic/utilities/tasks, Tool-Level
/// Negotiation). It means something only at an upstream that [`offered`] tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskSupport {
    /// Never; also when nothing, or nothing that is known, is said.
    #[default]
    Forbidden,
    /// As the caller likes.
    Optional,
    /// Always.
    Required,
}

impl TaskSupport {
    /// Reads `execution.taskSupport` of a tool's definition.
    pub fn of(definition: &Value) -> Self {
        match definition.pointer("/execution/taskSupport").and_then(Value::as_str) {
            Some("required") => Self::Required,
            Some("optional") => Self::Optional,
            _ => Self::Forbidden,
        }
    }
}

/// Where a legacy task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// At work; also when the status is none of the five.
    Working,
    /// It asks on the stream of `tasks/result`.
    InputRequired,
    /// It has an outcome: `completed` or `failed`.
    Ended,
    /// It has none and will have none.
    Cancelled,
}

impl Status {
    /// Reads `status` of a task.
    pub fn of(task: &Object) -> Self {
        match task.get("status").and_then(Value::as_str) {
            Some("input_required") => Self::InputRequired,
            Some("completed" | "failed") => Self::Ended,
            Some("cancelled") => Self::Cancelled,
            _ => Self::Working,
        }
    }
}

/// Whether an upstream with these legacy `ServerCapabilities` takes `tools/call` as a task.
pub fn offered(capabilities: &Object) -> bool {
    let requests = capabilities.get("tasks").and_then(|offer| offer.pointer("/requests/tools/call"));
    requests.is_some_and(Value::is_object)
}

/// The id of the task that a legacy `CreateTaskResult` announces.
pub fn created(result: &Object) -> Option<&str> {
    result.get("task")?.get("taskId")?.as_str()
}

/// A legacy upstream's `CreateTaskResult` for a modern client. `None` if the result is not one.
pub fn created_to_modern(result: &Object) -> Option<Object> {
    created(result)?;
    let mut modern = result.clone();
    let Some(Value::Object(task)) = modern.shift_remove("task") else { return None };
    modern.extend(task);
    for key in INLINED {
        modern.shift_remove(key);
    }
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
/// A legacy task also `fail`s with a result (`isError`), which the modern era calls completed. What only a
/// modern task has inside is taken out: a legacy upstream asks by requests, which are looked at one by one.
pub fn got_to_modern(task: &Object, outcome: Option<&Outcome>) -> Object {
    let mut modern = task.clone();
    for key in INLINED {
        modern.shift_remove(key);
    }
    rename(&mut modern, |(legacy, modern)| (legacy, modern));
    match outcome {
        Some(Outcome::Result(result)) => {
            let mut result = result.clone();
            unrelate(&mut result);
            results::to_modern("tools/call", &mut result, 0);
            modern.insert("status".to_owned(), "completed".into());
            modern.insert("result".to_owned(), Value::Object(result));
        }
        Some(Outcome::Error(error)) => {
            let error = error.clone().across("tools/call", Era::Legacy, Era::Modern);
            modern.insert("status".to_owned(), "failed".into());
            modern.insert("error".to_owned(), Value::Object(error.to_object()));
        }
        None => {}
    }
    modern.insert("resultType".to_owned(), "complete".into());
    modern
}

/// A legacy `tasks/get` answer for a modern client, with the questions that are open under their keys. With
/// none it is at work: there is nothing for the client to do.
pub fn asking_to_modern(task: &Object, questions: Vec<(String, InputRequest)>) -> Object {
    let mut modern = got_to_modern(task, None);
    let status = if questions.is_empty() { "working" } else { "input_required" };
    modern.insert("status".to_owned(), status.into());
    let asked = InputRequired { requests: questions, request_state: None }.to_result().shift_remove("inputRequests");
    if let Some(asked) = asked {
        modern.insert("inputRequests".to_owned(), asked);
    }
    modern
}

/// The empty acknowledgement of `tasks/update` and `tasks/cancel` for a modern client.
pub fn acknowledged() -> Object {
    Object::from_iter([("resultType".to_owned(), "complete".into())])
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
            if let Some(id) = task.get("taskId").and_then(Value::as_str) {
                relate(&mut result, id);
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

/// Makes a request for a legacy upstream one for a task that lives for at least `ttl_ms`, if the upstream
/// agrees.
pub fn put_request(params: &mut Object, ttl_ms: u64) {
    params.insert("task".to_owned(), json!({ "ttl": ttl_ms }));
}

/// Says of a legacy message that it belongs to a task (Associating Task-Related Messages).
pub fn relate(message: &mut Object, task: &str) {
    meta_mut(message).insert(RELATED_TASK.to_owned(), json!({ "taskId": task }));
}

/// The task that the `params` of a legacy message say they belong to.
pub fn related(params: Option<&Object>) -> Option<&str> {
    meta_of(params)?.get(RELATED_TASK)?.get("taskId")?.as_str()
}

/// Takes out what [`relate`] put in; the modern era has nothing like it.
pub fn unrelate(message: &mut Object) {
    let Some(Value::Object(meta)) = message.get_mut(META) else { return };
    meta.shift_remove(RELATED_TASK);
    if meta.is_empty() {
        message.shift_remove(META);
    }
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
