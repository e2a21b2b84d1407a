//! The call's two entries in the audit log: opened before it is forwarded, closed before its last
//! bytes are released.
//!
//! Closing is an explicit step that awaits durability and can fail; nothing is ever recorded by a
//! `Drop`. A call that acts is opened durably before it is forwarded. A call that only reads is opened
//! before it releases anything ahead of its answer; else it has one entry, at its close: until then it
//! has told nobody anything.
//!
//! What clients choose the length of is clipped, and an event is measured before anything is forwarded:
//! no request is too large for its record.

use std::{sync::Arc, time::Instant};

use sallyport_mcp::{Object, Outcome as RpcOutcome, Response};
use sallyport_model::{
    AuditEvent, CallId, Clock, EventId, EventKind, KeyBinding, Principal, Receipt, RecordError, Recorder, Rng,
    UpstreamName,
    event::{CallFacts, DecisionFacts, Outcome, OutcomeStatus, Source, Who},
    hex,
};
use serde_json::Value;

use crate::{refusal::Refusal, sanitise};

/// Bytes of an opening event in JSON. A log entry holds 65,535 with its sealing and the outcome.
const MOST_EVENT: usize = 48 * 1024;
/// Characters kept of a fact that the client chose; what [`sanitise::sanitise_text`] leaves is shorter.
const MOST_FACT: usize = 320;
/// The fact that says how the token was bound to its holder.
const BOUND: &str = "bound";
/// Characters kept of a protocol version.
const MOST_VERSION: usize = 32;

/// What recording needs.
#[derive(Clone)]
pub(crate) struct Records {
    /// The log.
    pub(crate) recorder: Arc<dyn Recorder>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Event ids.
    pub(crate) rng: Arc<dyn Rng>,
}

/// What is known of a request when it is recorded.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) principal: Arc<Principal>,
    pub(crate) source: Source,
    pub(crate) upstream: UpstreamName,
    pub(crate) arrived: Instant,
    pub(crate) request_bytes: u64,
}

/// The part of a request that its entries describe.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) method: String,
    pub(crate) name: Option<String>,
    pub(crate) protocol_version: Option<String>,
    pub(crate) arguments: Option<Value>,
    pub(crate) arguments_sha256: Option<String>,
    pub(crate) definition_sha256: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// A client's answer to an upstream's question.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    /// The question's method, or where that is not known the method of the call that asked.
    pub(crate) method: String,
    /// By which the question is known: its id, or its key in `inputRequests`.
    pub(crate) key: String,
    /// What the client does: `accept`, `decline`, `cancel`, else `answered` or `error`.
    pub(crate) action: &'static str,
    /// SHA-256 of the answer, in hexadecimal. The answer itself is the person's and is not kept.
    pub(crate) sha256: String,
}

/// A call, stream or session whose end is still to be recorded.
#[must_use = "an open call has to be closed, or its end is missing from the log"]
pub(crate) struct Open {
    records: Records,
    event: AuditEvent,
    closes_as: EventKind,
    arrived: Instant,
    released: u64,
    /// Whether the opening is in the log.
    opened: bool,
}

impl Records {
    fn event(&self, kind: EventKind, subject: &Subject) -> AuditEvent {
        let now = self.clock.now();
        let mut event = AuditEvent::new(kind, EventId::mint(now, self.rng.as_ref()), now);
        event.tenant = Some(subject.principal.tenant.clone());
        event.who = Some(who(&subject.principal));
        event.source = Some(subject.source.clone());
        event.facts.insert(BOUND.to_owned(), bound(&subject.principal).into());
        event
    }

    fn facts(&self, subject: &Subject, about: About) -> CallFacts {
        CallFacts {
            id: CallId::mint(self.rng.as_ref()),
            upstream: subject.upstream.clone(),
            method: clip(about.method, MOST_FACT),
            name: about.name.map(|name| clip(name, MOST_FACT)),
            protocol_version: about.protocol_version.map(|version| clip(version, MOST_VERSION)),
            arguments: about.arguments,
            arguments_sha256: about.arguments_sha256,
            definition_sha256: about.definition_sha256,
            request_bytes: subject.request_bytes,
            traceparent: about.traceparent.map(|trace| clip(trace, MOST_FACT)),
        }
    }

