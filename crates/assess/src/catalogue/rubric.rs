//! The rubric as a page, `docs/assess/rubric.md`.

use std::fmt::Write as _;

use sallyport_model::assessment::TITLES;

use super::{QUESTIONS, REACHES};
use crate::check::{Check, Role};

const HOW: &str = "\
A question scores 0, 1 or 2 by what was **observed**.

- **0** when an *essential* check failed, or when nothing passed that shows that the control exists (marked ●).
- **1** when a *needed* check failed, or rests on the vendor's word alone.
- **2** otherwise.

A *good* check costs points, not the score. *Points* are the weight of what passed in a hundred of the weight of \
what was decided; they tell two servers of the same score apart.

A check that nobody could make is neither 0 nor 2. Where it is required (marked ◆), the question is taken once as \
if it had failed and once as if it had passed; if the two differ, the score is a range, the total is a range, and \
no band is given. What it needs says how to close the range. A check that means nothing for a target (TLS on \
loopback) is left out.

The vendor's statement stands in for a check that could not be made, and lifts its question to 1 at most. Beside \
the *evidence score* stands the *answer score*: what the vendor's own answers earn by being clear and specific. \
Admission goes by the evidence score.

| total | band | what to do |
|---|---|---|
| 16 to 20 | strong security posture | go on with procurement as usual |
| 10 to 15 | meaningful gaps | a technical security review, and a commitment to close the gaps, before approval |
| below 10 | do not enable | not in production until the gaps are closed; escalate to the CISO |
";

/// The page.
pub fn page() -> String {
    let mut out = format!("# How an assessment scores\n\n`sallyport assess --rubric` prints this page.\n\n{HOW}\n");
    for reach in REACHES {
        let questions: Vec<String> = reach.questions.iter().map(u8::to_string).collect();
        let _ = writeln!(
            out,
            "`{}` reaches further: {}. Questions {} then score 0.",
            reach.check,
            reach.why,
            questions.join(", ")
        );
    }
    for ((number, title), checks) in (1..).zip(TITLES).zip(QUESTIONS) {
        let _ = write!(
            out,
            "\n## {number}. {title}\n\n| check | what is held | a failure | weight | needs | reference |\n|---|---|---|---|---|---|\n"
        );
        checks.iter().for_each(|check| row(&mut out, check));
    }
    out
}

fn row(out: &mut String, check: &Check) {
    let role = match check.role {
        Role::Essential => "essential: 0",
        Role::Needed => "needed: at most 1",
        Role::Good => "good: points",
    };
    let marks = [(check.earns, " ●"), (check.required, " ◆")];
    let marks: String = marks.iter().filter(|(there, _)| *there).map(|(_, mark)| *mark).collect();
    let (id, title, weight, needs, reference) = (check.id, check.title, check.weight, check.needs, check.reference);
    let _ = writeln!(out, "| `{id}`{marks} | {title} | {role} | {weight} | {needs} | {reference} |");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_the_documentation_is_this_one() {
        let written = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/assess/rubric.md");
        assert_eq!(
            std::fs::read_to_string(written).unwrap(),
            super::page(),
            "write it anew: sallyport assess --rubric"
        );
    }
}
