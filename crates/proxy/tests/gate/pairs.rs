//! Every pair of eras over both transports: what a client and an upstream have to say to one another
//! arrives, whatever each of them speaks.

use std::{path::PathBuf, sync::Arc};

use sallyport_mcp::Era;
use serde_json::{Value, json};

use crate::rig::{
    Rig,
    client::{Client, Exchange},
    http_offer, stdio_offer, until,
    upstream::{EXTENSION, SUBSCRIPTION, Upstream},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// One upstream of each era over each transport.
struct World {
    rig: Rig,
    http: [Arc<Upstream>; 2],
    cancelled: PathBuf,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let (legacy, legacy_url) = Upstream::start(Era::Legacy).await;
    let (modern, modern_url) = Upstream::start(Era::Modern).await;
    let dir = tempfile::tempdir().unwrap();
    let cancelled = dir.path().join("cancelled");
    let offers = vec![
        http_offer("http-legacy", &legacy_url),
        http_offer("http-modern", &modern_url),
        stdio_offer("stdio-legacy", Era::Legacy, &cancelled),
        stdio_offer("stdio-modern", Era::Modern, &cancelled),
    ];
    World { rig: Rig::new(offers).await, http: [legacy, modern], cancelled, _dir: dir }
}

fn name(transport: &str, era: Era) -> String {
    format!("{transport}-{}", if era == Era::Legacy { "legacy" } else { "modern" })
}

/// Runs `check` for all eight combinations.
macro_rules! each_pair {
    ($world:ident, $client:ident, $server:ident, $transport:ident, $check:block) => {
        for $transport in ["http", "stdio"] {
            for $server in ERAS {
                for era in ERAS {
                    let upstream = name($transport, $server);
                    println!("{era:?} client, {upstream}");
                    let $client = Client::connect(&$world.rig, &upstream, era).await;
                    $check
                }
            }
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greeting_says_what_the_upstream_says_in_the_clients_era() {
    let world = world().await;
    each_pair!(world, client, _server, transport, {
        let greeting = &client.greeting;
        assert_eq!(greeting["instructions"], "be kind");
        assert_eq!(greeting["capabilities"]["x-extension"], json!({"on": true}), "{greeting}");
        assert_eq!(greeting["capabilities"]["tools"]["listChanged"], true);
        if transport == "http" {
            assert_eq!(greeting["x-extension"], json!({"a": 1}));
        }
        if client.era == Era::Modern {
            assert_eq!(greeting["cacheScope"], "private");
            assert!(greeting["supportedVersions"].as_array().unwrap().contains(&"2026-07-28".into()));
            assert!(greeting["ttlMs"].is_u64());
        } else {
            assert_eq!(greeting["protocolVersion"], "2025-11-25");
            assert!(greeting["serverInfo"]["name"].is_string());
            assert!(greeting.get("cacheScope").is_none() && greeting.get("resultType").is_none());
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_resources_prompts_and_completions_cross() {
    let world = world().await;
    each_pair!(world, client, _server, _transport, {
        let lists = ["tools/list", "resources/list", "resources/templates/list", "prompts/list"];
        for (list, member) in lists.into_iter().zip(["tools", "resources", "resourceTemplates", "prompts"]) {
            let exchange = client.request(list, json!({})).await;
            let result = exchange.result();
            assert!(!result[member].as_array().unwrap().is_empty(), "{list}: {result}");
            let modern = client.era == Era::Modern;
            assert_eq!(result.get("cacheScope").is_some(), modern, "{list}: {result}");
            assert!(!modern || result["cacheScope"] == "private" && result["resultType"] == "complete", "{result}");
        }
        let read = client.request("resources/read", json!({"uri": "mem://a"})).await;
        assert_eq!(read.result()["contents"][0]["text"], "the text");
        let prompt = client.request("prompts/get", json!({"name": "greet"})).await;
        assert_eq!(prompt.result()["messages"][0]["content"]["text"], "hello");
        let reference = json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "a", "value": ""}});
        let completed = client.request("completion/complete", reference).await;
        assert_eq!(completed.result()["completion"]["values"], json!(["abc"]));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_survive_both_ways_numbers_as_written_and_keys_in_order() {
    let world = world().await;
    each_pair!(world, client, _server, _transport, {
        let id = client.id();
        let meta = if client.era == Era::Modern {
            let own = client.meta().to_string();
            format!(r#"{{"x.example/trace":{{"b":2.50,"a":1}},{}"#, &own[1..])
        } else {
            r#"{"x.example/trace":{"b":2.50,"a":1}}"#.to_owned()
        };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{EXTENSION},"x-unknown":{EXTENSION},"_meta":{meta}}}}}"#
        );
        let answer = client.post(&body).await.text().await;
        assert!(answer.contains(&format!(r#""x-extension":{EXTENSION}"#)), "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let arrived = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(arrived.contains(&format!(r#""arguments":{EXTENSION}"#)), "{arrived}");
        assert!(arrived.contains(&format!(r#""x-unknown":{EXTENSION}"#)), "{arrived}");
        assert!(arrived.contains(r#""x.example/trace":{"b":2.50,"a":1}"#), "{arrived}");
    });
}

fn progress(exchange: &Exchange) -> Vec<&Value> {
    let all = exchange.notifications.iter();
    all.filter(|message| message["method"] == "notifications/progress").map(|message| &message["params"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_under_the_clients_own_token() {
    let world = world().await;
    each_pair!(world, client, _server, _transport, {
        let params = json!({"name": "progress", "arguments": {}, "_meta": {"progressToken": "mine"}});
        let exchange = client.request("tools/call", params).await;
        assert_eq!(exchange.text(), "done");
        let steps = progress(&exchange);
        assert_eq!(steps.len(), 2, "{exchange:?}");
        assert!(steps.iter().all(|step| step["progressToken"] == "mine"), "{exchange:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_level_reaches_the_upstream_and_its_log_the_client() {
    let world = world().await;
    each_pair!(world, client, _server, transport, {
        let mut params = json!({"name": "progress", "arguments": {}});
        if client.era == Era::Modern {
            params["_meta"] = json!({"io.modelcontextprotocol/logLevel": "warning"});
        } else {
            client.request("logging/setLevel", json!({"level": "warning"})).await.result();
        }
        let exchange = client.request("tools/call", params).await;
        let logged = exchange
            .notifications
            .iter()
            .any(|m| m["method"] == "notifications/message" && m["params"]["data"] == "said at warning");
        assert!(logged, "{transport} {exchange:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_reach_the_client_and_answers_the_upstream() {
    let world = world().await;
    each_pair!(world, client, _server, _transport, {
        for (tool, method, answer) in [
            ("ask_form", "elicitation/create", json!({"action": "accept", "content": {"name": "Ann"}})),
            (
                "ask_sample",
                "sampling/createMessage",
                json!({"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m"}),
            ),
            ("ask_roots", "roots/list", json!({"roots": [{"uri": "file:///home"}]})),
        ] {
            let exchange =
                client.converse("tools/call", json!({"name": tool, "arguments": {}}), &|_, _| answer.clone()).await;
            let asked: Vec<&str> = exchange.questions.iter().map(|(method, _)| method.as_str()).collect();
            assert_eq!(asked, [method], "{exchange:?}");
            let heard: Value = serde_json::from_str(exchange.text()).unwrap_or_default();
            assert_eq!(heard, answer, "{exchange:?}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_be_asked_is_not_asked() {
    let world = world().await;
    for transport in ["http", "stdio"] {
        for server in ERAS {
            for version in ["2025-11-25", "2026-07-28"] {
                let upstream = name(transport, server);
                if (server, version) == (Era::Modern, "2026-07-28") {
                    // Such an upstream knows with each request what it may ask.
                    continue;
                }
                println!("{version} {upstream}");
                let token = world.rig.token(&upstream);
                let client = Client::connect_as(&world.rig, &upstream, version, token, json!({})).await;
                let exchange = client.call("ask_form", json!({})).await;
                assert!(exchange.questions.is_empty());
                if server == Era::Legacy {
                    assert!(exchange.text().contains("-32601"), "the upstream is told why: {exchange:?}");
                }
                let ended = exchange.response.get("error").is_some() || exchange.text().contains("code");
                assert!(ended || exchange.result()["resultType"] != "input_required", "{exchange:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_to_visit_crosses_the_eras() {
    let world = world().await;
    let mut asked_as_error = 0;
    for server in ERAS {
        for era in ERAS {
            let client = Client::connect(&world.rig, &name("http", server), era).await;
            let visit = |method: &str, params: &Value| {
                assert_eq!((method, params["mode"].as_str()), ("elicitation/create", Some("url")));
                json!({"action": "accept"})
            };
            let params = json!({"name": "ask_url", "arguments": {}});
            let exchange = client.converse("tools/call", params.clone(), &visit).await;
            if exchange.response["error"]["code"] == -32042 {
                assert_eq!(era, Era::Legacy, "{exchange:?}");
                asked_as_error += 1;
                continue;
            }
            assert!(!exchange.questions.is_empty() || server == Era::Legacy, "{exchange:?}");
            assert!(!exchange.text().is_empty());
        }
    }
    assert_eq!(asked_as_error, 1, "a legacy upstream's error reaches a legacy client as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellation_reaches_the_upstream_and_the_log() {
    let world = world().await;
    let (mut wanted, mut ended) = (0, 0);
    each_pair!(world, client, server, transport, {
        let id = client.id();
        let body = client.message(Some(id), "tools/call", json!({"name": "slow", "arguments": {}}));
        let before = world.http[usize::from(server == Era::Modern)].cancelled().len()
            + world.http[usize::from(server == Era::Modern)].dropped();
        let mut sent = Box::pin(client.post(&body));
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut sent).await;
        assert!(early.is_err(), "nothing comes from a slow call");
        if client.era == Era::Legacy {
            client.notify("notifications/cancelled", json!({"requestId": id, "reason": "enough"})).await;
            sent.await;
        } else {
            drop(sent);
        }
        if transport == "http" {
            let upstream = &world.http[usize::from(server == Era::Modern)];
            until("the upstream hears", || upstream.cancelled().len() + upstream.dropped() > before).await;
        } else {
            wanted += 1;
            let heard = || std::fs::read_to_string(&world.cancelled).unwrap_or_default().lines().count();
            until("the process hears", || heard() == wanted).await;
        }
        ended += 1;
        until("the log says so", || world.rig.log.ends("slow").len() == ended).await;
    });
    let ends = world.rig.log.ends("slow");
    assert!(ends.iter().all(|end| *end == sallyport_model::event::OutcomeStatus::Cancelled), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_announced_on_the_clients_own_kind_of_stream() {
    let world = world().await;
    each_pair!(world, client, server, transport, {
        let upstream = &world.http[usize::from(server == Era::Modern)];
        let before = upstream.listeners();
        let mut stream = if client.era == Era::Legacy {
            client.request("resources/subscribe", json!({"uri": "mem://a"})).await.result();
            client.verb("GET", &[]).await
        } else {
            let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["mem://a"]});
            let mut stream = client.open("subscriptions/listen", json!({"notifications": wanted})).await;
            let first = stream.next().await.unwrap();
            assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
            assert_eq!(first["params"]["notifications"], wanted, "all that was asked for is offered");
            stream
        };
        assert!(stream.is_stream(), "{}", stream.status);
        if transport == "http" {
            until("somebody listens upstream", || upstream.listeners() > before).await;
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        client.call("grow", json!({})).await.result();
        client.call("touch", json!({})).await.result();
        for method in ["notifications/tools/list_changed", "notifications/resources/updated"] {
            let message = stream.next().await.unwrap();
            assert_eq!(message["method"], method, "{message}");
            let tag = message["params"]["_meta"].get(SUBSCRIPTION);
            assert_eq!(tag.is_some(), client.era == Era::Modern, "{message}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_upstream_closes_early_is_taken_up_again() {
    let world = world().await;
    let modern = Client::connect(&world.rig, "http-legacy", Era::Modern).await;
    assert_eq!(modern.call("poll", json!({})).await.text(), "polled", "the gate resumes for a modern client");

    let client = Client::connect(&world.rig, "http-legacy", Era::Legacy).await;
    let mut first = client.open("tools/call", json!({"name": "poll", "arguments": {}})).await;
    let (id, message) = first.next_event().await.unwrap();
    assert_eq!((id.as_deref(), message), (Some("e1"), Value::Null));
    assert!(first.next_event().await.is_none(), "the stream ends without the answer");
    let before = world.rig.log.ends("poll").len();
    let mut second = client.verb("GET", &[("last-event-id", "e1")]).await;
    let (id, message) = second.next_event().await.unwrap();
    assert_eq!(id.as_deref(), Some("e2"));
    assert_eq!(message["result"]["content"][0]["text"], "polled");
    assert_eq!(world.rig.log.ends("poll").len(), before + 1, "the answer was recorded before it came");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_failures_keep_their_meaning() {
    let world = world().await;
    for server in ERAS {
        for era in ERAS {
            let client = Client::connect(&world.rig, &name("http", server), era).await;
            let broken = client.call("broken", json!({})).await;
            assert_eq!(broken.code(), -32050);
            assert_eq!(broken.response["error"]["data"], json!({"why": "so"}));
            let missing = client.request("resources/read", json!({"uri": "mem://none"})).await;
            assert_eq!(missing.code(), if era == Era::Modern { -32602 } else { -32002 }, "{missing:?}");
            assert_eq!(client.call("fail", json!({})).await.result()["isError"], true);
            let died = client.call("die", json!({})).await;
            assert_eq!(died.code(), -32603);
            assert!(died.response["error"]["message"].as_str().unwrap().contains("may have been executed"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extensions_method_passes_with_the_write_scope_only() {
    let world = world().await;
    for server in ERAS {
        for version in ["2025-11-25", "2026-07-28"] {
            let upstream = name("http", server);
            let token = world.rig.token(&upstream);
            let client = Client::connect_as(&world.rig, &upstream, version, token, json!({})).await;
            assert_eq!(client.request("x/extension", json!({"a": 1})).await.result()["extended"], true);
            let mut reader = crate::rig::claims("bob", &upstream);
            reader.scope = format!("{upstream}:read").parse().unwrap();
            let token = world.rig.sign(&reader);
            let reader = Client::connect_as(&world.rig, &upstream, version, token, json!({})).await;
            assert_eq!(reader.request("x/extension", json!({})).await.status, 403);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_client_has_its_tasks_at_a_modern_upstream() {
    let world = world().await;
    let client = Client::connect(&world.rig, "http-modern", Era::Legacy).await;
    assert!(client.greeting["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object(), "{}", client.greeting);
    let make = |tool: &str| json!({"name": tool, "arguments": {}, "task": {"ttl": 60000}});
    let made = client.request("tools/call", make("task")).await;
    assert_eq!(made.result()["task"]["taskId"], "task-1", "{made:?}");
    assert!(made.result().get("resultType").is_none());
    let call = world.http[1].posted("tools/call").pop().unwrap();
    assert!(call["params"].get("task").is_none(), "the modern form has no such member");
    let extension =
        "/params/_meta/io.modelcontextprotocol~1clientCapabilities/extensions/io.modelcontextprotocol~1tasks";
    assert!(call.pointer(extension).is_some(), "{call}");
    let got = client.request("tasks/get", json!({"taskId": "task-1"})).await;
    assert_eq!(got.result()["status"], "completed");
    assert!(got.result().get("result").is_none() && got.result().get("ttl").is_some(), "{got:?}");
    let outcome = client.request("tasks/result", json!({"taskId": "task-1"})).await;
    assert_eq!(outcome.text(), "task done");
    let cancelled = client.request("tasks/cancel", json!({"taskId": "task-1"})).await;
    assert_eq!(cancelled.result()["taskId"], "task-1", "the answer is the task");

    client.request("tools/call", make("task_ask")).await.result();
    let answer = json!({"action": "accept", "content": {"name": "Ann"}});
    let asked = client.converse("tasks/result", json!({"taskId": "task-2"}), &|_, _| answer.clone()).await;
    assert_eq!((asked.questions.len(), asked.text()), (1, answer.to_string().as_str()), "{asked:?}");

    let plain = client.call("echo", json!({})).await;
    assert!(!plain.text().contains("modelcontextprotocol/tasks"), "no task where none was asked for: {plain:?}");
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        assert_eq!(client.request(method, json!({"taskId": "task-9"})).await.code(), -32602, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_on_the_resumed_stream_finds_its_call() {
    let world = world().await;
    let client = Client::connect(&world.rig, "http-legacy", Era::Legacy).await;
    let mut first = client.open("tools/call", json!({"name": "split", "arguments": {}})).await;
    first.next_event().await.unwrap();
    // The gate still reads the first stream: the client was quicker to notice that it is of no use.
    let mut second = client.verb("GET", &[("last-event-id", "e1")]).await;
    let (id, message) = second.next_event().await.unwrap();
    assert_eq!((id.as_deref(), &message["result"]["content"][0]["text"]), (Some("e2"), &json!("split")));
    assert_eq!(world.rig.log.ends("split").len(), 1, "recorded before it came");
    assert!(first.next_event().await.is_none(), "the first stream ends with the call");
}
