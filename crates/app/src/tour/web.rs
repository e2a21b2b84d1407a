//! HTTP towards the running demo, as any client outside would speak it.
//!
//! Follows no redirect; one origin only, so that no credential of the demo leaves the machine.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use sallyport_outbound::http::{HttpOptions, UpstreamClient};
use serde_json::Value;
use url::Url;

/// Longer than any answer of a demo takes.
const PATIENCE: Duration = Duration::from_secs(15);

/// A client of one origin.
#[derive(Clone)]
pub struct Web {
    client: UpstreamClient,
}

/// A whole answer.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Header names and values to send.
pub type Headers<'a> = [(&'a str, &'a str)];

impl Web {
    /// A client of the origin of `url`.
    pub fn new(url: &Url) -> Result<Self> {
        Ok(Self { client: UpstreamClient::new(url, &HttpOptions::default())? })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, method: Method, url: &str, headers: &Headers<'_>, body: String) -> Result<Reply> {
        let whole = async {
            let (head, body) = self.open(method, url, headers, body).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(PATIENCE, whole).await.with_context(|| format!("no answer from {url} in {PATIENCE:?}"))?
    }

    /// Sends a request; the body streams.
    pub async fn open(
        &self,
        method: Method,
        url: &str,
        headers: &Headers<'_>,
        body: String,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).with_context(|| format!("no request for {url}"))?;
        self.client.send(request).await.with_context(|| url.to_owned())
    }

    /// GET without anything else.
    pub async fn get(&self, url: &str) -> Result<Reply> {
        self.send(Method::GET, url, &[], String::new()).await
    }

    /// POST of a form, with headers besides.
    pub async fn post_form(&self, url: &str, form: &[(&str, &str)], headers: &Headers<'_>) -> Result<Reply> {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send(Method::POST, url, &all, encoded(form)).await
    }

    /// POST of JSON.
    pub async fn post_json(&self, url: &str, body: &Value) -> Result<Reply> {
        self.send(Method::POST, url, &[("content-type", "application/json")], body.to_string()).await
    }
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON, or the last JSON-RPC response of an event stream; null for anything else.
    pub fn json(&self) -> Value {
        if !self.header("content-type").starts_with("text/event-stream") {
            return serde_json::from_slice(&self.body).unwrap_or_default();
        }
        let text = self.text();
        let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
        let mut messages = events.filter_map(|event| serde_json::from_str::<Value>(event.trim()).ok());
        messages.rfind(|message| message.get("id").is_some()).unwrap_or_default()
    }

    /// The status and, where there is one, the OAuth error.
    pub fn outcome(&self) -> String {
        match self.json()["error"].as_str() {
            Some(error) => format!("{} {error}", self.status),
            None => self.status.to_string(),
        }
    }

    /// A parameter of the `WWW-Authenticate` challenge.
    pub fn challenge(&self, parameter: &str) -> Option<String> {
        let header = self.header("www-authenticate");
        let (_, rest) = header.split_once(&format!("{parameter}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    }
}

/// `application/x-www-form-urlencoded`.
pub fn encoded<N: AsRef<str>, V: AsRef<str>>(form: &[(N, V)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// Milliseconds since `start`, for people.
pub fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}
