//! Audit events on their way out: JSON lines and OCSF.
//!
//! Pure functions from opened log entries to a writer. Nothing here reads a log by itself, opens a
//! socket, or decides who may see what: the caller chooses the entries and holds the keys.

mod entry;
mod jsonl;
mod ocsf;
#[cfg(test)]
mod tests;

use std::io;

pub use entry::{ExportEntry, Exported};
pub use jsonl::write_jsonl;
pub use ocsf::{OCSF_VERSION, write_ocsf};

use sallyport_ledger::LedgerError;

/// Why an export stopped. What was written before is whole lines.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log could not be read or opened.
    #[error("the export stops at the log: {0}")]
    Ledger(#[from] LedgerError),
    /// The receiving side failed.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
    /// An event is not the JSON that it should be.
    #[error("entry {index} holds no audit event that this version knows: {source}")]
    Event {
        /// Its index in the log.
        index: u64,
        /// What the reader says.
        source: serde_json::Error,
    },
}
