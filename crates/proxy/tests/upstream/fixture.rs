//! A scripted HTTP upstream, and what all tests need.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request as HttpRequest},
    response::{IntoResponse, Response as HttpResponse},
};
use futures::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, StatusCode};
use sallyport_mcp::{Era, Message, Object, Outcome, Request, Response};
use sallyport_model::{
    Actor, ClientId, GrantId, Principal, ScopeSet, Secret, SessionId, TenantId, Timestamp, TokenId, UpstreamName,
    UserId,
};
use sallyport_outbound::{http::HttpOptions, stdio::Spawner};
use sallyport_proxy::upstream::{
    Caller, ClientFacts, Connector, ConnectorOptions, Delivered, Outgoing, Timeouts, Transport, UpstreamCredential,
    UpstreamError, UpstreamSession, UpstreamSpec, UpstreamStream,
};
use serde_json::{Value, json};

/// One request as the upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) peer: SocketAddr,
    pub(crate) verb: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }
    pub(crate) fn id(&self) -> Value {
        self.body["id"].clone()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A server that does what its script says, and remembers what it saw.
pub(crate) struct Fixture {
    pub(crate) url: url::Url,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fixture {
    pub(crate) async fn serve(script: impl Fn(&Seen) -> HttpResponse + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, script) = (Arc::clone(&seen), Arc::new(script));
        let app =
            axum::Router::new().fallback(move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: HttpRequest| {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                async move {
                    let (head, body) = request.into_parts();
                    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                    let one = Seen { peer, verb: head.method.to_string(), headers: head.headers, body };
                    log.lock().unwrap().push(one.clone());
                    script(&one)
                }
            });
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }

    /// What was asked, in order: JSON-RPC methods, or the verb where there is none.
    pub(crate) fn asked(&self) -> Vec<String> {
        let name = |seen: &Seen| if seen.method().is_empty() { seen.verb.clone() } else { seen.method().to_owned() };
        self.seen().iter().map(name).collect()
    }

    pub(crate) fn spec(&self) -> UpstreamSpec {
        let transport = Transport::Http { url: self.url.clone(), options: HttpOptions::default() };
        UpstreamSpec {
            name: UpstreamName::new("fixture").unwrap(),
            transport,
            credential: UpstreamCredential::Bearer(Secret::new("gate-token")),
            identity_header: false,
            timeouts: quick(),
            max_message_bytes: 10_000,
        }
    }

    pub(crate) async fn open(&self, client: &ClientFacts) -> Arc<dyn UpstreamSession> {
        connector().open(&self.spec(), client, &owner("a")).await.unwrap()
    }
}

pub(crate) fn quick() -> Timeouts {
    Timeouts {
        first: Duration::from_millis(1500),
        idle: Duration::from_millis(400),
        total: None,
        probe: Duration::from_millis(500),
    }
}

pub(crate) fn connector() -> Connector {
    Connector::new(ConnectorOptions::default(), Spawner::new())
}

pub(crate) fn owner(person: &str) -> Caller {
    owner_in("acme", person)
}

pub(crate) fn owner_in(tenant: &str, person: &str) -> Caller {
    Caller::Principal(Arc::new(Principal {
        tenant: TenantId::new(tenant).unwrap(),
        subject: Actor::Human(UserId::new(person).unwrap()),
        actors: Vec::new(),
        client: ClientId::new("client").unwrap(),
        session: SessionId::new("session").unwrap(),
        grant: GrantId::new("grant").unwrap(),
        ancestors: Vec::new(),
        token: TokenId::new("token").unwrap(),
        scopes: ScopeSet::empty(),
        issued_at: Timestamp::from_secs(1),
        expires_at: Timestamp::from_secs(2),
        bound_to: None,
    }))
}

pub(crate) fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

pub(crate) fn legacy_client() -> ClientFacts {
    ClientFacts {
        era: Era::Legacy,
        protocol_version: "2025-06-18".to_owned(),
        capabilities: object(json!({"elicitation": {}})),
        info: Some(object(json!({"name": "c", "version": "1"}))),
    }
}

pub(crate) fn modern_client() -> ClientFacts {
    ClientFacts { era: Era::Modern, protocol_version: "2026-07-28".to_owned(), ..legacy_client() }
}

pub(crate) fn call(id: i64, method: &str, params: Value) -> Outgoing {
    Outgoing::new(Request::new(id, method, Some(object(params))))
}

pub(crate) fn tool(id: i64, name: &str, arguments: Value) -> Outgoing {
    call(id, "tools/call", json!({"name": name, "arguments": arguments}))
}

pub(crate) fn json_answer(status: u16, body: Value) -> HttpResponse {
    (StatusCode::from_u16(status).unwrap(), [("content-type", "application/json")], body.to_string()).into_response()
}

pub(crate) fn result(seen: &Seen, result: Value) -> HttpResponse {
    json_answer(200, json!({"jsonrpc": "2.0", "id": seen.id(), "result": result}))
}

pub(crate) fn error(status: u16, id: Value, code: i64, data: Value) -> HttpResponse {
    json_answer(status, json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": "no", "data": data}}))
}

pub(crate) fn empty(status: u16) -> HttpResponse {
    StatusCode::from_u16(status).unwrap().into_response()
}

/// An event stream that ends after `text`.
pub(crate) fn events(text: String) -> HttpResponse {
    ([("content-type", "text/event-stream")], text).into_response()
}

/// An event stream that goes on as `pieces` does.
pub(crate) fn open_events(pieces: impl Stream<Item = String> + Send + 'static) -> HttpResponse {
    let body = Body::from_stream(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
    ([("content-type", "text/event-stream")], body).into_response()
}

pub(crate) fn event(message: Value) -> String {
    format!("data: {message}\n\n")
}

pub(crate) fn answer(seen: &Seen, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": seen.id(), "result": result})
}

pub(crate) fn initialize_result(seen: &Seen) -> Value {
    let version = &seen.body["params"]["protocolVersion"];
    let info = json!({"name": "fixture", "version": "1"});
    answer(seen, json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}))
}

pub(crate) fn discover_result(seen: &Seen, versions: &[&str]) -> HttpResponse {
    let found = json!({"resultType": "complete", "supportedVersions": versions, "capabilities": {"tools": {}}});
    result(seen, found)
}

/// A legacy server with a session; `script` answers what is no handshake.
pub(crate) async fn legacy(script: impl Fn(&Seen) -> HttpResponse + Send + Sync + 'static) -> Fixture {
    Fixture::serve(move |seen| match seen.method() {
        "initialize" => {
            let mut response = json_answer(200, initialize_result(seen));
            response.headers_mut().insert(HeaderName::from_static("mcp-session-id"), "sess-1".parse().unwrap());
            response
        }
        "notifications/initialized" => empty(202),
        "server/discover" => empty(400),
        _ => script(seen),
    })
    .await
}

/// A modern server that refuses what is legacy.
pub(crate) async fn modern(script: impl Fn(&Seen) -> HttpResponse + Send + Sync + 'static) -> Fixture {
    Fixture::serve(move |seen| match (seen.verb.as_str(), seen.method()) {
        ("POST", "server/discover") => discover_result(seen, &["2026-07-28"]),
        ("POST", "initialize") => error(400, seen.id(), -32020, Value::Null),
        ("POST", _) => script(seen),
        _ => empty(405),
    })
    .await
}

pub(crate) async fn all(stream: UpstreamStream) -> Vec<Result<Delivered, UpstreamError>> {
    stream.collect().await
}

/// Every message of a stream that must not fail.
pub(crate) async fn messages(stream: UpstreamStream) -> Vec<Message> {
    let found: Vec<_> = all(stream).await;
    found.into_iter().filter_map(|item| item.unwrap().message().cloned()).collect()
}

/// The result of a call that must succeed.
pub(crate) async fn value(session: &dyn UpstreamSession, outgoing: Outgoing) -> Value {
    let id = outgoing.request.id.clone();
    match messages(session.request(outgoing).await.unwrap()).await.pop() {
        Some(Message::Response(Response { id: Some(of), outcome: Outcome::Result(result), .. })) if of == id => {
            Value::Object(result)
        }
        other => panic!("no result: {other:?}"),
    }
}

/// The one error of a call that must fail.
pub(crate) async fn failure(session: &dyn UpstreamSession, outgoing: Outgoing) -> UpstreamError {
    match session.request(outgoing).await {
        Err(error) => error,
        Ok(stream) => match all(stream).await.pop() {
            Some(Err(error)) => error,
            other => panic!("no failure: {other:?}"),
        },
    }
}
