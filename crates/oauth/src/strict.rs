//! JSON objects of strangers, read so that no two parsers can see two documents in one text.
//!
//! Refuses duplicate keys at every depth, byte order marks, trailing bytes and deep nesting. Never
//! repairs anything.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

/// Nested objects and arrays below this depth are refused.
const MAX_DEPTH: usize = 16;

/// Why a text is not one unambiguous JSON object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnObject {
    /// It is not UTF-8 JSON, not an object, or has more after its end.
    #[error("it is not one JSON object")]
    Malformed,
    /// A key stands twice in one object.
    #[error("the key `{0}` is there twice")]
    DuplicateKey(String),
    /// It nests deeper than sixteen levels.
    #[error("it is nested too deeply")]
    TooDeep,
}

/// Reads one JSON object (RFC 8259).
///
/// # Errors
/// [`NotAnObject`], also for a duplicate key in a nested object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, NotAnObject> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotAnObject::Malformed)?;
    read_object(text, 0)
}

fn read_object(text: &str, depth: usize) -> Result<Map<String, Value>, NotAnObject> {
    if depth >= MAX_DEPTH {
        return Err(NotAnObject::TooDeep);
    }
    let members: Members = serde_json::from_str(text).map_err(|_| NotAnObject::Malformed)?;
    let mut object = Map::new();
    for (key, raw) in members.0 {
        // serde_json smuggles numbers and raw text through keys with this prefix.
        if key.starts_with("$serde_json::private::") {
            return Err(NotAnObject::Malformed);
        }
        let value = read_value(raw.get(), depth + 1)?;
        if object.insert(key.clone(), value).is_some() {
            return Err(NotAnObject::DuplicateKey(key.chars().take(80).collect()));
        }
    }
    Ok(object)
}

fn read_value(text: &str, depth: usize) -> Result<Value, NotAnObject> {
    match text.as_bytes().first() {
        Some(b'{') => read_object(text, depth).map(Value::Object),
        Some(b'[') if depth >= MAX_DEPTH => Err(NotAnObject::TooDeep),
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(|_| NotAnObject::Malformed)?;
            items.iter().map(|item| read_value(item.get(), depth + 1)).collect::<Result<_, _>>().map(Value::Array)
        }
        _ => serde_json::from_str(text).map_err(|_| NotAnObject::Malformed),
    }
}

struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duplicate_key_is_refused_at_every_depth_and_however_it_is_escaped() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"a":1}}"#, r#"{"x":[{"a":1,"a":1}]}"#]
        {
            assert!(matches!(object(text.as_bytes()), Err(NotAnObject::DuplicateKey(_))), "{text}");
        }
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in ["", "[]", "1", "{} {}", "{}x", "\u{feff}{}", r#"{"$serde_json::private::Number":"1"}"#, "{\"a\":}"]
        {
            assert_eq!(object(text.as_bytes()), Err(NotAnObject::Malformed), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(NotAnObject::Malformed));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
        assert_eq!(object(deep.as_bytes()), Err(NotAnObject::TooDeep));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(text in "\\{(\"[a-c]\":(1|\"x\"|\\[\\]|\\{\"d\":null\\}),){0,4}\"z\":0\\}") {
            if let Ok(object) = object(text.as_bytes()) {
                prop_assert_eq!(Value::Object(object), serde_json::from_str::<Value>(&text).unwrap());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = object(&bytes);
        }
    }
}
