//! The sentence around a keyword, in a plain form that patterns can match. Bounded, whatever the text is.

use std::ops::Range;

/// Bytes looked at before a keyword, at most.
const BEFORE: usize = 200;
/// Bytes looked at after a keyword's start, at most.
const AFTER: usize = 480;
/// A window cut by length covers later keywords only this far.
const COVERS: usize = 300;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) range: Range<usize>,
    /// Keywords that start before this byte have been seen in full.
    pub(crate) covers: usize,
}

/// The sentence around the keyword at `hit`, or (`block`) what surrounds it whatever the sentences.
pub(crate) fn cut(text: &str, hit: usize, block: bool) -> Cut {
    let bytes = text.as_bytes();
    let low = text.floor_char_boundary(hit.saturating_sub(BEFORE));
    let high = text.floor_char_boundary(hit.saturating_add(AFTER).min(text.len()));
    if block {
        return Cut { range: low..high, covers: hit + COVERS };
    }
    let start = (low..hit).rev().find(|i| ends_sentence(bytes, *i)).map_or(low, |i| i + 1);
    match (hit..high).find(|i| ends_sentence(bytes, *i)) {
        Some(end) => Cut { range: start..end + 1, covers: end + 1 },
        None if high == text.len() => Cut { range: start..high, covers: high },
        None => Cut { range: start..high, covers: hit + COVERS },
    }
}

/// Whether a sentence or a paragraph ends with byte `i`, which is then ASCII.
fn ends_sentence(bytes: &[u8], i: usize) -> bool {
    let next = |n: usize| bytes.get(i + n).copied();
    match bytes[i] {
        b'.' | b'!' | b'?' => {
            next(1).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'\\' | b')'))
        }
        b'\n' => next(1) == Some(b'\n') || (next(1) == Some(b'\r') && next(2) == Some(b'\n')),
        // A paragraph inside JSON that is looked at as text.
        b'n' => i > 0 && bytes[i - 1] == b'\\' && next(1) == Some(b'\\') && next(2) == Some(b'n'),
        _ => false,
    }
}

/// A part of a text in lower case, white space joined, quotes made plain, emphasis dropped.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) text: String,
    /// For each byte of `text`, the byte of the source that it came from.
    source: Vec<usize>,
    end: usize,
}

impl Window {
    pub(crate) fn new(text: &str, range: &Range<usize>) -> Self {
        let mut window =
            Self { text: String::with_capacity(range.len()), source: Vec::with_capacity(range.len()), end: range.end };
        let mut chars = text[range.clone()].char_indices().map(|(i, c)| (i + range.start, c)).peekable();
        while let Some((at, c)) = chars.next() {
            let escaped_space = c == '\\' && matches!(chars.peek(), Some((_, 'n' | 't' | 'r')));
            if escaped_space {
                chars.next();
            }
            match c {
                _ if escaped_space || c.is_whitespace() => window.space(at),
                '*' => {}
                '\u{2018}' | '\u{2019}' | '\u{b4}' | '`' => window.push(at, '\''),
                '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => window.push(at, '"'),
                c if c.is_ascii() => window.push(at, c.to_ascii_lowercase()),
                c => c.to_lowercase().for_each(|c| window.push(at, c)),
            }
        }
        window
    }

    /// Where a part of this window stands in the source.
    pub(crate) fn source(&self, part: &Range<usize>) -> Range<usize> {
        let start = self.source.get(part.start).copied().unwrap_or(self.end);
        let end = self.source.get(part.end).copied().unwrap_or(self.end);
        start..end.max(start)
    }

    fn space(&mut self, at: usize) {
        if !self.text.ends_with(' ') {
            self.push(at, ' ');
        }
    }

    fn push(&mut self, at: usize, c: char) {
        self.text.push(c);
        self.source.resize(self.text.len(), at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_cut_and_made_plain() {
        let text = "One. Do  **NOT**\n tell the “user”! Three.";
        let hit = text.find("NOT").expect("there");
        let cut = cut(text, hit, false);
        let window = Window::new(text, &cut.range);
        assert_eq!(window.text, " do not tell the \"user\"!");
        let tell = window.text.find("tell").expect("there");
        assert_eq!(&text[window.source(&(tell..tell + 8))], "tell the");
    }

    #[test]
    fn length_bounds_a_sentence_without_end() {
        let text = "é".repeat(4000);
        let cut = cut(&text, 4000, false);
        assert!(cut.range.len() <= BEFORE + AFTER && cut.covers < cut.range.end);
    }
}
