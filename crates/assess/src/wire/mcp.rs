//! An MCP client for both eras, over Streamable HTTP, HTTP+SSE of 2024-11-05 and stdio.
//!
//! It answers pings, declines what it did not declare, and leaves everything else to the probe that uses it.
//! It never answers a person's question by itself.

mod channel;
mod handshake;
mod versions;

use std::collections::HashMap;

use http::Method;
use sallyport_mcp::{
    Era, Object, Outcome, Request, RequestId, Response, RpcError,
    methods::ListKind,
    translate::{
        input::{InputKind, InputRequired, Retry},
        results::ResultType,
        tasks,
    },
};
use serde_json::Value;

use self::channel::{Channel, Sent, Source, Transport, Waited, Waiting};
pub(crate) use self::versions::collect as collect_versions;
use crate::{
    bench::{Bench, Target},
    wire::{Ask, Heard, Stream, WireError, http::EXCHANGE, stdio::Process},
};

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// Nobody that the server knows.
    None,
    /// The holder of this access token.
    Bearer(&'a str),
}

/// Which era to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EraChoice {
    /// The modern one where the server does, else the legacy one.
    #[default]
    Auto,
    /// 2025-11-25 and before.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// How to connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectOptions {
    /// Which era.
    pub era: EraChoice,
    /// Whether elicitation is declared: only then a server's question comes back as [`Answer::Asked`].
    pub elicitation: bool,
    /// Whether to look like an ordinary client: its name and user agent, no sign of the assessor.
    pub plain: bool,
}

/// How a call ended.
#[expect(clippy::large_enum_variant, reason = "held for a moment, never kept")]
#[derive(Debug)]
pub enum Answer {
    /// A result, and its exchange.
    Result(Object, u32),
    /// A JSON-RPC error, and its exchange.
    Error(RpcError, u32),
    /// An HTTP status that is no success: 401, 403, 404, 5xx …
    Refused(Box<Heard>),
    /// Modern: `resultType: "input_required"`; go on with [`McpClient::answer_input`].
    InputRequired(Object, u32),
    /// Legacy: the server asks before it answers; go on with [`McpClient::answer_ask`].
    Asked {
        /// What it asks.
        request: Request,
        /// The exchange of the call.
        exchange: u32,
        /// The call that waits.
        pending: Pending,
    },
    /// The server made a task of it.
    Task(Object, u32),
}

/// A call that waits for the answer to a server's question.
#[derive(Debug)]
pub struct Pending {
    /// The call's own stream; absent where all messages share one.
    stream: Option<Box<Stream>>,
    call: Request,
    question: RequestId,
    exchange: u32,
}

/// A person's answer to an elicitation.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `accept`, with the form's content; empty for a URL.
    Accept(Object),
    /// `decline`.
    Decline,
    /// `cancel`.
    Cancel,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum McpFault {
    /// The server refuses: an HTTP status that is no success.
    #[error("refused with HTTP {}", .0.status.as_u16())]
    Refused(Box<Heard>),
    /// A JSON-RPC error where a result was needed, and its exchange.
    #[error("refused with error {}: {}", .0.code, .0.message)]
    Rpc(RpcError, u32),
    /// No answer.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// What came is not MCP.
    #[error("this is not MCP: {0}")]
    NotMcp(String),
    /// The stream or process ended, or said nothing in time.
    #[error("{0}")]
    Ended(String),
}

/// A connection to the target.
#[derive(Debug)]
pub struct McpClient {
    channel: Channel,
    options: ConnectOptions,
    next_id: i64,
    last_exchange: u32,
    capabilities: Object,
    /// Of tools that were listed: the modern era mirrors annotated parameters in headers.
    schemas: HashMap<String, Value>,
}

/// The most pages of a list, and the most definitions in all.
const MAX_PAGES: usize = 50;
const MAX_DEFINITIONS: usize = 2000;

impl McpClient {
    /// Connects to the target of `bench`: finds the era and the transport, and shakes hands.
    ///
    /// # Errors
    /// [`McpFault`].
    pub async fn connect(
        bench: &Bench,
        check: &'static str,
        credential: Credential<'_>,
        options: ConnectOptions,
    ) -> Result<Self, McpFault> {
        let wire = bench.wire.clone();
        let transport = match &bench.target {
            Target::Http(url) => Transport::Http(url.clone()),
            Target::Stdio(spec) => Transport::Stdio(Process::start(&wire, spec)?),
            Target::Answers(_) => return Err(McpFault::NotMcp("there is no server, only answers".to_owned())),
        };
        let mut client = Self::unspoken(Channel::new(wire, transport, credential, options), options);
        handshake::shake(&mut client, bench, check).await?;
        Ok(client)
    }

