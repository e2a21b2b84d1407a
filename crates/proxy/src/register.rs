//! What this node knows of the register of assessed upstreams, and what follows from it.
//!
//! A poller feeds the view, as with revocations. A view that was never fed admits nothing, and where a score is
//! demanded neither does one that has not been fed for [`LEASE`]. It never reads the store on the request path.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sallyport_model::{Timestamp, UpstreamName};
use sallyport_storage::{Admission as Decided, Digest, Standing, Store, StoreError};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::{Admission, Held};

/// How long a view may go without a successful poll before it admits nothing.
pub const LEASE: Duration = Duration::from_secs(2);
/// How often the store is asked.
pub const POLL: Duration = Duration::from_millis(250);

/// Whether an upstream that stands so may be served `now`, offering what `definitions` is the digest of.
///
/// A person's hold counts always. A person's acceptance counts until its date, for what was offered when it was
/// given. Else the newest assessment decides, where a `minimum` is demanded: it must reach it, by its total or
/// the low end of its range, and be about what is offered now.
///
/// # Errors
/// Why not.
pub fn judge(standing: &Standing, minimum: Option<u8>, definitions: &Digest, now: Timestamp) -> Result<(), Held> {
    let mut accepted_otherwise = false;
    if let Some(decision) = &standing.decided {
        match decision.decided {
            Decided::Held => return Err(Held::ByPerson),
            Decided::Accepted if decision.until.is_some_and(|until| now < until) => {
                if decision.definitions == *definitions {
                    return Ok(());
                }
                accepted_otherwise = true;
            }
            Decided::Accepted | Decided::Admitted => {}
        }
    }
    let Some(minimum) = minimum else { return Ok(()) };
    match &standing.assessed {
        None if accepted_otherwise => Err(Held::Drifted),
        None => Err(Held::NotAssessed),
        Some(assessed) if assessed.definitions.as_ref() != Some(definitions) => Err(Held::Drifted),
        Some(assessed) if assessed.score() < minimum => Err(Held::BelowMinimum),
        Some(_) => Ok(()),
    }
}

/// A node's view of the register.
#[derive(Debug)]
pub struct RegisterView {
    minimum: Option<u8>,
    upstreams: Vec<UpstreamName>,
    standings: RwLock<HashMap<UpstreamName, Standing>>,
    /// The newest entry that the standings hold; `None` before the first poll.
    number: watch::Sender<Option<u64>>,
    /// Milliseconds from `started` to the start of the last successful poll, plus one; 0 is never.
    polled: AtomicU64,
    started: Instant,
    /// One poll at a time, so that an older one never overwrites a newer one.
    polling: Mutex<()>,
}

impl RegisterView {
    /// A view of `upstreams` that demands `minimum` of each, if that is there.
    pub fn new(minimum: Option<u8>, upstreams: Vec<UpstreamName>) -> Self {
        Self {
            minimum,
            upstreams,
            standings: RwLock::default(),
            number: watch::Sender::new(None),
            polled: AtomicU64::new(0),
            started: Instant::now(),
            polling: Mutex::default(),
        }
    }

    /// The newest entry that was applied; changes when the register does.
    pub fn number(&self) -> watch::Receiver<Option<u64>> {
        self.number.subscribe()
    }

    /// Of which upstreams.
    pub fn upstreams(&self) -> &[UpstreamName] {
        &self.upstreams
    }

    /// How an upstream stands, as far as this node knows.
    pub fn standing(&self, upstream: &UpstreamName) -> Standing {
        self.standings.read().ok().and_then(|all| all.get(upstream).cloned()).unwrap_or_default()
    }

    /// Whether the last successful poll is recent enough.
    pub fn leased(&self) -> bool {
        let polled = self.polled.load(Ordering::Acquire);
        polled > 0 && self.elapsed().saturating_sub(Duration::from_millis(polled - 1)) <= LEASE
    }

