//! The newest checkpoint, kept beside the log and not in it: a log directory that was put back to an
//! older state as a whole does not open.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use sallyport_ledger::Log;

/// How often it is kept while the log grows.
const EVERY: Duration = Duration::from_secs(1);

/// The file, beside the log's directory.
pub fn path(log: &Path) -> PathBuf {
    log.with_extension("checkpoint")
}

/// What was kept, if anything was.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(log: &Path) -> Result<Option<Vec<u8>>> {
    let path = path(log);
    match fs::read(&path) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("the kept checkpoint {} does not read", path.display())),
    }
}

/// Keeps the checkpoint that is on disk now: a copy, then a rename.
///
/// # Errors
/// When it cannot be copied.
pub fn keep(log: &Path) -> io::Result<()> {
    let path = path(log);
    let copy = path.with_extension("checkpoint.new");
    fs::copy(log.join("checkpoint"), &copy)?;
    fs::File::open(&copy)?.sync_all()?;
    fs::rename(copy, path)
}

/// Keeps checkpoints as the log grows.
pub async fn keep_keeping(log: Log) {
    let mut published = log.published();
    while published.changed().await.is_ok() {
        let dir = log.dir().to_owned();
        let kept = tokio::task::spawn_blocking(move || keep(&dir)).await;
        if !matches!(kept, Ok(Ok(()))) {
            tracing::warn!("the newest checkpoint could not be kept beside the log");
        }
        tokio::time::sleep(EVERY).await;
    }
}
