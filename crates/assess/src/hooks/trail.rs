//! An exported trail of any shape, taken apart into events.
//!
//! JSON lines, one array, arrays inside objects (OCSF, OTLP, a page of an API), lines with a prefix before the
//! JSON. Nothing is known of anybody's field names here but what [`fields`](super::fields) looks for.

use serde_json::Value;

/// Deeper values are not looked into.
const DEEPEST: usize = 64;
/// The most events that are looked at.
const MOST_EVENTS: usize = 200_000;

/// A trail.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Its events, in the order of the export.
    pub(crate) events: Vec<Event>,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Every value that is no object and no array, with the keys that lead to it.
    pub(crate) leaves: Vec<Leaf>,
    /// Every time in it, milliseconds since the epoch.
    pub(crate) times: Vec<u64>,
}

/// A value and its keys, in lower case, from the outermost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// `["actor", "user", "name"]`
    pub(crate) path: Vec<String>,
    /// As text.
    pub(crate) text: String,
}

impl Trail {
    /// Reads what an export printed.
    pub(crate) fn read(output: &[u8]) -> Self {
        let mut events = Vec::new();
        for value in values(output) {
            gather(value, true, 0, &mut events);
        }
        Self { events }
    }

    /// The events that hold `word` as a word of a value.
    pub(crate) fn about<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.names(word))
    }
}

impl Event {
    fn of(value: &Value) -> Self {
        let mut leaves = Vec::new();
        flatten(value, &mut Vec::new(), &mut leaves);
        let times = leaves.iter().filter_map(|leaf| time(&leaf.text)).collect();
        Self { leaves, times }
    }

    /// Whether a value is `word`, or holds it between characters that are no part of a name.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.leaves.iter().any(|leaf| holds_word(&leaf.text, word))
    }

    /// Whether a time of it lies between `from` and `to`, milliseconds.
    pub(crate) fn within(&self, from: u64, to: u64) -> bool {
        self.times.iter().any(|time| (from..=to).contains(time))
    }
}

/// Every JSON value of `output`: the whole of it, or one a line, with or without a prefix.
pub(crate) fn values(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(output);
    if let Ok(whole) = serde_json::from_str::<Value>(text.trim()) {
        return vec![whole];
    }
    let line = |line: &str| {
        let line = line.trim();
        let inner = line.find(['{', '[']).map(|at| &line[at..]);
        serde_json::from_str(line).ok().or_else(|| serde_json::from_str(inner?).ok()).filter(is_compound)
    };
    text.lines().filter_map(line).take(MOST_EVENTS).collect()
}

fn is_compound(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// An object with a time of its own is an event, unless a page of events carries it: then those are.
fn gather(value: Value, page: bool, depth: usize, events: &mut Vec<Event>) {
    if depth > DEEPEST || events.len() >= MOST_EVENTS {
        return;
    }
    match value {
        Value::Array(items) => items.into_iter().for_each(|item| gather(item, false, depth + 1, events)),
        Value::Object(object) => {
            let value = Value::Object(object);
            let (holds, own) = (holds_events(&value, depth), has_own_time(&value));
            // A page without any time still carries its list.
            let descends = if holds { page || !own } else { page && !own && has_list(&value) };
            if !descends {
                return events.push(Event::of(&value));
            }
            let carries = |inner: &Value| if holds { holds_events(inner, depth + 1) } else { is_list(inner) };
            if let Value::Object(object) = value {
                let inner = object.into_iter().map(|(_, inner)| inner).filter(carries);
                inner.for_each(|inner| gather(inner, page, depth + 1, events));
            }
        }
        _ => {}
    }
}

fn has_list(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.values().any(is_list))
}

fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
}

/// Whether an array of objects with times is anywhere inside.
fn holds_events(value: &Value, depth: usize) -> bool {
    if depth > DEEPEST {
        return false;
    }
    match value {
        Value::Array(items) => {
            items.iter().any(|item| item.is_object() && has_own_time(item) || holds_events(item, depth + 1))
        }
        Value::Object(object) => object.values().any(|inner| holds_events(inner, depth + 1)),
        _ => false,
    }
}

/// A time in it that is not inside an array of objects.
fn has_own_time(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().any(|inner| match inner {
            Value::Array(items) => items.iter().any(|item| !is_compound(item) && has_own_time(item)),
            inner => has_own_time(inner),
        }),
        Value::String(text) => time(text).is_some(),
        Value::Number(number) => time(&number.to_string()).is_some(),
        _ => false,
    }
}

