//! Modern client, legacy upstream: the tasks extension (SEP-2663) over the tasks of 2025-11-25.
//!
//! A legacy task asks on the stream of `tasks/result`. While it does, the gate has that stream open and
//! parked: on record as a call of its own, counted, and ended like every parked call when nobody comes back.
//! `tasks/get` shows what was asked on it, `tasks/update` answers. Whose the task is was decided before.

use std::sync::Arc;

use sallyport_mcp::{
    Era, Message, Object, Outcome, Request, RequestId, RequestMeta, Response, RpcError,
    translate::{
        input::Retry,
        tasks::{self, Status},
    },
};
use sallyport_model::event::OutcomeStatus;

use crate::{
    authorize::Permitted,
    frames::Outlet,
    listen::unaskable,
    pending::Pending,
    record::Subject,
    refusal::Refusal,
    relay::{
        course::{AsTask, Course, MOST_QUESTIONS},
        extension_input::Asked,
        legacy_to_modern::{End, conclude},
        task_in_call::over,
    },
    tasks::Asking,
    upstream::{Outgoing, UpstreamError, UpstreamSession},
};

/// What is known of the request.
pub(crate) struct About {
    pub(crate) subject: Subject,
    pub(crate) meta: RequestMeta,
    /// `inputResponses`
    pub(crate) responses: Object,
}

/// Runs a request about a task to its end.
pub(crate) async fn run(
    pending: Pending,
    leg: Arc<dyn UpstreamSession>,
    permitted: Permitted,
    about: About,
    outlet: Outlet,
) {
    let (request, _) = permitted.into_request();
    let task = request.param_str("taskId").unwrap_or_default().to_owned();
    let binding = pending.principal.binding();
    // Forgotten since it was looked up, at the most.
    let Some(known) = pending.gate.tasks().find(pending.served.name(), &task, &binding) else {
        let error = sallyport_mcp::Error::InvalidParams("there is no such task".to_owned());
        let refusal = Refusal::Malformed(error.refuse(Some(pending.id.clone())));
        return pending.fail(&outlet, refusal, OutcomeStatus::Refused).await;
    };
    let leg = known.leg().unwrap_or(leg);
    let ended = {
        let visit = Visit { pending: &pending, outlet: &outlet, leg, task, about };
        let asking = tokio::select! {
            asking = known.asking.lock() => Ok(asking),
            end = over(&pending, &outlet) => Err(end),
        };
        match (asking, request.method.as_str()) {
            (Ok(mut asking), "tasks/update") => visit.update(&mut asking).await,
            (Ok(mut asking), "tasks/cancel") => visit.cancel(&mut asking).await,
            (Ok(mut asking), _) => visit.get(&mut asking).await,
            (Err(end), _) => Err(end),
        }
    };
    conclude(pending, &outlet, ended).await;
}

/// One request about a task.
pub(super) struct Visit<'a> {
    pub(super) pending: &'a Pending,
    pub(super) outlet: &'a Outlet,
    pub(super) leg: Arc<dyn UpstreamSession>,
    pub(super) task: String,
    pub(super) about: About,
}

