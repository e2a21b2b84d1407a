//! Tasks of the legacy upstream (2025-11-25 basic/utilities/tasks): `job` ends when a test says so,
//! `job_ask` asks two things on the stream of its `tasks/result` and ends with the answers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The tools; both have to be called as tasks.
pub const JOBS: [&str; 2] = ["job", "job_ask"];
const RELATED: &str = "io.modelcontextprotocol/related-task";

#[derive(Debug, Default, Clone)]
struct Job {
    status: &'static str,
    outcome: Option<Value>,
    unasked: Vec<Value>,
    answers: BTreeMap<String, Value>,
}

/// All of them.
#[derive(Default)]
pub struct Jobs {
    jobs: Mutex<BTreeMap<String, Job>>,
    /// Questions come on whatever stream is open.
    pub eager: std::sync::atomic::AtomicBool,
}

impl Jobs {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap()
    }

    /// Definitions of the tools.
    pub fn tools() -> Vec<Value> {
        let tool = |name| {
            json!({"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true},
                   "execution": {"taskSupport": "required"}})
        };
        let mut tools: Vec<Value> = JOBS.map(tool).to_vec();
        tools.push(json!({"name": "either", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true},
                          "execution": {"taskSupport": "optional"}}));
        tools
    }

    /// Ends a job with `{"result": …}` or `{"error": …}`.
    pub fn end(&self, id: &str, status: &'static str, outcome: Value) {
        let mut jobs = self.jobs();
        let job = jobs.get_mut(id).unwrap();
        (job.status, job.outcome) = (status, Some(outcome));
    }

    pub fn status(&self, id: &str) -> &'static str {
        self.jobs()[id].status
    }

    /// What the questions of a job were answered with, by their ids.
    pub fn answers(&self, id: &str) -> BTreeMap<String, Value> {
        self.jobs()[id].answers.clone()
    }

    /// Takes an answer, if it is one to a job.
    pub fn answered(&self, message: &Value) -> bool {
        let id = message["id"].as_str().unwrap_or_default();
        let Some((name, _)) = id.split_once('/') else { return false };
        let mut jobs = self.jobs();
        let job = jobs.get_mut(name).unwrap();
        job.answers.insert(id.to_owned(), message.clone());
        if job.answers.len() == 2 && job.outcome.is_none() {
            let said: Vec<&Value> = job.answers.values().collect();
            let content = json!([{"type": "text", "text": json!(said).to_string()}]);
            (job.status, job.outcome) = ("completed", Some(json!({"result": {"content": content}})));
        }
        true
    }

    /// A call of one of the tools.
    pub fn call(&self, params: &Value) -> Result<Value, Value> {
        if params.get("task").is_none() {
            return Err(json!({"code": -32601, "message": "call it as a task"}));
        }
        let mut jobs = self.jobs();
        let id = format!("job-{}", jobs.len() + 1);
        let mut job = Job { status: "working", ..Job::default() };
        if params["name"] == "job_ask" {
            let related = json!({RELATED: {"taskId": id}});
            let form =
                json!({"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}, "_meta": related});
            let user = json!([{"role": "user", "content": {"type": "text", "text": "?"}}]);
            let sample = json!({"messages": user, "maxTokens": 5, "_meta": related});
            job.status = "input_required";
            job.unasked = vec![
                json!({"jsonrpc": "2.0", "id": format!("{id}/2"), "method": "sampling/createMessage", "params": sample}),
                json!({"jsonrpc": "2.0", "id": format!("{id}/1"), "method": "elicitation/create", "params": form}),
            ];
        }
        let shown = shown(&id, &job);
        jobs.insert(id, job);
        Ok(json!({ "task": shown }))
    }

    /// Whether the task of a request is one of these.
    pub fn knows(&self, params: &Value) -> bool {
        params["taskId"].as_str().is_some_and(|id| self.jobs().contains_key(id))
    }

    fn get(&self, id: &str) -> Value {
        shown(id, &self.jobs()[id])
    }

    fn cancel(&self, id: &str) -> Result<Value, Value> {
        let mut jobs = self.jobs();
        let job = jobs.get_mut(id).unwrap();
        if job.outcome.is_some() || job.status == "cancelled" {
            return Err(json!({"code": -32602, "message": "already ended"}));
        }
        job.status = "cancelled";
        Ok(shown(id, job))
    }

    fn ask(&self, id: &str) -> Option<Value> {
        self.jobs().get_mut(id)?.unasked.pop()
    }

    /// Answers a request about a task on `sink`, event by event.
    pub async fn serve(self: Arc<Self>, request: Value, sink: mpsc::Sender<String>) {
        let id = request["params"]["taskId"].as_str().unwrap().to_owned();
        let eager = self.eager.load(std::sync::atomic::Ordering::SeqCst);
        let asks = request["method"] == "tasks/result" || eager && request["method"] == "tasks/get";
        let say = async |message: Value| sink.send(format!("event: message\ndata: {message}\n\n")).await.is_ok();
        let outcome = loop {
            if asks && let Some(question) = self.ask(&id) {
                if !say(question).await {
                    return;
                }
                continue;
            }
            match request["method"].as_str().unwrap() {
                "tasks/get" => break json!({"result": self.get(&id)}),
                "tasks/cancel" => {
                    break self.cancel(&id).map_or_else(|e| json!({"error": e}), |r| json!({"result": r}));
                }
                _ => {}
            }
            let job = self.jobs()[&id].clone();
            if let Some(mut outcome) = job.outcome {
                if outcome.get("result").is_some() {
                    outcome["result"]["_meta"] = json!({RELATED: {"taskId": id}});
                }
                break outcome;
            }
            if job.status == "cancelled" {
                break json!({"error": {"code": -32603, "message": "cancelled"}});
            }
            if sink.is_closed() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let mut response = json!({"jsonrpc": "2.0", "id": request["id"]});
        response.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
        say(response).await;
    }
}

fn shown(id: &str, job: &Job) -> Value {
    json!({"taskId": id, "status": job.status, "createdAt": "2026-01-01T00:00:00Z",
           "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": 60000, "pollInterval": 50})
}
