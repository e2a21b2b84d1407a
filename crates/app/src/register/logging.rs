//! The register in the audit log: commands beside a running gate write to the store alone, and the gate puts on
//! the record what they decided when it learns of it.
//!
//! The log is written before the store says that it was: a crash between the two records an entry twice and never
//! loses one.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sallyport_model::{AuditEvent, Clock, EventId, EventKind, Recorder, Rng, hex};
use sallyport_storage::{AdmissionDecision, Assessed, RegisterEntry, RegisterEvent, Store};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Entries at a time.
const PAGE: usize = 100;
/// How long to wait after a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// What recording needs.
#[derive(Clone)]
pub struct Records {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The log.
    pub recorder: Arc<dyn Recorder>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Event ids.
    pub rng: Arc<dyn Rng>,
}

impl Records {
    /// Records what is new in the register, now and whenever `number` changes.
    pub async fn keep_recording(self, mut number: watch::Receiver<Option<u64>>) {
        loop {
            number.mark_unchanged();
            if let Err(error) = self.record_new().await {
                tracing::error!(%error, "the register's changes could not be recorded; they are tried again");
                tokio::time::sleep(AGAIN).await;
            } else if number.changed().await.is_err() {
                return;
            }
        }
    }

    /// Records every entry that is not in the log yet; how many.
    pub async fn record_new(&self) -> Result<usize> {
        let mut count = 0;
        let mut after = self.store.register_logged().await?;
        loop {
            let page = self.store.register_after(after, PAGE).await?;
            for entry in &page {
                self.record(facts(entry)).await?;
                self.store.note_register_logged(entry.number).await?;
                after = entry.number;
            }
            count += page.len();
            if page.len() < PAGE {
                return Ok(count);
            }
        }
    }

    /// Records one thing that was done to the register.
    pub async fn record(&self, facts: Value) -> Result<()> {
        let now = self.clock.now();
        let mut event = AuditEvent::new(EventKind::Administered, EventId::mint(now, self.rng.as_ref()), now);
        if let Value::Object(facts) = facts {
            event.facts.extend(facts.into_iter().filter(|(_, value)| !value.is_null()));
        }
        self.recorder.record(event).await.context("the audit log takes no events")?;
        Ok(())
    }
}

fn facts(entry: &RegisterEntry) -> Value {
    match &entry.event {
        RegisterEvent::Assessed(assessed) => assessed_facts(entry.number, assessed),
        RegisterEvent::Decided(decision) => decided_facts(entry.number, decision),
    }
}

fn assessed_facts(number: u64, assessed: &Assessed) -> Value {
    json!({
        "action": "upstream_assessed",
        "register_number": number,
        "upstream": assessed.upstream,
        "origin": assessed.origin,
        "target": assessed.target,
        "target_differs": assessed.target_differs,
        "assessed_at": assessed.assessed_at,
        "total": assessed.total,
        "total_range": [assessed.low, assessed.high],
        "band": assessed.band,
        "definitions_sha256": assessed.definitions.map(|digest| hex(&digest)),
        "counts": assessed.counts,
    })
}

fn decided_facts(number: u64, decision: &AdmissionDecision) -> Value {
    json!({
        "action": "admission_changed",
        "register_number": number,
        "upstream": decision.upstream,
        "decision": decision.decided,
        "by": decision.by,
        "reason": decision.reason,
        "owner": decision.owner,
        "until": decision.until,
        "decided_at": decision.at,
        "definitions_sha256": hex(&decision.definitions),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::{Memory, store};
    use sallyport_model::{ManualClock, SeededRng, Timestamp};
    use sallyport_storage::Admission;
    use std::sync::Mutex;

    fn decision(by: &str) -> AdmissionDecision {
        AdmissionDecision {
            upstream: "files".parse().unwrap(),
            decided: Admission::Accepted,
            by: by.into(),
            reason: "a pilot with two people".into(),
            owner: Some("platform".into()),
            until: Some(Timestamp::from_secs(2_000)),
            at: Timestamp::from_secs(1_000),
            definitions: [9; 32],
        }
    }

    #[tokio::test]
    async fn a_decision_beside_the_gate_is_recorded_once_with_who_and_why() {
        use sallyport_storage::Assessments as _;
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let memory = Arc::new(Memory(Mutex::default(), Mutex::new(1)));
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_500)));
        let records =
            Records { store: store.clone(), recorder: memory.clone(), clock, rng: Arc::new(SeededRng::new(1)) };
        for by in ["ann", "bob", "cy"] {
            store.decide_admission(&decision(by)).await.unwrap();
        }
        assert!(records.record_new().await.is_err(), "the log takes one");
        *memory.1.lock().unwrap() = 100;
        assert_eq!(records.record_new().await.unwrap(), 2, "and goes on where it stopped");
        assert_eq!(records.record_new().await.unwrap(), 0);
        let events = memory.0.lock().unwrap().clone();
        let who: Vec<_> = events.iter().map(|event| event.facts["by"].as_str().unwrap()).collect();
        assert_eq!(who, ["ann", "bob", "cy"]);
        let first = &events[0];
        assert_eq!((first.kind, &first.facts["action"]), (EventKind::Administered, &json!("admission_changed")));
        assert_eq!(first.facts["decision"], "accepted");
        assert_eq!(first.facts["reason"], "a pilot with two people");
        assert_eq!(first.facts["upstream"], "files");
        assert_eq!(first.facts["owner"], "platform");
    }
}
