//! Group commit: one thread writes the journal; callers wait for its sync.
//!
//! There is no timer. While one sync runs, events gather; when it is done, all that have gathered
//! go into the next. A caller hears back right after the sync that covers its event. The first
//! error ends the log for good: nothing is ever tried a second time, because after a failed sync
//! nobody knows what the disk holds.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc::SyncSender},
};

use sallyport_model::{Receipt, RecordError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    chain::Chains,
    journal::{JournalFile, frame},
    leaf::encode,
    merkle::{Hash, leaf_hash},
    seal::Sealed,
};

/// A batch stops growing here, so that no sync keeps everybody waiting for long.
const BATCH_BYTES: usize = 8 << 20;

/// A leaf and its hash, on its way to the tiles.
pub(crate) type Placed = (Vec<u8>, Hash);

/// An event that waits for its sync.
pub(crate) struct Pending {
    pub(crate) sealed: Sealed,
    pub(crate) reply: oneshot::Sender<Result<Receipt, RecordError>>,
    /// Bounds the queue; given back when the event is answered.
    pub(crate) _permit: OwnedSemaphorePermit,
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Pending>,
    closed: bool,
}

/// What callers, the writer and the publisher share.
#[derive(Default)]
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    poison: OnceLock<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two statements that hold the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the log; the first reason stays.
    pub(crate) fn poison(&self, why: String) {
        let _ = self.poison.set(why);
    }

    /// Why the log has ended, if it has.
    pub(crate) fn poisoned(&self) -> Option<RecordError> {
        self.poison.get().map(|why| RecordError::Poisoned(why.clone()))
    }

    /// Hands an event to the writer, or answers it at once when there is none any more.
    pub(crate) fn enqueue(&self, pending: Pending) {
        let mut queue = self.lock();
        if queue.closed {
            drop(queue);
            let error = self.poisoned().unwrap_or(RecordError::Poisoned("it is closed".into()));
            let _ = pending.reply.send(Err(error));
            return;
        }
        queue.pending.push_back(pending);
        if queue.pending.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// Takes no more events; those in the queue are still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// What has gathered, up to a batch's limit; `None` when closed and empty.
    fn next_batch(&self) -> Option<Vec<Pending>> {
        let mut queue = self.lock();
        while queue.pending.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        let fits = |pending: &&Pending| {
            let before = bytes;
            bytes += pending.sealed.body.len();
            before < BATCH_BYTES
        };
        let count = queue.pending.iter().take_while(fits).count();
        Some(queue.pending.drain(..count).collect())
    }
}

/// The writing thread's state.
pub(crate) struct Writer {
    pub(crate) shared: std::sync::Arc<Shared>,
    pub(crate) journal: Box<dyn JournalFile>,
    pub(crate) chains: Chains,
    /// The next index.
    pub(crate) size: u64,
    /// The journal's length, all of it durable.
    pub(crate) durable: u64,
    pub(crate) publisher: SyncSender<Vec<Placed>>,
}

impl Writer {
    /// Runs until the log is closed.
    pub(crate) fn run(mut self) {
        let _end = EndOfWriter(std::sync::Arc::clone(&self.shared));
        while let Some(batch) = self.shared.next_batch() {
            if self.shared.poisoned().is_none() {
                self.write(batch);
            } else {
                refuse(&self.shared, batch);
            }
        }
    }

    fn write(&mut self, batch: Vec<Pending>) {
        let (frames, leaves) = self.place(&batch);
        if let Err(why) = self.commit(&frames) {
            self.shared.poison(why);
            return refuse(&self.shared, batch);
        }
        let first = self.size;
        self.size += leaves.len() as u64;
        for (n, (pending, (_, leaf_hash))) in batch.into_iter().zip(&leaves).enumerate() {
            let receipt = Receipt { index: first + n as u64, leaf_hash: *leaf_hash };
            // A caller that went away has its event recorded all the same.
            let _ = pending.reply.send(Ok(receipt));
        }
        if self.publisher.send(leaves).is_err() {
            self.shared.poison("the tiles are no longer written".into());
        }
    }

    /// Gives each event its index and its place in its tenant's chain.
    fn place(&mut self, batch: &[Pending]) -> (Vec<u8>, Vec<Placed>) {
        let mut frames = Vec::with_capacity(batch.iter().map(|pending| pending.sealed.body.len() + 96).sum());
        let mut leaves = Vec::with_capacity(batch.len());
        for (n, Pending { sealed, .. }) in batch.iter().enumerate() {
            let leaf = encode(&self.chains.next(&sealed.tenant, self.size + n as u64), &sealed.body);
            let hash = leaf_hash(&leaf);
            self.chains.advance(&sealed.tenant, hash);
            frame(&mut frames, &leaf, &hash, self.durable);
            leaves.push((leaf, hash));
        }
        (frames, leaves)
    }

    fn commit(&mut self, frames: &[u8]) -> Result<(), String> {
        self.journal.append(frames).map_err(|error| format!("the journal cannot be written: {error}"))?;
        self.journal.sync().map_err(|error| format!("the journal cannot be synced: {error}"))?;
        let durable = self.durable + frames.len() as u64;
        self.journal.check(durable)?;
        self.durable = durable;
        Ok(())
    }
}

fn refuse(shared: &Shared, batch: impl IntoIterator<Item = Pending>) {
    let error = shared.poisoned().unwrap_or(RecordError::Poisoned("it is closed".into()));
    for pending in batch {
        let _ = pending.reply.send(Err(error.clone()));
    }
}

/// However the writer ends, nobody is left waiting for it.
struct EndOfWriter(std::sync::Arc<Shared>);

impl Drop for EndOfWriter {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the writing thread failed".into());
        }
        let mut queue = self.0.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.pending);
        drop(queue);
        refuse(&self.0, left);
    }
}