    /// Asks the store once for everything new, and renews the lease as of the poll's start.
    ///
    /// # Errors
    /// When the store cannot be read; the view stays as it was.
    pub async fn poll(&self, store: &dyn Store) -> Result<(), StoreError> {
        let _one = self.polling.lock().await;
        let start = self.elapsed();
        // Before the standings: what comes in between is read again by the next poll.
        let number = Some(store.register_number().await?);
        if *self.number.borrow() != number {
            let mut standings = HashMap::new();
            for upstream in &self.upstreams {
                standings.insert(upstream.clone(), store.standing(upstream).await?);
            }
            let broken = || StoreError::Unavailable("the view of the register is broken: restart sallyport".into());
            *self.standings.write().map_err(|_| broken())? = standings;
            self.number.send_replace(number);
        }
        let stamp = u64::try_from(start.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1);
        self.polled.fetch_max(stamp, Ordering::AcqRel);
        Ok(())
    }

    /// Polls for as long as the view is held by anybody else.
    pub async fn keep_polling(self: Arc<Self>, store: Arc<dyn Store>) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Arc::strong_count(&self) > 1 {
            tick.tick().await;
            if let Err(error) = self.poll(store.as_ref()).await {
                tracing::error!(%error, "the register of assessed upstreams cannot be read");
            }
        }
    }

    /// Polls on a thread of its own until the guard is dropped: requests that keep every worker busy must
    /// not let the lease lapse.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn poll_on_own_thread(self: Arc<Self>, store: Arc<dyn Store>) -> io::Result<DropGuard> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("register".to_owned()).spawn(move || {
            runtime.block_on(stop.run_until_cancelled(self.keep_polling(store)));
        })?;
        Ok(guard)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Admission for RegisterView {
    fn admitted(&self, upstream: &UpstreamName, definitions: &Digest, now: Timestamp) -> Result<(), Held> {
        if !self.is_known() {
            return Err(Held::Unknown);
        }
        let Ok(standings) = self.standings.read() else { return Err(Held::Unknown) };
        let unseen = Standing::default();
        judge(standings.get(upstream).unwrap_or(&unseen), self.minimum, definitions, now)
    }

    fn is_known(&self) -> bool {
        self.number.borrow().is_some() && (self.minimum.is_none() || self.leased())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_storage::{AdmissionDecision, Assessed, AssessmentOrigin};

    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const SEEN: Digest = [1; 32];
    const OTHER: Digest = [2; 32];

    fn up() -> UpstreamName {
        UpstreamName::new("up").unwrap()
    }

    fn assessed(total: Option<u8>, low: u8) -> Option<Assessed> {
        Some(Assessed {
            upstream: up(),
            assessed_at: NOW,
            recorded_at: NOW,
            origin: AssessmentOrigin::Recorded,
            target: "https://up.example/mcp".into(),
            target_differs: None,
            total,
            low,
            high: 20,
            band: None,
            definitions: Some(SEEN),
            counts: true,
        })
    }

    fn decided(decided: Decided) -> Option<AdmissionDecision> {
        Some(AdmissionDecision {
            upstream: up(),
            decided,
            by: "ann".into(),
            reason: "because".into(),
            owner: None,
            until: (decided == Decided::Accepted).then(|| NOW.plus(Duration::from_secs(60))),
            at: NOW,
            definitions: SEEN,
        })
    }

    fn standing(assessed: Option<Assessed>, decided: Option<AdmissionDecision>) -> Standing {
        Standing { assessed, decided, last_assessed_at: None }
    }

    #[test]
    fn the_score_decides_by_its_total_or_its_low_end() {
        for (assessed, verdict) in [
            (None, Err(Held::NotAssessed)),
            (assessed(Some(12), 12), Ok(())),
            (assessed(Some(11), 11), Err(Held::BelowMinimum)),
            (assessed(None, 12), Ok(())),
            (assessed(None, 11), Err(Held::BelowMinimum)),
        ] {
            let stands = standing(assessed, None);
            assert_eq!(judge(&stands, Some(12), &SEEN, NOW), verdict, "{stands:?}");
            assert_eq!(judge(&stands, None, &SEEN, NOW), Ok(()), "nothing is demanded");
        }
        assert_eq!(judge(&standing(None, None), Some(0), &SEEN, NOW), Err(Held::NotAssessed), "0 is a demand as well");
    }

    #[test]
    fn another_catalogue_than_the_assessed_one_is_not_covered_by_its_score() {
        let mut stands = standing(assessed(Some(20), 20), None);
        assert_eq!(judge(&stands, Some(1), &OTHER, NOW), Err(Held::Drifted));
        stands.assessed.as_mut().unwrap().definitions = None;
        assert_eq!(judge(&stands, Some(1), &SEEN, NOW), Err(Held::Drifted), "nobody knows what was assessed");
    }

    #[test]
    fn a_hold_counts_whatever_the_score_and_the_demand() {
        let stands = standing(assessed(Some(20), 20), decided(Decided::Held));
        for minimum in [None, Some(0), Some(20)] {
            assert_eq!(judge(&stands, minimum, &SEEN, NOW), Err(Held::ByPerson));
        }
    }

    #[test]
    fn an_acceptance_opens_for_what_it_saw_until_its_date() {
        let end = NOW.plus(Duration::from_secs(60));
        for (score, after) in [(assessed(Some(3), 3), Held::BelowMinimum), (None, Held::NotAssessed)] {
            let stands = standing(score, decided(Decided::Accepted));
            assert_eq!(judge(&stands, Some(12), &SEEN, NOW), Ok(()));
            assert_eq!(judge(&stands, Some(12), &SEEN, end.minus(Duration::from_millis(1))), Ok(()));
            assert_eq!(judge(&stands, Some(12), &SEEN, end), Err(after), "it ends by itself");
            assert_eq!(judge(&stands, Some(12), &OTHER, NOW), Err(Held::Drifted), "nobody accepted this");
        }
        let good = standing(assessed(Some(20), 20), decided(Decided::Accepted));
        assert_eq!(judge(&good, Some(12), &SEEN, end), Ok(()), "then the score decides");
        let mut endless = standing(None, decided(Decided::Accepted));
        endless.decided.as_mut().unwrap().until = None;
        assert_eq!(judge(&endless, Some(1), &SEEN, NOW), Err(Held::NotAssessed), "none is for ever");
    }

    #[test]
    fn admitting_ends_a_hold_and_leaves_the_decision_to_the_score() {
        let stands = standing(assessed(Some(3), 3), decided(Decided::Admitted));
        assert_eq!(judge(&stands, Some(3), &SEEN, NOW), Ok(()));
        assert_eq!(judge(&stands, Some(4), &SEEN, NOW), Err(Held::BelowMinimum));
    }

    #[test]
    fn a_view_that_was_never_fed_admits_nothing() {
        for minimum in [Some(0), None] {
            let view = RegisterView::new(minimum, vec![up()]);
            assert_eq!(view.admitted(&up(), &SEEN, NOW), Err(Held::Unknown), "a person may hold it");
            assert!(!view.is_known());
        }
    }

    #[test]
    fn a_lapsed_lease_admits_nothing_where_a_score_is_demanded() {
        for (minimum, verdict) in [(Some(12), Err(Held::Unknown)), (None, Ok(()))] {
            let mut view = RegisterView::new(minimum, vec![up()]);
            view.standings.write().unwrap().insert(up(), standing(assessed(Some(20), 20), None));
            view.polled.store(1, Ordering::SeqCst);
            view.number.send_replace(Some(1));
            assert_eq!(view.admitted(&up(), &SEEN, NOW), Ok(()));
            view.started = Instant::now().checked_sub(LEASE + Duration::from_millis(500)).unwrap();
            assert_eq!(view.admitted(&up(), &SEEN, NOW), verdict);
        }
    }
}