    /// Records `event`, or of one that is larger than a log entry what says who did what where.
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        match self.recorder.record(event.clone()).await {
            Err(RecordError::TooLarge { .. }) => self.recorder.record(least(event)).await,
            recorded => recorded,
        }
    }

    /// Records what a client answers to an upstream's questions, within `call` where that is known;
    /// durable on return. Forward the answers only after `Ok`.
    pub(crate) async fn answered(
        &self,
        subject: &Subject,
        call: Option<CallId>,
        answers: Vec<Answered>,
    ) -> Result<(), RecordError> {
        let events = answers.into_iter().map(|answer| {
            let mut event = self.event(EventKind::InputAnswered, subject);
            let mut facts = self.facts(subject, About { method: answer.method, ..About::default() });
            if let Some(call) = &call {
                facts.id = call.clone();
            }
            event.call = Some(facts);
            event.facts.extend([
                ("action".to_owned(), answer.action.into()),
                ("key".to_owned(), sanitise::sanitise_text(&answer.key).into()),
                ("content_sha256".to_owned(), answer.sha256.into()),
            ]);
            self.record(event)
        });
        futures::future::try_join_all(events).await.map(|_| ())
    }

    /// Opens a call. Returns once its entry is durable if the call `acts`.
    pub(crate) async fn open_call(&self, subject: &Subject, about: About, acts: bool) -> Result<Open, RecordError> {
        self.recorder.ready()?;
        let mut open = self.begin(subject, about, EventKind::CallOpened, EventKind::CallClosed);
        if acts {
            open.begun().await?;
        }
        Ok(open)
    }

    /// Opens a stream or session; its entry is durable on return.
    pub(crate) async fn open_lasting(
        &self,
        subject: &Subject,
        about: About,
        opens: EventKind,
        closes: EventKind,
    ) -> Result<Open, RecordError> {
        let mut open = self.begin(subject, about, opens, closes);
        open.begun().await?;
        Ok(open)
    }

    fn begin(&self, subject: &Subject, about: About, opens: EventKind, closes: EventKind) -> Open {
        let mut event = self.event(opens, subject);
        event.call = Some(self.facts(subject, about));
        event.decision = Some(DecisionFacts { allowed: true, code: "granted".to_owned(), needed: None });
        fit(&mut event);
        Open { records: self.clone(), event, closes_as: closes, arrived: subject.arrived, released: 0, opened: false }
    }

    /// Records the refusal of an authenticated request; durable on return.
    pub(crate) async fn refused(
        &self,
        subject: &Subject,
        about: About,
        refusal: &Refusal,
    ) -> Result<Receipt, RecordError> {
        let mut event = self.event(EventKind::CallRefused, subject);
        event.call = Some(self.facts(subject, about));
        let needed = match refusal {
            Refusal::Denied(sallyport_model::Reason::InsufficientScope { needed }) => Some(needed.clone()),
            _ => None,
        };
        event.decision = Some(DecisionFacts { allowed: false, code: refusal.code().to_owned(), needed });
        event.outcome = Some(Outcome {
            status: OutcomeStatus::Refused,
            code: Some(refusal.rpc().code.to_string()),
            latency_us: micros(subject.arrived),
            response_bytes: 0,
        });
        let message = Value::from(sanitise::sanitise_text(&refusal.to_string()));
        event.facts.insert("message".to_owned(), message);
        fit(&mut event);
        self.record(event).await
    }
}

impl Open {
    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.event.call.as_ref().map_or("", |call| call.method.as_str())
    }

    /// The call's id in the log.
    pub(crate) fn call(&self) -> Option<CallId> {
        self.event.call.as_ref().map(|call| call.id.clone())
    }

    /// Adds to the bytes that were released to the client.
    pub(crate) fn released(&mut self, bytes: usize) {
        self.released = self.released.saturating_add(bytes as u64);
    }

    /// Makes sure that the opening is in the log; durable on return. Due before anything is released
    /// ahead of the end.
    pub(crate) async fn begun(&mut self) -> Result<(), RecordError> {
        if !self.opened {
            self.records.record(self.event.clone()).await?;
            self.opened = true;
        }
        Ok(())
    }

    /// Records the end; durable on return. Release the last bytes only after `Ok`.
    pub(crate) async fn close(self, status: OutcomeStatus, code: Option<String>) -> Result<Receipt, RecordError> {
        let Self { records, mut event, closes_as, arrived, released, opened: _ } = self;
        let now = records.clock.now();
        event.id = EventId::mint(now, records.rng.as_ref());
        event.time = now;
        event.kind = closes_as;
        event.outcome = Some(Outcome { status, code, latency_us: micros(arrived), response_bytes: released });
        records.record(event).await
    }

    /// Records the end by what the upstream answered; durable on return.
    pub(crate) async fn close_with(self, response: &Response) -> Result<Receipt, RecordError> {
        let (status, code) = verdict(response);
        self.close(status, code).await
    }
}

/// What an answer means for the record. A tool that failed is a failure though HTTP says 200.
pub(crate) fn verdict(response: &Response) -> (OutcomeStatus, Option<String>) {
    match &response.outcome {
        RpcOutcome::Error(error) => (OutcomeStatus::Errored, Some(error.code.to_string())),
        RpcOutcome::Result(result) if result.get("isError") == Some(&Value::Bool(true)) => {
            (OutcomeStatus::ToolFailed, None)
        }
        RpcOutcome::Result(result) if result.get("resultType").and_then(Value::as_str) == Some("input_required") => {
            (OutcomeStatus::InputRequired, None)
        }
        RpcOutcome::Result(_) => (OutcomeStatus::Succeeded, None),
    }
}

