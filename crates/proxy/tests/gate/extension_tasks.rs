//! A modern client's tasks (SEP-2663) at an upstream that has those of 2025-11-25.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use sallyport_mcp::Era;
use sallyport_model::{EventKind, event::OutcomeStatus};
use sallyport_proxy::Limits;
use sallyport_storage::RevocationSubject;
use serde_json::{Value, json};

use crate::rig::{
    Rig, able, claims,
    client::{Client, Exchange},
    http_offer,
    jobs::Jobs,
    stdio_offer, until,
    upstream::Upstream,
};

const EXTENSION: &str = "/extensions/io.modelcontextprotocol~1tasks";

async fn world(limits: Limits) -> (Rig, Arc<Upstream>) {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    upstream.offer(Jobs::tools());
    (Rig::with(vec![http_offer("up", &url)], limits).await, upstream)
}

/// Able to be asked, but without the extension.
fn undeclared() -> Value {
    let mut able = able();
    able.as_object_mut().unwrap().remove("extensions");
    able
}

async fn plain(rig: &Rig) -> Client<'_> {
    Client::connect_as(rig, "up", "2026-07-28", rig.token("up"), undeclared()).await
}

async fn made(client: &Client<'_>, tool: &str) -> String {
    let made = client.call(tool, json!({})).await;
    assert_eq!(made.result()["resultType"], "task", "{made:?}");
    made.result()["taskId"].as_str().unwrap().to_owned()
}

async fn get(client: &Client<'_>, task: &str) -> Value {
    client.request("tasks/get", json!({ "taskId": task })).await.result().clone()
}

async fn update(client: &Client<'_>, task: &str, responses: Value) -> Exchange {
    client.request("tasks/update", json!({"taskId": task, "inputResponses": responses})).await
}

fn accepted() -> Value {
    json!({"action": "accept", "content": {"name": "Ann"}})
}

fn sampled() -> Value {
    json!({"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m"})
}

