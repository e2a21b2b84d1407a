//! JSON-RPC by two parsers.

use std::{collections::HashSet, fmt};

use sallyport_mcp::{Incoming, Limits, envelope, json};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

const LIMITS: Limits = Limits { depth: 64, batch: 8 };

/// What our parser accepts, serde_json reads as the same value and finds no name twice in; what we write of a
/// message reads as the same message.
pub fn mcp_envelope(bytes: &[u8]) {
    if let Ok(value) = json::parse(bytes, LIMITS.depth) {
        let theirs = unambiguous(bytes).expect("serde_json refuses what we accept, or a name stands twice");
        assert_eq!(spelled(&value), spelled(&theirs), "the two parsers see two values");
        let canonical = json::canonical(&value);
        let again = json::parse(canonical.as_bytes(), LIMITS.depth).expect("the canonical form is refused");
        assert_eq!(canonical, json::canonical(&again), "the canonical form is no fixed point");
        assert_eq!(json::parse(&json::to_vec(&value), LIMITS.depth).expect("what we write is refused"), value);
    } else {
        assert!(envelope::parse(bytes, LIMITS).is_err(), "an envelope out of refused JSON");
    }
    match envelope::parse(bytes, LIMITS) {
        Ok(Incoming::One(message)) => the_same_again(&message),
        Ok(Incoming::Batch(messages)) => messages.iter().for_each(the_same_again),
        Err(_) => {}
    }
}

fn the_same_again(message: &sallyport_mcp::Message) {
    let written = message.to_vec();
    let again = envelope::parse_one(&written, LIMITS.depth).expect("what we forward is refused");
    assert_eq!(*message, again);
    assert_eq!(written, again.to_vec(), "what we forward is written in two ways");
}

/// The value by serde_json; `None` where it refuses or where an object has a name twice.
pub(crate) fn unambiguous(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<NoNameTwice>(bytes).ok()?;
    serde_json::from_slice(bytes).ok()
}

/// As canonical text, with exponents respelled as serde_json does (`1e4` is `1e+4` to it).
fn spelled(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string().to_lowercase().replace("e+", "e"),
        Value::Array(items) => format!("[{}]", items.iter().map(spelled).collect::<Vec<_>>().join(",")),
        Value::Object(object) => {
            let members = object.iter().map(|(name, value)| format!("{}:{}", Value::from(&**name), spelled(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// Deserialises from any JSON in which no object has a name twice.
struct NoNameTwice;

impl<'de> Deserialize<'de> for NoNameTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Walk.deserialize(deserializer)
    }
}

struct Walk;

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = NoNameTwice;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NoNameTwice, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = NoNameTwice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_i64<E>(self, _: i64) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_u64<E>(self, _: u64) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_f64<E>(self, _: f64) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_str<E>(self, _: &str) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_unit<E>(self) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NoNameTwice, A::Error> {
        while items.next_element_seed(Walk)?.is_some() {}
        Ok(NoNameTwice)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<NoNameTwice, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            // How serde_json hands a number over when it keeps its text.
            if name == "$serde_json::private::Number" {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if !names.insert(name) {
                return Err(A::Error::custom("a name stands twice"));
            }
            members.next_value_seed(Walk)?;
        }
        Ok(NoNameTwice)
    }
}
