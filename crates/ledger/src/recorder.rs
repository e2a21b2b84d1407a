//! The [`Recorder`] over the log: seals on the caller's side, appends, waits for the disk.

use std::sync::Arc;

use async_trait::async_trait;
use sallyport_model::{AuditEvent, Receipt, RecordError, Recorder, Rng};

use crate::{keyring::Keyring, log::Log, seal::seal};

/// Records audit events in a [`Log`].
pub struct LogRecorder {
    log: Log,
    keyring: Arc<dyn Keyring>,
    rng: Arc<dyn Rng>,
}

impl LogRecorder {
    /// `rng` makes salts and nonces: the operating system's, outside tests.
    pub fn new(log: Log, keyring: Arc<dyn Keyring>, rng: Arc<dyn Rng>) -> Self {
        Self { log, keyring, rng }
    }

    /// The log that it appends to.
    pub fn log(&self) -> &Log {
        &self.log
    }
}

#[async_trait]
impl Recorder for LogRecorder {
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        let sealed = seal(&event, &*self.keyring, &*self.rng)?;
        self.log.append(sealed).await
    }

    fn ready(&self) -> Result<(), RecordError> {
        self.log.ready()
    }
}
