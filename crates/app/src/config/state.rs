//! `[data]`: where state is kept, and the key that seals it.

use std::path::PathBuf;

use sallyport_model::{Secret, UpstreamName};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use crate::deployment::Database;

/// The variable that says where the database is.
pub const DATABASE_URL: &str = "SALLYPORT_DATABASE_URL";

/// Where state is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// A directory of the gate's own. It is made with mode 0700.
    pub directory: PathBuf,
    /// `postgres://user@host/database`: the state is in PostgreSQL, and any number of nodes may share it, each
    /// with a directory of its own and all with the same master key. The variable `SALLYPORT_DATABASE_URL` wins
    /// over it, and keeps a password out of this file.
    pub database_url: Option<String>,
    /// This node's name, where several share a database: 1 to 63 of a-z, 0-9 and hyphens. It is part of the name
    /// of the node's audit log, so that no two logs are taken for one.
    pub node: Option<String>,
    /// The file that holds the master key, 32 bytes in hexadecimal, mode 0600; made at the first start.
    /// Default: `master.key` in the directory. The variable `SALLYPORT_MASTER_KEY` wins over it.
    pub master_key_file: Option<PathBuf>,
}

impl State {
    /// That of a deployment which keeps all of its state in one directory.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self { directory, database_url: None, node: None, master_key_file: None }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.database_url
            && !url.starts_with("postgres://")
            && !url.starts_with("postgresql://")
        {
            return Err(ConfigError::field(
                "data.database_url",
                "it is not a postgres:// URL",
                "leave it out for SQLite",
            ));
        }
        let Some(node) = &self.node else { return Ok(()) };
        UpstreamName::new(node.clone()).map(drop).map_err(|_| {
            ConfigError::field(
                "data.node",
                &format!("`{node}` cannot be a name"),
                "use 1 to 63 of a-z, 0-9 and hyphens",
            )
        })
    }
    /// The database: `SALLYPORT_DATABASE_URL`, else the URL of the file, else a SQLite file in the directory.
    pub fn database(&self) -> Database {
        let url = std::env::var(DATABASE_URL).ok().filter(|url| !url.is_empty()).or_else(|| self.database_url.clone());
        match url {
            Some(url) => Database::Postgres(Secret::new(url)),
            None => Database::File(self.directory.join("sallyport.db")),
        }
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
