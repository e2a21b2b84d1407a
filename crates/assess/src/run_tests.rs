use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{any, post},
};
use futures::StreamExt;
use http::{Method, StatusCode};
use sallyport_model::{
    Secret, SeededRng, SystemClock,
    assessment::{Band, CheckResult, Evidence},
};
use sallyport_outbound::stdio::StdioSpec;
use serde_json::{Value, json};

use super::*;
use crate::{
    access::{Access, Canary, TestUser},
    catalogue,
    check::Needs,
};

fn bench(target: Target, seconds: u64) -> Bench {
    let access = Access { timeout: Some(Duration::from_secs(seconds)), ..Access::default() };
    Bench::new(target, access, Arc::new(SystemClock), Arc::new(SeededRng::new(1))).unwrap()
}

#[test]
fn every_check_that_a_probe_can_make_is_of_a_step() {
    let mut of_steps: Vec<_> = STEPS.iter().flat_map(|step| step.checks).copied().collect();
    let mut all: Vec<_> =
        catalogue::all().filter(|check| check.needs != Needs::Attestation).map(|check| check.id).collect();
    // Some are looked at twice: by a stranger, and again by a person whom a server lets further in.
    of_steps.sort_unstable();
    of_steps.dedup();
    all.sort_unstable();
    assert_eq!(of_steps, all);
}

#[test]
fn what_changes_the_target_comes_last_and_containment_at_the_end() {
    let first = STEPS.iter().position(|step| step.restores).unwrap();
    assert!(STEPS[first..].iter().all(|step| step.restores));
    let names: Vec<_> = STEPS[first..].iter().map(|step| step.name).collect();
    assert_eq!(names[..3], ["audit", "restriction", "upstream"]);
    assert_eq!(names.last(), Some(&"containment"));
}

async fn panics(_: &Bench) {
    panic!("on purpose")
}
async fn hangs(_: &Bench) {
    std::future::pending().await
}

#[tokio::test]
async fn a_step_that_fails_or_hangs_ends_alone() {
    let bench = bench(Target::Http("http://127.0.0.1:9/".parse().unwrap()), 1);
    static PANICS: Step = step!("broken", panics, ["errors-clean", "pkce-required"]);
    static HANGS: Step = step!("slow", hangs, ["cors-closed"]);
    let mut failures = Failures::default();
    for step in [&PANICS, &HANGS, &PANICS] {
        failures.0.push((step, take(step, &bench).await.unwrap_err()));
    }
    assert!(failures.0[0].1.contains("on purpose"), "{}", failures.0[0].1);
    assert!(failures.0[1].1.contains("--timeout") && failures.0[2].1.contains("--timeout"));
    failures.tell(&bench);
    let all = bench.findings.all();
    assert_eq!(all["errors-clean"].result, CheckResult::NotAssessable);
    assert!(all["cors-closed"].observed.contains("`slow`"), "{}", all["cors-closed"].observed);
    // What was not given is the better reason.
    assert!(!all.contains_key("pkce-required"));
}

#[tokio::test]
async fn a_target_that_is_not_there_still_gives_a_document() {
    let bench = bench(Target::Http("http://127.0.0.1:9/mcp".parse().unwrap()), 20);
    let document = assess(&bench).await;
    assert!(!was_answered(&bench));
    assert_eq!(document.total, None, "{:?}", document.total_range);
    let decided: Vec<_> = document
        .questions
        .iter()
        .flat_map(|question| &question.evidence)
        .filter(|evidence| evidence.result == CheckResult::Pass)
        .map(|evidence| (&evidence.check, &evidence.observed))
        .collect();
    assert!(decided.is_empty(), "{decided:?}");
}

#[tokio::test]
async fn a_tarpit_ends_with_the_time_of_the_run() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    let begun = std::time::Instant::now();
    let document = assess(&bench(Target::Http(url), 2)).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(document.total_range[1] > 0 && document.total.is_none());
    let late = |question: &sallyport_model::assessment::Question| {
        question.evidence.iter().any(|evidence| evidence.observed.contains("--timeout"))
    };
    assert!(document.questions.iter().any(late));
}

async fn serve(router: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn of<'a>(document: &'a Assessment, check: &str) -> &'a Evidence {
    document.questions.iter().flat_map(|question| &question.evidence).find(|evidence| evidence.check == check).unwrap()
}

