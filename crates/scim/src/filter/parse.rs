//! The parser of filters and PATCH paths: recursive descent, bounded in length, depth and nodes.
//!
//! It takes the grammar of RFC 7644 figure 1, and two things beside it: no space is needed before a quoted
//! value, and `attr[filter].sub op value` means `attr[filter and sub op value]`.

use serde_json::Value;

use super::{AttrPath, Filter, MAX_DEPTH, MAX_LENGTH, MAX_NODES, Operator, PatchPath};
use crate::fault::{Fault, shown};

/// What is wrong, before it is known whether the text is a filter or a path.
type Wrong = String;

pub(super) fn filter(text: &str) -> Result<Filter, Fault> {
    let whole = |parser: &mut Parser<'_>| {
        let filter = parser.any_of(0)?;
        parser.end().map(|()| filter)
    };
    run(text, "filter", whole).map_err(Fault::InvalidFilter)
}

pub(super) fn path(text: &str) -> Result<PatchPath, Fault> {
    let whole = |parser: &mut Parser<'_>| {
        let attribute = parser.attr_path()?;
        let mut path = PatchPath { attribute, filter: None, sub: None };
        if parser.take('[') {
            path.filter = Some(parser.bracket(0)?);
            if parser.take('.') {
                path.sub = Some(parser.sub_name()?);
            }
        }
        parser.end().map(|()| path)
    };
    run(text, "path", whole).map_err(Fault::InvalidPath)
}

fn run<T>(text: &str, noun: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, Wrong>) -> Result<T, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the {noun} is longer than {MAX_LENGTH} bytes"));
    }
    let mut parser = Parser { text, at: 0, nodes: 0 };
    parse(&mut parser)
        .map_err(|wrong| format!("the {noun} `{}` is not valid at byte {}: {wrong}", shown(text), parser.at))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
}

fn in_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:$/%+~#".contains(c)
}

