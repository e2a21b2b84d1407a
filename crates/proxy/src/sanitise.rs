//! Arguments as the audit log may keep them: their shape and harmless values, never a credential.
//!
//! This decides what is written down, not what is forwarded. When in doubt a value is cut: the
//! digest of the full arguments is in the event beside it.

use serde_json::{Map, Value};

/// Longest string kept, in characters.
const MAX_STRING: usize = 256;
/// Most members or items kept of an object or array.
const MAX_ITEMS: usize = 64;
/// Deepest level kept.
const MAX_DEPTH: usize = 8;
/// Bytes kept of everything, about; far below what a log entry holds.
const MAX_BYTES: usize = 16 * 1024;
/// Digits kept of a number, which may be written at any length.
const MAX_NUMBER: usize = 40;
/// What stands for a value that was left out because of its name or form.
pub const REDACTED: &str = "[redacted]";

/// Parts of member names whose values are never kept. Compared in lowercase without `-`, `_`, `.`.
const SECRET_NAMES: [&str; 20] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "sessionid",
    "bearer",
    "pin",
    "cvv",
    "cvc",
    "ssn",
    "otp",
    "connectionstring",
    "signature",
];

/// Beginnings of well-known credentials, wherever they stand in a string.
const SECRET_PREFIXES: [&str; 22] = [
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "sk-",
    "sk_live_",
    "rk_live_",
    "AIza",
    "ya29.",
    "eyJ",
    "npm_",
    "pypi-",
    "-----BEGIN",
];

/// A copy of `value` fit for the log.
pub fn sanitise(value: &Value) -> Value {
    clean(value, 0, &mut { MAX_BYTES })
}

/// A copy of `text` fit for the log: cut, and redacted if it holds what looks like a credential.
pub fn sanitise_text(text: &str) -> String {
    if looks_secret(text) {
        return REDACTED.to_owned();
    }
    if text.chars().count() <= MAX_STRING {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_STRING).collect();
    format!("{kept}… [{} bytes]", text.len())
}

fn clean(value: &Value, depth: usize, left: &mut usize) -> Value {
    if *left == 0 {
        return left_out();
    }
    match value {
        Value::String(text) => {
            let kept = sanitise_text(text);
            spend(left, kept.len());
            Value::String(kept)
        }
        Value::Object(_) | Value::Array(_) if depth >= MAX_DEPTH => {
            Value::String("[deeper levels left out]".to_owned())
        }
        Value::Object(members) => Value::Object(clean_object(members, depth, left)),
        Value::Array(items) => {
            let mut kept = Vec::new();
            for item in items.iter().take(MAX_ITEMS) {
                if *left == 0 {
                    break;
                }
                kept.push(clean(item, depth + 1, left));
            }
            if items.len() > kept.len() {
                kept.push(Value::String(format!("[{} more]", items.len() - kept.len())));
            }
            Value::Array(kept)
        }
        Value::Number(number) => {
            let digits = number.to_string().len();
            spend(left, digits.min(MAX_NUMBER));
            if digits > MAX_NUMBER { Value::String(format!("[number of {digits} characters]")) } else { value.clone() }
        }
        other => {
            spend(left, 5);
            other.clone()
        }
    }
}

fn spend(left: &mut usize, bytes: usize) {
    // Two more for what JSON puts around every value.
    *left = left.saturating_sub(bytes + 2);
}

fn left_out() -> Value {
    Value::String("[left out]".to_owned())
}

fn clean_object(members: &Map<String, Value>, depth: usize, left: &mut usize) -> Map<String, Value> {
    let mut kept = Map::new();
    let mut shown = 0;
    for (name, value) in members.iter().take(MAX_ITEMS) {
        if *left == 0 {
            break;
        }
        let value = if secret_name(name) { Value::String(REDACTED.to_owned()) } else { clean(value, depth + 1, left) };
        let name = sanitise_text(name);
        spend(left, name.len());
        kept.insert(name, value);
        shown += 1;
    }
    if members.len() > shown {
        kept.insert("…".to_owned(), Value::String(format!("[{} more]", members.len() - shown)));
    }
    kept
}

fn secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRET_NAMES.iter().any(|part| if part.len() <= 3 { plain == *part } else { plain.contains(part) })
}

fn looks_secret(text: &str) -> bool {
    SECRET_PREFIXES.iter().any(|prefix| {
        text.match_indices(prefix).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let starts_word = before.is_none_or(|c| !c.is_ascii_alphanumeric());
            let run = text[at + prefix.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "-_.+/=".contains(*c))
                .count();
            starts_word && (run >= 12 || prefix.starts_with("-----"))
        })
    }) || has_url_password(text)
}

fn has_url_password(text: &str) -> bool {
    text.split_whitespace().filter_map(|word| word.split_once("://")).any(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_secret_names_are_not_kept() {
        let kept = sanitise(
            &json!({"user": "ann", "db_password": "x", "API-Key": 7, "nested": {"accessToken": {"a": 1}}, "pin": "1234", "spinner": "on"}),
        );
        assert_eq!(
            kept,
            json!({"user": "ann", "db_password": REDACTED, "API-Key": REDACTED, "nested": {"accessToken": REDACTED}, "pin": REDACTED, "spinner": "on"})
        );
    }

    #[test]
    fn well_known_credentials_are_not_kept_wherever_they_stand() {
        for secret in [
            "AKIAIOSFODNN7EXAMPLE",
            "use ghp_16C7e42F292c6912E7710c838347Ae178B4a please",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
            "-----BEGIN PRIVATE KEY-----",
            "postgres://root:hunter2@db/x",
        ] {
            assert_eq!(sanitise_text(secret), REDACTED, "{secret}");
        }
    }

    #[test]
    fn ordinary_text_is_kept_as_it_is() {
        for text in [
            "the ask-and-answer book",
            "sky-high",
            "https://example.com/a@b:c",
            "naïve ‏עברית",
            "risk-assessment-of-everything-here",
        ] {
            assert_eq!(sanitise_text(text), text);
        }
    }

    #[test]
    fn size_is_bounded_in_every_direction() {
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!([deep]);
        }
        let wide: Vec<u32> = (0..10_000).collect();
        let kept = sanitise(&json!({"deep": deep, "wide": wide, "long": "a".repeat(100_000)})).to_string();
        assert!(kept.len() < 4_000, "{}", kept.len());
        let row: Vec<String> = (0..64).map(|n| format!("{n}").repeat(200)).collect();
        let kept = sanitise(&json!(vec![vec![row; 64]; 64])).to_string();
        assert!(kept.len() < 2 * MAX_BYTES, "{}", kept.len());
        let number: Value = serde_json::from_str(&"7".repeat(1_000_000)).unwrap();
        assert!(sanitise(&json!({ "n": number })).to_string().len() < 100);
    }
}
