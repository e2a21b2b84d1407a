//! Modern client, modern upstream: one exchange a request; the upstream's state travels inside ours.

use std::sync::Arc;

use futures::StreamExt;
use sallyport_mcp::{
    Message, Object, Outcome, RequestMeta, Response,
    translate::{
        input::{InputRequired, Retry},
        results::ResultType,
    },
};
use sallyport_model::event::OutcomeStatus;

use crate::{
    authorize::Permitted,
    frames::Outlet,
    modern,
    pending::{Pending, bad_result},
    relay::{self, broke, no_answer, outgoing},
    state::{Continues, Owner},
    upstream::UpstreamSession,
};

/// What a client's retry brings, opened.
pub(crate) struct Continued {
    /// The answers.
    pub(crate) responses: Object,
    /// The upstream's own state.
    pub(crate) state: Option<String>,
}

/// Runs the call to its end.
pub(crate) async fn run(
    mut pending: Pending,
    leg: Arc<dyn UpstreamSession>,
    permitted: Permitted,
    meta: RequestMeta,
    continued: Option<Continued>,
    outlet: Outlet,
) {
    let (mut request, tool) = permitted.into_request();
    let method = request.method.clone();
    let original = request.params.clone();
    let id = pending.gate.fresh_id();
    request.id = id.clone();
    let params = request.params.get_or_insert_with(Object::new);
    let _ = Retry::take(params);
    if let Some(Continued { responses, state }) = continued {
        Retry { responses, request_state: state }.put(params);
    }
    let sent = tokio::select! {
        sent = relay::send(&pending, leg, &meta, outgoing(request, tool.as_ref())) => sent,
        () = outlet.gone() => return pending.cancelled("the client went away").await,
        dead = pending.revoked() => return pending.withhold(&outlet, dead).await,
    };
    let (leg, mut stream) = match sent {
        Ok(sent) => sent,
        Err(refusal) => return pending.fail(&outlet, refusal, OutcomeStatus::UpstreamFailed).await,
    };
    loop {
        let delivered = tokio::select! {
            delivered = stream.next() => delivered,
            // A disconnect is a cancellation (basic/transports/streamable-http, Cancellation).
            () = outlet.gone() => {
                drop(stream);
                leg.cancel(&id, Some("the client went away")).await;
                return pending.cancelled("the client went away").await;
            }
            dead = pending.revoked() => {
                drop(stream);
                leg.cancel(&id, None).await;
                return pending.withhold(&outlet, dead).await;
            }
        };
        let message = match delivered {
            None => return broke(pending, &outlet, no_answer()).await,
            Some(Err(error)) => return broke(pending, &outlet, error).await,
            Some(Ok(delivered)) => delivered.message().cloned(),
        };
        match message {
            Some(Message::Response(response)) => {
                return finish(pending, &outlet, response, &method, original.as_ref()).await;
            }
            Some(message @ Message::Notification(_)) => {
                if let Err(refusal) = pending.pass(&outlet, modern::message(message)).await {
                    return pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
                }
            }
            // A modern upstream sends no requests; one that does is not listened to.
            Some(Message::Request(_)) | None => {}
        }
    }
}

async fn finish(pending: Pending, outlet: &Outlet, mut response: Response, method: &str, params: Option<&Object>) {
    if let Outcome::Result(result) = &mut response.outcome
        && ResultType::of(result) == ResultType::InputRequired
    {
        match sealed(&pending, result, method, params) {
            Ok(sealed) => *result = sealed,
            Err(refusal) => return pending.fail(outlet, refusal, OutcomeStatus::UpstreamFailed).await,
        }
    }
    pending.answer(outlet, response, None).await;
}

/// The interim result with the upstream's state, where it gave one, sealed into ours: bound to the
/// principal and the request, and good once.
fn sealed(
    pending: &Pending,
    result: &Object,
    method: &str,
    params: Option<&Object>,
) -> Result<Object, crate::refusal::Refusal> {
    let required = InputRequired::read(result).map_err(bad_result)?;
    let Some(theirs) = required.request_state else { return Ok(result.clone()) };
    let binding = pending.principal.binding();
    let owner = Owner { binding: &binding, upstream: pending.served.name(), method, params };
    let state = pending.gate.states().seal(&owner, Continues::Upstream(theirs));
    let mut result = result.clone();
    result.insert("requestState".to_owned(), state.into());
    Ok(result)
}
