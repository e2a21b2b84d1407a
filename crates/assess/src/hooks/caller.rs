//! Somebody with a token who asks again and again: is she still served?
//!
//! She calls the harmless tool where there is one, else she lists the tools. What ends for another reason than a
//! refusal is no refusal.

use sallyport_mcp::{Object, methods::ListKind};
use serde_json::{Map, Value};

use crate::{
    access::NamedTool,
    bench::{Bench, Grant},
    login::{self, quote},
    wire::{Answer, ConnectOptions, Credential, McpClient, McpFault, WireError},
};

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Served {
    /// It was answered.
    Yes(u32),
    /// It was refused.
    No {
        /// How, in words.
        how: String,
        /// What shows it.
        exchange: u32,
    },
    /// Neither.
    Unclear(String),
}

impl Served {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Yes(_) => "it was served".to_owned(),
            Self::No { how, .. } => how.clone(),
            Self::Unclear(why) => why.clone(),
        }
    }

    /// What shows it.
    pub(crate) fn exchanges(&self) -> Vec<u32> {
        match self {
            Self::Yes(exchange) | Self::No { exchange, .. } => vec![*exchange],
            Self::Unclear(_) => Vec::new(),
        }
    }
}

/// A caller and her connection.
pub(crate) struct Caller<'a> {
    bench: &'a Bench,
    check: &'static str,
    token: String,
    tool: Option<NamedTool>,
    options: ConnectOptions,
    client: Option<McpClient>,
}

impl<'a> Caller<'a> {
    /// A caller with the token of `grant`, who is not connected yet and looks like any client.
    pub(crate) fn new(bench: &'a Bench, check: &'static str, grant: &Grant) -> Self {
        let token = grant.access_token.expose().to_owned();
        let options = ConnectOptions { plain: true, ..ConnectOptions::default() };
        Self { bench, check, token, tool: read_tool(bench), options, client: None }
    }

    /// One who says that it is the assessor.
    #[must_use]
    pub(crate) fn announced(mut self) -> Self {
        self.options.plain = false;
        self
    }

    /// Asks once.
    pub(crate) async fn ask(&mut self) -> Served {
        let (method, params) = match &self.tool {
            Some(tool) => ("tools/call", params(&tool.tool, &tool.arguments)),
            None => ("tools/list", Object::new()),
        };
        self.request(method, params).await
    }

    /// Calls `tool` once.
    pub(crate) async fn call(&mut self, tool: &str, arguments: &Object) -> Served {
        self.request("tools/call", params(tool, arguments)).await
    }

    /// The tools that she is shown.
    ///
    /// # Errors
    /// Why she is shown none.
    pub(crate) async fn tools(&mut self) -> Result<Vec<String>, Served> {
        let check = self.check;
        let listed = match self.connected().await {
            Err(fault) => Err(fault),
            Ok(client) => client.list(check, ListKind::Tools).await,
        };
        let name = |tool: &Value| Some(tool.get("name")?.as_str()?.to_owned());
        listed.map(|tools| tools.iter().filter_map(name).collect()).map_err(of_fault)
    }

    /// Ends the connection.
    pub(crate) async fn leave(&mut self) {
        if let Some(client) = self.client.take() {
            client.close().await;
        }
    }

    async fn request(&mut self, method: &str, params: Object) -> Served {
        let check = self.check;
        let fresh = self.client.is_none();
        let answer = match self.connected().await {
            Err(fault) => return of_fault(fault),
            Ok(client) => client.call(check, method, params.clone()).await,
        };
        let served = of_answer(answer);
        if matches!(served, Served::Yes(_)) {
            return served;
        }
        // The session may be what ended: a new connection tells whether the token did.
        self.client = None;
        if fresh || is_clear(&served) {
            return served;
        }
        match self.connected().await {
            Err(fault) => of_fault(fault),
            Ok(client) => of_answer(client.call(check, method, params).await),
        }
    }

    async fn connected(&mut self) -> Result<&mut McpClient, McpFault> {
        let client = match self.client.take() {
            Some(client) => client,
            None => McpClient::connect(self.bench, self.check, Credential::Bearer(&self.token), self.options).await?,
        };
        Ok(self.client.insert(client))
    }
}

/// Whether a refusal is about the caller and not about her session.
fn is_clear(served: &Served) -> bool {
    matches!(served, Served::No { how, .. } if how.contains("HTTP 401") || how.contains("HTTP 403"))
}

fn params(tool: &str, arguments: &Object) -> Object {
    let mut params = Map::new();
    params.insert("name".to_owned(), Value::String(tool.to_owned()));
    params.insert("arguments".to_owned(), Value::Object(arguments.clone()));
    params
}

fn of_answer(answer: Result<Answer, McpFault>) -> Served {
    match answer {
        Err(fault) => of_fault(fault),
        Ok(Answer::Result(result, exchange)) if result.get("isError") == Some(&Value::Bool(true)) => {
            let text = result.get("content").and_then(|content| content.get(0)?.get("text")?.as_str());
            Served::No { how: format!("refused by a tool error: {}", quote(text.unwrap_or_default())), exchange }
        }
        Ok(Answer::Result(_, exchange) | Answer::Task(_, exchange)) => Served::Yes(exchange),
        Ok(Answer::InputRequired(_, exchange) | Answer::Asked { exchange, .. }) => {
            Served::No { how: "held until a person confirms".to_owned(), exchange }
        }
        Ok(Answer::Error(error, exchange)) => {
            Served::No { how: format!("refused with error {}: {}", error.code, quote(&error.message)), exchange }
        }
        Ok(Answer::Refused(heard)) => of_fault(McpFault::Refused(heard)),
    }
}

