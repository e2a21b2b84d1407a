//! What can go wrong in the ledger, and whose fault it is.

use std::{io, path::PathBuf};

use crate::keyring::KeyError;

/// Every failure of this crate outside [`sallyport_model::Recorder`], which has its own error.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The operating system refused.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was tried, such as `read`.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the log open.
    #[error("the log `{}` is in use by another process; stop it first", .0.display())]
    Locked(PathBuf),
    /// The origin or key name cannot stand in a signed note.
    #[error("`{0}` cannot be a log's origin: use a name without spaces, `+` and control characters")]
    BadOrigin(String),
    /// A verifier key (vkey) is not well formed, or not an Ed25519 key.
    #[error("the verifier key is not usable: {0}")]
    BadVerifierKey(&'static str),
    /// The log's directory belongs to another key or origin.
    #[error("`{}` names another key than the one in use; a log keeps its key for life", .0.display())]
    OtherKey(PathBuf),
    /// The checkpoint is not a signed note of the form of C2SP tlog-checkpoint.
    #[error("the checkpoint is malformed: {0}")]
    BadCheckpoint(&'static str),
    /// No signature by the known key verifies.
    #[error("the checkpoint is not signed by `{0}`")]
    BadSignature(String),
    /// The checkpoint is another log's.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    OtherLog {
        /// The origin that was asked for.
        expected: String,
        /// The origin that the checkpoint names.
        found: String,
    },
    /// The log has entries but its checkpoint is gone.
    #[error("the log has entries but `{}` is missing; put it back from a copy", .0.display())]
    CheckpointMissing(PathBuf),
    /// The journal holds something that no torn write explains.
    #[error("the journal is corrupt at byte {offset} (entry {index}): {why}; restore it from a copy")]
    CorruptJournal {
        /// Where in the file.
        offset: u64,
        /// The index that the entry would have had.
        index: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// There is less than a checkpoint says there was.
    #[error("the log was rolled back: it has {have} entries, and a signed checkpoint says {signed}")]
    RolledBack {
        /// Entries present.
        have: u64,
        /// Entries that were signed for.
        signed: u64,
    },
    /// The entries are not those that a checkpoint was signed over.
    #[error("the log was forked: its first {size} entries do not hash to the signed root")]
    Forked {
        /// The size of the tree whose root differs.
        size: u64,
    },
    /// A tile or entry bundle that the checkpoint calls for is not there.
    #[error("`{0}` is missing or short")]
    TileMissing(String),
    /// A tile or entry bundle does not hold what the entries below it hash to.
    #[error("`{path}` is wrong: {why}")]
    TileWrong {
        /// Its path in the log directory.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// An entry is not a leaf of ours.
    #[error("entry {index} is malformed: {why}")]
    BadLeaf {
        /// Its index in the log.
        index: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A tenant's chain is broken: an entry of the tenant is missing, doubled or moved.
    #[error("entry {index} breaks the chain of `{tenant}`: {why}")]
    BrokenChain {
        /// Its index in the log.
        index: u64,
        /// The tenant, or `-`.
        tenant: String,
        /// What is wrong.
        why: &'static str,
    },
    /// There is no such entry.
    #[error("there is no entry {index}: the log has {size}")]
    NoSuchEntry {
        /// The index asked for.
        index: u64,
        /// Entries in the log.
        size: u64,
    },
    /// An inclusion or consistency proof does not lead to the root.
    #[error("the proof does not hold: {0}")]
    BadProof(&'static str),
    /// A sealed event does not open with its key, or is not what it committed to.
    #[error("entry {index} cannot be opened: {why}")]
    CannotOpen {
        /// Its index in the log.
        index: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The keyring failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log failed earlier and takes no more.
    #[error("the log takes no more events: {0}")]
    Poisoned(String),
}

impl LedgerError {
    /// For `map_err` on an [`io::Result`].
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
