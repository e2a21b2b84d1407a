use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response as HttpResponse},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode};
use sallyport_model::{SeededRng, SystemClock};
use sallyport_outbound::stdio::StdioSpec;
use serde_json::json;

use super::*;
use crate::access::Access;

type Log = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

async fn serve(router: Router) -> Bench {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    bench(Target::Http(url))
}

fn bench(target: Target) -> Bench {
    let access = Access { timeout: Some(Duration::from_secs(20)), ..Access::default() };
    Bench::new(target, access, Arc::new(SystemClock), Arc::new(SeededRng::new(1))).unwrap()
}

async fn connect(bench: &Bench, options: ConnectOptions) -> Result<McpClient, McpFault> {
    McpClient::connect(bench, "auth-required", Credential::Bearer("a-token-of-this-test"), options).await
}

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn events(messages: &[Value]) -> HttpResponse {
    let body: String = messages.iter().map(|message| format!("event: message\ndata: {message}\n\n")).collect();
    ([("content-type", "text/event-stream")], body).into_response()
}

/// A legacy server with sessions; `ask` pings, samples and elicits before it answers.
async fn legacy(State(log): State<Log>, headers: HeaderMap, body: String) -> HttpResponse {
    let message: Value = serde_json::from_str(&body).unwrap();
    log.lock().unwrap().push((headers.clone(), message.clone()));
    if headers.get("authorization").is_none_or(|value| value != "Bearer a-token-of-this-test") {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response();
    }
    let id = message["id"].clone();
    let answer = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
    match message["method"].as_str() {
        Some("initialize") => {
            let asked = message["params"]["protocolVersion"].as_str().unwrap();
            let version = if asked == "2025-11-25" { "2025-06-18" } else { asked };
            let info = json!({"name": "legacy", "version": "1"});
            let result = json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info});
            ([("mcp-session-id", "session-1")], axum::Json(answer(result))).into_response()
        }
        Some("tools/list") if message["params"]["cursor"] == "two" => {
            axum::Json(answer(json!({"tools": [{"name": "b", "inputSchema": {}}]}))).into_response()
        }
        Some("tools/list") => {
            let page = json!({"tools": [{"name": "a", "inputSchema": {}}], "nextCursor": "two"});
            events(&[json!({"jsonrpc": "2.0", "method": "notifications/message"}), answer(page)])
        }
        Some("tools/call") => events(&[
            json!({"jsonrpc": "2.0", "id": "p", "method": "ping"}),
            json!({"jsonrpc": "2.0", "id": "s", "method": "sampling/createMessage", "params": {}}),
            json!({"jsonrpc": "2.0", "id": "e", "method": "elicitation/create", "params": {"message": "sure?"}}),
            answer(json!({"content": [{"type": "text", "text": "done"}]})),
        ]),
        Some(_) if message.get("id").is_none() => StatusCode::ACCEPTED.into_response(),
        None => StatusCode::ACCEPTED.into_response(),
        Some(_) => {
            let error = json!({"code": -32601, "message": "no such method"});
            (StatusCode::BAD_REQUEST, axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": error}))).into_response()
        }
    }
}

fn legacy_server() -> (Router, Log) {
    let log = Log::default();
    (Router::new().route("/mcp", post(legacy)).with_state(Arc::clone(&log)), log)
}

#[tokio::test]
async fn a_legacy_server_is_found_and_listed() {
    let (router, log) = legacy_server();
    let bench = serve(router).await;
    let mut client = connect(&bench, ConnectOptions::default()).await.unwrap();
    assert_eq!((client.version(), client.session_id(), client.is_modern()), ("2025-06-18", Some("session-1"), false));
    let tools = client.list("auth-required", ListKind::Tools).await.unwrap();
    assert_eq!(tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bench.seen.server.get().unwrap().name, "legacy");
    assert_eq!(bench.seen.transport.get(), Some(&"streamable-http"));
    let log = log.lock().unwrap();
    let (headers, _) = log.iter().find(|(_, message)| message["method"] == "tools/list").unwrap();
    assert_eq!(headers["mcp-protocol-version"], "2025-06-18");
    assert_eq!(headers["mcp-session-id"], "session-1");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("sallyport-assess/"));
}

