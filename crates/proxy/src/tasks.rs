//! Whose tasks they are. A task belongs to the principal whose call made it; for everybody else, and
//! after a restart of the gate, it does not exist.

use std::time::Duration;

use moka::sync::Cache;
use sallyport_mcp::Object;
use sallyport_model::{Binding, UpstreamName};
use serde_json::Value;

const MOST: u64 = 100_000;
const LIFE: Duration = Duration::from_secs(48 * 3600);

/// The tasks that this node saw made.
#[derive(Debug)]
pub(crate) struct Tasks(Cache<(UpstreamName, String), Binding>);

impl Default for Tasks {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(LIFE).build())
    }
}

impl Tasks {
    /// Whether `task` was made by this principal at this upstream.
    pub(crate) fn owned(&self, upstream: &UpstreamName, task: &str, binding: &Binding) -> bool {
        self.0.get(&(upstream.clone(), task.to_owned())).is_some_and(|owner| owner == *binding)
    }

    /// Remembers the task that a result announces, in either era's form. An id that somebody has
    /// already is not given to another: whether it is free to be announced to `binding`.
    pub(crate) fn learn(&self, upstream: &UpstreamName, result: &Object, binding: &Binding) -> bool {
        let Some(task) = announced(result) else { return true };
        let key = (upstream.clone(), task.to_owned());
        let owner = self.0.entry(key).or_insert_with(|| binding.clone());
        owner.value() == binding
    }

    /// Leaves in a `tasks/list` result the caller's own.
    pub(crate) fn filter(&self, upstream: &UpstreamName, result: &mut Object, binding: &Binding) {
        if let Some(Value::Array(tasks)) = result.get_mut("tasks") {
            tasks.retain(|task| {
                task.get("taskId").and_then(Value::as_str).is_some_and(|id| self.owned(upstream, id, binding))
            });
        }
    }
}

fn announced(result: &Object) -> Option<&str> {
    if let Some(task) = result.get("task").and_then(|task| task.get("taskId")) {
        return task.as_str();
    }
    let modern = result.get("resultType").and_then(Value::as_str) == Some("task");
    result.get("taskId").filter(|_| modern)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::principal;
    use sallyport_model::SessionId;
    use serde_json::json;

    #[test]
    fn a_task_is_its_makers_alone() {
        let tasks = Tasks::default();
        let (files, mail) = (UpstreamName::new("files").unwrap(), UpstreamName::new("mail").unwrap());
        let mine = principal().binding();
        let mut theirs = mine.clone();
        theirs.session = SessionId::new("other").unwrap();
        let made = json!({"task": {"taskId": "t1", "status": "working"}});
        assert!(tasks.learn(&files, made.as_object().unwrap(), &mine));
        assert!(tasks.owned(&files, "t1", &mine));
        assert!(!tasks.owned(&files, "t1", &theirs) && !tasks.owned(&mail, "t1", &mine));
        assert!(!tasks.learn(&files, made.as_object().unwrap(), &theirs), "an id is never given twice");
        let mut list = json!({"tasks": [{"taskId": "t1"}, {"taskId": "t2"}]}).as_object().unwrap().clone();
        tasks.filter(&files, &mut list, &theirs);
        assert_eq!(list["tasks"], json!([]));
    }
}
