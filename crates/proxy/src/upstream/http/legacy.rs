//! Streamable HTTP of 2025-03-26 to 2025-11-25 (2025-11-25 basic/transports).
//!
//! The session id stays in here: no caller sees it, and the id that the gate gives its client is another.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use sallyport_mcp::{Message, Notification, ProtocolVersion, Request, RequestId, Response};

use super::{Answered, Ending, Leg, SESSION_ID, claim, once, trace_headers, version_header};
use crate::upstream::{
    Delivered, Outgoing, ServerFacts, UpstreamError, UpstreamSession, UpstreamStream, cancelled,
    handshake::{Asked, Asker},
};

const END_PATIENCE: Duration = Duration::from_secs(5);

/// The line before and during the session: the leg, and the session id once the upstream gave one.
#[derive(Debug)]
pub(in crate::upstream) struct Line {
    leg: Leg,
    session: OnceLock<HeaderValue>,
    ended: AtomicBool,
}

impl Line {
    pub(in crate::upstream) fn new(leg: Leg) -> Self {
        Self { leg, session: OnceLock::new(), ended: AtomicBool::new(false) }
    }

    fn headers(&self, version: Option<ProtocolVersion>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(version) = version {
            version_header(&mut headers, version);
        }
        if let Some(session) = self.session.get() {
            headers.insert(SESSION_ID, session.clone());
        }
        headers
    }

    /// 404 to a request that names a session means that the session is over.
    fn ended(&self, status: StatusCode) -> bool {
        let ended = status == StatusCode::NOT_FOUND && self.session.get().is_some();
        if ended {
            self.ended.store(true, Ordering::Release);
        }
        ended
    }

    /// Sends what wants no answer.
    async fn tell(&self, message: &Message, version: ProtocolVersion) -> Result<(), UpstreamError> {
        match self.leg.post(message, self.headers(Some(version))).await? {
            // A lax server answers 200 with or without a body; neither says anything.
            Answered::Accepted | Answered::Messages(_) => Ok(()),
            Answered::Error(status, _) | Answered::Status(_, status) if self.ended(status) => {
                Err(UpstreamError::SessionEnded)
            }
            Answered::Error(status, _) => Err(UpstreamError::Status { status: status.as_u16(), retry_after: None }),
            Answered::Status(error, _) => Err(error),
        }
    }

    fn keep_session(&self, headers: &HeaderMap) -> Result<(), UpstreamError> {
        let Some(id) = headers.get(SESSION_ID) else { return Ok(()) };
        // Visible ASCII only (Session Management 1).
        if id.is_empty() || id.len() > 1024 || !id.as_bytes().iter().all(|b| (0x21..=0x7e).contains(b)) {
            return Err(UpstreamError::Protocol("its session id holds characters other than visible ASCII".to_owned()));
        }
        let mut id = id.clone();
        id.set_sensitive(true);
        // Set once: only `initialize` comes here, and it is answered once.
        let _ = self.session.set(id);
        Ok(())
    }
}

#[async_trait]
impl Asker for Line {
    async fn ask(&self, request: Request, version: ProtocolVersion, _probing: bool) -> Result<Asked, UpstreamError> {
        let id = request.id.clone();
        let initializing = request.method == "initialize";
        let headers =
            if initializing { HeaderMap::new() } else { sallyport_mcp::headers::encode(&request, version, None)? };
        match self.leg.post(&request.into(), headers).await? {
            Answered::Messages(response) => {
                if initializing {
                    self.keep_session(response.headers())?;
                }
                let stream = self.leg.stream(response, Ending::Answer(id), false, version).await;
                // A legacy server may answer a probe with anything at all; that is a refusal too.
                match answer(stream).await {
                    Ok(response) => Ok(Asked::Answer(response)),
                    Err(error @ UpstreamError::Protocol(_)) => Ok(Asked::Refused(error)),
                    Err(error) => Err(error),
                }
            }
            Answered::Accepted => {
                Ok(Asked::Refused(UpstreamError::Protocol("it answered a request with 202".to_owned())))
            }
            Answered::Error(_, response) => Ok(Asked::Answer(claim(*response, &id))),
            Answered::Status(error, status) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                Ok(Asked::Refused(error))
            }
            Answered::Status(error, _) => Err(error),
        }
    }

    async fn initialized(&self, version: ProtocolVersion) -> Result<(), UpstreamError> {
        self.tell(&Notification::new("notifications/initialized", None).into(), version).await
    }
}

