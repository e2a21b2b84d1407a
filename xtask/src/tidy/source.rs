//! A Rust file with comments and literals blanked out, its test lines marked and its functions
//! measured. A scan, not a parser: it needs code that `rustfmt` accepts.

use crate::tree::Tree;

/// One function outside tests.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Line of the `fn`, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

/// One `.rs` file.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    /// `text` with comments and literals as spaces; same length, same lines.
    pub(crate) code: String,
    /// Whether all of the file is test code.
    pub(crate) is_test: bool,
    /// Byte range of an inline `#[cfg(test)] mod`, if there is one.
    tests: Option<(usize, usize)>,
    pub(crate) functions: Vec<Function>,
}

impl<'a> Source<'a> {
    pub(crate) fn all(tree: &'a Tree) -> Vec<Self> {
        tree.ending(".rs").map(|(path, text)| Self::new(path, text)).collect()
    }

    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let code = blank(text);
        let is_test = path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
            || path.starts_with("tests/")
            || path.contains("/tests/");
        let tests = test_module(&code);
        let mut source = Self { path, text, code, is_test, tests, functions: Vec::new() };
        source.functions = functions(&source);
        source
    }

    /// The crate's folder: `model` for `crates/model/…`, `xtask` for `xtask/…`.
    pub(crate) fn krate(&self) -> &str {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates") => parts.next().unwrap_or_default(),
            first => first.unwrap_or_default(),
        }
    }

    /// Whether the byte at `at` is test code.
    pub(crate) fn in_tests(&self, at: usize) -> bool {
        self.is_test || self.tests.is_some_and(|(start, end)| (start..end).contains(&at))
    }

    /// Line of the byte at `at`, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        line_of(self.text, at)
    }

    /// Lines outside the inline test module.
    pub(crate) fn lines(&self) -> usize {
        let all = self.text.lines().count();
        self.tests.map_or(all, |(start, end)| all - (line_of(self.text, end) - line_of(self.text, start) + 1))
    }

    /// The line where code goes on after the inline test module, if it does.
    pub(crate) fn code_after_tests(&self) -> Option<usize> {
        let (_, end) = self.tests?;
        let rest = &self.code[end..];
        let more = rest.find(|c: char| !c.is_whitespace() && c != '}')?;
        Some(self.line(end + more))
    }

    /// Every identifier in code, with its place.
    pub(crate) fn identifiers(&self) -> impl Iterator<Item = (usize, &str)> {
        identifiers(&self.code)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

pub(crate) fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |n| start + n);
        at = end;
        Some((start, &code[start..end]))
    })
}

/// `text` with comments, strings and characters as spaces.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole literals and comments were replaced, and by ASCII.
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts here.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let length = match rest {
        [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, 1),
        [b'\'', ..] => character(rest),
        [b'r' | b'b' | b'c', ..] if !word_before => raw_string(rest),
        _ => 0,
    };
    at + length
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a string whose opening quote ends before `at`.
fn quoted(rest: &[u8], mut at: usize) -> usize {
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `'x'` and `'\n'`, but not the lifetime `'x`.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|b| *b == b'\'').map_or(rest.len(), |n| n + 4);
    }
    let width = match rest.get(1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        Some(_) => 1,
        None => return 0,
    };
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

/// `r"…"`, `r#"…"#`, `br"…"`, `b"…"`, `c"…"`; 0 for `r#ident` and plain words.
fn raw_string(rest: &[u8]) -> usize {
    let mut at = rest.iter().take(2).take_while(|b| matches!(b, b'b' | b'c' | b'r')).count();
    let raw = rest[at - 1] == b'r';
    let hashes = rest[at..].iter().take_while(|b| **b == b'#').count();
    at += hashes;
    if rest.get(at) != Some(&b'"') || (!raw && hashes > 0) {
        return 0;
    }
    if !raw {
        return quoted(rest, at + 1);
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    rest[at + 1..].windows(close.len()).position(|w| w == close).map_or(rest.len(), |n| at + 1 + n + close.len())
}

/// Where the bracket that opens at `open` closes, one past it.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// `#[cfg(test)] mod name { … }`: its byte range.
fn test_module(code: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(test)]").map(|n| from + n) {
        from = start + 1;
        let mut rest = code[start + "#[cfg(test)]".len()..].trim_start();
        // Further attributes may stand between.
        while rest.starts_with("#[") {
            rest = rest[closing(rest, 1)..].trim_start();
        }
        let at = code.len() - rest.len();
        let (brace, semicolon) = (rest.find('{'), rest.find(';'));
        if rest.starts_with("mod ") && brace.is_some() && (semicolon.is_none() || brace < semicolon) {
            return Some((start, closing(code, at + brace?)));
        }
    }
    None
}

fn functions(source: &Source<'_>) -> Vec<Function> {
    let code = &source.code;
    let words: Vec<(usize, &str)> = identifiers(code).collect();
    let mut found = Vec::new();
    for pair in words.windows(2) {
        let [(at, "fn"), (name_at, name)] = *pair else { continue };
        // `fn(u8) -> u8` is a type.
        if source.in_tests(at) || !code[at + 2..name_at].trim().is_empty() {
            continue;
        }
        let Some(open) = body(code, name_at) else { continue };
        let (first, last) = (source.line(at), source.line(closing(code, open)));
        found.push(Function { name: name.to_owned(), line: first, lines: last - first + 1 });
    }
    found
}

/// The brace that opens the body of the function named at `at`; none for a declaration.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (n, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(n),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text = "let a = \"x // \\\" y\"; // fn no\n/* fn /* nested */ no */ let b = 'c'; let d: &'static str = r#\"q \" q\"#;\nlet e = b\"z\"; let r#type = '\\''; let f = '\u{e9}';\n";
        let code = blank(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.len(), text.len());
        for gone in ["x", "no", "nested", "q", "z"] {
            assert!(!identifiers(&code).any(|(_, word)| word == gone), "{gone}: {code}");
        }
        for kept in ["a", "b", "d", "e", "f", "static", "str", "type"] {
            assert!(identifiers(&code).any(|(_, word)| word == kept), "{kept}: {code}");
        }
    }

    #[test]
    fn functions_are_measured_and_tests_are_not() {
        let text = "//! x\nfn one() {}\n\nfn two(a: [u8; 2]) -> u8\nwhere\n    u8: Copy,\n{\n    0\n}\ntrait T {\n    fn three();\n}\ntype F = fn(u8) -> u8;\n\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    fn four() {}\n}\n";
        let source = Source::new("crates/a/src/a.rs", text);
        let sizes: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(sizes, [("one", 2, 1), ("two", 4, 6)]);
        assert_eq!(source.lines(), 14);
        assert_eq!(source.code_after_tests(), None);
        assert_eq!(source.krate(), "a");
    }
}