fn flatten(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) {
    if path.len() > DEEPEST {
        return;
    }
    match value {
        // Parameters that are there and empty are there.
        Value::Object(object) if object.is_empty() => leaves.push(Leaf { path: path.clone(), text: "{}".to_owned() }),
        Value::Array(items) if items.is_empty() => leaves.push(Leaf { path: path.clone(), text: "[]".to_owned() }),
        Value::Object(object) => {
            // OTLP writes {"key": name, "value": {"stringValue": …}}: the name is what counts.
            let key = object.get("key").and_then(Value::as_str).filter(|_| object.contains_key("value"));
            for (name, inner) in object {
                path.push(key.filter(|_| name == "value").unwrap_or(name).to_lowercase());
                flatten(inner, path, leaves);
                path.pop();
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(item, path, leaves)),
        Value::Null => {}
        // A message of JSON inside a string is read as one.
        Value::String(text) => match serde_json::from_str::<Value>(text).ok().filter(is_compound) {
            Some(inner) => flatten(&inner, path, leaves),
            None => leaves.push(Leaf { path: path.clone(), text: text.clone() }),
        },
        other => leaves.push(Leaf { path: path.clone(), text: other.to_string() }),
    }
}

fn holds_word(text: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            !before.ends_with(part_of_name) && !after.starts_with(part_of_name)
        })
}

/// RFC 3339, `2026-11-23 10:00:00` (taken as UTC), or seconds, milliseconds, microseconds or nanoseconds since
/// the epoch, between the years 2001 and 2286.
pub(crate) fn time(text: &str) -> Option<u64> {
    if !(10..=40).contains(&text.len()) || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(time.as_millisecond()).ok();
    }
    if let Ok(number) = text.parse::<f64>() {
        let scale = match number {
            1e9..1e10 => 1e3,
            1e12..1e13 => 1.0,
            1e15..1e16 => 1e-3,
            1e18..1e19 => 1e-6,
            _ => return None,
        };
        return Some((number * scale) as u64);
    }
    let civil: jiff::civil::DateTime = text.parse().ok().filter(|_| text.contains(':'))?;
    u64::try_from(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: u64 = 1_795_435_200_000;

    fn count(text: &str) -> usize {
        Trail::read(text.as_bytes()).about("read_ticket").filter(|event| event.within(NOON, NOON + 1000)).count()
    }

    #[test]
    fn events_are_found_in_every_shape() {
        let event = r#"{"time":"2026-11-23T12:00:00.500Z","tool":"read_ticket","user":"ann"}"#;
        for (shape, text) in [
            ("lines", format!("{event}\n{event}\n")),
            ("array", format!("[{event},{event}]")),
            (
                "page",
                format!(r#"{{"exported_at":"2026-11-23T12:00:05Z","data":{{"items":[{event},{event}],"next":null}}}}"#),
            ),
            ("syslog", format!("<134>1 2026-11-23T12:00:00Z host app: {event}\n<134>1 x: {event}")),
            (
                "message",
                format!(
                    "{}\n{}",
                    serde_json::json!({"ts": 1, "message": event}),
                    serde_json::json!({"ts": 2, "message": event})
                ),
            ),
        ] {
            assert_eq!(count(&text), 2, "{shape}");
        }
        assert_eq!(Trail::read(br#"{"events":[{"tool":"a"},{"tool":"b"}]}"#).events.len(), 2, "without any time");
        let ocsf = r#"{"class_uid":6003,"time":1795435200500,"api":{"operation":"tools/call read_ticket"},
            "actor":{"user":{"name":"ann","type":"User"}},"observables":[{"name":"x","type":"Other","value":"y"}]}"#;
        assert_eq!(count(ocsf), 1);
        let otlp = r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[
            {"timeUnixNano":"1795435200500000000","attributes":[{"key":"mcp.tool","value":{"stringValue":"read_ticket"}}]},
            {"timeUnixNano":"1795435200600000000","attributes":[{"key":"mcp.tool","value":{"stringValue":"read_ticket"}}]}]}]}]}"#;
        assert_eq!(count(otlp), 2);
        let leaf =
            Trail::read(otlp.as_bytes()).events[0].leaves.iter().any(|leaf| leaf.path.contains(&"mcp.tool".to_owned()));
        assert!(leaf, "the name of an attribute is its key");
    }

    #[test]
    fn a_name_is_a_whole_word() {
        assert!(
            holds_word("tools/call read_ticket", "read_ticket") && holds_word("mcp:tool:read_ticket", "read_ticket")
        );
        assert!(!holds_word("read_tickets", "read_ticket") && !holds_word("spread_ticket", "read_ticket"));
        assert!(!holds_word("anything", ""));
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in [
            "2026-11-23T12:00:00Z",
            "2026-11-23T13:00:00+01:00",
            "2026-11-23 12:00:00",
            "1795435200",
            "1795435200.0",
            "1795435200000",
            "1795435200000000000",
        ] {
            assert_eq!(time(text), Some(NOON), "{text}");
        }
        for text in ["2026-11-23", "12:00:00", "0000000001", "a2026-11-23T12:00:00Z", "99999999999999999999"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_export_is_read(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Trail::read(text.as_bytes());
            let _ = Trail::read(&bytes);
            let _ = Trail::read(format!("{{\"time\":\"{}\",\"a\":[{{\"b\":1}}]}}", text.replace(['"', '\\'], "")).as_bytes());
        }
    }
}
