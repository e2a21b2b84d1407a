//! An upstream over Streamable HTTP, written by hand, in one era: it asks, reports progress, logs, closes
//! streams early and announces changes, and it keeps everything that arrives.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Method, StatusCode};
use sallyport_mcp::Era;
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::jobs::Jobs;

/// What travels back with every echo, to be compared byte by byte.
pub const EXTENSION: &str = r#"{"zeta":1.10,"alpha":1E2,"big":123456789012345678901234567890}"#;
pub const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Default)]
struct Kept {
    arrived: Vec<Arrived>,
    waiting: HashMap<String, oneshot::Sender<Value>>,
    polled: HashMap<String, Value>,
    cancelled: Vec<Value>,
    dropped: usize,
    notes: Vec<Value>,
    grown: bool,
    changed: bool,
    level: Option<String>,
    sessions: usize,
    offered: Vec<Value>,
    endless: bool,
    hanging: Option<&'static str>,
    forgotten: usize,
    asked: usize,
}

/// The upstream.
pub struct Upstream {
    pub era: Era,
    kept: Mutex<Kept>,
    changes: broadcast::Sender<Value>,
    /// Tells `slow` and `hold` to answer.
    pub release: Notify,
    stirred: Notify,
    /// Its tasks, in the legacy era.
    pub jobs: Arc<Jobs>,
}

impl Upstream {
    /// Serves on a loopback port; the endpoint's URL comes back.
    pub async fn start(era: Era) -> (Arc<Self>, String) {
        let (upstream, router) = Self::unserved(era);
        (upstream, format!("{}/mcp", super::serve(router).await))
    }

