//! The demo server over HTTP, as the gate and a stray client meet it.

use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient,
    model::{
        ArgumentInfo, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, CompleteRequestParams,
        ElicitRequestParams, ElicitResult, ElicitationAction, ErrorData, GetPromptRequestParams, Implementation,
        ProgressNotificationParam, ProtocolVersion, ReadResourceRequestParams, Reference, ResourceContents,
    },
    service::{NotificationContext, RequestContext, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig as TransportConfig,
    },
};
use sallyport_model::Secret;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

use super::*;

const TOKEN: &str = "upstream-token";

/// A client that can show a form, answers `when`, and notes progress.
#[derive(Clone)]
struct Person {
    answer: Option<&'static str>,
    can_be_asked: bool,
    progress: Arc<Mutex<Vec<f64>>>,
}

impl Person {
    fn who_says(answer: Option<&'static str>) -> Self {
        Self { answer, can_be_asked: true, progress: Arc::default() }
    }
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder();
        let capabilities =
            if self.can_be_asked { capabilities.enable_elicitation().build() } else { capabilities.build() };
        ClientConfig::new(capabilities, Implementation::new("test-client", "1"))
    }
    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(match self.answer {
            Some(time) => ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "time": time })),
            None => ElicitResult::new(ElicitationAction::Decline),
        })
    }
    async fn on_progress(&self, step: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().unwrap().push(step.progress);
    }
}

type Client = RunningService<RoleClient, Person>;

async fn start() -> (Demo, String) {
    let demo = Demo::new(Secret::new(TOKEN));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = demo.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (demo, url)
}

fn eras() -> [ClientLifecycleMode; 2] {
    let modern = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    [ClientLifecycleMode::Initialize, modern]
}

async fn connect(url: &str, person: Person, era: ClientLifecycleMode) -> Client {
    let config = TransportConfig::with_uri(url).auth_header(TOKEN);
    let transport = StreamableHttpClientTransport::from_config(config);
    person.serve_with_lifecycle(transport, era).await.unwrap()
}

async fn call(client: &Client, name: &'static str, arguments: Value) -> Result<CallToolResult, ServiceError> {
    let arguments = arguments.as_object().cloned().unwrap();
    client.call_tool(CallToolRequestParams::new(name).with_arguments(arguments)).await
}

async fn text(client: &Client, name: &'static str, arguments: Value) -> String {
    let result = call(client, name, arguments).await.unwrap();
    assert_ne!(result.is_error, Some(true), "{name}: {result:?}");
    result.content[0].as_text().unwrap().text.clone()
}

#[tokio::test]
async fn every_tool_is_annotated_and_described() {
    let (_, url) = start().await;
    for era in eras() {
        let client = connect(&url, Person::who_says(None), era).await;
        let tools = client.list_all_tools().await.unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(
            names,
            [
                "add_note",
                "delete_customer",
                "export_customers",
                "grant_access",
                "list_tickets",
                "read_integration",
                "read_ticket",
                "schedule_callback",
                "search_customers",
                "send_mail",
                "set_ticket_status",
            ]
        );
        for tool in &tools {
            let hints = tool.annotations.as_ref().unwrap();
            let all = [hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint];
            assert!(all.iter().all(Option::is_some) && hints.title.is_some(), "{}", tool.name);
            assert!(!(hints.read_only_hint == Some(true) && hints.destructive_hint == Some(true)), "{}", tool.name);
            assert!(tool.description.as_ref().is_some_and(|text| text.ends_with('.')), "{}", tool.name);
        }
        let with_output = tools.iter().filter(|tool| tool.output_schema.is_some()).count();
        assert_eq!(with_output, 4);
    }
}

