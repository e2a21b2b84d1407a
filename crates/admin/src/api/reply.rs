//! What the API answers when it did what was asked.

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;

use crate::tenancy::sha256;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    body: Option<Value>,
    etag: Option<Etag>,
}

impl Reply {
    /// Here it is.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), etag: None }
    }

    /// It was made.
    pub(crate) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    /// It is gone, and there is nothing to say about it.
    pub(crate) fn gone() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, etag: None }
    }

    /// In this state.
    #[must_use]
    pub(crate) fn in_state(mut self, etag: Etag) -> Self {
        self.etag = Some(etag);
        self
    }
}

/// The state of a resource (RFC 9110 section 8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Etag(String);

impl Etag {
    /// Of a text that is different in every state. No secret may be in it: what is short could be guessed.
    pub(crate) fn of(state: &str) -> Self {
        Self(format!("\"{}\"", URL_SAFE_NO_PAD.encode(&sha256(state)[..16])))
    }

    /// Whether an `If-Match` names it (RFC 9110 section 13.1.1: strong comparison).
    pub(crate) fn is_in(&self, if_match: &str) -> bool {
        if_match.split(',').map(str::trim).any(|one| one == "*" || one == self.0)
    }
}

/// No answer is kept or guessed at.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => (self.status, format!("{body:#}\n")).into_response(),
            None => self.status.into_response(),
        };
        let headers = response.headers_mut();
        if self.status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        protect(headers);
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag.0).ok()) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}
