//! Both formats over one small set of events, kept as snapshots.

use std::{collections::BTreeMap, sync::Arc};

use sallyport_ledger::{Log, LogConfig, LogReader, LogRecorder, LogSigner, MemoryKeyring, Opened};
use sallyport_model::{
    Actor, AgentId, AuditEvent, CallId, ClientId, EventId, EventKind, GrantId, Recorder, SeededRng, SessionId,
    TenantId, Timestamp, TokenId, UserId,
    event::{CallFacts, DecisionFacts, Outcome, OutcomeStatus, Source, Who},
    hex,
};
use serde_json::Value;

use crate::*;

fn new(kind: EventKind, n: u64) -> AuditEvent {
    let now = Timestamp::from_millis(1_760_000_000_000 + n);
    let mut event = AuditEvent::new(kind, EventId::mint(now, &SeededRng::new(n)), now);
    event.source = Some(Source { address: "192.0.2.7".into(), user_agent: Some("example/1.0".into()) });
    event
}

fn call(method: &str, name: Option<&str>) -> CallFacts {
    CallFacts {
        id: CallId::new("call-1").unwrap(),
        upstream: "files".parse().unwrap(),
        method: method.into(),
        name: name.map(str::to_owned),
        protocol_version: Some("2025-11-25".into()),
        arguments: Some(serde_json::json!({ "path": "/a", "size": 1.50 })),
        arguments_sha256: Some("aa".repeat(32)),
        definition_sha256: Some("bb".repeat(32)),
        request_bytes: 120,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

/// One event of each shape.
fn events() -> Vec<AuditEvent> {
    let human = Actor::Human(UserId::new("ada").unwrap());
    let mut closed = new(EventKind::CallClosed, 1);
    closed.tenant = Some(TenantId::new("acme").unwrap());
    closed.who = Some(Who {
        subject: Actor::Agent(AgentId::new("reporter").unwrap()),
        on_behalf_of: vec![human.clone()],
        client: Some(ClientId::new("https://client.example/metadata").unwrap()),
        session: Some(SessionId::new("s-1").unwrap()),
        grant: Some(GrantId::new("g-1").unwrap()),
        token: Some(TokenId::new("t-1").unwrap()),
    });
    closed.call = Some(call("tools/call", Some("write_file")));
    closed.decision = Some(DecisionFacts { allowed: true, code: "granted".into(), needed: None });
    closed.outcome = Some(Outcome {
        status: OutcomeStatus::Errored,
        code: Some("-32602".into()),
        latency_us: 12_345,
        response_bytes: 77,
    });

    let mut refused = new(EventKind::CallRefused, 2);
    refused.tenant = Some(TenantId::new("acme").unwrap());
    refused.who =
        Some(Who { subject: human, on_behalf_of: Vec::new(), client: None, session: None, grant: None, token: None });
    refused.call = Some(call("resources/read", Some("file:///etc/passwd")));
    let needed = Some("files:read".parse().unwrap());
    refused.decision = Some(DecisionFacts { allowed: false, code: "insufficient_scope".into(), needed });

    let mut strangers = new(EventKind::StrangersRefused, 3);
    strangers.claimed = Some(BTreeMap::from([("sub".to_owned(), "root".to_owned())]));
    strangers.facts.insert("count".into(), 17.into());

    let mut started = new(EventKind::Started, 4);
    started.source = None;

    let mut replay = new(EventKind::ReplayDetected, 5);
    replay.source = Some(Source { address: "unix socket".into(), user_agent: None });
    let mut unknown = closed.clone();
    unknown.outcome =
        Some(Outcome { status: OutcomeStatus::Unknown, code: Some("gone".into()), latency_us: 0, response_bytes: 0 });
    vec![closed, refused, strangers, started, replay, unknown]
}

fn entries() -> Vec<ExportEntry> {
    let open = |(n, event): (usize, AuditEvent)| ExportEntry {
        index: n as u64,
        leaf_hash: [n as u8; 32],
        tenant: event.tenant.clone(),
        tenant_sequence: n as u64 / 2,
        opened: Opened::Event { json: serde_json::to_vec(&event).unwrap(), salt: [0; 32] },
    };
    let mut entries: Vec<ExportEntry> = events().into_iter().enumerate().map(open).collect();
    entries.push(ExportEntry { index: 6, opened: Opened::Erased, ..entries[0].clone() });
    entries
}

#[test]
fn json_lines() {
    let mut out = Vec::new();
    let exported = write_jsonl(entries().into_iter().map(Ok), &mut out).unwrap();
    assert_eq!(exported, Exported { events: 6, erased: 1 });
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn ocsf_lines() {
    let mut out = Vec::new();
    let exported = write_ocsf(entries().into_iter().map(Ok), &mut out).unwrap();
    assert_eq!(exported, Exported { events: 6, erased: 1 });
    // Kept as the lines themselves, so that `test-lab/verifiers/ocsf_check.py` can be run on them.
    insta::assert_binary_snapshot!("ocsf.jsonl", out);
}

#[test]
fn an_error_of_the_log_ends_the_export() {
    let failed = LedgerError::NoSuchEntry { index: 9, size: 3 };
    let entries = [Ok(entries().remove(0)), Err(failed), Ok(entries().remove(1))];
    let mut out = Vec::new();
    assert!(matches!(write_jsonl(entries, &mut out), Err(ExportError::Ledger(_))));
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
}

#[tokio::test]
async fn a_log_exports_what_was_recorded_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let signer = LogSigner::from_seed("example.com/audit", &[3; 32]).unwrap();
    let key = signer.verifier().clone();
    let (log, _) = Log::open(LogConfig::new(dir.path(), signer)).unwrap();
    let keyring = Arc::new(MemoryKeyring::new(Arc::new(SeededRng::new(1))));
    let recorder = LogRecorder::new(log.clone(), keyring.clone(), Arc::new(SeededRng::new(2)));
    let mut receipts = Vec::new();
    for event in events() {
        receipts.push(recorder.record(event).await.unwrap());
    }
    log.close().unwrap();
    keyring.shred(Some(&TenantId::new("acme").unwrap()), Some(&UserId::new("ada").unwrap()));
    let reader = LogReader::open(dir.path(), &key, "example.com/audit").unwrap();
    let opened = || reader.entries(0).map(|entry| ExportEntry::open(&entry?, &*keyring));
    let mut out = Vec::new();
    assert_eq!(write_jsonl(opened(), &mut out).unwrap(), Exported { events: 3, erased: 3 });
    let lines: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for ((line, receipt), event) in lines.iter().zip(&receipts).zip(events()) {
        assert_eq!(line["log"]["index"], receipt.index);
        assert_eq!(line["log"]["leaf_hash"], hex(&receipt.leaf_hash));
        if line["event"].is_null() {
            assert_eq!((&line["erased"], event.person().unwrap().as_str()), (&Value::Bool(true), "ada"));
        } else {
            assert_eq!(line["event"], serde_json::to_value(event).unwrap());
        }
    }
}
