//! A client on the Rust SDK (`rmcp`), for the lab's matrix: signs in by the SDK's own OAuth, lists
//! the tools, makes the calls it is given, and prints one line of JSON. The person at the browser is
//! `test-lab/walk.py`. It uses nothing of ours, and is no part of the product.
//!
//! Arguments: `ENDPOINT [legacy|modern|auto]`; an endpoint `stdio:["command", …]` is a server without
//! a gate in front. Environment: `SALLYPORT_ACCOUNT` (JSON; absent means no sign-in),
//! `SALLYPORT_CALLS` (a file: `[{"tool", "arguments"}]`), `SALLYPORT_WALK` (the walker).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    Implementation, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, ServiceError};
use rmcp::transport::auth::{AuthClient, AuthorizationManager, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient};
use serde_json::{Value, json};

/// The client's side of the protocol: accepts every form, counts progress.
#[derive(Clone, Default)]
struct Person {
    progress: Arc<AtomicU64>,
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("lab-rmcp", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let mut answer = ElicitResult::new(ElicitationAction::Decline);
        if let ElicitRequestParams::FormElicitationParams { .. } = request {
            answer = ElicitResult::new(ElicitationAction::Accept)
                .with_content(json!({"name": "Ada", "color": "green", "time": "Thursday 14:00"}));
        }
        Ok(answer)
    }

    async fn on_progress(&self, _params: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().context("usage: ENDPOINT [legacy|modern|auto]")?;
    let era = arguments.next().unwrap_or_else(|| "legacy".to_owned());
    let account = std::env::var("SALLYPORT_ACCOUNT").ok();
    let calls: Vec<Value> = match std::env::var("SALLYPORT_CALLS") {
        Ok(path) => serde_json::from_slice(&std::fs::read(&path).context(path)?)?,
        Err(_) => Vec::new(),
    };
    let person = Person::default();
    let service = connect(&endpoint, &era, account.is_some(), person.clone()).await?;
    let tools: Vec<Value> =
        service.list_all_tools().await?.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    let mut outcomes = Vec::new();
    for call in &calls {
        outcomes.push(make(&service, &person, call).await?);
    }
    let negotiated = service.peer_info().map(|info| serde_json::to_value(&*info)).transpose()?;
    service.cancel().await?;
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["name"]).collect();
    let definitions: serde_json::Map<String, Value> =
        tools.iter().map(|tool| (tool["name"].as_str().unwrap_or_default().to_owned(), tool.clone())).collect();
    let line = json!({
        "client": "rmcp", "era": era, "negotiated": negotiated.map(|info| info["protocolVersion"].clone()),
        "transport": if endpoint.starts_with("stdio:") { "stdio" } else { "http" },
        "signed_in": account.is_some(), "sign_ins": u8::from(account.is_some()),
        "tools": names, "calls": outcomes, "definitions": definitions,
    });
    println!("{line}");
    Ok(())
}

/// Connects in the era asked for, after a sign-in when there is an account.
async fn connect(
    endpoint: &str,
    era: &str,
    sign_in: bool,
    person: Person,
) -> Result<RunningService<RoleClient, Person>> {
    let modern = || vec![ProtocolVersion::V_2026_07_28];
    let lifecycle = match era {
        "legacy" => ClientLifecycleMode::Initialize,
        "modern" => ClientLifecycleMode::Discover { preferred_versions: modern() },
        "auto" => ClientLifecycleMode::Auto { preferred_versions: modern(), legacy_version: None },
        other => bail!("unknown era {other}"),
    };
    if let Some(command) = endpoint.strip_prefix("stdio:") {
        let words: Vec<String> = serde_json::from_str(command)?;
        return Ok(person.serve_with_lifecycle(TokioChildProcess::new(spawnable(&words)?)?, lifecycle).await?);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(endpoint.to_owned());
    if !sign_in {
        let transport = StreamableHttpClientTransport::from_config(config);
        return Ok(person.serve_with_lifecycle(transport, lifecycle).await?);
    }
    let client = AuthClient::new(reqwest::Client::default(), authorize(endpoint).await?);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    Ok(person.serve_with_lifecycle(transport, lifecycle).await?)
}

/// Discovery, registration, the walk, and the code exchange, all but the walk by the SDK.
async fn authorize(endpoint: &str) -> Result<AuthorizationManager> {
    // Any loopback port will do: the walker reads the callback's URL and does not open it.
    let request = AuthorizationRequest::new("http://127.0.0.1:45871/callback")
        .with_client_name("lab rmcp")
        .with_initial_scope_selection();
    let mut state = OAuthState::new(endpoint, None).await?;
    state.start_authorization(request).await?;
    let url = state.get_authorization_url().await?;
    let walker = std::env::var("SALLYPORT_WALK").unwrap_or_else(|_| "test-lab/walk.py".to_owned());
    let words = ["python3", &walker, "--no-callback", &url].map(str::to_owned);
    let walked = spawnable(&words)?.output().await.context("the walker did not start")?;
    if !walked.status.success() {
        bail!("{}", String::from_utf8_lossy(&walked.stderr).trim());
    }
    state.handle_callback_url(String::from_utf8(walked.stdout)?.trim()).await?;
    state.into_authorization_manager().context("not signed in after the callback")
}

#[expect(clippy::disallowed_methods, reason = "a test client outside the product starts its own servers")]
fn spawnable(words: &[String]) -> Result<tokio::process::Command> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Makes one call; what a model would read of its result is the text.
async fn make(service: &RunningService<RoleClient, Person>, person: &Person, call: &Value) -> Result<Value> {
    let tool = call["tool"].as_str().context("a call without a tool")?.to_owned();
    let mut params = CallToolRequestParams::new(tool.clone());
    params.arguments = call["arguments"].as_object().cloned();
    person.progress.store(0, Ordering::Relaxed);
    let result = match service.call_tool(params).await {
        Ok(result) => serde_json::to_value(result)?,
        // The server's own error is an outcome; a lost connection is not.
        Err(ServiceError::McpError(error)) => {
            let text = format!("error {}: {}", error.code.0, error.message);
            json!({"isError": true, "content": [{"text": text}]})
        }
        Err(other) => return Err(other).context(tool),
    };
    let content = result["content"].as_array().cloned().unwrap_or_default();
    let mut parts: Vec<String> =
        content.iter().map(|part| part["text"].as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    if let Some(structured) = result.get("structuredContent") {
        parts.push(structured.to_string());
    }
    Ok(json!({
        "tool": tool,
        "ok": result["isError"] != json!(true),
        "text": parts.join("\n"),
        "progress": person.progress.load(Ordering::Relaxed),
    }))
}
