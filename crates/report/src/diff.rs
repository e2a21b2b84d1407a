//! What changed between two assessments of one server.
//!
//! It compares what the two documents say and weighs nothing anew. [`Diff::worse`] is what a CI run stops on.

use std::collections::BTreeMap;

use sallyport_model::assessment::{Assessment, Band, CheckResult, Evidence, Question};
use serde::{Deserialize, Serialize};

use crate::{
    safe,
    text::{self, Style},
    words,
};

/// The difference between two assessments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The target of the newer one.
    pub target: String,
    /// When the older one began, RFC 3339.
    pub old_assessed_at: String,
    /// When the newer one began, RFC 3339.
    pub new_assessed_at: String,
    /// Whether both are of the same target; where not, the rest says little.
    pub same_target: bool,
    /// Whether both were given the same access; where not, a gap may be the run's and not the server's.
    pub same_access: bool,
    /// Evidence score before and after.
    pub total: Change,
    /// Band before and after.
    pub bands: [Option<Band>; 2],
    /// Questions whose score or range changed, by number.
    pub questions: Vec<QuestionChange>,
    /// Checks that fail now and did not before.
    pub newly_failed: Vec<CheckChange>,
    /// Checks that failed before and pass now, or have no meaning any more.
    pub mended: Vec<CheckChange>,
    /// Checks that were decided before and that nobody could make now.
    pub newly_not_assessable: Vec<CheckChange>,
    /// Definitions that came, went or changed. None of them is worse by itself: somebody has to read them.
    pub definitions: Vec<DefinitionChange>,
    /// Whether something got worse: a bound of a question or of the total fell, or a check that held before fails
    /// now. A check that merely could not be made counts where it lowers a bound: what was proven no longer is.
    pub worse: bool,
}

/// A definition that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionChange {
    /// `tools`, `resources`, `resourceTemplates` or `prompts`.
    pub kind: String,
    /// Its name or URI.
    pub name: String,
    /// What became of it.
    pub what: Drift,
}

/// What became of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// It was not there.
    Came,
    /// It is not there any more.
    Went,
    /// It says something else under the same name.
    Changed,
}

/// A score before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Score before; `None` while it was open.
    pub old: Option<u8>,
    /// The least and the most before.
    pub old_range: [u8; 2],
    /// Score after; `None` while it is open.
    pub new: Option<u8>,
    /// The least and the most after.
    pub new_range: [u8; 2],
    /// Which way.
    pub direction: Direction,
}

/// Which way a score moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// No bound fell and one rose.
    Up,
    /// A bound fell and none rose.
    Down,
    /// The least rose and the most fell: more is known.
    Narrower,
    /// The least fell and the most rose: less is known.
    Wider,
    /// Nothing changed.
    Same,
}

/// A question that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionChange {
    /// 1 to 10.
    pub number: u8,
    /// In a few words.
    pub title: String,
    /// Before and after.
    #[serde(flatten)]
    pub change: Change,
}

/// A check whose result changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckChange {
    /// The question.
    pub question: u8,
    /// Stable id.
    pub check: String,
    /// What it looks at.
    pub title: String,
    /// How it ended before; `None` where it is new.
    pub old: Option<CheckResult>,
    /// How it ended now.
    pub new: CheckResult,
    /// What was seen now.
    pub observed: String,
}

impl Change {
    fn of(old: (Option<u8>, [u8; 2]), new: (Option<u8>, [u8; 2])) -> Self {
        let steps = [new.1[0].cmp(&old.1[0]), new.1[1].cmp(&old.1[1])];
        use std::cmp::Ordering::{Equal, Greater, Less};
        let direction = match steps {
            [Equal, Equal] => Direction::Same,
            [Greater, Less] => Direction::Narrower,
            [Less, Greater] => Direction::Wider,
            [Less, _] | [_, Less] => Direction::Down,
            [Greater, _] | [_, Greater] => Direction::Up,
        };
        Self { old: old.0, old_range: old.1, new: new.0, new_range: new.1, direction }
    }

