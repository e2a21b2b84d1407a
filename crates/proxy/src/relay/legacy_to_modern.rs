//! Legacy client, modern upstream: the upstream's interim results become requests on the client's
//! stream, and the client's answers become retries.

use std::sync::Arc;

use futures::StreamExt;
use sallyport_mcp::{
    ClientCapabilities, Era, Message, Object, Outcome, Request, Response, RpcError, errors,
    meta::TASKS_EXTENSION,
    methods::{Kind, rule},
    translate::{
        handshake::{declare_tasks, meta_from_initialize},
        input::{InputRequired, Retry, input_response, to_url_elicitation_error},
        results::{self, ResultType},
        tasks,
    },
};
use sallyport_model::event::OutcomeStatus;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    authorize::Permitted,
    frames::Outlet,
    pending::{Pending, bad_result},
    refusal::Refusal,
    relay::{broke, no_answer, outgoing},
    sessions::{Asked, Asker, Running, Session},
    upstream::UpstreamError,
};

/// How often one call may come back with questions.
const MOST_ROUNDS: usize = 16;

/// Runs the call to its end.
pub(crate) async fn run(
    mut pending: Pending,
    session: Arc<Session>,
    running: Running,
    permitted: Permitted,
    outlet: Outlet,
) {
    let call = Call { session: &session, outlet: &outlet, cancelled: &running.cancelled };
    let life = pending.gate.config().limits.parked;
    let ended = match permitted.request().method.as_str() {
        "tasks/result" => call.task_result(&mut pending, permitted, life).await,
        "tasks/cancel" => call.task_cancel(&mut pending, permitted).await,
        _ => call.rounds(&mut pending, permitted, life).await,
    };
    // Before the answer: its client may use the id again then.
    drop(running);
    conclude(pending, &outlet, ended).await;
}

/// Ends a call with what came of it.
pub(super) async fn conclude(pending: Pending, outlet: &Outlet, ended: Result<Response, End>) {
    match ended {
        Ok(response) => pending.answer(outlet, response, None).await,
        Err(End::Upstream(error)) => broke(pending, outlet, error).await,
        Err(End::Misled(refusal)) => pending.fail(outlet, refusal, OutcomeStatus::UpstreamFailed).await,
        Err(End::Refused(Refusal::Dead(dead))) => pending.withhold(outlet, dead).await,
        Err(End::Refused(refusal)) => pending.fail(outlet, refusal, OutcomeStatus::Refused).await,
        Err(End::Unasked(why)) => {
            let refusal = Refusal::Upstream { code: "no_input", what: why.to_owned() };
            pending.fail(outlet, refusal, OutcomeStatus::Cancelled).await;
        }
        Err(End::SessionOver) => pending.session_ended(outlet).await,
        Err(End::Cancelled(why)) => pending.cancelled(why).await,
    }
}

/// Why a call ends without the upstream's answer.
pub(super) enum End {
    Upstream(UpstreamError),
    /// The upstream said what cannot be used.
    Misled(Refusal),
    /// The gate releases nothing more.
    Refused(Refusal),
    /// What the upstream asked was not asked, or not answered in time.
    Unasked(&'static str),
    /// Its session is at an end.
    SessionOver,
    /// Its client cancelled it or went away: nobody waits.
    Cancelled(&'static str),
}

/// One call of a legacy client.
pub(super) struct Call<'a> {
    session: &'a Session,
    pub(super) outlet: &'a Outlet,
    cancelled: &'a CancellationToken,
}

impl Call<'_> {
    async fn rounds(
        &self,
        pending: &mut Pending,
        permitted: Permitted,
        life: std::time::Duration,
    ) -> Result<Response, End> {
        let (original, tool) = permitted.into_request();
        let mut retry = None;
        for _ in 0..MOST_ROUNDS {
            let request = self.modern(pending, &original, retry.take());
            let response = self.exchange(pending, outgoing(request, tool.as_ref())).await?;
            let Response { outcome: Outcome::Result(result), .. } = &response else {
                return Ok(self.error(&original, response));
            };
            if ResultType::of(result) != ResultType::InputRequired {
                return legacy_answer(&original, response);
            }
            let required = InputRequired::read(result).map_err(|error| End::Misled(bad_result(error)))?;
            match self.put(pending, &required, life).await? {
                Ok(responses) => retry = Some(Retry { responses, request_state: required.request_state }),
                Err(response) => return Ok(response),
            }
        }
        let what = format!("it asked for input more than {MOST_ROUNDS} times");
        Err(End::Misled(Refusal::Upstream { code: "upstream_protocol", what }))
    }

    /// Puts questions to the client, if it can be asked; else what it is told instead.
    pub(super) async fn put(
        &self,
        pending: &mut Pending,
        required: &InputRequired,
        life: std::time::Duration,
    ) -> Result<Result<Object, Response>, End> {
        let capabilities = ClientCapabilities(self.session.client.capabilities.clone());
        if let Err(error) = required.permit(&capabilities) {
            return Ok(Err(cannot_ask(required, &capabilities, &error)));
        }
        let asked = tokio::time::timeout(life, self.ask(pending, required)).await;
        let answered = asked.map_err(|_| End::Unasked("nobody answered its question in time"))??;
        Ok(answered.map_err(|error| error.response(None)))
    }

