//! Days, as `YYYY-MM-DD`.

use jiff::{civil::Date, tz::TimeZone};
use sallyport_model::Timestamp;

use crate::hooks::FileError;

/// The day of `now`, UTC.
pub(super) fn of(now: Timestamp) -> Date {
    let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

/// Reads a day of the field `field`.
pub(super) fn read(text: &str, file: &str, field: &str) -> Result<Date, FileError> {
    let shape = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse::<Date>()
        .ok()
        .filter(|_| shape)
        .ok_or_else(|| FileError::field(file, field, format!("`{text}` is no day"), "write \"2026-11-30\""))
}
