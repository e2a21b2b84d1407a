//! Streamable HTTP towards an upstream: what both eras share.
//!
//! [`Leg`] writes requests, classifies answers and reads them. It sends no header of the client's.

pub mod legacy;
pub mod modern;
mod reply;

use std::{fmt, time::Duration};

use ::http::{
    HeaderMap, HeaderValue, Method, Request as HttpRequest, Response as HttpResponse, StatusCode, Uri,
    header::{self, HeaderName},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use sallyport_mcp::{Message, Outcome, ProtocolVersion, RequestId, Response, envelope, era::PROTOCOL_VERSION_HEADER};
use sallyport_outbound::http::UpstreamClient;
use tokio::time::Instant;
use url::Url;

use super::{TRACE_HEADERS, Timeouts, UpstreamError, UpstreamSpec, UpstreamStream, shown::Shown};
use reply::Ending;

/// `MCP-Session-Id`.
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// JSON nesting that an upstream's message may have.
const MAX_DEPTH: usize = 128;
/// Messages in a batch of 2025-03-26.
const MAX_BATCH: usize = 64;
/// Largest body of an HTTP error that is looked at.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// One upstream's endpoint.
#[derive(Clone)]
pub(super) struct Leg {
    client: UpstreamClient,
    uri: Uri,
    shown: Shown,
    pub(super) timeouts: Timeouts,
    pub(super) max_message: usize,
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg").field("host", &self.uri.host()).finish_non_exhaustive()
    }
}

/// The head of an answer, sorted.
pub(super) enum Answered {
    /// 2xx with a body that holds messages.
    Messages(HttpResponse<Incoming>),
    /// 202 or 204: taken, nothing to say.
    Accepted,
    /// 4xx or 5xx with a JSON-RPC error in its body.
    Error(StatusCode, Box<Response>),
    /// Any other status.
    Status(UpstreamError, StatusCode),
}

impl Leg {
    pub(super) fn new(
        spec: &UpstreamSpec,
        url: &Url,
        client: UpstreamClient,
        shown: Shown,
    ) -> Result<Self, UpstreamError> {
        let mut url = url.clone();
        url.set_fragment(None);
        let uri = url.as_str().parse();
        let uri = uri.map_err(|_| UpstreamError::Configuration("its URL makes no valid request".to_owned()))?;
        Ok(Self { client, uri, shown, timeouts: spec.timeouts, max_message: spec.max_message_bytes })
    }

    /// Sends one message. `extra` holds what the era demands; the credential is written last.
    pub(super) async fn post(&self, message: &Message, extra: HeaderMap) -> Result<Answered, UpstreamError> {
        let mut headers = extra;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        self.send(Method::POST, headers, Bytes::from(message.to_vec()), self.timeouts.first).await
    }

    /// Sends a request. One that the upstream answers with 401, of which it has executed nothing, is sent once more
    /// if there is another token to show; nothing else is ever sent again.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answered, UpstreamError> {
        let mut first = true;
        loop {
            let mut dressed = headers.clone();
            let token = self.shown.dress(&method, &mut dressed).await?;
            let mut request = HttpRequest::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = self.uri.clone();
            *request.headers_mut() = dressed;
            let late = || UpstreamError::TimedOut { what: "first byte", after: patience, sent: true };
            let response = tokio::time::timeout(patience, self.client.send(request)).await.map_err(|_| late())??;
            let again = first && self.shown.another_try(response.status(), response.headers(), token.as_ref()).await;
            if !again {
                return self.sort(response).await;
            }
            first = false;
        }
    }

    async fn sort(&self, response: HttpResponse<Incoming>) -> Result<Answered, UpstreamError> {
        let status = response.status();
        match status {
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT => return Ok(Answered::Accepted),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(UpstreamError::CredentialRefused { status: status.as_u16() });
            }
            _ if status.is_success() => return Ok(Answered::Messages(response)),
            _ => {}
        }
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let plain = UpstreamError::Status { status: status.as_u16(), retry_after };
        if media_type(response.headers()) != "application/json" {
            return Ok(Answered::Status(plain, status));
        }
        let limit = self.max_message.min(MAX_ERROR_BODY);
        let body = reply::read_body(response.into_body(), limit, &self.clock()).await;
        // What cannot be read is no JSON-RPC error; the status alone still says what it says.
        match body.ok().and_then(|body| envelope::parse_one(&body, MAX_DEPTH).ok()) {
            Some(Message::Response(error @ Response { outcome: Outcome::Error(_), .. })) => {
                Ok(Answered::Error(status, Box::new(error)))
            }
            _ => Ok(Answered::Status(plain, status)),
        }
    }

    /// The stream of an answer to `id`.
    pub(super) async fn stream(
        &self,
        response: HttpResponse<Incoming>,
        ending: Ending,
        quiet: bool,
        version: ProtocolVersion,
    ) -> Result<UpstreamStream, UpstreamError> {
        let mut clock = self.clock();
        if quiet {
            clock.idle = None;
        }
        let batch = if version.has_batches() { MAX_BATCH } else { 0 };
        reply::read(response, ending, envelope::Limits { depth: MAX_DEPTH, batch }, self.max_message, clock).await
    }

    fn clock(&self) -> reply::ReadClock {
        reply::ReadClock {
            idle: Some(self.timeouts.idle),
            deadline: self.timeouts.total.map(|total| Instant::now() + total),
        }
    }
}

/// Headers that the protocol or HTTP itself gives a meaning.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("mcp-")
        || ["host", "content-length", "content-type", "accept", "connection", "transfer-encoding", "last-event-id"]
            .contains(&name)
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The trace context among a request's extra headers; nothing else of them leaves.
fn trace_headers(extra: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in TRACE_HEADERS {
        if let Some(value) = extra.get(name) {
            kept.insert(HeaderName::from_static(name), value.clone());
        }
    }
    kept
}

fn version_header(headers: &mut HeaderMap, version: ProtocolVersion) {
    headers.insert(PROTOCOL_VERSION_HEADER, HeaderValue::from_static(version.as_str()));
}

/// An error response that names no request answers the one that it came for.
fn claim(mut response: Response, id: &RequestId) -> Response {
    response.id.get_or_insert_with(|| id.clone());
    response
}

/// A stream of one message.
fn once(message: Message) -> UpstreamStream {
    Box::pin(futures::stream::once(std::future::ready(Ok(super::Delivered::plain(message)))))
}
