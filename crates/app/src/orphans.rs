//! After a crash: calls and streams that were opened and never closed get an end, *outcome unknown*.
//!
//! Reads the log backwards to the last start, past a stop, during which something may have been left
//! open; an earlier start has closed what was before it.

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
    for entry in reader.entries_back() {
        let entry = entry?;
        let Opened::Event { json, .. } = entry.open(keyring)? else { continue };
        let event: AuditEvent = serde_json::from_slice(&json)?;
        let call = event.call.as_ref().map(|call| call.id.clone());
        match (event.kind, call) {
            (EventKind::Started, _) => break,
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
                open.insert(entry.index, event);
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

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc, time::Duration};

    use sallyport_ledger::{LogConfig, LogRecorder, LogSigner, MemoryKeyring};
    use sallyport_model::{CallId, ManualClock, SeededRng, Timestamp, UpstreamName, event::CallFacts};

    use super::*;

    fn open(dir: &Path) -> Log {
        let signer = LogSigner::from_seed("example.com/audit", &[7; 32]).unwrap();
        Log::open(LogConfig { checkpoint_interval: Duration::ZERO, ..LogConfig::new(dir, signer) }).unwrap().0
    }

    fn event(n: u64, kind: EventKind, call: u64) -> AuditEvent {
        let now = Timestamp::from_secs(n);
        let mut event = AuditEvent::new(kind, EventId::mint(now, &SeededRng::new(n)), now);
        event.call = (call > 0).then(|| CallFacts {
            id: CallId::mint(&SeededRng::new(call)),
            upstream: UpstreamName::new("files").unwrap(),
            method: "tools/call".to_owned(),
            name: None,
            protocol_version: None,
            arguments: None,
            arguments_sha256: None,
            definition_sha256: None,
            request_bytes: 0,
            traceparent: None,
        });
        event
    }

    #[tokio::test]
    async fn what_a_crash_left_open_is_closed_once_as_unknown() {
        use EventKind::{CallClosed, CallOpened, OutcomeUnknown, Started, StreamOpened};
        let dir = tempfile::tempdir().unwrap();
        let keyring = Arc::new(MemoryKeyring::new(Arc::new(SeededRng::new(1))));
        let crashed = open(dir.path());
        let recorder = LogRecorder::new(crashed.clone(), keyring.clone(), Arc::new(SeededRng::new(2)));
        // Call 1 is of a run before the last and belongs to nobody here; call 2 ended; 3 and 4 did not.
        let run = [(CallOpened, 1), (Started, 0), (CallOpened, 2), (CallOpened, 3), (CallClosed, 2), (StreamOpened, 4)];
        for (n, (kind, call)) in (1..).zip(run) {
            recorder.record(event(n, kind, call)).await.unwrap();
        }
        crashed.close().unwrap();
        drop((recorder, crashed));

        let clock = ManualClock::at(Timestamp::from_secs(100));
        for left in [2, 0] {
            let log = open(dir.path());
            let rng = Arc::new(SeededRng::new(50 + left as u64));
            let recorder = LogRecorder::new(log.clone(), keyring.clone(), rng.clone());
            assert_eq!(close(&log, &*keyring, &recorder, &clock, &*rng).await.unwrap(), left);
            log.close().unwrap();
        }
        let log = open(dir.path());
        let reader = LogReader::open(log.dir(), log.verifier(), log.verifier().name()).unwrap();
        let ends: Vec<_> = reader.entries(6).map(|entry| entry.unwrap().open(&*keyring).unwrap()).collect();
        let ends: Vec<_> = ends.iter().map(|opened| opened.event(0).unwrap().unwrap()).collect();
        assert_eq!(ends.len(), 2);
        for (end, call) in ends.iter().zip([3, 4]) {
            assert_eq!((end.kind, &end.call), (OutcomeUnknown, &event(9, CallOpened, call).call));
        }
    }

    #[tokio::test]
    async fn what_a_stop_left_open_is_closed_at_the_next_start_and_once() {
        use EventKind::{CallClosed, CallOpened, Started, Stopped};
        let dir = tempfile::tempdir().unwrap();
        let keyring = Arc::new(MemoryKeyring::new(Arc::new(SeededRng::new(1))));
        let stopped = open(dir.path());
        let recorder = LogRecorder::new(stopped.clone(), keyring.clone(), Arc::new(SeededRng::new(2)));
        let run = [(Started, 0), (CallOpened, 1), (CallOpened, 2), (CallClosed, 1), (Stopped, 0)];
        for (n, (kind, call)) in (1..).zip(run) {
            recorder.record(event(n, kind, call)).await.unwrap();
        }
        stopped.close().unwrap();
        drop((recorder, stopped));

        let clock = ManualClock::at(Timestamp::from_secs(100));
        for left in [1, 0] {
            let log = open(dir.path());
            let rng = Arc::new(SeededRng::new(60 + left as u64));
            let recorder = LogRecorder::new(log.clone(), keyring.clone(), rng.clone());
            assert_eq!(close(&log, &*keyring, &recorder, &clock, &*rng).await.unwrap(), left);
            log.close().unwrap();
        }
    }
}
