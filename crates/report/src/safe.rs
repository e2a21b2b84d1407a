//! Strings of strangers, made fit to be shown.
//!
//! Every output of this crate passes what came from a target through here first. Escape sequences, control
//! characters, bidirectional controls, invisible characters and tag characters are taken out, so that no text
//! can move a cursor, reorder a line, hide a part of itself, or fill a page. It never escapes for HTML,
//! Markdown or JSON: that is the business of whoever writes those.

use unicode_width::UnicodeWidthChar;

/// The most characters of a name, a title or a sentence.
pub const SENTENCE: usize = 600;
/// The most characters of a body.
pub const BODY: usize = 4_000;
/// The most characters that may stand on one base character (accents, vowel signs).
const MARKS: usize = 4;

/// `text` on one line of at most `limit` characters: runs of white space become one space, the ends are
/// trimmed, and `…` stands for what was cut.
pub fn line(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for word in Visible::new(text).collect::<String>().split_whitespace() {
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    cut(&shown, limit)
}

/// `text` in its own lines, at most `limit` characters in all; tabs become two spaces and no line is trimmed
/// at its beginning.
pub fn block(text: &str, limit: usize) -> String {
    let shown = Visible::new(text).map(|c| if c == '\t' { "  ".to_owned() } else { c.to_string() }).collect::<String>();
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    cut(lines.join("\n").trim_matches('\n'), limit)
}

/// `text` within `limit` characters, with `…` as the last of them where something was cut.
pub fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    kept.truncate(kept.trim_end().len());
    if limit > 0 {
        kept.push('…');
    }
    kept
}

/// The characters of a text that may be shown; of control characters only newline and tab are left.
struct Visible<'a> {
    rest: &'a str,
    marks: usize,
}

impl<'a> Visible<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, marks: 0 }
    }
}

impl Iterator for Visible<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            let c = self.rest.chars().next()?;
            let length = escape_sequence(self.rest).unwrap_or(c.len_utf8());
            self.rest = &self.rest[length..];
            match c {
                '\n' | '\t' => {
                    self.marks = 0;
                    return Some(c);
                }
                '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{b}' | '\u{c}' => {
                    self.marks = 0;
                    return Some('\n');
                }
                c if is_unseen(c) => {}
                c if c.width() == Some(0) && self.marks >= MARKS => {}
                c => {
                    self.marks = if c.width() == Some(0) { self.marks + 1 } else { 0 };
                    return Some(c);
                }
            }
        }
    }
}

/// Whether a character is invisible, acts on its neighbours, or is none.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
        || (u32::from(c) & 0xfffe) == 0xfffe
}

/// The length in bytes of the terminal control sequence (ECMA-48) that `text` begins with.
///
/// A string sequence without an end is no sequence: only its first characters go, so that nothing behind it
/// is hidden.
fn escape_sequence(text: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    let (_, first) = chars.next()?;
    let (kind, start) = match first {
        '\u{1b}' => {
            let (at, second) = chars.next()?;
            (second, at + second.len_utf8())
        }
        '\u{9b}' => ('[', first.len_utf8()),
        '\u{9d}' => (']', first.len_utf8()),
        '\u{90}' => ('P', first.len_utf8()),
        '\u{98}' | '\u{9e}' | '\u{9f}' => ('X', first.len_utf8()),
        _ => return None,
    };
    let rest = &text[start..];
    match kind {
        '[' => {
            let end = rest.find(|c: char| !('\u{20}'..='\u{3f}').contains(&c)).unwrap_or(rest.len());
            let last = rest[end..].chars().next().filter(|c| ('\u{40}'..='\u{7e}').contains(c));
            Some(start + end + last.map_or(0, char::len_utf8))
        }
        ']' | 'P' | 'X' | '^' | '_' => {
            let ends = ["\u{7}", "\u{1b}\\", "\u{9c}"];
            let end = ends.iter().filter_map(|end| rest.find(end).map(|at| at + end.len())).min();
            Some(start + end.unwrap_or(0))
        }
        '\u{20}'..='\u{2f}' => {
            let end = rest.find(|c: char| !('\u{20}'..='\u{2f}').contains(&c)).unwrap_or(rest.len());
            let last = rest[end..].chars().next().filter(|c| ('\u{30}'..='\u{7e}').contains(c));
            Some(start + end + last.map_or(0, char::len_utf8))
        }
        '\u{30}'..='\u{7e}' => Some(start),
        _ => Some(first.len_utf8()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_clean(c: char) -> bool {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{61c}' | '\u{feff}' | '\u{ad}' | '\u{e0000}'..='\u{e007f}' | '\u{2028}' | '\u{2029}')
    }

    #[test]
    fn sequences_go_as_a_whole() {
        assert_eq!(line("a\u{1b}[31;1mred\u{1b}[0m b", 99), "ared b");
        assert_eq!(line("x\u{1b}]0;title\u{7}y\u{1b}]8;;http://a\u{1b}\\link\u{9d}52;c;AAAA\u{9c}z", 99), "xylinkz");
        assert_eq!(line("\u{9b}2Jcleared \u{1b}c\u{1b}(Bend", 99), "cleared end");
        assert_eq!(line("\u{1b}", 9), "");
    }

    #[test]
    fn an_unfinished_sequence_hides_nothing() {
        assert_eq!(line("\u{1b}]0;no end: still told", 99), "0;no end: still told");
        assert_eq!(line("\u{1b}é", 99), "é");
        assert_eq!(line("\u{1b}[12é", 99), "é");
    }

    #[test]
    fn what_reorders_or_hides_is_taken_out() {
        assert_eq!(line("pay\u{202e}gpj.exe\u{202c} a\u{200b}b\u{feff}c \u{e0068}\u{e0069}", 99), "paygpj.exe abc");
        assert_eq!(line("שלום and 漢字 and é stay", 99), "שלום and 漢字 and é stay");
        assert_eq!(line("z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}", 99), "z\u{301}\u{302}\u{303}\u{304}");
    }

    #[test]
    fn lines_stay_lines_only_where_asked_for() {
        assert_eq!(line("a\r\n\r\n  b\tc\u{2028}d", 99), "a b c d");
        assert_eq!(block("{\r\n\t\"a\": 1\n}\n", 99), "{\n  \"a\": 1\n}");
        assert_eq!(block("abcdef", 4), "abc…");
        assert_eq!(line("abc", 0), "");
    }

    proptest! {
        #[test]
        fn no_text_gets_through_with_a_control_and_all_are_bounded(text in any::<String>(), limit in 0usize..80) {
            let shown = line(&text, limit);
            prop_assert!(shown.chars().all(is_clean), "{shown:?}");
            prop_assert!(shown.chars().count() <= limit);
            let shown = block(&text, limit);
            prop_assert!(shown.chars().all(|c| c == '\n' || is_clean(c)), "{shown:?}");
            prop_assert!(shown.chars().count() <= limit);
        }

        #[test]
        fn no_mix_of_sequences_gets_through(text in r"(\x1b|\x{9b}|\x{9d}|[\[\]PX^_();?0-9mHJ ]|\x07|\x9c|[a-zé\x{202e}\x{200d}]){0,60}") {
            prop_assert!(line(&text, 200).chars().all(is_clean));
            prop_assert!(block(&text, 200).chars().all(|c| c == '\n' || is_clean(c)));
        }

        #[test]
        fn twice_is_the_same_as_once(text in any::<String>()) {
            let once = line(&text, SENTENCE);
            prop_assert_eq!(line(&once, SENTENCE), once);
        }
    }
}
