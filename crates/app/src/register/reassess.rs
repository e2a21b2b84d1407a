//! The gate's own schedule: each upstream is assessed anew every so often, one at a time.
//!
//! What it finds goes into the register as an operator's results do. It never admits: a result that says less
//! than the one before stands in the history only, unless it contradicts that.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use async_trait::async_trait;
use sallyport_model::{Timestamp, UpstreamName, assessment::Assessment};
use sallyport_proxy::RegisterView;
use sallyport_storage::{AssessmentOrigin, RegisterEvent};
use serde_json::json;

use super::{
    entry::{contradicts, entry},
    logging::Records,
};

/// How often the schedule looks what is due.
const TICK: Duration = Duration::from_secs(30);
/// The longest that one assessment may take, whatever the upstream does.
const LONGEST: Duration = Duration::from_secs(300);
/// After a failure it is tried again in an hour.
const AGAIN: Duration = Duration::from_secs(3600);
/// One that was never assessed is not assessed all at once with the others.
const FIRST: Duration = Duration::from_secs(300);
/// Entries in which the result before is looked for.
const LOOK_BACK: usize = 200;

/// Assesses upstreams; the app's own asks the assessor.
#[async_trait]
pub trait Reassess: Send + Sync {
    /// Assesses one, as it can be reached with what the configuration holds.
    ///
    /// # Errors
    /// When nothing could be found out at all.
    async fn assess(&self, upstream: &UpstreamName) -> Result<Assessment>;
}

/// The schedule.
pub struct Schedule {
    every: Duration,
    records: Records,
    view: Arc<RegisterView>,
    due: HashMap<UpstreamName, Due>,
}

/// When an upstream is due, as of its last assessment.
#[derive(Debug, Clone, Copy)]
struct Due {
    last: Option<Timestamp>,
    at: Timestamp,
}

impl Schedule {
    /// One that assesses each upstream of `view` every so often.
    pub fn new(every: Duration, records: Records, view: Arc<RegisterView>) -> Self {
        Self { every, records, view, due: HashMap::new() }
    }