#[tokio::test]
async fn reading_shows_the_desk_with_its_faults() {
    let (_, url) = start().await;
    for era in eras() {
        let client = connect(&url, Person::who_says(None), era).await;
        let open = call(&client, "list_tickets", json!({"status": "open"})).await.unwrap();
        assert_eq!(open.structured_content.unwrap()["tickets"].as_array().unwrap().len(), 3);
        let poisoned = call(&client, "read_ticket", json!({"number": POISONED_TICKET})).await.unwrap();
        assert!(poisoned.structured_content.unwrap()["body"].as_str().unwrap().contains(POISON_MARK));
        let found = call(&client, "search_customers", json!({"text": "nadia"})).await.unwrap();
        assert_eq!(found.structured_content.unwrap()["customers"][0]["id"], "c-3");
        let settings = text(&client, "read_integration", json!({})).await;
        assert!(settings.contains(LEAKED_KEY_ID) && settings.contains(LEAKED_SECRET_KEY));
    }
}

#[tokio::test]
async fn changing_tools_change_the_desk_and_failures_are_results() {
    let (demo, url) = start().await;
    let client = connect(&url, Person::who_says(None), ClientLifecycleMode::Initialize).await;
    text(&client, "add_note", json!({"number": 1040, "text": "called"})).await;
    text(&client, "set_ticket_status", json!({"number": 1040, "status": "closed"})).await;
    text(&client, "send_mail", json!({"to": "a@customer.example", "subject": "s", "body": "b"})).await;
    text(&client, "grant_access", json!({"email": "kim@desk.example", "access": "agent"})).await;
    text(&client, "delete_customer", json!({"id": "c-3"})).await;
    {
        let desk = demo.desk();
        let ticket = desk.ticket(1040).unwrap();
        assert_eq!((ticket.notes.len(), ticket.status), (1, TicketStatus::Closed));
        assert_eq!(desk.outbox[0].to, "a@customer.example");
        assert_eq!(desk.access["kim@desk.example"], Access::Agent);
        assert!(!desk.customers.contains_key("c-3") && desk.ticket(POISONED_TICKET).is_err());
    }
    for (name, arguments) in [
        ("read_ticket", json!({"number": 1})),
        ("add_note", json!({"number": 1, "text": ""})),
        ("set_ticket_status", json!({"number": 1, "status": "open"})),
        ("schedule_callback", json!({"number": 1})),
        ("delete_customer", json!({"id": "c-3"})),
        ("send_mail", json!({"to": "nobody", "subject": "", "body": ""})),
    ] {
        assert_eq!(call(&client, name, arguments).await.unwrap().is_error, Some(true), "{name}");
    }
    assert!(call(&client, "no_such_tool", json!({})).await.is_err());
    assert_eq!(demo.desk().outbox.len(), 1);
}

