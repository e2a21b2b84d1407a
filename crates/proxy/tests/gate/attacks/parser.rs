//! Bodies that two parsers read differently (seen in Envoy AI Gateway GHSA-4gph-2hhr-5mwg, where `Name`
//! overrode `name`, and in ToolHive, where a byte order mark hid a message), and bodies that are no
//! messages at all. Each is refused by the book, forwarded nowhere, and in the log.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode};
use sallyport_mcp::Era;
use sallyport_model::EventKind;
use serde_json::json;

use crate::rig::{Rig, client::Client, http_offer, upstream::Upstream};

const CALL: &str = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"write","arguments":{}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_get_the_right_error_and_an_entry_in_the_log() {
    for server in [Era::Legacy, Era::Modern] {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", Era::Legacy).await;
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{"name":"write","arguments":{}1{}}}}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let large = format!(
            r#"{{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{{"name":"write","arguments":{{"x":"{}"}}}}}}"#,
            "x".repeat(10 << 20)
        );
        let twice = CALL.replace(r#""name":"write""#, r#""name":"echo","name":"write""#);
        let escaped = CALL.replace(r#""name":"write""#, r#""name":"echo","na\u006de":"write""#);
        let utf16: Vec<u8> = CALL.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut bad_utf8 = CALL.replace("write", "wri").into_bytes();
        bad_utf8.insert(70, 0xff);
        let bodies: Vec<(&str, Vec<u8>, i64, u16)> = vec![
            ("truncated", CALL[..CALL.len() - 1].into(), -32700, 400),
            ("empty", Vec::new(), -32700, 400),
            ("no JSON", b"hello".to_vec(), -32700, 400),
            ("byte order mark", [b"\xef\xbb\xbf", CALL.as_bytes()].concat(), -32700, 400),
            ("UTF-16", utf16, -32700, 400),
            ("bad UTF-8", bad_utf8, -32700, 400),
            ("two messages", format!("{CALL}{CALL}").into(), -32700, 400),
            ("duplicate key", twice.into(), -32600, 400),
            ("duplicate key, escaped", escaped.into(), -32600, 400),
            ("case variant of jsonrpc", CALL.replace("jsonrpc", "JsonRpc").into(), -32600, 400),
            ("case variant of method", CALL.replace("\"method\"", "\"Method\"").into(), -32600, 400),
            (
                "second method in capitals",
                CALL.replace("\"id\"", "\"METHOD\":\"tools/list\",\"id\"").into(),
                -32600,
                400,
            ),
            ("second params in capitals", CALL.replace("\"id\"", "\"Params\":{},\"id\"").into(), -32600, 400),
            ("depth 10,000", deep.into(), -32600, 400),
            ("10 MB", large.into(), -32600, 413),
            ("batch", format!("[{CALL}]").into(), -32600, 400),
            ("empty batch", b"[]".to_vec(), -32600, 400),
            ("a string", b"\"x\"".to_vec(), -32600, 400),
            ("jsonrpc 1.0", CALL.replace("2.0", "1.0").into(), -32600, 400),
            ("id null", CALL.replace("\"id\":9", "\"id\":null").into(), -32600, 400),
            ("id object", CALL.replace("\"id\":9", "\"id\":{}").into(), -32600, 400),
            ("method number", CALL.replace("\"tools/call\"", "7").into(), -32600, 400),
            ("params string", CALL.replace(r#"{"name":"write","arguments":{}}"#, "\"x\"").into(), -32602, 200),
            ("name number", CALL.replace("\"write\"", "7").into(), -32602, 200),
            ("name missing", CALL.replace("\"name\":\"write\",", "").into(), -32602, 200),
            ("arguments of another method", CALL.replace("tools/call", "Tools/call").into(), -32601, 200),
        ];
        for (what, body, code, status) in bodies {
            let before = rig.log.of(EventKind::CallRefused).len();
            let mut request = client.post_request("{}");
            *request.body_mut() = body.into();
            let reply = rig.send(request).await;
            let got = reply.status.as_u16();
            let answer = reply.json().await;
            if what == "arguments of another method" {
                // An unknown method with the write scope: the upstream's to refuse.
                assert_eq!(answer["error"]["code"], code, "{what}: {answer}");
                continue;
            }
            assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{what}: {answer}");
            assert!(answer["jsonrpc"] == "2.0" && answer.get("result").is_none(), "{what}");
            assert_eq!(rig.log.of(EventKind::CallRefused).len(), before + 1, "{what} is in the log");
        }
        assert_eq!(upstream.calls("write"), 0, "nothing was forwarded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookalike_beside_the_name_cannot_change_what_is_called() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let mut reader = crate::rig::claims("bob", "up");
    reader.scope = "up:read".parse().unwrap();
    let client = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&reader), json!({})).await;
    for members in
        [r#""name":"echo","Name":"write""#, r#""NAME":"write","name":"echo""#, r#""name":"echo","ｎame":"write""#]
    {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{{{members},"arguments":{{}}}}}}"#);
        let reply = client.post(&body).await;
        let answer = reply.json().await;
        if answer.get("result").is_some() {
            // Forwarded as an unknown member; the name that was judged is the only `name` there.
            let arrived = upstream.posted("tools/call").pop().unwrap();
            assert_eq!(arrived["params"]["name"], "echo");
            let lax =
                arrived["params"].as_object().unwrap().keys().filter(|key| key.eq_ignore_ascii_case("name")).count();
            assert_eq!(lax, 1, "a lax parser downstream of us finds one name: {arrived}");
        }
    }
    assert_eq!(upstream.calls("write"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn modern_headers_that_differ_from_the_body_are_refused() {
    for server in [Era::Legacy, Era::Modern] {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let client = Client::connect(&rig, "up", Era::Modern).await;
        let body = client.message(Some(3), "tools/call", json!({"name": "write", "arguments": {}}));
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let base64 = |text: &str| value(&format!("=?base64?{}?=", STANDARD.encode(text)));
        let wrong: Vec<(&'static str, Option<HeaderValue>)> = vec![
            ("mcp-method", Some(value("tools/list"))),
            ("mcp-method", Some(value("Tools/Call"))),
            ("mcp-method", None),
            ("mcp-name", Some(value("echo"))),
            ("mcp-name", Some(value("WRITE"))),
            ("mcp-name", None),
            ("mcp-name", Some(base64("echo"))),
            ("mcp-name", Some(value("=?base64?d3JpdGU?="))),
            ("mcp-name", Some(value("=?base64?***?="))),
            ("mcp-protocol-version", Some(value("2025-11-25"))),
            ("mcp-protocol-version", None),
        ];
        for (name, value) in wrong {
            let mut request = client.post_request(&body);
            match &value {
                Some(value) => request.headers_mut().insert(name, value.clone()),
                None => request.headers_mut().remove(name),
            };
            let reply = rig.send(request).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name} {value:?}");
            let answer = reply.json().await;
            assert_eq!(answer["error"]["code"], -32020, "{name} {value:?}: {answer}");
        }
        for name in ["mcp-method", "mcp-name", "mcp-protocol-version"] {
            let mut request = client.post_request(&body);
            let again = request.headers()[name].clone();
            request.headers_mut().append(name, again);
            assert_eq!(rig.send(request).await.status, StatusCode::BAD_REQUEST, "{name} twice");
        }
        assert_eq!(upstream.calls("write"), 0);
        let refused = rig.log.about(EventKind::CallRefused, "tools/call").len();
        assert!(refused >= 11, "each is in the log: {refused}");

        let mut encoded = client.post_request(&body);
        encoded.headers_mut().insert("mcp-name", base64("write"));
        assert_eq!(rig.send(encoded).await.status, StatusCode::OK, "encoded and equal is equal");
        assert_eq!(upstream.calls("write"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotated_parameter_is_checked_and_mirrored() {
    let (upstream, url) = Upstream::start(Era::Modern).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let client = Client::connect(&rig, "up", Era::Modern).await;
    let body = client.message(Some(4), "tools/call", json!({"name": "regional", "arguments": {"region": "eu"}}));
    let mut wrong = client.post_request(&body);
    wrong.headers_mut().insert("mcp-param-region", HeaderValue::from_static("us"));
    assert_eq!(rig.send(wrong).await.json().await["error"]["code"], -32020);
    let mut right = client.post_request(&body);
    right.headers_mut().insert("mcp-param-region", HeaderValue::from_static("eu"));
    assert_eq!(rig.send(right).await.status, StatusCode::OK);
    let arrived = upstream.arrived();
    let call = arrived.iter().find(|arrived| arrived.body.contains("regional")).unwrap();
    assert_eq!(call.headers["mcp-param-region"], "eu");
    // A legacy client has no such header, and a modern upstream gets it all the same.
    let legacy = Client::connect(&rig, "up", Era::Legacy).await;
    legacy.call("regional", json!({"region": "eu"})).await.result();
    assert_eq!(upstream.arrived().last().unwrap().headers["mcp-param-region"], "eu");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_refused_with_those_that_are_spoken() {
    let (_, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let client = Client::connect(&rig, "up", Era::Legacy).await;
    for (verb, version) in [("POST", "2030-01-01"), ("POST", "latest"), ("GET", "2030-01-01"), ("DELETE", "2030-01-01")]
    {
        let mut other = Client::unconnected(&rig, "up", "2025-11-25", client.token.clone());
        other.session = client.session.clone();
        other.version = version.to_owned();
        let reply = match verb {
            "POST" => other.open("tools/list", json!({})).await,
            verb => other.verb(verb, &[]).await,
        };
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{verb} {version}");
        let answer = reply.json().await;
        assert_eq!(answer["error"]["code"], -32022);
        assert!(answer["error"]["data"]["supported"].as_array().unwrap().contains(&"2026-07-28".into()));
    }
    assert_eq!(rig.log.of(EventKind::CallRefused).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_split_and_each_message_judged() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    let mut reader = crate::rig::claims("bob", "up");
    reader.scope = "up:read".parse().unwrap();
    let client = Client::connect_as(&rig, "up", "2025-03-26", rig.sign(&reader), json!({})).await;
    let call = |id: i64, tool: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    let body = json!([call(1, "echo"), call(2, "write"), {"jsonrpc": "2.0", "method": "notifications/initialized"}, call(3, "fail")]);
    let reply = client.post(&body.to_string()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let answers = reply.json().await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(answers[0].get("result").is_some() && answers[1].get("error").is_some(), "{answers}");
    assert_eq!((upstream.calls("write"), upstream.calls("echo")), (0, 1));
    for misplaced in [
        json!([call(4, "echo"), {"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}]),
        json!([{"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {"name": "echo", "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}}]),
    ] {
        assert_eq!(client.post(&misplaced.to_string()).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(upstream.calls("echo"), 1, "a batch is refused whole");
    let many: Vec<_> = (0..33).map(|id| call(id, "echo")).collect();
    assert_eq!(client.post(&json!(many).to_string()).await.status, StatusCode::BAD_REQUEST);
    let newer = Client::connect(&rig, "up", Era::Legacy).await;
    let mut request = newer.post_request(&json!([call(1, "echo")]).to_string());
    request.headers_mut().remove("mcp-protocol-version");
    assert_eq!(rig.send(request).await.status, StatusCode::BAD_REQUEST, "no batch in a session of another version");
    assert_eq!(upstream.calls("echo"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_id_is_no_way_around_authorization() {
    for server in [Era::Legacy, Era::Modern] {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        let mut reader = crate::rig::claims("bob", "up");
        reader.scope = "up:read".parse().unwrap();
        let client = Client::connect_as(&rig, "up", "2025-11-25", rig.sign(&reader), json!({})).await;
        for method in ["tools/call", "resources/subscribe", "x/extension", "initialize"] {
            let before = rig.log.of(EventKind::CallRefused).len();
            let status = client.notify(method, json!({"name": "write", "arguments": {}})).await;
            assert!(status.is_client_error() || status == StatusCode::OK, "{method} {status}");
            assert_eq!(rig.log.of(EventKind::CallRefused).len(), before + 1, "{method}");
        }
        assert_eq!(client.notify("notifications/x-extension", json!({})).await, StatusCode::FORBIDDEN);
        let posted = |method| upstream.posted(method).len();
        assert_eq!(posted("tools/call") + posted("x/extension") + posted("notifications/x-extension"), 0);
        assert_eq!(client.notify("notifications/roots/list_changed", json!({})).await, StatusCode::ACCEPTED);
        assert_eq!(posted("notifications/roots/list_changed"), usize::from(server == Era::Legacy));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_very_many_values_is_refused() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    for era in [Era::Legacy, Era::Modern] {
        let client = Client::connect(&rig, "up", era).await;
        let many = vec![json!({}); 100_001];
        let body = client.message(Some(9), "tools/call", json!({"name": "echo", "arguments": {"a": many}}));
        let before = rig.log.of(EventKind::CallRefused).len();
        let reply = client.post(&body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        let answer = reply.json().await;
        assert_eq!(answer["error"]["code"], -32600);
        assert!(answer["error"]["message"].as_str().unwrap().contains("more than 100000 values"), "{answer}");
        assert_eq!(rig.log.of(EventKind::CallRefused).len(), before + 1);
    }
    assert_eq!(upstream.calls("echo"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_of_one_principal_are_bounded_apart() {
    let (upstream, url) = Upstream::start(Era::Legacy).await;
    let rig = Rig::new(vec![http_offer("up", &url)]).await;
    for era in [Era::Legacy, Era::Modern] {
        let client = Client::connect(&rig, "up", era).await;
        let large = |tool: &str| {
            let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
            json!({"name": tool, "arguments": {"x": "x".repeat(70_000)}, "_meta": meta})
        };
        let mut held = Vec::new();
        for _ in 0..8 {
            let mut stream = client.open("tools/call", large("hold")).await;
            stream.next().await.unwrap();
            held.push(stream);
        }
        let over = client.open("tools/call", large("echo")).await;
        assert_eq!(over.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(over.text().await.contains("bodies over 64 KiB"));
        client.call("echo", json!({})).await.result();
        upstream.release.notify_waiters();
        for mut stream in held {
            assert!(stream.next().await.unwrap().get("result").is_some());
        }
        client.request("tools/call", large("echo")).await.result();
    }
}
