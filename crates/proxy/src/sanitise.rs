//! Arguments as the audit log may keep them: their shape and harmless values, never a credential.
//!
//! This decides what is written down, not what is forwarded. When in doubt a value is cut: the
//! digest of the full arguments is in the event beside it.

use serde_json::{Map, Value};

/// Longest string kept, in characters.
const MAX_STRING: usize = 256;
/// How much of a string is looked at, in characters; what is kept comes from it.
const MOST_SEEN: usize = 1024;
/// Most members or items kept of an object or array.
const MAX_ITEMS: usize = 64;
/// Deepest level kept.
const MAX_DEPTH: usize = 8;
/// Bytes kept of everything as JSON writes it, about; far below what a log entry holds.
const MAX_BYTES: usize = 16 * 1024;
/// Digits kept of a number, which may be written at any length.
const MAX_NUMBER: usize = 40;
/// What stands for a value that was left out because of its name or form.
pub const REDACTED: &str = "[redacted]";

/// Parts of member names whose values are never kept. Compared in lowercase without `-`, `_`, `.`.
const SECRET_NAMES: [&str; 16] = [
    "password",
    "passwd",
    "pwd",
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
    "connectionstring",
    "signature",
];

/// Words that are secret names by themselves or as one word of a name, such as `card_pin`.
const SECRET_WORDS: [&str; 8] = ["pin", "cvv", "cvc", "ssn", "otp", "auth", "pass", "jwt"];

/// Names that are harmless elsewhere and mostly secret in a query: `?key=…`, `&sig=…`.
const SECRET_QUERY: [&str; 4] = ["key", "code", "sig", "state"];

/// Schemes of an `Authorization` header; what follows one is not kept.
const SCHEMES: [&str; 3] = ["bearer", "basic", "dpop"];

/// Beginnings of well-known credentials, wherever they stand in a string.
const SECRET_PREFIXES: [&str; 24] = [
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
    "sk_test_",
    "rk_live_",
    "whsec_",
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

/// A copy of `text` fit for the log: cut, without the values of secret parameters, and redacted whole if
/// it holds what looks like a credential.
pub fn sanitise_text(text: &str) -> String {
    let seen = &text[..text.char_indices().nth(MOST_SEEN).map_or(text.len(), |(end, _)| end)];
    if looks_secret(seen) {
        return REDACTED.to_owned();
    }
    let clean = without_schemes(&without_parameters(seen));
    if seen.len() == text.len() && clean.chars().count() <= MAX_STRING {
        return clean;
    }
    let kept: String = clean.chars().take(MAX_STRING).collect();
    format!("{kept}… [{} bytes]", text.len())
}

fn clean(value: &Value, depth: usize, left: &mut usize) -> Value {
    if *left == 0 {
        return Value::from("[left out]");
    }
    match value {
        Value::String(text) => {
            let kept = Value::String(sanitise_text(text));
            spend(left, &kept);
            kept
        }
        Value::Object(_) | Value::Array(_) if depth >= MAX_DEPTH => {
            let kept = Value::from("[deeper levels left out]");
            spend(left, &kept);
            kept
        }
        Value::Object(members) => Value::Object(clean_object(members, depth, left)),
        Value::Array(items) => {
            let mut kept = Vec::new();
            *left = left.saturating_sub(3);
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
            let long = digits > MAX_NUMBER;
            let kept = if long { format!("[number of {digits} characters]").into() } else { value.clone() };
            spend(left, &kept);
            kept
        }
        other => {
            spend(left, other);
            other.clone()
        }
    }
}

/// Takes what `kept` is in JSON from the budget: a control character is one byte here and six there.
fn spend(left: &mut usize, kept: &Value) {
    // One more for the comma or colon after it.
    *left = left.saturating_sub(kept.to_string().len() + 1);
}

fn clean_object(members: &Map<String, Value>, depth: usize, left: &mut usize) -> Map<String, Value> {
    let mut kept = Map::new();
    let mut shown = 0;
    *left = left.saturating_sub(3);
    let named_secret = names_secret(members);
    for (name, value) in members.iter().take(MAX_ITEMS) {
        if *left == 0 {
            break;
        }
        let secret = secret_name(name) || named_secret && name.eq_ignore_ascii_case("value");
        let value = if secret { Value::from(REDACTED) } else { clean(value, depth + 1, left) };
        let name = sanitise_text(name);
        spend(left, &Value::from(name.as_str()));
        kept.insert(name, value);
        shown += 1;
    }
    if members.len() > shown {
        kept.insert("…".to_owned(), Value::String(format!("[{} more]", members.len() - shown)));
    }
    kept
}

/// Whether an object says of itself that its `value` is secret: `{"name": "password", "value": …}`.
fn names_secret(members: &Map<String, Value>) -> bool {
    let says = |name: &String| ["name", "key", "header", "field"].iter().any(|known| name.eq_ignore_ascii_case(known));
    members.iter().any(|(name, value)| says(name) && value.as_str().is_some_and(secret_name))
}

fn secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRET_NAMES.iter().any(|part| plain.contains(part))
        || words(name).iter().any(|word| SECRET_WORDS.contains(&word.as_str()))
}

/// The words of a name in lowercase: of `dbAuth`, `db-auth` and `db_auth` the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || before.is_lowercase() && c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

