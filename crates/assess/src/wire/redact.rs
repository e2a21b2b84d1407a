//! Credentials taken out of what is recorded.
//!
//! Three nets, one behind the other: values that the run was given or obtained, wherever they turn up and
//! however they are escaped; values of fields whose name says credential; and whatever looks like a JWT. What
//! stays of a long credential are its first six characters, so that two of them can be told apart; nothing
//! stays of a short one.

use std::sync::{Mutex, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::Secret;

/// What stays of a long credential.
const SHOWN: usize = 6;
/// From here on a credential is long.
const LONG: usize = 24;
/// A given value shorter than this is left in running text: it would take half of the words with it.
const SHORTEST_GIVEN: usize = 4;
/// A value that only its field calls a credential is sought elsewhere only from this length on: a hostile
/// answer must not blot out the record by calling `the` a token.
const SHORTEST_LEARNT: usize = 16;
/// Nor up from this one: what a hostile answer makes others be searched for has its bound.
const LONGEST_LEARNT: usize = 16 * 1024;
/// At most so many values are learnt.
const MAX_LEARNT: usize = 512;
/// Longer texts are cut before they are looked through.
const MAX_TEXT: usize = 64 * 1024;
/// The least part of a credential at a cut end that is taken off.
const SHORTEST_REST: usize = 8;

/// Fields of JSON, forms and URLs that hold credentials whatever they hold.
const SECRET_FIELDS: [&str; 19] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "password",
    "passwd",
    "code_verifier",
    "device_code",
    "assertion",
    "client_assertion",
    "subject_token",
    "actor_token",
    "id_token_hint",
    "registration_access_token",
    "api_key",
    "apikey",
    "private_key",
    "SAMLResponse",
    "wresult",
];
/// Fields that hold a credential when their value is long, and something else when it is short.
const MAYBE_FIELDS: [&str; 6] = ["code", "token", "secret", "sessionid", "session_id", "request_uri"];
/// A value of [`MAYBE_FIELDS`] from this length on is one.
const MAYBE_LENGTH: usize = 16;

/// Header lines whose value is a credential.
const SECRET_HEADERS: [&str; 6] =
    ["proxy-authorization", "cookie2", "dpop", "mcp-session-id", "x-api-key", "authentication-info"];

/// Knows credentials and takes them out.
#[derive(Debug, Default)]
pub struct Redactor(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Longest first.
    values: Vec<String>,
    learnt: usize,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.values.len())
    }
}

impl Redactor {
    /// Remembers a credential that the run was given or obtained, however it is escaped.
    pub fn keep(&self, secret: &Secret) {
        if secret.expose().len() >= SHORTEST_GIVEN {
            self.known(|known| known.insert(secret.expose()));
        }
    }

    /// Remembers the credentials that the fields of `text` hold.
    pub fn learn(&self, text: &str) {
        let text = start(text, MAX_TEXT);
        for (from, to) in fields(text) {
            self.learn_value(&text[from..to]);
        }
    }

    /// Remembers the credentials that header lines hold.
    pub fn learn_headers(&self, headers: &[(String, String)]) {
        for (name, value) in headers {
            match name.as_str() {
                "authorization" => {
                    let credential = value.split_once(' ').map_or(value.as_str(), |(_, rest)| rest).trim();
                    self.learn_value(credential);
                    self.learn_basic(credential);
                }
                "cookie" => value.split(';').filter_map(|pair| pair.split_once('=')).for_each(|(_, value)| {
                    self.learn_value(value.trim());
                }),
                "set-cookie" => {
                    let pair = value.split(';').next().unwrap_or_default();
                    self.learn_value(pair.split_once('=').map_or("", |(_, value)| value).trim());
                }
                "location" => self.learn(value),
                name if SECRET_HEADERS.contains(&name) => self.learn_value(value),
                _ => {}
            }
        }
    }

