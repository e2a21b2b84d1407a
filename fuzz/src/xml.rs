//! Two XML parsers, one tree.

use sallyport_saml::fuzzing::{Seen, made_canonical, message, metadata};

/// What our strict reader accepts, roxmltree accepts and sees as the same tree; and the canonical form is a fixed
/// point that reads as that tree too, by both.
pub fn xml_differential(bytes: &[u8]) {
    if let Some(seen) = message(bytes) {
        agrees(bytes, &seen);
        let again = made_canonical(&seen.canonical).expect("the canonical form is refused");
        assert_eq!(seen.lines, again.lines, "the canonical form reads as another tree");
        assert_eq!(seen.canonical, again.canonical, "the canonical form is no fixed point");
        agrees(&seen.canonical, &again);
    }
    if let Some(seen) = metadata(bytes) {
        agrees(bytes, &seen);
    }
}

fn agrees(bytes: &[u8], seen: &Seen) {
    let text = std::str::from_utf8(bytes).expect("accepted what is not UTF-8");
    // XML 1.0, 2.11: a parser acts as if line ends had been made one before it began. roxmltree 0.21 keeps the `\r` of
    // `\r&apos;`, so it is done for it.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let options = roxmltree::ParsingOptions { allow_dtd: false, ..Default::default() };
    let other = roxmltree::Document::parse_with_options(&text, options)
        .unwrap_or_else(|error| panic!("roxmltree refuses what we accept: {error}"));
    let mut lines = Vec::new();
    walk(other.root_element(), &mut lines);
    assert_eq!(seen.lines, lines, "the two parsers see two trees");
}

fn walk(node: roxmltree::Node<'_, '_>, lines: &mut Vec<String>) {
    let mut attributes: Vec<String> = node
        .attributes()
        .map(|a| format!("{{{}}}{}={:?}", a.namespace().unwrap_or_default(), a.name(), a.value()))
        .collect();
    attributes.sort();
    let name = node.tag_name();
    lines.push(format!("<{{{}}}{} {attributes:?}", name.namespace().unwrap_or_default(), name.name()));
    // A comment splits a text in two nodes here, and in ours it does not.
    let mut text = String::new();
    for child in node.children() {
        if child.is_text() {
            text.push_str(child.text().unwrap_or_default());
        } else if child.is_element() {
            flush(&mut text, lines);
            walk(child, lines);
        }
    }
    flush(&mut text, lines);
    lines.push(">".to_owned());
}

fn flush(text: &mut String, lines: &mut Vec<String>) {
    if !text.is_empty() {
        lines.push(format!("{text:?}"));
        text.clear();
    }
}