    /// The same, to be served by the caller.
    pub fn unserved(era: Era) -> (Arc<Self>, Router) {
        let upstream = Arc::new(Self {
            era,
            kept: Mutex::default(),
            changes: broadcast::Sender::new(16),
            release: Notify::new(),
            stirred: Notify::new(),
            jobs: Arc::default(),
        });
        let router = Router::new().fallback(handle).with_state(Arc::clone(&upstream));
        (upstream, router)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Everything that arrived.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.kept().arrived.clone()
    }
    /// Bodies of posted messages with this method.
    pub fn posted(&self, method: &str) -> Vec<Value> {
        let parse = |arrived: &Arrived| serde_json::from_str::<Value>(&arrived.body).ok();
        self.arrived().iter().filter_map(parse).filter(|body| body["method"] == method).collect()
    }
    /// Calls of a tool that arrived.
    pub fn calls(&self, tool: &str) -> usize {
        self.posted("tools/call").iter().filter(|body| body["params"]["name"] == tool).count()
    }
    /// Ids that were cancelled by message.
    pub fn cancelled(&self) -> Vec<Value> {
        self.kept().cancelled.clone()
    }
    /// Streams that were closed on a tool that had not answered.
    pub fn dropped(&self) -> usize {
        self.kept().dropped
    }
    /// Changes the definition of `echo`.
    pub fn change_echo(&self) {
        self.kept().changed = true;
    }
    /// Offers these tools besides its own.
    pub fn offer(&self, tools: Vec<Value>) {
        self.kept().offered = tools;
    }
    /// Its list of tools never ends.
    pub fn never_end(&self) {
        self.kept().endless = true;
    }
    /// Never answers a message with this method, or a request with this verb.
    pub fn hang_on(&self, what: &'static str) {
        self.kept().hanging = Some(what);
    }
    /// Sessions that were opened.
    pub fn sessions(&self) -> usize {
        self.kept().sessions
    }
    /// Answers 404 to every session that exists now.
    pub fn forget_sessions(&self) {
        let mut kept = self.kept();
        kept.forgotten = kept.sessions;
    }
    /// Says something on every listening stream.
    pub fn announce(&self, method: &str, params: Value) {
        let _ = self.changes.send(json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }
    /// Whether anybody listens.
    pub fn listeners(&self) -> usize {
        self.changes.receiver_count()
    }
    fn modern(&self) -> bool {
        self.era == Era::Modern
    }

    fn capabilities(&self) -> Value {
        let mut capabilities = json!({
            "tools": {"listChanged": true}, "resources": {"subscribe": true, "listChanged": true},
            "prompts": {"listChanged": true}, "completions": {}, "logging": {}, "x-extension": {"on": true},
        });
        if self.modern() {
            capabilities["extensions"] = json!({"io.modelcontextprotocol/tasks": {}});
        } else {
            capabilities["tasks"] = json!({"cancel": {}, "requests": {"tools": {"call": {}}}});
        }
        capabilities
    }

    fn tools(&self) -> Value {
        let names = [
            "echo",
            "progress",
            "ask_form",
            "ask_sample",
            "ask_roots",
            "ask_url",
            "slow",
            "fail",
            "broken",
            "poll",
            "grow",
            "touch",
            "hold",
            "die",
            "task",
            "task_ask",
            "split",
        ];
        let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
        let mut tools: Vec<Value> = names.iter().map(tool).collect();
        tools.push(json!({"name": "write", "description": "writes", "inputSchema": {"type": "object"}}));
        tools.push(json!({
            "name": "regional", "annotations": {"readOnlyHint": true},
            "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
        }));
        if self.kept().changed {
            tools[0]["description"] = "changed behind the gate's back".into();
        }
        if self.kept().grown {
            tools.push(tool(&"late"));
        }
        tools.extend(self.kept().offered.clone());
        tools.into()
    }

    /// Answers of methods that need no stream.
    fn plain(&self, method: &str, params: &Value) -> Result<Value, Value> {
        let mut result = match method {
            "tools/list" => json!({"tools": self.tools(), "x-list": EXTENSION}),
            "resources/list" => json!({"resources": [{"uri": "mem://a", "name": "a"}]}),
            "resources/templates/list" => json!({"resourceTemplates": [{"uriTemplate": "mem://{x}", "name": "x"}]}),
            "resources/read" if params["uri"] == "mem://a" => {
                json!({"contents": [{"uri": "mem://a", "text": "the text"}]})
            }
            "resources/read" => {
                let code = if self.modern() { -32602 } else { -32002 };
                return Err(json!({"code": code, "message": "no such resource", "data": {"uri": params["uri"]}}));
            }
            "prompts/list" => json!({"prompts": [{"name": "greet"}]}),
            "prompts/get" => json!({"messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}]}),
            "completion/complete" => json!({"completion": {"values": ["abc"]}}),
            "logging/setLevel" if !self.modern() => {
                self.kept().level = params["level"].as_str().map(str::to_owned);
                json!({})
            }
            "resources/subscribe" | "resources/unsubscribe" | "ping" if !self.modern() => json!({}),
            "x/extension" => json!({"extended": true}),
            "tasks/get" if !self.modern() => {
                json!({"taskId": params["taskId"], "status": "completed", "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": null})
            }
            "tasks/get" if params["taskId"] == "task-2" => match self.posted("tasks/update").last() {
                None => {
                    let form = json!({"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}});
                    json!({"taskId": "task-2", "status": "input_required", "pollIntervalMs": 50, "inputRequests": {"who": form}})
                }
                Some(update) => {
                    let said = update["params"]["inputResponses"]["who"].to_string();
                    json!({"taskId": "task-2", "status": "completed", "result": text(said)})
                }
            },
            "tasks/update" | "tasks/cancel" if self.modern() => json!({}),
            "tasks/get" => {
                json!({"taskId": params["taskId"], "status": "completed", "createdAt": "2026-01-01T00:00:00Z", "ttlMs": null, "result": text("task done")})
            }
            "tasks/result" if !self.modern() => text("task done"),
            _ => return Err(json!({"code": -32601, "message": "no such method"})),
        };
        if method == "tools/list" && self.kept().endless {
            result["nextCursor"] = "more".into();
        }
        if self.modern() {
            result["resultType"] = "complete".into();
            if method.ends_with("list") || method == "resources/read" {
                result["ttlMs"] = 5000.into();
                result["cacheScope"] = "public".into();
            }
        }
        Ok(result)
    }
}

fn text(text: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}]})
}

fn reply(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn stream(receiver: mpsc::Receiver<String>) -> Response {
    let chunks = ReceiverStream::new(receiver).map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

async fn handle(State(upstream): State<Arc<Upstream>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    upstream.kept().arrived.push(Arrived { method: method.clone(), headers: headers.clone(), body: body.clone() });
    let hanging = upstream.kept().hanging;
    if hanging.is_some_and(|what| method == what || body.contains(what)) {
        std::future::pending::<()>().await;
    }
    if upstream.modern() {
        return if method == Method::POST {
            modern(upstream, &body).await
        } else {
            empty(StatusCode::METHOD_NOT_ALLOWED)
        };
    }
    let session = headers.get("mcp-session-id").and_then(|id| id.to_str().ok()?.strip_prefix("up-")?.parse().ok());
    if session.is_some_and(|number: usize| number <= upstream.kept().forgotten) {
        return empty(StatusCode::NOT_FOUND);
    }
    match method {
        Method::POST => legacy(upstream, &body).await,
        Method::GET => listen_legacy(upstream, &headers),
        _ => empty(StatusCode::OK),
    }
}

fn listen_legacy(upstream: Arc<Upstream>, headers: &HeaderMap) -> Response {
    let (sink, receiver) = mpsc::channel(8);
    if let Some(last) = headers.get("last-event-id") {
        let answer = upstream.kept().polled.remove(last.to_str().unwrap()).unwrap_or_default();
        tokio::spawn(async move {
            let _ = sink.send(format!("id: e2\nevent: message\ndata: {answer}\n\n")).await;
        });
        return stream(receiver);
    }
    let mut changes = upstream.changes.subscribe();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                change = changes.recv() => {
                    let Ok(change) = change else { return };
                    let _ = sink.send(event(&change)).await;
                }
                () = sink.closed() => return,
            }
        }
    });
    stream(receiver)
}

