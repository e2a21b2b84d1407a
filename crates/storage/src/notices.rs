//! What was changed by another process than the one that writes the log, waiting to be put on record.
//!
//! An administrator's command writes its notice before its change, so that no change is without one.

use async_trait::async_trait;

use crate::StoreError;

/// Storage of notices.
#[async_trait]
pub trait Notices {
    /// Adds one: an audit event as JSON.
    async fn add_notice(&self, event: &str) -> Result<(), StoreError>;
    /// The oldest, with their numbers, at most `limit`.
    async fn notices(&self, limit: usize) -> Result<Vec<(u64, String)>, StoreError>;
    /// Drops those up to and including `number`, which are in the log by now.
    async fn drop_notices(&self, number: u64) -> Result<(), StoreError>;
}
