//! The transparency log: append, sign, prove, verify.
//!
//! A directory in the form of C2SP tlog-tiles, with checkpoints by C2SP tlog-checkpoint and
//! signed-note, that foreign tools read. [`Log`] appends with group commit; [`LogRecorder`] seals
//! audit events into it; [`LogReader`] and [`verify()`] read it as anybody may. [`leaf`] says what an
//! entry looks like; [`Keyring`] is what the application provides.
//!
//! This crate opens no socket, reads no clock but the one handed in, keeps no private key on disk,
//! and never rewrites an entry.

mod chain;
mod error;
mod journal;
pub mod keyring;
mod layout;
pub mod leaf;
mod log;
pub mod merkle;
mod note;
mod publisher;
mod reader;
mod recorder;
mod seal;
#[cfg(test)]
mod tests;
mod tiles;
mod verify;
mod writer;

pub use error::LedgerError;
pub use keyring::{CachedKeyring, DataKey, KeyError, Keyring, MemoryKeyring};
pub use layout::{LEAF_LIMIT, vkey_path};
pub use leaf::{Leaf, Place};
pub use log::{Log, LogConfig, Recovery};
pub use merkle::{Hash, leaf_hash};
pub use note::{Checkpoint, LogSigner, VerifierKey};
pub use reader::{Entry, InclusionProof, LogReader};
pub use recorder::LogRecorder;
pub use seal::{Opened, Sealed, open, seal};
pub use verify::{Verified, VerifyOptions, verify};
