//! What the tour found for one question: checks with what was observed, and what is not there yet.
//!
//! A verdict is worked out from the checks of this run; it is never set.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Value, json};

/// How a question came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every check passed and nothing is missing.
    Held,
    /// What the question turns on is there; something else failed or is missing.
    Partly,
    /// What the question turns on is not there.
    Open,
}

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What must be so.
    pub check: String,
    /// Whether it was.
    pub passed: bool,
    /// What was seen.
    pub observed: String,
    #[serde(skip)]
    core: bool,
}

/// One question's evidence.
#[derive(Debug, Clone)]
pub struct Answer {
    number: u8,
    title: &'static str,
    evidence: Vec<Check>,
    missing: Vec<String>,
}

impl Answer {
    /// No evidence yet.
    pub fn new(number: u8, title: &'static str) -> Self {
        Self { number, title, evidence: Vec::new(), missing: Vec::new() }
    }

    /// The question's number, 1 to 10.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Adds a check.
    pub fn saw(&mut self, check: &str, passed: bool, observed: impl Into<String>) {
        self.add(check, passed, observed.into(), false);
    }

    /// Adds a check that the question turns on: while it fails, the question is open.
    pub fn core(&mut self, check: &str, passed: bool, observed: impl Into<String>) {
        self.add(check, passed, observed.into(), true);
    }

    /// Names what is part of the answer and not there yet.
    pub fn lacks(&mut self, what: impl Into<String>) {
        self.missing.push(what.into());
    }

    fn add(&mut self, check: &str, passed: bool, observed: String, core: bool) {
        self.evidence.push(Check { check: check.to_owned(), passed, observed, core });
    }

    /// How it came out.
    pub fn verdict(&self) -> Verdict {
        let passed = self.evidence.iter().filter(|check| check.passed).count();
        if passed == 0 || self.evidence.iter().any(|check| check.core && !check.passed) {
            Verdict::Open
        } else if passed == self.evidence.len() && self.missing.is_empty() {
            Verdict::Held
        } else {
            Verdict::Partly
        }
    }

    /// `{number, title, verdict, evidence: [{check, passed, observed}], missing: […]}`.
    pub fn json(&self) -> Value {
        json!({"number": self.number, "title": self.title, "verdict": self.verdict(),
               "evidence": self.evidence, "missing": self.missing})
    }

    /// Prints it for people: a line for the question, one for each piece of evidence, one for each gap.
    pub fn print(&self) {
        let bold = Style::new().bold();
        let (word, colour) = match self.verdict() {
            Verdict::Held => ("held", AnsiColor::Green),
            Verdict::Partly => ("partly", AnsiColor::Yellow),
            Verdict::Open => ("open", AnsiColor::Red),
        };
        let verdict = colour.on_default().bold();
        let failed = self.evidence.iter().filter(|check| !check.passed).count();
        let count = match failed {
            0 => String::new(),
            n => format!("  ({n} of {} checks failed)", self.evidence.len()),
        };
        anstream::println!("\n{:>2}  {verdict}{word:<6}{verdict:#}  {bold}{}{bold:#}{count}", self.number, self.title);
        for check in &self.evidence {
            let (word, colour) = if check.passed { ("ok", AnsiColor::Green) } else { ("NO", AnsiColor::Red) };
            let colour = colour.on_default();
            anstream::println!("      {colour}{word}{colour:#}  {}: {}", check.check, check.observed);
        }
        let dim = Style::new().dimmed();
        for what in &self.missing {
            anstream::println!("      {dim}--{dim:#}  not yet: {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_follows_from_the_checks_and_the_gaps() {
        let mut answer = Answer::new(1, "one");
        assert_eq!(answer.verdict(), Verdict::Open, "nothing seen is nothing held");
        answer.core("a", true, "1");
        answer.saw("b", true, "2");
        assert_eq!(answer.verdict(), Verdict::Held);
        let mut gap = answer.clone();
        gap.lacks("c");
        assert_eq!(gap.verdict(), Verdict::Partly);
        let mut failed = answer.clone();
        failed.saw("d", false, "not so");
        assert_eq!(failed.verdict(), Verdict::Partly);
        answer.core("e", false, "not so");
        assert_eq!(answer.verdict(), Verdict::Open);
        let json = answer.json();
        assert_eq!(json["evidence"][2], json!({"check": "e", "passed": false, "observed": "not so"}));
    }
}
