//! Legacy client, modern upstream: the tasks of 2025-11-25 over the tasks extension (SEP-2663).
//!
//! The legacy `tasks/result` waits and its questions come on its stream; the modern upstream is polled
//! and brings its questions inside `tasks/get`. Whether a call becomes a task is the upstream's to
//! decide; one that it answers at once has its answer at once.

use std::{collections::BTreeSet, time::Duration};

use sallyport_mcp::{
    Object, Outcome, Request, Response,
    translate::{
        input::{InputRequired, Retry},
        tasks,
    },
};
use serde_json::Value;

use crate::{
    authorize::Permitted,
    pending::{Pending, bad_result},
    relay::{
        legacy_to_modern::{Call, End},
        outgoing,
    },
};

/// Between two looks at a task: what the upstream wishes, within these bounds.
const POLL: (u64, u64, u64) = (100, 1_000, 10_000);

impl Call<'_> {
    /// `tasks/result`: waits for the outcome, putting questions to the client on the way.
    pub(super) async fn task_result(
        &self,
        pending: &mut Pending,
        permitted: Permitted,
        life: Duration,
    ) -> Result<Response, End> {
        let (original, _) = permitted.into_request();
        let mut answered = BTreeSet::new();
        loop {
            let got = self.about_task(pending, &original, "tasks/get", None).await?;
            let Outcome::Result(task) = &got.outcome else { return Ok(self.error(&original, got)) };
            let misled = |error| End::Misled(bad_result(error));
            if let Some(outcome) = tasks::outcome(task).map_err(misled)? {
                return Ok(Response { id: None, outcome, extra: Object::new() });
            }
            let mut required = match task.get("inputRequests") {
                Some(Value::Object(requests)) if !requests.is_empty() => InputRequired::read(task).map_err(misled)?,
                _ => InputRequired::default(),
            };
            // The upstream may still show what was answered a moment ago.
            required.requests.retain(|(key, _)| !answered.contains(key));
            if required.requests.is_empty() {
                self.pause(pending, task).await?;
                continue;
            }
            let responses = match self.put(pending, &required, life).await? {
                Ok(responses) => responses,
                Err(response) => return Ok(response),
            };
            answered.extend(responses.keys().cloned());
            let retry = Retry { responses, request_state: None };
            let updated = self.about_task(pending, &original, "tasks/update", Some(retry)).await?;
            if matches!(updated.outcome, Outcome::Error(_)) {
                return Ok(self.error(&original, updated));
            }
        }
    }

    /// `tasks/cancel`: the modern answer says nothing, the legacy one is the task.
    pub(super) async fn task_cancel(&self, pending: &mut Pending, permitted: Permitted) -> Result<Response, End> {
        let (original, _) = permitted.into_request();
        let cancelled = self.about_task(pending, &original, "tasks/cancel", None).await?;
        if matches!(cancelled.outcome, Outcome::Error(_)) {
            return Ok(self.error(&original, cancelled));
        }
        let mut got = self.about_task(pending, &original, "tasks/get", None).await?;
        if let Outcome::Result(task) = &mut got.outcome {
            *task = tasks::got_to_legacy(task);
        }
        Ok(self.error(&original, got))
    }

    async fn about_task(
        &self,
        pending: &mut Pending,
        original: &Request,
        method: &str,
        retry: Option<Retry>,
    ) -> Result<Response, End> {
        let id = original.param("taskId").cloned().unwrap_or_default();
        let params = Object::from_iter([("taskId".to_owned(), id)]);
        let request = Request::new(original.id.clone(), method, Some(params));
        let request = self.modern(pending, &request, retry);
        self.exchange(pending, outgoing(request, None)).await
    }

    async fn pause(&self, pending: &Pending, task: &Object) -> Result<(), End> {
        let (least, usual, most) = POLL;
        let wished = task.get("pollIntervalMs").and_then(Value::as_u64).unwrap_or(usual);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wished.clamp(least, most))) => Ok(()),
            () = self.outlet.gone() => Err(End::Cancelled("the client went away before the task ended")),
            end = self.over(pending) => Err(end),
        }
    }
}
