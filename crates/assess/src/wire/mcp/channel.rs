//! How messages get to the target and back: Streamable HTTP, HTTP+SSE, or the pipes of a process.

use std::time::Duration;

use http::StatusCode;
use sallyport_mcp::{
    Era, Message, Outcome, Request, RequestId, Response,
    envelope::parse_one,
    era::{PROTOCOL_VERSION_HEADER, ProtocolVersion},
    headers,
};
use sallyport_model::Secret;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{ConnectOptions, Credential, McpFault, Pending};
use crate::wire::{Ask, Heard, Stream, Wire, WireError, legacy_sse::LegacySse, stdio::Process};

/// Nested objects and arrays of a message.
const DEPTH: usize = 64;
/// The first version whose requests name it in a header.
const FIRST_WITH_HEADER: &str = "2025-06-18";
/// How often a stream that ends before its answer is taken up again.
const RESUMPTIONS: usize = 3;
/// The longest wait before that.
const MAX_RETRY: Duration = Duration::from_secs(2);

/// Where messages go.
#[derive(Debug)]
pub(super) enum Transport {
    Http(Url),
    Sse(LegacySse),
    Stdio(Process),
}

/// Where the answer to a call comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The stream that answered the call's own POST.
    Own(Box<Stream>),
    /// The stream or pipe that all calls share.
    Shared,
}

/// One side of a conversation.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) wire: Wire,
    pub(super) transport: Transport,
    pub(super) bearer: Option<Secret>,
    pub(super) plain: bool,
    pub(super) era: Era,
    /// As agreed; empty before.
    pub(super) version: String,
    pub(super) session: Option<String>,
}

/// What came of sending a request.
#[expect(clippy::large_enum_variant, reason = "held for a moment, never kept")]
pub(super) enum Sent {
    /// The answer comes from here.
    Waiting { source: Source, exchange: u32 },
    /// It is here already.
    Answered { response: Response, exchange: u32 },
    /// An HTTP status that is no success.
    Refused(Box<Heard>),
}

/// How to wait for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// The record of the call.
    pub(super) exchange: u32,
    /// How long at most.
    pub(super) patience: Duration,
    /// Whether elicitation was declared.
    pub(super) declared: bool,
}

impl Channel {
    /// A conversation that has not begun.
    pub(super) fn new(wire: Wire, transport: Transport, credential: Credential<'_>, options: ConnectOptions) -> Self {
        let bearer = match credential {
            Credential::None => None,
            Credential::Bearer(token) => Some(Secret::new(token)),
        };
        if let Some(bearer) = &bearer {
            wire.keep_secret(bearer);
        }
        let (era, version, plain) = (Era::Legacy, String::new(), options.plain);
        Self { wire, transport, bearer, plain, era, version, session: None }
    }

    /// A POST of a message with everything that this conversation's requests carry.
    fn ask(&self, url: Url, message: &Message) -> Ask {
        self.dress(Ask::post_mcp(url, &message.to_value()))
    }

    /// A GET for the server's own messages.
    pub(super) fn listen_ask(&self, url: Url) -> Ask {
        self.dress(Ask::get(url).header("accept", "text/event-stream"))
    }

    pub(super) fn dress(&self, mut ask: Ask) -> Ask {
        if self.plain {
            ask = ask.plain();
        }
        if let Some(bearer) = &self.bearer {
            ask = ask.bearer(bearer.expose());
        }
        if self.era == Era::Legacy && self.version.as_str() >= FIRST_WITH_HEADER {
            ask = ask.header(PROTOCOL_VERSION_HEADER, self.version.as_str());
        }
        if let Some(session) = &self.session {
            ask = ask.header("mcp-session-id", session.as_str());
        }
        ask
    }

