//! A strict JSON parser for bytes of strangers (RFC 8259, and narrower).
//!
//! One pass, no recursion: nesting of any depth costs heap up to the limit and no stack. It refuses what
//! makes two parsers see two documents: byte order marks, invalid UTF-8, lone surrogates, duplicate keys
//! (compared after unescaping), trailing bytes. Numbers keep their text and objects their order. It never
//! repairs input and never hands the stranger's bytes on.
//!
//! Keep to this module: `serde_json`'s own parser, `to_value` and `from_value` respell exponents
//! (`1e4` becomes `1e+4`) and give two private keys a meaning.

use aws_lc_rs::digest;
use serde_json::{Map, Number, Value, map::Entry};

use crate::errors::Error;

/// A JSON object; keys keep the order in which they were written.
pub type Object = Map<String, Value>;

/// Keys by which `serde_json` smuggles numbers and raw text through its own data model. An object that
/// holds one would turn into something else at the next `serde_json` deserialisation.
const RESERVED_KEYS: [&str; 2] = ["$serde_json::private::Number", "$serde_json::private::RawValue"];

/// Most values, counted at every level, in one text. An empty object takes two bytes to send and some
/// hundred to hold: without this bound a body of a few megabytes would cost hundreds.
pub const MAX_VALUES: usize = 100_000;

/// Why a text was refused, with what had been read of the outermost object by then.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) error: Error,
    pub(crate) outermost: Option<Object>,
}

/// Parses one JSON text. `max_depth` counts nested arrays and objects; `{}` has depth 1.
///
/// # Errors
/// [`Error::ByteOrderMark`], [`Error::InvalidUtf8`], [`Error::Syntax`], [`Error::TrailingBytes`],
/// [`Error::TooDeep`], [`Error::TooManyValues`], [`Error::DuplicateKey`], [`Error::ReservedKey`].
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, Error> {
    parse_partial(bytes, max_depth).map_err(|partial| partial.error)
}

pub(crate) fn parse_partial(bytes: &[u8], max_depth: usize) -> Result<Value, Box<Partial>> {
    let text = utf8(bytes).map_err(|error| Box::new(Partial { error, outermost: None }))?;
    let mut parser = Parser { text, at: 0, max_depth, values: 0, stack: Vec::new() };
    match parser.document() {
        Ok(value) => Ok(value),
        Err(error) => Err(Box::new(Partial { error, outermost: parser.outermost() })),
    }
}

/// The bytes that leave: compact, order and numbers as read.
pub fn to_vec(value: &Value) -> Vec<u8> {
    // A `Value` has string keys only and the writer is memory, so serialisation cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Canonical text: object keys sorted by their UTF-8 bytes at every depth, no whitespace, strings with
/// the shortest JSON escapes, numbers as they were written, arrays in order. Not RFC 8785, whose number
/// rewriting would make `1` and `1.0` one definition.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

/// SHA-256 over [`canonical`].
pub fn digest(value: &Value) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, canonical(value).as_bytes()).as_ref());
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&object[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Whether `key` is not `known` but the laxest decoders in use would take it for that: by ASCII case, or by
/// one of the two letters (long s, Kelvin sign) whose Unicode case folding lands in ASCII.
pub(crate) fn folds_to(key: &str, known: &str) -> bool {
    let alike = if key.is_ascii() {
        key.eq_ignore_ascii_case(known)
    } else {
        key.chars().map(fold).eq(known.chars().map(fold))
    };
    alike && key != known
}

fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) || bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) {
        return Err(Error::ByteOrderMark);
    }
    std::str::from_utf8(bytes).map_err(|e| Error::InvalidUtf8 { offset: e.valid_up_to() })
}

enum Frame {
    Array(Vec<Value>),
    Object { members: Object, key: String },
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    max_depth: usize,
    /// Values begun so far.
    values: usize,
    stack: Vec<Frame>,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, Error> {
        let mut value = self.value()?;
        loop {
            match value {
                // A container was opened and its first element or key comes next.
                None => value = self.value()?,
                Some(done) => match self.attach(done)? {
                    Attached::Document(document) => return self.end(document),
                    Attached::More => value = self.value()?,
                    Attached::Closed(container) => value = Some(container),
                },
            }
        }
    }

    fn end(&mut self, document: Value) -> Result<Value, Error> {
        self.whitespace();
        if self.at == self.text.len() { Ok(document) } else { Err(Error::TrailingBytes { offset: self.at }) }
    }