fn ends(rig: &Rig, method: &str) -> Vec<OutcomeStatus> {
    let closed = rig.log.about(EventKind::CallClosed, method);
    closed.into_iter().map(|event| event.outcome.unwrap().status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extension_is_offered_where_the_upstream_takes_calls_as_tasks_and_nowhere_else() {
    let (_, with) = Upstream::start(Era::Legacy).await;
    let dir = tempfile::tempdir().unwrap();
    let without = stdio_offer("without", Era::Legacy, &dir.path().join("cancelled"));
    let rig = Rig::new(vec![http_offer("up", &with), without]).await;
    for (upstream, offered) in [("up", true), ("without", false)] {
        let client = Client::connect(&rig, upstream, Era::Modern).await;
        let capabilities = &client.greeting["capabilities"];
        assert_eq!(capabilities.pointer(EXTENSION).is_some(), offered, "{upstream} {capabilities}");
        assert!(capabilities.get("tasks").is_none(), "the legacy member means nothing here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_tool_becomes_a_task_whose_outcome_comes_with_its_end() {
    let (rig, upstream) = world(Limits::default()).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let handle = client.call("job", json!({})).await.result().clone();
    assert_eq!((&handle["resultType"], &handle["taskId"]), (&json!("task"), &json!("job-1")));
    assert_eq!(
        (&handle["status"], &handle["ttlMs"], &handle["pollIntervalMs"]),
        (&json!("working"), &json!(60000), &json!(50))
    );
    assert!(handle.get("ttl").is_none() && handle.get("task").is_none(), "{handle}");
    let call = upstream.posted("tools/call").pop().unwrap();
    assert!(call["params"]["task"]["ttl"].is_u64(), "the upstream is told when nobody will know of it any more");
    assert!(call["params"].get("_meta").is_none(), "{call}");
    let working = get(&client, "job-1").await;
    assert_eq!((&working["status"], &working["resultType"]), (&json!("working"), &json!("complete")));

    upstream.jobs.end("job-1", "failed", json!({"result": {"content": [], "isError": true}}));
    let done = get(&client, "job-1").await;
    assert_eq!(done["status"], "completed", "a tool that failed has a result: {done}");
    assert_eq!(done["result"], json!({"content": [], "isError": true, "resultType": "complete"}));
    assert_eq!(made(&client, "job").await, "job-2");
    upstream.jobs.end("job-2", "failed", json!({"error": {"code": -32050, "message": "broken"}}));
    let failed = get(&client, "job-2").await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!(-32050)), "{failed}");

    let sessions: Vec<_> = upstream
        .arrived()
        .iter()
        .filter(|a| a.body.contains("job"))
        .map(|a| a.headers["mcp-session-id"].clone())
        .collect();
    assert!(sessions.len() > 6 && sessions.iter().all(|session| *session == sessions[0]), "all on the task's leg");
    assert_eq!(ends(&rig, "tools/call"), [OutcomeStatus::Succeeded; 2]);
    assert_eq!(ends(&rig, "tasks/get"), [OutcomeStatus::Succeeded; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_required_tool_is_called_as_a_task_and_no_client_chooses() {
    let (rig, upstream) = world(Limits::default()).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    assert_eq!(client.call("either", json!({})).await.text(), "either");
    let chosen = json!({"name": "either", "arguments": {}, "task": {"ttl": 1}});
    assert_eq!(client.request("tools/call", chosen).await.text(), "either");
    assert!(upstream.posted("tools/call").iter().all(|call| call["params"].get("task").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_a_task_are_shown_answered_and_on_record() {
    for eager in [false, true] {
        let (rig, upstream) = world(Limits::default()).await;
        upstream.jobs.eager.store(eager, Ordering::SeqCst);
        let client = Client::connect(&rig, "up", Era::Modern).await;
        let task = made(&client, "job_ask").await;
        let asked = get(&client, &task).await;
        assert_eq!(asked["status"], "input_required", "{asked}");
        let shown = asked["inputRequests"].clone();
        assert_eq!(
            (&shown["input-1"]["method"], &shown["input-2"]["method"]),
            (&json!("elicitation/create"), &json!("sampling/createMessage")),
            "{shown}"
        );
        assert!(!shown.to_string().contains("related-task"), "{shown}");
        assert_eq!(get(&client, &task).await["inputRequests"], shown, "as long as they are open");

        let unknown = update(&client, &task, json!({"input-9": accepted()})).await;
        assert_eq!(unknown.result(), &json!({"resultType": "complete"}), "ignored");
        update(&client, &task, json!({"input-1": accepted(), "who": accepted()})).await.result();
        let left = get(&client, &task).await;
        assert_eq!(left["inputRequests"], json!({"input-2": shown["input-2"]}), "{left}");
        update(&client, &task, json!({"input-1": {"action": "decline"}, "input-2": sampled()})).await.result();
        let answers = upstream.jobs.answers(&task);
        let related = json!({"io.modelcontextprotocol/related-task": {"taskId": task}});
        let first = &answers[&format!("{task}/1")]["result"];
        assert_eq!((&first["action"], &first["_meta"]), (&json!("accept"), &related), "an answer counts once");
        let done = get(&client, &task).await;
        assert_eq!(done["status"], "completed", "{done}");
        assert!(done["result"]["content"][0]["text"].as_str().unwrap().contains("hm"), "{done}");
        assert_eq!(upstream.posted("tasks/result").len(), 1, "one stream from the first question to the end");

        let opened = rig.log.about(EventKind::CallOpened, "tasks/result");
        assert_eq!((opened.len(), ends(&rig, "tasks/result")), (1, vec![OutcomeStatus::Succeeded]));
        let answered = rig.log.of(EventKind::InputAnswered);
        let methods: Vec<&str> = answered.iter().map(|event| event.call.as_ref().unwrap().method.as_str()).collect();
        assert_eq!(methods, ["elicitation/create", "sampling/createMessage"]);
        let call = opened[0].call.as_ref().unwrap();
        assert_eq!(call.name.as_deref(), Some(task.as_str()));
        assert!(answered.iter().all(|event| event.call.as_ref().unwrap().id == call.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_recorded_is_not_handed_on() {
    let (rig, upstream) = world(Limits::default()).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let task = made(&client, "job_ask").await;
    get(&client, &task).await;
    rig.log.fail_at(EventKind::InputAnswered);
    let refused = update(&client, &task, json!({"input-1": accepted()})).await;
    assert!(refused.response.get("error").is_some(), "{refused:?}");
    assert!(upstream.jobs.answers(&task).is_empty());
    assert!(get(&client, &task).await["inputRequests"]["input-1"].is_object(), "it is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_asked_only_what_it_declared_in_a_task_too() {
    let (rig, upstream) = world(Limits::default()).await;
    let only = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "sampling": {}});
    let client = Client::connect_as(&rig, "up", "2026-07-28", rig.token("up"), only).await;
    let task = made(&client, "job_ask").await;
    let asked = get(&client, &task).await;
    let shown = asked["inputRequests"].as_object().unwrap();
    assert!(
        shown.values().all(|question| question["method"] == "sampling/createMessage") && shown.len() == 1,
        "{asked}"
    );
    assert_eq!(upstream.jobs.answers(&task)[&format!("{task}/1")]["error"]["code"], -32601, "the upstream is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_extension_a_task_is_run_to_its_end_within_its_call() {
    for eager in [false, true] {
        let (rig, upstream) = world(Limits::default()).await;
        upstream.jobs.eager.store(eager, Ordering::SeqCst);
        let client = plain(&rig).await;
        let mut call = Box::pin(client.call("job", json!({})));
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut call).await.is_err());
        upstream.jobs.end("job-1", "completed", json!({"result": {"content": [{"type": "text", "text": "at last"}]}}));
        let done = call.await;
        assert_eq!(done.text(), "at last");
        assert!(done.result().get("_meta").is_none() && done.result()["resultType"] == "complete", "{done:?}");

        let answer = |method: &str, _: &Value| if method == "elicitation/create" { accepted() } else { sampled() };
        let asked = client.converse("tools/call", json!({"name": "job_ask", "arguments": {}}), &answer).await;
        assert_eq!(asked.questions.len(), 2, "{asked:?}");
        assert!(asked.text().contains("Ann") && asked.text().contains("hm"), "{asked:?}");
        let first = &upstream.jobs.answers("job-2")["job-2/1"]["result"];
        assert_eq!(first["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], "job-2");
        assert_eq!(ends(&rig, "tools/call"), [OutcomeStatus::Succeeded; 2]);
        let refused = client.request("tasks/get", json!({"taskId": "job-1"})).await;
        assert_eq!(refused.code(), -32021);
        assert!(refused.response["error"]["data"]["requiredCapabilities"].pointer(EXTENSION).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_its_call_ends_the_task_that_nobody_else_knows() {
    let (rig, upstream) = world(Limits::default()).await;
    let client = plain(&rig).await;
    let mut call = Box::pin(client.call("job", json!({})));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut call).await.is_err());
    drop(call);
    until("the task is cancelled", || upstream.jobs.status("job-1") == "cancelled").await;
    until("the log says so", || ends(&rig, "tools/call") == [OutcomeStatus::Cancelled]).await;

    let asked = client.request_once("tools/call", json!({"name": "job_ask", "arguments": {}})).await;
    assert_eq!(asked.result()["resultType"], "input_required");
    rig.revoke(RevocationSubject::User("u-ann".parse().unwrap())).await;
    until("a parked one too", || ends(&rig, "tools/call").len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_is_acknowledged_whenever_it_comes() {
    let (rig, upstream) = world(Limits::default()).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let task = made(&client, "job_ask").await;
    get(&client, &task).await;
    for _ in 0..2 {
        let cancelled = client.request("tasks/cancel", json!({ "taskId": task })).await;
        assert_eq!(cancelled.result(), &json!({"resultType": "complete"}));
    }
    assert_eq!(upstream.jobs.status(&task), "cancelled");
    assert_eq!(ends(&rig, "tasks/result"), [OutcomeStatus::Cancelled], "its questions wait no longer");
    let got = get(&client, &task).await;
    assert_eq!(got["status"], "cancelled");
    assert!(["inputRequests", "result", "error"].iter().all(|key| got.get(key).is_none()), "{got}");
    assert_eq!(update(&client, &task, json!({"input-1": accepted()})).await.result()["resultType"], "complete");
    assert!(upstream.jobs.answers(&task).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_somebody_else_cannot_be_seen_answered_or_cancelled() {
    let (rig, upstream) = world(Limits::default()).await;
    let ann = Client::connect(&rig, "up", Era::Modern).await;
    let task = made(&ann, "job_ask").await;
    get(&ann, &task).await;
    let before = upstream.arrived().len();
    let mut other_signin = claims("ann", "up");
    other_signin.sid = "s-ann-2".parse().unwrap();
    let mut other_tenant = claims("ann", "up");
    other_tenant.tenant = "globex".parse().unwrap();
    for stolen in [claims("bob", "up"), other_signin, other_tenant] {
        let thief = Client::unconnected(&rig, "up", "2026-07-28", rig.sign(&stolen));
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let refused =
                thief.request(method, json!({"taskId": task, "inputResponses": {"input-1": accepted()}})).await;
            assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, -32602), "{method}");
            assert_eq!(refused.response["error"]["message"], "there is no such task");
        }
    }
    assert_eq!(upstream.arrived().len(), before, "nothing was forwarded");
    assert_eq!(get(&ann, &task).await["inputRequests"].as_object().unwrap().len(), 2, "it is still Ann's");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let none = ann.request(method, json!({"taskId": "job-9", "inputResponses": {}})).await;
        assert_eq!(
            (none.code(), &none.response["error"]["message"]),
            (-32602, &json!("there is no such task")),
            "{method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_nobody_answers_end_and_the_upstream_is_told() {
    let (rig, upstream) = world(Limits { parked: Duration::from_millis(300), ..Limits::default() }).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let task = made(&client, "job_ask").await;
    get(&client, &task).await;
    until("the record is closed", || ends(&rig, "tasks/result") == [OutcomeStatus::Cancelled]).await;
    until("the upstream is told", || upstream.jobs.answers(&task).len() == 2).await;
    assert!(upstream.jobs.answers(&task).values().all(|answer| answer["error"]["code"] == -32603));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_ask_are_bounded_for_each_principal() {
    let (rig, _) = world(Limits::default()).await;
    let ann = Client::connect(&rig, "up", Era::Modern).await;
    let mut tasks = Vec::new();
    for _ in 0..17 {
        tasks.push(made(&ann, "job_ask").await);
    }
    for task in &tasks[..16] {
        assert_eq!(get(&ann, task).await["status"], "input_required");
    }
    let over = ann.request("tasks/get", json!({"taskId": tasks[16]})).await;
    assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        over.response["error"]["message"].as_str().unwrap().contains("tasks that wait for input at once"),
        "{over:?}"
    );
    let bob = Client::connect_as(&rig, "up", "2026-07-28", rig.sign(&claims("bob", "up")), able()).await;
    let theirs = made(&bob, "job_ask").await;
    assert_eq!(get(&bob, &theirs).await["status"], "input_required", "counted for each");
    ann.request("tasks/cancel", json!({"taskId": tasks[0]})).await.result();
    assert_eq!(get(&ann, &tasks[16]).await["status"], "input_required", "the place came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_principals_questions_and_a_stopped_gates_end_on_the_record() {
    for stop in [false, true] {
        let (rig, upstream) = world(Limits::default()).await;
        let client = Client::connect(&rig, "up", Era::Modern).await;
        let task = made(&client, "job_ask").await;
        get(&client, &task).await;
        if stop {
            rig.gate.stop(Duration::from_millis(100)).await;
        } else {
            rig.revoke(RevocationSubject::User("u-ann".parse().unwrap())).await;
        }
        until("the record is closed", || ends(&rig, "tasks/result") == [OutcomeStatus::Cancelled]).await;
        let opened = rig.log.of(EventKind::CallOpened).len();
        let refused = client.open("tasks/get", json!({ "taskId": task })).await.status;
        assert_eq!(refused, if stop { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNAUTHORIZED });
        assert_eq!(rig.log.of(EventKind::CallOpened).len(), opened);
        assert!(upstream.jobs.answers(&task).values().all(|answer| answer.get("result").is_none()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn task_ids_are_not_listened_for_at_an_upstream_that_says_too_little() {
    let (rig, _) = world(Limits::default()).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let task = made(&client, "job").await;
    let wanted = json!({"notifications": {"taskIds": [task], "toolsListChanged": true}});
    let mut stream = client.open("subscriptions/listen", wanted.clone()).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}), "{first}");
    let refused = plain(&rig).await.request("subscriptions/listen", wanted).await;
    assert_eq!(refused.code(), -32021);
}
