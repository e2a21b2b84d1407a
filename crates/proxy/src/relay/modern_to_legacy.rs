//! Modern client, legacy upstream: the upstream's requests become interim results, and the call waits,
//! parked at this gate, until the client comes back with the answers.

use std::sync::Arc;

use sallyport_mcp::{
    Era, Message, Object, Outcome, Request, RequestId, RequestMeta, Response,
    meta::TASKS_EXTENSION,
    translate::{
        input::{InputRequired, Retry, from_url_elicitation_error},
        results,
        tasks::{self, TaskSupport},
    },
};
use sallyport_model::event::OutcomeStatus;

use crate::{
    authorize::Permitted,
    frames::{Frame, Outlet},
    listen::unaskable,
    modern,
    parked::{Parked, Question},
    pending::Pending,
    refusal::Refusal,
    relay::{
        self, broke,
        course::{AsTask, Course},
        outgoing, task_in_call,
    },
    served::Tool,
    state::{Continues, Owner},
    tasks::LIFE,
    upstream::UpstreamSession,
};

/// How long a client may keep a legacy upstream's lists before asking again.
const TTL_MS: u64 = 0;

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
    let as_task = as_task(leg.as_ref(), tool.as_deref(), &meta);
    let request = legacy(&original, id.clone(), as_task);
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
                as_task,
                task: None,
            };
            proceed(pending, course, outlet).await;
        }
        Err(refusal) => pending.fail(&outlet, refusal, OutcomeStatus::UpstreamFailed).await,
    }
}

/// Whether the call has to be made as a task: its tool says so, and the upstream takes it.
fn as_task(leg: &dyn UpstreamSession, tool: Option<&Tool>, meta: &RequestMeta) -> AsTask {
    let required = tool.is_some_and(|tool| tool.task_support == TaskSupport::Required);
    let capabilities = leg.facts().about.get("capabilities").and_then(|capabilities| capabilities.as_object());
    match capabilities {
        Some(capabilities) if required && tasks::offered(capabilities) => {
            if meta.client_capabilities.extension(TASKS_EXTENSION) { AsTask::Handle } else { AsTask::InCall }
        }
        _ => AsTask::No,
    }
}

/// The client's request as a legacy upstream wants it. A modern client does not choose tasks: its `task`
/// means nothing (SEP-2663, Backward Compatibility).
fn legacy(original: &Request, id: RequestId, as_task: AsTask) -> Request {
    let mut request = Request { id, ..original.clone() };
    if let Some(params) = &mut request.params {
        RequestMeta::strip(params);
        let _ = Retry::take(params);
        if original.method == "tools/call" {
            tasks::take_request(params);
        }
        if params.is_empty() {
            request.params = None;
        }
    }
    if as_task != AsTask::No {
        let life = u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX);
        tasks::put_request(request.params.get_or_insert_with(Object::new), life);
    }
    request
}

/// Goes on with a call that was parked: the client's answers go to the upstream first.
pub(crate) async fn resume(mut parked: Parked, retry: Retry, outlet: Outlet) {
    let handed_on = parked.hand_on(&retry).await;
    let Parked { pending, course, questions } = parked;
    match handed_on {
        Err(error) => broke(pending, &outlet, error).await,
        Ok(()) if questions.is_empty() => proceed(pending, course, outlet).await,
        // Asked again rather than failed (basic/patterns/mrtr, Error Handling).
        Ok(()) => park(pending, course, questions, &outlet).await,
    }
}

/// Ends a call that was parked and cannot go on.
pub(crate) async fn abandon(parked: Parked, refusal: Refusal, outlet: Outlet) {
    let Parked { pending, course, .. } = parked;
    course.cancel(None).await;
    pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
}

/// Follows the upstream until it answers, asks, or breaks off.
pub(super) async fn proceed(mut pending: Pending, mut course: Course, outlet: Outlet) {
    loop {
        let message = tokio::select! {
            message = course.next() => message,
            () = outlet.gone() => {
                course.cancel(Some("the client went away")).await;
                return pending.cancelled("the client went away").await;
            }
            dead = pending.revoked() => {
                course.cancel(None).await;
                return pending.withhold(&outlet, dead).await;
            }
        };
        match message {
            Err(error) => {
                if course.task.is_some() {
                    course.cancel(None).await;
                }
                return broke(pending, &outlet, error).await;
            }
            Ok(Message::Response(response)) => return finish(pending, course, response, outlet).await,
            Ok(Message::Notification(notification)) => {
                if course.owns(&notification)
                    && let Err(refusal) = pending.pass(&outlet, modern::message(notification.into())).await
                {
                    course.cancel(None).await;
                    return pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
                }
            }
            Ok(Message::Request(request)) if request.method == "ping" => {
                let _ = course.leg.respond(unaskable(&request)).await;
            }
            Ok(Message::Request(request)) => match course.question("input".to_owned(), &request) {
                Ok(question) => return park(pending, course, vec![question], &outlet).await,
                Err(response) => {
                    let _ = course.leg.respond(response).await;
                }
            },
        }
    }
}

/// Parks the call and tells the client what is asked.
async fn park(mut pending: Pending, course: Course, questions: Vec<Question>, outlet: &Outlet) {
    if let Err(error) = pending.open.begun().await {
        course.cancel(None).await;
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
    let requests = questions.iter().map(|question| (question.key.clone(), question.input.clone())).collect();
    let required = InputRequired { requests, request_state: Some(state) };
    let response = Response::result(pending.id.clone(), required.to_result());
    let frame = Frame::Answer { response, status: http::StatusCode::OK, id: None };
    let until = std::time::Instant::now() + gate.config().limits.parked;
    if let Err(parked) = gate.parked().put(handle, Parked { pending, course, questions }, until) {
        let what = "too many calls wait for input".to_owned();
        parked.course.cancel(Some("too many calls wait")).await;
        let refusal = Refusal::Upstream { code: "parked_full", what };
        return parked.pending.fail(outlet, refusal, OutcomeStatus::Cancelled).await;
    }
    let _ = outlet.send(frame).await;
}

async fn finish(pending: Pending, course: Course, mut response: Response, outlet: Outlet) {
    if let (Outcome::Result(result), None) = (&response.outcome, &course.task)
        && course.as_task != AsTask::No
        && tasks::created(result).is_some()
    {
        let created = result.clone();
        return task_in_call::made(pending, course, created, outlet).await;
    }
    match &mut response.outcome {
        Outcome::Result(result) => {
            if course.task.is_some() {
                tasks::unrelate(result);
            }
            results::to_modern(&course.method, result, TTL_MS);
        }
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
    pending.answer(&outlet, response, None).await;
}