    fn unspoken(channel: Channel, options: ConnectOptions) -> Self {
        let (capabilities, schemas) = (Object::new(), HashMap::new());
        Self { channel, options, next_id: 0, last_exchange: 0, capabilities, schemas }
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// [`McpFault`], but not for an HTTP refusal or a JSON-RPC error: those are answers.
    pub async fn call(&mut self, check: &'static str, method: &str, mut params: Object) -> Result<Answer, McpFault> {
        if self.is_modern() {
            handshake::modern_meta(self.options).insert(&mut params);
        }
        let request = self.request(method, params);
        let schema = request.param_str("name").and_then(|name| self.schemas.get(name)).cloned();
        match self.channel.send(check, &request, schema.as_ref()).await? {
            Sent::Answered { response, exchange } => Ok(self.answer(response, exchange)),
            Sent::Refused(heard) => Ok(Answer::Refused(heard)),
            Sent::Waiting { source, exchange } => self.wait(check, source, &request, exchange).await,
        }
    }

    /// Goes on with a call whose server asked (legacy era).
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn answer_ask(
        &mut self,
        check: &'static str,
        pending: Pending,
        reply: Reply,
    ) -> Result<Answer, McpFault> {
        let Pending { stream, call, question, exchange } = pending;
        let answer = Response::result(question, reply.to_result());
        self.channel.tell(check, &answer.into()).await?;
        self.wait(check, stream.map_or(Source::Shared, Source::Own), &call, exchange).await
    }

    /// Calls again with an answer to every question of an [`Answer::InputRequired`] (modern era).
    ///
    /// # Errors
    /// As [`Self::call`]; [`McpFault::NotMcp`] when what is required is malformed or no elicitation.
    pub async fn answer_input(
        &mut self,
        check: &'static str,
        method: &str,
        mut params: Object,
        required: &Object,
        reply: Reply,
    ) -> Result<Answer, McpFault> {
        let required = InputRequired::read(required).map_err(|error| McpFault::NotMcp(error.to_string()))?;
        let mut responses = Object::new();
        for (key, request) in &required.requests {
            if !matches!(request.kind, InputKind::ElicitForm | InputKind::ElicitUrl) {
                return Err(McpFault::NotMcp(format!("the server asks for {}", request.kind.method())));
            }
            responses.insert(key.clone(), Value::Object(reply.to_result()));
        }
        Retry { responses, request_state: required.request_state }.put(&mut params);
        self.call(check, method, params).await
    }

    /// A list, all pages of it (at most 50, and 2,000 definitions), as the server sent them.
    ///
    /// # Errors
    /// As [`Self::call`]; [`McpFault::Rpc`] and [`McpFault::Refused`] when a page is refused.
    pub async fn list(&mut self, check: &'static str, kind: ListKind) -> Result<Vec<Value>, McpFault> {
        let mut all: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = cursor.iter().map(|cursor| ("cursor".to_owned(), cursor.as_str().into())).collect();
            let mut result = match self.call(check, kind.method(), params).await? {
                Answer::Result(result, _) => result,
                Answer::Error(error, exchange) => return Err(McpFault::Rpc(error, exchange)),
                Answer::Refused(heard) => return Err(McpFault::Refused(heard)),
                _ => return Err(McpFault::NotMcp(format!("{} is answered with a question", kind.method()))),
            };
            let Some(Value::Array(page)) = result.get_mut(kind.member()).map(Value::take) else {
                return Err(McpFault::NotMcp(format!("the result has no array `{}`", kind.member())));
            };
            all.extend(page);
            let next = result.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || next == cursor || all.len() >= MAX_DEFINITIONS {
                break;
            }
            cursor = next;
        }
        all.truncate(MAX_DEFINITIONS);
        if kind == ListKind::Tools {
            let schema =
                |tool: &Value| Some((tool.get("name")?.as_str()?.to_owned(), tool.get("inputSchema")?.clone()));
            self.schemas = all.iter().filter_map(schema).collect();
        }
        Ok(all)
    }

