//! The embedded backend: one SQLite file in WAL mode, each commit synced to the disk.
//!
//! One thread writes (`writer`), a few connections read (`readers`); the async runtime is never
//! blocked. Private keys, data keys, passkeys and parked bodies are sealed (`seal`).

mod agents;
mod api_tokens;
mod assessments;
mod authorizations;
mod catalogue;
mod clients;
mod connection;
mod connections;
mod consents;
mod directory;
mod error;
mod grants;
mod keys;
mod linked_accounts;
mod migrations;
mod notices;
mod provisioning;
mod purge;
mod readers;
mod revocations;
mod rows;
mod sessions;
mod signals;
mod tenants;
mod writer;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use rusqlite::Connection;
use zeroize::Zeroizing;

use self::{readers::Readers, writer::Writer};
use crate::{
    StoreError,
    seal::{self, Sealer},
};

/// The embedded store. Cheap to share behind an `Arc`; when dropped it ends what is queued and
/// closes the file.
pub struct SqliteStore {
    // Dropped first: the last connection to close folds the write-ahead log into the file.
    readers: Readers,
    writer: Writer,
    sealer: Arc<Sealer>,
}

impl SqliteStore {
    /// Opens the file at `path`, making it (mode 0600) and its directory (mode 0700) if they are
    /// not there, and brings its schema up to date. Blocks for as long as that takes.
    ///
    /// `master_key` is 256 bits that the deployment keeps apart from the file.
    ///
    /// # Errors
    /// [`StoreError::Exposed`] if everybody may write to the directory; [`StoreError::TooNew`] for
    /// the file of a newer version; [`StoreError::WrongMasterKey`]; [`StoreError::Damaged`] if the
    /// file is broken or another program's; [`StoreError::Unavailable`] for the rest.
    pub fn open(path: impl AsRef<Path>, master_key: Zeroizing<[u8; 32]>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let sealer = Arc::new(Sealer::new(&master_key)?);
        connection::prepare_file(path)?;
        let mut writing = connection::open_writer(path)?;
        migrations::identify(&writing, &sealer)?;
        connection::make_durable(&writing)?;
        migrations::migrate(&mut writing, &sealer)?;
        Ok(Self { readers: Readers::new(path.to_owned()), writer: Writer::start(writing)?, sealer })
    }

    async fn read<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.read(look).await
    }

    async fn write<T, F>(&self, step: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.submit(step, false).await
    }

    /// Like [`Self::write`], and what was deleted leaves no copy in the write-ahead log.
    async fn write_and_scrub<T, F>(&self, step: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.submit(step, true).await
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore(…)")
    }
}
