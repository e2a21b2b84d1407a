//! Attestations: what the vendor states stands in for what no probe could see.

use crate::{
    bench::Bench,
    catalogue::QUESTIONS,
    check::Check,
    findings::{Finding, Findings},
    score,
};
use sallyport_model::assessment::{CheckResult, Source};

use super::{Entry, Sheet};

/// Puts attestations where no probe could see. Call it after every probe.
pub(crate) async fn run(bench: &Bench) {
    if let Some(sheet) = &bench.access.sheet {
        apply(sheet, &bench.findings);
    }
}

/// An answer attests when it scores 1 at least, has not expired, and names document, owner and date.
pub(super) fn apply(sheet: &Sheet, findings: &Findings) {
    for (question, entry) in &sheet.0 {
        let Some(statement) = statement(entry) else { continue };
        let checks = QUESTIONS[usize::from(*question) - 1];
        let attestable = checks.iter().filter(|check| covers(entry, check) && unseen(findings, check));
        // First what keeps the score open; what does not, only where it takes nothing away.
        let (required, optional): (Vec<&Check>, Vec<&Check>) = attestable.partition(|check| check.required);
        for check in required {
            findings.attest(check.id, statement.as_str());
        }
        for check in optional {
            if !lowers(*question, check, findings) {
                findings.attest(check.id, statement.as_str());
            }
        }
    }
}

fn statement(entry: &Entry) -> Option<String> {
    const MOST: usize = 200;
    let answer = &entry.answer;
    let (document, owner, date) = (answer.document.as_ref()?, answer.owner.as_ref()?, answer.date.as_ref()?);
    let text: String = answer.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    (answer.score > 0).then(|| format!("{owner} states in {document} on {date}: {short}{more}"))
}

fn covers(entry: &Entry, check: &Check) -> bool {
    (entry.covers.is_empty() || entry.covers.contains(&check.id)) && !entry.silent_on.contains(&check.id)
}

fn unseen(findings: &Findings, check: &Check) -> bool {
    findings.result(check.id).is_none_or(|result| result == CheckResult::NotAssessable)
}

/// Whether the question would score less with this check attested than with it unseen.
fn lowers(question: u8, check: &Check, findings: &Findings) -> bool {
    let mut all = findings.all();
    let before = score::question(question, &all).range;
    let attested =
        Finding { result: CheckResult::Pass, observed: String::new(), source: Source::Attested, exchanges: Vec::new() };
    all.insert(check.id, attested);
    let after = score::question(question, &all).range;
    after[0] < before[0] || after[1] < before[1]
}