/// Only 401 and 403 refuse the caller; a server that is down refuses nobody.
fn of_fault(fault: McpFault) -> Served {
    match fault {
        McpFault::Refused(heard) if matches!(heard.status.as_u16(), 401 | 403) => {
            Served::No { how: format!("refused with HTTP {}", heard.status.as_u16()), exchange: heard.exchange }
        }
        McpFault::Rpc(error, exchange) => {
            Served::No { how: format!("refused with error {}: {}", error.code, quote(&error.message)), exchange }
        }
        McpFault::Wire(WireError::OutOfTime) => Served::Unclear(WireError::OutOfTime.to_string()),
        fault => Served::Unclear(quote(&fault.to_string())),
    }
}

/// The harmless tool: the one that the operator named, else the first that says it only reads and needs nothing.
pub(crate) fn read_tool(bench: &Bench) -> Option<NamedTool> {
    if let Some(named) = &bench.access.read {
        return Some(named.clone());
    }
    let catalogue = bench.seen.catalogue.get()?;
    let harmless = catalogue.iter().find(|definition| {
        let schema = definition.input_schema.as_ref();
        let demands =
            schema.and_then(|schema| schema.get("required")?.as_array()).is_some_and(|names| !names.is_empty());
        // A hint is a claim: what speaks against it by its name is not tried.
        let believed =
            definition.annotations.read_only && sallyport_inspect::annotations::plausible(definition).is_ok();
        definition.kind == ListKind::Tools && believed && !demands
    })?;
    Some(NamedTool { tool: harmless.key.clone(), arguments: Object::new() })
}

/// The person's grant when its token is served, else one of a new sign-in: an earlier probe may have ended it.
///
/// # Errors
/// Why there is none, as a sentence.
pub(crate) async fn person(bench: &Bench, check: &'static str, seconds: u64) -> Result<Grant, String> {
    let grant = login::person_grant(bench).map_err(|fault| fault.to_string())?;
    let mut why = "her token is about to end".to_owned();
    if lasts(bench, grant, seconds) {
        match Caller::new(bench, check, grant).ask().await {
            Served::Yes(_) => return Ok(grant.clone()),
            served => why = served.words(),
        }
    }
    match &bench.access.user {
        Some(user) => login::sign_in(bench, check, user).await.map_err(|fault| fault.to_string()),
        None => Err(format!("the person's token does not serve any more: {why}")),
    }
}

/// The agent's grant when its token is served, else a new one.
///
/// # Errors
/// Why there is none, as a sentence.
pub(crate) async fn agent(bench: &Bench, check: &'static str, seconds: u64) -> Result<Grant, String> {
    if let Some(grant) = bench.seen.agent.get()
        && lasts(bench, grant, seconds)
        && matches!(Caller::new(bench, check, grant).ask().await, Served::Yes(_))
    {
        return Ok(grant.clone());
    }
    login::agent(bench, check).await.map_err(|fault| fault.to_string())
}

/// Somebody who is not the person: the second person, else the agent.
pub(crate) async fn other(bench: &Bench, check: &'static str) -> Option<Grant> {
    if let Some(second) = bench.seen.second.get() {
        if matches!(Caller::new(bench, check, second).ask().await, Served::Yes(_)) {
            return Some(second.clone());
        }
        if let Some(user) = &bench.access.second_user
            && let Ok(grant) = login::sign_in(bench, check, user).await
        {
            return Some(grant);
        }
    }
    bench.access.agent.as_ref()?;
    agent(bench, check, 0).await.ok()
}

/// Whether the token of `grant` goes on for that long, as far as anybody said.
pub(crate) fn lasts(bench: &Bench, grant: &Grant, seconds: u64) -> bool {
    let age = bench.clock.now().since(grant.obtained_at).as_secs();
    grant.expires_in.is_none_or(|lifetime| age + seconds < lifetime)
}

#[cfg(test)]
mod tests {
    use sallyport_mcp::RpcError;
    use serde_json::json;

    use super::*;

    fn result(value: Value) -> Served {
        of_answer(Ok(Answer::Result(value.as_object().unwrap().clone(), 7)))
    }

    #[test]
    fn a_tool_error_is_a_refusal_and_a_result_is_none() {
        assert_eq!(result(json!({"content": []})), Served::Yes(7));
        let refused = result(json!({"isError": true, "content": [{"type": "text", "text": "no\u{1b}[2J access"}]}));
        assert_eq!(refused.words(), "refused by a tool error: no [2J access");
        let error = RpcError::new(-32001, "gone");
        assert!(matches!(of_answer(Ok(Answer::Error(error, 3))), Served::No { exchange: 3, .. }));
    }

    #[test]
    fn a_server_that_is_down_refuses_nobody() {
        let down = of_fault(McpFault::Ended("the stream ended".to_owned()));
        assert!(matches!(down, Served::Unclear(_)));
        assert!(down.exchanges().is_empty());
        assert!(matches!(of_fault(McpFault::Wire(WireError::OutOfTime)), Served::Unclear(_)));
    }
}
