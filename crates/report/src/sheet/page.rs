//! The sheet as one HTML page that loads nothing.

use maud::{Markup, html};

use super::{AnswerSheet, EvidenceState, SheetAnswer, origin, state};
use crate::{
    Brand,
    html::{banner, brand_style, fact, page},
    safe::{self, line},
    words,
};

/// The sheet as a page, under the same policy as [`crate::html::render`].
pub fn html(sheet: &AnswerSheet, brand: &Brand) -> String {
    let product = line(&sheet.product, 120);
    let body = html! {
        (banner(brand))
        main {
            h1 { (product) ": ten questions about MCP security" }
            dl class="facts" {
                (fact("Answers of", &html! { (line(&sheet.vendor, 120)) }))
                (fact("Written", &html! { (words::instant(&sheet.prepared_at)) }))
                @for endpoint in &sheet.endpoints { (fact("Endpoint", &html! { code { (line(endpoint, 300)) } })) }
                @if let Some(contact) = &sheet.contact { (fact("Contact", &html! { (line(contact, 200)) })) }
            }
            @for answer in &sheet.answers { (section(answer)) }
        }
        footer { p { "Written by " (line(&sheet.prepared_by, 80)) " from the running configuration." } }
    };
    page(&format!("{product}: ten questions about MCP security"), &brand_style(brand), &body)
}

fn section(answer: &SheetAnswer) -> Markup {
    html! {
        section class="panel question" {
            h2 { (answer.number) ". " (line(&answer.title, 120)) }
            @for paragraph in &answer.text { p { (line(paragraph, safe::BODY)) } }
            @if !answer.figures.is_empty() {
                table {
                    caption { "Figures" }
                    thead { tr { th scope="col" { "Figure" } th scope="col" { "Value" } th scope="col" { "From" } } }
                    tbody {
                        @for figure in &answer.figures {
                            tr {
                                th scope="row" { (line(&figure.name, 120)) }
                                td { strong { (line(&figure.value, 80)) } }
                                td class="soft" { (origin(&figure.origin)) }
                            }
                        }
                    }
                }
            }
            @if !answer.limits.is_empty() {
                h3 { "Not covered" }
                ul { @for limit in &answer.limits { li { (line(limit, safe::SENTENCE)) } } }
            }
            h3 { "Evidence" }
            p { span class=(chip(&answer.state)) { (word(&answer.state)) } " " (state(&answer.state)) "." }
            @if !answer.references.is_empty() {
                p class="soft" { "References: " (line(&answer.references.join("; "), safe::BODY)) }
            }
        }
    }
}

fn word(state: &EvidenceState) -> &'static str {
    match state {
        EvidenceState::Observed { .. } => "observed",
        EvidenceState::Attested { .. } => "attested",
        EvidenceState::Configured => "configured",
        EvidenceState::Missing => "missing",
    }
}

fn chip(state: &EvidenceState) -> &'static str {
    match state {
        EvidenceState::Observed { .. } => "chip good",
        EvidenceState::Attested { .. } => "chip mid",
        EvidenceState::Configured => "chip open",
        EvidenceState::Missing => "chip bad",
    }
}