/// `ATTRNAME`, and `$ref`, which the grammar forgets.
fn is_name(text: &str) -> bool {
    let text = text.strip_prefix('$').unwrap_or(text);
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips whitespace; whether there was any.
    fn space(&mut self) -> bool {
        let rest = self.rest().trim_start_matches([' ', '\t']);
        let skipped = self.rest().len() - rest.len();
        self.at += skipped;
        skipped > 0
    }

    fn take(&mut self, c: char) -> bool {
        let there = self.rest().starts_with(c);
        self.at += if there { c.len_utf8() } else { 0 };
        there
    }

    fn end(&mut self) -> Result<(), Wrong> {
        self.space();
        if self.rest().is_empty() { Ok(()) } else { Err("nothing more was expected".into()) }
    }

    /// The next word if it is `keyword`, with what must follow it.
    fn keyword(&mut self, keyword: &str) -> bool {
        let Some(word) = self.rest().get(..keyword.len()).filter(|word| word.eq_ignore_ascii_case(keyword)) else {
            return false;
        };
        let after = self.rest()[word.len()..].chars().next();
        let ends = after.is_none_or(|c| !in_path(c));
        self.at += if ends { word.len() } else { 0 };
        ends
    }

    /// `FILTER ("or" FILTER)*`
    fn any_of(&mut self, depth: usize) -> Result<Filter, Wrong> {
        self.chain(depth, "or", Self::all_of, Filter::Or)
    }

    /// `FILTER ("and" FILTER)*`
    fn all_of(&mut self, depth: usize) -> Result<Filter, Wrong> {
        self.chain(depth, "and", Self::one, Filter::And)
    }

    fn chain(
        &mut self,
        depth: usize,
        word: &str,
        part: impl Fn(&mut Self, usize) -> Result<Filter, Wrong>,
        join: impl FnOnce(Vec<Filter>) -> Filter,
    ) -> Result<Filter, Wrong> {
        let mut parts = Vec::new();
        loop {
            match part(self, depth)? {
                // `a and (b and c)` is `a and b and c`.
                Filter::And(inner) if word == "and" => parts.extend(inner),
                Filter::Or(inner) if word == "or" => parts.extend(inner),
                one => parts.push(one),
            }
            let before = self.at;
            if !(self.space() && self.keyword(word)) {
                self.at = before;
                break;
            }
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) })
    }

    /// A group, a negation, a value path or a comparison.
    fn one(&mut self, depth: usize) -> Result<Filter, Wrong> {
        self.space();
        let before = self.at;
        if self.keyword("not") {
            self.space();
            if self.take('(') {
                return Ok(Filter::Not(Box::new(self.group(depth)?)));
            }
            self.at = before; // an attribute that is called `not`
        }
        if self.take('(') {
            return self.group(depth);
        }
        let path = self.attr_path()?;
        if self.take('[') { self.values(path, depth) } else { self.comparison(path) }
    }

    fn group(&mut self, depth: usize) -> Result<Filter, Wrong> {
        let filter = self.any_of(deeper(depth)?)?;
        self.space();
        if self.take(')') { Ok(filter) } else { Err("`)` was expected".into()) }
    }

    fn bracket(&mut self, depth: usize) -> Result<Filter, Wrong> {
        let filter = self.any_of(deeper(depth)?)?;
        self.space();
        if !self.take(']') {
            return Err("`]` was expected".into());
        }
        if has_values(&filter) {
            return Err("brackets inside brackets".into());
        }
        Ok(filter)
    }

    fn values(&mut self, path: AttrPath, depth: usize) -> Result<Filter, Wrong> {
        let filter = self.bracket(depth)?;
        if !self.take('.') {
            return Ok(Filter::Values(path, Box::new(filter)));
        }
        // Entra ID: `emails[type eq "work"].value eq "x"`.
        let sub = AttrPath { uri: None, name: self.sub_name()?, sub: None };
        let also = self.comparison(sub)?;
        let mut parts = match filter {
            Filter::And(parts) => parts,
            other => vec![other],
        };
        parts.push(also);
        Ok(Filter::Values(path, Box::new(Filter::And(parts))))
    }

    /// What follows the attribute: `pr`, or an operator and a value.
    fn comparison(&mut self, path: AttrPath) -> Result<Filter, Wrong> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} comparisons"));
        }
        if !self.space() {
            return Err("a space and an operator were expected".into());
        }
        if self.keyword("pr") {
            return Ok(Filter::Present(path));
        }
        let word: String = self.rest().chars().take_while(char::is_ascii_alphabetic).collect();
        let Some(operator) = Operator::from_name(&word) else {
            return Err("an operator (eq ne co sw ew gt ge lt le pr) was expected".into());
        };
        self.at += word.len();
        if !self.space() && !self.rest().starts_with('"') {
            return Err("a space and a value were expected".into());
        }
        Ok(Filter::Compare(path, operator, self.value()?))
    }

    /// A JSON string, number, boolean or null. Text is always quoted.
    fn value(&mut self) -> Result<Value, Wrong> {
        let length = if self.rest().starts_with('"') {
            string_length(self.rest()).ok_or("the text has no closing quote")?
        } else {
            self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(self.rest().len())
        };
        let token = &self.rest()[..length];
        let value: Value = serde_json::from_str(token)
            .map_err(|_| "a quoted text, a number, true, false or null was expected".to_owned())?;
        if value.as_str().is_some_and(|text| text.contains('\0')) {
            return Err("the text holds the character U+0000".into());
        }
        self.at += length;
        Ok(value)
    }

    fn attr_path(&mut self) -> Result<AttrPath, Wrong> {
        let length = self.rest().find(|c: char| !in_path(c)).unwrap_or(self.rest().len());
        let (written, wrong) = (&self.rest()[..length], "an attribute was expected");
        // A version in a URI has dots too: what is behind the last colon is the attribute.
        let (uri, rest) = match written.rsplit_once(':') {
            Some((uri, rest)) => (Some(uri), rest),
            None => (None, written),
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        if !is_name(name) || sub.is_some_and(|sub| !is_name(sub)) || uri.is_some_and(str::is_empty) {
            return Err(wrong.into());
        }
        self.at += length;
        Ok(AttrPath { uri: uri.map(str::to_owned), name: name.to_owned(), sub: sub.map(str::to_owned) })
    }

    fn sub_name(&mut self) -> Result<String, Wrong> {
        let length = self.rest().find(|c: char| !in_path(c)).unwrap_or(self.rest().len());
        let name = &self.rest()[..length];
        if !is_name(name) {
            return Err("a sub-attribute was expected".into());
        }
        self.at += length;
        Ok(name.to_owned())
    }
}

fn deeper(depth: usize) -> Result<usize, Wrong> {
    if depth == MAX_DEPTH { Err(format!("it is nested deeper than {MAX_DEPTH} levels")) } else { Ok(depth + 1) }
}