    fn a_bound_fell(&self) -> bool {
        self.new_range[0] < self.old_range[0] || self.new_range[1] < self.old_range[1]
    }
}

/// Compares two assessments.
pub fn compare(old: &Assessment, new: &Assessment) -> Diff {
    let before = by_check(old);
    let mut newly_failed = Vec::new();
    let mut mended = Vec::new();
    let mut newly_not_assessable = Vec::new();
    for (question, evidence) in checks(new) {
        let was = before.get(evidence.check.as_str()).copied();
        let change = || CheckChange::of(question, evidence, was);
        match (was, evidence.result) {
            (Some(was), now) if was == now => {}
            (_, CheckResult::Fail) => newly_failed.push(change()),
            (Some(CheckResult::Fail), CheckResult::Pass | CheckResult::NotApplicable) => mended.push(change()),
            (Some(CheckResult::Pass | CheckResult::Fail), CheckResult::NotAssessable) => {
                newly_not_assessable.push(change());
            }
            _ => {}
        }
    }
    let questions = questions(old, new);
    let total = Change::of((old.total, old.total_range), (new.total, new.total_range));
    let broke = newly_failed.iter().any(|change| matches!(change.old, Some(CheckResult::Pass)));
    let fell = questions.iter().any(|question| question.change.a_bound_fell()) || total.a_bound_fell();
    Diff {
        target: new.target.clone(),
        old_assessed_at: old.assessed_at.clone(),
        new_assessed_at: new.assessed_at.clone(),
        same_target: old.target == new.target,
        same_access: old.access == new.access,
        total,
        bands: [old.band, new.band],
        questions,
        newly_failed,
        mended,
        newly_not_assessable,
        definitions: drift(old, new),
        worse: broke || fell,
    }
}

