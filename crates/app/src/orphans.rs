//! After a crash: calls and streams that were opened and never closed get an end, *outcome unknown*.
//!
//! Reads the log backwards to the last start or orderly stop; an earlier start has closed what was
//! before it.

use std::collections::BTreeMap;

use anyhow::Result;
use sallyport_ledger::{Keyring, Log, LogReader, Opened};
use sallyport_model::{
    AuditEvent, Clock, EventId, EventKind, Recorder, Rng,
    event::{Outcome, OutcomeStatus},
};

/// Closes what the last run left open; how many there were.
///
/// # Errors
/// When the log cannot be read or takes no events.
pub async fn close(
    log: &Log,
    keyring: &dyn Keyring,
    recorder: &dyn Recorder,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<usize> {
    let reader = LogReader::open(log.dir(), log.verifier(), log.verifier().name())?;
    let open = left_open(&reader, keyring)?;
    let count = open.len();
    for event in open {
        recorder.record(ending(event, clock, rng)).await?;
    }
    Ok(count)
}

/// The opening events of what has no end, in the order in which they happened.
fn left_open(reader: &LogReader, keyring: &dyn Keyring) -> Result<Vec<AuditEvent>> {
    let mut ended = std::collections::HashSet::new();
    let mut open = BTreeMap::new();
    for index in (0..reader.size()).rev() {
        let Opened::Event { json, .. } = reader.entry(index)?.open(keyring)? else { continue };
        let event: AuditEvent = serde_json::from_slice(&json)?;
        let call = event.call.as_ref().map(|call| call.id.clone());
        match (event.kind, call) {
            (EventKind::Started | EventKind::Stopped, _) => break,
            (
                EventKind::CallClosed
                | EventKind::StreamClosed
                | EventKind::McpSessionClosed
                // An earlier start that was stopped in the middle of this very work.
                | EventKind::OutcomeUnknown,
                Some(call),
            ) => {
                ended.insert(call);
            }
            (EventKind::CallOpened | EventKind::StreamOpened | EventKind::McpSessionOpened, Some(call))
                if !ended.contains(&call) =>
            {
                open.insert(index, event);
            }
            _ => {}
        }
    }
    Ok(open.into_values().collect())
}

fn ending(mut event: AuditEvent, clock: &dyn Clock, rng: &dyn Rng) -> AuditEvent {
    let now = clock.now();
    let latency = now.since(event.time);
    event.facts.insert("opened_as".to_owned(), serde_json::json!(event.kind));
    event.facts.insert("opened_event".to_owned(), serde_json::json!(event.id));
    event.id = EventId::mint(now, rng);
    event.time = now;
    event.kind = EventKind::OutcomeUnknown;
    event.outcome = Some(Outcome {
        status: OutcomeStatus::Unknown,
        code: Some("the gate stopped".to_owned()),
        latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
        response_bytes: 0,
    });
    event
}
