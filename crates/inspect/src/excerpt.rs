//! Short excerpts that cannot write on a terminal, hide anything or give a secret away.

use std::ops::Range;

use crate::unicode;

/// Characters of the excerpt, counted before invisible ones are spelt out.
const MAX: usize = 96;
/// Bytes of a pointer.
const MAX_PLACE: usize = 1024;
/// Characters shown before the place.
const BEFORE: usize = 16;

/// The text around `at`, one line, invisible characters as `\u{..}`.
pub(crate) fn around(text: &str, at: &Range<usize>) -> String {
    let start = text[..at.start].char_indices().rev().take(BEFORE).last().map_or(at.start, |(i, _)| i);
    let mut out = String::with_capacity(MAX + 8);
    if start > 0 {
        out.push('…');
    }
    let mut chars = text[start..].chars();
    chars.by_ref().take(MAX).for_each(|c| push(&mut out, c));
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// The first four characters of a secret and its length.
pub(crate) fn redacted(secret: &str) -> String {
    let mut out = String::new();
    secret.chars().take(4).for_each(|c| push(&mut out, c));
    out.push_str(&format!("… ({} bytes)", secret.len()));
    out
}

/// A name or another short string, made visible.
pub(crate) fn shown(text: &str) -> String {
    around(text, &(0..0))
}

/// A JSON pointer as it is, unless a stranger made it absurdly long: then its beginning and an ellipsis.
pub(crate) fn place(pointer: &str) -> String {
    match pointer.len() {
        0..=MAX_PLACE => pointer.to_owned(),
        _ => format!("{}…", &pointer[..pointer.floor_char_boundary(MAX_PLACE)]),
    }
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' | '\r' | '\t' => out.push(' '),
        c if unicode::is_unprintable(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_visible_and_short() {
        assert_eq!(shown("a\u{200b}b\u{1b}[2J\n\u{e0041}\u{202e}é"), "a\\u{200b}b\\u{1b}[2J \\u{e0041}\\u{202e}é");
        let long = "é".repeat(1000);
        let excerpt = around(&long, &(400..402));
        assert_eq!(excerpt.chars().count(), MAX + 2);
        assert!(excerpt.starts_with('…') && excerpt.ends_with('…'));
        assert_eq!(redacted("abcdefgh"), "abcd… (8 bytes)");
    }
}