/// The length of the JSON string at the start, quotes included.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn has_values(filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(has_values),
        Filter::Not(inner) => has_values(inner),
        Filter::Values(..) => true,
        Filter::Present(_) | Filter::Compare(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Filter::parse(text).map_or_else(|fault| panic!("{text}: {fault}"), |filter| filter.to_string())
    }

    /// RFC 7644 figure 2.
    #[test]
    fn the_filters_of_the_rfc_parse_back_to_themselves() {
        for text in [
            r#"userName eq "bjensen""#,
            r#"name.familyName co "O'Malley""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
            "title pr",
            r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
            r#"title pr and userType eq "Employee""#,
            r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
            r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
            r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
            r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
            "a eq 5 and b eq -1.5e+3 and c eq true and d eq null",
        ] {
            assert_eq!(canonical(text), text);
        }
    }

    #[test]
    fn precedence_case_and_space_do_not_matter_beyond_the_grammar() {
        assert_eq!(canonical("a pr or b pr and c pr"), "a pr or (b pr and c pr)");
        assert_eq!(
            canonical("a pr and (b pr and (c pr or (d pr or e pr)))"),
            "a pr and b pr and (c pr or d pr or e pr)"
        );
        assert_eq!(canonical("A EQ \"x\" AnD NOT(b PR)"), "A eq \"x\" and not (b pr)");
        assert_eq!(canonical("  ( ( a\tpr ) )  "), "a pr");
        assert_eq!(canonical("not pr and notes pr"), "not pr and notes pr");
        // RFC 7644 §3.5.2.2 prints a path without the space.
        assert_eq!(PatchPath::parse(r#"members[value eq"2819"]"#).unwrap().to_string(), r#"members[value eq "2819"]"#);
    }

    /// Microsoft, "Develop and plan provisioning for a SCIM endpoint", section "/Users".
    #[test]
    fn a_sub_attribute_behind_the_bracket_is_one_more_condition() {
        assert_eq!(
            canonical(r#"emails[type eq "work"].value eq "user@contoso.com""#),
            r#"emails[type eq "work" and value eq "user@contoso.com"]"#
        );
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            " ",
            "userName",
            "userName eq",
            "userName eq bjensen",
            "userName eq 'x'",
            r#"userName == "x""#,
            r#"userName eq "x"#,
            r#"userName eq "x" or"#,
            r#"userName eq "x" garbage"#,
            r#"(userName eq "x""#,
            r#"userName eq "x")"#,
            r#"userName eq {"a":1}"#,
            "userName eq [1]",
            r#"emails[type eq "work""#,
            r#"emails[phones[type eq "x"]]"#,
            r#"emails[]"#,
            "not a pr",
            "1a pr",
            ".a pr",
            "a. pr",
            "a.b.c pr",
            ":a pr",
            "a pr b pr",
            r#"a pr"x""#,
            "a eq 01",
            "a eq tru",
            "a eq NaN",
            r#"a eq "\u0000""#,
            "ä pr",
        ] {
            assert_eq!(Filter::parse(text).map_err(|f| f.scim_type()), Err(Some("invalidFilter")), "{text}");
        }
        for text in ["", "members[", "members[value eq \"x\"].", "a[b pr].c.d", "a b", "emails[type eq \"x\"][a pr]"] {
            assert_eq!(PatchPath::parse(text).map_err(|f| f.scim_type()), Err(Some("invalidPath")), "{text}");
        }
    }

    #[test]
    fn filter_bombs_are_refused_at_their_bounds() {
        let nested = |n: usize| format!("{}a pr{}", "(".repeat(n), ")".repeat(n));
        assert!(Filter::parse(&nested(MAX_DEPTH)).is_ok());
        assert!(Filter::parse(&nested(MAX_DEPTH + 1)).is_err());
        assert!(Filter::parse(&nested(1000)).is_err());
        let wide = |n: usize| vec!["a pr"; n].join(" or ");
        assert!(Filter::parse(&wide(MAX_NODES)).is_ok());
        assert!(Filter::parse(&wide(MAX_NODES + 1)).is_err());
        assert!(Filter::parse(&format!("a eq \"{}\"", "x".repeat(MAX_LENGTH))).is_err());
        assert!(Filter::parse(&"(".repeat(MAX_LENGTH)).is_err());
        assert!(Filter::parse(&"not(".repeat(MAX_LENGTH / 4)).is_err());
    }
}
