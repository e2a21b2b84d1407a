//! Confirmations that serve once and those that serve again, in both eras, against a small server.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use sallyport_model::{
    SeededRng, SystemClock,
    assessment::CheckResult::{self, Fail, Pass},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::{
    access::{Access, NamedTool},
    bench::{Bench, Target},
    probes::discovery::fixture::outcome,
};

/// What is wrong with the server.
#[derive(Debug, Clone, Copy, Default)]
struct Desk {
    modern: bool,
    ignores_decline: bool,
    credits_the_next: bool,
    ignores_arguments: bool,
    takes_twice: bool,
    acts_for_the_mute: bool,
}

#[derive(Default)]
struct Kept {
    elicits: bool,
    waiting: Option<oneshot::Sender<String>>,
    credit: bool,
    spent: Vec<String>,
    minted: u32,
}

type Shared = (Desk, Arc<Mutex<Kept>>);

async fn assessed(desk: Desk) -> [CheckResult; 3] {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let shared: Shared = (desk, Arc::default());
    let router = Router::new().fallback(answer).with_state(shared);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let arguments = json!({"id": "1"}).as_object().unwrap().clone();
    let acting = Some(NamedTool { tool: "delete".to_owned(), arguments });
    let access = Access { acting, ..Access::default() };
    let bench = Bench::new(Target::Http(url), access, Arc::new(SystemClock), Arc::new(SeededRng::new(3))).unwrap();
    crate::probes::acting::run(&bench).await;
    ["action-held", "action-fails-closed", "confirmation-bound"].map(|check| outcome(&bench, check).0)
}

#[tokio::test]
async fn legacy_confirmations_serve_one_call() {
    for (desk, expected) in [
        (Desk::default(), [Pass, Pass, Pass]),
        (Desk { ignores_decline: true, ..Desk::default() }, [Pass, Fail, Pass]),
        (Desk { acts_for_the_mute: true, ..Desk::default() }, [Pass, Fail, Pass]),
        (Desk { credits_the_next: true, ..Desk::default() }, [Pass, Pass, Fail]),
    ] {
        assert_eq!(assessed(desk).await, expected, "{desk:?}");
    }
}

#[tokio::test]
async fn modern_confirmations_serve_one_call_with_its_arguments() {
    let modern = Desk { modern: true, ..Desk::default() };
    for (desk, expected) in [
        (modern, [Pass, Pass, Pass]),
        (Desk { ignores_decline: true, ..modern }, [Pass, Fail, Pass]),
        (Desk { ignores_arguments: true, ..modern }, [Pass, Pass, Fail]),
        (Desk { takes_twice: true, ..modern }, [Pass, Pass, Fail]),
        (Desk { credits_the_next: true, ..modern }, [Pass, Pass, Fail]),
        (Desk { acts_for_the_mute: true, ..modern }, [Pass, Fail, Pass]),
    ] {
        assert_eq!(assessed(desk).await, expected, "{desk:?}");
    }
}

fn rpc(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn done(text: &str, failed: bool) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": failed, "resultType": "complete"})
}

async fn answer(State((desk, kept)): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let Ok(message) = serde_json::from_str::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    if headers.contains_key("mcp-method") != desk.modern {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let id = &message["id"];
    let method = message["method"].as_str();
    if method.is_none()
        && let Some(waiting) = kept.lock().unwrap().waiting.take()
    {
        let _ = waiting.send(message["result"]["action"].as_str().unwrap_or("cancel").to_owned());
    }
    match method {
        Some("initialize") => {
            kept.lock().unwrap().elicits = message["params"]["capabilities"].get("elicitation").is_some();
            let info = json!({"name": "desk", "version": "1"});
            axum::Json(rpc(id, json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}))).into_response()
        }
        Some("server/discover") => axum::Json(rpc(
            id,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "ttlMs": 0, "cacheScope": "private"}),
        ))
        .into_response(),
        Some("tools/call") if desk.modern => axum::Json(rpc(id, modern_call(desk, &kept, &message["params"]))).into_response(),
        Some("tools/call") => legacy_call(desk, &kept, id.clone()),
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

fn legacy_call(desk: Desk, kept: &Arc<Mutex<Kept>>, id: Value) -> Response {
    let mut state = kept.lock().unwrap();
    if !state.elicits || std::mem::take(&mut state.credit) {
        let acts = state.elicits || desk.acts_for_the_mute;
        let result =
            if acts { done("Deleted.", false) } else { done("A person must confirm this: approval required.", true) };
        return axum::Json(rpc(&id, result)).into_response();
    }
    let (answered, answer) = oneshot::channel();
    state.waiting = Some(answered);
    let (send, receive) = mpsc::channel::<Result<String, std::convert::Infallible>>(2);
    let kept = Arc::clone(kept);
    tokio::spawn(async move {
        let question = json!({"jsonrpc": "2.0", "id": "ask", "method": "elicitation/create", "params": {
            "mode": "form", "message": "Delete?", "requestedSchema": {"type": "object", "properties": {}},
        }});
        let _ = send.send(Ok(format!("data: {question}\n\n"))).await;
        let action = answer.await.unwrap_or_default();
        let acts = action == "accept" || desk.ignores_decline;
        kept.lock().unwrap().credit = action == "accept" && desk.credits_the_next;
        let result = if acts { done("Deleted.", false) } else { done("Refused.", true) };
        let _ = send.send(Ok(format!("data: {}\n\n", rpc(&id, result)))).await;
    });
    let body = axum::body::Body::from_stream(tokio_stream(receive));
    ([("content-type", "text/event-stream")], body).into_response()
}

fn tokio_stream<T: Send + 'static>(receive: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> {
    futures::stream::unfold(receive, |mut receive| async move { receive.recv().await.map(|one| (one, receive)) })
}

fn modern_call(desk: Desk, kept: &Mutex<Kept>, params: &Value) -> Value {
    let mut state = kept.lock().unwrap();
    let capabilities = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    if capabilities.get("elicitation").is_none() {
        return match desk.acts_for_the_mute {
            true => done("Deleted.", false),
            false => done("A person must confirm this: approval required.", true),
        };
    }
    let about = params["arguments"]["id"].as_str().unwrap_or_default();
    if let Some(presented) = params["requestState"].as_str() {
        let action = params["inputResponses"]["q"]["action"].as_str();
        let (of, _) = presented.split_once('#').unwrap();
        let fits = (of == about || desk.ignores_arguments)
            && (desk.takes_twice || !state.spent.iter().any(|spent| spent == presented));
        state.spent.push(presented.to_owned());
        if fits && action == Some("accept") {
            state.credit = desk.credits_the_next;
        }
        return match fits && (action == Some("accept") || desk.ignores_decline) {
            true => done("Deleted.", false),
            false => done("Refused.", true),
        };
    }
    if std::mem::take(&mut state.credit) {
        return done("Deleted.", false);
    }
    state.minted += 1;
    json!({
        "resultType": "input_required",
        "requestState": format!("{about}#{}", state.minted),
        "inputRequests": {"q": {"method": "elicitation/create", "params": {
            "mode": "form", "message": "Delete?", "requestedSchema": {"type": "object", "properties": {}},
        }}},
    })
}
