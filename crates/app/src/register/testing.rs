//! What the register's tests share.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use sallyport_model::{
    AuditEvent, Receipt, RecordError, Recorder, Timestamp,
    assessment::{Assessment, Band, QUESTION_MAX, Question, SCHEMA_VERSION, TITLES, TOTAL_MAX, Verdict},
};
use sallyport_storage::SqliteStore;

/// A document with these ranges.
pub(crate) fn document(target: &str, ranges: [[u8; 2]; 10], assessed_at: Timestamp) -> Assessment {
    let questions = (1..).zip(ranges).map(|(number, range)| Question {
        number,
        title: TITLES[usize::from(number) - 1].to_owned(),
        score: (range[0] == range[1]).then_some(range[0]),
        range,
        max: QUESTION_MAX,
        points: None,
        verdict: Verdict::Partial,
        held_down_by: Vec::new(),
        answer: None,
        evidence: Vec::new(),
        remedy: String::new(),
    });
    let sum = |end: usize| ranges.iter().map(|range| range[end]).sum::<u8>();
    let total = (sum(0) == sum(1)).then(|| sum(0));
    Assessment {
        schema_version: SCHEMA_VERSION,
        target: target.to_owned(),
        server: None,
        transport: "streamable-http".to_owned(),
        protocol_versions: Vec::new(),
        assessed_at: assessed_at.to_string(),
        duration_ms: 1,
        assessor: "sallyport".to_owned(),
        access: Vec::new(),
        questions: questions.collect(),
        total,
        total_range: [sum(0), sum(1)],
        answer_total: None,
        max: TOTAL_MAX,
        band: total.map(Band::of),
        bands_possible: Vec::new(),
        definitions: Vec::new(),
        exchanges: Vec::new(),
    }
}

/// A log in memory that takes so many events.
pub(crate) struct Memory(pub(crate) Mutex<Vec<AuditEvent>>, pub(crate) Mutex<usize>);

#[async_trait]
impl Recorder for Memory {
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        let mut events = self.0.lock().unwrap();
        if events.len() >= *self.1.lock().unwrap() {
            return Err(RecordError::Poisoned("told to fail".into()));
        }
        events.push(event);
        Ok(Receipt { index: events.len() as u64 - 1, leaf_hash: [0; 32] })
    }
    fn ready(&self) -> Result<(), RecordError> {
        Ok(())
    }
}

pub(crate) fn store(dir: &tempfile::TempDir) -> Arc<SqliteStore> {
    let path = dir.path().join("private/store.db");
    Arc::new(SqliteStore::open(path, zeroize::Zeroizing::new([7; 32])).unwrap())
}
