//! Whose tasks they are. A task belongs to the principal whose call made it; for everybody else, and
//! after a restart of the gate, it does not exist.
//!
//! Of a modern client's task at a legacy upstream it is also known on which leg it was made and where its
//! questions wait. Nothing here holds a leg: it ends when nobody uses it, as it would without tasks.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use moka::sync::Cache;
use sallyport_mcp::Object;
use sallyport_model::{Binding, UpstreamName};
use serde_json::Value;

use crate::upstream::UpstreamSession;

const MOST: u64 = 100_000;
/// How long a task is known; a legacy upstream is asked to keep it for as long.
pub(crate) const LIFE: Duration = Duration::from_secs(48 * 3600);

/// The tasks that this node saw made.
#[derive(Debug)]
pub(crate) struct Tasks(Cache<(UpstreamName, String), Arc<Known>>);

/// One task.
#[derive(Debug)]
pub(crate) struct Known {
    owner: Binding,
    /// On which a modern client's call made it at a legacy upstream.
    leg: Option<Weak<dyn UpstreamSession>>,
    /// Taken by one request about the task after the other.
    pub(crate) asking: tokio::sync::Mutex<Asking>,
}

impl Known {
    /// The leg on which the task was made, while it lives.
    pub(crate) fn leg(&self) -> Option<Arc<dyn UpstreamSession>> {
        self.leg.as_ref()?.upgrade().filter(|leg| leg.is_alive())
    }
}

/// Where the questions of a legacy upstream's task wait for a modern client.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// The handle of the parked `tasks/result`.
    pub(crate) parked: Option<String>,
    /// Questions so far: no key is used twice (SEP-2663, Task Update Requests).
    pub(crate) count: u64,
}

impl Asking {
    /// A key for the next question.
    pub(crate) fn key(&mut self) -> String {
        self.count += 1;
        format!("input-{}", self.count)
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(LIFE).build())
    }
}

impl Tasks {
    /// Whether `task` was made by this principal at this upstream.
    pub(crate) fn owned(&self, upstream: &UpstreamName, task: &str, binding: &Binding) -> bool {
        self.find(upstream, task, binding).is_some()
    }

    /// The task, if this principal made it at this upstream.
    pub(crate) fn find(&self, upstream: &UpstreamName, task: &str, binding: &Binding) -> Option<Arc<Known>> {
        self.0.get(&(upstream.clone(), task.to_owned())).filter(|known| known.owner == *binding)
    }

    /// Remembers the task that a result announces, in either era's form. An id that somebody has
    /// already is not given to another: whether it is free to be announced to `binding`.
    pub(crate) fn learn(&self, upstream: &UpstreamName, result: &Object, binding: &Binding) -> bool {
        announced(result).is_none_or(|task| self.made(upstream, task, binding, None))
    }

    /// The same for a task that a modern client's call made on `leg` of a legacy upstream.
    pub(crate) fn made(
        &self,
        upstream: &UpstreamName,
        task: &str,
        binding: &Binding,
        leg: Option<&Arc<dyn UpstreamSession>>,
    ) -> bool {
        let known = || {
            let (owner, leg) = (binding.clone(), leg.map(Arc::downgrade));
            Arc::new(Known { owner, leg, asking: tokio::sync::Mutex::default() })
        };
        let entry = self.0.entry((upstream.clone(), task.to_owned())).or_insert_with(known);
        entry.value().owner == *binding
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
        assert!(tasks.find(&files, "t1", &mine).is_some() && tasks.find(&files, "t1", &theirs).is_none());
    }

    #[test]
    fn a_key_is_given_once() {
        let mut asking = Asking::default();
        assert_eq!((asking.key().as_str(), asking.key().as_str()), ("input-1", "input-2"));
    }
}
