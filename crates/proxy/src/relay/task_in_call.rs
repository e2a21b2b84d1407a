//! Modern client, legacy upstream: a call that the upstream made a task.
//!
//! A client that declared the extension is given the handle. For one that did not, the task is run to its
//! end within its call: the gate polls it, and once it asks or ends, its `tasks/result` is the call's stream.

use std::{future::Future, pin::Pin, time::Duration};

use futures::StreamExt;
use sallyport_mcp::{
    Message, Object, Outcome, Request, Response,
    translate::tasks::{self, Status},
};
use sallyport_model::event::OutcomeStatus;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    frames::Outlet,
    listen::unaskable,
    pending::{Pending, bad_result},
    refusal::Refusal,
    relay::{
        course::{AsTask, Course, MOST_QUESTIONS},
        legacy_to_modern::{End, conclude},
        modern_to_legacy::proceed,
    },
    upstream::{Delivered, Outgoing, UpstreamError},
};

/// Between two looks at a task: what the upstream wishes, within these bounds, milliseconds.
const POLL: (u64, u64, u64) = (100, 1_000, 10_000);
/// The longest that a call waits for its task, where the upstream's time-outs say nothing.
const WAIT: Duration = Duration::from_secs(3600);

/// Goes on with a call whose task was made.
pub(super) async fn made(pending: Pending, course: Course, created: Object, outlet: Outlet) {
    let task = tasks::created(&created).unwrap_or_default().to_owned();
    let binding = pending.principal.binding();
    if !pending.gate.tasks().made(pending.served.name(), &task, &binding, Some(&course.leg)) {
        let what = "it gave out the task id of somebody else".to_owned();
        let refusal = Refusal::Upstream { code: "upstream_protocol", what };
        return pending.fail(&outlet, refusal, OutcomeStatus::UpstreamFailed).await;
    }
    match tasks::created_to_modern(&created) {
        Some(handle) if course.as_task == AsTask::Handle => {
            let response = Response { id: None, outcome: Outcome::Result(handle), extra: Object::new() };
            pending.answer(&outlet, response, None).await;
        }
        _ => follow(pending, Course { task: Some(task), ..course }, outlet).await,
    }
}

/// Boxed, since the call goes on where it came from.
fn follow(pending: Pending, mut course: Course, outlet: Outlet) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match settled(&pending, &mut course, &outlet).await {
            Ok(()) => proceed(pending, course, outlet).await,
            Err(end) => {
                course.cancel(None).await;
                conclude(pending, &outlet, Err(end)).await;
            }
        }
    })
}

/// Waits until the task asks or ends, and takes its `tasks/result` for the call's stream.
async fn settled(pending: &Pending, course: &mut Course, outlet: &Outlet) -> Result<(), End> {
    let patience = pending.served.offered().spec.timeouts.total.unwrap_or(WAIT);
    let until = Instant::now() + patience;
    let mut asked = Vec::new();
    loop {
        let task = tokio::select! {
            got = look(pending, course, &mut asked) => got?,
            end = over(pending, outlet) => return Err(end),
        };
        if !asked.is_empty() || Status::of(&task) != Status::Working {
            break;
        }
        if Instant::now() >= until {
            let late = UpstreamError::TimedOut { what: "a task within a call", after: patience, sent: true };
            return Err(End::Upstream(late));
        }
        let (least, usual, most) = POLL;
        let wished = task.get("pollInterval").and_then(Value::as_u64).unwrap_or(usual);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wished.clamp(least, most))) => {}
            end = over(pending, outlet) => return Err(end),
        }
    }
    let request = about(pending, course, "tasks/result");
    let id = request.id.clone();
    let stream = tokio::select! {
        sent = course.leg.request(Outgoing::new(request)) => sent.map_err(End::Upstream)?,
        end = over(pending, outlet) => return Err(end),
    };
    let early = asked.into_iter().map(|request| Ok(Delivered::plain(Message::Request(request))));
    course.stream = Box::pin(futures::stream::iter(early).chain(stream));
    (course.id, course.last_event) = (id, None);
    Ok(())
}

/// One `tasks/get`. What the task asks need not wait for its own stream (2025-11-25 basic/utilities/tasks,
/// Input Required Status).
async fn look(pending: &Pending, course: &mut Course, asked: &mut Vec<Request>) -> Result<Object, End> {
    let request = about(pending, course, "tasks/get");
    let id = request.id.clone();
    course.stream = course.leg.request(Outgoing::new(request)).await.map_err(End::Upstream)?;
    (course.id, course.last_event) = (id, None);
    loop {
        match course.next().await.map_err(End::Upstream)? {
            Message::Response(Response { outcome: Outcome::Result(task), .. }) => return Ok(task),
            Message::Response(Response { outcome: Outcome::Error(error), .. }) => {
                let what = format!("the task cannot be looked at (error {})", error.code);
                return Err(End::Misled(bad_result(sallyport_mcp::Error::ResultShape(what))));
            }
            Message::Request(request) if asked.len() < MOST_QUESTIONS && course.is_about_task(&request) => {
                asked.push(request);
            }
            Message::Request(request) => {
                let _ = course.leg.respond(unaskable(&request)).await;
            }
            Message::Notification(_) => {}
        }
    }
}

fn about(pending: &Pending, course: &Course, method: &str) -> Request {
    let task = course.task.clone().unwrap_or_default();
    let params = Object::from_iter([("taskId".to_owned(), task.into())]);
    Request::new(pending.gate.fresh_id(), method, Some(params))
}

/// Resolves when the client goes away or may not be sent anything more.
pub(super) async fn over(pending: &Pending, outlet: &Outlet) -> End {
    tokio::select! {
        () = outlet.gone() => End::Cancelled("the client went away"),
        dead = pending.revoked() => End::Refused(Refusal::Dead(dead)),
    }
}
