//! The report as one HTML page that loads nothing and runs nothing.
//!
//! Its policy forbids every script and every resource but its own style, by hash, and pictures within the page.
//! Text of a target is text: never markup, never an address that can be followed.

mod exchange;
mod question;
mod scorecard;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sallyport_model::assessment::Assessment;

use crate::{Brand, Party, safe, words};

const CSS: &str = include_str!("../../assets/report.css");

/// The page.
pub fn render(assessment: &Assessment, brand: &Brand) -> String {
    let title = format!("MCP security assessment of {}", subject(assessment));
    let body = html! {
        a class="skip" href="#scorecard" { "To the scorecard" }
        (banner(brand))
        main {
            h1 { "MCP security assessment" }
            (about(assessment))
            (scorecard::scorecard(assessment))
            (scorecard::next_steps(assessment))
            (scorecard::gaps(assessment))
            @for asked in &assessment.questions {
                (question::section(asked, assessment))
            }
            (exchange::section(assessment))
            (method(assessment))
        }
        footer { p { "Made by " (safe::line(&assessment.assessor, 80)) ", " (words::instant(&assessment.assessed_at)) "." } }
    };
    page(&title, &brand_style(brand), &body)
}

/// A page of this crate: its policy, its style, `title` and `body`.
pub(crate) fn page(title: &str, brand_style: &str, body: &Markup) -> String {
    let style = format!("{brand_style}{CSS}");
    let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'");
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Ours alone: numbers, and colours that were parsed.
                style { (PreEscaped(style)) }
            }
            body { (body) }
        }
    };
    markup.into_string()
}

/// The parties' colours as properties.
pub(crate) fn brand_style(brand: &Brand) -> String {
    let vendor = brand.vendor.colour;
    let second = brand.customer.as_ref().map_or(vendor, |party| party.colour);
    format!(":root{{--brand:{vendor};--on-brand:{};--second:{second}}}\n", vendor.text_on())
}

/// The parties' names and pictures.
pub(crate) fn banner(brand: &Brand) -> Markup {
    html! {
        header class="banner" {
            div class="inner" {
                (party(&brand.vendor, None))
                @if let Some(customer) = &brand.customer { (party(customer, Some("Prepared for"))) }
            }
        }
    }
}

fn party(party: &Party, lead: Option<&str>) -> Markup {
    html! {
        div class="party" {
            // The name stands beside it, so the picture says nothing of its own.
            @if let Some(logo) = &party.logo { img src=(logo.data_uri()) alt="" width="40" height="40"; }
            div {
                @if let Some(lead) = lead { span class="lead" { (lead) } }
                span class="name" { (party.shown_name()) }
            }
        }
    }
}

fn about(assessment: &Assessment) -> Markup {
    let access = match assessment.access.is_empty() {
        true => "nothing but the target".to_owned(),
        false => safe::line(&assessment.access.join(", "), 300),
    };
    let versions: Vec<String> = assessment.protocol_versions.iter().take(12).map(|one| safe::line(one, 40)).collect();
    html! {
        dl class="facts" {
            (fact("Target", &html! { code { (safe::line(&assessment.target, 300)) } }))
            @if let Some(server) = words::server(assessment) { (fact("Server says it is", &html! { (server) })) }
            (fact("Transport", &html! { (safe::line(&assessment.transport, 40)) }))
            @if !versions.is_empty() {
                (fact("Protocol versions", &html! {
                    @for (at, one) in versions.iter().enumerate() {
                        @if at > 0 { ", " }
                        span class="whole" { (one) }
                    }
                }))
            }
            (fact("Assessed", &html! {
                (words::instant(&assessment.assessed_at)) ", in " (words::duration(assessment.duration_ms))
            }))
            (fact("Given to the assessor", &html! { (access) }))
        }
    }
}

pub(crate) fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn method(assessment: &Assessment) -> Markup {
    html! {
        section class="panel" id="method" {
            h2 { "How to read this" }
            ul {
                li { "Each of ten questions scores 0, 1 or 2. A failed critical check takes its question to 0; a failed check "
                     "of high severity keeps it from 2." }
                li { "The evidence score counts what the assessor saw. A statement of the vendor alone never earns 2. The "
                     "answer score counts how specific the vendor's own answers are, and decides nothing." }
                li { "A check that could not be made counts neither as held nor as missing: the score is a range until it is "
                     "made, and there is no rating while the range reaches into another band." }
                li { "16 to " (assessment.max) ": proceed. 10 to 15: technical review and commitments first. Below 10: do not "
                     "enable." }
                li { "Points are the weight of the checks that passed, in percent of the weight of all that were decided." }
            }
            @if !words::is_known_version(assessment) {
                p { "The document behind this page has a newer shape than this program knows. Parts may be missing here." }
            }
        }
    }
}

fn subject(assessment: &Assessment) -> String {
    words::server(assessment).unwrap_or_else(|| safe::line(&assessment.target, 120))
}
