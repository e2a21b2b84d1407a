//! The connections of a node. They are made when needed, lent to one step at a time, and only given back
//! whole: one that broke, or whose step ran out of time, is dropped with everything it held.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{connection, error::Failure};
use crate::StoreError;

/// A connection ends at this age, so that a change of address or certificate reaches every node.
const AGE: Duration = Duration::from_secs(30 * 60);

/// So many are opened at once. A server has most to do where it is asked for many: after it was restarted.
const OPENING: usize = 2;

pub(super) struct Pool {
    options: PgConnectOptions,
    turns: Arc<Semaphore>,
    opening: Semaphore,
    idle: Mutex<VecDeque<(PgConnection, Instant)>>,
    returned: Notify,
}

/// A connection on loan. Dropped, it is closed; see [`Pool::give_back`].
pub(super) struct Lent {
    pub(super) connection: PgConnection,
    made: Instant,
    _turn: OwnedSemaphorePermit,
}

impl Pool {
    /// At most `most` connections.
    pub(super) fn new(options: PgConnectOptions, most: usize) -> Self {
        Self {
            options,
            turns: Arc::new(Semaphore::new(most)),
            opening: Semaphore::new(OPENING),
            idle: Mutex::default(),
            returned: Notify::new(),
        }
    }

    /// Lends a connection, waiting for its turn, and then for one that comes back or is opened, whichever is
    /// first. Whoever calls bounds the time.
    pub(super) async fn lend(&self) -> Result<Lent, Failure> {
        let closed = |_| StoreError::Unavailable("the pool of connections is closed".into());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        let (connection, made) = loop {
            let returned = self.returned.notified();
            if let Some(kept) = self.keep() {
                break kept;
            }
            tokio::select! {
                () = returned => {}
                opening = self.opening.acquire() => {
                    let _opening = opening.map_err(closed)?;
                    break match self.keep() {
                        Some(kept) => kept,
                        None => (connection::open(&self.options).await?, Instant::now()),
                    };
                }
            }
        };
        Ok(Lent { connection, made, _turn: turn })
    }

    /// One that is idle and not too old; those that are too old are dropped.
    fn keep(&self) -> Option<(PgConnection, Instant)> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop_back()).find(|(_, made)| made.elapsed() < AGE)
    }

    /// Takes back a connection that is in no transaction.
    pub(super) fn give_back(&self, lent: Lent) {
        self.idle().push_back((lent.connection, lent.made));
        self.returned.notify_one();
    }

    /// Drops what nobody uses: where one connection was cut, the others hardly live.
    pub(super) fn forget(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
