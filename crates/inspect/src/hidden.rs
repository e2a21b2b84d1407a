//! Characters that a person does not see: tags, zero-width, bidirectional controls, variation selectors, private
//! use, terminal sequences. Emoji, joining scripts and right-to-left text are not findings.

use std::ops::Range;

use crate::{
    engine::Subject,
    finding::{
        DetectorId::{self, *},
        Findings,
        Severity::{self, High, Low, Medium},
    },
    unicode,
};

/// From this length on, a run of invisible characters is a code.
const CODE: usize = 4;
/// Words of one text that may be split invisibly before it is more than an accident (results only).
const SPLIT_WORDS: usize = 3;

/// Looks at every character once, at right-to-left controls twice.
pub(crate) fn inspect(subject: Subject<'_>, findings: &mut Findings) {
    controls(subject, findings);
    if subject.text.is_ascii() {
        return;
    }
    let mut state = Runs { subject, findings, split: Vec::new(), lone_selectors: 0, has_bidi: false };
    let mut previous = None;
    let mut chars = subject.text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        if c.is_ascii() || !is_candidate(c) {
            previous = Some(c);
            continue;
        }
        let mut end = start + c.len_utf8();
        while let Some((at, next)) = chars.next_if(|(_, next)| is_candidate(*next)) {
            end = at + next.len_utf8();
        }
        state.judge(start..end, previous, chars.peek().map(|(_, next)| *next));
    }
    let Runs { split, lone_selectors, has_bidi, .. } = state;
    words_split(subject, findings, &split);
    if lone_selectors >= CODE {
        let why = "variation selectors stand on characters that have no variants";
        findings.push(subject.finding(HiddenVariationSelectors, Medium, 0..0, why));
    }
    if has_bidi {
        bidi(subject, findings);
    }
}

fn is_candidate(c: char) -> bool {
    unicode::is_invisible(c) || unicode::is_private_use(c) || unicode::is_bidi_control(c) || unicode::is_bidi_mark(c)
}

struct Runs<'a, 'f> {
    subject: Subject<'a>,
    findings: &'f mut Findings,
    /// Lone zero-width characters inside words.
    split: Vec<Range<usize>>,
    lone_selectors: usize,
    has_bidi: bool,
}

impl Runs<'_, '_> {
    /// Judges one run of candidates between two visible characters.
    fn judge(&mut self, at: Range<usize>, before: Option<char>, after: Option<char>) {
        let run = &self.subject.text[at.clone()];
        self.has_bidi |= run.contains(unicode::is_bidi_control);
        let tags = run.chars().filter(|c| unicode::is_tag(*c)).count();
        if tags > 0 && !is_flag(run, before) {
            return self.push(HiddenTags, High, at, &format!("invisible tag characters spell {:?}", spelt(run)));
        }
        let private = run.chars().filter(|c| unicode::is_private_use(*c)).count();
        if private > 0 {
            let plane = run.chars().any(|c| c > '\u{f8ff}' && unicode::is_private_use(c));
            let grave = plane || self.subject.is_definition() || private >= 16;
            let severity = if grave { Medium } else { Low };
            return self.push(HiddenPrivateUse, severity, at, "private-use characters mean only what a font says");
        }
        self.selectors(&at, before);
        self.zero_width(at, before, after);
    }

    fn selectors(&mut self, at: &Range<usize>, before: Option<char>) {
        let run = &self.subject.text[at.clone()];
        let mut longest = 0;
        let mut length = 0;
        for c in run.chars() {
            length = if unicode::is_variation_selector(c) { length + 1 } else { 0 };
            longest = longest.max(length);
        }
        let first = run.chars().next().filter(|c| unicode::is_variation_selector(*c));
        let supplement = run.chars().any(|c| c >= '\u{e0100}' && unicode::is_variation_selector(c));
        if longest >= 2 {
            let severity = if longest >= CODE { High } else { Medium };
            self.push(
                HiddenVariationSelectors,
                severity,
                at.clone(),
                "a run of variation selectors carries hidden bytes",
            );
        } else if supplement && !before.is_some_and(unicode::is_east_asian) {
            let why = "an ideographic variation selector stands on no ideograph";
            self.push(HiddenVariationSelectors, Medium, at.clone(), why);
        } else if first.is_some() && !before.is_some_and(unicode::has_variants) {
            self.lone_selectors += 1;
        }
    }

    fn zero_width(&mut self, at: Range<usize>, before: Option<char>, after: Option<char>) {
        let is_zero_width =
            |c: &char| unicode::is_invisible(*c) && !unicode::is_variation_selector(*c) && !unicode::is_tag(*c);
        let run = &self.subject.text[at.clone()];
        let count = run.chars().filter(is_zero_width).count();
        let byte_order_mark = at.start == 0 && run.starts_with('\u{feff}');
        let is_any = |c: Option<char>, test: fn(char) -> bool| c.is_some_and(test);
        let joins = is_any(before, unicode::needs_joiners) || is_any(after, unicode::needs_joiners);
        let emoji = is_any(before, unicode::is_pictographic) && is_any(after, unicode::is_pictographic);
        let east = is_any(before, unicode::is_east_asian) || is_any(after, unicode::is_east_asian);
        match count {
            0 => {}
            1 if byte_order_mark || joins || emoji || east => {}
            2 if joins => {}
            // A soft hyphen is where a word may break.
            1 if run.starts_with('\u{ad}') && !self.subject.is_definition() => {}
            CODE.. => self.push(HiddenZeroWidth, High, at, "a run of invisible characters is a code"),
            1 if is_any(before, |c| c.is_alphanumeric()) && is_any(after, |c| c.is_alphanumeric()) => {
                if self.split.len() < SPLIT_WORDS {
                    self.split.push(at);
                }
            }
            1 => self.push(HiddenZeroWidth, Low, at, "an invisible character"),
            _ => {
                let severity = if self.subject.is_definition() { Medium } else { Low };
                self.push(HiddenZeroWidth, severity, at, "invisible characters in a row");
            }
        }
    }

