//! The log: opening and recovery, appending, closing.
//!
//! One process at a time appends to a directory. What was acknowledged is never given up: a
//! journal that is shorter than the checkpoint, or damaged where it was durable, is not opened.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use sallyport_model::{Receipt, RecordError};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::{
    LedgerError,
    chain::Chains,
    journal::{Found, Journal, JournalFile},
    layout::{self, CHECKPOINT, JOURNAL, LOCK, VKEY},
    leaf::Leaf,
    note::{Checkpoint, LogSigner, VerifierKey},
    publisher::Publisher,
    seal::Sealed,
    tiles::{Mode, TileWriter},
    writer::{Pending, Shared, Writer},
};

/// Events that may wait at one time; more callers wait for a place.
const QUEUE: usize = 8192;
/// Batches that may wait for their tiles before the writer waits.
const UNPUBLISHED_BATCHES: usize = 64;

/// What a log is opened with.
#[derive(Debug)]
pub struct LogConfig {
    /// The log's directory; made if it is not there.
    pub dir: PathBuf,
    /// Signs the checkpoints; its name is the origin.
    pub signer: LogSigner,
    /// Least time between two checkpoints while events keep coming.
    pub checkpoint_interval: Duration,
    /// A signed checkpoint of this log kept elsewhere, if there is one: a directory that does not
    /// continue it (an old copy put back) is not opened.
    pub kept: Option<Vec<u8>>,
}

impl LogConfig {
    /// With checkpoints at least 50 ms apart and none kept elsewhere.
    pub fn new(dir: impl Into<PathBuf>, signer: LogSigner) -> Self {
        Self { dir: dir.into(), signer, checkpoint_interval: Duration::from_millis(50), kept: None }
    }
}

/// What opening found and mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Entries in the log.
    pub entries: u64,
    /// How many of them the checkpoint on disk did not cover yet.
    pub unsigned: u64,
    /// Bytes of a torn write that were cut off; nobody had been told of them.
    pub torn_bytes: u64,
    /// Tiles that were missing or wrong and were made again from the journal.
    pub rebuilt: Vec<String>,
}

struct Inner {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    published: watch::Receiver<u64>,
    verifier: VerifierKey,
    dir: PathBuf,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until the threads are done.
    _lock: File,
}

