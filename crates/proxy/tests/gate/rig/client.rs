//! Clients of both eras, speaking to the gate's router.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use sallyport_mcp::{Era, headers::encode_value, sse::Decoder};
use serde_json::{Value, json};

use super::{Rig, holder::Holder};

pub const PATIENCE: Duration = Duration::from_secs(10);
const PREFIX: &str = "io.modelcontextprotocol/";

/// An answer, read as far as asked.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
    decoder: Decoder,
}

impl Reply {
    pub fn new(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body, decoder: Decoder::new(16 << 20) }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn is_stream(&self) -> bool {
        self.header("content-type") == "text/event-stream"
    }

    /// The whole body.
    pub async fn bytes(self) -> Vec<u8> {
        let read = tokio::time::timeout(PATIENCE, self.body.collect()).await.expect("the body ends in time");
        read.unwrap().to_bytes().to_vec()
    }

    pub async fn text(self) -> String {
        String::from_utf8(self.bytes().await).unwrap()
    }

    pub async fn json(self) -> Value {
        serde_json::from_slice(&self.bytes().await).unwrap_or(Value::Null)
    }

    /// The next message of the stream with its event id; `None` at the end. Empty events are skipped.
    pub async fn next_event(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            while let Some(event) = self.decoder.next_event() {
                match event.data {
                    Some(data) if !data.is_empty() => return Some((event.id, serde_json::from_str(&data).unwrap())),
                    _ if event.id.is_some() => return Some((event.id, Value::Null)),
                    _ => {}
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes in time");
            self.decoder.push(frame?.unwrap().data_ref().unwrap()).unwrap();
        }
    }

    /// The next message of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        self.next_event().await.map(|(_, message)| message)
    }
}

/// What came of a request.
#[derive(Debug, Default)]
pub struct Exchange {
    pub status: StatusCode,
    pub notifications: Vec<Value>,
    /// What was asked on the way: method and parameters.
    pub questions: Vec<(String, Value)>,
    pub response: Value,
}

impl Exchange {
    pub fn result(&self) -> &Value {
        self.response.get("result").unwrap_or_else(|| panic!("no result: {self:?}"))
    }
    pub fn code(&self) -> i64 {
        self.response["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
    /// The text of the first content block.
    pub fn text(&self) -> &str {
        self.result()["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {self:?}"))
    }
}

/// A client of one era at one upstream.
pub struct Client<'a> {
    pub rig: &'a Rig,
    pub upstream: String,
    pub token: String,
    pub era: Era,
    pub version: String,
    pub capabilities: Value,
    pub session: Option<String>,
    /// Whose key the token is bound to; without one it is a bearer token.
    pub holder: Option<Holder>,
    /// What `initialize` or `server/discover` said.
    pub greeting: Value,
    ids: AtomicI64,
}

impl<'a> Client<'a> {
    /// Connects as Ann in an era's newest version, able to be asked.
    pub async fn connect(rig: &'a Rig, upstream: &str, era: Era) -> Self {
        let version = if era == Era::Legacy { "2025-11-25" } else { "2026-07-28" };
        Self::connect_as(rig, upstream, version, rig.token(upstream), super::able()).await
    }

    pub async fn connect_as(rig: &'a Rig, upstream: &str, version: &str, token: String, capabilities: Value) -> Self {
        let mut client = Self::unconnected(rig, upstream, version, token);
        client.capabilities = capabilities;
        client.greet().await;
        client
    }

    /// Connects with a token that is bound to the key of `holder`.
    pub async fn connect_held(rig: &'a Rig, upstream: &str, version: &str, token: String, holder: Holder) -> Self {
        let mut client = Self::unconnected(rig, upstream, version, token);
        let stranger = Request::post(format!("/mcp/{upstream}")).body(Body::empty()).unwrap();
        holder.hear(&rig.send(stranger).await);
        client.holder = Some(holder);
        client.greet().await;
        client
    }

    async fn greet(&mut self) {
        let version = self.version.clone();
        if self.era == Era::Modern {
            self.greeting = self.request("server/discover", json!({})).await.result().clone();
            return;
        }
        let params = json!({"protocolVersion": version, "capabilities": self.capabilities, "clientInfo": {"name": "t", "version": "1"}});
        let reply = self.post(&self.message(Some(self.id()), "initialize", params)).await;
        assert_eq!(reply.status, StatusCode::OK, "initialize is answered");
        self.session = Some(reply.header("mcp-session-id").to_owned());
        self.greeting = reply.json().await["result"].clone();
        let said = self.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await;
        assert_eq!(said.status, StatusCode::ACCEPTED, "{} {version}", self.upstream);
    }

    pub fn unconnected(rig: &'a Rig, upstream: &str, version: &str, token: String) -> Self {
        Self {
            rig,
            upstream: upstream.to_owned(),
            token,
            era: if version == "2026-07-28" { Era::Modern } else { Era::Legacy },
            version: version.to_owned(),
            capabilities: super::able(),
            session: None,
            holder: None,
            greeting: Value::Null,
            ids: AtomicI64::new(1),
        }
    }

    pub fn id(&self) -> i64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub fn meta(&self) -> Value {
        json!({
            format!("{PREFIX}protocolVersion"): self.version,
            format!("{PREFIX}clientCapabilities"): self.capabilities,
            format!("{PREFIX}clientInfo"): {"name": "t", "version": "1"},
        })
    }

