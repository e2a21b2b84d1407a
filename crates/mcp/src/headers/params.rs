//! `x-mcp-header`: tool parameters that travel as `Mcp-Param-*` (streamable-http, Custom Headers from Tool
//! Parameters).

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::{decode_value, header_name, single};
use crate::{envelope::Request, errors::Error, json::Object};

/// One annotated parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// `mcp-param-…`, lower case.
    pub name: HeaderName,
    /// Keys from `arguments` down to the parameter.
    pub path: Vec<String>,
}

/// Integers beyond this lose digits in JavaScript: 2^53 − 1.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

impl ParamHeader {
    fn value<'a>(&self, request: &'a Request) -> Option<&'a Value> {
        let arguments = request.param("arguments")?;
        self.path.iter().try_fold(arguments, |at, key| at.get(key)).filter(|value| !value.is_null())
    }

    /// The text of the parameter's value; `None` when it is absent or null.
    pub(super) fn text(&self, request: &Request) -> Result<Option<String>, Error> {
        Ok(match self.value(request) {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Number(number)) => Some(integer(number.as_str()).ok_or_else(|| self.unfit())?.to_string()),
            Some(_) => return Err(self.unfit()),
        })
    }

    fn check(&self, request: &Request, headers: &HeaderMap) -> Result<(), Error> {
        let name = self.name.as_str();
        let sent = single(headers, name)?.map(|raw| decode_value(name, raw)).transpose()?;
        let (expected, sent) = match (self.text(request)?, sent) {
            (None, None) => return Ok(()),
            (Some(_), None) => {
                return Err(Error::HeaderMismatch(format!("{name} is missing; send the argument's value")));
            }
            (None, Some(_)) => {
                return Err(Error::HeaderMismatch(format!("{name} is there but its argument is not; leave it out")));
            }
            (Some(expected), Some(sent)) => (expected, sent),
        };
        let equal = match self.value(request) {
            Some(Value::Number(_)) => integer(&sent).is_some_and(|n| n.to_string() == expected),
            _ => sent == expected,
        };
        if equal { Ok(()) } else { Err(Error::HeaderMismatch(format!("{name} differs from the argument's value"))) }
    }

    fn unfit(&self) -> Error {
        Error::HeaderMismatch(format!(
            "the argument of {} must be a string, a boolean or an integer within ±(2^53 − 1)",
            self.name
        ))
    }
}

pub(super) fn check(annotated: &[ParamHeader], request: &Request, headers: &HeaderMap) -> Result<(), Error> {
    annotated.iter().try_for_each(|header| header.check(request, headers))
}

/// The annotated parameters of a tool's `inputSchema`, in the order of its text.
///
/// # Errors
/// [`Error::HeaderAnnotation`] when an annotation is empty, no header token, used twice (letter case
/// aside), on anything but a string, integer or boolean, or anywhere but on a chain of `properties`.
/// Such a tool must be left out of `tools/list` over HTTP.
pub fn param_headers(input_schema: &Value) -> Result<Vec<ParamHeader>, Error> {
    let mut found = Vec::new();
    walk(input_schema, &Place::Reachable(Vec::new()), &mut found)?;
    Ok(found)
}

/// Where in the schema the walk is.
enum Place {
    /// The root, or reached from it by `properties` alone.
    Reachable(Vec<String>),
    /// Below any other keyword.
    Elsewhere,
}

const ANNOTATION: &str = "x-mcp-header";

fn walk(schema: &Value, place: &Place, found: &mut Vec<ParamHeader>) -> Result<(), Error> {
    let Value::Object(schema) = schema else { return Ok(()) };
    if let Some(annotation) = schema.get(ANNOTATION) {
        let header = annotated(schema, annotation, place)?;
        if found.iter().any(|other| other.name == header.name) {
            return Err(Error::HeaderAnnotation(format!("{} is used twice", header.name)));
        }
        found.push(header);
    }
    for (keyword, below) in schema {
        match (keyword.as_str(), below) {
            // Values, not schemas.
            (ANNOTATION | "const" | "enum" | "default" | "examples", _) => {}
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    walk(property, &place.below(name), found)?;
                }
            }
            ("patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(schemas)) => {
                for schema in schemas.values() {
                    walk(schema, &Place::Elsewhere, found)?;
                }
            }
            (_, Value::Array(schemas)) => {
                for schema in schemas {
                    walk(schema, &Place::Elsewhere, found)?;
                }
            }
            (_, schema) => walk(schema, &Place::Elsewhere, found)?,
        }
    }
    Ok(())
}

impl Place {
    fn below(&self, name: &str) -> Self {
        match self {
            Self::Reachable(path) => Self::Reachable(path.iter().cloned().chain([name.to_owned()]).collect()),
            Self::Elsewhere => Self::Elsewhere,
        }
    }
}

fn annotated(schema: &Object, annotation: &Value, place: &Place) -> Result<ParamHeader, Error> {
    let path = match place {
        Place::Reachable(path) if !path.is_empty() => path.clone(),
        _ => return Err(Error::HeaderAnnotation("it stands outside a chain of `properties`".into())),
    };
    let name = annotation
        .as_str()
        .filter(|name| !name.is_empty())
        .and_then(header_name)
        .ok_or_else(|| Error::HeaderAnnotation("its value must be an HTTP token, not empty".into()))?;
    if !primitive(schema.get("type")) {
        return Err(Error::HeaderAnnotation(format!("{name} is on a type other than string, integer or boolean")));
    }
    Ok(ParamHeader { name, path })
}

/// One primitive type, or that type and `null`, since a null value means that no header is sent.
fn primitive(kind: Option<&Value>) -> bool {
    let one = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "boolean"));
    match kind {
        Some(Value::Array(kinds)) => {
            let named: Vec<_> = kinds.iter().filter(|kind| kind.as_str() != Some("null")).collect();
            named.len() == 1 && one(named[0])
        }
        Some(kind) => one(kind),
        None => false,
    }
}

/// The integer that a JSON number's text stands for (`42`, `42.0`, `4.2e1`), if it is one and safe.
fn integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let grammatical = !whole.is_empty()
        && (whole == "0" || !whole.starts_with('0'))
        && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !grammatical {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // value = significant × 10^scale; an integer has no negative scale left.
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let scale = i64::from(exponent) - i64::try_from(fraction.len()).ok()? + dropped;
    let scale = u32::try_from(scale).ok().filter(|scale| *scale <= 16)?;
    let magnitude = significant.trim_start_matches('0').parse::<i64>().ok()?.checked_mul(10_i64.pow(scale))?;
    let value = if text.starts_with('-') { -magnitude } else { magnitude };
    (value.abs() <= SAFE_INTEGER).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers_are_read_by_value() {
        for (text, value) in [
            ("42", Some(42)),
            ("-7", Some(-7)),
            ("42.0", Some(42)),
            ("4.2e1", Some(42)),
            ("420e-1", Some(42)),
            ("0.0", Some(0)),
            ("-0", Some(0)),
            ("9007199254740991", Some(9_007_199_254_740_991)),
            ("9007199254740992", None),
            ("0.5", None),
            ("042", None),
            ("42.", None),
            ("+42", None),
            ("1e400", None),
            ("0e999999999999", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
    }
}