    /// The secret inside HTTP Basic, of which an echoing server may show either half.
    fn learn_basic(&self, credential: &str) {
        let Some(decoded) = STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return;
        };
        if let Some((_, secret)) = decoded.split_once(':') {
            self.learn_value(secret);
        }
    }

    fn learn_value(&self, value: &str) {
        if !(SHORTEST_LEARNT..=LONGEST_LEARNT).contains(&value.len()) {
            return;
        }
        self.known(|known| {
            if known.learnt < MAX_LEARNT && !known.values.iter().any(|old| old == value) {
                known.learnt += 1;
                known.insert(value);
            }
        });
    }

    /// `text` without credentials. It may end earlier: at most 64 KiB are looked at, and nothing else is given.
    pub fn text(&self, text: &str) -> String {
        let mut redacted = start(text, MAX_TEXT).to_owned();
        self.known(|known| {
            for value in &known.values {
                if redacted.contains(value.as_str()) {
                    redacted = redacted.replace(value.as_str(), &cut(value));
                }
            }
            while let Some(rest) = known.values.iter().filter_map(|value| rest_of(&redacted, value)).max() {
                redacted.truncate(redacted.len() - rest);
            }
        });
        redacted = replaced(&redacted, &fields(&redacted));
        replaced(&redacted, &jwts(&redacted))
    }

    /// The value of a header line without credentials. `name` in lower case.
    pub fn header(&self, name: &str, value: &str) -> String {
        match name {
            "authorization" => match value.split_once(' ') {
                Some((scheme, credential)) => format!("{scheme} {}", cut(credential.trim())),
                None => cut(value),
            },
            "cookie" => {
                let pairs: Vec<_> = value.split(';').map(|pair| cut_pair(pair.trim())).collect();
                self.text(&pairs.join("; "))
            }
            "set-cookie" => match value.split_once(';') {
                Some((pair, attributes)) => self.text(&format!("{};{attributes}", cut_pair(pair))),
                None => self.text(&cut_pair(value)),
            },
            name if SECRET_HEADERS.contains(&name) || says_secret(name) => cut(value),
            _ => self.text(value),
        }
    }

    fn known<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn insert(&mut self, value: &str) {
        for form in forms(value) {
            if !self.values.contains(&form) {
                let at = self.values.partition_point(|old| old.len() >= form.len());
                self.values.insert(at, form);
            }
        }
    }
}

/// The ways in which a value is written: itself, and escaped for URLs, JSON and HTML as common libraries do.
fn forms(value: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let html = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let double = html.replace('"', "&quot;");
    let numbers = html.replace('"', "&#34;").replace('\'', "&#39;");
    let component = component(value);
    let others = [
        component.to_lowercase_escapes(),
        component.0,
        Escaped(form.replace('+', "%20")).to_lowercase_escapes(),
        form.replace('+', "%20"),
        Escaped(form.clone()).to_lowercase_escapes(),
        form,
        json.replace('<', r"\u003c").replace('>', r"\u003e").replace('&', r"\u0026"),
        json.replace('/', r"\/"),
        json,
        double.replace('\'', "&#39;"),
        double.replace('\'', "&#x27;"),
        double,
        numbers.replace('+', "&#43;"),
        numbers,
    ];
    let mut forms = vec![value.to_owned()];
    for other in others {
        if !forms.contains(&other) {
            forms.push(other);
        }
    }
    forms
}

/// A text with `%XX` in it.
struct Escaped(String);

impl Escaped {
    /// With `%xx` instead.
    fn to_lowercase_escapes(&self) -> String {
        let mut pieces = self.0.split('%');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (digits, rest) = piece.split_at(piece.floor_char_boundary(2));
            out.push('%');
            out.push_str(&digits.to_ascii_lowercase());
            out.push_str(rest);
        }
        out
    }
}

/// As `encodeURIComponent` writes it, which leaves some marks alone that a form does not.
fn component(value: &str) -> Escaped {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            byte if b"-_.!~*'()".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Escaped(out)
}

/// What stays of a credential.
fn cut(value: &str) -> String {
    if value.len() < LONG {
        return "…".to_owned();
    }
    format!("{}…", start(value, SHOWN))
}

/// Whether `value` was cut already.
fn is_cut(value: &str) -> bool {
    value.strip_suffix('…').is_some_and(|shown| shown.len() <= SHOWN)
}