    /// Reads one scalar or empty container; `None` when a container with members was opened.
    fn value(&mut self) -> Result<Option<Value>, Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Error::TooManyValues { limit: MAX_VALUES });
        }
        self.whitespace();
        match self.peek() {
            Some(b'"') => self.string().map(|s| Some(Value::String(s))),
            Some(b'{') => self.open_object(),
            Some(b'[') => self.open_array(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number().map(Some),
            _ => Err(self.expected("a JSON value")),
        }
    }

    fn open_object(&mut self) -> Result<Option<Value>, Error> {
        self.descend()?;
        if self.skip_if(b'}') {
            return Ok(Some(Value::Object(Object::new())));
        }
        self.stack.push(Frame::Object { members: Object::new(), key: String::new() });
        self.key()?;
        Ok(None)
    }

    fn open_array(&mut self) -> Result<Option<Value>, Error> {
        self.descend()?;
        if self.skip_if(b']') {
            return Ok(Some(Value::Array(Vec::new())));
        }
        self.stack.push(Frame::Array(Vec::new()));
        Ok(None)
    }

    fn descend(&mut self) -> Result<(), Error> {
        if self.stack.len() >= self.max_depth {
            return Err(Error::TooDeep { limit: self.max_depth });
        }
        self.at += 1;
        self.whitespace();
        Ok(())
    }

    /// Reads `"key" :` of the object on top of the stack.
    fn key(&mut self) -> Result<(), Error> {
        self.whitespace();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        let name = self.string()?;
        self.whitespace();
        if !self.skip_if(b':') {
            return Err(self.expected("`:` after a key"));
        }
        let Some(Frame::Object { key, .. }) = self.stack.last_mut() else {
            return Err(self.expected("an object"));
        };
        if RESERVED_KEYS.contains(&name.as_str()) {
            return Err(Error::ReservedKey { key: name });
        }
        *key = name;
        Ok(())
    }

    fn attach(&mut self, value: Value) -> Result<Attached, Error> {
        let close = match self.stack.last_mut() {
            None => return Ok(Attached::Document(value)),
            Some(Frame::Array(items)) => {
                items.push(value);
                b']'
            }
            Some(Frame::Object { members, key }) => {
                match members.entry(std::mem::take(key)) {
                    Entry::Vacant(place) => place.insert(value),
                    Entry::Occupied(other) => return Err(Error::DuplicateKey { key: other.key().clone() }),
                };
                b'}'
            }
        };
        self.whitespace();
        if self.skip_if(b',') {
            if close == b'}' {
                self.key()?;
            }
            return Ok(Attached::More);
        }
        if !self.skip_if(close) {
            return Err(self.expected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" }));
        }
        Ok(match self.stack.pop() {
            Some(Frame::Array(items)) => Attached::Closed(Value::Array(items)),
            Some(Frame::Object { members, .. }) => Attached::Closed(Value::Object(members)),
            None => return Err(self.expected("a container")),
        })
    }

    fn literal(&mut self, word: &'static str, value: Value) -> Result<Option<Value>, Error> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(Some(value));
        }
        Err(self.expected(word))
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.at;
        self.skip_if(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.expected("a digit")),
        }
        if self.skip_if(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.skip_if(b'+') {
                self.skip_if(b'-');
            }
            self.digits()?;
        }
        // `str::parse` would write `1e4` as `1e+4`. This constructor is hidden in `serde_json`'s documentation;
        // the text fits the grammar above, which is all that it asks. A test holds that numbers stay as written.
        let number = Number::from_string_unchecked(self.text[start..self.at].to_owned());
        Ok(Value::Number(number))
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<String, Error> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.peek() == Some(b'"') {
            let text = self.text[start..self.at].to_owned();
            self.at += 1;
            return Ok(text);
        }
        let mut out = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.expected("the end of a string (control characters must be escaped)")),
            }
            let from = self.at;
            self.plain();
            out.push_str(&self.text[from..self.at]);
        }
    }

    /// Moves over characters that stand for themselves.
    fn plain(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len());
        self.at += length;
    }

    fn escape(&mut self) -> Result<char, Error> {
        self.at += 1;
        let letter = self.peek().ok_or_else(|| self.expected("an escape"))?;
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.expected("a known escape")),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, Error> {
        let high = self.hex4()?;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        let paired = (0xD800..0xDC00).contains(&high) && self.skip_if(b'\\') && self.skip_if(b'u');
        let low = if paired { self.hex4()? } else { 0 };
        if !(0xDC00..0xE000).contains(&low) {
            return Err(self.expected("a paired surrogate"));
        }
        char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
            .ok_or_else(|| self.expected("a paired surrogate"))
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.expected("four hexadecimal digits"));
        }
        let value = digits.iter().fold(0, |acc, d| acc * 16 + char::from(*d).to_digit(16).unwrap_or(0));
        self.at += 4;
        Ok(value)
    }

    fn whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn expected(&self, what: &'static str) -> Error {
        Error::Syntax { offset: self.at, expected: what }
    }

    fn outermost(&mut self) -> Option<Object> {
        match self.stack.first_mut() {
            Some(Frame::Object { members, .. }) => Some(std::mem::take(members)),
            _ => None,
        }
    }
}

enum Attached {
    Document(Value),
    More,
    Closed(Value),
}
