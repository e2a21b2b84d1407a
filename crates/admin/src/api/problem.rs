//! How the API says no: RFC 9457, with a stable `code`, the `field` that it is about, and what to do (`remedy`).
//! This is the one place where a fault becomes a status.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{Code, Fault};

/// A no.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<String>,
    remedy: Option<String>,
    challenge: Option<&'static str>,
}

/// The challenge of RFC 6750 section 3.
const ASKED: &str = "Bearer realm=\"sallyport-admin\"";
const REFUSED: &str = "Bearer realm=\"sallyport-admin\", error=\"invalid_token\"";

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), field: None, remedy: None, challenge: None }
    }

    fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    fn with(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Without a token of this API.
    pub(crate) fn stranger() -> Self {
        let remedy = "send `Authorization: Bearer …` with a token that `sallyport api-token create` made";
        let problem =
            Self::new(StatusCode::UNAUTHORIZED, "no_token", "there is no token of the admin API").with(remedy);
        Self { challenge: Some(ASKED), ..problem }
    }

    /// With one that is worth nothing: unknown, ended, revoked, or of a suspended tenant.
    pub(crate) fn refused_token() -> Self {
        let what = "the token is not known, has ended or was revoked";
        let problem = Self::new(StatusCode::UNAUTHORIZED, "invalid_token", what)
            .with("make a new one with `sallyport api-token create`");
        Self { challenge: Some(REFUSED), ..problem }
    }

    /// Sent from elsewhere, or by a page of elsewhere.
    pub(crate) fn elsewhere(header: &str, what: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "foreign_origin", format!("{header}: {what}"))
    }

    /// What only the operator may do.
    pub(crate) fn operators() -> Self {
        let what = "this is the operator's to do; the token is a tenant administrator's";
        Self::new(StatusCode::FORBIDDEN, "operator_only", what).with("ask the operator of this deployment")
    }

    /// There is no such path.
    pub(crate) fn nowhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such resource")
            .with("/api/v1/openapi.json names them all")
    }

    /// There is, but not with this verb.
    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the resource does not take this method")
            .with("/api/v1/openapi.json names those it takes")
    }

    /// A panic; the log says where.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request could not be finished")
    }

    /// A parameter of the query that cannot be used.
    pub(crate) fn query(name: &str, what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", format!("the parameter {what}")).at(name)
    }

    /// A body that cannot be read.
    pub(crate) fn body(field: Option<String>, what: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, "invalid_body", what);
        Self { field, ..problem.with("/api/v1/openapi.json says what the body is") }
    }

    /// A body of another type.
    pub(crate) fn media_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "the body is not declared as JSON")
            .with("send `Content-Type: application/json`")
    }

    /// A body that is too large.
    pub(crate) fn too_large(limit: usize) -> Self {
        let what = format!("the body has more than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", what)
    }

    /// A body that takes too long.
    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time")
    }

    /// A change without the state that it is a change of (RFC 6585 section 3).
    pub(crate) fn unconditional() -> Self {
        let what = "a change says which state it is a change of";
        Self::new(StatusCode::PRECONDITION_REQUIRED, "if_match_required", what)
            .with("get the resource, and send its `ETag` as `If-Match`")
    }

    /// A change of another state than the present (RFC 9110 section 13.1.1).
    pub(crate) fn stale() -> Self {
        Fault::stale().into()
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(field) = &self.field {
            value["field"] = json!(field);
        }
        if let Some(remedy) = &self.remedy {
            value["remedy"] = json!(remedy);
        }
        value
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => {
                let status = match refusal.code {
                    Code::NotFound => StatusCode::NOT_FOUND,
                    Code::InvalidValue | Code::OutOfBounds => StatusCode::UNPROCESSABLE_ENTITY,
                    Code::AlreadyExists | Code::Conflict | Code::Configured | Code::TooManyConnections => {
                        StatusCode::CONFLICT
                    }
                    Code::Stale => StatusCode::PRECONDITION_FAILED,
                };
                let mut problem = Self::new(status, refusal.code.as_str(), refusal.what);
                problem.field = (!refusal.field.is_empty()).then(|| refusal.field.to_owned());
                problem.remedy = (!refusal.remedy.is_empty()).then_some(refusal.remedy);
                problem
            }
            Fault::Elsewhere { what, remedy } => {
                let problem = Self::new(StatusCode::BAD_GATEWAY, "elsewhere", what);
                Self { remedy, ..problem }
            }
            Fault::Store(error) => {
                tracing::error!(%error, "the admin API cannot use the store");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the store does not answer; nothing is known")
                    .with("try again; if it stays so, /readyz says what is wrong")
            }
            Fault::Record(error) => {
                tracing::error!(error, "the admin API cannot put a change on record");
                let what = "the change cannot be put on record, so it was not made";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", what).with("/readyz says what is wrong")
            }
            Fault::Identity(error) => {
                tracing::error!(%error, "the admin API met settings that cannot be used");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", error.to_string())
            }
            Fault::Internal(what) => {
                tracing::error!(what, "the admin API failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = format!("{:#}\n", self.json());
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        super::reply::protect(headers);
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