async fn legacy(upstream: Arc<Upstream>, body: &str) -> Response {
    let message: Value = serde_json::from_str(body).unwrap();
    let Some(method) = message["method"].as_str().map(str::to_owned) else {
        if upstream.jobs.answered(&message) {
            return empty(StatusCode::ACCEPTED);
        }
        let waiting = upstream.kept().waiting.remove(message["id"].as_str().unwrap());
        return match waiting {
            Some(waiting) => {
                let _ = waiting.send(message);
                empty(StatusCode::ACCEPTED)
            }
            None => empty(StatusCode::BAD_REQUEST),
        };
    };
    if message.get("id").is_none() {
        if method == "notifications/cancelled" {
            upstream.kept().cancelled.push(message["params"]["requestId"].clone());
            upstream.stirred.notify_waiters();
        }
        return empty(StatusCode::ACCEPTED);
    }
    if method == "initialize" {
        let number = {
            let mut kept = upstream.kept();
            kept.sessions += 1;
            kept.sessions
        };
        let result = json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": upstream.capabilities(),
            "serverInfo": {"name": "legacy", "version": "1"}, "instructions": "be kind", "x-extension": {"a": 1},
        });
        let mut response = reply(StatusCode::OK, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
        response.headers_mut().insert("mcp-session-id", format!("up-{number}").parse().unwrap());
        return response;
    }
    answer(upstream, message, &method, body).await
}

async fn modern(upstream: Arc<Upstream>, body: &str) -> Response {
    let message: Value = serde_json::from_str(body).unwrap();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    match method.as_str() {
        "server/discover" => {
            let result = json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": upstream.capabilities(),
                "instructions": "be kind", "ttlMs": 60000, "cacheScope": "public", "x-extension": {"a": 1},
            });
            reply(StatusCode::OK, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
        }
        "initialize" => {
            let error = json!({"code": -32601, "message": "no such method"});
            reply(StatusCode::NOT_FOUND, &json!({"jsonrpc": "2.0", "id": message["id"], "error": error}))
        }
        "subscriptions/listen" => listen_modern(upstream, &message),
        _ => answer(upstream, message, &method, body).await,
    }
}