    /// Opens a stream for what the server says by itself: a GET, or `subscriptions/listen`.
    ///
    /// # Errors
    /// [`McpFault::Refused`] when the server has none; [`McpFault::NotMcp`] where the transport has none.
    pub async fn listen(&mut self, check: &'static str) -> Result<Stream, McpFault> {
        let Transport::Http(url) = &self.channel.transport else {
            return Err(McpFault::NotMcp("this transport has one stream for everything".to_owned()));
        };
        let stream = if self.is_modern() {
            let filter = Object::from_iter([("toolsListChanged".to_owned(), true.into())]);
            let mut params = Object::from_iter([("notifications".to_owned(), Value::Object(filter))]);
            handshake::modern_meta(self.options).insert(&mut params);
            let request = self.request("subscriptions/listen", params);
            match self.channel.send(check, &request, None).await? {
                Sent::Waiting { source: Source::Own(stream), .. } => return Ok(*stream),
                Sent::Refused(heard) => return Err(McpFault::Refused(heard)),
                _ => return Err(McpFault::NotMcp("subscriptions/listen is not answered with a stream".to_owned())),
            }
        } else {
            let ask = self.channel.listen_ask(url.clone());
            self.channel.wire.open(check, ask).await?
        };
        if stream.status.is_success() && stream.is_events() {
            return Ok(stream);
        }
        Err(McpFault::Refused(Box::new(stream.rest().await)))
    }

    /// `Mcp-Session-Id`, where the server gave one.
    pub fn session_id(&self) -> Option<&str> {
        self.channel.session.as_deref()
    }

    /// The protocol version agreed on, as the server wrote it.
    pub fn version(&self) -> &str {
        &self.channel.version
    }

    /// Whether the modern era is spoken.
    pub fn is_modern(&self) -> bool {
        self.channel.era == Era::Modern
    }

    /// What the server says that it can do.
    pub fn capabilities(&self) -> &Object {
        &self.capabilities
    }

    /// A request of this connection, with its credential, session and version, for a message that a probe
    /// writes itself. HTTP targets only.
    pub fn dress(&self, ask: Ask) -> Ask {
        self.channel.dress(ask)
    }

    /// The exchange of the handshake.
    pub fn exchange(&self) -> u32 {
        self.last_exchange
    }

    /// Ends the session.
    pub async fn close(self) {
        match self.channel.transport {
            Transport::Stdio(process) => process.stop().await,
            Transport::Http(ref url) if self.channel.session.is_some() => {
                let ask = self.channel.dress(Ask::new(Method::DELETE, url.clone()));
                // A server may answer 405: it ends sessions in its own time.
                let _ = self.channel.wire.send("auth-required", ask).await;
            }
            Transport::Http(_) | Transport::Sse(_) => {}
        }
    }

    fn request(&mut self, method: &str, params: Object) -> Request {
        self.next_id += 1;
        Request::new(self.next_id, method, (!params.is_empty()).then_some(params))
    }

    async fn wait(
        &mut self,
        check: &'static str,
        source: Source,
        call: &Request,
        exchange: u32,
    ) -> Result<Answer, McpFault> {
        let waiting = Waiting { exchange, patience: EXCHANGE, declared: self.options.elicitation };
        match self.channel.wait(check, source, call, waiting).await? {
            Waited::Answered(response) => Ok(self.answer(response, exchange)),
            Waited::Asked(request, pending) => Ok(Answer::Asked { request, exchange, pending }),
        }
    }

    fn answer(&self, response: Response, exchange: u32) -> Answer {
        let result = match response.outcome {
            Outcome::Error(error) => return Answer::Error(error, exchange),
            Outcome::Result(result) => result,
        };
        match ResultType::of(&result) {
            ResultType::InputRequired if self.is_modern() => Answer::InputRequired(result, exchange),
            ResultType::Task if self.is_modern() => Answer::Task(result, exchange),
            _ if !self.is_modern() && tasks::created(&result).is_some() => Answer::Task(result, exchange),
            _ => Answer::Result(result, exchange),
        }
    }
}

impl Reply {
    fn to_result(&self) -> Object {
        let action = match self {
            Self::Accept(_) => "accept",
            Self::Decline => "decline",
            Self::Cancel => "cancel",
        };
        let mut result = Object::from_iter([("action".to_owned(), action.into())]);
        if let Self::Accept(content) = self
            && !content.is_empty()
        {
            result.insert("content".to_owned(), Value::Object(content.clone()));
        }
        result
    }
}

#[cfg(test)]
#[path = "mcp_tests.rs"]
mod tests;