/// The arguments of a request for the log, and the digest of what is forwarded.
pub(crate) fn arguments(params: Option<&Object>) -> (Option<Value>, Option<String>) {
    let Some(arguments) = params.and_then(|params| params.get("arguments")) else { return (None, None) };
    let bytes = serde_json::to_vec(arguments).unwrap_or_default();
    (Some(sanitise::sanitise(arguments)), Some(sha256_hex(&bytes)))
}

/// What the log may know of an answer to `method`: its action and its digest.
pub(crate) fn answered(method: &str, key: String, outcome: &RpcOutcome) -> Answered {
    let (action, bytes) = match outcome {
        RpcOutcome::Error(error) => ("error", serde_json::to_vec(&error.message).unwrap_or_default()),
        RpcOutcome::Result(result) => {
            let action = match result.get("action").and_then(Value::as_str) {
                Some("accept") => "accept",
                Some("decline") => "decline",
                Some("cancel") => "cancel",
                _ => "answered",
            };
            (action, serde_json::to_vec(result).unwrap_or_default())
        }
    };
    Answered { method: sanitise::sanitise_text(method), key, action, sha256: sha256_hex(&bytes) }
}

/// Leaves the arguments out of an event that would not fit into a log entry; their digest stays.
fn fit(event: &mut AuditEvent) {
    if serde_json::to_vec(event).map_or(usize::MAX, |bytes| bytes.len()) <= MOST_EVENT {
        return;
    }
    if let Some(call) = &mut event.call {
        call.arguments = call.arguments.take().map(|_| Value::from("[left out]"));
    }
}

/// The event without anything whose length a client chooses.
fn least(mut event: AuditEvent) -> AuditEvent {
    if let Some(call) = &mut event.call {
        (call.name, call.arguments, call.protocol_version, call.traceparent) = (None, None, None, None);
        call.method = clip(std::mem::take(&mut call.method), MOST_VERSION);
    }
    if let Some(decision) = &mut event.decision {
        decision.needed = None;
    }
    if let Some(source) = &mut event.source {
        source.user_agent = None;
    }
    event.facts.retain(|name, _| name == BOUND);
    event.facts.insert("left_out".to_owned(), Value::from("the event was too large"));
    event
}

fn clip(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// SHA-256 in lowercase hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// Who acts, and for whom.
fn who(principal: &Principal) -> Who {
    Who {
        subject: principal.acting(),
        on_behalf_of: principal.on_behalf_of(),
        client: Some(principal.client.clone()),
        session: Some(principal.session.clone()),
        grant: Some(principal.grant.clone()),
        token: Some(principal.token.clone()),
    }
}

/// What of whoever sent the request had to be proved besides the token.
fn bound(principal: &Principal) -> &'static str {
    match principal.bound_to {
        Some(KeyBinding::Dpop(_)) => "dpop",
        Some(KeyBinding::Certificate(_)) => "mtls",
        None => "bearer",
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_model::{SystemRng, Timestamp};

    #[test]
    fn an_event_that_would_not_fit_loses_its_arguments_and_keeps_their_digest() {
        let now = Timestamp::from_secs(1);
        let mut event = AuditEvent::new(EventKind::CallOpened, EventId::mint(now, &SystemRng), now);
        let call = CallFacts {
            id: CallId::mint(&SystemRng),
            upstream: UpstreamName::new("up").unwrap(),
            method: "tools/call".to_owned(),
            name: Some("n".to_owned()),
            protocol_version: None,
            arguments: Some(Value::from("a".repeat(MOST_EVENT - 500))),
            arguments_sha256: Some("d".to_owned()),
            definition_sha256: None,
            request_bytes: 1,
            traceparent: None,
        };
        event.call = Some(call);
        let before = event.clone();
        fit(&mut event);
        assert_eq!(event, before, "it fits");
        event.call.as_mut().unwrap().arguments = Some(Value::from("\u{1}".repeat(MOST_EVENT / 6)));
        fit(&mut event);
        let call = event.call.as_ref().unwrap();
        assert_eq!(
            (call.arguments.as_ref().unwrap(), call.arguments_sha256.as_deref()),
            (&"[left out]".into(), Some("d"))
        );
        assert_eq!(call.name.as_deref(), Some("n"));
    }

    #[test]
    fn clipping_counts_characters_and_leaves_a_mark() {
        assert_eq!(clip("äöü".to_owned(), 3), "äöü");
        assert_eq!(clip("äöüß".to_owned(), 3), "äöü…");
    }
}
