//! From outcomes to scores, by the rubric alone.
//!
//! A question scores 0 when an essential check failed or nothing that earns passed, else 1 when a needed check
//! failed, else 2. A required check that nobody could make is taken once as failed and once as passed; where the
//! two differ the score is a range. An attestation stands in for a check that could not be made, but never
//! lifts a question above 1.

use std::collections::BTreeMap;

use sallyport_model::assessment::{CheckResult, QUESTION_MAX, Source, Verdict};

use crate::{
    catalogue::{QUESTIONS, REACHES},
    check::{Check, Role},
    findings::Finding,
};

/// What one question scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// The least and the most; equal when it is settled.
    pub range: [u8; 2],
    /// Of the weights of what was decided, the part that passed, in percent.
    pub points: Option<u8>,
    /// A sentence for each reason why it is not more.
    pub held_down_by: Vec<String>,
}

impl Score {
    /// The score, when it is settled.
    pub fn settled(&self) -> Option<u8> {
        (self.range[0] == self.range[1]).then_some(self.range[0])
    }

    /// The score in a word.
    pub fn verdict(&self) -> Verdict {
        match self.settled() {
            Some(QUESTION_MAX) => Verdict::Met,
            Some(1) => Verdict::Partial,
            Some(_) => Verdict::NotMet,
            None => Verdict::NotAssessable,
        }
    }
}

/// Scores question `number` (1 to 10) of `findings`, which hold every check of the rubric that has an outcome.
pub fn question(number: u8, findings: &BTreeMap<&'static str, Finding>) -> Score {
    let checks = QUESTIONS[usize::from(number) - 1];
    let mut score = Score {
        range: [total(checks, findings, false), total(checks, findings, true)],
        points: points(checks, findings),
        held_down_by: reasons(checks, findings),
    };
    for reach in REACHES.iter().filter(|reach| reach.questions.contains(&number)) {
        if findings.get(reach.check).is_some_and(|finding| finding.result == CheckResult::Fail) {
            score.range = [0, 0];
            score.held_down_by.insert(0, reach.why.to_owned());
        }
    }
    score
}

/// `hopeful`: whether what nobody could see is taken as passed.
fn total(checks: &[Check], findings: &BTreeMap<&'static str, Finding>, hopeful: bool) -> u8 {
    let mut earned = false;
    let mut needed = true;
    for check in checks {
        let finding = findings.get(check.id);
        let attested = finding.is_some_and(|finding| finding.source == Source::Attested);
        let held = match finding.map(|finding| finding.result) {
            Some(CheckResult::Pass) => true,
            Some(CheckResult::Fail) => false,
            Some(CheckResult::NotApplicable) => continue,
            Some(CheckResult::NotAssessable) | None if check.required => hopeful,
            Some(CheckResult::NotAssessable) | None => continue,
        };
        earned |= held && check.earns;
        if !held && check.role == Role::Essential {
            return 0;
        }
        // What keeps no score open is not owed an observation either.
        let sound = held && (!attested || !check.required);
        needed &= sound || check.role == Role::Good;
    }
    match (earned, needed) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => QUESTION_MAX,
    }
}

fn points(checks: &[Check], findings: &BTreeMap<&'static str, Finding>) -> Option<u8> {
    let weight = |wanted: CheckResult| -> u32 {
        let of = |check: &&Check| {
            findings.get(check.id).is_some_and(|finding| finding.result == wanted && finding.source == Source::Observed)
        };
        checks.iter().filter(of).map(|check| u32::from(check.weight)).sum()
    };
    let (passed, failed) = (weight(CheckResult::Pass), weight(CheckResult::Fail));
    let percent = (100 * passed).checked_div(passed + failed)?;
    Some(u8::try_from(percent).unwrap_or(100))
}

fn reasons(checks: &[Check], findings: &BTreeMap<&'static str, Finding>) -> Vec<String> {
    let mut failed: Vec<&Check> = checks
        .iter()
        .filter(|check| check.role != Role::Good)
        .filter(|check| findings.get(check.id).is_some_and(|finding| finding.result == CheckResult::Fail))
        .collect();
    failed.sort_by_key(|check| check.role != Role::Essential);
    failed.iter().map(|check| format!("not so: {}", check.title)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, findings::Findings};

    fn outcome(result: CheckResult, source: Source) -> Finding {
        Finding { result, observed: String::new(), source, exchanges: Vec::new() }
    }

    fn everything(number: u8, result: CheckResult, source: Source) -> BTreeMap<&'static str, Finding> {
        let checks = catalogue::all().filter(|check| check.question == number);
        checks.map(|check| (check.id, outcome(result, source))).collect()
    }

    #[test]
    fn what_nobody_saw_is_neither_nothing_nor_full() {
        for number in 1..=10 {
            let score = question(number, &BTreeMap::new());
            assert_eq!((score.range, score.points, score.verdict()), ([0, 2], None, Verdict::NotAssessable));
        }
    }

    #[test]
    fn everything_seen_is_full_and_everything_attested_is_not() {
        for number in 1..=10 {
            let seen = question(number, &everything(number, CheckResult::Pass, Source::Observed));
            assert_eq!((seen.range, seen.points), ([2, 2], Some(100)));
            let said = question(number, &everything(number, CheckResult::Pass, Source::Attested));
            assert_eq!((said.range, said.points), ([1, 1], None));
        }
    }

    #[test]
    fn each_failure_does_what_its_role_says() {
        for check in catalogue::all() {
            let mut findings = everything(check.question, CheckResult::Pass, Source::Observed);
            findings.insert(check.id, outcome(CheckResult::Fail, Source::Observed));
            let score = question(check.question, &findings);
            let expected = match check.role {
                Role::Essential => 0,
                Role::Needed => 1,
                Role::Good => 2,
            };
            assert_eq!(score.settled(), Some(expected), "{}", check.id);
            assert!(score.points < Some(100), "{}", check.id);
        }
    }

    #[test]
    fn an_open_server_scores_nothing_where_nobody_is_known() {
        let found = Findings::default();
        found.fail("auth-required", "tools/list was answered", &[]);
        let found = found.all();
        for number in [2, 3, 4, 6, 7, 8, 9, 10] {
            assert_eq!(question(number, &found).range, [0, 0]);
        }
        assert_eq!(question(5, &found).range, [0, 2]);
    }

    #[test]
    fn a_failure_stays() {
        let found = Findings::default();
        found.fail("garbage-refused", "200", &[1]);
        found.pass("garbage-refused", "401", &[2]);
        assert_eq!(found.all()["garbage-refused"].exchanges, [1]);
    }
}
