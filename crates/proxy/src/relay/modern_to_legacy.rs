//! Modern client, legacy upstream: the upstream's requests become interim results, and the call waits,
//! parked at this gate, until the client comes back with the answers.

use std::sync::Arc;

use futures::StreamExt;
use sallyport_mcp::{
    ClientCapabilities, Era, LogLevel, Message, Notification, Object, Outcome, Request, RequestId, RequestMeta,
    Response,
    translate::{
        input::{InputRequest, InputRequired, Retry, from_url_elicitation_error},
        notifications::{Delivery, delivery, log_admitted},
        results,
    },
};
use sallyport_model::event::OutcomeStatus;

use crate::{
    authorize::Permitted,
    frames::Outlet,
    listen::unaskable,
    modern,
    parked::{Parked, Question},
    pending::Pending,
    refusal::Refusal,
    relay::{self, broke, no_answer, outgoing},
    state::{Continues, Owner},
    upstream::{Delivered, UpstreamSession, UpstreamStream},
};

/// How long a client may keep a legacy upstream's lists before asking again.
const TTL_MS: u64 = 0;

/// A call as it goes on from one exchange with the client to the next.
pub(crate) struct Course {
    pub(crate) leg: Arc<dyn UpstreamSession>,
    pub(crate) stream: UpstreamStream,
    /// Under which the upstream knows the call.
    pub(crate) id: RequestId,
    pub(crate) method: String,
    /// As the client sent them, for binding its retry.
    pub(crate) params: Option<Object>,
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) log_level: Option<LogLevel>,
    /// The last event seen, to resume after.
    pub(crate) last_event: Option<(String, Option<u64>)>,
}

/// Starts the call.
pub(crate) async fn run(
    pending: Pending,
    leg: Arc<dyn UpstreamSession>,
    permitted: Permitted,
    meta: RequestMeta,
    outlet: Outlet,
) {
    let (original, tool) = permitted.into_request();
    let id = pending.gate.fresh_id();
    let request = legacy(&original, id.clone());
    let sent = tokio::select! {
        sent = relay::send(&pending, Arc::clone(&leg), &meta, outgoing(request, tool.as_ref())) => sent,
        () = outlet.gone() => {
            leg.cancel(&id, Some("the client went away")).await;
            return pending.cancelled("the client went away").await;
        }
        dead = pending.revoked() => {
            leg.cancel(&id, None).await;
            return pending.withhold(&outlet, dead).await;
        }
    };
    match sent {
        Ok((leg, stream)) => {
            let course = Course {
                leg,
                stream,
                id,
                method: original.method,
                params: original.params,
                capabilities: meta.client_capabilities,
                log_level: meta.log_level,
                last_event: None,
            };
            proceed(pending, course, outlet).await;
        }
        Err(refusal) => pending.fail(&outlet, refusal, OutcomeStatus::UpstreamFailed).await,
    }
}

/// The client's request as a legacy upstream wants it.
fn legacy(original: &Request, id: RequestId) -> Request {
    let mut request = Request { id, ..original.clone() };
    if let Some(params) = &mut request.params {
        RequestMeta::strip(params);
        let _ = Retry::take(params);
        if params.is_empty() {
            request.params = None;
        }
    }
    request
}

/// Goes on with a call that was parked: the client's answers go to the upstream first.
pub(crate) async fn resume(parked: Parked, retry: Retry, outlet: Outlet) {
    let Parked { pending, course, question } = parked;
    let answer = retry.response(&question.key, question.id.clone());
    let Some(answer) = answer else {
        // Asked again rather than failed (basic/patterns/mrtr, Error Handling).
        return park(pending, course, question, &outlet).await;
    };
    match course.leg.respond(answer).await {
        Ok(()) => proceed(pending, course, outlet).await,
        Err(error) => broke(pending, &outlet, error).await,
    }
}

/// Ends a call that was parked and cannot go on.
pub(crate) async fn abandon(parked: Parked, refusal: Refusal, outlet: Outlet) {
    let Parked { pending, course, .. } = parked;
    course.leg.cancel(&course.id, None).await;
    pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
}

/// Follows the upstream until it answers, asks, or breaks off.
async fn proceed(mut pending: Pending, mut course: Course, outlet: Outlet) {
    loop {
        let delivered = tokio::select! {
            delivered = course.stream.next() => delivered,
            () = outlet.gone() => {
                course.leg.cancel(&course.id, Some("the client went away")).await;
                return pending.cancelled("the client went away").await;
            }
            dead = pending.revoked() => {
                course.leg.cancel(&course.id, None).await;
                return pending.withhold(&outlet, dead).await;
            }
        };
        match delivered {
            None => match resumed(&mut course).await {
                Ok(()) => {}
                Err(error) => return broke(pending, &outlet, error).await,
            },
            Some(Err(error)) => return broke(pending, &outlet, error).await,
            Some(Ok(Delivered::Priming { sse_id, retry_ms })) => course.saw(sse_id, retry_ms),
            Some(Ok(Delivered::Message { message, sse_id, retry_ms })) => {
                course.saw(sse_id, retry_ms);
                match message {
                    // On a resumed stream another call's answer would be nobody's.
                    Message::Response(response) if response.id.as_ref() != Some(&course.id) => {}
                    Message::Response(response) => return finish(pending, course, response, &outlet).await,
                    Message::Notification(notification) => {
                        if belongs(&course, &notification)
                            && let Err(refusal) = pending.pass(&outlet, modern::message(notification.into())).await
                        {
                            course.leg.cancel(&course.id, None).await;
                            return pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
                        }
                    }
                    Message::Request(request) if request.method == "ping" => {
                        let _ = course.leg.respond(unaskable(&request)).await;
                    }
                    Message::Request(request) => match question(&course, &request) {
                        Ok(question) => return park(pending, course, question, &outlet).await,
                        Err(response) => {
                            let _ = course.leg.respond(response).await;
                        }
                    },
                }
            }
        }
    }
}

