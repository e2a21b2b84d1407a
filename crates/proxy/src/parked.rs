//! Calls of modern clients that wait at this gate for an answer to a legacy upstream's question. The
//! `tasks/result` of a task that asks is such a call: the gate makes it, and the client answers it.
//!
//! They are this node's state and bounded in number and time. A parked call that nobody comes back for
//! is cancelled at the upstream and closed in the log.

use std::{collections::HashMap, sync::Mutex, time::Instant};

use futures::future::join_all;
use sallyport_mcp::{
    RequestId,
    translate::input::{InputRequest, Retry},
};
use sallyport_model::{McpSessionId, Rng};

use crate::{pending::Pending, record, relay::course::Course, upstream::UpstreamError};

const MOST: usize = 10_000;

/// What the upstream asked.
pub(crate) struct Question {
    /// The key in `inputRequests`.
    pub(crate) key: String,
    /// Under which the upstream waits for the answer.
    pub(crate) id: RequestId,
    /// The question.
    pub(crate) input: InputRequest,
}

impl Question {
    /// What the log may know of the answer that `retry` brings, if it does.
    pub(crate) fn recorded(&self, retry: &Retry) -> Option<record::Answered> {
        let response = retry.response(&self.key, self.id.clone())?;
        Some(record::answered(self.input.kind.method(), self.key.clone(), &response.outcome))
    }
}

/// A call that waits.
pub(crate) struct Parked {
    pub(crate) pending: Pending,
    pub(crate) course: Course,
    /// None while a task that was answered goes on.
    pub(crate) questions: Vec<Question>,
}

impl Parked {
    /// Hands the answers that `retry` brings on to the upstream. A question whose answer does not arrive
    /// stays open.
    pub(crate) async fn hand_on(&mut self, retry: &Retry) -> Result<(), UpstreamError> {
        let course = &self.course;
        let leg = &course.leg;
        let answers = self.questions.iter().filter_map(|question| {
            let answer = course.answer(question, retry)?;
            Some(async move { (question.id.clone(), leg.respond(answer).await) })
        });
        let answers: Vec<_> = answers.collect();
        let mut failed = None;
        let mut arrived = Vec::new();
        for (id, answered) in join_all(answers).await {
            match answered {
                Ok(()) => arrived.push(id),
                Err(error) => failed = Some(error),
            }
        }
        self.questions.retain(|question| !arrived.contains(&question.id));
        failed.map_or(Ok(()), Err)
    }
}

/// All calls that wait.
#[derive(Default)]
pub(crate) struct ParkedCalls(Mutex<HashMap<String, (Parked, Instant)>>);

impl ParkedCalls {
    /// An unguessable handle.
    pub(crate) fn handle(&self, rng: &dyn Rng) -> String {
        String::from(McpSessionId::mint(rng))
    }

    /// Parks a call until `until`; gives it back when there is no room.
    #[expect(clippy::result_large_err, reason = "the call itself comes back")]
    pub(crate) fn put(&self, handle: String, parked: Parked, until: Instant) -> Result<(), Parked> {
        match self.0.lock() {
            Ok(mut all) if all.len() < MOST => {
                all.insert(handle, (parked, until));
                Ok(())
            }
            _ => Err(parked),
        }
    }

    /// Takes a call; of any number of callers one gets it.
    pub(crate) fn take(&self, handle: &str) -> Option<Parked> {
        self.0.lock().ok()?.remove(handle).map(|(parked, _)| parked)
    }

    /// Takes the calls whose time is up, or of which `dead` says so; all, where `everything`.
    pub(crate) fn expired(&self, everything: bool, dead: impl Fn(&Parked) -> bool) -> Vec<Parked> {
        let Ok(mut all) = self.0.lock() else { return Vec::new() };
        let now = Instant::now();
        let due = |(parked, until): &(Parked, Instant)| everything || *until <= now || dead(parked);
        let handles: Vec<String> =
            all.iter().filter(|(_, entry)| due(entry)).map(|(handle, _)| handle.clone()).collect();
        handles.iter().filter_map(|handle| all.remove(handle)).map(|(parked, _)| parked).collect()
    }
}
