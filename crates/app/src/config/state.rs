//! `[data]`: where state is kept, and the key that seals it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where state is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// A directory of the gate's own. It is made with mode 0700.
    pub directory: PathBuf,
    /// The file that holds the master key, 32 bytes in hexadecimal, mode 0600; made at the first start.
    /// Default: `master.key` in the directory. The variable `SALLYPORT_MASTER_KEY` wins over it.
    pub master_key_file: Option<PathBuf>,
}

impl State {
    /// The database.
    pub fn database(&self) -> PathBuf {
        self.directory.join("sallyport.db")
    }
    /// The audit log's directory.
    pub fn audit_log(&self) -> PathBuf {
        self.directory.join("audit")
    }
    /// The master key's file.
    pub fn master_key(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.directory.join("master.key"))
    }
}
