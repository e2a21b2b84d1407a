//! Which characters cannot be seen, and which scripts need some of them. Code point ranges only, no text.

/// Draws nothing and is no space: joiners, fillers, selectors, tags, formatting. Bidirectional controls apart.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || is_variation_selector(c)
        || is_tag(c)
}

/// Tags and the rest of that block, unassigned ones included.
pub(crate) fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

pub(crate) fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Embeddings, overrides and isolates (UAX #9).
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Left-to-right, right-to-left and Arabic letter marks.
pub(crate) fn is_bidi_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}')
}

pub(crate) fn is_private_use(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Must not reach a terminal or a page as it is.
pub(crate) fn is_unprintable(c: char) -> bool {
    !(' '..='~').contains(&c)
        && (c.is_control()
            || is_invisible(c)
            || is_bidi_control(c)
            || is_bidi_mark(c)
            || is_private_use(c)
            || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// Letters written from right to left.
pub(crate) fn is_right_to_left(c: char) -> bool {
    matches!(c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1eeff}')
        && !is_bidi_mark(c)
}

/// Scripts whose spelling needs joiners, or whose words are parted by zero-width spaces.
pub(crate) fn needs_joiners(c: char) -> bool {
    matches!(c,
        '\u{600}'..='\u{61b}' | '\u{61d}'..='\u{8ff}' // Arabic, Syriac, Thaana, N'Ko, Mandaic
        | '\u{900}'..='\u{109f}' // Indic, Sinhala, Thai, Lao, Tibetan, Myanmar
        | '\u{1700}'..='\u{17b3}' | '\u{17b6}'..='\u{180a}' | '\u{1810}'..='\u{18af}' // Philippine, Khmer, Mongolian
        | '\u{1900}'..='\u{1cff}' // Limbu to Vedic
        | '\u{a800}'..='\u{abff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{11000}'..='\u{11fff}')
}

/// Han, Kana, Bopomofo, Hangul, full-width forms: texts that web pages part with zero-width spaces.
pub(crate) fn is_east_asian(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

/// Close to Unicode's `Extended_Pictographic`, modifiers and regional indicators included.
pub(crate) fn is_pictographic(c: char) -> bool {
    matches!(c,
        '©' | '®' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}'
        | '\u{2300}'..='\u{23ff}' | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2934}' | '\u{2935}'
        | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Has standardised variants, so that one selector may follow it.
pub(crate) fn has_variants(c: char) -> bool {
    is_pictographic(c)
        || is_east_asian(c)
        || needs_joiners(c)
        || matches!(c, '0'..='9' | '#' | '*' | '\u{2000}'..='\u{206f}' | '\u{2200}'..='\u{22ff}' | '\u{2a00}'..='\u{2aff}')
        || matches!(c, '\u{1820}'..='\u{18aa}' | '\u{13000}'..='\u{143fa}')
}