#[tokio::test]
async fn a_plain_client_shows_no_sign_of_the_assessor() {
    let (router, log) = legacy_server();
    let bench = serve(router).await;
    let mut client = connect(&bench, ConnectOptions { plain: true, ..Default::default() }).await.unwrap();
    client.list("auth-required", ListKind::Tools).await.unwrap();
    client.close().await;
    let log = format!("{:?}", log.lock().unwrap()).to_lowercase();
    assert!(!log.contains("sallyport") && !log.contains("assess"), "{log}");
}

#[tokio::test]
async fn questions_are_declined_unless_elicitation_is_declared() {
    let (router, log) = legacy_server();
    let bench = serve(router).await;
    let call = || object(json!({"name": "ask", "arguments": {}}));
    let mut silent = connect(&bench, ConnectOptions::default()).await.unwrap();
    let answer = silent.call("auth-required", "tools/call", call()).await.unwrap();
    assert!(matches!(answer, Answer::Result(..)), "{answer:?}");
    let answers = |id: &str| {
        let log = log.lock().unwrap();
        log.iter().filter(|(_, message)| message["id"] == id).map(|(_, message)| message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(answers("p")[0]["result"], json!({}));
    assert_eq!(answers("s")[0]["error"]["code"], -32601);
    assert_eq!(answers("e")[0]["error"]["code"], -32601);

    let options = ConnectOptions { elicitation: true, ..Default::default() };
    let mut asking = connect(&bench, options).await.unwrap();
    let answer = asking.call("auth-required", "tools/call", call()).await.unwrap();
    let Answer::Asked { request, pending, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(request.param_str("message"), Some("sure?"));
    let answer = asking.answer_ask("auth-required", pending, Reply::Decline).await.unwrap();
    assert!(matches!(answer, Answer::Result(..)), "{answer:?}");
    assert_eq!(answers("e")[1]["result"], json!({"action": "decline"}));
}

#[tokio::test]
async fn strangers_are_refused_and_that_is_told() {
    let (router, _) = legacy_server();
    let bench = serve(router).await;
    let fault = McpClient::connect(&bench, "auth-required", Credential::None, ConnectOptions::default()).await;
    let Err(McpFault::Refused(heard)) = fault else { panic!("{fault:?}") };
    assert_eq!((heard.status, heard.header("www-authenticate")), (StatusCode::UNAUTHORIZED, Some("Bearer")));
    assert!(bench.seen.era.get().is_none());
}

#[tokio::test]
async fn every_version_that_is_agreed_to_is_collected() {
    let (router, _) = legacy_server();
    let bench = serve(router).await;
    connect(&bench, ConnectOptions::default()).await.unwrap();
    collect_versions(&bench, Credential::Bearer("a-token-of-this-test")).await;
    let versions = bench.seen.versions.lock().unwrap().clone();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["2024-11-05", "2025-03-26", "2025-06-18"]);
}

async fn modern(State(log): State<Log>, headers: HeaderMap, body: String) -> HttpResponse {
    let message: Value = serde_json::from_str(&body).unwrap();
    log.lock().unwrap().push((headers.clone(), message.clone()));
    let id = message["id"].clone();
    let answer = |result: Value| axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response();
    let error = |code: i64| {
        let error = json!({"code": code, "message": "no"});
        (StatusCode::BAD_REQUEST, axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": error}))).into_response()
    };
    let meta = &message["params"]["_meta"];
    if meta["io.modelcontextprotocol/protocolVersion"] != headers["mcp-protocol-version"].to_str().unwrap() {
        return error(-32020);
    }
    match message["method"].as_str() {
        Some("server/discover") => answer(json!({"supportedVersions": ["2026-07-28"], "capabilities": {},
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "2"}}})),
        Some("tools/call") if message["params"]["inputResponses"]["q"]["action"] == "accept" => {
            answer(json!({"resultType": "complete", "content": [], "state": message["params"]["requestState"]}))
        }
        Some("tools/call") => {
            let question = json!({"method": "elicitation/create", "params": {"message": "sure?"}});
            answer(json!({"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s"}))
        }
        _ => error(-32601),
    }
}

#[tokio::test]
async fn a_modern_server_asks_and_is_answered() {
    let log = Log::default();
    let bench = serve(Router::new().route("/mcp", post(modern)).with_state(Arc::clone(&log))).await;
    let options = ConnectOptions { elicitation: true, ..Default::default() };
    let mut client = connect(&bench, options).await.unwrap();
    assert!(client.is_modern());
    assert_eq!(bench.seen.server.get().unwrap().name, "modern");
    let params = object(json!({"name": "act", "arguments": {}}));
    let answer = client.call("action-held", "tools/call", params.clone()).await.unwrap();
    let Answer::InputRequired(required, _) = answer else { panic!("{answer:?}") };
    let reply = Reply::Accept(Object::new());
    let answer = client.answer_input("action-held", "tools/call", params, &required, reply).await.unwrap();
    let Answer::Result(result, _) = answer else { panic!("{answer:?}") };
    assert_eq!(result["state"], "s");
    assert!(
        matches!(client.call("action-held", "x/y", Object::new()).await, Ok(Answer::Error(error, _)) if error.code == -32601)
    );
    let log = log.lock().unwrap();
    assert_eq!(log.last().unwrap().0["mcp-method"], "x/y");
    assert!(log.iter().any(|(headers, _)| headers.get("mcp-name").is_some_and(|name| name == "act")));
}

/// HTTP+SSE: what is posted comes back on the one stream.
fn sse_server() -> Router {
    let (sender, _) = tokio::sync::broadcast::channel::<String>(16);
    let stream = {
        let sender = sender.clone();
        move || async move {
            let mut receiver = sender.subscribe();
            let first = futures::stream::once(async {
                Ok::<_, std::convert::Infallible>("event: endpoint\ndata: /messages?s=1\n\n".to_owned())
            });
            let rest = futures::stream::unfold((), move |()| {
                let received = receiver.try_recv();
                let mut next = receiver.resubscribe();
                async move {
                    let text = match received {
                        Ok(text) => text,
                        Err(_) => next.recv().await.ok()?,
                    };
                    Some((Ok(text), ()))
                }
            });
            let body = axum::body::Body::from_stream(futures::StreamExt::chain(first, rest));
            ([("content-type", "text/event-stream")], body)
        }
    };
    let message = move |body: String| async move {
        let message: Value = serde_json::from_str(&body).unwrap();
        let result = match message["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2024-11-05", "capabilities": {},
                "serverInfo": {"name": "old", "version": "0"}}),
            Some("tools/list") => json!({"tools": []}),
            _ => return StatusCode::ACCEPTED,
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = sender.send(format!("event: message\ndata: {answer}\n\n"));
        });
        StatusCode::ACCEPTED
    };
    Router::new().route("/mcp", get(stream)).route("/messages", post(message))
}

