//! A strict reading of JSON bodies (RFC 8259, and narrower).
//!
//! Refused are: keys that differ by case only (SCIM names attributes regardless of case, so `active` and
//! `Active` in one object would be two answers to one question), the character U+0000, nesting beyond
//! [`MAX_DEPTH`], more than [`MAX_VALUES`] values, a byte order mark, trailing bytes. It repairs nothing.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::fault::Fault;

/// Deepest nesting of arrays and objects; a bulk request needs seven.
pub(crate) const MAX_DEPTH: usize = 20;
/// Most values at every level together.
pub(crate) const MAX_VALUES: usize = 100_000;

/// The key under which `serde_json` hands over a number that keeps its text.
const NUMBER: &str = "$serde_json::private::Number";

/// Reads one JSON text.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    let refused = |error: serde_json::Error| Fault::InvalidSyntax(format!("the body is not acceptable JSON: {error}"));
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0, left: &left }.deserialize(&mut reader).map_err(refused)?;
    reader.end().map_err(refused)?;
    Ok(value)
}

/// [`parse`], where only an object makes sense.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    match parse(bytes)? {
        Value::Object(object) => Ok(object),
        _ => Err(Fault::InvalidSyntax("the body is not a JSON object".into())),
    }
}

/// The member called `name`, whatever the case of its key.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| D::Error::custom("it holds too many values"))?);
        reader.deserialize_any(self)
    }
}

fn text<E: Error>(text: &str) -> Result<String, E> {
    if text.contains('\0') { Err(E::custom("it holds the character U+0000")) } else { Ok(text.to_owned()) }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        text(value).map(Value::String)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(array.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            let key = text::<A::Error>(&key)?;
            if key == NUMBER && object.is_empty() {
                // A number as written. A stranger who spells this key out gets a number too, if it is one.
                let digits = members.next_value::<String>()?;
                let number: Number = digits.parse().map_err(A::Error::custom)?;
                return match members.next_key::<String>()? {
                    None => Ok(Value::Number(number)),
                    Some(_) => Err(A::Error::custom("it holds a reserved key")),
                };
            }
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(A::Error::custom(format_args!(
                    "the key `{}` is there twice (case does not distinguish attributes)",
                    crate::fault::shown(&key)
                )));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ordinary_json_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,3.5,1e3,true,null,"é\n"],"b":{"c":{}}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(parse(b" 5 ").unwrap(), json!(5));
    }

    #[test]
    fn what_two_readers_would_read_differently_is_refused() {
        for text in [
            r#"{"active":true,"active":false}"#,
            r#"{"active":true,"Active":false}"#,
            r#"{"a":{"x":1,"X":2}}"#,
            r#"{"a":1}{"#,
            "\u{feff}{}",
            r#""\u0000""#,
            r#"{"\u0000":1}"#,
            r#"{"$serde_json::private::Number":"1","a":2}"#,
            r#"{"$serde_json::private::Number":"x"}"#,
            "",
            "{",
            "[1,]",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().scim_type(), Some("invalidSyntax"), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse(nested(100_000).as_bytes()).is_err());
        assert!(parse(format!("[{}0]", "0,".repeat(MAX_VALUES - 2)).as_bytes()).is_ok());
        assert!(parse(format!("[{}0]", "0,".repeat(MAX_VALUES - 1)).as_bytes()).is_err());
    }
}
