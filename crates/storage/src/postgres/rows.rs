//! Columns to typed values and back. A column that does not read back is damage, never a default.
//!
//! PostgreSQL's text cannot hold U+0000, which strangers may well send. So every text goes through
//! [`escape`] on its way in and [`unescape`] on its way out; two texts are equal there if they are here.

use sallyport_model::{BadId, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, postgres::PgArguments, query::Query};

use super::error::Failure;
pub(super) use crate::values::{damaged, json, millis, moment, read_word, word};
use crate::{Digest, StoreError};

pub(super) type Row = sqlx::postgres::PgRow;

/// A noncharacter, which texts hardly ever hold.
const ESCAPE: char = '\u{10ffff}';

/// A value for a parameter; owned, so that a step can run again.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
    Truth(Option<bool>),
    Bytes(Option<Vec<u8>>),
    Texts(Vec<String>),
    Numbers(Vec<i64>),
    Digests(Vec<Vec<u8>>),
}

/// What can be a parameter.
pub(super) trait Column {
    const NULL: Value;
    fn value(&self) -> Value;
}

impl Column for str {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        Value::Text(Some(escape(self)))
    }
}

impl Column for String {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        self.as_str().value()
    }
}

impl Column for i64 {
    const NULL: Value = Value::Number(None);
    fn value(&self) -> Value {
        Value::Number(Some(*self))
    }
}

impl Column for u8 {
    const NULL: Value = Value::Number(None);
    fn value(&self) -> Value {
        Value::Number(Some((*self).into()))
    }
}

impl Column for bool {
    const NULL: Value = Value::Truth(None);
    fn value(&self) -> Value {
        Value::Truth(Some(*self))
    }
}

impl Column for Digest {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        Value::Bytes(Some(self.to_vec()))
    }
}

impl Column for Vec<u8> {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        Value::Bytes(Some(self.clone()))
    }
}

/// A list, for `= ANY ($1)` and `unnest($1)`.
impl Column for [&str] {
    const NULL: Value = Value::Texts(Vec::new());
    fn value(&self) -> Value {
        Value::Texts(self.iter().map(|text| escape(text)).collect())
    }
}

impl Column for [i64] {
    const NULL: Value = Value::Numbers(Vec::new());
    fn value(&self) -> Value {
        Value::Numbers(self.to_vec())
    }
}

impl Column for [Digest] {
    const NULL: Value = Value::Digests(Vec::new());
    fn value(&self) -> Value {
        Value::Digests(self.iter().map(|digest| digest.to_vec()).collect())
    }
}

impl<T: Column + ?Sized> Column for &T {
    const NULL: Value = T::NULL;
    fn value(&self) -> Value {
        (**self).value()
    }
}

impl<T: Column> Column for Option<T> {
    const NULL: Value = T::NULL;
    fn value(&self) -> Value {
        self.as_ref().map_or(T::NULL, Column::value)
    }
}

/// Parameters `$1`, `$2`, …
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::postgres::rows::Column::value(&$value)),*]
    };
}
pub(super) use params;

/// A statement with its parameters. Its text is made of this backend's own words alone; what comes from
/// elsewhere is a parameter.
fn statement(sql: &str, params: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(sql));
    params.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
        Value::Truth(truth) => query.bind(truth),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Texts(texts) => query.bind(texts),
        Value::Numbers(numbers) => query.bind(numbers),
        Value::Digests(digests) => query.bind(digests),
    })
}