/// `text` with the values of `name=value` cut where the name is secret: in queries, forms and commands.
fn without_parameters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let of_name = |c: char| c.is_alphanumeric() || "_-.%[]".contains(c);
        let start = before.char_indices().rev().take_while(|(_, c)| of_name(*c)).last().map_or(at, |(from, _)| from);
        let name = &before[start..];
        let in_query = before[..start].ends_with(['?', '&', ';', '#']);
        out.push_str(&rest[..=at]);
        let known = SECRET_QUERY.iter().any(|known| name.eq_ignore_ascii_case(known));
        rest = after;
        if secret_name(name) || in_query && known {
            let end = |c: char| c.is_whitespace() || "&;#\"'<>".contains(c);
            rest = &after[after.find(end).unwrap_or(after.len())..];
            if rest.len() < after.len() {
                out.push_str(REDACTED);
            }
        }
    }
    out + rest
}

/// `text` with what follows `Bearer`, `Basic` or `DPoP` cut.
fn without_schemes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut scheme = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let plain = word.trim_end();
        if scheme && plain.chars().count() >= 8 {
            out.push_str(REDACTED);
            out.push_str(&word[plain.len()..]);
        } else {
            out.push_str(word);
        }
        // Further spaces between the two change nothing.
        if !plain.is_empty() {
            let last = plain.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            scheme = SCHEMES.iter().any(|known| last.eq_ignore_ascii_case(known));
        }
    }
    out
}

fn looks_secret(text: &str) -> bool {
    SECRET_PREFIXES.iter().any(|prefix| {
        text.match_indices(prefix).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let starts_word = before.is_none_or(|c| !c.is_ascii_alphanumeric());
            let run = text[at + prefix.len()..]
                .chars()
                .take(12)
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
    fn secret_parameters_and_header_values_are_cut_out_of_text() {
        for (text, kept) in [
            ("https://x.example/a?id=7&access_token=abc#frag", "https://x.example/a?id=7&access_token=[redacted]#frag"),
            ("https://x.example/a?key=k1&sig=s1&page=2", "https://x.example/a?key=[redacted]&sig=[redacted]&page=2"),
            ("https://x.example/cb?code=c&state=s", "https://x.example/cb?code=[redacted]&state=[redacted]"),
            (
                "https://x.example/a?X-Amz-Signature=ff&api_key=1",
                "https://x.example/a?X-Amz-Signature=[redacted]&api_key=[redacted]",
            ),
            ("user=ann&password=hunter2", "user=ann&password=[redacted]"),
            ("DB_PWD=hunter2 run", "DB_PWD=[redacted] run"),
            ("curl -H 'Authorization: Bearer abcdefgh12' x", "curl -H 'Authorization: Bearer [redacted] x"),
            ("basic  dXNlcjpwdw==", "basic  [redacted]"),
            ("DPoP Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp", "DPoP [redacted]"),
            ("whsec_abcdefghijkl0123", REDACTED),
        ] {
            assert_eq!(sanitise_text(text), kept);
        }
    }

    #[test]
    fn a_pair_that_names_a_secret_and_names_of_authorization_keep_no_value() {
        let kept = sanitise(&json!({
            "headers": [{"name": "Authorization", "value": "x"}, {"name": "Accept", "value": "y"}],
            "env": {"key": "db_password", "value": {"deep": "x"}},
            "pwd": "x", "auth": "x", "basicAuth": "x", "proxy-authorization": "x", "author": "Ann", "compass": "N",
        }));
        assert_eq!(
            kept,
            json!({
                "headers": [{"name": "Authorization", "value": REDACTED}, {"name": "Accept", "value": "y"}],
                "env": {"key": "db_password", "value": REDACTED},
                "pwd": REDACTED, "auth": REDACTED, "basicAuth": REDACTED, "proxy-authorization": REDACTED,
                "author": "Ann", "compass": "N",
            })
        );
    }

    #[test]
    fn what_json_writes_longer_counts_at_its_length() {
        let controls: Map<String, Value> =
            (0..60).map(|n| (format!("p{n}"), Value::from("\u{1}".repeat(256)))).collect();
        let kept = sanitise(&Value::Object(controls)).to_string();
        assert!(kept.len() < 20 * 1024, "{}", kept.len());
        let names: Map<String, Value> =
            (0..60).map(|n| (format!("{}{n}", "\u{1}".repeat(250)), Value::from(1))).collect();
        assert!(sanitise(&Value::Object(names)).to_string().len() < 20 * 1024);
        for leaf in [json!([]), json!({}), json!([[[[[[[[1]]]]]]]]), json!(null)] {
            let wide = json!(vec![vec![vec![leaf; 64]; 64]; 64]);
            let kept = sanitise(&wide).to_string();
            assert!(kept.len() < 20 * 1024, "{}", kept.len());
        }
    }

    #[test]
    fn a_long_string_costs_no_more_than_its_beginning() {
        for part in ["eyJ", "a=", "Bearer ", "?key=", "-----BEGIN"] {
            let text = format!("x{}", part.repeat(4 << 18));
            let before = std::time::Instant::now();
            assert!(sanitise_text(&text).chars().count() <= 320);
            assert!(before.elapsed() < std::time::Duration::from_secs(1), "{part}");
        }
        let straddling = format!("{} ghp_16C7e42F292c6912E7710c838347Ae178B4a", "a".repeat(MAX_STRING - 10));
        assert_eq!(sanitise_text(&straddling), REDACTED);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_bounded_and_survives_being_cleaned_twice(text in ".{0,600}") {
            let once = sanitise_text(&text);
            proptest::prop_assert!(once.chars().count() <= 320, "{once:?}");
            sanitise_text(&once);
        }
    }

    #[test]
    fn ordinary_text_is_kept_as_it_is() {
        for text in [
            "https://example.com/search?q=keys&page=2",
            "x == 1 && code = 2",
            "the basic idea of it",
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