fn listen_modern(upstream: Arc<Upstream>, message: &Value) -> Response {
    let (sink, receiver) = mpsc::channel(8);
    let mut changes = upstream.changes.subscribe();
    let id = message["id"].clone();
    let first = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params":
        {"notifications": message["params"]["notifications"], "_meta": {SUBSCRIPTION: id}}});
    tokio::spawn(async move {
        let _ = sink.send(event(&first)).await;
        loop {
            tokio::select! {
                change = changes.recv() => {
                    let Ok(mut change) = change else { return };
                    change["params"]["_meta"] = json!({SUBSCRIPTION: id});
                    let _ = sink.send(event(&change)).await;
                }
                () = sink.closed() => return,
            }
        }
    });
    stream(receiver)
}

async fn answer(upstream: Arc<Upstream>, message: Value, method: &str, body: &str) -> Response {
    let id = message["id"].clone();
    if method.starts_with("tasks/") && upstream.jobs.knows(&message["params"]) {
        let (sink, receiver) = mpsc::channel(8);
        tokio::spawn(Arc::clone(&upstream.jobs).serve(message, sink));
        return stream(receiver);
    }
    if method != "tools/call" {
        return match upstream.plain(method, &message["params"]) {
            Ok(result) => reply(StatusCode::OK, &json!({"jsonrpc": "2.0", "id": id, "result": result})),
            Err(error) => reply(StatusCode::OK, &json!({"jsonrpc": "2.0", "id": id, "error": error})),
        };
    }
    if message["params"]["name"] == "echo" {
        // As text, so that numbers stay as they are written here.
        let kind = if upstream.modern() { r#""resultType":"complete","# } else { "" };
        let echoed = Value::String(body.to_owned());
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{{kind}"content":[{{"type":"text","text":{echoed}}}],"x-extension":{EXTENSION}}}}}"#
        );
        let mut response = reply(StatusCode::OK, &Value::Null);
        *response.body_mut() = Body::from(body);
        return response;
    }
    let (sink, receiver) = mpsc::channel(8);
    let turn = Turn { upstream, sink, message };
    tokio::spawn(turn.run());
    stream(receiver)
}

/// One call of a tool.
struct Turn {
    upstream: Arc<Upstream>,
    sink: mpsc::Sender<String>,
    message: Value,
}

impl Turn {
    async fn run(self) {
        let outcome = match self.message["params"]["name"].as_str().unwrap_or_default() {
            "poll" => return self.poll().await,
            "split" => return self.split().await,
            "die" => return,
            "broken" => Err(json!({"code": -32050, "message": "broken", "data": {"why": "so"}})),
            name => self.tool(name).await,
        };
        let mut response = json!({"jsonrpc": "2.0", "id": self.message["id"]});
        match outcome {
            Ok(Value::Null) => return,
            Ok(mut result) => {
                if self.upstream.modern() && result.get("resultType").is_none() {
                    result["resultType"] = "complete".into();
                }
                response["result"] = result;
            }
            Err(error) => response["error"] = error,
        }
        let _ = self.sink.send(event(&response)).await;
    }

