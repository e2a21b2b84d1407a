//! The shared backend: one PostgreSQL database under any number of nodes.
//!
//! Each step is a transaction of its own (`steps`), under READ COMMITTED with row locks and nothing
//! rarer: no LISTEN, no advisory lock, no sequence whose order would matter. A database that does not
//! answer is `Unavailable` after [`PATIENCE`], so that a node refuses in time. Private keys, data keys,
//! passkeys and parked bodies are sealed as they are in the embedded backend.
//!
//! What it cannot do: wipe. A shredded key is gone for every query at once, but the server keeps the
//! deleted row until it vacuums, and its log and backups for as long as its operator keeps those.

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
mod pool;
mod provisioning;
mod purge;
mod revocations;
mod rows;
mod sessions;
mod signals;
mod steps;
mod tenants;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use zeroize::Zeroizing;

use self::pool::Pool;
use crate::{StoreError, seal::Sealer};

/// How long a step may take, from waiting for a connection to the commit. A node has 2 s to refuse.
pub const PATIENCE: Duration = Duration::from_millis(1_200);

/// Connections of a node. Of the 100 that a server has by default they leave room for several nodes.
const CONNECTIONS: usize = 16;

/// Connections that only the poll of the revocation log uses, so that it never queues behind writers.
const POLLING: usize = 2;

/// The shared store. Cheap to share behind an `Arc`.
pub struct PostgresStore {
    shared: Arc<Shared>,
}

/// What every step needs.
struct Shared {
    pool: Pool,
    polling: Pool,
    sealer: Arc<Sealer>,
    /// The newest epoch that this process has committed.
    epoch: watch::Sender<u64>,
}

impl PostgresStore {
    /// Connects to the database at `url` (`postgres://user:password@host/database?sslmode=…`) and brings
    /// its schema up to date. The database must be the primary, in UTF-8, and this product's own: its
    /// role owns the schema. A host that is not this machine is spoken to under `sslmode=verify-full`
    /// unless the URL names another mode.
    ///
    /// `master_key` is 256 bits that the deployment keeps apart from the database; every node has the same.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] for the database of a newer version; [`StoreError::WrongMasterKey`];
    /// [`StoreError::Damaged`] if it is another program's; [`StoreError::Unavailable`] for the rest.
    pub async fn connect(url: &str, master_key: Zeroizing<[u8; 32]>) -> Result<Self, StoreError> {
        let sealer = Arc::new(Sealer::new(&master_key)?);
        let options = connection::options(url)?;
        migrations::migrate(&options, &sealer).await?;
        let shared = Shared {
            pool: Pool::new(options.clone(), CONNECTIONS),
            polling: Pool::new(options, POLLING),
            sealer,
            epoch: watch::Sender::new(0),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn sealer(&self) -> Arc<Sealer> {
        Arc::clone(&self.shared.sealer)
    }

    /// Tells whoever waits in this process of an epoch that was committed, if one was; gives it back.
    fn tell(&self, epoch: Option<u64>) -> Option<u64> {
        if let Some(new) = epoch {
            self.shared.epoch.send_if_modified(|known| {
                let newer = new > *known;
                *known = new.max(*known);
                newer
            });
        }
        epoch
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresStore(…)")
    }
}
