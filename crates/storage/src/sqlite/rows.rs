//! Columns to typed values and back. A column that does not read back is damage, never a default.

use rusqlite::{Connection, Params, Row, types::FromSql};
use sallyport_model::{BadId, Timestamp};
use serde::de::DeserializeOwned;

use crate::StoreError;
pub(super) use crate::values::{damaged, json, millis, moment, read_word, word};

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

/// The same, that may be absent.
pub(super) fn optional_json<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<Option<T>, StoreError> {
    let value: Option<String> = plain(row, column)?;
    value.map(|value| serde_json::from_str(&value)).transpose().map_err(|error| damaged(column, error))
}

/// An enum of plain words, as [`word`] wrote it.
pub(super) fn from_word<T: DeserializeOwned>(row: &Row<'_>, column: &'static str) -> Result<T, StoreError> {
    read_word(column, plain(row, column)?)
}