impl Course {
    fn saw(&mut self, id: Option<String>, retry: Option<u64>) {
        if let Some(id) = id {
            self.last_event = Some((id, retry));
        }
    }
}

/// Takes up a stream that the upstream closed in the middle (2025-11-25 basic/transports).
async fn resumed(course: &mut Course) -> Result<(), crate::upstream::UpstreamError> {
    let Some((last, retry)) = course.last_event.take() else { return Err(no_answer()) };
    tokio::time::sleep(std::time::Duration::from_millis(retry.unwrap_or(1000).min(30_000))).await;
    course.stream = course.leg.listen(Some(&last)).await?;
    Ok(())
}

/// What the upstream asks, if this client can be asked; else what the upstream is told.
#[expect(clippy::result_large_err, reason = "once a question, and it is sent at once")]
fn question(course: &Course, request: &Request) -> Result<Question, Response> {
    let refuse = |error: sallyport_mcp::RpcError| error.response(Some(request.id.clone()));
    let input = InputRequest::from_request(request).map_err(|error| refuse(error.rpc()))?;
    input.kind.permit(&course.capabilities).map_err(|_| refuse(input.kind.refusal(&course.capabilities)))?;
    Ok(Question { key: "input".to_owned(), id: request.id.clone(), input })
}

/// Parks the call and tells the client what is asked.
async fn park(mut pending: Pending, course: Course, question: Question, outlet: &Outlet) {
    if let Err(error) = pending.open.begun().await {
        course.leg.cancel(&course.id, None).await;
        return pending.fail(outlet, Refusal::NoRecord(error), OutcomeStatus::Refused).await;
    }
    let gate = pending.gate.clone();
    let binding = pending.principal.binding();
    let handle = gate.parked().handle(gate.rng());
    let owner = Owner {
        binding: &binding,
        upstream: pending.served.name(),
        method: &course.method,
        params: course.params.as_ref(),
    };
    let state = gate.states().seal(&owner, Continues::Parked(handle.clone()));
    let required =
        InputRequired { requests: vec![(question.key.clone(), question.input.clone())], request_state: Some(state) };
    let response = Response::result(pending.id.clone(), required.to_result());
    let frame = crate::frames::Frame::Answer { response, status: http::StatusCode::OK, id: None };
    let until = std::time::Instant::now() + gate.config().limits.parked;
    if let Err(parked) = gate.parked().put(handle, Parked { pending, course, question }, until) {
        let what = "too many calls wait for input".to_owned();
        parked.course.leg.cancel(&parked.course.id, Some("too many calls wait")).await;
        let refusal = Refusal::Upstream { code: "parked_full", what };
        return parked.pending.fail(outlet, refusal, OutcomeStatus::Cancelled).await;
    }
    let _ = outlet.send(frame).await;
}

/// Whether a notification belongs to the request; everything else belongs to a listening stream.
fn belongs(course: &Course, notification: &Notification) -> bool {
    match delivery(&notification.method) {
        Delivery::Request if notification.method == "notifications/message" => {
            log_admitted(notification, course.log_level)
        }
        Delivery::Request | Delivery::Unknown => true,
        Delivery::Listener | Delivery::LegacyOnly | Delivery::Gate => false,
    }
}

async fn finish(pending: Pending, course: Course, mut response: Response, outlet: &Outlet) {
    match &mut response.outcome {
        Outcome::Result(result) => results::to_modern(&course.method, result, TTL_MS),
        Outcome::Error(error) => {
            if let Some(mut required) = from_url_elicitation_error(error)
                && required.permit(&course.capabilities).is_ok()
            {
                let binding = pending.principal.binding();
                let owner = Owner {
                    binding: &binding,
                    upstream: pending.served.name(),
                    method: &course.method,
                    params: course.params.as_ref(),
                };
                required.request_state = Some(pending.gate.states().seal(&owner, Continues::Afresh));
                response.outcome = Outcome::Result(required.to_result());
            } else {
                let error = error.clone().across(&course.method, Era::Legacy, Era::Modern);
                response.outcome = Outcome::Error(error);
            }
        }
    }
    pending.answer(outlet, response, None).await;
}