#[tokio::test]
async fn the_export_reports_progress() {
    let (_, url) = start().await;
    for era in eras() {
        let person = Person::who_says(None);
        let client = connect(&url, person.clone(), era).await;
        let csv = text(&client, "export_customers", json!({})).await;
        assert_eq!(csv.lines().count(), 6);
        // The reader task may hand over the last step just after the answer.
        for _ in 0..100 {
            if person.progress.lock().unwrap().len() == 5 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(*person.progress.lock().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}

#[tokio::test]
async fn a_missing_time_is_asked_for_in_both_eras() {
    for era in eras() {
        let (demo, url) = start().await;
        let client = connect(&url, Person::who_says(Some("Friday 9:00")), era.clone()).await;
        let said = text(&client, "schedule_callback", json!({"number": 1043})).await;
        assert!(said.contains("Friday 9:00"));
        assert_eq!(demo.desk().ticket(1043).unwrap().callback.as_deref(), Some("Friday 9:00"));

        let client = connect(&url, Person::who_says(None), era.clone()).await;
        let declined = call(&client, "schedule_callback", json!({"number": 1040})).await.unwrap();
        assert_eq!(declined.is_error, Some(true));
        let mute = Person { can_be_asked: false, ..Person::who_says(Some("never")) };
        let client = connect(&url, mute, era).await;
        let refused = call(&client, "schedule_callback", json!({"number": 1040})).await.unwrap();
        assert_eq!(refused.is_error, Some(true));
        assert_eq!(demo.desk().ticket(1040).unwrap().callback, None);
        text(&client, "schedule_callback", json!({"number": 1040, "time": "noon"})).await;
        assert_eq!(demo.desk().ticket(1040).unwrap().callback.as_deref(), Some("noon"));
    }
}

#[tokio::test]
async fn resources_prompts_and_completion_answer() {
    let (_, url) = start().await;
    for era in eras() {
        let client = connect(&url, Person::who_says(None), era).await;
        assert_eq!(client.list_all_resources().await.unwrap()[0].uri, "desk://handbook");
        assert_eq!(client.list_all_resource_templates().await.unwrap()[0].uri_template, "desk://tickets/{number}");
        for uri in ["desk://handbook", "desk://tickets/1042"] {
            let read = client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
            assert!(
                matches!(&read.contents[0], ResourceContents::TextResourceContents { text, .. } if !text.is_empty())
            );
        }
        assert!(client.read_resource(ReadResourceRequestParams::new("desk://tickets/1")).await.is_err());

        assert_eq!(client.list_all_prompts().await.unwrap()[0].name, "reply_to_ticket");
        let arguments = json!({"number": "1040", "tone": "short"}).as_object().cloned().unwrap();
        let wanted = GetPromptRequestParams::new("reply_to_ticket").with_arguments(arguments);
        let prompt = client.get_prompt(wanted).await.unwrap();
        assert!(serde_json::to_string(&prompt.messages).unwrap().contains("Draft a short reply"));

        for (reference, argument, start, expected) in [
            (Reference::for_prompt("reply_to_ticket"), "tone", "f", &["friendly", "formal"][..]),
            (Reference::for_resource("desk://tickets/{number}"), "number", "104", &["1040", "1041", "1042", "1043"]),
        ] {
            let request = CompleteRequestParams::new(reference, ArgumentInfo::new(argument, start));
            assert_eq!(client.complete(request).await.unwrap().completion.values, expected);
        }
    }
}

#[tokio::test]
async fn another_bearer_is_refused_and_leaves_a_trace() {
    let (demo, url) = start().await;
    for token in [None, Some("client-token"), Some("")] {
        let mut config = TransportConfig::with_uri(url.as_str());
        config = match token {
            Some(token) => config.auth_header(token),
            None => config,
        };
        let transport = StreamableHttpClientTransport::from_config(config);
        let refused = Person::who_says(None).serve_with_lifecycle(transport, ClientLifecycleMode::Initialize).await;
        assert!(refused.is_err());
    }
    assert_eq!(demo.seen().admitted(), 0);
    assert!(demo.seen().refused() >= 3 && demo.seen().saw_authorization("Bearer client-token"));

    let client = connect(&url, Person::who_says(None), ClientLifecycleMode::Initialize).await;
    client.list_all_tools().await.unwrap();
    let last = demo.seen().last().unwrap();
    assert_eq!(last, Arrival { authorization: Some(digest(b"Bearer upstream-token")), cookie: None, admitted: true });
}

/// `server/discover` without any session, as a 2026-07-28 client opens; and no browser gets in.
#[tokio::test]
async fn the_endpoint_is_stateless_for_modern_clients_and_closed_to_browsers() {
    use tower::ServiceExt as _;
    let demo = Demo::new(Secret::new(TOKEN));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }}});
    let request = |origin: Option<&str>, host: &str| {
        let mut request = http::Request::post("/mcp")
            .header("host", host)
            .header("authorization", "Bearer upstream-token")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "server/discover");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.body(axum::body::Body::from(body.to_string())).unwrap()
    };
    let answer = demo.router().oneshot(request(None, "127.0.0.1:9")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("mcp-session-id").is_none());
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let answer = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(answer.contains("supportedVersions") && answer.contains("2025-11-25"), "{answer}");
    let browser = demo.router().oneshot(request(Some("http://evil.example"), "127.0.0.1:9")).await.unwrap();
    assert_eq!(browser.status(), 403);
    let rebound = demo.router().oneshot(request(None, "evil.example")).await.unwrap();
    assert_eq!(rebound.status(), 403);
}
