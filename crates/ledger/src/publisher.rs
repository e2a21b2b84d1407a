//! Tiles and signed checkpoints, behind the journal and off the path of callers.
//!
//! Only leaves that are already durable arrive here. Tiles are written before the checkpoint that
//! needs them, and the checkpoint is replaced by a rename. Tiles are not synced: the journal is,
//! and they are made again from it.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::{
    LedgerError,
    layout::{self, CHECKPOINT},
    note::LogSigner,
    tiles::TileWriter,
    writer::{Placed, Shared},
};

/// The publishing thread's state.
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dir: PathBuf,
    pub(crate) tiles: TileWriter,
    pub(crate) signer: LogSigner,
    /// While events keep coming, checkpoints are at least this far apart.
    pub(crate) interval: Duration,
    /// Tells how many entries the last checkpoint covers.
    pub(crate) published: watch::Sender<u64>,
}

impl Publisher {
    /// Runs until the writer is gone; the last checkpoint covers all.
    pub(crate) fn run(mut self, leaves: Receiver<Vec<Placed>>) {
        if let Err(error) = self.follow(&leaves) {
            self.shared.poison(error.to_string());
        }
    }

    fn follow(&mut self, leaves: &Receiver<Vec<Placed>>) -> Result<(), LedgerError> {
        let mut due = Instant::now();
        while let Ok(batch) = leaves.recv() {
            self.push(batch)?;
            // Gather until a checkpoint is due again; a busy log must not put it off for ever.
            while let Some(wait) = due.checked_duration_since(Instant::now())
                && let Ok(batch) = leaves.recv_timeout(wait)
            {
                self.push(batch)?;
            }
            self.publish()?;
            due = Instant::now() + self.interval;
        }
        Ok(())
    }

    fn push(&mut self, batch: Vec<Placed>) -> Result<(), LedgerError> {
        batch.iter().try_for_each(|(leaf, hash)| self.tiles.push(leaf, *hash))
    }

    /// Writes the tiles and the checkpoint of the present size.
    pub(crate) fn publish(&mut self) -> Result<(), LedgerError> {
        self.tiles.write_partials()?;
        let note = self.signer.sign(self.tiles.size(), &self.tiles.root());
        layout::replace(&self.dir.join(CHECKPOINT), note.as_bytes(), true)?;
        self.tiles.drop_superseded()?;
        self.published.send_replace(self.tiles.size());
        Ok(())
    }
}