fn cut_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", cut(value)),
        None => pair.to_owned(),
    }
}

fn says_secret(header: &str) -> bool {
    ["token", "secret", "api-key", "apikey", "password"].iter().any(|word| header.contains(word))
}

/// The first `limit` bytes of `text`, or fewer where that would split a character.
fn start(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// `text`, or its first `limit` bytes and a mark.
pub(crate) fn cut_to(text: &str, limit: usize) -> String {
    if text.len() <= limit { text.to_owned() } else { format!("{}…", start(text, limit)) }
}

/// How many bytes at the end of `text` are the beginning of `value`, where its rest was cut off. Linear in `value`:
/// the automaton of Knuth, Morris and Pratt over the end of `text`.
fn rest_of(text: &str, value: &str) -> Option<usize> {
    let longest = value.len().saturating_sub(1).min(text.len());
    if longest < SHORTEST_REST {
        return None;
    }
    let (pattern, end) = (&value.as_bytes()[..longest], &text.as_bytes()[text.len() - longest..]);
    let mut borders = vec![0; longest];
    let mut matched = 0;
    for at in 1..longest {
        while matched > 0 && pattern[at] != pattern[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(pattern[at] == pattern[matched]);
        borders[at] = matched;
    }
    matched = 0;
    for byte in end {
        while matched > 0 && (matched == longest || pattern[matched] != *byte) {
            matched = borders[matched - 1];
        }
        matched += usize::from(pattern[matched] == *byte);
    }
    while matched >= SHORTEST_REST && !value.is_char_boundary(matched) {
        matched = borders[matched - 1];
    }
    (matched >= SHORTEST_REST).then_some(matched)
}

fn replaced(text: &str, places: &[(usize, usize)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (from, to) in places {
        if *from < done {
            continue;
        }
        let value = &text[*from..*to];
        out.push_str(&text[done..*from]);
        if is_cut(value) {
            out.push_str(value);
        } else {
            out.push_str(&cut(value));
        }
        done = *to;
    }
    out.push_str(&text[done..]);
    out
}

/// Where the values of credential fields are, in JSON (`"name": "value"`, also escaped within a string), in
/// forms and in URLs (`name=value`); in order.
fn fields(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for name in SECRET_FIELDS.iter().chain(&MAYBE_FIELDS) {
        let least = if MAYBE_FIELDS.contains(name) { MAYBE_LENGTH } else { 1 };
        for (at, _) in text.match_indices(name) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                continue;
            }
            if let Some((from, to)) = value_after(text, at + name.len()).filter(|(from, to)| to - from >= least) {
                found.push((from, to));
            }
        }
    }
    found.sort_unstable();
    found
}

fn value_after(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    if let Some(value) = rest.strip_prefix('=') {
        let from = text.len() - value.len();
        let end = value.find(|c: char| c.is_whitespace() || "&#\"'<>;".contains(c)).unwrap_or(value.len());
        return Some((from, from + end));
    }
    // The quote that ends the name, escaped or not, then a colon, then the quote that begins the value.
    let quote = if rest.starts_with("\\\"") { "\\\"" } else { "\"" };
    let value = rest.strip_prefix(quote)?.trim_start().strip_prefix(':')?.trim_start().strip_prefix(quote)?;
    let from = text.len() - value.len();
    Some((from, from + end_of_string(value, quote)))
}

fn end_of_string(value: &str, quote: &str) -> usize {
    if quote.len() > 1 {
        return value.find(quote).unwrap_or(value.len());
    }
    let mut escaped = false;
    for (at, c) in value.char_indices() {
        match c {
            '"' if !escaped => return at,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    value.len()
}

/// Where something looks like a JWT: `eyJ`, and at least one full stop in base64url.
fn jwts(text: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, _) in text.match_indices("eyJ") {
        if found.last().is_some_and(|(_, end)| at < *end) {
            continue;
        }
        let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        let end = end.map_or(text.len(), |end| at + end);
        if end - at >= LONG && text[at..end].contains('.') {
            found.push((at, end));
        }
    }
    found
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
