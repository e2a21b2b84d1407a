//! Typed values as what a database's columns hold, and back, for every backend. What does not read
//! back is damage, never a default.

use sallyport_model::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

/// For a column. Times past the year 292 million are all the same one.
pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The time that [`millis`] wrote.
pub(crate) fn moment(column: &'static str, millis: i64) -> Result<Timestamp, StoreError> {
    u64::try_from(millis).map(Timestamp::from_millis).map_err(|error| damaged(column, error))
}

/// A value as JSON.
pub(crate) fn json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| damaged(what, error))
}

/// An enum of plain words as its word.
pub(crate) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(damaged(what, format!("{other} is not one word"))),
        Err(error) => Err(damaged(what, error)),
    }
}

/// An enum from its word.
pub(crate) fn read_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| damaged(what, error))
}

/// What cannot be read back.
pub(crate) fn damaged(what: &'static str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { what, why: why.to_string() }
}