#[tokio::test]
async fn http_with_sse_of_2024_is_spoken() {
    let bench = serve(sse_server()).await;
    let mut client = connect(&bench, ConnectOptions::default()).await.unwrap();
    assert_eq!((client.version(), bench.seen.transport.get()), ("2024-11-05", Some(&"sse")));
    assert!(client.list("auth-required", ListKind::Tools).await.unwrap().is_empty());
    let again = connect(&bench, ConnectOptions::default()).await.unwrap();
    assert_eq!(again.version(), "2024-11-05");
    let posted = bench.wire.exchanges().into_iter().find(|exchange| exchange.request_body.contains("tools/list"));
    assert!(posted.unwrap().response_body.contains("\"tools\":[]"));
}

fn script(text: &str) -> Target {
    let args = vec!["-c".to_owned(), text.to_owned()];
    Target::Stdio(StdioSpec::from_configuration("sh", args, BTreeMap::new(), None))
}

#[tokio::test]
async fn a_process_is_spoken_to_by_lines() {
    let bench = bench(script(
        r#"echo "starting, not JSON"
        while read -r line; do
            id=$(printf %s "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
            case "$line" in
            *server/discover*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32601,\"message\":\"no\"}}";;
            *initialize\"*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{},\"serverInfo\":{\"name\":\"sh\",\"version\":\"1\"}}}";;
            *tools/list*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"tools\":[]}}";;
            *die*) echo "out of cheese" >&2; exit 3;;
            esac
        done"#,
    ));
    let mut client = connect(&bench, ConnectOptions::default()).await.unwrap();
    assert_eq!((client.version(), bench.seen.transport.get()), ("2025-06-18", Some(&"stdio")));
    assert!(client.list("auth-required", ListKind::Tools).await.unwrap().is_empty());
    let fault = client.call("auth-required", "die", Object::new()).await.unwrap_err();
    assert!(matches!(&fault, McpFault::Ended(why) if why.contains("ended")), "{fault}");
    client.close().await;
    let exchanges = bench.wire.exchanges();
    assert!(exchanges.iter().any(|e| e.request == "stdio tools/list" && e.response_body.contains("tools")));
    bench.wire.stop().await;
    assert_eq!(bench.wire.spawner().live_count(), 0);
}

