//! The `cnf` claim (RFC 7800 section 3.1): which key whoever presents a token must prove to hold.
//!
//! A token with a `cnf` that cannot be read is refused: reading past it would turn a bound token into a bearer
//! token.

use sallyport_model::KeyBinding;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::thumbprint;

/// The one method that `cnf` holds: `jkt` (RFC 9449 section 6.1) or `x5t#S256` (RFC 8705 section 3.1). `None` for
/// none, several, an unknown one or a value that is no thumbprint.
pub(crate) fn read(cnf: &Value) -> Option<KeyBinding> {
    let mut members = cnf.as_object()?.iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else { return None };
    let value = value.as_str().filter(|value| thumbprint::is_one(value))?.to_owned();
    match name.as_str() {
        "jkt" => Some(KeyBinding::Dpop(value)),
        "x5t#S256" => Some(KeyBinding::Certificate(value)),
        _ => None,
    }
}

/// For `#[serde(deserialize_with)]`: `null` is no way to say that there is none.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyBinding>, D::Error> {
    let cnf = Value::deserialize(deserializer)?;
    read(&cnf).map(Some).ok_or_else(|| D::Error::custom("`cnf` holds no single known confirmation"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn exactly_one_known_method_is_read() {
        let one = thumbprint::of_certificate(b"x");
        for binding in [KeyBinding::Dpop(one.clone()), KeyBinding::Certificate(one.clone())] {
            assert_eq!(read(&serde_json::to_value(&binding).unwrap()), Some(binding));
        }
        for cnf in [
            json!(null),
            json!({}),
            json!([]),
            json!("jkt"),
            json!({"jkt": one, "x5t#S256": one}),
            json!({"jkt": one, "kid": "k"}),
            json!({"jwk": {}}),
            json!({"x5t": one}),
            json!({"jkt": null}),
            json!({"jkt": ""}),
            json!({"jkt": &one[..42]}),
            json!({"JKT": one}),
        ] {
            assert_eq!(read(&cnf), None, "{cnf}");
        }
    }

    proptest! {
        #[test]
        fn no_value_but_a_digest_is_a_confirmation(name in "jkt|x5t#S256|kid|\\PC{0,8}", value in "[A-Za-z0-9_-]{40,46}|\\PC{0,20}") {
            let found = read(&json!({name.as_str(): value}));
            prop_assert!(found.is_none() || thumbprint::is_one(&value) && matches!(name.as_str(), "jkt" | "x5t#S256"));
        }
    }
}
