//! A small pool of connections that only read, on tokio's threads for blocking work. Under WAL a
//! reader waits for no writer, and sees what was committed when its statement began.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection;
use crate::StoreError;

/// How many reads run at once; more wait their turn.
const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, turns: Arc::new(Semaphore::new(READERS)), idle: Arc::default() }
    }

    /// Runs `look` on a connection that cannot write.
    pub(super) async fn read<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let unavailable = |why: String| StoreError::Unavailable(why);
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| unavailable(error.to_string()))?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let looking = tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match taken {
                Some(connection) => connection,
                None => connection::open_reader(&path)?,
            };
            let seen = look(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(turn);
            seen
        });
        looking.await.map_err(|error| unavailable(format!("a read broke off: {error}")))?
    }
}
