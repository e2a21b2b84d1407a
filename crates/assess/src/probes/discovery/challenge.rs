//! Reads `WWW-Authenticate` (RFC 9110 section 11.6.1) as strangers write it.
//!
//! It takes what a tolerant client would take, says what a strict one would not, and never panics: the bytes
//! are a stranger's. It decides nothing.

use std::collections::BTreeMap;

use http::{HeaderMap, header::WWW_AUTHENTICATE};

use crate::bench::Challenge;

/// Longest header value that is read; the rest is left out.
const MOST_BYTES: usize = 8 * 1024;
/// Most challenges of one response.
const MOST_CHALLENGES: usize = 16;
/// Most parameters of one challenge.
const MOST_PARAMS: usize = 32;

/// The challenges of one response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Challenges {
    /// In the order of the header lines.
    pub(crate) all: Vec<Challenge>,
    /// What a strict reader would refuse, in a few words each.
    pub(crate) faults: Vec<&'static str>,
}

impl Challenges {
    /// The first challenge of that scheme, in any case.
    pub(crate) fn of(&self, scheme: &str) -> Option<&Challenge> {
        self.all.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
    }

    /// The first that asks for an OAuth access token.
    pub(crate) fn token(&self) -> Option<&Challenge> {
        self.of("Bearer").or_else(|| self.of("DPoP"))
    }

    fn fault(&mut self, fault: &'static str) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn param(&mut self, name: &str, value: String) {
        let Some(challenge) = self.all.last_mut() else { return self.fault("a parameter stands before any scheme") };
        if challenge.params.len() >= MOST_PARAMS {
            return self.fault("too many parameters");
        }
        let name = name.to_ascii_lowercase();
        if challenge.params.contains_key(&name) {
            return self.fault("a parameter occurs twice");
        }
        challenge.params.insert(name, value);
    }
}

/// The challenges in `headers` of exchange `exchange`.
pub(crate) fn of(headers: &HeaderMap, exchange: u32) -> Challenges {
    let mut found = Challenges::default();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        read(&String::from_utf8_lossy(value.as_bytes()), exchange, &mut found);
    }
    found
}

/// Adds the challenges of one header line to `found`.
pub(crate) fn read(line: &str, exchange: u32, found: &mut Challenges) {
    let mut rest = match line.char_indices().map(|(at, c)| at + c.len_utf8()).find(|end| *end > MOST_BYTES) {
        Some(end) => {
            found.fault("the header is too long");
            &line[..end]
        }
        None => line,
    };
    // A scheme's parameters may not carry on from another header line.
    let mut open = false;
    while !rest.is_empty() {
        let before = rest.len();
        rest = element(rest, exchange, found, &mut open);
        debug_assert!(rest.len() < before, "every step takes something");
    }
}

/// Reads one list element, or what separates two, and gives the rest.
fn element<'a>(rest: &'a str, exchange: u32, found: &mut Challenges, open: &mut bool) -> &'a str {
    let trimmed = rest.trim_start_matches([' ', '\t', ',']);
    if trimmed.len() < rest.len() {
        return trimmed;
    }
    let (name, after) = token(rest);
    if name.is_empty() {
        found.fault("a character that is none of a token");
        return skip_one(rest);
    }
    if let Some(value) = after.trim_start_matches([' ', '\t']).strip_prefix('=') {
        return param(name, value, found, *open);
    }
    if found.all.len() >= MOST_CHALLENGES {
        found.fault("too many challenges");
        return "";
    }
    found.all.push(Challenge { scheme: name.to_owned(), params: BTreeMap::new(), exchange });
    *open = true;
    token68(after)
}

fn param<'a>(name: &str, value: &'a str, found: &mut Challenges, open: bool) -> &'a str {
    let value = value.trim_start_matches([' ', '\t']);
    let (text, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted, found),
        None => bare(value, found),
    };
    if open {
        found.param(name, text);
    } else {
        found.fault("a parameter stands before any scheme");
    }
    rest
}

/// RFC 9110 section 5.6.4, after the opening quote.
fn unquote<'a>(text: &'a str, found: &mut Challenges) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    found.fault("a quoted value without its end");
    (value, "")
}

fn bare<'a>(text: &'a str, found: &mut Challenges) -> (String, &'a str) {
    let (value, rest) = token(text);
    if value.is_empty() || !(rest.is_empty() || rest.starts_with([' ', '\t', ','])) {
        found.fault("a value that needs quotes has none");
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    }
    (value.to_owned(), rest)
}

/// The leading token (RFC 9110 section 5.6.2), and the rest.
fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
    text.split_at(end.unwrap_or(text.len()))
}