impl Inner {
    fn close(&self) {
        self.shared.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                self.shared.poison("a thread of the log failed".into());
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// An open log. Clones share it; the last one that goes closes it.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

impl Log {
    /// Opens the log, or begins one in an empty directory. Reads the whole journal; blocks.
    ///
    /// # Errors
    /// [`LedgerError::Locked`], [`LedgerError::OtherKey`], [`LedgerError::RolledBack`],
    /// [`LedgerError::Forked`], [`LedgerError::CorruptJournal`], [`LedgerError::CheckpointMissing`],
    /// or what the checkpoint's reading says. Nothing is changed then.
    pub fn open(config: LogConfig) -> Result<(Self, Recovery), LedgerError> {
        Self::open_with(config, |journal| Box::new(journal))
    }

    /// As [`Log::open`], with something between the writer and the journal.
    pub(crate) fn open_with(
        config: LogConfig,
        wrap: impl FnOnce(Journal) -> Box<dyn JournalFile>,
    ) -> Result<(Self, Recovery), LedgerError> {
        fs::create_dir_all(&config.dir).map_err(LedgerError::io("create", &config.dir))?;
        let lock = lock(&config.dir)?;
        let opened = recover(&config)?;
        let LogConfig { dir, signer, checkpoint_interval, kept: _ } = config;
        let verifier = signer.verifier().clone();
        let shared = Arc::new(Shared::default());
        let (publisher_in, leaves) = mpsc::sync_channel(UNPUBLISHED_BATCHES);
        let (size_out, published) = watch::channel(0);
        let mut publisher = Publisher {
            shared: Arc::clone(&shared),
            dir: dir.clone(),
            tiles: opened.tiles,
            signer,
            interval: checkpoint_interval,
            published: size_out,
        };
        publisher.publish()?;
        layout::sync_directory(&dir)?;
        let writer = Writer {
            shared: Arc::clone(&shared),
            journal: wrap(opened.journal),
            chains: opened.chains,
            size: opened.recovery.entries,
            durable: opened.durable,
            publisher: publisher_in,
        };
        let threads = vec![
            spawn("ledger-writer", &dir, move || writer.run())?,
            spawn("ledger-tiles", &dir, move || publisher.run(leaves))?,
        ];
        let places = Arc::new(Semaphore::new(QUEUE));
        let inner = Inner { shared, places, published, verifier, dir, threads: Mutex::new(threads), _lock: lock };
        Ok((Self(Arc::new(inner)), opened.recovery))
    }

    /// Appends a sealed event and waits until it is durable. If the caller goes away meanwhile, the
    /// event may be recorded all the same.
    ///
    /// # Errors
    /// [`RecordError::Poisoned`], for good, after the first failure or after [`Log::close`].
    pub async fn append(&self, sealed: Sealed) -> Result<Receipt, RecordError> {
        self.ready()?;
        let gone = || RecordError::Poisoned("its writer is gone".into());
        let permit = Arc::clone(&self.0.places).acquire_owned().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        self.0.shared.enqueue(Pending { sealed, reply, _permit: permit });
        answer.await.unwrap_or_else(|_| Err(self.0.shared.poisoned().unwrap_or_else(gone)))
    }

    /// Whether the log takes events.
    pub fn ready(&self) -> Result<(), RecordError> {
        self.0.shared.poisoned().map_or(Ok(()), Err)
    }

    /// How many entries the checkpoint on disk covers, as it changes.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.0.published.clone()
    }

    /// The key that its checkpoints are checked with.
    pub fn verifier(&self) -> &VerifierKey {
        &self.0.verifier
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Writes what is waiting, signs a checkpoint over all, and ends the threads. Blocks. The
    /// directory's lock goes with the last clone.
    pub fn close(&self) -> Result<(), RecordError> {
        self.0.close();
        self.ready()
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

fn spawn(name: &str, dir: &Path, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LedgerError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(LedgerError::io("start a thread for", dir))
}

fn lock(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(LedgerError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Locked(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(LedgerError::io("lock", path)(error)),
    }
}

/// A directory that has been read and mended.
struct Recovered {
    journal: Journal,
    durable: u64,
    chains: Chains,
    tiles: TileWriter,
    recovery: Recovery,
}

fn recover(config: &LogConfig) -> Result<Recovered, LedgerError> {
    let dir = &config.dir;
    let key = config.signer.verifier();
    let origin = key.name();
    check_vkey(dir, key)?;
    let signed = match layout::read_checkpoint(dir)? {
        Some(note) => Some(Checkpoint::verify(&note, key, origin)?),
        None => None,
    };
    let size = signed.as_ref().map_or(0, |c| c.size);
    let fresh = signed.is_none() && !dir.join("tile").exists();
    let missing = signed.is_none();
    let mut promises: Vec<Checkpoint> = signed.into_iter().collect();
    if let Some(kept) = &config.kept {
        promises.push(Checkpoint::verify(kept, key, origin)?);
    }
    let Some(mut found) = Found::open(&dir.join(JOURNAL), origin, fresh)? else {
        return Err(LedgerError::RolledBack { have: 0, signed: size });
    };
    let mut read = read_back(&mut found, dir, origin, &promises, Mode::Compare)?;
    if missing && read.entries > 0 {
        return Err(LedgerError::CheckpointMissing(dir.join(CHECKPOINT)));
    }
    if !read.tiles.wrong.is_empty() {
        read = read_back(&mut found, dir, origin, &promises, Mode::Mend)?;
    }
    let ReadBack { chains, mut tiles, entries, end } = read;
    tiles.append_from_here();
    let (journal, torn_bytes) = found.cut_at(end)?;
    if !dir.join(VKEY).exists() {
        layout::replace(&dir.join(VKEY), format!("{key}\n").as_bytes(), true)?;
    }
    let rebuilt = std::mem::take(&mut tiles.wrong);
    let recovery = Recovery { entries, unsigned: entries - size, torn_bytes, rebuilt };
    Ok(Recovered { journal, durable: end, chains, tiles, recovery })
}

/// What one reading of the journal comes to.
struct ReadBack {
    chains: Chains,
    tiles: TileWriter,
    entries: u64,
    end: u64,
}

/// Reads the journal from its beginning, checking every place, every chain and each signed root.
fn read_back(
    found: &mut Found,
    dir: &Path,
    origin: &str,
    promises: &[Checkpoint],
    mode: Mode,
) -> Result<ReadBack, LedgerError> {
    let mut chains = Chains::default();
    let mut tiles = TileWriter::new(dir, mode);
    let signed = promises.iter().map(|promise| promise.size).max().unwrap_or(0);
    let (entries, end) = found.scan(origin, signed, |index, bytes, hash| {
        let leaf = Leaf::decode(bytes).map_err(|why| LedgerError::BadLeaf { index, why })?;
        if leaf.place.index != index {
            return Err(LedgerError::BadLeaf { index, why: "it carries another index" });
        }
        let tenant = leaf.tenant_name().to_owned();
        chains.follow(&leaf, hash).map_err(|why| LedgerError::BrokenChain { index, tenant, why })?;
        tiles.push(bytes, hash)?;
        match promises.iter().find(|promise| promise.size == index + 1 && promise.root != tiles.root()) {
            Some(broken) => Err(LedgerError::Forked { size: broken.size }),
            None => Ok(()),
        }
    })?;
    Ok(ReadBack { chains, tiles, entries, end })
}

/// The directory's key, if it has one, is ours.
fn check_vkey(dir: &Path, key: &VerifierKey) -> Result<(), LedgerError> {
    let path = dir.join(VKEY);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim_end() == key.to_string() => Ok(()),
        Ok(_) => Err(LedgerError::OtherKey(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(LedgerError::io("read", path)(error)),
    }
}
