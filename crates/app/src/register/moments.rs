//! Days and moments as people and documents write them. All of it is UTC.

use std::time::Duration;

use sallyport_model::Timestamp;

const DAY: u64 = 24 * 3600;

/// The beginning of a day, `YYYY-MM-DD`.
pub fn day(text: &str) -> Option<Timestamp> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
    let dashes = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let exists = dashes && year >= 1970 && (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    exists.then(|| Timestamp::from_secs(days_until(year, month, day) * DAY))
}

/// A moment of RFC 3339 in UTC, such as a document's `assessed_at`; anything below a millisecond is cut.
pub fn moment(text: &str) -> Option<Timestamp> {
    let start = day(text.get(..10)?)?;
    let clock = text.get(10..19)?;
    let (hours, minutes, seconds) = (digits(clock, 1, 2)?, digits(clock, 4, 2)?, digits(clock, 7, 2)?);
    let bytes = clock.as_bytes();
    let shaped = matches!(bytes[0], b'T' | b't') && bytes[3] == b':' && bytes[6] == b':';
    if !shaped || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let rest = text.get(19..)?.strip_suffix(['Z', 'z'])?;
    let millis = match rest.strip_prefix('.') {
        None if rest.is_empty() => 0,
        Some(fraction) if (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{fraction:0<3}")[..3].parse().ok()?
        }
        _ => return None,
    };
    let seconds = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
    Some(start.plus(seconds + Duration::from_millis(millis)))
}

/// The day of a moment, `YYYY-MM-DD`.
pub fn day_of(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// The beginning of the day after.
pub fn day_after(time: Timestamp) -> Timestamp {
    Timestamp::from_secs((time.as_secs() / DAY + 1) * DAY)
}

/// A period in the largest unit that shows it whole.
pub fn period(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    if hours >= 24 && hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") }
}

fn digits(text: &str, from: usize, count: usize) -> Option<u64> {
    let part = text.get(from..from + count)?;
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01.
fn days_until(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_reads_back_as_it_prints() {
        for n in 0..60_000 {
            let time = Timestamp::from_secs(n * DAY);
            let text = day_of(time);
            assert_eq!(day(&text), Some(time), "{text}");
            assert_eq!(day_of(day_after(time).minus(Duration::from_millis(1))), text);
        }
    }

    #[test]
    fn every_moment_reads_back_as_it_prints() {
        let mut millis = 1_700_000_000_123;
        for n in 1..5_000 {
            let time = Timestamp::from_millis(millis);
            assert_eq!(moment(&time.to_string()), Some(time), "{time}");
            millis += n * 7_919;
        }
        let at = |text| moment(text).map(Timestamp::as_millis);
        assert_eq!(at("2026-11-23T08:49:40Z"), at("2026-11-23t08:49:40.000z"));
        assert_eq!(at("2026-11-23T08:49:40.1239Z").map(|millis| millis % 1000), Some(123));
    }

    #[test]
    fn what_is_no_day_or_moment_is_none() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-1-01",
            "2026-01-1",
            "26-01-01",
            "2026/01/01",
            "2026-01-01 ",
            "+026-01-01",
            "1969-12-31",
            "2026-01-0é",
            "٢٠٢٦-01-01",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
        for text in [
            "2026-11-23",
            "2026-11-23T24:00:00Z",
            "2026-11-23T08:60:00Z",
            "2026-11-23T08:49:40",
            "2026-11-23T08:49:40+01:00",
            "2026-11-23T08:49:40.Z",
            "2026-11-23 08:49:40Z",
            "2026-11-23T08:49:40.1234567890Z",
            "2026-11-23T08:49:4éZ",
            "2026-02-29T08:49:40Z",
            "2026-11-23T-1:49:40Z",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
        // Whatever is cut or changed in a good one, nothing panics.
        let good = "2026-11-23T08:49:40.123Z";
        for at in 0..good.len() {
            for other in ['é', '\0', '9', '-', 'Z'] {
                let text: String = good.chars().enumerate().map(|(n, c)| if n == at { other } else { c }).collect();
                let _ = (moment(&text), day(&text), moment(&good[..at]), day(&good[at..]));
            }
        }
    }
}
