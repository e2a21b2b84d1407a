//! The call's two entries in the audit log: opened before it is forwarded, closed before its last
//! bytes are released.
//!
//! Closing is an explicit step that awaits durability and can fail; nothing is ever recorded by a
//! `Drop`. A call that acts is opened durably before it is forwarded. A call that only reads is opened
//! before it releases anything ahead of its answer; else it has one entry, at its close: until then it
//! has told nobody anything.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use sallyport_mcp::{Object, Outcome as RpcOutcome, Response};
use sallyport_model::{
    AuditEvent, CallId, Clock, EventId, EventKind, Principal, Receipt, RecordError, Recorder, Rng, UpstreamName,
    event::{CallFacts, DecisionFacts, Outcome, OutcomeStatus, Source, Who},
};
use serde_json::Value;

use crate::{refusal::Refusal, sanitise};

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
        event
    }

    fn facts(&self, subject: &Subject, about: About) -> CallFacts {
        CallFacts {
            id: CallId::mint(self.rng.as_ref()),
            upstream: subject.upstream.clone(),
            method: about.method,
            name: about.name,
            protocol_version: about.protocol_version,
            arguments: about.arguments,
            arguments_sha256: about.arguments_sha256,
            definition_sha256: about.definition_sha256,
            request_bytes: subject.request_bytes,
            traceparent: about.traceparent,
        }
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
        event.facts =
            BTreeMap::from([("message".to_owned(), Value::from(sanitise::sanitise_text(&refusal.to_string())))]);
        self.recorder.record(event).await
    }
}

impl Open {
    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.event.call.as_ref().map_or("", |call| call.method.as_str())
    }

    /// Adds to the bytes that were released to the client.
    pub(crate) fn released(&mut self, bytes: usize) {
        self.released = self.released.saturating_add(bytes as u64);
    }

    /// Makes sure that the opening is in the log; durable on return. Due before anything is released
    /// ahead of the end.
    pub(crate) async fn begun(&mut self) -> Result<(), RecordError> {
        if !self.opened {
            self.records.recorder.record(self.event.clone()).await?;
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
        records.recorder.record(event).await
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

/// SHA-256 in lowercase hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// Lowercase hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

fn who(principal: &Principal) -> Who {
    Who {
        subject: principal.subject.clone(),
        on_behalf_of: Vec::new(),
        client: Some(principal.client.clone()),
        session: Some(principal.session.clone()),
        grant: Some(principal.grant.clone()),
        token: Some(principal.token.clone()),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
