//! What `fuzz/` compares with another parser's tree. Never part of a build of the product: the feature `fuzzing` is
//! nobody's but that package's, and our own tests compare in the same words.

use crate::xml::{Element, Limits, canonical, read, tree::Content};

/// A document as two parsers can be held against one another: one line per start tag, text and end tag, names with
/// their namespaces, attributes sorted.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// The tree.
    pub lines: Vec<String>,
    /// Its exclusive canonical form.
    pub canonical: Vec<u8>,
}

/// What the strict reader sees in a message; `None` where it refuses, or where the canonical form is too long.
pub fn message(bytes: &[u8]) -> Option<Seen> {
    seen(bytes, &Limits::MESSAGE)
}

/// The same for what was made canonical, which may be longer.
pub fn made_canonical(bytes: &[u8]) -> Option<Seen> {
    seen(bytes, &Limits::MESSAGE.canonical())
}

/// The same for metadata, in which comments are dropped.
pub fn metadata(bytes: &[u8]) -> Option<Seen> {
    seen(bytes, &Limits::METADATA)
}

fn seen(bytes: &[u8], limits: &Limits) -> Option<Seen> {
    let document = read(bytes, limits).ok()?;
    let mut lines = Vec::new();
    walk(document.root(), &mut lines);
    let canonical = canonical(document.root(), None, &[], limits.canonical().bytes).ok()?;
    Some(Seen { lines, canonical })
}

/// One line per element and text, by our tree.
pub(crate) fn walk(element: Element<'_>, lines: &mut Vec<String>) {
    let name = element.name();
    let mut attributes: Vec<String> = element
        .attributes()
        .iter()
        .map(|a| format!("{{{}}}{}={:?}", a.name.namespace, a.name.local, a.value))
        .collect();
    attributes.sort();
    lines.push(format!("<{{{}}}{} {attributes:?}", name.namespace, name.local));
    for content in element.content() {
        match content {
            Content::Element(inner) => walk(inner, lines),
            Content::Text(text) => lines.push(format!("{text:?}")),
        }
    }
    lines.push(">".to_owned());
}