/// A server of one tool that asks nobody for a name.
async fn open_server(body: String) -> Response {
    let message: Value = serde_json::from_str(&body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("initialize") => {
            json!({"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "open", "version": "1"}})
        }
        Some("tools/list") => {
            json!({"tools": [{"name": "t", "description": "A tool.", "inputSchema": {"type": "object"}}]})
        }
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

#[tokio::test]
async fn a_server_that_knows_nobody_is_told_so() {
    let url = serve(Router::new().route("/mcp", post(open_server))).await;
    let bench = bench(Target::Http(url), 30);
    let document = assess(&bench).await;
    assert!(was_answered(&bench));
    assert_eq!(of(&document, "auth-required").result, CheckResult::Fail);
    assert_eq!(document.bands_possible, [Band::DoNotEnable]);
    assert!(document.total_range[1] <= 2, "{:?}", document.total_range);
    assert_eq!(document.server.as_ref().map(|server| server.name.as_str()), Some("open"));
    assert_eq!(document.protocol_versions.first().map(String::as_str), Some("2025-11-25"));
    assert_eq!(document.protocol_versions.len(), 4, "{:?}", document.protocol_versions);
    let evidence = of(&document, "auth-required");
    assert!(evidence.exchanges.iter().all(|number| document.exchanges.iter().any(|e| e.number == *number)));
    assert!(!evidence.exchanges.is_empty());
    assert!(no_step_broke(&document), "{document:?}");
}

fn no_step_broke(document: &Assessment) -> bool {
    document.questions.iter().flat_map(|question| &question.evidence).all(|e| !e.observed.contains("` failed: "))
}

/// Strings that do something to whoever shows them, and URLs that point inside, wherever a document has room.
async fn poisoned(request: axum::extract::Request) -> Response {
    let nasty = "\u{1b}[2J\u{1b}]0;x\u{7}<script>alert(1)</script>\u{202e}'\"`$(id)";
    let inside = "http://169.254.169.254/latest/meta-data";
    let challenge = format!("Bearer realm=\"{}\", resource_metadata=\"{inside}\", scope=\"x\"", "y".repeat(3000));
    if request.method() == Method::GET {
        let document = json!({"resource": inside, "authorization_servers": [inside, "http://10.0.0.1/", nasty],
            "issuer": inside, "authorization_endpoint": inside, "token_endpoint": inside, "jwks_uri": inside,
            "registration_endpoint": inside, "revocation_endpoint": inside, "scopes_supported": [nasty, null, 7],
            "response_types_supported": nasty, "code_challenge_methods_supported": {"a": nasty}});
        return axum::Json(document).into_response();
    }
    (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)], nasty).into_response()
}

async fn looping(request: axum::extract::Request) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [("location", request.uri().to_string())]).into_response()
}

/// Everything is a stream of events that never ends.
async fn streaming() -> Response {
    let event = "event: endpoint\ndata: http://169.254.169.254/\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n";
    let events = futures::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(event));
    ([("content-type", "text/event-stream")], axum::body::Body::from_stream(events)).into_response()
}

async fn enormous() -> Response {
    let piece = bytes::Bytes::from(vec![b'['; 65536]);
    let pieces = futures::stream::repeat_with(move || Ok::<_, std::convert::Infallible>(piece.clone())).take(16 * 1024);
    ([("content-type", "application/json")], axum::body::Body::from_stream(pieces)).into_response()
}

#[tokio::test]
async fn hostile_targets_neither_hang_nor_break_a_step_nor_lead_inside() {
    let routers = [
        Router::new().fallback(any(poisoned)),
        Router::new().fallback(any(looping)),
        Router::new().fallback(any(streaming)),
        Router::new().fallback(any(enormous)),
    ];
    for (number, router) in routers.into_iter().enumerate() {
        let access = Access {
            timeout: Some(Duration::from_secs(8)),
            user: Some(TestUser { name: "ada".to_owned(), password: Secret::new("correct-horse-battery") }),
            second_token: Some(Secret::new("the-token-of-the-second-person")),
            foreign_token: Some(Secret::new("the-token-for-another-resource")),
            canary: Canary::parse("echo.text"),
            ..Access::default()
        };
        let target = Target::Http(serve(router).await);
        let bench = Bench::new(target, access, Arc::new(SystemClock), Arc::new(SeededRng::new(1))).unwrap();
        let wire = bench.wire.clone();
        let begun = std::time::Instant::now();
        let document = assess(&bench).await;
        assert!(begun.elapsed() < Duration::from_secs(12), "{number}");
        assert!(no_step_broke(&document), "{number}: {document:?}");
        for exchange in wire.exchanges() {
            let inside = ["//169.254.", "//10."].iter().any(|part| exchange.request.contains(part));
            assert!(!inside || exchange.status.is_none(), "{number}: {exchange:?}");
        }
        let text = serde_json::to_string(&document).unwrap();
        for secret in ["correct-horse-battery", "the-token-of-the-second", "the-token-for-another"] {
            assert!(!text.contains(secret), "{number}: {secret}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let url = serve(Router::new().fallback(any(|| async { StatusCode::UNAUTHORIZED }))).await;
    let bench = bench(Target::Http(url), 20);
    assess(&bench).await;
    assert!(was_answered(&bench));
}

fn process(script: &str) -> Bench {
    let arguments = vec!["-c".to_owned(), script.to_owned()];
    let spec = StdioSpec::from_configuration("sh", arguments, Default::default(), None);
    bench(Target::Stdio(spec), 10)
}

#[tokio::test]
async fn a_local_process_has_nobody_to_sign_in() {
    let answer = r#"{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"local","version":"1"}}}"#;
    let script = format!(
        r#"while read -r line; do id=$(printf %s "$line" | sed -n 's/.*"id":\("*[^,"}}]*"*\).*/\1/p'); [ -z "$id" ] || echo '{answer}'; done"#
    );
    let bench = process(&script);
    let document = assess(&bench).await;
    assert!(was_answered(&bench), "{:?}", document.exchanges);
    for number in [2, 3, 4, 6, 8, 10] {
        let question = &document.questions[number - 1];
        assert_eq!(question.score, Some(0), "{question:?}");
        assert_eq!(question.held_down_by, ["it has no meaning for a local process of one's own"]);
        assert_eq!(question.remedy, "", "{number}");
    }
    let ended = process("exit 1");
    assess(&ended).await;
    assert!(!was_answered(&ended));
}

#[tokio::test]
async fn answers_alone_ask_no_server() {
    let bench = bench(Target::Answers("vendor.toml".to_owned()), 5);
    let document = assess(&bench).await;
    assert!(was_answered(&bench), "nobody was asked");
    assert!(
        document.questions.iter().all(|question| question.remedy.contains("URL") && !question.remedy.contains("--"))
    );
    assert_eq!((document.target.as_str(), document.transport.as_str()), ("answers:vendor.toml", "none"));
    assert!(document.exchanges.is_empty());
}
