//! What PostgreSQL says, in the words of [`StoreError`], and what it means for the step: whether it may
//! run again. An error that nobody foresaw is `Unavailable`, so that whoever asked denies.

use sqlx::Error;

use crate::StoreError;

/// Why a step broke off.
#[derive(Debug)]
pub(super) enum Failure {
    /// For the caller.
    Store(StoreError),
    /// By the database or on the way to it.
    Database(Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Database(error) => error.into(),
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match &error {
            Error::ColumnDecode { .. } | Error::ColumnNotFound(_) | Error::Decode(_) | Error::RowNotFound => {
                Self::Damaged { what: "row", why: error.to_string() }
            }
            _ => match state(&error).as_deref() {
                // data_corrupted, index_corrupted
                Some("XX001" | "XX002") => Self::Damaged { what: "database", why: error.to_string() },
                Some("42501") => Self::Unavailable(format!("{error}: make the role the owner of the database")),
                _ => Self::Unavailable(error.to_string()),
            },
        }
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Tell the caller.
    Tell,
    /// Another transaction was in the way and this one was rolled back: run it again.
    Repeat,
    /// The connection is of no more use: run it again on another, if nothing can have been committed.
    Reconnect,
}

impl Failure {
    pub(super) fn remedy(&self) -> Remedy {
        let Self::Database(error) = self else { return Remedy::Tell };
        match error {
            Error::Io(_) | Error::Protocol(_) | Error::WorkerCrashed => Remedy::Reconnect,
            Error::Database(_) => match state(error).as_deref() {
                // serialization_failure, deadlock_detected
                Some("40001" | "40P01") => Remedy::Repeat,
                // The backend was ended by an administrator, a crash or a shutdown.
                Some("57P01" | "57P02" | "57P03" | "57P05" | "25P03") => Remedy::Reconnect,
                // What this connection had prepared is no more: another node has migrated, or a pooler
                // has given it another backend.
                Some("0A000" | "26000") => Remedy::Reconnect,
                Some(code) if code.starts_with("08") => Remedy::Reconnect,
                _ => Remedy::Tell,
            },
            _ => Remedy::Tell,
        }
    }
}

/// Like the conversion, but a taken identity is `Exists(noun)`.
pub(super) fn taken(noun: &'static str) -> impl FnOnce(Error) -> Failure {
    move |error| match state(&error).as_deref() {
        Some("23505") => StoreError::Exists(noun).into(),
        _ => error.into(),
    }
}

/// Like the conversion, but a reference to nothing is `Missing(noun)`.
pub(super) fn dangling(noun: &'static str) -> impl FnOnce(Error) -> Failure {
    move |error| match state(&error).as_deref() {
        Some("23503") => StoreError::Missing(noun).into(),
        _ => error.into(),
    }
}

/// The SQLSTATE.
pub(super) fn state(error: &Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
}
