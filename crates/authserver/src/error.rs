//! What can go wrong, by whose fault it is, and how it looks on the wire.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sallyport_identity::IdentityError;
use sallyport_model::RecordError;
use sallyport_oauth::{ErrorCode, KeyFault, OAuthError};
use sallyport_storage::StoreError;

/// Something failed here; nothing was issued. Not a refusal.
#[derive(Debug, thiserror::Error)]
pub enum AuthServerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event could not be recorded, so what it tells of must not happen.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nobody knows who is signed in.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Her identity provider, which must be asked before a refresh, does not answer.
    #[error("the person's identity provider does not answer, so nothing is given")]
    ProviderSilent,
    /// A signing key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// There is no key that signs now.
    #[error("no signing key is in force: check the clock and the key ring")]
    NoSigningKey,
    /// The configuration is wrong; the operator's fault.
    #[error("the authorization server's configuration: {0}")]
    Configuration(String),
}

/// A request of a client that is refused: a value, not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the client is told.
    pub(crate) error: OAuthError,
    /// The precise reason, for the audit log.
    pub(crate) reason: &'static str,
}

impl Refusal {
    pub(crate) const fn new(code: ErrorCode, description: &'static str, reason: &'static str) -> Self {
        Self { error: OAuthError::new(code, description), reason }
    }
    pub(crate) const fn grant(description: &'static str, reason: &'static str) -> Self {
        Self::new(ErrorCode::InvalidGrant, description, reason)
    }
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self { error, reason: error.code.as_str() }
    }
}

/// Why a step of an endpoint ended early.
#[derive(Debug)]
pub(crate) enum Ended {
    Refused(Refusal),
    Failed(AuthServerError),
}

impl<E: Into<AuthServerError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
impl From<OAuthError> for Ended {
    fn from(error: OAuthError) -> Self {
        Self::Refused(error.into())
    }
}

/// The error as JSON (RFC 6749 section 5.2).
pub(crate) fn json(error: OAuthError) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = no_store((status, Json(error)).into_response());
    match error.code {
        ErrorCode::InvalidClient => {
            let challenge = HeaderValue::from_static("Basic realm=\"sallyport\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        ErrorCode::TooManyRequests => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ => {}
    }
    response
}

/// What a client sees of a failure here; logged once, here.
pub(crate) fn failed(error: &AuthServerError) -> Response {
    tracing::error!(%error, "the authorization server could not answer");
    let wire = OAuthError::new(ErrorCode::TemporarilyUnavailable, "the server cannot do this now: try again later");
    let mut response = json(wire);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Tokens and errors are for nobody's cache.
pub(crate) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