    fn push(&mut self, detector: DetectorId, severity: Severity, at: Range<usize>, why: &str) {
        if !self.findings.is_full(detector, severity) {
            self.findings.push(self.subject.finding(detector, severity, at, why.to_owned()));
        }
    }
}

fn words_split(subject: Subject<'_>, findings: &mut Findings, split: &[Range<usize>]) {
    let severity = if subject.is_definition() || split.len() >= SPLIT_WORDS { Medium } else { Low };
    for at in split {
        findings.push(subject.finding(HiddenZeroWidth, severity, at.clone(), "an invisible character splits a word"));
    }
}

/// A region's flag: a black flag, tags, and the cancel tag.
fn is_flag(run: &str, before: Option<char>) -> bool {
    let Some(region) = run.split('\u{e007f}').next() else { return false };
    let count = region.chars().count();
    let plain = region.chars().all(|c| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}'));
    let tail = run.chars().skip(count);
    before == Some('\u{1f3f4}')
        && plain
        && (3..=6).contains(&count)
        && tail.filter(|c| unicode::is_tag(*c)).count() == 1
}

/// What tags spell, safe to show.
fn spelt(run: &str) -> String {
    run.chars()
        .filter_map(|c| char::from_u32(u32::from(c).checked_sub(0xe0000)?))
        .filter(|c| (' '..='~').contains(c))
        .take(120)
        .collect()
}

/// Terminal sequences and other control characters.
fn controls(subject: Subject<'_>, findings: &mut Findings) {
    let bytes = subject.text.as_bytes();
    let mut other = None;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|b| is_control(*b)) {
        let start = at + found;
        at = start + 1;
        match bytes[start] {
            0x1b => {
                let (end, severity) = sequence(bytes, start, subject.is_definition());
                at = end;
                let Some(severity) = severity else { continue };
                if !findings.is_full(ControlSequence, severity) {
                    let end = subject.text.ceil_char_boundary(end);
                    findings.push(subject.finding(
                        ControlSequence,
                        severity,
                        start..end,
                        "a terminal control sequence",
                    ));
                }
            }
            // A next-line character (U+0085) is a line end of old systems.
            0xc2 if matches!(bytes.get(start + 1), Some(0x80..=0x84 | 0x86..=0x9f)) => {
                other = other.or(Some(start..start + 2));
            }
            0xc2 => {}
            _ => other = other.or(Some(start..start + 1)),
        }
    }
    if let Some(at) = other {
        let severity = if subject.is_definition() { Medium } else { Low };
        findings.push(subject.finding(ControlSequence, severity, at, "a control character"));
    }
}

/// ESC, C0 other than tab, line feed, form feed and carriage return, DEL, and the first byte of C1.
fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1f | 0x7f | 0xc2)
}

/// Where the sequence at `start` ends and how grave it is; none for a colour in a result.
fn sequence(bytes: &[u8], start: usize, in_definition: bool) -> (usize, Option<Severity>) {
    let rest = &bytes[start + 1..bytes.len().min(start + 65)];
    let (length, in_result) = match rest.first() {
        Some(b'[') => {
            let end = rest[1..].iter().position(|b| (0x40..=0x7e).contains(b)).map_or(rest.len(), |i| i + 2);
            let body = &rest[1..end.max(2).min(rest.len()) - usize::from(end < rest.len() || end > 1)];
            let conceals = body.split(|b| *b == b';').any(|part| part == b"8");
            match rest.get(end - 1) {
                Some(b'm') if conceals => (end, Some(Medium)),
                Some(b'm') => (end, None),
                _ => (end, Some(Low)),
            }
        }
        Some(b']') if rest[1..].starts_with(b"52;") => (1, Some(High)),
        _ => (1, Some(Low)),
    };
    let severity = if in_definition { Some(High) } else { in_result };
    ((start + 1 + length).min(bytes.len()), severity)
}

/// Overrides, and embeddings or isolates that no right-to-left letter explains, line by line.
fn bidi(subject: Subject<'_>, findings: &mut Findings) {
    let mut line_start = 0;
    for line in subject.text.split_inclusive(['\n', '\u{2029}']) {
        let start = line_start;
        line_start += line.len();
        let Some(first) = line.find(unicode::is_bidi_control) else { continue };
        let control = |c: char| line.matches(c).count();
        let (embeddings, ends) = (control('\u{202a}') + control('\u{202b}'), control('\u{202c}'));
        let overrides = control('\u{202d}') + control('\u{202e}');
        let isolates = control('\u{2066}') + control('\u{2067}') + control('\u{2068}');
        let balanced = embeddings + overrides == ends && isolates == control('\u{2069}');
        let explained = line.contains(unicode::is_right_to_left);
        let (severity, why) = match () {
            () if overrides > 0 => (High, "an override turns the order of letters round"),
            () if !balanced && !explained => (Medium, "unbalanced bidirectional controls"),
            // Isolates around a value that was filled in are what localisation libraries write.
            () if embeddings > 0 && !explained => (Medium, "a direction is set where nothing is written right to left"),
            () if !balanced && subject.is_definition() => (Low, "unbalanced bidirectional controls"),
            () => continue,
        };
        if findings.is_full(HiddenBidi, severity) {
            continue;
        }
        let first = start + first;
        findings.push(subject.finding(HiddenBidi, severity, first..subject.text.ceil_char_boundary(first + 1), why));
    }
}

#[cfg(test)]
#[path = "hidden_tests.rs"]
mod tests;
