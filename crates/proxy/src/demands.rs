//! Which tenants take no bearer tokens, as this node last read it. The authorization server issues them none; here
//! the demand also ends those that were issued before it.
//!
//! It is read before the gate serves, and every second off the path of any request. Before it was read once it is
//! known of nobody, and no unbound token passes. While it cannot be read any more the last reading stands: what is
//! lost then is lost for a token's life, since nothing unbound is issued meanwhile.

use std::{
    collections::HashSet,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sallyport_model::TenantId;
use sallyport_storage::{StoreError, Tenant};

/// How often it is read.
const EVERY: Duration = Duration::from_secs(1);
/// How long a reading may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of readings that fail in a row, the first and then every such one is logged.
const LOGGED: u32 = 60;

/// The tenants with `sender_bound`.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    /// `None` before the first reading.
    known: RwLock<Option<Known>>,
    reading: Arc<AtomicBool>,
    /// How many readings in a row.
    failed: AtomicU32,
}

#[derive(Debug)]
struct Known {
    tenants: HashSet<TenantId>,
    at: Instant,
}

/// Why they could not be read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store did not answer in time")]
    Late,
}

/// The right to read, which one at a time has. Whoever drops it, by whatever end, lets the next one read.
#[derive(Debug)]
pub(crate) struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Demands {
    /// Whether `tenant` takes tokens only that are bound to a key. `None` while nobody can tell: they were never
    /// read, or the view is broken.
    pub(crate) fn sender_bound(&self, tenant: &TenantId) -> Option<bool> {
        let known = self.known.read().ok()?;
        known.as_ref().map(|known| known.tenants.contains(tenant))
    }

    /// The right to read them again, if it is time and nobody is about it.
    pub(crate) fn due(&self) -> Option<Turn> {
        let old = self.known.read().is_ok_and(|known| known.as_ref().is_none_or(|known| known.at.elapsed() >= EVERY));
        let mine = old && !self.reading.swap(true, Ordering::AcqRel);
        mine.then(|| Turn(Arc::clone(&self.reading)))
    }

    /// Takes over what `all` reads, all tenants; a failure is logged. They count as of when it began.
    pub(crate) async fn read(&self, turn: Turn, all: impl Future<Output = Result<Vec<Tenant>, StoreError>>) {
        let at = Instant::now();
        let read = match tokio::time::timeout(PATIENCE, all).await {
            Ok(read) => read.map_err(Unread::from),
            Err(_) => Err(Unread::Late),
        };
        match read {
            Ok(all) => self.keep(all, at),
            Err(error) => self.log(&error),
        }
        drop(turn);
    }

    fn keep(&self, all: Vec<Tenant>, at: Instant) {
        let tenants = all.into_iter().filter(|tenant| tenant.settings.sender_bound).map(|tenant| tenant.id).collect();
        self.failed.store(0, Ordering::Relaxed);
        if let Ok(mut known) = self.known.write() {
            *known = Some(Known { tenants, at });
        }
    }

    fn log(&self, error: &Unread) {
        if !self.failed.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOGGED) {
            return;
        }
        match self.known.read().is_ok_and(|known| known.is_some()) {
            true => tracing::error!(%error, "the tenants' demands cannot be read; the last that were known hold"),
            false => tracing::error!(
                %error,
                "the tenants cannot be read, so no bearer token passes; see that the store answers, and that no \
                 tenant's settings are damaged"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_model::Timestamp;
    use std::future::{pending, ready};

    fn damaged() -> Result<Vec<Tenant>, StoreError> {
        Err(StoreError::Damaged { what: "tenant", why: "its settings".to_owned() })
    }

    fn tenant(id: &str, sender_bound: bool) -> Tenant {
        let mut tenant = Tenant::new(TenantId::new(id).unwrap(), id, Timestamp::from_secs(1));
        tenant.settings.sender_bound = sender_bound;
        tenant
    }

    async fn read(demands: &Demands, all: Result<Vec<Tenant>, StoreError>) {
        let turn = Turn(Arc::clone(&demands.reading));
        demands.read(turn, ready(all)).await;
    }

    #[tokio::test]
    async fn nothing_is_known_before_the_first_reading_and_the_last_one_stands() {
        let demands = Demands::default();
        let acme = TenantId::new("acme").unwrap();
        assert_eq!(demands.sender_bound(&acme), None);
        for _ in 0..3 {
            read(&demands, damaged()).await;
            assert_eq!(demands.sender_bound(&acme), None, "a reading that failed tells nothing");
            drop(demands.due().expect("it is tried again"));
        }
        read(&demands, Ok(Vec::new())).await;
        assert_eq!(demands.sender_bound(&acme), Some(false), "no tenants at all are a reading too");
        assert!(demands.due().is_none(), "it was read just now");
        read(&demands, Ok(vec![tenant("acme", true), tenant("globex", false)])).await;
        let globex = TenantId::new("globex").unwrap();
        read(&demands, damaged()).await;
        assert_eq!((demands.sender_bound(&acme), demands.sender_bound(&globex)), (Some(true), Some(false)));
    }

    #[tokio::test]
    async fn a_view_that_is_broken_tells_nothing() {
        let demands = Arc::new(Demands::default());
        read(&demands, Ok(Vec::new())).await;
        let breaking = Arc::clone(&demands);
        let broken = std::thread::spawn(move || {
            let _held = breaking.known.write().unwrap();
            panic!("told to");
        });
        assert!(broken.join().is_err());
        assert_eq!(demands.sender_bound(&TenantId::new("acme").unwrap()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_hangs_or_is_dropped_lets_the_next_one_read() {
        let demands = Demands::default();
        let turn = demands.due().unwrap();
        assert!(demands.due().is_none(), "one at a time");
        let began = tokio::time::Instant::now();
        demands.read(turn, pending()).await;
        assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
        let turn = demands.due().expect("the one that hung is over");
        let dropped = tokio::time::timeout(PATIENCE / 2, demands.read(turn, pending())).await;
        assert!(dropped.is_err());
        let turn = demands.due().expect("the one that was dropped is over");
        demands.read(turn, ready(Ok(vec![tenant("acme", true)]))).await;
        assert_eq!(demands.sender_bound(&TenantId::new("acme").unwrap()), Some(true));
    }

    #[tokio::test]
    async fn of_failures_in_a_row_the_first_and_every_sixtieth_is_logged() {
        let demands = Demands::default();
        let log = Lines::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        for _ in 0..121 {
            read(&demands, damaged()).await;
        }
        assert_eq!(log.0.load(Ordering::Relaxed), 3);
        read(&demands, Ok(Vec::new())).await;
        read(&demands, damaged()).await;
        assert_eq!(log.0.load(Ordering::Relaxed), 4, "the first after it was read");
    }

    /// Counts the errors that are logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<AtomicU32>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::ERROR
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
}