    async fn tool(&self, name: &str) -> Result<Value, Value> {
        let params = &self.message["params"];
        match name {
            "write" => {
                let mut kept = self.upstream.kept();
                kept.notes.push(params["arguments"]["note"].clone());
                Ok(text(format!("{} notes", kept.notes.len())))
            }
            "progress" => {
                self.progress().await;
                Ok(text("done"))
            }
            "ask_form" => {
                let form = json!({"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}});
                self.ask("who", "elicitation/create", form).await
            }
            "ask_sample" => {
                let user = json!([{"role": "user", "content": {"type": "text", "text": "?"}}]);
                self.ask("model", "sampling/createMessage", json!({"messages": user, "maxTokens": 5})).await
            }
            "ask_roots" => self.ask("roots", "roots/list", json!({})).await,
            "ask_url" => self.ask_url().await,
            "slow" => Ok(self.slow().await),
            "hold" => {
                let released = self.upstream.release.notified();
                self.note("notifications/message", json!({"level": "error", "data": "holding"})).await;
                released.await;
                Ok(text("released"))
            }
            "fail" => Ok(json!({"content": [{"type": "text", "text": "no"}], "isError": true})),
            "grow" => {
                self.upstream.kept().grown = true;
                self.upstream.announce("notifications/tools/list_changed", json!({}));
                Ok(text("grown"))
            }
            "touch" => {
                self.upstream.announce("notifications/resources/updated", json!({"uri": "mem://a"}));
                Ok(text("touched"))
            }
            "task" | "task_ask" if self.upstream.modern() => Ok(
                json!({"resultType": "task", "taskId": if name == "task" { "task-1" } else { "task-2" }, "status": "working", "createdAt": "2026-01-01T00:00:00Z", "ttlMs": null}),
            ),
            "task" => Ok(
                json!({"task": {"taskId": "task-1", "status": "working", "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttl": null}}),
            ),
            "late" | "regional" | "either" => Ok(text(name)),
            "job" | "job_ask" => self.upstream.jobs.call(params),
            _ => Err(json!({"code": -32602, "message": "no such tool"})),
        }
    }

    async fn note(&self, method: &str, params: Value) {
        let _ = self.sink.send(event(&json!({"jsonrpc": "2.0", "method": method, "params": params}))).await;
    }

    async fn progress(&self) {
        let meta = &self.message["params"]["_meta"];
        if let Some(token) = meta.get("progressToken") {
            for step in [1, 2] {
                let params = json!({"progressToken": token, "progress": step, "total": 2});
                self.note("notifications/progress", params).await;
            }
        }
        let asked = meta.get("io.modelcontextprotocol/logLevel").and_then(Value::as_str).map(str::to_owned);
        let level = asked.or_else(|| self.upstream.kept().level.clone());
        if let Some(level) = level {
            self.note("notifications/message", json!({"level": "error", "data": format!("said at {level}")})).await;
        }
    }

    async fn ask(&self, key: &str, method: &str, question: Value) -> Result<Value, Value> {
        let params = &self.message["params"];
        if self.upstream.modern() {
            let Some(answer) = params["inputResponses"].get(key) else {
                return Ok(json!({"resultType": "input_required", "requestState": "the-upstreams-own",
                    "inputRequests": {key: {"method": method, "params": question}}}));
            };
            let state = &params["requestState"];
            return if state == "the-upstreams-own" { Ok(text(answer.to_string())) } else { Ok(text("wrong state")) };
        }
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut kept = self.upstream.kept();
            kept.asked += 1;
            let id = format!("ask-{}", kept.asked);
            kept.waiting.insert(id.clone(), sender);
            id
        };
        let _ = self.sink.send(event(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": question}))).await;
        let answer = receiver.await.unwrap_or_default();
        let said = answer.get("result").or(answer.get("error")).cloned().unwrap_or_default();
        Ok(text(said.to_string()))
    }

    async fn ask_url(&self) -> Result<Value, Value> {
        let page =
            json!({"mode": "url", "elicitationId": "el-1", "url": "https://up.example/page", "message": "Open it"});
        if self.upstream.modern() {
            return self.ask("url", "elicitation/create", page).await;
        }
        let again = self.upstream.calls("ask_url") > 1;
        if again {
            return Ok(text("visited"));
        }
        Err(json!({"code": -32042, "message": "visit first", "data": {"elicitations": [page]}}))
    }

    async fn slow(&self) -> Value {
        loop {
            let stirred = self.upstream.stirred.notified();
            if self.upstream.cancelled().contains(&self.message["id"]) {
                return Value::Null;
            }
            tokio::select! {
                () = stirred => {}
                () = self.upstream.release.notified() => return text("late"),
                () = self.sink.closed(), if self.upstream.modern() => {
                    self.upstream.kept().dropped += 1;
                    return Value::Null;
                }
            }
        }
    }

    /// Keeps the stream open, but answers on another one.
    async fn split(self) {
        let answer = json!({"jsonrpc": "2.0", "id": self.message["id"], "result": text("split")});
        self.upstream.kept().polled.insert("e1".to_owned(), answer);
        let _ = self.sink.send("id: e1\nretry: 10\ndata: \n\n".to_owned()).await;
        self.sink.closed().await;
    }

    /// Closes the stream early; the answer comes on a GET (2025-11-25 basic/transports).
    async fn poll(self) {
        let answer = json!({"jsonrpc": "2.0", "id": self.message["id"], "result": text("polled")});
        self.upstream.kept().polled.insert("e1".to_owned(), answer);
        let _ = self.sink.send("id: e1\nretry: 10\ndata: \n\n".to_owned()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
