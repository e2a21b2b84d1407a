//! What a modern client's call is at a legacy upstream while it goes on: a stream, and what the upstream may
//! be told and the client asked on the way.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all};
use sallyport_mcp::{
    ClientCapabilities, LogLevel, Message, Notification, Object, Outcome, Request, RequestId, Response, RpcError,
    errors::INTERNAL_ERROR,
    translate::{
        input::{InputRequest, Retry},
        notifications::{Delivery, delivery, log_admitted},
        tasks,
    },
};

use crate::{
    parked::Question,
    relay::no_answer,
    upstream::{Delivered, Outgoing, UpstreamError, UpstreamSession, UpstreamStream},
};

/// How long an upstream may take to be told something that nobody waits for.
const TOLD: Duration = Duration::from_secs(5);
/// Questions of one task that may wait at once.
pub(crate) const MOST_QUESTIONS: usize = 16;

/// What becomes of a task that the call makes at the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsTask {
    /// None was asked for.
    No,
    /// The client is given its handle.
    Handle,
    /// It is run to its end within the call: the client did not declare the extension.
    InCall,
}

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
    pub(crate) as_task: AsTask,
    /// The task whose outcome the stream brings.
    pub(crate) task: Option<String>,
}

impl Course {
    /// The next message of the call. A stream that the upstream closed in the middle is taken up again
    /// (2025-11-25 basic/transports). Nothing is lost when this is dropped before it is done.
    pub(crate) async fn next(&mut self) -> Result<Message, UpstreamError> {
        loop {
            match self.stream.next().await {
                None => self.resume().await?,
                Some(Err(error)) => return Err(error),
                Some(Ok(Delivered::Priming { sse_id, retry_ms })) => self.saw(sse_id, retry_ms),
                Some(Ok(Delivered::Message { message, sse_id, retry_ms })) => {
                    self.saw(sse_id, retry_ms);
                    match message {
                        // On a resumed stream another call's answer would be nobody's.
                        Message::Response(response) if response.id.as_ref() != Some(&self.id) => {}
                        message => return Ok(message),
                    }
                }
            }
        }
    }

    fn saw(&mut self, id: Option<String>, retry: Option<u64>) {
        if let Some(id) = id {
            self.last_event = Some((id, retry));
        }
    }

    async fn resume(&mut self) -> Result<(), UpstreamError> {
        // The one that is over must not be asked again.
        self.stream = Box::pin(futures::stream::empty());
        let Some((last, retry)) = self.last_event.clone() else { return Err(no_answer()) };
        tokio::time::sleep(Duration::from_millis(retry.unwrap_or(1000).min(30_000))).await;
        self.stream = self.leg.listen(Some(&last)).await?;
        self.last_event = None;
        Ok(())
    }

    /// What the upstream asks, if this client can be asked; else what the upstream is told.
    #[expect(clippy::result_large_err, reason = "once a question, and it is sent at once")]
    pub(crate) fn question(&self, key: String, request: &Request) -> Result<Question, Response> {
        let refuse = |error: RpcError| error.response(Some(request.id.clone()));
        let input = InputRequest::from_request(request).map_err(|error| refuse(error.rpc()))?;
        input.kind.permit(&self.capabilities).map_err(|_| refuse(input.kind.refusal(&self.capabilities)))?;
        Ok(Question { key, id: request.id.clone(), input })
    }

    /// Whether the upstream says that it asks this for the call's task.
    pub(crate) fn is_about_task(&self, request: &Request) -> bool {
        self.task.is_some() && tasks::related(request.params.as_ref()) == self.task.as_deref()
    }

    /// The client's answer to `question`, if `retry` brings one, as the upstream wants it.
    pub(crate) fn answer(&self, question: &Question, retry: &Retry) -> Option<Response> {
        let mut answer = retry.response(&question.key, question.id.clone())?;
        if let (Outcome::Result(result), Some(task)) = (&mut answer.outcome, &self.task) {
            tasks::relate(result, task);
        }
        Some(answer)
    }

    /// Whether a notification belongs to the request; everything else belongs to a listening stream.
    pub(crate) fn owns(&self, notification: &Notification) -> bool {
        match delivery(&notification.method) {
            Delivery::Request if notification.method == "notifications/message" => {
                log_admitted(notification, self.log_level)
            }
            Delivery::Request | Delivery::Unknown => true,
            Delivery::Listener | Delivery::LegacyOnly | Delivery::Gate => false,
        }
    }

    /// Cancels the call at the upstream, and the task with it if nobody knows of that but the call.
    pub(crate) async fn cancel(self, why: Option<&str>) {
        let orphan = self.task.as_ref().filter(|_| self.as_task == AsTask::InCall);
        tokio::join!(self.leg.cancel(&self.id, why), async {
            if let Some(task) = orphan {
                cancel_task(self.leg.as_ref(), task).await;
            }
        });
    }

    /// Ends a call whose `questions` nobody answered. A task outlives it, so that it is told.
    pub(crate) async fn give_up(self, questions: &[Question], why: &str) {
        if self.as_task == AsTask::Handle {
            let told = questions.iter().map(|question| {
                let error = RpcError::new(INTERNAL_ERROR, why).response(Some(question.id.clone()));
                tokio::time::timeout(TOLD, self.leg.respond(error))
            });
            join_all(told).await;
        }
        self.cancel(Some(why)).await;
    }
}

async fn cancel_task(leg: &dyn UpstreamSession, task: &str) {
    let params = Object::from_iter([("taskId".to_owned(), task.into())]);
    // Of no other request: the gate's own are numbers.
    let id = RequestId::String(format!("cancel-{task}"));
    let told = async {
        if let Ok(mut answer) = leg.request(Outgoing::new(Request::new(id, "tasks/cancel", Some(params)))).await {
            while answer.next().await.is_some() {}
        }
    };
    if tokio::time::timeout(TOLD, told).await.is_err() {
        tracing::debug!("an upstream does not take the cancellation of a task");
    }
}
