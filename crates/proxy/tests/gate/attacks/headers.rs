//! What a client sends beside its message goes nowhere (seen in Kuadrant GHSA-g53w-w6mj-hrpp: a trusted
//! internal header that anybody could send), and the upstream sees the gate's own credential alone.

use http::{HeaderName, HeaderValue};
use sallyport_mcp::Era;
use sallyport_model::Secret;
use serde_json::json;

use crate::rig::{HOST, Rig, UPSTREAM_TOKEN, client::Client, http_offer, serve, upstream::Upstream};

const SENT: [(&str, &str); 22] = [
    ("cookie", "session=the-clients"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", "internal"),
    ("x-forwarded-user", "root"),
    ("forwarded", "for=127.0.0.1"),
    ("x-real-ip", "127.0.0.1"),
    ("x-api-key", "k"),
    ("proxy-authorization", "Basic eA=="),
    ("x-forwarded-access-token", "t"),
    ("x-user", "root"),
    ("x-tenant", "globex"),
    ("x-sallyport-principal", "root"),
    ("sallyport-principal", "root"),
    ("x-internal", "1"),
    ("x-mcp-authorized", "1"),
    ("x-original-url", "/admin"),
    ("x-http-method-override", "DELETE"),
    ("via", "1.1 x"),
    ("te", "trailers"),
    ("user-agent", "the-clients-agent"),
    ("referer", "https://app.example/secret"),
    ("x-unknown", "1"),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_message_reaches_the_upstream() {
    for server in [Era::Legacy, Era::Modern] {
        let (upstream, url) = Upstream::start(server).await;
        let rig = Rig::new(vec![http_offer("up", &url)]).await;
        for era in [Era::Legacy, Era::Modern] {
            let client = Client::connect(&rig, "up", era).await;
            let id = client.id();
            let mut request =
                client.post_request(&client.message(Some(id), "tools/call", json!({"name": "echo", "arguments": {}})));
            for (name, value) in SENT {
                request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            request.headers_mut().insert("origin", HeaderValue::from_static("https://app.example"));
            assert_eq!(rig.send(request).await.status, 200);
        }
        let allowed = [
            "host",
            "authorization",
            "content-type",
            "content-length",
            "accept",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
            "transfer-encoding",
            "user-agent",
            "last-event-id",
        ];
        for arrived in upstream.arrived() {
            for name in arrived.headers.keys() {
                assert!(allowed.contains(&name.as_str()), "{name} of {}", arrived.body);
            }
            let credentials: Vec<_> = arrived.headers.get_all("authorization").iter().collect();
            assert_eq!(credentials, [&format!("Bearer {UPSTREAM_TOKEN}")], "{}", arrived.body);
            assert_ne!(arrived.headers.get("host").unwrap(), HOST);
            assert!(arrived.headers.values().all(|value| !SENT.iter().any(|(_, sent)| *sent == value && *sent != "1")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_server_sees_the_gates_credential_only() {
    let token = "the-demo-servers-own-token";
    let demo = sallyport_testkit::demo::Demo::new(Secret::new(token));
    let url = format!("{}/mcp", serve(demo.router()).await);
    let mut offer = http_offer("desk", &url);
    let mut spec = (*offer.spec).clone();
    spec.credential = sallyport_proxy::upstream::UpstreamCredential::Bearer(Secret::new(token));
    offer.spec = spec.into();
    let rig = Rig::new(vec![offer]).await;
    for era in [Era::Legacy, Era::Modern] {
        let client = Client::connect(&rig, "desk", era).await;
        let tools = client.request("tools/list", json!({})).await;
        assert!(tools.result()["tools"].as_array().unwrap().len() >= 10, "{era:?}: every tool is shown: {tools:?}");
        let ticket = client.call("read_ticket", json!({"number": 1040})).await;
        assert!(ticket.result().to_string().contains("Add a seat"), "{ticket:?}");
        let noted = client.call("add_note", json!({"number": 1040, "text": "seen"})).await;
        assert!(noted.result().to_string().contains("note(s)"), "{noted:?}");
        let answer = json!({"action": "accept", "content": {"time": "Thursday 14:00"}});
        let asked = client
            .converse("tools/call", json!({"name": "schedule_callback", "arguments": {"number": 1040}}), &|_, _| {
                answer.clone()
            })
            .await;
        assert_eq!(asked.questions.len(), 1, "{era:?} {asked:?}");
        assert!(asked.result().to_string().contains("Thursday 14:00"), "{asked:?}");
        let params = json!({"name": "export_customers", "arguments": {}, "_meta": {"progressToken": 7}});
        let exported = client.request("tools/call", params).await;
        assert_eq!(exported.notifications.len(), 5, "{era:?} {exported:?}");
        assert!(!demo.seen().saw_authorization(&format!("Bearer {}", client.token)));
    }
    let seen = demo.seen();
    assert!(seen.admitted() > 10 && seen.refused() == 0 && seen.with_cookie() == 0, "{}", seen.admitted());
    assert!(seen.saw_authorization(&format!("Bearer {token}")));
}
