//! MCP calls in both eras, and a note of each that the log must hold.

use std::cell::RefCell;

use anyhow::{Context, Result, ensure};
use http::Method;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    client::{Tokens, text},
    web::{Reply, Web},
};

/// The stateless era's version.
pub const MODERN: &str = "2026-07-28";
/// The last version with sessions.
pub const LEGACY: &str = "2025-11-25";

const ACCEPT: (&str, &str) = ("accept", "application/json, text/event-stream");

/// A tool call that the gate answered; the log must hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The token's id.
    pub token: String,
    /// The tool.
    pub tool: String,
    /// Whether the gate let it through.
    pub allowed: bool,
}

/// A session of the legacy era.
pub struct Session {
    /// `MCP-Session-Id`.
    pub id: String,
    /// The version that was agreed.
    pub version: String,
}

/// The MCP endpoint.
pub struct Mcp {
    web: Web,
    endpoint: String,
    placed: RefCell<Vec<Placed>>,
    presented: RefCell<Vec<String>>,
}

impl Mcp {
    /// Of this address.
    pub fn new(web: Web, endpoint: String) -> Self {
        Self { web, endpoint, placed: RefCell::default(), presented: RefCell::default() }
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every tool call so far that was allowed, or refused to a known principal.
    pub fn placed(&self) -> Vec<Placed> {
        self.placed.borrow().clone()
    }

    /// Every access token that was presented so far, good or bad.
    pub fn presented(&self) -> Vec<String> {
        self.presented.borrow().clone()
    }

    /// Calls a method in the modern era.
    pub async fn call(&self, token: &str, method: &str, params: Value) -> Result<Reply> {
        self.note_token(token);
        send(&self.web, &self.endpoint, Some(token), method, params).await
    }

    /// Calls a tool in the modern era.
    pub async fn tool(&self, tokens: &Tokens, name: &str, arguments: Value) -> Result<Reply> {
        let params = json!({"name": name, "arguments": arguments});
        let reply = self.call(&tokens.access, "tools/call", params).await?;
        self.note_call(tokens, name, &reply);
        Ok(reply)
    }

    /// The status of a `tools/list`, to see whether a token works.
    pub async fn status(&self, token: &str) -> Result<u16> {
        Ok(self.call(token, "tools/list", json!({})).await?.status)
    }

    /// The tools that a token shows, each as the client gets it.
    pub async fn tools(&self, tokens: &Tokens) -> Result<Vec<Value>> {
        let reply = self.call(&tokens.access, "tools/list", json!({})).await?;
        let tools = reply.json()["result"]["tools"].as_array().cloned();
        tools.with_context(|| format!("tools/list answered {}", reply.outcome()))
    }

    /// Opens a session of the legacy era.
    pub async fn session(&self, tokens: &Tokens) -> Result<Session> {
        self.note_token(&tokens.access);
        let params = json!({"protocolVersion": LEGACY, "capabilities": {},
            "clientInfo": {"name": "sallyport-tour", "version": env!("CARGO_PKG_VERSION")}});
        let hello = self.legacy(tokens, None, json!({"id": 1, "method": "initialize", "params": params})).await?;
        let session = Session {
            id: hello.header("mcp-session-id").to_owned(),
            version: text(&hello.json()["result"], "protocolVersion"),
        };
        ensure!(!session.id.is_empty(), "initialize answered {} without a session", hello.outcome());
        self.legacy(tokens, Some(&session), json!({"method": "notifications/initialized"})).await?;
        Ok(session)
    }

    /// Calls a tool in a session.
    pub async fn tool_in(&self, session: &Session, tokens: &Tokens, name: &str, arguments: Value) -> Result<Reply> {
        let params = json!({"name": name, "arguments": arguments});
        let message = json!({"id": 2, "method": "tools/call", "params": params});
        let reply = self.legacy(tokens, Some(session), message).await?;
        self.note_call(tokens, name, &reply);
        Ok(reply)
    }

    /// Opens the stream of a session, for the server's own messages.
    pub async fn stream(&self, session: &Session, tokens: &Tokens) -> Result<Incoming> {
        let authorization = bearer(&tokens.access);
        let headers = [
            ("accept", "text/event-stream"),
            ("authorization", &*authorization),
            ("mcp-session-id", &session.id),
            ("mcp-protocol-version", &session.version),
        ];
        let response = self.web.open(Method::GET, &self.endpoint, &headers, String::new()).await?;
        ensure!(response.status() == 200, "the session's stream answered {}", response.status());
        Ok(response.into_body())
    }

    /// Ends a session.
    pub async fn end(&self, session: &Session, tokens: &Tokens) -> Result<()> {
        let authorization = bearer(&tokens.access);
        let headers = [("authorization", &*authorization), ("mcp-session-id", &session.id)];
        self.web.send(Method::DELETE, &self.endpoint, &headers, String::new()).await?;
        Ok(())
    }

    async fn legacy(&self, tokens: &Tokens, session: Option<&Session>, mut message: Value) -> Result<Reply> {
        message["jsonrpc"] = "2.0".into();
        let authorization = bearer(&tokens.access);
        let mut headers = vec![("content-type", "application/json"), ACCEPT, ("authorization", &*authorization)];
        if let Some(session) = session {
            headers.extend([("mcp-session-id", &*session.id), ("mcp-protocol-version", &*session.version)]);
        }
        self.web.send(Method::POST, &self.endpoint, &headers, message.to_string()).await
    }

    fn note_call(&self, tokens: &Tokens, name: &str, reply: &Reply) {
        if matches!(reply.status, 200 | 403) {
            let (token, tool) = (tokens.claim("jti"), name.to_owned());
            self.placed.borrow_mut().push(Placed { token, tool, allowed: reply.status == 200 });
        }
    }

    fn note_token(&self, token: &str) {
        let mut presented = self.presented.borrow_mut();
        if !presented.iter().any(|known| known == token) {
            presented.push(token.to_owned());
        }
    }
}

/// The body and headers of a request of the modern era.
pub fn modern(token: Option<&str>, method: &str, mut params: Value) -> (Vec<(&'static str, String)>, String) {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "sallyport-tour", "version": env!("CARGO_PKG_VERSION")}});
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        (ACCEPT.0, ACCEPT.1.to_owned()),
        ("mcp-protocol-version", MODERN.to_owned()),
        ("mcp-method", method.to_owned()),
    ];
    headers.extend(token.map(|token| ("authorization", bearer(token))));
    if method == "tools/call" {
        headers.push(("mcp-name", text(&params, "name")));
    }
    (headers, json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
}

/// Sends one request of the modern era.
pub async fn send(web: &Web, endpoint: &str, token: Option<&str>, method: &str, params: Value) -> Result<Reply> {
    let (headers, body) = modern(token, method, params);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    web.send(Method::POST, endpoint, &headers, body).await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The text of a tool's result; empty where there is none.
pub fn result_text(reply: &Reply) -> String {
    text(&reply.json()["result"]["content"][0], "text")
}

/// Whether a call that did nothing was held back, rather than merely failed: the token was good and
/// enough, and the gate or the server answered.
pub fn held_back(reply: &Reply) -> bool {
    matches!(reply.status, 200 | 202 | 403) && reply.challenge("error").is_none()
}

/// The status of a tool call, with the tool's own word on whether it worked.
pub fn result_status(reply: &Reply) -> String {
    let message = reply.json();
    let word = match (&message["result"], message["error"]["message"].as_str()) {
        (_, Some(error)) => error.to_owned(),
        (result, None) if result["isError"] == true => "the tool failed".to_owned(),
        (result, None) => text(result, "resultType"),
    };
    format!("{} {word}", reply.status).trim_end().to_owned()
}