/// Drops a token68 after a scheme, where there is one: no scheme that matters here has it.
fn token68(after: &str) -> &str {
    let text = after.trim_start_matches([' ', '\t']);
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/".contains(c))).unwrap_or(text.len());
    let rest = text[end..].trim_start_matches('=');
    let ended = rest.trim_start_matches([' ', '\t']);
    let is_one = end > 0 && text.len() < after.len() && (ended.is_empty() || ended.starts_with(','));
    if is_one { rest } else { after }
}

fn skip_one(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Challenges {
        let mut found = Challenges::default();
        read(line, 7, &mut found);
        found
    }

    fn param<'a>(found: &'a Challenges, name: &str) -> Option<&'a str> {
        found.token()?.params.get(name).map(String::as_str)
    }

    #[test]
    fn a_challenge_of_the_specification_is_read() {
        let found = parse(
            "Bearer resource_metadata=\"https://h/.well-known/oauth-protected-resource\", scope=\"a b\", error=invalid_token",
        );
        assert_eq!(found.faults, Vec::<&str>::new());
        assert_eq!(found.all.len(), 1);
        assert_eq!(found.all[0].exchange, 7);
        assert_eq!(param(&found, "resource_metadata"), Some("https://h/.well-known/oauth-protected-resource"));
        assert_eq!(param(&found, "scope"), Some("a b"));
        assert_eq!(param(&found, "error"), Some("invalid_token"));
    }

    #[test]
    fn several_schemes_in_one_line_are_told_apart() {
        let found = parse("Basic realm=\"x, y\", Negotiate YWJj==, bearer , DPoP algs=\"ES256\", Bearer scope = \"q\"");
        let schemes: Vec<_> = found.all.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["Basic", "Negotiate", "bearer", "DPoP", "Bearer"]);
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        assert_eq!(found.all[0].params["realm"], "x, y");
        assert_eq!(found.all[3].params["algs"], "ES256");
        assert!(found.token().unwrap().params.is_empty(), "the first Bearer is the bare one");
    }

    #[test]
    fn sloppy_spelling_is_read_and_named() {
        for (line, name, value, fault) in [
            ("Bearer resource_metadata=https://h/x", "resource_metadata", "https://h/x", "quotes"),
            ("Bearer scope=\"open", "scope", "open", "without its end"),
            ("Bearer error=\"a\", error=\"b\"", "error", "a", "twice"),
            ("Bearer \u{1}error=\"a\"", "error", "a", "none of a token"),
        ] {
            let found = parse(line);
            assert_eq!(param(&found, name), Some(value), "{line}");
            assert!(found.faults.iter().any(|f| f.contains(fault)), "{line}: {:?}", found.faults);
        }
        assert_eq!(param(&parse(r#"Bearer error_description="say \"no\"""#), "error_description"), Some("say \"no\""));
        assert!(parse("error=\"x\"").faults[0].contains("before any scheme"));
    }

    #[test]
    fn parameters_do_not_carry_on_over_header_lines() {
        let mut found = parse("Bearer");
        read("scope=\"x\"", 7, &mut found);
        assert!(found.all[0].params.is_empty());
        assert!(!found.faults.is_empty());
    }

    #[test]
    fn floods_are_bounded() {
        let many = parse(&"Bearer, ".repeat(100_000));
        assert_eq!(many.all.len(), MOST_CHALLENGES);
        let params: String = (0..1000).map(|n| format!("p{n}=1,")).collect();
        assert_eq!(parse(&format!("Bearer {params}")).all[0].params.len(), MOST_PARAMS);
    }

    proptest! {
        #[test]
        fn no_header_panics_or_grows(line in "\\PC{0,200}|[Bearer =,\"\\\\a-z\t]{0,200}") {
            let found = parse(&line);
            let kept: usize = found.all.iter().flat_map(|c| &c.params).map(|(n, v)| n.len() + v.len()).sum();
            prop_assert!(kept <= 2 * line.len());
        }

        #[test]
        fn what_a_strict_writer_writes_is_read_without_a_fault(value in "[ -~]{0,60}", scope in "[a-z:]{1,12}") {
            let header = sallyport_oauth::Challenge::bearer(&value)
                .scope(&scope.parse().unwrap_or_default())
                .header();
            let found = parse(&format!("Basic realm=\"r\", {header}"));
            prop_assert_eq!(found.faults.clone(), Vec::<&str>::new());
            prop_assert_eq!(param(&found, "resource_metadata"), Some(value.as_str()));
        }
    }
}
