//! Text in columns of a terminal.
//!
//! It counts what a terminal shows, so its input holds no escape sequence.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that `text` takes.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// `text` in at most `width` columns, with `…` where it was cut.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut kept = head(text, width.saturating_sub(1)).trim_end().to_owned();
    kept.push('…');
    kept
}

/// `text` and as many spaces as `width` columns need.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// `text` in lines of at most `width` columns, broken at spaces; a longer word is broken anywhere. At least
/// one line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut rows = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word;
        loop {
            let row = rows.last_mut().expect("there is always one");
            let used = columns(row) + usize::from(!row.is_empty());
            if used + columns(word) <= width {
                if !row.is_empty() {
                    row.push(' ');
                }
                row.push_str(word);
                break;
            }
            if row.is_empty() {
                let part = head(word, width);
                row.push_str(part);
                word = &word[part.len()..];
            }
            rows.push(String::new());
        }
    }
    rows
}

/// The beginning of `text` that takes at most `width` columns, and at least one character.
fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(at, c)| {
        used += c.width().unwrap_or(0);
        used > width && *at > 0
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(pad("漢", 4), "漢  ");
        assert_eq!(wrap("aaaa bbbb cccccccccccc", 9), ["aaaa bbbb", "ccccccccc", "ccc"]);
        assert_eq!(wrap("", 9), [""]);
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide_and_nothing_is_lost(text in "[a-z漢é ]{0,200}", width in 8usize..60) {
            let rows = wrap(&text, width);
            prop_assert!(rows.iter().all(|row| columns(row) <= width));
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&text));
            prop_assert!(columns(&fit(&text, width)) <= width);
        }
    }
}