async fn answer(stream: Result<UpstreamStream, UpstreamError>) -> Result<Response, UpstreamError> {
    let mut stream = stream?;
    while let Some(delivered) = stream.next().await {
        if let Delivered::Message { message: Message::Response(response), .. } = delivered? {
            return Ok(response);
        }
    }
    Err(UpstreamError::Protocol("it closed the stream without an answer to the handshake".to_owned()))
}

/// A session.
pub(in crate::upstream) struct LegacySession {
    line: Arc<Line>,
    version: ProtocolVersion,
    facts: ServerFacts,
}

impl fmt::Debug for LegacySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacySession").field("leg", &self.line.leg).finish_non_exhaustive()
    }
}

impl LegacySession {
    pub(in crate::upstream) fn new(line: Arc<Line>, version: ProtocolVersion, facts: ServerFacts) -> Self {
        Self { line, version, facts }
    }

    fn check(&self) -> Result<(), UpstreamError> {
        if self.is_alive() { Ok(()) } else { Err(UpstreamError::SessionEnded) }
    }
}

#[async_trait]
impl UpstreamSession for LegacySession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn request(&self, outgoing: Outgoing) -> Result<UpstreamStream, UpstreamError> {
        self.check()?;
        let id = outgoing.request.id.clone();
        let mut headers = self.line.headers(Some(self.version));
        headers.extend(trace_headers(&outgoing.extra_headers));
        match self.line.leg.post(&outgoing.request.into(), headers).await? {
            Answered::Messages(response) => {
                self.line.leg.stream(response, Ending::AnswerOrResume(id), false, self.version).await
            }
            Answered::Accepted => Err(UpstreamError::Protocol("it answered a request with 202".to_owned())),
            Answered::Error(status, _) | Answered::Status(_, status) if self.line.ended(status) => {
                Err(UpstreamError::SessionEnded)
            }
            Answered::Error(_, response) => Ok(once(claim(*response, &id).into())),
            Answered::Status(error, _) => Err(error),
        }
    }

    async fn notify(&self, notification: Notification) -> Result<(), UpstreamError> {
        self.check()?;
        if notification.method == "notifications/initialized" {
            return Ok(());
        }
        self.line.tell(&notification.into(), self.version).await
    }

    async fn respond(&self, response: Response) -> Result<(), UpstreamError> {
        self.check()?;
        self.line.tell(&response.into(), self.version).await
    }

    async fn listen(&self, last_event_id: Option<&str>) -> Result<UpstreamStream, UpstreamError> {
        self.check()?;
        let leg = &self.line.leg;
        let mut headers = self.line.headers(Some(self.version));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = last_event_id {
            let id = HeaderValue::from_bytes(id.as_bytes())
                .map_err(|_| UpstreamError::Protocol("its event id cannot be a header".to_owned()))?;
            headers.insert("last-event-id", id);
        }
        match leg.send(Method::GET, headers, Bytes::new(), leg.timeouts.first).await? {
            Answered::Messages(response) => {
                let ending = if last_event_id.is_some() { Ending::CloseOrAnswer } else { Ending::Close };
                leg.stream(response, ending, true, self.version).await
            }
            Answered::Error(status, _) | Answered::Status(_, status) if self.line.ended(status) => {
                Err(UpstreamError::SessionEnded)
            }
            Answered::Accepted => Err(UpstreamError::NotOffered("a stream of its own messages")),
            Answered::Error(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND, _)
            | Answered::Status(_, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND) => {
                Err(UpstreamError::NotOffered("a stream of its own messages"))
            }
            Answered::Error(status, _) => Err(UpstreamError::Status { status: status.as_u16(), retry_after: None }),
            Answered::Status(error, _) => Err(error),
        }
    }

    async fn cancel(&self, id: &RequestId, reason: Option<&str>) {
        if !self.is_alive() {
            return;
        }
        let cancelled = cancelled(id, reason).into();
        match tokio::time::timeout(END_PATIENCE, self.line.tell(&cancelled, self.version)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a cancellation did not reach the upstream"),
            Err(_) => tracing::debug!("the upstream does not take a cancellation"),
        }
    }

    async fn close(&self) {
        if self.line.ended.swap(true, Ordering::AcqRel) || self.line.session.get().is_none() {
            return;
        }
        let headers = self.line.headers(Some(self.version));
        // 405 is a right answer, and after any other there is nothing more to do.
        if let Err(error) = self.line.leg.send(Method::DELETE, headers, Bytes::new(), END_PATIENCE).await {
            tracing::debug!(%error, "a session was not ended at the upstream");
        }
    }

    fn is_alive(&self) -> bool {
        !self.line.ended.load(Ordering::Acquire)
    }
}
