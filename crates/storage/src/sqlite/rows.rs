//! Columns to typed values and back. A column that does not read back is damage, never a default.

use rusqlite::{Connection, Params, Row, types::FromSql};
use sallyport_model::{BadId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::StoreError;

/// For a column. Times past the year 292 million are all the same one.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// All rows of a query.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The only row of a query, if there is one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Changes rows; how many.
pub(super) fn change(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

/// A column of one of SQLite's own types.
pub(super) fn plain<T: FromSql>(row: &Row<'_>, column: &'static str) -> Result<T, StoreError> {
    row.get(column).map_err(|error| damaged(column, error))
}

/// A typed id.
pub(super) fn id<T: TryFrom<String, Error = BadId>>(row: &Row<'_>, column: &'static str) -> Result<T, StoreError> {
    T::try_from(plain(row, column)?).map_err(|error| damaged(column, error))
}

/// A typed id that may be absent.
pub(super) fn optional_id<T: TryFrom<String, Error = BadId>>(
    row: &Row<'_>,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let value: Option<String> = plain(row, column)?;
    value.map(T::try_from).transpose().map_err(|error| damaged(column, error))
}

/// A time.
pub(super) fn time(row: &Row<'_>, column: &'static str) -> Result<Timestamp, StoreError> {
    moment(column, plain(row, column)?)
}

/// A time that may be absent.
pub(super) fn optional_time(row: &Row<'_>, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let value: Option<i64> = plain(row, column)?;
    value.map(|millis| moment(column, millis)).transpose()
}

fn moment(column: &'static str, millis: i64) -> Result<Timestamp, StoreError> {
    u64::try_from(millis).map(Timestamp::from_millis).map_err(|error| damaged(column, error))
}

/// Something that has a textual form of its own, such as a set of scopes.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row<'_>,
    column: &'static str,
) -> Result<T, StoreError> {
    let value: String = plain(row, column)?;
    value.parse().map_err(|error| damaged(column, error))
}

/// JSON, as [`json`] wrote it.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<T, StoreError> {
    let value: String = plain(row, column)?;
    serde_json::from_str(&value).map_err(|error| damaged(column, error))
}

/// A value as JSON.
pub(super) fn json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| damaged(what, error))
}

/// An enum of plain words, as [`word`] wrote it.
pub(super) fn from_word<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<T, StoreError> {
    read_word(column, plain(row, column)?)
}

/// An enum from its word.
pub(super) fn read_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| damaged(what, error))
}

/// An enum of plain words as its word.
pub(super) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(damaged(what, format!("{other} is not one word"))),
        Err(error) => Err(damaged(what, error)),
    }
}

/// What cannot be read back.
pub(super) fn damaged(what: &'static str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { what, why: why.to_string() }
}
