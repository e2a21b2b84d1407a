//! What is asked, and what was heard.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sallyport_mcp::sse::Decoder;
use serde_json::Value;
use url::Url;

use crate::wire::{exchange::Noted, http::WireError};

/// What the assessor calls itself where nobody asks it to look ordinary.
const USER_AGENT: &str = concat!("sallyport-assess/", env!("CARGO_PKG_VERSION"));

/// What an ordinary client calls itself.
pub(super) const PLAIN_AGENT: &str = "node";

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Exactly what is sent, but for `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    wrong: Option<String>,
}

impl Ask {
    /// A request without body. `User-Agent`, `Accept` and `Accept-Encoding: identity` are set; each can be
    /// replaced.
    pub fn new(method: Method, url: Url) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self { method, url, headers, body: Bytes::new(), wrong: None }
    }

    /// A GET.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST of JSON that wants JSON.
    pub fn post_json(url: Url, body: &Value) -> Self {
        let mut ask = Self::new(Method::POST, url).header("content-type", "application/json");
        ask.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        ask.body(body.to_string())
    }

    /// A POST of one JSON-RPC message to an MCP endpoint.
    pub fn post_mcp(url: Url, message: &Value) -> Self {
        Self::post_json(url, message).header("accept", "application/json, text/event-stream")
    }

    /// A POST of a form that wants JSON.
    pub fn post_form(url: Url, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::new(Method::POST, url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body)
    }

    /// With `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With HTTP Basic as OAuth writes it (RFC 6749 section 2.3.1: both halves form-encoded first).
    #[must_use]
    pub fn basic(self, id: &str, secret: &str) -> Self {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(id), encode(secret));
        self.header("authorization", format!("Basic {}", STANDARD.encode(pair)))
    }

    /// With a header line, in place of those of the same name. What cannot be sent makes the request fail.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N>,
        HeaderValue: TryFrom<V>,
    {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            (Ok(name), Err(_)) => self.wrong = Some(format!("the value of `{name}` is none that a header can carry")),
            (Err(_), _) => self.wrong = Some("the name of a header is none".to_owned()),
        }
        self
    }

    /// With the user agent of an ordinary client, and no sign of the assessor: for what a server might do for the
    /// assessor's eyes alone.
    #[must_use]
    pub fn plain(self) -> Self {
        self.header("user-agent", PLAIN_AGENT)
    }

    /// Without a header line.
    #[must_use]
    pub fn without(mut self, name: &HeaderName) -> Self {
        self.headers.remove(name);
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn noted(&self, check: &'static str) -> Result<Noted, WireError> {
        if let Some(wrong) = &self.wrong {
            return Err(WireError::BadRequest(wrong.clone()));
        }
        Ok(Noted {
            check,
            request: format!("{} {}", self.method, self.url),
            request_headers: header_lines(&self.headers),
            request_body: String::from_utf8_lossy(&self.body).into_owned(),
            ..Noted::default()
        })
    }
}

/// Header lines as text; what is no text is shown as far as it goes.
pub(super) fn header_lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(line).collect()
}

/// An answer, or what came of it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// At most 1 MiB.
    pub body: Bytes,
    /// Whether there was more, or the body did not end in time.
    pub truncated: bool,
    /// The record of it.
    pub exchange: u32,
    /// From the request to the end of the body.
    pub elapsed: Duration,
    /// `1.2` or `1.3`; `None` without TLS.
    pub tls: Option<&'static str>,
}

impl Heard {
    /// The body as JSON; `None` where it is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as text, as far as it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header line as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The JSON-RPC answer in the body, whether it is JSON or a stream of events.
    pub fn rpc(&self) -> Option<Value> {
        let is_answer = |message: &Value| message.get("result").or(message.get("error")).is_some();
        if let Some(message) = self.json() {
            return Some(message).filter(is_answer);
        }
        let mut decoder = Decoder::new(super::http::MAX_BODY);
        let _ = decoder.push(&self.body);
        std::iter::from_fn(|| decoder.next_event())
            .filter_map(|event| serde_json::from_str(event.data.as_deref()?).ok())
            .find(is_answer)
    }
}
