//! `POST /signals/{stream}/revoke`: Global Token Revocation (draft-parecki-oauth-global-token-revocation), as
//! Okta's Universal Logout sends it.
//!
//! The caller proves itself with a JWT of the provider for this very URL, or with the endpoint's bearer token. It
//! ends everything of one person of the endpoint's tenant, and of its connection if it has one.

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use sallyport_model::{EventKind, SignalStreamId, Timestamp, event::Source};
use sallyport_oauth::{
    oidc::{Algorithm, IssuerRule},
    signals::{
        SignalFault, Subject,
        revocation::{self, Answer, ExpectCaller},
    },
};
use sallyport_storage::{Digest, SignalDelivery, SignalStream};
use sallyport_web::Caller;
use serde_json::json;

use super::{
    Later, TRANSPORT, bearer_token, brings,
    effect::token_id,
    plain,
    settings::StreamSettings,
    unknown, whole,
    whom::{Whom, format},
};
use crate::{Identity, IdentityError, audit::told};

/// Under which ids of callers' tokens are remembered.
const CALLER: &str = "token revocation caller";

/// Who called.
struct Proved {
    /// `bearer`, or the JWT's issuer.
    by: String,
    /// The JWT's id, to be accepted once, and until when to remember it.
    once: Option<(Digest, Timestamp)>,
}

/// Takes one request. 204 says that the person's access has ended, durably and on record.
pub(super) async fn receive(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let stream = match identity.stream_at(&id, SignalDelivery::TokenRevocation).await {
        Ok(Some(stream)) => stream,
        Ok(None) => {
            identity.count_refused(&caller.source(), None, "stream_unknown");
            return unknown();
        }
        Err(error) => return failed(&error, &id),
    };
    let proved = match identity.caller_proved(&stream, &caller).await {
        Ok(Ok(proved)) => proved,
        Ok(Err(said)) => return answer(said),
        Err(later) => return later.answer(&stream.id),
    };
    let body = match whole(request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let subject = match revocation::read(&body) {
        Ok(subject) => subject,
        Err(fault) => return bad_request(&fault),
    };
    match identity.revoke_subject(&stream, &subject, &proved, &caller.source()).await {
        Ok(said) => answer(said),
        Err(error) => Later::from(error).answer(&stream.id),
    }
}

impl Identity {
    async fn caller_proved(&self, stream: &SignalStream, caller: &Caller) -> Result<Result<Proved, Answer>, Later> {
        if brings(&caller.headers, stream.token.as_ref()) {
            return Ok(Ok(Proved { by: "bearer".to_owned(), once: None }));
        }
        let settings = StreamSettings::of(stream)?;
        let (Some(signer), Some(token)) = (&settings.signer, bearer_token(&caller.headers)) else {
            self.count_refused(&caller.source(), None, "stream_token");
            return Ok(Err(Answer::Unauthorized));
        };
        let rule = IssuerRule::exact(&signer.issuer, TRANSPORT)
            .map_err(|fault| IdentityError::Settings(stream.id.to_string(), fault.to_string()))?;
        let endpoint = self.revocation_url(&stream.id);
        let expect = ExpectCaller {
            issuer: &rule,
            endpoint: &endpoint,
            subject: settings.client_id.as_deref(),
            algorithms: &Algorithm::ALL,
            moment: self.moment(),
        };
        let verify = |keys: &_| revocation::verify_caller(token, keys, &expect);
        let known = match self.with_signal_keys(stream, signer, verify).await? {
            Ok(known) => known,
            Err(fault) => {
                self.count_refused(&caller.source(), None, fault.code());
                self.note_fault(stream, &format!("{}: {}", fault.code(), told(&fault.to_string()))).await?;
                return Ok(Err(Answer::Unauthorized));
            }
        };
        let id = token_id(stream, &known.jti);
        if self.was_seen(CALLER, &id).await? {
            self.count_refused(&caller.source(), None, "caller_replayed");
            return Ok(Err(Answer::Unauthorized));
        }
        Ok(Ok(Proved { by: known.issuer, once: Some((id, known.remember_until)) }))
    }

    /// What a caller's JWT must be for.
    fn revocation_url(&self, stream: &SignalStreamId) -> String {
        super::setup::revocation_url(self.shell().origin(), stream)
    }

    async fn revoke_subject(
        &self,
        stream: &SignalStream,
        subject: &Subject,
        proved: &Proved,
        source: &Source,
    ) -> Result<Answer, IdentityError> {
        let settings = StreamSettings::of(stream)?;
        let (people, why) = match self.whom(stream, &settings, subject, false).await? {
            Whom::People(people, _) => (people, None),
            Whom::Session(_) => (Vec::new(), Some("names_no_person")),
            Whom::Nobody(why) => (Vec::new(), Some(why)),
        };
        let facts = |effect: &str| {
            let mut facts = vec![
                ("action", json!("signals.revoke")),
                ("stream", json!(stream.id)),
                ("caller", json!(told(&proved.by))),
                ("subject_format", json!(format(subject))),
                ("effect", json!(effect)),
            ];
            facts.extend(why.map(|why| ("why", json!(why))));
            facts
        };
        for person in &people {
            self.revoke_person(person).await?;
            let facts = facts("everything_ended");
            self.record_of_stream(EventKind::Revoked, stream, Some(person), facts, Some(source)).await?;
        }
        if people.is_empty() {
            self.record_of_stream(EventKind::Administered, stream, None, facts("none"), Some(source)).await?;
        }
        if let Some((id, until)) = &proved.once {
            self.mark_seen(CALLER, id, *until).await?;
        }
        self.store().note_stream(&stream.id, Some(self.now()), Some(self.now()), None).await?;
        Ok(if people.is_empty() { Answer::NotFound } else { Answer::Revoked })
    }
}

fn failed(error: &IdentityError, id: &str) -> Response {
    tracing::error!(%error, stream = id, "an endpoint for token revocation could not be read");
    plain(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "Nobody's access was ended. Send it again.")
}

fn bad_request(fault: &SignalFault) -> Response {
    plain(StatusCode::BAD_REQUEST, fault.code(), &fault.to_string())
}

fn answer(said: Answer) -> Response {
    let status = StatusCode::from_u16(said.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status.into_response();
    if said == Answer::Unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
