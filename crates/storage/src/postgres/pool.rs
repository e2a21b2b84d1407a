//! The connections of a node. They are made when needed, lent to one step at a time, and only given back
//! whole: one that broke, or whose step ran out of time, is dropped with everything it held.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{connection, error::Failure};
use crate::StoreError;

/// A connection ends at this age, so that a change of address or certificate reaches every node.
const AGE: Duration = Duration::from_secs(30 * 60);

pub(super) struct Pool {
    options: PgConnectOptions,
    turns: Arc<Semaphore>,
    idle: Mutex<VecDeque<(PgConnection, Instant)>>,
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
        Self { options, turns: Arc::new(Semaphore::new(most)), idle: Mutex::default() }
    }

    /// Lends a connection, waiting for its turn. Whoever calls bounds the time.
    pub(super) async fn lend(&self) -> Result<Lent, Failure> {
        let closed = |_| StoreError::Unavailable("the pool of connections is closed".into());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        let kept = self.idle().pop_back().filter(|(_, made)| made.elapsed() < AGE);
        let (connection, made) = match kept {
            Some(kept) => kept,
            None => (connection::open(&self.options).await?, Instant::now()),
        };
        Ok(Lent { connection, made, _turn: turn })
    }

    /// Takes back a connection that is in no transaction.
    pub(super) fn give_back(&self, lent: Lent) {
        self.idle().push_back((lent.connection, lent.made));
    }

    /// Drops what nobody uses: where one connection was cut, the others hardly live.
    pub(super) fn forget(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<(PgConnection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
