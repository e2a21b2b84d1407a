//! `POST /signals/{stream}/events`: security event tokens that a transmitter pushes (RFC 8935).

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use sallyport_model::event::Source;
use sallyport_oauth::signals::{
    SignalFault,
    delivery::{ErrorCode, MEDIA_TYPE, PushAnswer, error_code},
};
use sallyport_storage::{SignalDelivery, SignalStream};
use sallyport_web::Caller;

use super::{Later, brings, effect::Taken, json_answer, plain, settings::StreamSettings, unknown, whole};
use crate::{Identity, IdentityError, audit::told};

/// Takes one token. 202 says that its effect is durable and on record.
pub(super) async fn receive(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let stream = match identity.stream_at(&id, SignalDelivery::Push).await {
        Ok(Some(stream)) => stream,
        Ok(None) => {
            identity.count_refused(&caller.source(), None, "stream_unknown");
            return unknown();
        }
        Err(error) => {
            tracing::error!(%error, "a stream of security events could not be read");
            return plain(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Send it again.");
        }
    };
    if !brings(&caller.headers, stream.token.as_ref()) {
        identity.count_refused(&caller.source(), None, "stream_token");
        return answer(&PushAnswer::refused(ErrorCode::AuthenticationFailed));
    }
    if !is_token(&caller.headers) {
        return answer(&PushAnswer::refused(ErrorCode::InvalidRequest));
    }
    let body = match whole(request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // A token is ASCII; what is not cannot verify.
    let token = String::from_utf8_lossy(&body);
    match identity.pushed(&stream, token.trim(), &caller.source()).await {
        Ok(said) => answer(&said),
        Err(later) => later.answer(&stream.id),
    }
}

impl Identity {
    async fn pushed(&self, stream: &SignalStream, token: &str, source: &Source) -> Result<PushAnswer, Later> {
        let settings = StreamSettings::of(stream)?;
        let (Some(signer), Some(_)) = (&settings.signer, &settings.stream_id) else {
            return Err(Later::NotReady);
        };
        let set = match self.verify_set(stream, &settings, signer, token).await? {
            Ok(set) => set,
            Err(fault) => return Ok(self.refused_set(stream, &fault, source).await?),
        };
        Ok(match self.take_set(stream, &settings, &set, Some(source)).await? {
            Taken::Done | Taken::Again => PushAnswer::accepted(),
            Taken::Refused(code) => {
                self.count_refused(source, None, "signal_refused");
                self.note_fault(stream, &format!("an event was refused: {}", code.as_str())).await?;
                PushAnswer::refused(code)
            }
        })
    }

    /// Counts a token that was not one of the stream's, and notes why for whoever looks at the stream.
    async fn refused_set(
        &self,
        stream: &SignalStream,
        fault: &SignalFault,
        source: &Source,
    ) -> Result<PushAnswer, IdentityError> {
        self.count_refused(source, None, fault.code());
        self.note_fault(stream, &format!("{}: {}", fault.code(), told(&fault.to_string()))).await?;
        Ok(PushAnswer::refused(error_code(fault)))
    }
}

/// RFC 8935 section 2.1.
fn is_token(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

fn answer(said: &PushAnswer) -> Response {
    let status = StatusCode::from_u16(said.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match &said.body {
        Some(body) => json_answer(status, body.clone()),
        None => status.into_response(),
    }
}
