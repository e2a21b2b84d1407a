//! The parked `tasks/result` of a legacy upstream's task that asks a modern client: opened when the task
//! first says so, read at each look, and closed on the record with the task's outcome or without it.

use std::time::Instant;

use sallyport_mcp::{
    Era, Message, Outcome, Request, Response,
    translate::{input::InputRequest, tasks},
};
use sallyport_model::event::OutcomeStatus;
use tokio::time::{Duration, sleep, timeout_at};

use crate::{
    listen::unaskable,
    parked::Parked,
    pending::Pending,
    record::{About, Subject},
    refusal::Refusal,
    relay::{
        course::{Course, MOST_QUESTIONS},
        extension_tasks::Visit,
        legacy_to_modern::End,
        task_in_call::over,
    },
    sanitise::sanitise_text,
    slots::What,
    tasks::Asking,
    upstream::UpstreamError,
};

/// Tasks of one principal that may wait for input at once.
const MOST_ASKING: usize = 16;
/// How long the stream of a task that asks may take to begin.
const OPENING: Duration = Duration::from_secs(10);
/// How long a task that says it needs input may take to ask, and one that ended to bring its outcome.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after a question another one is waited for.
const MOMENT: Duration = Duration::from_millis(50);

/// What came of listening to a task.
pub(super) enum Asked {
    /// Its open questions.
    Open(Vec<(String, InputRequest)>),
    /// It ended meanwhile.
    Ended(Outcome),
}

