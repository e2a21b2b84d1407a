//! Opening of the file and its connections: who may reach it, and how SQLite is set.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::StoreError;

/// How long a connection waits for another process, such as a second command on the same files.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// Makes the file if it is not there, readable and writable by its owner alone.
pub(super) fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let mode = directory.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o002 != 0 {
        let why = "everybody may write to this directory: chmod o-w it, or name another";
        return Err(StoreError::Exposed { path: directory.display().to_string(), why });
    }
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(failed)?;
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The connection that writes. SQLite gives the write-ahead log the mode of the file itself.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set(&connection)?;
    Ok(connection)
}

/// Makes each commit survive a power cut. Changes the file, so call it only on one that is ours.
pub(super) fn make_durable(connection: &Connection) -> Result<(), StoreError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let why = "this file system bears no write-ahead log of SQLite: put the store on a local disk";
        return Err(StoreError::Unavailable(why.into()));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Deleted rows are overwritten: a shredded key must be gone, not only unlisted.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(())
}

/// A connection that reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn set(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    // Sorting must not spill rows into files of another mode.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(())
}
