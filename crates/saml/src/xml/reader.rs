//! Text to tree, strictly and within bounds: a subset of XML 1.0 (fifth edition) with Namespaces 1.0.
//!
//! Refused by name: document types, entities but the five, processing instructions, CDATA sections, comments in
//! messages, other character sets, relative namespaces, names beyond ASCII, an id that stands twice.

use std::{collections::HashSet, sync::Arc};

use super::tree::{Attribute, Child, Document, Name, Node};
use crate::{
    SamlFault,
    fault::shown,
    names::{XML_NAMESPACE, XMLNS_NAMESPACE},
};

/// How much a document may hold. Every bound is met while reading, not afterwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of text.
    pub(crate) bytes: usize,
    /// Elements inside one another.
    pub(crate) depth: usize,
    /// Elements in all.
    pub(crate) elements: usize,
    /// Attributes and namespace declarations of one element.
    pub(crate) attributes: usize,
    /// Whether comments are dropped (as in canonical text) or refused.
    pub(crate) drop_comments: bool,
}

impl Limits {
    /// A response or request: a few kilobytes in practice, more with many groups.
    pub(crate) const MESSAGE: Self =
        Self { bytes: 512 * 1024, depth: 20, elements: 8192, attributes: 24, drop_comments: false };

    /// For what we made canonical ourselves: the same tree may take more bytes.
    pub(crate) const fn canonical(&self) -> Self {
        Self { bytes: self.bytes * 4, ..*self }
    }

    /// Metadata, of one provider or of a small federation.
    pub(crate) const METADATA: Self =
        Self { bytes: 4 * 1024 * 1024, depth: 32, elements: 131_072, attributes: 64, drop_comments: true };
}

/// Bytes in a namespace's URI.
const MOST_NAMESPACE: usize = 1024;
/// Bytes in a prefix or local name.
const MOST_NAME: usize = 256;

/// Reads `bytes` within `limits`.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Document, SamlFault> {
    if bytes.len() > limits.bytes {
        return Err(SamlFault::TooLarge { what: "bytes", limit: limits.bytes });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SamlFault::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((at, _)) = text.char_indices().find(|(_, char)| !is_char(*char)) {
        return Err(SamlFault::MalformedXml { at, what: "a character that XML does not have" });
    }
    let mut reader = Reader { text, at: 0, limits, nodes: Vec::new(), open: Vec::new(), ids: HashSet::new() };
    reader.document()?;
    Ok(Document { nodes: reader.nodes })
}

/// Whether XML 1.0 can hold the character (production 2).
pub(super) fn is_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

struct Reader<'t, 'l> {
    text: &'t str,
    at: usize,
    limits: &'l Limits,
    nodes: Vec<Node>,
    /// The elements that are open, outermost first.
    open: Vec<usize>,
    ids: HashSet<String>,
}

type Done<T = ()> = Result<T, SamlFault>;

