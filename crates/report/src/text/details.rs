//! Every check, question by question.

use sallyport_model::assessment::{Answer, Assessment, CheckResult, Evidence, Question};

use super::{Style, hanging, line, lines::fit, verdict_paint};
use crate::{safe, words};

/// Adds every question with its checks, its answer and its remedy.
pub(super) fn write(out: &mut String, assessment: &Assessment, style: Style) {
    for question in &assessment.questions {
        heading(out, question, style);
        for evidence in &question.evidence {
            check(out, evidence, style);
        }
        if let Some(given) = &question.answer {
            answer(out, given, style);
        }
        let remedy = safe::line(&question.remedy, safe::SENTENCE);
        if !remedy.is_empty() {
            hanging(out, "   next: ", 9, &remedy, style);
        }
    }
}

fn heading(out: &mut String, question: &Question, style: Style) {
    let score = words::score(question.score, question.range, question.max);
    let title = safe::line(&question.title, 120);
    line(out, "");
    let head = fit(&format!("{}. {title}", question.number), style.columns() - 28);
    let verdict = style.paint(verdict_paint(question.verdict), words::verdict(question.verdict));
    line(out, &format!("{}  {score}  {verdict}", style.bold(&head)));
    for sentence in &question.held_down_by {
        hanging(out, "   held down: ", 14, &safe::line(sentence, safe::SENTENCE), style);
    }
}

fn check(out: &mut String, evidence: &Evidence, style: Style) {
    let id = safe::line(&evidence.check, 80);
    let title = safe::line(&evidence.title, safe::SENTENCE);
    let lead = format!(" {} ", words::result_sign(evidence.result));
    hanging(out, &lead, 3, &format!("{}: {title} [{id}]", words::result(evidence.result)), style);
    hanging(out, "   ", 3, &seen(evidence), style);
    if evidence.result == CheckResult::Fail {
        let severity = words::severity(evidence.severity);
        let reference = safe::line(&evidence.reference, 160);
        hanging(out, "   ", 3, &format!("severity {severity}; {reference}"), style);
        hanging(out, "   do: ", 7, &safe::line(&evidence.remedy, safe::SENTENCE), style);
    }
    if let Some(suppression) = &evidence.suppressed {
        let said = format!("{} ({}, until {})", suppression.reason, suppression.owner, suppression.until);
        hanging(out, "   accepted: ", 13, &safe::line(&said, safe::SENTENCE), style);
    }
}

fn seen(evidence: &Evidence) -> String {
    let mut seen = safe::line(&evidence.observed, safe::SENTENCE);
    if matches!(evidence.result, CheckResult::Pass | CheckResult::Fail) {
        seen = format!("{}: {seen}", words::source(evidence.source));
    }
    let numbers: Vec<String> = evidence.exchanges.iter().take(12).map(u32::to_string).collect();
    if !numbers.is_empty() {
        seen.push_str(&format!(" (exchange {})", numbers.join(", ")));
    }
    seen
}

fn answer(out: &mut String, answer: &Answer, style: Style) {
    let text = safe::line(&answer.text, safe::SENTENCE);
    hanging(out, "   answer: ", 11, &format!("{} / 2: {text}", answer.score), style);
    for complaint in &answer.complaints {
        hanging(out, "   lacks: ", 10, &safe::line(complaint, safe::SENTENCE), style);
    }
}
