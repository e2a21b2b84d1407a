//! A text as a reader would take it: invisible characters dropped, tags spelt out, full-width, mathematical and
//! look-alike letters replaced by ASCII. Only for matching; what is delivered is never changed here.

use unicode_security::confusable_detection::skeleton;

use crate::unicode;

/// A folded text and where its bytes came from.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) text: String,
    /// (byte here, byte in the source), at each place where the distance between the two changes.
    map: Vec<(usize, usize)>,
}

impl Folded {
    /// The byte of the source that byte `at` came from.
    pub(crate) fn source(&self, at: usize) -> usize {
        let next = self.map.partition_point(|(here, _)| *here <= at);
        match next.checked_sub(1).map(|i| self.map[i]) {
            Some((here, there)) => there + (at - here),
            None => at,
        }
    }
}

/// Folds, if there is anything to fold.
pub(crate) fn fold(text: &str) -> Option<Folded> {
    if text.is_ascii() {
        return None;
    }
    let mut folded = Folded { text: String::new(), map: Vec::new() };
    let mut copied = 0;
    let mut in_latin_word = false;
    for (at, c) in text.char_indices() {
        let replaced = if c.is_ascii() { None } else { replacement(c, in_latin_word, &text[at + c.len_utf8()..]) };
        in_latin_word = c.is_ascii_alphabetic() || (in_latin_word && replaced.is_some());
        let Some(replaced) = replaced else { continue };
        folded.text.push_str(&text[copied..at]);
        folded.text.extend(replaced.chars());
        copied = at + c.len_utf8();
        folded.map.push((folded.text.len(), copied));
    }
    if folded.map.is_empty() {
        return None;
    }
    folded.text.push_str(&text[copied..]);
    Some(folded)
}

/// What a character is replaced by.
enum Replacement {
    Nothing,
    One(char),
}

impl Replacement {
    fn chars(self) -> impl Iterator<Item = char> {
        match self {
            Self::Nothing => None,
            Self::One(c) => Some(c),
        }
        .into_iter()
    }
}

fn replacement(c: char, in_latin_word: bool, rest: &str) -> Option<Replacement> {
    match c {
        '\u{e0020}'..='\u{e007e}' => char::from_u32(u32::from(c) - 0xe0000).map(Replacement::One),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).map(Replacement::One),
        c if unicode::is_invisible(c) || unicode::is_bidi_control(c) || unicode::is_bidi_mark(c) => {
            Some(Replacement::Nothing)
        }
        '\u{300}'..='\u{36f}' if in_latin_word => Some(Replacement::Nothing),
        '\u{1d400}'..='\u{1d7ff}' | '\u{2100}'..='\u{214f}' => prototype(c),
        // Cyrillic, Greek, Armenian, Cherokee and others: only inside a word that has ASCII letters.
        '\u{250}'..='\u{2af}' | '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{a4d0}'..='\u{a4ff}'
            if in_latin_word || rest.starts_with(|c: char| c.is_ascii_alphabetic()) =>
        {
            prototype(c)
        }
        _ => None,
    }
}

/// The one ASCII character that `c` looks like (UTS #39 §4), if there is one.
fn prototype(c: char) -> Option<Replacement> {
    let mut buffer = [0; 4];
    let mut looks_like = skeleton(c.encode_utf8(&mut buffer));
    let first = looks_like.next().filter(char::is_ascii)?;
    // The prototype of a capital I is a small L.
    let first = if first == 'l' && c.is_uppercase() { 'I' } else { first };
    looks_like.next().is_none().then_some(Replacement::One(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_are_read_as_meant() {
        for disguised in ["ig\u{200b}no\u{ad}re", "іgnоrе", "ｉｇｎｏｒｅ", "𝗶𝗴𝗻𝗼𝗿𝗲", "i\u{332}gnore"]
        {
            let text = format!("ä {disguised} x");
            let folded = fold(&text).expect("folds");
            assert_eq!(folded.text, "ä ignore x", "{disguised}");
            assert_eq!(folded.source(folded.text.len() - 1), text.len() - 1, "{disguised}");
        }
        let tags: String = "ignore".chars().filter_map(|c| char::from_u32(u32::from(c) + 0xe0000)).collect();
        assert_eq!(fold(&tags).expect("folds").text, "ignore");
    }

    #[test]
    fn honest_scripts_are_left_alone() {
        for text in ["плain ascii", "Привет, мир", "αβγ δ", "naïve café", "日本語", "plain"] {
            let folded = fold(text).map(|folded| folded.text);
            assert!(folded.is_none() || text.starts_with("пл"), "{text}: {folded:?}");
        }
    }
}