/// A start tag's attribute, before its prefix has a meaning.
struct Written<'t> {
    prefix: &'t str,
    local: &'t str,
    value: String,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Done {
        self.declaration()?;
        self.between()?;
        if !self.rest().starts_with('<') {
            return self.malformed("text before the root element");
        }
        self.start_tag()?;
        while let Some(&parent) = self.open.last() {
            self.content(parent)?;
        }
        self.between()?;
        if self.at < self.text.len() {
            return self.malformed("something after the root element");
        }
        Ok(())
    }

    /// `<?xml version="1.0" encoding="UTF-8"?>`, if there is one.
    fn declaration(&mut self) -> Done {
        if !self.rest().starts_with("<?xml") || !self.rest().as_bytes().get(5).copied().is_some_and(is_space) {
            return Ok(());
        }
        let Some(end) = self.rest().find("?>") else { return self.malformed("an XML declaration without end") };
        let stop = self.at + end;
        self.at += 5;
        let mut expected = ["version", "encoding", "standalone"].into_iter();
        let mut first = true;
        while self.space() && self.at < stop {
            let written = self.attribute()?;
            let known = written.prefix.is_empty() && expected.any(|name| name == written.local);
            let fine = match written.local {
                "version" => written.value == "1.0",
                "encoding" => written.value.eq_ignore_ascii_case("utf-8"),
                "standalone" => matches!(written.value.as_str(), "yes" | "no"),
                _ => false,
            };
            if !known || !fine || (first && written.local != "version") {
                return Err(SamlFault::XmlDeclaration {
                    attribute: shown(written.local),
                    value: shown(&written.value),
                });
            }
            first = false;
        }
        if first || self.at != stop {
            return self.malformed("a damaged XML declaration");
        }
        self.at += 2;
        Ok(())
    }

    /// What may stand before and after the root: white space and, in metadata, comments.
    fn between(&mut self) -> Done {
        loop {
            self.space();
            if !self.rest().starts_with("<!") && !self.rest().starts_with("<?") {
                return Ok(());
            }
            self.markup()?;
        }
    }

    /// What begins with `<!` or `<?`: a comment that is dropped, or a refusal.
    fn markup(&mut self) -> Done {
        let rest = self.rest();
        if let Some(comment) = rest.strip_prefix("<!--") {
            if !self.limits.drop_comments {
                return Err(SamlFault::Comment);
            }
            let Some(end) = comment.find("--") else { return self.malformed("a comment without end") };
            if !comment[end..].starts_with("-->") {
                return self.malformed("`--` inside a comment");
            }
            self.at += 4 + end + 3;
            return Ok(());
        }
        if rest.starts_with("<![CDATA[") {
            return Err(SamlFault::CdataSection);
        }
        if rest.starts_with("<!") {
            return Err(SamlFault::DocumentType);
        }
        Err(SamlFault::ProcessingInstruction)
    }

    fn content(&mut self, parent: usize) -> Done {
        let rest = self.rest();
        if rest.is_empty() {
            return self.malformed("an element without end");
        }
        if rest.starts_with("</") {
            return self.end_tag(parent);
        }
        if rest.starts_with("<!") || rest.starts_with("<?") {
            return self.markup();
        }
        if rest.starts_with('<') {
            return self.start_tag();
        }
        let end = rest.find('<').unwrap_or(rest.len());
        if rest[..end].contains("]]>") {
            return self.malformed("`]]>` in text");
        }
        let text = self.unescape(&rest[..end], false)?;
        self.at += end;
        // Around a dropped comment there is one text, not two.
        match self.nodes[parent].children.last_mut() {
            Some(Child::Text(before)) => before.push_str(&text),
            _ => self.nodes[parent].children.push(Child::Text(text)),
        }
        Ok(())
    }

    fn start_tag(&mut self) -> Done {
        if self.open.len() >= self.limits.depth {
            return Err(SamlFault::TooLarge { what: "levels of elements", limit: self.limits.depth });
        }
        if self.nodes.len() >= self.limits.elements {
            return Err(SamlFault::TooLarge { what: "elements", limit: self.limits.elements });
        }
        self.at += 1;
        let (prefix, local) = self.qname()?;
        let mut written = Vec::new();
        let empty = loop {
            let spaced = self.space();
            let rest = self.rest();
            if rest.starts_with("/>") {
                self.at += 2;
                break true;
            }
            if rest.starts_with('>') {
                self.at += 1;
                break false;
            }
            if !spaced {
                return self.malformed("no space before an attribute");
            }
            if written.len() >= self.limits.attributes {
                return Err(SamlFault::TooLarge { what: "attributes of an element", limit: self.limits.attributes });
            }
            written.push(self.attribute()?);
        };
        let index = self.nodes.len();
        let parent = self.open.last().copied();
        let node = self.node(parent, prefix, local, written)?;
        self.nodes.push(node);
        if let Some(parent) = parent {
            self.nodes[parent].children.push(Child::Element(index));
        }
        if !empty {
            self.open.push(index);
        }
        Ok(())
    }

    fn end_tag(&mut self, element: usize) -> Done {
        self.at += 2;
        let (prefix, local) = self.qname()?;
        let name = &self.nodes[element].name;
        if name.prefix != prefix || name.local != local {
            return self.malformed("an end tag of another element");
        }
        self.space();
        if !self.rest().starts_with('>') {
            return self.malformed("a damaged end tag");
        }
        self.at += 1;
        self.open.pop();
        Ok(())
    }

    /// Gives prefixes their meaning.
    fn node(&mut self, parent: Option<usize>, prefix: &str, local: &str, written: Vec<Written<'_>>) -> Done<Node> {
        let mut declared: Vec<(String, Arc<str>)> = Vec::new();
        let mut plain = Vec::new();
        for one in written {
            let declares = match (one.prefix, one.local) {
                ("", "xmlns") => Some(""),
                ("xmlns", name) => Some(name),
                _ => None,
            };
            let Some(declares) = declares else {
                plain.push(one);
                continue;
            };
            self.check_declaration(declares, &one.value)?;
            if declared.iter().any(|(prefix, _)| prefix == declares) {
                return self.malformed("a namespace declared twice on one element");
            }
            declared.push((declares.to_owned(), Arc::from(one.value)));
        }
        let mut attributes: Vec<Attribute> = Vec::new();
        for one in plain {
            let namespace =
                if one.prefix.is_empty() { Arc::from("") } else { self.resolve(&declared, parent, one.prefix)? };
            let name = Name { prefix: one.prefix.to_owned(), local: one.local.to_owned(), namespace };
            if attributes.iter().any(|a| a.name.local == name.local && a.name.namespace == name.namespace) {
                return self.malformed("an attribute that stands twice");
            }
            self.note_id(&name, &one.value)?;
            attributes.push(Attribute { name, value: one.value });
        }
        let namespace = self.resolve(&declared, parent, prefix)?;
        let name = Name { prefix: prefix.to_owned(), local: local.to_owned(), namespace };
        Ok(Node { parent, name, declared, attributes, children: Vec::new() })
    }

    /// Namespaces in XML 1.0, section 3; and absolute, since canonical XML is not defined for relative ones.
    fn check_declaration(&self, prefix: &str, uri: &str) -> Done {
        if matches!(prefix, "xml" | "xmlns") || matches!(uri, XML_NAMESPACE | XMLNS_NAMESPACE) {
            return self.malformed("a reserved prefix or namespace is declared");
        }
        if uri.len() > MOST_NAMESPACE {
            return Err(SamlFault::TooLarge { what: "bytes in a namespace", limit: MOST_NAMESPACE });
        }
        if uri.is_empty() {
            return if prefix.is_empty() { Ok(()) } else { self.malformed("a prefix declared as nothing") };
        }
        let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
        let absolute = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && !uri.contains(|c: char| c.is_ascii_control() || c == ' ');
        if absolute { Ok(()) } else { Err(SamlFault::RelativeNamespace { uri: shown(uri) }) }
    }

    fn resolve(&self, declared: &[(String, Arc<str>)], parent: Option<usize>, prefix: &str) -> Done<Arc<str>> {
        if prefix == "xml" {
            return Ok(Arc::from(XML_NAMESPACE));
        }
        let of = |list: &[(String, Arc<str>)]| list.iter().find(|(p, _)| p == prefix).map(|(_, uri)| uri.clone());
        if let Some(uri) = of(declared) {
            return Ok(uri);
        }
        let mut at = parent;
        while let Some(index) = at {
            if let Some(uri) = of(&self.nodes[index].declared) {
                return Ok(uri);
            }
            at = self.nodes[index].parent;
        }
        if prefix.is_empty() { Ok(Arc::from("")) } else { Err(SamlFault::UnboundPrefix { prefix: shown(prefix) }) }
    }

    /// No two elements may answer to one id, by whatever spelling a verifier looks it up.
    fn note_id(&mut self, name: &Name, value: &str) -> Done {
        let is_id = match &*name.namespace {
            "" => matches!(name.local.as_str(), "ID" | "Id" | "id" | "AssertionID"),
            XML_NAMESPACE => name.local == "id",
            _ => name.local.eq_ignore_ascii_case("id"),
        };
        if is_id && !self.ids.insert(value.to_owned()) {
            return Err(SamlFault::DuplicateId { id: shown(value) });
        }
        Ok(())
    }

    fn attribute(&mut self) -> Done<Written<'t>> {
        let (prefix, local) = self.qname()?;
        self.space();
        if !self.rest().starts_with('=') {
            return self.malformed("an attribute without a value");
        }
        self.at += 1;
        self.space();
        let quote = match self.rest().as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => char::from(*quote),
            _ => return self.malformed("an attribute's value without quotes"),
        };
        let rest = &self.rest()[1..];
        let Some(end) = rest.find(quote) else { return self.malformed("an attribute's value without end") };
        if rest[..end].contains('<') {
            return self.malformed("`<` in an attribute's value");
        }
        let value = self.unescape(&rest[..end], true)?;
        self.at += 1 + end + 1;
        Ok(Written { prefix, local, value })
    }

    /// References resolved, line ends normalised (XML 1.0, 2.11 and 3.3.3).
    fn unescape(&self, raw: &str, attribute: bool) -> Done<String> {
        let mut out = String::with_capacity(raw.len());
        let mut chars = raw.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            match char {
                '&' => {
                    let Some(length) = raw[at..].find(';') else { return self.malformed("`&` without `;`") };
                    out.push(self.reference(&raw[at + 1..at + length])?);
                    while chars.next_if(|(next, _)| *next <= at + length).is_some() {}
                }
                '\r' => {
                    chars.next_if(|(_, next)| *next == '\n');
                    out.push(if attribute { ' ' } else { '\n' });
                }
                '\n' | '\t' if attribute => out.push(' '),
                other => out.push(other),
            }
        }
        Ok(out)
    }

    fn reference(&self, name: &str) -> Done<char> {
        let number = match name {
            "lt" => return Ok('<'),
            "gt" => return Ok('>'),
            "amp" => return Ok('&'),
            "quot" => return Ok('"'),
            "apos" => return Ok('\''),
            _ => match name.strip_prefix("#x") {
                Some(hex) if !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                    u32::from_str_radix(hex, 16).ok()
                }
                Some(_) => None,
                None => match name.strip_prefix('#') {
                    Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                        digits.parse().ok()
                    }
                    Some(_) => None,
                    None => return Err(SamlFault::EntityReference { name: shown(name) }),
                },
            },
        };
        match number.and_then(char::from_u32).filter(|char| is_char(*char)) {
            Some(char) => Ok(char),
            None => self.malformed("a reference to no character"),
        }
    }

    /// `prefix:local` or `local`, ASCII only.
    fn qname(&mut self) -> Done<(&'t str, &'t str)> {
        let first = self.ncname()?;
        if !self.rest().starts_with(':') {
            return Ok(("", first));
        }
        self.at += 1;
        Ok((first, self.ncname()?))
    }

    fn ncname(&mut self) -> Done<&'t str> {
        let text = self.text;
        let rest = &text[self.at..];
        let begins = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b)).count();
        if !rest.as_bytes().first().is_some_and(begins) {
            return self.malformed("a name that is none");
        }
        if length > MOST_NAME {
            return Err(SamlFault::TooLarge { what: "bytes in a name", limit: MOST_NAME });
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn space(&mut self) -> bool {
        let count = self.rest().bytes().take_while(|byte| is_space(*byte)).count();
        self.at += count;
        count > 0
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn malformed<T>(&self, what: &'static str) -> Done<T> {
        Err(SamlFault::MalformedXml { at: self.at, what })
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