    /// Sends a request. `schema`: of the tool that it calls, for the headers of the modern era.
    pub(super) async fn send(
        &mut self,
        check: &'static str,
        request: &Request,
        schema: Option<&Value>,
    ) -> Result<Sent, McpFault> {
        let message = Message::from(request.clone());
        let url = match &mut self.transport {
            Transport::Http(url) => url.clone(),
            Transport::Sse(sse) => sse.endpoint.clone(),
            Transport::Stdio(process) => {
                let exchange = process.write(&self.wire, check, &message).await?;
                return Ok(Sent::Waiting { source: Source::Shared, exchange });
            }
        };
        let ask = self.ask(url, &message);
        if matches!(self.transport, Transport::Sse(_)) {
            let heard = self.wire.send(check, ask).await?;
            let exchange = heard.exchange;
            return Ok(match heard.status.is_success() {
                true => Sent::Waiting { source: Source::Shared, exchange },
                false => Sent::Refused(Box::new(heard)),
            });
        }
        let ask = if self.era == Era::Modern { mirrored(ask, request, schema)? } else { ask };
        let stream = self.wire.open(check, ask).await?;
        if request.method == "initialize" {
            let session = stream.headers.get("mcp-session-id").and_then(|value| value.to_str().ok());
            self.session = session.map(str::to_owned);
        }
        read_head(stream, &request.id).await
    }

    /// Sends a message that is not answered: a notification, or the answer to a question of the server.
    pub(super) async fn tell(&mut self, check: &'static str, message: &Message) -> Result<(), McpFault> {
        let url = match &mut self.transport {
            Transport::Http(url) => url.clone(),
            Transport::Sse(sse) => sse.endpoint.clone(),
            Transport::Stdio(process) => return process.tell(message).await,
        };
        let heard = self.wire.send(check, self.ask(url, message)).await?;
        if heard.status.is_success() { Ok(()) } else { Err(McpFault::Refused(Box::new(heard))) }
    }

    /// The next message from `source`, until `until`.
    async fn next(&mut self, source: &mut Source, until: Instant) -> Result<Option<Message>, McpFault> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let data = match (&mut *source, &mut self.transport) {
                (Source::Own(stream), _) => match stream.next_event(left).await? {
                    None => return Ok(None),
                    Some(event) if event.has_data() => event.data,
                    Some(_) => None,
                },
                (Source::Shared, Transport::Sse(sse)) => match sse.next(left).await? {
                    None => return Ok(None),
                    Some(data) => Some(data),
                },
                (Source::Shared, Transport::Stdio(process)) => Some(process.read(left).await?),
                (Source::Shared, Transport::Http(_)) => return Ok(None),
            };
            let Some(data) = data else { continue };
            return match parse_one(data.as_bytes(), DEPTH) {
                Ok(message) => Ok(Some(message)),
                // A process may write anything on its output, and some write their log there.
                Err(_) if matches!(self.transport, Transport::Stdio(_)) => continue,
                Err(refusal) => Err(McpFault::NotMcp(refusal.error.to_string())),
            };
        }
    }

    /// Reads up to the answer to `call`, or to a question that `declared` says may be put.
    pub(super) async fn wait(
        &mut self,
        check: &'static str,
        mut source: Source,
        call: &Request,
        Waiting { exchange, patience, declared }: Waiting,
    ) -> Result<Waited, McpFault> {
        let begun = Instant::now();
        let until = (begun + patience).min(self.wire.deadline());
        loop {
            let Some(message) = self.next(&mut source, until).await? else {
                source = self.resume(check, source, until).await?;
                continue;
            };
            match message {
                Message::Response(response) if response.id.as_ref() == Some(&call.id) => {
                    if matches!(source, Source::Shared) {
                        let answer = Message::Response(response.clone()).to_value().to_string();
                        self.wire.amend(exchange, &answer, begun.elapsed());
                    }
                    return Ok(Waited::Answered(response));
                }
                Message::Request(question) if declared && question.method == "elicitation/create" => {
                    let stream = match source {
                        Source::Own(stream) => Some(stream),
                        Source::Shared => None,
                    };
                    let (call, id) = (call.clone(), question.id.clone());
                    return Ok(Waited::Asked(question, Pending { stream, call, question: id, exchange }));
                }
                Message::Request(question) => self.decline(check, question).await?,
                Message::Response(_) | Message::Notification(_) => {}
            }
        }
    }

    /// Answers a ping, and refuses what was not declared.
    async fn decline(&mut self, check: &'static str, question: Request) -> Result<(), McpFault> {
        use sallyport_mcp::{RpcError, errors::METHOD_NOT_FOUND};
        let answer = if question.method == "ping" {
            Response::result(question.id, Default::default())
        } else {
            let why = format!("this client did not declare {}", question.method);
            Response::error(Some(question.id), RpcError::new(METHOD_NOT_FOUND, why))
        };
        self.tell(check, &answer.into()).await
    }

    /// Takes up a stream that the server closed before it answered (2025-11-25 basic/transports,
    /// Resumability): such a server sent an event id.
    async fn resume(&mut self, check: &'static str, source: Source, until: Instant) -> Result<Source, McpFault> {
        let ended = || McpFault::Ended("the server closed the stream before it answered".to_owned());
        let (Source::Own(old), Transport::Http(url)) = (source, &self.transport) else {
            return Err(McpFault::Ended("the server ended the connection before it answered".to_owned()));
        };
        // A stream whose events carried no id is over; so is one that was taken up too often.
        let Some(last) = old.last_event_id().map(str::to_owned).filter(|_| old.resumed < RESUMPTIONS) else {
            return Err(ended());
        };
        let pause = old.retry().min(MAX_RETRY);
        if Instant::now() + pause >= until {
            return Err(ended());
        }
        tokio::time::sleep(pause).await;
        let ask = self.listen_ask(url.clone()).header("last-event-id", last);
        let mut stream = self.wire.open(check, ask).await?;
        if stream.status != StatusCode::OK || !stream.is_events() {
            return Err(ended());
        }
        stream.resumed = old.resumed + 1;
        Ok(Source::Own(Box::new(stream)))
    }
}