#[tokio::test]
async fn a_process_that_talks_without_end_is_left() {
    let bench = bench(script("while :; do echo '{\"jsonrpc\":\"2.0\",\"method\":\"x\"}'; done"));
    let begun = std::time::Instant::now();
    let fault = connect(&bench, ConnectOptions { era: EraChoice::Legacy, ..Default::default() }).await.unwrap_err();
    assert!(matches!(fault, McpFault::Ended(_)), "{fault}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    bench.wire.stop().await;
}

#[tokio::test]
async fn nonsense_is_told_apart_from_mcp() {
    for (kind, body) in [
        ("application/json", "[]"),
        ("application/json", "{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":{}}"),
        ("text/html", "<h1>hello</h1>"),
        ("text/event-stream", "data: nonsense\n\n"),
        ("text/event-stream", ""),
    ] {
        let router = Router::new().fallback(move || async move { ([("content-type", kind)], body) });
        let bench = serve(router).await;
        let fault = connect(&bench, ConnectOptions::default()).await.unwrap_err();
        assert!(matches!(fault, McpFault::NotMcp(_) | McpFault::Ended(_)), "{kind} {body}: {fault}");
    }
}

#[tokio::test]
async fn pages_that_never_end_are_cut() {
    let answer = |body: String| async move {
        let message: Value = serde_json::from_str(&body).unwrap();
        let next = message["params"]["cursor"].as_str().unwrap_or_default().len() + 1;
        let result = match message["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2025-11-25", "capabilities": {}}),
            Some("tools/list") => json!({"tools": vec![json!({"name": "t"}); 100], "nextCursor": "x".repeat(next)}),
            _ => return StatusCode::ACCEPTED.into_response(),
        };
        axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
    };
    let bench = serve(Router::new().route("/mcp", post(answer))).await;
    let options = ConnectOptions { era: EraChoice::Legacy, ..Default::default() };
    let mut client = connect(&bench, options).await.unwrap();
    assert_eq!(client.list("auth-required", ListKind::Tools).await.unwrap().len(), MAX_DEFINITIONS);
}

/// A server that closes its stream early and goes on where the client left it, and that has a stream of its own.
async fn resuming(headers: HeaderMap, method: http::Method, body: String) -> HttpResponse {
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    let sse = |text: String| ([("content-type", "text/event-stream")], text).into_response();
    match (method.as_str(), message["method"].as_str(), headers.get("last-event-id")) {
        ("POST", Some("initialize"), _) => {
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
            axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
        }
        ("POST", Some("tools/list"), _) => sse(format!("id: call-{}\nretry: 10\ndata: \n\n", message["id"])),
        ("POST", Some("tools/call"), _) => sse("data: \n\n".to_owned()),
        ("GET", _, Some(last)) => {
            let id: i64 = last.to_str().unwrap().trim_start_matches("call-").parse().unwrap();
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"tools": []}});
            sse(format!("data: {answer}\n\n"))
        }
        ("GET", _, None) => sse("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n".to_owned()),
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

#[tokio::test]
async fn a_stream_is_taken_up_again_and_another_is_listened_to() {
    let bench = serve(Router::new().fallback(resuming)).await;
    let options = ConnectOptions { era: EraChoice::Legacy, ..Default::default() };
    let mut client = connect(&bench, options).await.unwrap();
    assert!(client.list("auth-required", ListKind::Tools).await.unwrap().is_empty());
    let fault = client.call("auth-required", "tools/call", Object::new()).await.unwrap_err();
    assert!(matches!(&fault, McpFault::Ended(why) if why.contains("before it answered")), "{fault}");
    let mut stream = client.listen("auth-required").await.unwrap();
    let wait = Duration::from_secs(5);
    assert!(stream.next_event(wait).await.unwrap().unwrap().has_data());
    assert_eq!(stream.next_event(wait).await.unwrap(), None);
}