impl Visit<'_> {
    async fn get(&self, asking: &mut Asking) -> Result<Response, End> {
        let mut asked = Vec::new();
        let mut got = self.exchange("tasks/get", &mut asked).await?;
        let mut outcome = None;
        if let Outcome::Result(task) = &got.outcome
            && (!asked.is_empty() || Status::of(task) == Status::InputRequired)
        {
            match self.questions(asking, asked).await? {
                Asked::Open(questions) => {
                    return Ok(result(tasks::asking_to_modern(task, questions)));
                }
                // It ended while it was listened to.
                Asked::Ended(ended) => {
                    outcome = Some(ended);
                    got = self.exchange("tasks/get", &mut Vec::new()).await?;
                }
            }
        }
        let task = match got.outcome {
            Outcome::Result(task) => task,
            Outcome::Error(error) => return Ok(self.error(error)),
        };
        Ok(result(match Status::of(&task) {
            Status::Cancelled => {
                self.end(asking, "the task was cancelled").await;
                tasks::got_to_modern(&task, None)
            }
            Status::Ended => {
                let outcome = match outcome {
                    Some(outcome) => outcome,
                    None => self.outcome(asking).await?,
                };
                tasks::got_to_modern(&task, Some(&outcome))
            }
            Status::InputRequired => tasks::asking_to_modern(&task, Vec::new()),
            Status::Working => tasks::got_to_modern(&task, None),
        }))
    }

    /// Hands the client's answers on, once they are in the log. Those to no open question are ignored
    /// (SEP-2663, Task Update Requests).
    async fn update(&self, asking: &mut Asking) -> Result<Response, End> {
        let Some(mut parked) = self.take(asking) else { return Ok(result(tasks::acknowledged())) };
        let retry = Retry { responses: self.about.responses.clone(), request_state: None };
        let answers = parked.questions.iter().filter_map(|question| question.recorded(&retry)).collect();
        let call = parked.pending.open.call();
        if let Err(error) = self.pending.gate.records().answered(&self.about.subject, call, answers).await {
            self.put(asking, parked).await?;
            return Err(End::Refused(error.into()));
        }
        let handed_on = tokio::select! {
            handed_on = parked.hand_on(&retry) => handed_on.map_err(End::Upstream),
            dead = self.pending.revoked() => Err(End::Refused(Refusal::Dead(dead))),
        };
        self.put(asking, parked).await?;
        handed_on.map(|()| result(tasks::acknowledged()))
    }

    /// A cancellation is a wish, and one that comes too late, or that the upstream does not offer to
    /// fulfil, is acknowledged too (SEP-2663, Task Cancellation).
    async fn cancel(&self, asking: &mut Asking) -> Result<Response, End> {
        let cancelled = self.exchange("tasks/cancel", &mut Vec::new()).await?;
        if matches!(cancelled.outcome, Outcome::Error(_))
            && let Outcome::Error(error) = self.exchange("tasks/get", &mut Vec::new()).await?.outcome
        {
            return Ok(self.error(error));
        }
        self.end(asking, "the client cancelled the task").await;
        Ok(result(tasks::acknowledged()))
    }

    /// One exchange with the upstream about the task; what the task asks on the way is kept.
    pub(super) async fn exchange(&self, method: &str, asked: &mut Vec<Request>) -> Result<Response, End> {
        let mut course = tokio::select! {
            course = self.send(method, self.pending.gate.fresh_id()) => course.map_err(End::Upstream)?,
            end = over(self.pending, self.outlet) => return Err(end),
        };
        loop {
            let message = tokio::select! {
                message = course.next() => message.map_err(End::Upstream)?,
                end = over(self.pending, self.outlet) => {
                    course.cancel(None).await;
                    return Err(end);
                }
            };
            match message {
                Message::Response(response) => return Ok(response),
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

    /// Sends a request about the task.
    pub(super) async fn send(&self, method: &str, id: RequestId) -> Result<Course, UpstreamError> {
        let params = Object::from_iter([("taskId".to_owned(), self.task.clone().into())]);
        let request = Request::new(id.clone(), method, Some(params.clone()));
        let stream = self.leg.request(Outgoing::new(request)).await?;
        Ok(Course {
            leg: Arc::clone(&self.leg),
            stream,
            id,
            method: method.to_owned(),
            params: Some(params),
            capabilities: self.about.meta.client_capabilities.clone(),
            log_level: None,
            last_event: None,
            as_task: AsTask::Handle,
            task: Some(self.task.clone()),
        })
    }

    fn error(&self, error: RpcError) -> Response {
        error.across("tasks/get", Era::Legacy, Era::Modern).response(None)
    }
}

fn result(result: Object) -> Response {
    Response { id: None, outcome: Outcome::Result(result), extra: Object::new() }
}