/// With the headers that mirror a modern request. A tool whose annotations are no good is called without them.
fn mirrored(mut ask: Ask, request: &Request, schema: Option<&Value>) -> Result<Ask, WireError> {
    let headers = headers::encode(request, ProtocolVersion::LATEST, schema)
        .or_else(|_| headers::encode(request, ProtocolVersion::LATEST, None))
        .map_err(|error| WireError::BadRequest(error.to_string()))?;
    for (name, value) in &headers {
        ask = ask.header(name.clone(), value.clone());
    }
    Ok(ask)
}

/// What waiting came to.
pub(super) enum Waited {
    Answered(Response),
    Asked(Request, Pending),
}

/// Reads the head of the answer to a POST, and its body where that is JSON.
async fn read_head(stream: Stream, id: &RequestId) -> Result<Sent, McpFault> {
    let exchange = stream.exchange;
    let success = stream.status.is_success();
    if success && stream.is_events() {
        return Ok(Sent::Waiting { source: Source::Own(Box::new(stream)), exchange });
    }
    let heard = stream.rest().await;
    let parsed = parse_one(&heard.body, DEPTH);
    match parsed {
        Ok(Message::Response(response)) if response.id.as_ref() == Some(id) && (success || says_why(heard.status)) => {
            Ok(Sent::Answered { response, exchange })
        }
        _ if !success => Ok(Sent::Refused(Box::new(heard))),
        _ if heard.truncated => Err(McpFault::NotMcp("the answer is too large or does not end".to_owned())),
        Ok(Message::Response(response)) if is_anonymous_error(&response) => Ok(Sent::Answered { response, exchange }),
        Ok(_) => Err(McpFault::NotMcp("the answer is for another request".to_owned())),
        Err(refusal) => Err(McpFault::NotMcp(refusal.error.to_string())),
    }
}

/// Statuses under which JSON-RPC errors travel (2026-07-28 basic/transports/streamable-http, Sending Messages).
/// 401, 403, 429 and those of the server itself are refusals whatever the body says.
fn says_why(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 429)
}

fn is_anonymous_error(response: &Response) -> bool {
    response.id.is_none() && matches!(response.outcome, Outcome::Error(_))
}