/// What is offered now and was not, and the other way round. A run that saw nothing tells nothing.
fn drift(old: &Assessment, new: &Assessment) -> Vec<DefinitionChange> {
    if old.definitions.is_empty() || new.definitions.is_empty() {
        return Vec::new();
    }
    let by_name = |assessment: &'_ Assessment| -> BTreeMap<(String, String), String> {
        let all = assessment.definitions.iter();
        all.map(|digest| ((digest.kind.clone(), digest.name.clone()), digest.sha256.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let change =
        |(kind, name): &(String, String), what| DefinitionChange { kind: kind.clone(), name: name.clone(), what };
    let went = before.keys().filter(|key| !after.contains_key(*key)).map(|key| change(key, Drift::Went));
    let now = after.iter().filter_map(|(key, hash)| match before.get(key) {
        None => Some(change(key, Drift::Came)),
        Some(was) => (was != hash).then(|| change(key, Drift::Changed)),
    });
    now.chain(went).collect()
}

impl CheckChange {
    fn of(question: &Question, evidence: &Evidence, old: Option<CheckResult>) -> Self {
        Self {
            question: question.number,
            check: evidence.check.clone(),
            title: evidence.title.clone(),
            old,
            new: evidence.result,
            observed: evidence.observed.clone(),
        }
    }
}

fn checks(assessment: &Assessment) -> impl Iterator<Item = (&Question, &Evidence)> {
    assessment.questions.iter().flat_map(|question| question.evidence.iter().map(move |evidence| (question, evidence)))
}

fn by_check(assessment: &Assessment) -> BTreeMap<&str, CheckResult> {
    checks(assessment).map(|(_, evidence)| (evidence.check.as_str(), evidence.result)).collect()
}

fn questions(old: &Assessment, new: &Assessment) -> Vec<QuestionChange> {
    let mut changes = Vec::new();
    for after in &new.questions {
        let Some(before) = old.questions.iter().find(|before| before.number == after.number) else { continue };
        let change = Change::of((before.score, before.range), (after.score, after.range));
        if change.direction != Direction::Same {
            changes.push(QuestionChange { number: after.number, title: after.title.clone(), change });
        }
    }
    changes
}

/// The difference for a terminal. It ends with a newline.
pub fn render(diff: &Diff, style: Style) -> String {
    let mut out = String::new();
    heading(&mut out, diff, style);
    if !diff.questions.is_empty() {
        text::line(&mut out, "");
        text::line(&mut out, &style.bold("Questions"));
    }
    for question in &diff.questions {
        let lead = format!("{:>2} {}", question.number, text::lines::pad(words::short_title(question.number), 20));
        text::line(&mut out, &format!("{lead}{}", change(&question.change)));
    }
    list(&mut out, "Newly failed", "✗", &diff.newly_failed, style);
    list(&mut out, "Mended", "✓", &diff.mended, style);
    list(&mut out, "No longer assessable", "?", &diff.newly_not_assessable, style);
    definitions(&mut out, &diff.definitions, style);
    out
}

fn definitions(out: &mut String, changes: &[DefinitionChange], style: Style) {
    const SHOWN: usize = 20;
    if changes.is_empty() {
        return;
    }
    text::line(out, "");
    text::line(out, &style.bold("What it offers has changed"));
    for change in changes.iter().take(SHOWN) {
        let word = match change.what {
            Drift::Came => "new",
            Drift::Went => "gone",
            Drift::Changed => "changed",
        };
        let line = format!("{word:<8} {} {}", safe::line(&change.kind, 20), safe::line(&change.name, 100));
        text::line(out, &text::lines::fit(&line, style.columns()));
    }
    if changes.len() > SHOWN {
        text::line(out, &format!("and {} more", changes.len() - SHOWN));
    }
}

fn heading(out: &mut String, diff: &Diff, style: Style) {
    let target = safe::line(&diff.target, 300);
    text::line(out, &style.bold(&text::lines::fit(&target, style.columns())));
    let span = format!("{} → {}", words::instant(&diff.old_assessed_at), words::instant(&diff.new_assessed_at));
    text::line(out, &style.soft(&span));
    if !diff.same_target {
        text::hanging(out, "", 0, "The two assessments are of different targets.", style);
    }
    if !diff.same_access {
        let words = "The two runs were given different access: what could not be made now may be the run's doing.";
        text::hanging(out, "", 0, words, style);
    }
    text::line(out, "");
    text::line(out, &format!("Evidence score  {}", change(&diff.total)));
    let unchanged = diff.questions.is_empty()
        && diff.newly_failed.is_empty()
        && diff.mended.is_empty()
        && diff.newly_not_assessable.is_empty()
        && diff.definitions.is_empty();
    let verdict = match (diff.worse, unchanged) {
        (true, _) => "Worse than before.",
        (false, true) => "Nothing changed.",
        (false, false) => "Not worse than before.",
    };
    text::line(out, &style.bold(verdict));
}

fn change(change: &Change) -> String {
    let word = match change.direction {
        Direction::Up => "up",
        Direction::Down => "down",
        Direction::Narrower => "more is known",
        Direction::Wider => "less is known",
        Direction::Same => "unchanged",
    };
    let old = words::points(change.old, change.old_range);
    format!("{old} → {}  {word}", words::points(change.new, change.new_range))
}

fn list(out: &mut String, title: &str, sign: &str, changes: &[CheckChange], style: Style) {
    if changes.is_empty() {
        return;
    }
    text::line(out, "");
    text::line(out, &style.bold(title));
    for change in changes {
        let was = change.old.map_or("new check", words::result);
        let (check, name) = (safe::line(&change.check, 80), safe::line(&change.title, safe::SENTENCE));
        let words = format!("question {}: {name} [{check}] (before: {was})", change.question);
        text::hanging(out, &format!(" {sign} "), 3, &words, style);
        text::hanging(out, "   ", 3, &safe::line(&change.observed, safe::SENTENCE), style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn flip(assessment: &mut Assessment, number: usize, from: CheckResult, to: CheckResult) {
        let evidence = assessment.questions[number - 1].evidence.iter_mut().find(|evidence| evidence.result == from);
        evidence.unwrap().result = to;
    }

    #[test]
    fn the_same_twice_is_no_change() {
        let diff = compare(&sample::open(), &sample::open());
        assert!(!diff.worse && diff.questions.is_empty() && diff.newly_failed.is_empty());
        assert!(render(&diff, Style::default()).contains("Nothing changed."));
    }

    #[test]
    fn definitions_that_came_went_or_changed_are_named() {
        let (old, mut new) = (sample::open(), sample::open());
        let mut other = new.definitions[0].clone();
        new.definitions[0].sha256 = "1".repeat(64);
        other.name = "send_mail".to_owned();
        new.definitions.push(other);
        let diff = compare(&old, &new);
        let seen: Vec<_> = diff.definitions.iter().map(|change| (change.name.as_str(), change.what)).collect();
        assert_eq!(seen, [("list_tickets", Drift::Changed), ("send_mail", Drift::Came)]);
        assert!(!diff.worse && render(&diff, Style::default()).contains("changed  tools list_tickets"));
        assert_eq!(compare(&new, &old).definitions[1].what, Drift::Went);
        new.definitions.clear();
        assert!(compare(&old, &new).definitions.is_empty(), "a run that saw nothing tells nothing");
    }

    #[test]
    fn a_check_that_held_and_fails_is_worse_even_at_the_same_score() {
        let (old, mut new) = (sample::open(), sample::open());
        flip(&mut new, 4, CheckResult::Pass, CheckResult::Fail);
        let diff = compare(&old, &new);
        assert_eq!(diff.newly_failed.len(), 1);
        assert_eq!(diff.newly_failed[0].old, Some(CheckResult::Pass));
        assert!(diff.worse);
    }

    #[test]
    fn a_mended_check_and_a_score_that_rose_are_not_worse() {
        let (old, mut new) = (sample::open(), sample::open());
        flip(&mut new, 3, CheckResult::Fail, CheckResult::Pass);
        new.questions[2].range = [1, 1];
        new.questions[2].score = Some(1);
        new.total_range = [6, 15];
        let diff = compare(&old, &new);
        assert_eq!((diff.mended.len(), diff.questions[0].change.direction), (1, Direction::Up));
        assert!(!diff.worse);
        assert!(render(&diff, Style::default()).contains("0 → 1  up"));
    }

    #[test]
    fn what_is_no_longer_seen_counts_where_it_lowers_a_bound() {
        let (old, mut new) = (sample::open(), sample::open());
        flip(&mut new, 1, CheckResult::Pass, CheckResult::NotAssessable);
        assert!(!compare(&old, &new).worse);
        new.questions[0].range = [0, 2];
        new.questions[0].score = None;
        let diff = compare(&old, &new);
        assert_eq!(diff.newly_not_assessable.len(), 1);
        assert_eq!(diff.questions[0].change.direction, Direction::Down);
        assert!(diff.worse);
    }

    #[test]
    fn a_new_check_that_fails_is_shown_and_not_held_against_the_server() {
        let (mut old, new) = (sample::open(), sample::open());
        old.questions[2].evidence.retain(|evidence| evidence.result != CheckResult::Fail);
        let diff = compare(&old, &new);
        assert_eq!((diff.newly_failed.len(), diff.newly_failed[0].old, diff.worse), (1, None, false));
    }

    #[test]
    fn it_survives_json_and_hostile_text() {
        let diff = compare(&sample::settled(), &sample::hostile());
        let again: Diff = serde_json::from_str(&serde_json::to_string(&diff).unwrap()).unwrap();
        assert_eq!(again, diff);
        let shown = render(&diff, Style { width: 80, ..Style::default() });
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(shown.lines().all(|line| text::lines::columns(line) <= 80), "{shown}");
    }
}
