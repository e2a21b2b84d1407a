//! The receiver of security events (OpenID Shared Signals Framework 1.0, CAEP, RISC), and Global Token
//! Revocation: what a tenant's identity provider says when access should end.
//!
//! | module | what for |
//! |---|---|
//! | [`settings`] | what is kept about a stream |
//! | `push`, `poll` | how events arrive (RFC 8935, RFC 8936) |
//! | `revocation` | `POST /signals/{stream}/revoke`, for Okta's Universal Logout |
//! | `keys`, `whom`, `effect` | who signed, whom it is about, what it does |
//! | [`setup`] | making a stream at a transmitter, and removing it |
//!
//! An event is answered as taken only after its effect has committed and is on record. It never gives access,
//! and never touches anybody outside the stream's tenant.

mod effect;
mod keys;
mod poll;
mod push;
mod revocation;
pub mod settings;
pub mod setup;
mod whom;

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sallyport_model::SignalStreamId;
use sallyport_oauth::{
    oidc::{Algorithm, IssuerRule, Moment, Transport},
    signals::{Effect, Event, ExpectSet, SecurityEvent, SignalFault, set},
};
use sallyport_storage::{Digest, SignalDelivery, SignalStream};
use serde_json::json;

use self::{
    keys::NoKeys,
    settings::{Signer, StreamSettings},
};
use crate::{Identity, IdentityError, session::sha256};

pub(crate) use keys::KeyMemory;

/// No token of a transmitter's is larger.
const BODY_LIMIT: usize = 64 * 1024;
/// Older events are refused: beyond it their ids are not remembered.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(60);
/// Plain HTTP goes no further than loopback here; the client to providers has the last word.
const TRANSPORT: Transport = Transport::HttpsOrLoopback;

/// The endpoints that transmitters post to.
pub(crate) fn router() -> Router<Identity> {
    Router::new()
        .route("/signals/{stream}/events", post(push::receive))
        .route("/signals/{stream}/revoke", post(revocation::receive))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// Why something of a transmitter's was neither taken nor refused: it must come again.
#[derive(Debug, thiserror::Error)]
enum Later {
    #[error(transparent)]
    Keys(#[from] NoKeys),
    #[error(transparent)]
    Ours(#[from] IdentityError),
    #[error("the stream is being set up")]
    NotReady,
}

impl Later {
    /// 503 with when to come again; 500 where coming again will not help before somebody has looked.
    fn answer(&self, stream: &SignalStreamId) -> Response {
        tracing::warn!(error = %self, %stream, "a security event could not be taken; the transmitter must send it again");
        let (status, code, seconds) = match self {
            Self::Keys(_) => (StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", "30"),
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "stream_not_ready", "5"),
            Self::Ours(IdentityError::Record(_)) => (StatusCode::SERVICE_UNAVAILABLE, "audit_unavailable", "5"),
            Self::Ours(IdentityError::Store(_)) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "5"),
            Self::Ours(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "300"),
        };
        let message = "The event was not taken. Send it again.";
        let mut response = plain(status, code, message);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        response
    }
}

/// `{"error": {"code", "message"}}`, never kept by anybody.
fn plain(status: StatusCode, code: &str, message: &str) -> Response {
    json_answer(status, json!({ "error": { "code": code, "message": message } }).to_string())
}

fn json_answer(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, [(header::CONTENT_LANGUAGE, "en")], body).into_response()
}

/// There is no such endpoint.
fn unknown() -> Response {
    plain(StatusCode::NOT_FOUND, "stream_unknown", "There is no such stream here. It may have been removed.")
}

/// The token of `Authorization: Bearer`.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a request brings the token whose digest is `kept`. Without a kept one nobody does.
fn brings(headers: &HeaderMap, kept: Option<&Digest>) -> bool {
    let (Some(token), Some(kept)) = (bearer_token(headers), kept) else { return false };
    aws_lc_rs::constant_time::verify_slices_are_equal(&sha256(token), kept).is_ok()
}

/// A body, if it is no larger than it may be.
async fn whole(body: Body) -> Result<axum::body::Bytes, Response> {
    let too_large = |_| {
        let message = "The body is larger than 64 KiB, or broke off.";
        plain(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
    };
    axum::body::to_bytes(body, BODY_LIMIT).await.map_err(too_large)
}

impl Identity {
    /// A stream of this delivery by the id in a URL.
    async fn stream_at(&self, id: &str, delivery: SignalDelivery) -> Result<Option<SignalStream>, IdentityError> {
        let Ok(id) = SignalStreamId::new(id) else { return Ok(None) };
        let stream = self.store().stream(&id).await?;
        Ok(stream.filter(|stream| stream.delivery == delivery))
    }

    fn moment(&self) -> Moment {
        Moment { now: self.now(), leeway: LEEWAY }
    }

    /// Verifies a security event token of a stream.
    async fn verify_set(
        &self,
        stream: &SignalStream,
        settings: &StreamSettings,
        signer: &Signer,
        token: &str,
    ) -> Result<Result<SecurityEvent, SignalFault>, NoKeys> {
        let rule = match IssuerRule::exact(&signer.issuer, TRANSPORT) {
            Ok(rule) => rule,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let expect = ExpectSet {
            issuer: &rule,
            audiences: &settings.audience,
            algorithms: &Algorithm::ALL,
            max_age: MAX_AGE,
            moment: self.moment(),
        };
        let verify = |keys: &_| {
            let set = set::verify(token, keys, &expect)?;
            // An end for nobody knows whom is not taken, so that somebody looks.
            let ends = |event: &Event| !matches!(event.effect(), Effect::Nothing(_) | Effect::Stream);
            match &set.subject {
                Err(fault) if set.events.iter().any(ends) => Err(fault.clone()),
                _ => Ok(set),
            }
        };
        self.with_signal_keys(stream, signer, verify).await
    }

    /// Notes why something of a transmitter's was not taken: once, however often it comes.
    async fn note_fault(&self, stream: &SignalStream, fault: &str) -> Result<(), IdentityError> {
        if stream.last_fault.as_deref() == Some(fault) {
            return Ok(());
        }
        Ok(self.store().note_stream(&stream.id, None, None, Some(fault)).await?)
    }
}
