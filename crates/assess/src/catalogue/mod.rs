//! The rubric: every check, and which failures reach beyond their question.
//!
//! `docs/assess/rubric.md` is written from here; a test holds them together.

mod q1;
mod q10;
mod q2;
mod q3;
mod q4;
mod q5;
mod q6;
mod q7;
mod q8;
mod q9;
pub mod rubric;

use crate::check::Check;

/// The checks of each question, from the first.
pub const QUESTIONS: [&[Check]; 10] = [
    q1::CHECKS,
    q2::CHECKS,
    q3::CHECKS,
    q4::CHECKS,
    q5::CHECKS,
    q6::CHECKS,
    q7::CHECKS,
    q8::CHECKS,
    q9::CHECKS,
    q10::CHECKS,
];

/// A failure that settles other questions too.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The check that failed.
    pub check: &'static str,
    /// The questions that score 0 with it.
    pub questions: &'static [u8],
    /// Why, as a sentence without a full stop.
    pub why: &'static str,
}

/// Who asks nobody for a name cannot end a person's access, tell agents apart, limit, revoke, attribute or ask.
/// What a tool says does not depend on it, so question 5 stands by itself.
pub const REACHES: &[Reach] = &[Reach {
    check: "auth-required",
    questions: &[2, 3, 4, 6, 7, 8, 9, 10],
    why: "the server serves callers whom it does not know, so nobody's access can be governed, attributed or ended",
}];

/// All checks.
pub fn all() -> impl Iterator<Item = &'static Check> {
    QUESTIONS.into_iter().flatten()
}

/// The check of that id.
pub fn find(id: &str) -> Option<&'static Check> {
    all().find(|check| check.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_weights_add_up_to_something() {
        let mut seen = HashSet::new();
        for (checks, number) in QUESTIONS.into_iter().zip(1..) {
            assert!(checks.iter().all(|check| check.question == number && seen.insert(check.id) && check.weight > 0));
            assert!(checks.iter().any(|check| check.earns && check.required), "{number} can be earned");
        }
        assert!(REACHES.iter().all(|reach| find(reach.check).is_some()));
    }
}
