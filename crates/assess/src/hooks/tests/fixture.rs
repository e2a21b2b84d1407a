//! For tests of hooks: an MCP server of the legacy era with a trail, whose people can be ended by URL, and which
//! may lie about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Form, Router,
    body::{Body, Bytes},
    extract::{Query, State},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use sallyport_model::{Clock, Secret, SystemClock, SystemRng, Timestamp};
use serde_json::{Value, json};

use crate::{
    access::{Access, AgentCredential, NamedTool, OauthClient, TestUser},
    bench::{Bench, Client, Discovery, Found, Grant, Target},
    hooks::Hooks,
};

type Lab = State<Arc<Server>>;
type Pairs = BTreeMap<String, String>;

/// What follows the name of its holder in a token.
const TAIL: &str = "-token-that-is-long-enough-to-be-found";

/// The server, listening.
pub(crate) struct Server {
    base: String,
    off: BTreeSet<&'static str>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    gone: BTreeSet<String>,
    restricted: bool,
    trail: Vec<Value>,
    upstream: Vec<Value>,
}

impl Server {
    /// Starts it, with the controls of `off` switched off.
    pub(crate) async fn start(off: &[&'static str]) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { base, off: off.iter().copied().collect(), inner: Mutex::default() });
        let app = Router::new()
            .route("/mcp", post(mcp).get(stream).delete(|| async { StatusCode::OK }))
            .route("/authorize", get(authorize))
            .route("/login", post(login))
            .route("/token", post(token))
            .route("/control", post(control))
            .route(
                "/trail",
                get(|State(server): Lab| async move { axum::Json(Value::Array(server.inner().trail.clone())) }),
            )
            .route(
                "/upstream",
                get(|State(server): Lab| async move { axum::Json(Value::Array(server.inner().upstream.clone())) }),
            )
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    /// A bench with two people and these hooks; `URL` in them is this server's.
    pub(crate) fn bench(&self, hooks: &str) -> Bench {
        let hooks = Hooks::parse(&hooks.replace("URL", &self.base), "hooks.toml", &|_| None).unwrap();
        let access = Access {
            user: Some(TestUser { name: "alice".to_owned(), password: Secret::new("alice-pw") }),
            read: Some(NamedTool {
                tool: "read_ticket".to_owned(),
                arguments: json!({"id": 7}).as_object().unwrap().clone(),
            }),
            hooks,
            timeout: Some(Duration::from_secs(60)),
            ..Access::default()
        };
        let target = Target::Http(format!("{}/mcp", self.base).parse().unwrap());
        let bench = Bench::new(target, access, Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
        bench.seen.person.set(grant("alice")).unwrap();
        bench.seen.second.set(grant("bob")).unwrap();
        bench
    }

    /// The same with an authorization server, an agent, and the person signed in there.
    pub(crate) async fn bench_signed_in(&self, hooks: &str) -> Bench {
        let mut bench = self.bench(hooks);
        (bench.seen.person, bench.seen.second) = Default::default();
        bench.access.oauth_client = Some(OauthClient { client_id: "client".to_owned(), client_secret: None });
        let (client_id, client_secret) = ("agent-7".to_owned(), Secret::new("agent-7-secret"));
        bench.access.agent = Some(AgentCredential { client_id, client_secret });
        let at = |path: &str| format!("{}{path}", self.base);
        let document = json!({
            "issuer": self.base, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
        });
        let found = Found { url: at("/as").parse().unwrap(), document, exchange: 0 };
        let discovery = Discovery { servers: vec![found], issuer: Some(self.base.clone()), ..Discovery::default() };
        bench.seen.discovery.set(discovery).unwrap();
        crate::login::run(&bench).await;
        assert!(bench.seen.person.get().is_some() && bench.seen.agent.get().is_some(), "{:?}", bench.wire.exchanges());
        bench
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn has(&self, control: &str) -> bool {
        !self.off.contains(control)
    }

    fn record(&self, who: &str, tool: &str, arguments: &Value, status: &str) {
        let mut text = arguments.to_string();
        if let (true, Some(at)) = (self.has("sanitised"), text.find("ghp_")) {
            text.replace_range(at..at + 40, "[key]");
        }
        let time = SystemClock.now().to_string();
        let kind = if who.starts_with("agent") { "agent" } else { "human" };
        let mut event =
            json!({"time": time, "user": who, "type": kind, "tool": tool, "arguments": text, "status": status});
        if !self.has("marks") {
            event.as_object_mut().unwrap().remove("type");
        }
        self.inner().trail.push(event);
    }
}

fn grant(who: &str) -> Grant {
    Grant {
        access_token: Secret::new(format!("{who}{TAIL}")),
        refresh_token: None,
        id_token: None,
        expires_in: None,
        obtained_at: Timestamp::from_secs(0),
        scope: None,
        client: Client { id: "client".to_owned(), ..Client::default() },
        token_type: "Bearer".to_owned(),
        subject: who.to_owned(),
    }
}

fn caller(headers: &HeaderMap) -> Option<String> {
    let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    let who = token.strip_suffix(TAIL)?;
    ["alice", "bob", "agent-7"].contains(&who).then(|| who.to_owned())
}

/// A page with a form, whose hidden fields carry the request.
async fn authorize(Query(request): Query<Pairs>) -> Html<String> {
    let hidden: String = ["redirect_uri", "state"]
        .iter()
        .map(|name| {
            format!("<input type=hidden name={name} value='{}'>", request.get(*name).map_or("", String::as_str))
        })
        .collect();
    Html(format!(
        "<form method=post action=/login>{hidden}<input name=username><input type=password name=password><button>Sign in</button></form>"
    ))
}

async fn login(State(server): Lab, Form(form): Form<Pairs>) -> Response {
    let who = form.get("username").cloned().unwrap_or_default();
    if server.has("sign-in") && server.inner().gone.contains(&who) {
        return (StatusCode::FORBIDDEN, Html("<p>This account is not active.</p>")).into_response();
    }
    let mut url: url::Url = form["redirect_uri"].parse().unwrap();
    url.query_pairs_mut()
        .append_pair("code", &who)
        .append_pair("state", &form["state"])
        .append_pair("iss", &server.base);
    Redirect::to(url.as_str()).into_response()
}

async fn token(State(server): Lab, Form(form): Form<Pairs>) -> Response {
    let get = |name: &str| form.get(name).cloned().unwrap_or_default();
    let (who, control) = match get("grant_type").as_str() {
        "client_credentials" => (get("client_id"), "agent"),
        "refresh_token" => (get("refresh_token").replace("-refresh", ""), "refresh"),
        _ => (get("code"), "sign-in"),
    };
    if server.has(control) && server.inner().gone.contains(&who) {
        return (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_grant"}))).into_response();
    }
    let token = format!("{who}{TAIL}");
    axum::Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 300, "refresh_token": format!("{who}-refresh")}))
        .into_response()
}

async fn control(State(server): Lab, Query(query): Query<Pairs>) -> StatusCode {
    let who = query.get("who").cloned().unwrap_or_default();
    let mut inner = server.inner();
    match query.get("do").map(String::as_str) {
        Some("end") if server.has("end") => drop(inner.gone.insert(who)),
        Some("end-all") => inner.gone.extend(["alice", "bob", "agent-7"].map(str::to_owned)),
        Some("back") => inner.gone.clear(),
        Some("restrict") if server.has("restrict") => inner.restricted = true,
        Some("unrestrict") => inner.restricted = false,
        Some("fail") => return StatusCode::INTERNAL_SERVER_ERROR,
        _ => {}
    }
    StatusCode::OK
}

async fn mcp(State(server): Lab, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let who = caller(&headers).filter(|who| !server.inner().gone.contains(who));
    let Some(who) = who else {
        if server.has("refusals") {
            server.record("stranger", "-", &Value::Null, "401 unauthorized");
        }
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Some(id) = message.get("id").cloned() else { return StatusCode::ACCEPTED.into_response() };
    let plain = headers.get("user-agent").is_none_or(|agent| !agent.to_str().unwrap_or_default().contains("sallyport"));
    let answer = match message["method"].as_str().unwrap_or_default() {
        "initialize" => Ok(json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "lab", "version": "1"}
        })),
        "tools/list" => Ok(json!({"tools": if server.inner().restricted { json!([]) } else { json!([
            {"name": "read_ticket", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}
        ]) }})),
        "tools/call" => call(&server, &headers, &who, &message["params"], plain),
        _ => Err("no such method"),
    };
    axum::Json(match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": error}}),
    })
    .into_response()
}

fn call(server: &Server, headers: &HeaderMap, who: &str, params: &Value, plain: bool) -> Result<Value, &'static str> {
    let tool = params["name"].as_str().unwrap_or_default();
    let refused = tool != "read_ticket" || server.inner().restricted;
    if refused {
        if server.has("refusals") {
            server.record(who, tool, &params["arguments"], "refused");
        }
        return Err("there is no such tool");
    }
    if server.has("complete") || !plain {
        server.record(who, tool, &params["arguments"], "ok");
    }
    let token = match server.has("own-token") {
        true => "Bearer of-the-gate",
        false => headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default(),
    };
    server.inner().upstream.push(json!({"headers": {"authorization": token}}));
    Ok(json!({"content": [{"type": "text", "text": "ticket 7"}]}))
}

/// Open until its person is gone.
async fn stream(State(server): Lab, headers: HeaderMap) -> Response {
    let Some(who) = caller(&headers) else { return StatusCode::UNAUTHORIZED.into_response() };
    let alive = futures::stream::unfold((server, who), |(server, who)| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let ended = server.has("streams") && server.inner().gone.contains(&who);
        (!ended).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b": still here\n\n")), (server, who)))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(alive)).into_response()
}