    /// A message in the client's era; metadata is put in where the era wants it.
    pub fn message(&self, id: Option<i64>, method: &str, mut params: Value) -> String {
        if self.era == Era::Modern {
            let mut meta = self.meta();
            if let Some(own) = params.get("_meta").and_then(Value::as_object) {
                meta.as_object_mut().unwrap().extend(own.clone());
            }
            params["_meta"] = meta;
        }
        let mut message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if let Some(id) = id {
            message["id"] = id.into();
        }
        message.to_string()
    }

    /// A request with its credential.
    fn authorized(&self, verb: &str) -> http::request::Builder {
        let request = Request::builder().method(verb).uri(format!("/mcp/{}", self.upstream));
        match &self.holder {
            None => request.header("authorization", format!("Bearer {}", self.token)),
            Some(holder) => request
                .header("authorization", format!("DPoP {}", self.token))
                .header("dpop", holder.proof(verb, &self.upstream, &self.token)),
        }
    }

    /// The headers that go with a body.
    pub fn post_request(&self, body: &str) -> Request<Body> {
        let mut request = self
            .authorized("POST")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let parsed: Value = serde_json::from_str(body).unwrap_or_default();
        if self.era == Era::Modern {
            request = request.header("mcp-protocol-version", &self.version);
            request = request.header("mcp-method", parsed["method"].as_str().unwrap_or("none"));
            let named = parsed["params"]["name"].as_str().or(parsed["params"]["uri"].as_str());
            if let Some(name) = named.or(parsed["params"]["taskId"].as_str()) {
                request = request.header("mcp-name", encode_value(name));
            }
        } else if parsed["method"] != "initialize" {
            request = request.header("mcp-protocol-version", &self.version);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    }

    pub async fn post(&self, body: &str) -> Reply {
        let sent = self.rig.send(self.post_request(body));
        tokio::time::timeout(PATIENCE, sent).await.expect("an answer begins in time")
    }

    /// Sends a request and leaves its answer to be read.
    pub async fn open(&self, method: &str, params: Value) -> Reply {
        self.post(&self.message(Some(self.id()), method, params)).await
    }

    /// Sends a request and reads its answer; refuses to be asked.
    pub async fn request(&self, method: &str, params: Value) -> Exchange {
        self.converse(method, params, &|asked, _| panic!("unexpected question {asked}")).await
    }

    /// Sends a request and reads its answer, be it a question.
    pub async fn request_once(&self, method: &str, params: Value) -> Exchange {
        let mut exchange = Exchange::default();
        let id = self.id();
        let reply = self.post(&self.message(Some(id), method, params)).await;
        self.read(reply, id, &mut exchange, &|asked, _| panic!("unexpected question {asked}")).await;
        exchange
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Exchange {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Sends a request and answers what is asked on the way, by either era's rules.
    pub async fn converse(&self, method: &str, params: Value, answer: &dyn Fn(&str, &Value) -> Value) -> Exchange {
        let mut exchange = Exchange::default();
        let mut params = params;
        for _ in 0..8 {
            let id = self.id();
            let reply = self.post(&self.message(Some(id), method, params.clone())).await;
            self.read(reply, id, &mut exchange, answer).await;
            let result = &exchange.response["result"];
            if self.era == Era::Legacy || result["resultType"] != "input_required" {
                return exchange;
            }
            if let Some(state) = result.get("requestState") {
                params["requestState"] = state.clone();
            }
            let mut responses = json!({});
            for (key, question) in result["inputRequests"].as_object().unwrap() {
                let asked = question["method"].as_str().unwrap().to_owned();
                responses[key] = answer(&asked, &question["params"]);
                exchange.questions.push((asked, question["params"].clone()));
            }
            params["inputResponses"] = responses;
        }
        panic!("asked without end: {exchange:?}");
    }

    async fn read(&self, mut reply: Reply, id: i64, exchange: &mut Exchange, answer: &dyn Fn(&str, &Value) -> Value) {
        exchange.status = reply.status;
        if !reply.is_stream() {
            exchange.response = reply.json().await;
            return;
        }
        while let Some(message) = reply.next().await {
            match (message.get("method"), message.get("id")) {
                (Some(method), Some(asked)) => {
                    assert_eq!(self.era, Era::Legacy, "a modern client gets no requests");
                    let method = method.as_str().unwrap().to_owned();
                    let result = answer(&method, &message["params"]);
                    exchange.questions.push((method, message["params"].clone()));
                    let answered = json!({"jsonrpc": "2.0", "id": asked, "result": result}).to_string();
                    assert_eq!(self.post(&answered).await.status, StatusCode::ACCEPTED);
                }
                (Some(_), None) => exchange.notifications.push(message),
                (None, Some(answered)) => {
                    assert_eq!(*answered, json!(id), "the answer is under the client's own id");
                    exchange.response = message;
                }
                (None, None) => {}
            }
        }
    }

    /// GET or DELETE in the session.
    pub async fn verb(&self, verb: &str, extra: &[(&str, &str)]) -> Reply {
        let mut request =
            self.authorized(verb).header("accept", "text/event-stream").header("mcp-protocol-version", &self.version);
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        self.rig.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn notify(&self, method: &str, params: Value) -> StatusCode {
        self.post(&self.message(None, method, params)).await.status
    }
}
