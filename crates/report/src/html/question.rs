//! One question: why it scores what it does, the vendor's answer, and every check.

use maud::{Markup, html};
use sallyport_model::assessment::{Answer, Assessment, CheckResult, Evidence, Question};

use super::{exchange, fact, scorecard::verdict_class};
use crate::{safe, words};

pub(super) fn section(question: &Question, assessment: &Assessment) -> Markup {
    let remedy = safe::line(&question.remedy, safe::SENTENCE);
    html! {
        section class="panel question" id=(format!("question-{}", question.number)) {
            div class="head" {
                h2 { (question.number) ". " (safe::line(&question.title, 120)) }
                span class=(verdict_class(question.verdict)) {
                    span aria-hidden="true" { (words::verdict_sign(question.verdict)) " " }
                    (words::score(question.score, question.range, question.max)) ", " (words::verdict(question.verdict))
                }
            }
            @if !question.held_down_by.is_empty() {
                h3 { "Held down by" }
                ul { @for sentence in &question.held_down_by { li { (safe::line(sentence, safe::SENTENCE)) } } }
            }
            @if !remedy.is_empty() { h3 { "What to do" } p { (remedy) } }
            @if let Some(given) = &question.answer { (answer(given)) }
            h3 { "Evidence" }
            @if question.evidence.is_empty() { p { "No check of this question was made." } }
            @else { ul class="checks" { @for evidence in &question.evidence { (check(evidence, assessment)) } } }
        }
    }
}

fn check(evidence: &Evidence, assessment: &Assessment) -> Markup {
    let numbers = exchange::known(evidence, assessment);
    let decided = matches!(evidence.result, CheckResult::Pass | CheckResult::Fail);
    html! {
        li class=(result_class(evidence.result)) {
            p class="title" {
                span class="sign" aria-hidden="true" { (words::result_sign(evidence.result)) }
                strong { (words::result(evidence.result)) } ": " (safe::line(&evidence.title, safe::SENTENCE))
            }
            p { (safe::line(&evidence.observed, safe::SENTENCE)) }
            @if evidence.result == CheckResult::Fail {
                p { strong { "Do: " } (safe::line(&evidence.remedy, safe::SENTENCE)) }
            }
            @if let Some(suppression) = &evidence.suppressed {
                p class="accepted" {
                    strong { "Accepted, still counted: " } (safe::line(&suppression.reason, safe::SENTENCE)) " ("
                    (safe::line(&suppression.owner, 120)) ", until " (safe::line(&suppression.until, 20)) ")"
                }
            }
            p class="soft" {
                code { (safe::line(&evidence.check, 80)) }
                @if decided { " · " (words::source(evidence.source)) }
                " · severity " (words::severity(evidence.severity)) " · " (safe::line(&evidence.reference, 200))
                @for (at, number) in numbers.iter().enumerate() {
                    @if at == 0 { " · exchange " } @else { ", " }
                    a href=(format!("#exchange-{number}")) { (number) }
                }
            }
        }
    }
}

fn answer(answer: &Answer) -> Markup {
    let optional = |name: &str, value: &Option<String>| {
        let shown = value.as_ref().map(|value| safe::line(value, 300)).filter(|value| !value.is_empty());
        html! { @if let Some(shown) = shown { (fact(name, &html! { (shown) })) } }
    };
    html! {
        h3 { "The vendor's answer (" (answer.score) " / 2)" }
        blockquote { p { (safe::line(&answer.text, safe::BODY)) } }
        dl class="facts small" {
            (optional("Document", &answer.document))
            (optional("Owner", &answer.owner))
            (optional("Date", &answer.date))
            (optional("Holds until", &answer.expires))
        }
        @if !answer.complaints.is_empty() {
            p { "Missing in it: " (safe::line(&answer.complaints.join("; "), safe::SENTENCE)) "." }
        }
    }
}

fn result_class(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Pass => "good",
        CheckResult::Fail => "bad",
        CheckResult::NotAssessable => "open",
        CheckResult::NotApplicable => "off",
    }
}
