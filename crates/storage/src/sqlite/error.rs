//! What SQLite says, in the words of [`StoreError`]. An error that nobody foresaw is
//! `Unavailable`, so that whoever asked denies.

use rusqlite::{Error, ErrorCode, ffi};

use crate::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match &error {
            Error::SqliteFailure(cause, _)
                if matches!(cause.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) =>
            {
                Self::Damaged { what: "database", why: error.to_string() }
            }
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..) => Self::Damaged { what: "row", why: error.to_string() },
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Like the conversion above, but a taken identity is `Exists(noun)`.
pub(super) fn taken(noun: &'static str) -> impl FnOnce(Error) -> StoreError {
    move |error| match extended(&error) {
        Some(ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => StoreError::Exists(noun),
        _ => error.into(),
    }
}

/// Like the conversion above, but a reference to nothing is `Missing(noun)`.
pub(super) fn dangling(noun: &'static str) -> impl FnOnce(Error) -> StoreError {
    move |error| match extended(&error) {
        Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Missing(noun),
        _ => error.into(),
    }
}

fn extended(error: &Error) -> Option<i32> {
    match error {
        Error::SqliteFailure(cause, _) => Some(cause.extended_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_full_or_broken_or_busy_disk_is_unavailable() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_BUSY, ffi::SQLITE_READONLY] {
            assert!(matches!(failure(code).into(), StoreError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn a_broken_file_is_damaged() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(matches!(failure(code).into(), StoreError::Damaged { .. }), "{code}");
        }
    }

    #[test]
    fn only_a_violated_identity_is_exists() {
        assert!(matches!(taken("grant")(failure(ffi::SQLITE_CONSTRAINT_UNIQUE)), StoreError::Exists("grant")));
        assert!(matches!(taken("grant")(failure(ffi::SQLITE_CONSTRAINT_NOTNULL)), StoreError::Unavailable(_)));
        assert!(matches!(
            dangling("person")(failure(ffi::SQLITE_CONSTRAINT_FOREIGNKEY)),
            StoreError::Missing("person")
        ));
    }
}
