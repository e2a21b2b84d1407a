//! The first screen of the page: totals, ten rows, what to do, what is not known.

use maud::{Markup, html};
use sallyport_model::assessment::{Assessment, Band, Question, Verdict};

use super::fact;
use crate::{safe, words};

pub(super) fn scorecard(assessment: &Assessment) -> Markup {
    let rating = words::rating(assessment);
    html! {
        section class="panel" id="scorecard" {
            h2 { "Scorecard" }
            div class="totals" {
                div {
                    p class="label" { "Evidence score" }
                    p class="figure" { (rating.points) span class="of" { " / " (assessment.max) } }
                    p { strong class=(band_class(rating.band)) { (rating.title) } }
                }
                div {
                    p class="label" { "Answer score" }
                    @match assessment.answer_total {
                        Some(total) => p class="figure second" { (total) span class="of" { " / " (assessment.max) } },
                        None => p class="figure second" { "–" },
                    }
                    p class="soft" {
                        @if assessment.answer_total.is_some() { "the vendor's own statements" } @else { "no answer sheet" }
                    }
                }
            }
            (scale(assessment))
            p { (rating.advice) }
            table class="score" {
                caption { "The ten questions" }
                thead { tr { th scope="col" { "Question" } th scope="col" class="num" { "Score" } th scope="col" class="num wide" { "Points" } } }
                tbody { @for question in &assessment.questions { (row(question)) } }
            }
        }
    }
}

fn row(question: &Question) -> Markup {
    let points = question.points.map_or_else(|| "–".to_owned(), |points| format!("{points} %"));
    html! {
        tr {
            th scope="row" {
                span class="q" { (question.number) ". " (safe::line(&question.title, 120)) }
                @if question.verdict != Verdict::Met { span class="why" { (words::reason(question)) } }
            }
            td class="num" {
                span class=(verdict_class(question.verdict)) {
                    span aria-hidden="true" { (words::verdict_sign(question.verdict)) " " }
                    (words::score(question.score, question.range, question.max))
                    span class="word" { (words::verdict(question.verdict)) }
                }
            }
            td class="num wide" { (points) }
        }
    }
}

/// A bar of 20 points with the three bands and the range on it.
fn scale(assessment: &Assessment) -> Markup {
    let [least, most] = assessment.total_range.map(|points| u32::from(points.min(assessment.max)));
    let (left, width) = (least * 10, ((most.max(least) - least) * 10).max(4));
    let left = left.min(200 - width);
    let label = match assessment.total {
        Some(total) => format!("{total} of {} points; the bands begin at 0, 10 and 16.", assessment.max),
        None => format!("Between {least} and {most} of {} points; the bands begin at 0, 10 and 16.", assessment.max),
    };
    html! {
        svg class="scale" viewBox="0 0 200 14" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect class="zone bad" x="0" y="5" width="99" height="4" rx="1" {}
            rect class="zone mid" x="100" y="5" width="59" height="4" rx="1" {}
            rect class="zone good" x="160" y="5" width="40" height="4" rx="1" {}
            rect class="mark" x=(left) y="2" width=(width) height="10" rx="2" {}
        }
        p class="ticks" aria-hidden="true" { span { "0" } span { "10" } span { "16" } span { (assessment.max) } }
    }
}

pub(super) fn next_steps(assessment: &Assessment) -> Markup {
    let steps = words::next_steps(assessment);
    html! {
        section class="panel" id="next" {
            h2 { "Next steps" }
            @if steps.is_empty() {
                p {
                    @if assessment.total == Some(assessment.max) { "None: every question has its full score." }
                    @else { "Nothing is known to be missing. Close the gaps below and assess again." }
                }
            } @else {
                ol {
                    @for step in &steps {
                        li {
                            a href=(format!("#question-{}", step.number)) {
                                "Question " (step.number) ", " (words::short_title(step.number)) " (" (step.score) ")"
                            }
                            ": " (step.remedy)
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn gaps(assessment: &Assessment) -> Markup {
    let gaps = words::gaps(assessment);
    html! {
        section class="panel" id="gaps" {
            h2 { "Not assessable" }
            @if gaps.is_empty() {
                p { "Every check that applies was made." }
            } @else {
                p { "These checks could not be made. Each entry names what to give the assessor so that it can." }
                dl class="gaps" {
                    @for gap in &gaps {
                        (fact(gap.option.unwrap_or("No option closes these"), &html! {
                            ul {
                                @for check in &gap.checks {
                                    li {
                                        a href=(format!("#question-{}", check.question)) { "Question " (check.question) }
                                        ": " (check.title) " "
                                        span class="soft" { "(" code { (check.check) } "): " (check.why) }
                                    }
                                }
                            }
                        }))
                    }
                }
            }
        }
    }
}

fn band_class(band: Option<Band>) -> &'static str {
    match band {
        Some(Band::Proceed) => "chip good",
        Some(Band::ReviewAndRemediate) => "chip mid",
        Some(Band::DoNotEnable) => "chip bad",
        None => "chip open",
    }
}

pub(super) fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "chip good",
        Verdict::Partial => "chip mid",
        Verdict::NotMet => "chip bad",
        Verdict::NotAssessable => "chip open",
    }
}
