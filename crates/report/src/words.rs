//! What every output says in the same words: scores, bands, results, next steps and gaps.
//!
//! It adds up nothing: scores and totals are those of the document.

use sallyport_model::assessment::{
    Assessment, Band, CheckResult, Evidence, Question, SCHEMA_VERSION, Severity, Source, Verdict,
};
use serde::Serialize;

use crate::safe;

/// Two or three words for each of the ten questions, for narrow places.
pub const SHORT_TITLES: [&str; 10] = [
    "Authorization",
    "Identity provider",
    "Agent identity",
    "Least privilege",
    "Prompt injection",
    "Token lifetime",
    "Audit trail",
    "Audience",
    "Human confirmation",
    "Incident response",
];

/// The short title of question `number` (1 to 10).
pub fn short_title(number: u8) -> &'static str {
    usize::from(number).checked_sub(1).and_then(|at| SHORT_TITLES.get(at)).copied().unwrap_or("Other")
}

/// `2 / 2`, or `0–1 / 2` while it is open.
pub fn score(score: Option<u8>, range: [u8; 2], max: u8) -> String {
    format!("{} / {max}", points(score, range))
}

/// `2`, or `0–1` while it is open.
pub fn points(score: Option<u8>, range: [u8; 2]) -> String {
    match score {
        Some(score) => score.to_string(),
        None => format!("{}–{}", range[0], range[1]),
    }
}

/// The verdict in a word.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Partial => "partial",
        Verdict::NotMet => "not met",
        Verdict::NotAssessable => "open",
    }
}

/// A sign for the verdict, so that nothing depends on colour.
pub fn verdict_sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "●",
        Verdict::Partial => "◐",
        Verdict::NotMet => "○",
        Verdict::NotAssessable => "?",
    }
}

/// How a check ended, in words.
pub fn result(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Pass => "passed",
        CheckResult::Fail => "failed",
        CheckResult::NotAssessable => "not assessable",
        CheckResult::NotApplicable => "not applicable",
    }
}

/// A sign for a check's result.
pub fn result_sign(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Pass => "✓",
        CheckResult::Fail => "✗",
        CheckResult::NotAssessable => "?",
        CheckResult::NotApplicable => "–",
    }
}

/// Who says so.
pub fn source(source: Source) -> &'static str {
    match source {
        Source::Observed => "observed",
        Source::Attested => "attested by the vendor",
        Source::None => "nobody",
    }
}

/// A severity in a word.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// `2026-11-20T09:14:05Z` as `2026-11-20 09:14 UTC`; anything else as it is.
pub fn instant(rfc3339: &str) -> String {
    let shown = safe::line(rfc3339, 40);
    let plain = shown.as_bytes();
    let zulu = shown.is_ascii() && plain.len() >= 20 && plain[10] == b'T' && plain[plain.len() - 1] == b'Z';
    if zulu { format!("{} {} UTC", &shown[..10], &shown[11..16]) } else { shown }
}

/// Milliseconds as `840 ms`, `12.3 s` or `2 min 5 s`.
pub fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// The result as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rating {
    /// `17`, or `9–13` while the total is open.
    pub points: String,
    /// The band, or `not rated`.
    pub title: String,
    /// What to do, or why there is no rating.
    pub advice: String,
    /// The band, where there is one verdict even if no total.
    pub band: Option<Band>,
}

/// The result as a whole. A range that lies in one band is a verdict; a range over two is none.
pub fn rating(assessment: &Assessment) -> Rating {
    let points = points(assessment.total, assessment.total_range);
    let settled = assessment.total.and(assessment.band);
    if let Some(band) = settled {
        return Rating { points, title: band.title().into(), advice: band.advice().into(), band: Some(band) };
    }
    if let [band] = assessment.bands_possible[..] {
        let advice = format!("{} Required checks are missing, but no outcome of them changes this.", band.advice());
        return Rating { points, title: band.title().into(), advice, band: Some(band) };
    }
    let bands: Vec<String> = assessment.bands_possible.iter().map(|band| format!("“{}”", band.title())).collect();
    let reach = match bands.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!(" The result could be {} or {last}.", rest.join(", ")),
        _ => String::new(),
    };
    let advice = format!("Required checks did not run.{reach} Close the gaps and assess again.");
    Rating { points, title: "not rated".into(), advice, band: None }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The question it raises.
    pub number: u8,
    /// That question's score.
    pub score: String,
    /// That question's verdict.
    pub verdict: Verdict,
    /// What to do.
    pub remedy: String,
}

/// What to do, the worst question first. A question that lacks nothing but a look at it is none of them.
pub fn next_steps(assessment: &Assessment) -> Vec<Step> {
    let mut wanting: Vec<&Question> = assessment
        .questions
        .iter()
        .filter(|question| question.score != Some(question.max) && !question.remedy.trim().is_empty())
        .filter(|question| question.score.is_some() || has_failed(question))
        .collect();
    wanting.sort_by_key(|question| (question.range[1], question.range[0], question.points.unwrap_or(101)));
    let step = |question: &&Question| Step {
        number: question.number,
        score: score(question.score, question.range, question.max),
        verdict: question.verdict,
        remedy: safe::line(&question.remedy, safe::SENTENCE),
    };
    wanting.iter().map(step).collect()
}

