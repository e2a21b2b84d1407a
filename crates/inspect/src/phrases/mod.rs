//! Orders to the model, found by keywords and a pattern on the sentence around them.
//!
//! Matching is on the folded text, so that letters in disguise count as what they look like. Work is linear:
//! each rule looks at each byte a bounded number of times.

mod rules;

use std::{
    ops::Range,
    sync::{LazyLock, OnceLock},
};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::Regex;

use crate::{
    engine::Subject,
    finding::{Findings, Severity},
    fold::{self, Folded},
    window::{self, Cut, Window},
};
use rules::{RULES, Rule};

/// Words of a sentence that speaks about attacks rather than being one.
const ABOUT: &str = r"\b(?:attack|inject|jailbreak|phras|string|detect|attempt|malicious|payload|block|filter|example|such as|e\.g|researcher|pattern|keyword|wrote|says|contain)";

struct Engine {
    keywords: AhoCorasick,
    /// For each keyword, the rules that it wakes.
    wakes: Vec<Vec<usize>>,
    patterns: Vec<(OnceLock<Regex>, OnceLock<Option<Regex>>)>,
    about: Regex,
}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut keywords: Vec<&str> = Vec::new();
    let mut wakes: Vec<Vec<usize>> = Vec::new();
    for (number, rule) in RULES.iter().enumerate() {
        for key in rule.keys {
            match keywords.iter().position(|known| known == key) {
                Some(known) => wakes[known].push(number),
                None => {
                    keywords.push(key);
                    wakes.push(vec![number]);
                }
            }
        }
    }
    let keywords = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(keywords)
        .expect("a few hundred short keywords");
    let patterns = RULES.iter().map(|_| (OnceLock::new(), OnceLock::new())).collect();
    Engine { keywords, wakes, patterns, about: compile(ABOUT) }
});

/// Patterns work on bytes, so that `.` needs no tables; literals outside ASCII match as their bytes.
fn compile(pattern: &str) -> Regex {
    Regex::new(&format!("(?s-u){}", rules::expand(pattern))).expect("a test compiles every pattern")
}

impl Engine {
    /// What the rule matches in a window, unless its exception holds.
    fn find(&self, number: usize, text: &str) -> Option<Range<usize>> {
        let (pattern, unless) = &self.patterns[number];
        let rule = &RULES[number];
        let found = pattern.get_or_init(|| compile(rule.pattern)).find(text.as_bytes())?.range();
        let unless = unless.get_or_init(|| (!rule.unless.is_empty()).then(|| compile(rule.unless)));
        let excepted = unless.as_ref().is_some_and(|unless| unless.is_match(text.as_bytes()));
        (!excepted).then_some(found)
    }

    /// Whether the match is in quotes, in a sentence about such texts.
    fn is_mention(&self, text: &str, found: &Range<usize>) -> bool {
        let quote = |c: &u8| matches!(c, b'"' | b'\'');
        let bytes = text.as_bytes();
        let opened =
            bytes[..found.start].iter().rev().take(3).any(quote) || bytes[found.start..].first().is_some_and(quote);
        opened && bytes[found.end..].iter().any(quote) && self.about.is_match(bytes)
    }
}

/// Runs every rule of this surface.
pub(crate) fn inspect(subject: Subject<'_>, findings: &mut Findings) {
    let folded = fold::fold(subject.text);
    let text = folded.as_ref().map_or(subject.text, |folded| &folded.text);
    let engine = &*ENGINE;
    let mut covered = [0; RULES.len()];
    let mut last: Option<(Cut, Window)> = None;
    for hit in engine.keywords.find_overlapping_iter(text) {
        for &number in &engine.wakes[hit.pattern().as_usize()] {
            let rule = &RULES[number];
            let Some(severity) = rule.severity(subject.is_definition()) else { continue };
            if hit.start() < covered[number] || findings.is_full(rule.detector, severity) {
                continue;
            }
            let cut = window::cut(text, hit.start(), rule.block);
            covered[number] = cut.covers;
            if last.as_ref().is_none_or(|(known, _)| known.range != cut.range) {
                last = Some((cut.clone(), Window::new(text, &cut.range)));
            }
            let Some((_, window)) = &last else { continue };
            let Some(found) = engine.find(number, &window.text) else { continue };
            let severity = if engine.is_mention(&window.text, &found) { Severity::Low } else { severity };
            let at = at(&folded, &window.source(&found));
            findings.push(subject.finding(rule.detector, severity, at, rule.why));
        }
    }
}

fn at(folded: &Option<Folded>, range: &Range<usize>) -> Range<usize> {
    match folded {
        Some(folded) => folded.source(range.start)..folded.source(range.end),
        None => range.clone(),
    }
}

/// Whether a text holds words that sound like an order to a model; for markup that would be harmless without.
pub(crate) fn sounds_like_order(text: &str) -> bool {
    static CUE: LazyLock<Regex> = LazyLock::new(|| {
        compile(
            r"\b(?:you (?:must|should|are now|will now|need to)|ignore (?:all|any|previous|the|your)|disregard|{NOT} (?:tell|mention|inform|reveal)|assistants?\b|language model|\bllms?\b|\bais?\b|instructions? (?:to|for)|system prompt|call the|use the \S+ tool|send (?:all|the|it|them)\b|api keys?|password|credentials)",
        )
    });
    let end = text.floor_char_boundary(2048);
    CUE.is_match(Window::new(text, &(0..end)).text.as_bytes())
}

impl Rule {
    fn severity(&self, in_definition: bool) -> Option<Severity> {
        if in_definition { self.definition } else { self.result }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for rule in &RULES {
            compile(rule.pattern);
            compile(rule.unless);
            assert!(!rule.keys.is_empty() && rule.keys.iter().all(|key| !key.is_empty()), "{}", rule.pattern);
            assert!(rule.definition.is_some() || rule.result.is_some(), "{}", rule.pattern);
            assert!(rule.keys.iter().all(|key| !key.bytes().any(|b| b.is_ascii_uppercase())), "{:?}", rule.keys);
        }
        let detectors: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.detector).collect();
        assert!(detectors.len() >= 8, "{detectors:?}");
    }
}
