//! Which tenants take no bearer tokens, as this node last read it. The authorization server issues them none; here
//! the demand also ends those that were issued before it.
//!
//! It is read every second off the path of any request. While it cannot be read the last reading stands: what is
//! lost then is lost for a token's life, since nothing unbound is issued meanwhile.

use std::{
    collections::HashSet,
    sync::{
        RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sallyport_model::TenantId;
use sallyport_storage::{Store, StoreError, Tenant};

/// How often it is read.
const EVERY: Duration = Duration::from_secs(1);

/// The tenants with `sender_bound`.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    tenants: RwLock<HashSet<TenantId>>,
    read: RwLock<Option<Instant>>,
    reading: AtomicBool,
}

impl Demands {
    /// Whether `tenant` takes tokens only that are bound to a key. A view that is broken demands it of everybody.
    pub(crate) fn sender_bound(&self, tenant: &TenantId) -> bool {
        self.tenants.read().map_or(true, |tenants| tenants.contains(tenant))
    }

    /// Whether it is time to read them again, and nobody is about it.
    pub(crate) fn due(&self) -> bool {
        let old = self.read.read().is_ok_and(|read| read.is_none_or(|at| at.elapsed() >= EVERY));
        old && !self.reading.swap(true, Ordering::AcqRel)
    }

    /// Reads them.
    pub(crate) async fn read(&self, store: &dyn Store) -> Result<(), StoreError> {
        let all = store.tenants().await;
        let read = all.map(|all| self.keep(all));
        self.reading.store(false, Ordering::Release);
        read
    }

    fn keep(&self, all: Vec<Tenant>) {
        let demanding = all.into_iter().filter(|tenant| tenant.settings.sender_bound).map(|tenant| tenant.id).collect();
        if let (Ok(mut tenants), Ok(mut read)) = (self.tenants.write(), self.read.write()) {
            *tenants = demanding;
            *read = Some(Instant::now());
        }
    }
}
