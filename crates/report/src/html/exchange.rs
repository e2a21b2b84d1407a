//! What was sent and what came back, folded, with the command that does it again.

use maud::{Markup, html};
use sallyport_model::assessment::{Assessment, Evidence, Exchange};

use crate::{safe, words};

/// The most exchanges on a page.
const LIMIT: usize = 400;

/// The numbers of a check's exchanges that the page shows.
pub(super) fn known(evidence: &Evidence, assessment: &Assessment) -> Vec<u32> {
    let shown = |number: &&u32| assessment.exchanges.iter().take(LIMIT).any(|exchange| exchange.number == **number);
    evidence.exchanges.iter().filter(shown).copied().collect()
}

pub(super) fn section(assessment: &Assessment) -> Markup {
    let left = assessment.exchanges.len().saturating_sub(LIMIT);
    html! {
        @if !assessment.exchanges.is_empty() {
            section class="panel" id="exchanges" {
                h2 { "Exchanges" }
                p { "What was sent and what came back, with credentials cut and bodies shortened. The last line of each does it "
                    "again by hand." }
                @for exchange in assessment.exchanges.iter().take(LIMIT) { (one(exchange)) }
                @if left > 0 { p { (left) " more are in the JSON document." } }
            }
        }
    }
}

fn one(exchange: &Exchange) -> Markup {
    let status = exchange.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    html! {
        details {
            summary {
                span class="number" { (exchange.number) } " "
                code { (safe::line(&exchange.request, 300)) } " "
                span class="soft" { "→ " (status) ", " (words::duration(exchange.elapsed_ms)) }
            }
            // The anchor stands inside, so that following it unfolds the exchange.
            div id=(format!("exchange-{}", exchange.number)) {
                p class="soft" { "For " code { (safe::line(&exchange.check, 80)) } }
                (message("Request", &exchange.request_headers, &exchange.request_body))
                (message("Response", &exchange.response_headers, &exchange.response_body))
                h3 { "Again by hand" }
                pre tabindex="0" { code { (safe::block(&exchange.replay, safe::BODY)) } }
            }
        }
    }
}

fn message(name: &str, headers: &[(String, String)], body: &str) -> Markup {
    let lines: Vec<String> = headers
        .iter()
        .take(60)
        .map(|(name, value)| format!("{}: {}", safe::line(name, 80), safe::line(value, safe::SENTENCE)))
        .collect();
    let body = safe::block(body, safe::BODY);
    html! {
        @if !lines.is_empty() || !body.is_empty() {
            h3 { (name) }
            pre tabindex="0" { code { (lines.join("\n")) @if !lines.is_empty() && !body.is_empty() { "\n\n" } (body) } }
        }
    }
}
