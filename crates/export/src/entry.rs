//! A log entry opened for export.

use sallyport_ledger::{Entry, Hash, Keyring, LedgerError, Opened};
use sallyport_model::TenantId;

/// An entry with what its key lets be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportEntry {
    /// Index in the log.
    pub index: u64,
    /// RFC 6962 leaf hash.
    pub leaf_hash: Hash,
    /// Whose chain it is part of; `None` for the deployment's own.
    pub tenant: Option<TenantId>,
    /// Sequence number in that chain: a gap in an export of one tenant is a missing entry.
    pub tenant_sequence: u64,
    /// The event, or that it is erased.
    pub opened: Opened,
}

impl ExportEntry {
    /// Opens `entry` with its key.
    ///
    /// # Errors
    /// [`LedgerError::CannotOpen`] or [`LedgerError::Key`]. A shredded key is no error.
    pub fn open(entry: &Entry, keyring: &dyn Keyring) -> Result<Self, LedgerError> {
        Ok(Self {
            index: entry.index,
            leaf_hash: entry.leaf_hash,
            tenant: entry.leaf.tenant.clone(),
            tenant_sequence: entry.leaf.place.tenant_sequence,
            opened: entry.open(keyring)?,
        })
    }
}

/// How much was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Events written.
    pub events: u64,
    /// Entries whose event is erased.
    pub erased: u64,
}