    /// Assesses what is due, one after the other, for ever.
    pub async fn keep(mut self, assessor: Arc<dyn Reassess>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.turn(assessor.as_ref()).await;
        }
    }

    /// Assesses the upstream that is due for longest, if any is; which.
    async fn turn(&mut self, assessor: &dyn Reassess) -> Option<UpstreamName> {
        let now = self.records.clock.now();
        for upstream in self.view.upstreams().to_vec() {
            let last = self.view.standing(&upstream).last_assessed_at;
            if self.due.get(&upstream).is_none_or(|due| due.last != last) {
                let at = self.after(last, now);
                self.due.insert(upstream, Due { last, at });
            }
        }
        let ripe = self.due.iter().filter(|(_, due)| due.at <= now);
        let upstream = ripe.min_by_key(|(name, due)| (due.at, (*name).clone())).map(|(name, _)| name.clone())?;
        if let Err(error) = self.assess(assessor, &upstream).await {
            tracing::warn!(%upstream, error = format!("{error:#}"), "an upstream could not be assessed");
            self.failed(&upstream, &error).await;
            let again = self.records.clock.now().plus(AGAIN.min(self.every));
            self.due.entry(upstream.clone()).and_modify(|due| due.at = again);
        }
        Some(upstream)
    }

    /// When an upstream that was last assessed at `last` is due: up to a tenth later than it would have to be, so
    /// that not all of them come at once.
    fn after(&self, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let mut bytes = [0; 8];
        self.records.rng.fill(&mut bytes);
        let share = |most: Duration| most.mul_f64(u64::from_be_bytes(bytes) as f64 / u64::MAX as f64);
        match last {
            Some(last) => last.plus(self.every).plus(share(self.every / 10)),
            None => now.plus(share(FIRST.min(self.every / 10))),
        }
    }

    async fn assess(&self, assessor: &dyn Reassess, upstream: &UpstreamName) -> Result<()> {
        let run = tokio::time::timeout(LONGEST, assessor.assess(upstream)).await;
        let document = run.with_context(|| format!("it was not done within {} s", LONGEST.as_secs()))??;
        let store = self.records.store.as_ref();
        let pins = store.pinned(upstream).await?;
        let now = self.records.clock.now();
        let mut assessed =
            entry(upstream, &document, AssessmentOrigin::Scheduled, &pins, now).map_err(anyhow::Error::msg)?;
        assessed.counts = assessed.total.is_some() || self.is_news(upstream, &document).await?;
        store.record_assessment(&assessed, &serde_json::to_string(&document)?).await?;
        self.view.poll(store).await?;
        Ok(())
    }

    /// Whether a result with open questions says something that the one before did not: nothing counted before,
    /// or it contradicts that.
    async fn is_news(&self, upstream: &UpstreamName, document: &Assessment) -> Result<bool> {
        let store = self.records.store.as_ref();
        let history = store.history(upstream, LOOK_BACK).await?;
        let before =
            history.iter().find(|entry| matches!(&entry.event, RegisterEvent::Assessed(assessed) if assessed.counts));
        let Some(before) = before else { return Ok(true) };
        let before = store.assessment_document(before.number).await?.context("an assessment has lost its document")?;
        let before: Assessment = serde_json::from_str(&before).context("an assessment's document does not read")?;
        Ok(contradicts(document, &before))
    }

    /// A failure is on the record, and leaves everything as it was.
    async fn failed(&self, upstream: &UpstreamName, error: &anyhow::Error) {
        let why = sallyport_report::safe::line(&format!("{error:#}"), 300);
        let facts = json!({ "action": "assessment_failed", "upstream": upstream, "reason": why });
        if let Err(error) = self.records.record(facts).await {
            tracing::error!(%error, "that an upstream could not be assessed could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::register::testing::{Memory, document, store};
    use sallyport_model::{Clock as _, ManualClock, SeededRng};
    use sallyport_storage::{Assessments as _, SqliteStore};

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    /// Answers with these ranges, or fails.
    struct Told {
        ranges: Mutex<Option<[[u8; 2]; 10]>>,
        clock: Arc<ManualClock>,
        running: AtomicUsize,
    }

    #[async_trait]
    impl Reassess for Told {
        async fn assess(&self, _: &UpstreamName) -> Result<Assessment> {
            assert_eq!(self.running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            tokio::task::yield_now().await;
            self.running.fetch_sub(1, Ordering::SeqCst);
            let ranges = self.ranges.lock().unwrap().context("it is down")?;
            Ok(document("https://up.example/mcp", ranges, self.clock.now()))
        }
    }

    struct Bench {
        schedule: Schedule,
        told: Told,
        clock: Arc<ManualClock>,
        store: Arc<SqliteStore>,
        log: Arc<Memory>,
        _dir: tempfile::TempDir,
    }

    async fn bench(names: &[&str]) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_790_000_000)));
        let log = Arc::new(Memory(Mutex::default(), Mutex::new(1000)));
        let upstreams: Vec<UpstreamName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let view = Arc::new(RegisterView::new(Some(12), upstreams));
        view.poll(store.as_ref()).await.unwrap();
        let rng = Arc::new(SeededRng::new(3));
        let records = Records { store: store.clone(), recorder: log.clone(), clock: clock.clone(), rng };
        let schedule = Schedule::new(WEEK, records, view);
        let told = Told { ranges: Mutex::new(Some([[2, 2]; 10])), clock: clock.clone(), running: AtomicUsize::new(0) };
        Bench { schedule, told, clock, store, log, _dir: dir }
    }

    impl Bench {
        async fn turn(&mut self) -> Option<String> {
            self.schedule.turn(&self.told).await.map(|name| name.to_string())
        }
        async fn score(&self, name: &str) -> (u8, bool) {
            let history = self.store.history(&name.parse().unwrap(), 10).await.unwrap();
            let RegisterEvent::Assessed(newest) = &history[0].event else { panic!("{history:?}") };
            let standing = self.store.standing(&name.parse().unwrap()).await.unwrap();
            (standing.assessed.unwrap().score(), newest.counts)
        }
    }

    #[tokio::test]
    async fn each_upstream_has_its_turn_once_in_a_period() {
        let mut bench = bench(&["a", "b", "c"]).await;
        let mut first = Vec::new();
        for _ in 0..20 {
            bench.clock.advance(Duration::from_secs(60));
            first.extend(bench.turn().await);
        }
        first.sort();
        assert_eq!(first, ["a", "b", "c"], "each soon, and none twice");
        bench.clock.advance(WEEK - Duration::from_secs(20 * 60));
        assert_eq!(bench.turn().await, None, "not before its time");
        let mut second = Vec::new();
        for _ in 0..40 {
            bench.clock.advance(Duration::from_secs(1800));
            second.extend(bench.turn().await);
        }
        second.sort();
        assert_eq!(second, ["a", "b", "c"], "within a tenth of the period");
    }

    #[tokio::test]
    async fn a_failure_is_recorded_and_leaves_what_was_decided() {
        let mut bench = bench(&["a"]).await;
        bench.clock.advance(FIRST);
        bench.turn().await;
        bench.clock.advance(FIRST);
        assert_eq!(bench.turn().await, Some("a".to_owned()));
        assert_eq!(bench.score("a").await, (20, true));
        *bench.told.ranges.lock().unwrap() = None;
        bench.clock.advance(2 * WEEK);
        assert_eq!(bench.turn().await, Some("a".to_owned()));
        assert_eq!(bench.score("a").await, (20, true), "the one before stands");
        let failures = bench.log.0.lock().unwrap().clone();
        assert_eq!(failures.len(), 1);
        assert_eq!(
            (&failures[0].facts["action"], &failures[0].facts["reason"]),
            (&json!("assessment_failed"), &json!("it is down"))
        );
        assert_eq!(bench.turn().await, None, "it is not tried all the time");
        bench.clock.advance(AGAIN);
        assert_eq!(bench.turn().await, Some("a".to_owned()));
    }

    #[tokio::test]
    async fn a_result_that_saw_less_replaces_the_one_before_only_when_it_contradicts_it() {
        let mut bench = bench(&["a"]).await;
        for _ in 0..2 {
            bench.clock.advance(FIRST);
            bench.turn().await;
        }
        let mut next = async |ranges: [[u8; 2]; 10]| {
            *bench.told.ranges.lock().unwrap() = Some(ranges);
            bench.clock.advance(2 * WEEK);
            assert_eq!(bench.turn().await, Some("a".to_owned()));
            bench.score("a").await
        };
        assert_eq!(next([[0, 2]; 10]).await, (20, false), "it saw nothing that is worse");
        let mut worse = [[0, 2]; 10];
        worse[7] = [0, 0];
        assert_eq!(next(worse).await, (0, true), "question 8 is not met any more");
        assert_eq!(next([[1, 1]; 10]).await, (10, true), "whoever saw everything counts");
    }
}