fn has_failed(question: &Question) -> bool {
    question.evidence.iter().any(|evidence| evidence.result == CheckResult::Fail)
}

/// The one sentence that says why a question scores what it does.
pub fn reason(question: &Question) -> String {
    if let Some(sentence) = question.held_down_by.iter().find(|sentence| !sentence.trim().is_empty()) {
        return safe::line(sentence, safe::SENTENCE);
    }
    let mut unseen = question.evidence.iter().filter(|evidence| evidence.result == CheckResult::NotAssessable);
    let attested = question.evidence.iter().any(|evidence| evidence.source == Source::Attested);
    match (question.verdict, unseen.next()) {
        (Verdict::Met, _) => "nothing".to_owned(),
        (Verdict::NotAssessable, Some(first)) => {
            let why = safe::line(&first.observed, safe::SENTENCE);
            let count = 1 + unseen.count();
            if count == 1 { format!("open: {why}") } else { format!("open, {count} checks: {why}") }
        }
        _ if question.evidence.is_empty() => "no check was made".to_owned(),
        _ if attested => "attested only: a statement alone never earns 2".to_owned(),
        _ => "no reason is recorded".to_owned(),
    }
}

/// Checks that nobody could make, and what would let the assessor make them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// What to add to the command line, and for what; `None` where no option helps.
    pub option: Option<&'static str>,
    /// The questions, ascending, each once.
    pub questions: Vec<u8>,
    /// Check id, title and why it could not be made.
    pub checks: Vec<GapCheck>,
}

/// One check that nobody could make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapCheck {
    /// The question.
    pub question: u8,
    /// Stable id.
    pub check: String,
    /// What it looks at.
    pub title: String,
    /// Why it could not be made.
    pub why: String,
}

/// The option that an explanation names, and how it is shown. The first that matches wins, so that what a
/// target writes into an explanation is never shown as an option.
const OPTIONS: [(&str, &str); 10] = [
    ("--second-user", "--second-user with --second-password-env (a second person)"),
    ("--client-id", "--client-id with --client-secret-env (an agent)"),
    ("--canary", "--canary TOOL.ARGUMENT (a tool that echoes)"),
    ("--acting-tool", "--acting-tool TOOL (a tool that acts and may be tried)"),
    ("--hooks", "--hooks FILE (commands that see or do more)"),
    ("--token", "--user with --password-env, --login, or --token (a person)"),
    ("--user", "--user with --password-env, or --login (a sign-in of its own)"),
    ("--login", "--user with --password-env, or --login (a sign-in of its own)"),
    ("--answers", "--answers FILE (the vendor's answers)"),
    ("--evidence", "--evidence FILE (the vendor's statement)"),
];

/// What was not assessable, by the option that would close it; most checks first, no option last.
pub fn gaps(assessment: &Assessment) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for question in &assessment.questions {
        let unseen = question.evidence.iter().filter(|evidence| evidence.result == CheckResult::NotAssessable);
        for evidence in unseen {
            let option = closing_option(evidence);
            let at = gaps.iter().position(|gap| gap.option == option).unwrap_or_else(|| {
                gaps.push(Gap { option, questions: Vec::new(), checks: Vec::new() });
                gaps.len() - 1
            });
            let gap = &mut gaps[at];
            if !gap.questions.contains(&question.number) {
                gap.questions.push(question.number);
            }
            gap.checks.push(GapCheck {
                question: question.number,
                check: safe::line(&evidence.check, 80),
                title: safe::line(&evidence.title, safe::SENTENCE),
                why: safe::line(&evidence.observed, safe::SENTENCE),
            });
        }
    }
    gaps.sort_by_key(|gap| (gap.option.is_none(), std::cmp::Reverse(gap.checks.len())));
    gaps
}

fn closing_option(evidence: &Evidence) -> Option<&'static str> {
    OPTIONS.iter().find(|(flag, _)| evidence.observed.contains(flag)).map(|(_, shown)| *shown)
}

/// `question 3`, `questions 3 and 7`.
pub fn question_list(numbers: &[u8]) -> String {
    let words: Vec<String> = numbers.iter().map(u8::to_string).collect();
    match words.split_last() {
        None => "no question".to_owned(),
        Some((only, [])) => format!("question {only}"),
        Some((last, rest)) => format!("questions {} and {last}", rest.join(", ")),
    }
}

/// Name and version of the server, as far as it told them.
pub fn server(assessment: &Assessment) -> Option<String> {
    let about = assessment.server.as_ref()?;
    Some(safe::line(&format!("{} {}", about.name, about.version), 120)).filter(|shown| !shown.is_empty())
}

/// Whether this crate knows the document's version.
pub fn is_known_version(assessment: &Assessment) -> bool {
    assessment.schema_version == SCHEMA_VERSION
}