impl Visit<'_> {
    /// Everything that the task asks now; `early` came on another stream.
    pub(super) async fn questions(&self, asking: &mut Asking, early: Vec<Request>) -> Result<Asked, End> {
        let mut parked = match self.take(asking) {
            Some(parked) => parked,
            None => self.open().await?,
        };
        for request in early {
            self.note(asking, &mut parked, request).await;
        }
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut renewed = false;
        loop {
            let soon = tokio::time::Instant::now() + MOMENT;
            let wait = if parked.questions.is_empty() { until } else { until.min(soon) };
            match timeout_at(wait, parked.course.next()).await {
                Err(_) => break,
                Ok(Ok(Message::Request(request))) => self.note(asking, &mut parked, request).await,
                Ok(Ok(Message::Notification(_))) => {}
                Ok(Ok(Message::Response(response))) => return close(parked, response).await.map(Asked::Ended),
                // It broke while nobody read it. What was asked can be answered all the same.
                Ok(Err(_)) if !renewed => {
                    renewed = true;
                    match self.begin().await {
                        Ok(course) => parked.course = course,
                        Err(end) => return Err(failed(parked.pending, end).await),
                    }
                }
                Ok(Err(error)) => return Err(failed(parked.pending, End::Upstream(error)).await),
            }
        }
        let open = parked.questions.iter().map(|question| (question.key.clone(), question.input.clone())).collect();
        self.put(asking, parked).await?;
        Ok(Asked::Open(open))
    }

    /// Keeps a question, if this client can be asked it; else the upstream is told so.
    async fn note(&self, asking: &mut Asking, parked: &mut Parked, request: Request) {
        if parked.questions.iter().any(|question| question.id == request.id) {
            return;
        }
        let foreign = tasks::related(request.params.as_ref()).is_some_and(|task| task != self.task);
        let question = if request.method == "ping" || foreign || parked.questions.len() >= MOST_QUESTIONS {
            Err(unaskable(&request))
        } else {
            parked.course.question(asking.key(), &request)
        };
        match question {
            Ok(question) => parked.questions.push(question),
            Err(response) => {
                let _ = parked.course.leg.respond(response).await;
            }
        }
    }

    /// The outcome of a task that ended.
    pub(super) async fn outcome(&self, asking: &mut Asking) -> Result<Outcome, End> {
        if let Some(mut parked) = self.take(asking) {
            let until = tokio::time::Instant::now() + PATIENCE;
            while let Ok(Ok(message)) = timeout_at(until, parked.course.next()).await {
                match message {
                    Message::Response(response) => return close(parked, response).await,
                    Message::Request(request) => {
                        let _ = parked.course.leg.respond(unaskable(&request)).await;
                    }
                    Message::Notification(_) => {}
                }
            }
            drop_parked(parked, "the task ended").await;
        }
        Ok(self.exchange("tasks/result", &mut Vec::new()).await?.outcome)
    }

    /// Ends what waits for this task.
    pub(super) async fn end(&self, asking: &mut Asking, why: &str) {
        if let Some(parked) = self.take(asking) {
            drop_parked(parked, why).await;
        }
    }

    /// Opens `tasks/result`, on record before anything of it is released.
    async fn open(&self) -> Result<Parked, End> {
        let gate = &self.pending.gate;
        let binding = self.pending.principal.binding();
        let slot = gate.slots().take(What::Tasks, binding, MOST_ASKING).map_err(End::Refused)?;
        let about = About {
            method: "tasks/result".to_owned(),
            name: Some(sanitise_text(&self.task)),
            protocol_version: Some(self.leg.facts().protocol_version.clone()),
            ..About::default()
        };
        let subject = Subject { arrived: Instant::now(), request_bytes: 0, ..self.about.subject.clone() };
        let open = gate.records().open_call(&subject, about, true).await.map_err(|error| End::Refused(error.into()))?;
        let pending = Pending {
            gate: gate.clone(),
            served: self.pending.served.clone(),
            principal: self.pending.principal.clone(),
            era: Era::Modern,
            id: self.pending.id.clone(),
            list: None,
            open,
            slot,
            link: None,
            _large: None,
        };
        match self.begin().await {
            Ok(course) => Ok(Parked { pending, course, questions: Vec::new() }),
            Err(end) => Err(failed(pending, end).await),
        }
    }

    /// The stream of `tasks/result`. An upstream that begins none before the task is over cannot ask on it.
    async fn begin(&self) -> Result<Course, End> {
        let id = self.pending.gate.fresh_id();
        let end = tokio::select! {
            begun = self.send("tasks/result", id.clone()) => return begun.map_err(End::Upstream),
            end = over(self.pending, self.outlet) => end,
            () = sleep(OPENING) => {
                let what = "the questions of a task";
                End::Upstream(UpstreamError::TimedOut { what, after: OPENING, sent: true })
            }
        };
        self.leg.cancel(&id, None).await;
        Err(end)
    }

    /// Takes what is parked for the task; from now on the token of this request matters.
    pub(super) fn take(&self, asking: &mut Asking) -> Option<Parked> {
        let handle = asking.parked.take()?;
        let mut parked = self.pending.gate.parked().take(&handle)?;
        parked.pending.principal = self.pending.principal.clone();
        parked.course.capabilities = self.about.meta.client_capabilities.clone();
        Some(parked)
    }

    /// Parks it until the client comes back.
    pub(super) async fn put(&self, asking: &mut Asking, parked: Parked) -> Result<(), End> {
        let gate = &self.pending.gate;
        let handle = gate.parked().handle(gate.rng());
        let until = Instant::now() + gate.config().limits.parked;
        match gate.parked().put(handle.clone(), parked, until) {
            Ok(()) => {
                asking.parked = Some(handle);
                Ok(())
            }
            Err(Parked { pending, course, questions }) => {
                pending.cancelled("too many calls wait").await;
                course.give_up(&questions, "too many calls wait").await;
                let what = "too many calls wait for input".to_owned();
                Err(End::Refused(Refusal::Upstream { code: "parked_full", what }))
            }
        }
    }
}

/// Closes the record with what the upstream answered; only then may that be released.
async fn close(parked: Parked, response: Response) -> Result<Outcome, End> {
    let Pending { open, .. } = parked.pending;
    open.close_with(&response).await.map_err(|error| End::Refused(error.into()))?;
    Ok(response.outcome)
}

async fn drop_parked(parked: Parked, why: &str) {
    parked.pending.cancelled(why).await;
    parked.course.cancel(Some(why)).await;
}

/// Closes the record of a stream that ended without an outcome.
async fn failed(pending: Pending, end: End) -> End {
    let upstream = matches!(end, End::Upstream(_) | End::Misled(_));
    let status = if upstream { OutcomeStatus::UpstreamFailed } else { OutcomeStatus::Cancelled };
    match pending.open.close(status, None).await {
        Ok(_) => end,
        Err(error) => End::Refused(error.into()),
    }
}