    /// The client's request as a modern upstream wants it.
    pub(super) fn modern(&self, pending: &Pending, original: &Request, retry: Option<Retry>) -> Request {
        let mut request = original.clone();
        request.id = pending.gate.fresh_id();
        let params = request.params.get_or_insert_with(Object::new);
        let level = self.session.log_level.lock().ok().and_then(|level| *level);
        let as_task = tasks::take_request(params) || rule(&original.method).kind == Kind::Task;
        let initialize = initialize_params(self.session);
        if let Ok(mut meta) = meta_from_initialize(&initialize, level) {
            declare(&mut meta.client_capabilities.0, as_task);
            meta.insert(params);
        }
        if let Some(retry) = retry {
            retry.put(params);
        }
        request
    }

    /// One exchange with the upstream; its notifications go to the client on the way.
    pub(super) async fn exchange(
        &self,
        pending: &mut Pending,
        out: crate::upstream::Outgoing,
    ) -> Result<Response, End> {
        let id = out.request.id.clone();
        let mut stream = tokio::select! {
            // First, because the upstream's half of a session ends with it, and looks like a failure then.
            biased;
            end = self.over(pending) => return Err(end),
            sent = self.session.leg.request(out) => sent.map_err(End::Upstream)?,
        };
        loop {
            let delivered = tokio::select! {
                biased;
                end = self.over(pending) => {
                    drop(stream);
                    self.session.leg.cancel(&id, None).await;
                    return Err(end);
                }
                delivered = stream.next() => delivered,
            };
            let delivered = delivered.ok_or_else(|| End::Upstream(no_answer()))?.map_err(End::Upstream)?;
            match delivered.message() {
                Some(Message::Response(response)) => return Ok(response.clone()),
                Some(message @ Message::Notification(_)) => {
                    // A legacy client that went away did not cancel: the call goes on without it.
                    self.pass(pending, message.clone()).await?;
                }
                Some(Message::Request(_)) | None => {}
            }
        }
    }

    async fn pass(&self, pending: &mut Pending, message: Message) -> Result<bool, End> {
        pending.pass(self.outlet, crate::modern::message(message)).await.map_err(End::Refused)
    }

    /// Resolves when the client cancels or may not be sent anything more.
    pub(super) async fn over(&self, pending: &Pending) -> End {
        tokio::select! {
            () = self.cancelled.cancelled() => match self.session.ended.is_cancelled() {
                true => End::SessionOver,
                false => End::Cancelled("by the client"),
            },
            dead = pending.revoked() => End::Refused(Refusal::Dead(dead)),
        }
    }

    /// Puts the upstream's questions to the client, all at once, and waits for all the answers.
    async fn ask(&self, pending: &mut Pending, required: &InputRequired) -> Result<Result<Object, RpcError>, End> {
        let mut waiting = Vec::new();
        for (key, question) in &required.requests {
            let id = pending.gate.fresh_id();
            let (sender, receiver) = oneshot::channel();
            let asked = Asked { method: question.kind.method().to_owned(), by: Asker::Gate(sender) };
            if !self.session.ask(id.clone(), asked) {
                return Err(End::Unasked("it asks while too many questions wait for an answer"));
            }
            waiting.push((key.clone(), question, id.clone(), receiver));
            if !self.pass(pending, Message::Request(question.to_request(id))).await? {
                return Err(End::Cancelled("the client went away before it was asked"));
            }
        }
        let mut responses = Object::new();
        for (key, question, id, receiver) in waiting {
            let response = tokio::select! {
                biased;
                end = self.over(pending) => return Err(end),
                response = receiver => response.map_err(|_| End::SessionOver)?,
                () = self.outlet.gone() => {
                    self.session.take_asked(&id);
                    return Err(End::Cancelled("the client went away before it answered"));
                }
            };
            match input_response(question.kind, response.outcome) {
                Ok(result) => responses.insert(key, Value::Object(result)),
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(responses))
    }

    /// The upstream's answer, an error of it in the client's era.
    pub(super) fn error(&self, original: &Request, mut response: Response) -> Response {
        if let Outcome::Error(error) = response.outcome {
            response.outcome = Outcome::Error(error.across(&original.method, Era::Modern, Era::Legacy));
        }
        response
    }
}

/// Declares the tasks extension for this request, or takes it back: a legacy client gets a task only
/// where it asked for one.
fn declare(capabilities: &mut Object, as_task: bool) {
    if as_task {
        declare_tasks(capabilities);
    } else if let Some(Value::Object(extensions)) = capabilities.get_mut("extensions") {
        extensions.shift_remove(TASKS_EXTENSION);
    }
}

fn legacy_answer(original: &Request, mut response: Response) -> Result<Response, End> {
    if let Outcome::Result(result) = &mut response.outcome {
        if ResultType::of(result) == ResultType::Task {
            *result = tasks::created_to_legacy(result).map_err(|error| End::Misled(bad_result(error)))?;
        } else if original.method == "tasks/get" {
            *result = tasks::got_to_legacy(result);
        } else {
            results::to_legacy(&original.method, result);
        }
    }
    Ok(response)
}

/// What a client that did not declare what is asked is told; URL questions fit into an error.
fn cannot_ask(required: &InputRequired, capabilities: &ClientCapabilities, error: &sallyport_mcp::Error) -> Response {
    let as_error = to_url_elicitation_error(required).filter(|_| capabilities.elicitation_url());
    let error = as_error.unwrap_or_else(|| RpcError { code: errors::INTERNAL_ERROR, ..error.rpc() });
    error.response(None)
}

/// The `params` of the session's `initialize`.
pub(crate) fn initialize_params(session: &Session) -> Object {
    Object::from_iter([
        ("capabilities".to_owned(), Value::Object(session.client.capabilities.clone())),
        ("clientInfo".to_owned(), Value::Object(session.client.info.clone().unwrap_or_default())),
    ])
}
