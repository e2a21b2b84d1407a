//! Streamable HTTP of 2026-07-28 (basic/transports/streamable-http): no session, every request by itself.
//!
//! Dropping a request's stream closes its connection's stream, which is the cancellation.

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use ::http::{HeaderValue, StatusCode};
use async_trait::async_trait;
use sallyport_mcp::{
    Notification, Outcome, ProtocolVersion, RequestId, RequestMeta, Response, errors::UNSUPPORTED_PROTOCOL_VERSION,
    headers,
};

use super::{Answered, Ending, Leg, claim, once, trace_headers, version_header};
use crate::upstream::{
    Outgoing, ServerFacts, UpstreamError, UpstreamSession, UpstreamStream, handshake::complete_meta,
};

/// A modern upstream, as one client sees it.
pub(in crate::upstream) struct ModernSession {
    leg: Leg,
    version: ProtocolVersion,
    facts: ServerFacts,
    meta: RequestMeta,
    /// What was believed of the upstream has turned out wrong.
    stale: Arc<AtomicBool>,
}

impl fmt::Debug for ModernSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModernSession").field("leg", &self.leg).finish_non_exhaustive()
    }
}

impl ModernSession {
    /// `stale` is set when an answer shows that the upstream does not speak `version` (any more).
    pub(in crate::upstream) fn new(
        leg: Leg,
        version: ProtocolVersion,
        facts: ServerFacts,
        meta: RequestMeta,
        stale: Arc<AtomicBool>,
    ) -> Self {
        Self { leg, version, facts, meta, stale }
    }

    fn note(&self, status: StatusCode, error: Option<&Response>) {
        let unsupported = error.is_some_and(
            |response| matches!(&response.outcome, Outcome::Error(error) if error.code == UNSUPPORTED_PROTOCOL_VERSION),
        );
        let gone = error.is_none()
            && matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if unsupported || gone {
            self.stale.store(true, Ordering::Release);
        }
    }
}

#[async_trait]
impl UpstreamSession for ModernSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn request(&self, outgoing: Outgoing) -> Result<UpstreamStream, UpstreamError> {
        let Outgoing { mut request, tool_input_schema, extra_headers } = outgoing;
        complete_meta(&mut request, &self.meta, self.version);
        let mut headers = headers::encode(&request, self.version, tool_input_schema.as_deref())?;
        headers.extend(trace_headers(&extra_headers));
        let id = request.id.clone();
        let quiet = request.method == "subscriptions/listen";
        match self.leg.post(&request.into(), headers).await? {
            Answered::Messages(response) => {
                self.leg.stream(response, Ending::ModernAnswer(id), quiet, self.version).await
            }
            Answered::Accepted => Err(UpstreamError::Protocol("it answered a request with 202".to_owned())),
            Answered::Error(status, response) => {
                self.note(status, Some(&response));
                Ok(once(claim(*response, &id).into()))
            }
            Answered::Status(error, status) => {
                self.note(status, None);
                Err(error)
            }
        }
    }

    async fn notify(&self, notification: Notification) -> Result<(), UpstreamError> {
        // Neither exists in this era: closing a stream cancels, and there is no handshake.
        if matches!(notification.method.as_str(), "notifications/initialized" | "notifications/cancelled") {
            return Ok(());
        }
        let mut headers = ::http::HeaderMap::new();
        version_header(&mut headers, self.version);
        if let Ok(method) = HeaderValue::from_str(&notification.method) {
            headers.insert(headers::METHOD, method);
        }
        match self.leg.post(&notification.into(), headers).await? {
            Answered::Accepted | Answered::Messages(_) => Ok(()),
            Answered::Error(status, _) => Err(UpstreamError::Status { status: status.as_u16(), retry_after: None }),
            Answered::Status(error, _) => Err(error),
        }
    }

    async fn respond(&self, _response: Response) -> Result<(), UpstreamError> {
        Err(UpstreamError::NotOffered("requests of its own, so nothing waits for an answer"))
    }

    async fn listen(&self, _last_event_id: Option<&str>) -> Result<UpstreamStream, UpstreamError> {
        Err(UpstreamError::NotOffered("a stream by GET; send subscriptions/listen"))
    }

    async fn cancel(&self, _id: &RequestId, _reason: Option<&str>) {}

    async fn close(&self) {}

    fn is_alive(&self) -> bool {
        !self.stale.load(Ordering::Acquire)
    }
}