/// All rows of a query.
pub(super) async fn all<T>(
    c: &mut PgConnection,
    sql: &str,
    params: Vec<Value>,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, Failure> {
    let rows = statement(sql, params).fetch_all(c).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The only row of a query, if there is one.
pub(super) async fn one<T>(
    c: &mut PgConnection,
    sql: &str,
    params: Vec<Value>,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Option<T>, Failure> {
    let row = statement(sql, params).fetch_optional(c).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

/// The number that a query always gives.
pub(super) async fn number(c: &mut PgConnection, sql: &str, params: Vec<Value>) -> Result<i64, Failure> {
    Ok(statement(sql, params).fetch_one(c).await?.try_get(0)?)
}

/// Changes rows; how many.
pub(super) async fn change(c: &mut PgConnection, sql: &str, params: Vec<Value>) -> Result<u64, sqlx::Error> {
    Ok(statement(sql, params).execute(c).await?.rows_affected())
}

/// What can be read from a column.
pub(super) trait Read: Sized {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError>;
}

fn raw<'r, T>(row: &'r Row, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(column).map_err(|error| damaged(column, error))
}

impl Read for String {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError> {
        raw::<String>(row, column)?.map(|text| unescape(column, text)).transpose()
    }
}

impl Read for i64 {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError> {
        raw(row, column)
    }
}

impl Read for u8 {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError> {
        raw::<i64>(row, column)?.map(|n| u8::try_from(n).map_err(|error| damaged(column, error))).transpose()
    }
}

impl Read for bool {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError> {
        raw(row, column)
    }
}

impl Read for Vec<u8> {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError> {
        raw(row, column)
    }
}

impl Read for Digest {
    fn read(row: &Row, column: &'static str) -> Result<Option<Self>, StoreError> {
        let bytes: Option<&[u8]> = raw(row, column)?;
        bytes.map(|bytes| Self::try_from(bytes).map_err(|error| damaged(column, error))).transpose()
    }
}

/// A column that is never NULL.
pub(super) fn plain<T: Read>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    T::read(row, column)?.ok_or_else(|| damaged(column, "it is absent"))
}

/// A column that may be NULL.
pub(super) fn optional<T: Read>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError> {
    T::read(row, column)
}

/// A typed id.
pub(super) fn id<T: TryFrom<String, Error = BadId>>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    T::try_from(plain(row, column)?).map_err(|error| damaged(column, error))
}

/// A typed id that may be absent.
pub(super) fn optional_id<T: TryFrom<String, Error = BadId>>(
    row: &Row,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    optional(row, column)?.map(T::try_from).transpose().map_err(|error| damaged(column, error))
}

/// A list of typed ids.
pub(super) fn ids<T: TryFrom<String, Error = BadId>>(row: &Row, column: &'static str) -> Result<Vec<T>, StoreError> {
    let texts: Vec<String> = raw(row, column)?.ok_or_else(|| damaged(column, "it is absent"))?;
    let read = |text| T::try_from(unescape(column, text)?).map_err(|error| damaged(column, error));
    texts.into_iter().map(read).collect()
}

/// A time.
pub(super) fn time(row: &Row, column: &'static str) -> Result<Timestamp, StoreError> {
    moment(column, plain(row, column)?)
}

/// A time that may be absent.
pub(super) fn optional_time(row: &Row, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    optional(row, column)?.map(|millis| moment(column, millis)).transpose()
}

/// Something that has a textual form of its own, such as a set of scopes.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &Row,
    column: &'static str,
) -> Result<T, StoreError> {
    let value: String = plain(row, column)?;
    value.parse().map_err(|error| damaged(column, error))
}

/// JSON, as [`json`] wrote it.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    let value: String = plain(row, column)?;
    serde_json::from_str(&value).map_err(|error| damaged(column, error))
}

/// The same, that may be absent.
pub(super) fn optional_json<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError> {
    let value: Option<String> = optional(row, column)?;
    value.map(|value| serde_json::from_str(&value)).transpose().map_err(|error| damaged(column, error))
}

/// An enum of plain words, as [`word`] wrote it.
pub(super) fn from_word<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    read_word(column, plain(row, column)?)
}

/// A number that counts.
pub(super) fn unsigned(what: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|error| damaged(what, error))
}

/// A number for a parameter; past the largest, the largest.
pub(super) fn signed(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// `text` without U+0000. [`unescape`] gives it back, and no two texts become one.
fn escape(text: &str) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.extend([ESCAPE, '0']),
            ESCAPE => out.extend([ESCAPE, '1']),
            c => out.push(c),
        }
    }
    out
}

fn unescape(column: &'static str, text: String) -> Result<String, StoreError> {
    if !text.contains(ESCAPE) {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match (c, c == ESCAPE) {
            (c, false) => c,
            (_, true) => match chars.next() {
                Some('0') => '\0',
                Some('1') => ESCAPE,
                _ => return Err(damaged(column, "its escapes do not read back")),
            },
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_is_stored_as_it_is() {
        assert_eq!(escape("Ann \u{1f600}\u{10fffe}"), "Ann \u{1f600}\u{10fffe}");
    }

    #[test]
    fn strange_escapes_are_damage() {
        for text in ["\u{10ffff}", "\u{10ffff}2", "a\u{10ffff}\u{10ffff}0"] {
            assert!(matches!(unescape("name", text.into()), Err(StoreError::Damaged { what: "name", .. })), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_has_no_nul(text in "[\\x00-\\x03\u{10fffe}\u{10ffff}01a]{0,12}|\\PC*") {
            let stored = escape(&text);
            prop_assert!(!stored.contains('\0'));
            prop_assert_eq!(unescape("name", stored).unwrap(), text);
        }
    }
}
