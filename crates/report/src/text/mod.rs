//! The report for a terminal: one screen, what to do next first.
//!
//! It writes no escape sequence but colours, and those only where they are asked for; nothing is said by
//! colour alone.

mod details;
pub(crate) mod lines;

use std::fmt::Write;

use anstyle::{AnsiColor, Style as Paint};
use sallyport_model::assessment::{Assessment, Band, Question, Verdict};

use crate::{
    safe,
    words::{self, Gap},
};
use lines::{columns, fit, pad, wrap};

/// The next steps that one screen holds.
const STEPS: usize = 4;
/// The gaps that one screen holds.
const GAPS: usize = 5;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are written (ANSI).
    pub colour: bool,
    /// Columns, taken as 60 to 120.
    pub width: usize,
    /// Whether every check follows, question by question.
    pub details: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 100, details: false }
    }
}

impl Style {
    pub(crate) fn columns(self) -> usize {
        self.width.clamp(60, 120)
    }

    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("{paint}{text}{paint:#}") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(Paint::new().bold(), text)
    }

    pub(crate) fn soft(self, text: &str) -> String {
        self.paint(Paint::new().dimmed(), text)
    }
}

/// The report. It ends with a newline.
pub fn render(assessment: &Assessment, style: Style) -> String {
    let mut out = String::new();
    header(&mut out, assessment, style);
    totals(&mut out, assessment, style);
    steps(&mut out, assessment, style);
    questions(&mut out, assessment, style);
    gaps(&mut out, assessment, style);
    if style.details {
        details::write(&mut out, assessment, style);
    }
    out
}

fn header(out: &mut String, assessment: &Assessment, style: Style) {
    line(out, &style.bold(&fit(&safe::line(&assessment.target, 300), style.columns())));
    let facts = [
        words::server(assessment).unwrap_or_default(),
        safe::line(&assessment.transport, 30),
        safe::line(&assessment.protocol_versions.join(", "), 100),
    ];
    let facts: Vec<&str> = facts.iter().map(String::as_str).filter(|fact| !fact.is_empty()).collect();
    line(out, &style.soft(&fit(&facts.join(" · "), style.columns())));
    let access = match assessment.access.is_empty() {
        true => "nothing but the target".to_owned(),
        false => safe::line(&assessment.access.join(", "), 300),
    };
    let (when, long) = (words::instant(&assessment.assessed_at), words::duration(assessment.duration_ms));
    line(out, &style.soft(&fit(&format!("assessed {when} in {long}, given {access}"), style.columns())));
}

fn totals(out: &mut String, assessment: &Assessment, style: Style) {
    let rating = words::rating(assessment);
    let evidence = format!("{} / {}", rating.points, assessment.max);
    let answers = match assessment.answer_total {
        Some(total) => format!("{total} / {}", assessment.max),
        None => "no answer sheet".to_owned(),
    };
    let title = style.paint(band_paint(rating.band).bold(), &rating.title);
    let first = format!("Evidence score  {}  {title}", style.bold(&evidence));
    let second = format!("Answer score  {}", style.bold(&answers));
    let used = columns(&format!("Evidence score  {evidence}  {}  Answer score  {answers}", rating.title));
    line(out, "");
    match style.columns().checked_sub(used) {
        Some(room) => line(out, &format!("{first}{}{second}", " ".repeat(2 + room.min(8)))),
        None => [first, second].iter().for_each(|part| line(out, part)),
    }
    for part in wrap(&rating.advice, style.columns()) {
        line(out, &part);
    }
    if !words::is_known_version(assessment) {
        line(out, "This document has a newer shape than this program knows: parts of it may be missing here.");
    }
}

fn steps(out: &mut String, assessment: &Assessment, style: Style) {
    let steps = words::next_steps(assessment);
    line(out, "");
    line(out, &style.bold("Next steps"));
    for (at, step) in steps.iter().take(STEPS).enumerate() {
        let lead =
            format!("{}. Question {}, {} ({}): ", at + 1, step.number, words::short_title(step.number), step.score);
        let parts = wrap(&format!("{lead}{}", step.remedy), style.columns() - 3);
        for (row, part) in parts.iter().take(2).enumerate() {
            let more = if row == 1 && parts.len() > 2 { " …" } else { "" };
            let part = format!("{}{more}", fit(part, style.columns() - 5));
            line(out, &if row == 0 { part } else { format!("   {part}") });
        }
    }
    if steps.len() > STEPS {
        let rest: Vec<u8> = steps[STEPS..].iter().map(|step| step.number).collect();
        line(out, &style.soft(&format!("   then {}: --details", words::question_list(&rest))));
    }
    if steps.is_empty() {
        let words = match assessment.total == Some(assessment.max) {
            true => "Nothing: every question has its full score.",
            false => "Nothing is known to be missing. Close the gaps below and assess again.",
        };
        line(out, words);
    }
}

fn questions(out: &mut String, assessment: &Assessment, style: Style) {
    line(out, "");
    line(out, &style.bold("Questions                    score  points  held down by"));
    for question in &assessment.questions {
        let points = question.points.map_or_else(|| "–".to_owned(), |points| format!("{points} %"));
        let lead = format!("{:>2} {} ", question.number, words::verdict_sign(question.verdict));
        let title = pad(words::short_title(question.number), 25);
        let score = pad(&words::points(question.score, question.range), 5);
        let reason = fit(&reason(question), style.columns() - 44);
        let paint = verdict_paint(question.verdict);
        line(
            out,
            &format!("{}{title}{}  {:>5}  {reason}", style.paint(paint, &lead), style.paint(paint, &score), points),
        );
    }
}

fn reason(question: &Question) -> String {
    match question.verdict {
        Verdict::Met => String::new(),
        _ => words::reason(question),
    }
}

fn gaps(out: &mut String, assessment: &Assessment, style: Style) {
    let gaps = words::gaps(assessment);
    let count: usize = gaps.iter().map(|gap| gap.checks.len()).sum();
    line(out, "");
    if count == 0 {
        line(out, &style.bold("Every check that applies was made."));
        return;
    }
    line(out, &style.bold(&format!("Not assessable: {}", checks(count))));
    for gap in gaps.iter().take(GAPS) {
        line(out, &fit(&gap_line(gap), style.columns()));
    }
    if gaps.len() > GAPS {
        line(out, &style.soft(&format!("  and {} more: --details", gaps.len() - GAPS)));
    }
}

fn gap_line(gap: &Gap) -> String {
    let questions = words::question_list(&gap.questions);
    let closes = gap.option.map_or_else(
        || match &gap.checks[..] {
            [only] => format!("no option closes it: {}", only.why),
            _ => "no option closes them (why: --details)".to_owned(),
        },
        |option| format!("add {option}"),
    );
    format!("  {} of {questions}: {closes}", checks(gap.checks.len()))
}

fn checks(count: usize) -> String {
    if count == 1 { "1 check".to_owned() } else { format!("{count} checks") }
}

fn band_paint(band: Option<Band>) -> Paint {
    match band {
        Some(Band::Proceed) => AnsiColor::Green.on_default(),
        Some(Band::ReviewAndRemediate) => AnsiColor::Yellow.on_default(),
        Some(Band::DoNotEnable) => AnsiColor::Red.on_default(),
        None => AnsiColor::Cyan.on_default(),
    }
}

pub(crate) fn verdict_paint(verdict: Verdict) -> Paint {
    match verdict {
        Verdict::Met => AnsiColor::Green.on_default(),
        Verdict::Partial => AnsiColor::Yellow.on_default(),
        Verdict::NotMet => AnsiColor::Red.on_default(),
        Verdict::NotAssessable => AnsiColor::Cyan.on_default(),
    }
}

/// Adds one line. Writing to a `String` cannot fail.
pub(crate) fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end());
}

/// Adds `text`, wrapped and indented, its first line behind `lead`.
pub(crate) fn hanging(out: &mut String, lead: &str, indent: usize, text: &str, style: Style) {
    let parts = wrap(text, style.columns().saturating_sub(indent.max(columns(lead))));
    for (row, part) in parts.iter().enumerate() {
        let before = if row == 0 { lead.to_owned() } else { " ".repeat(indent) };
        line(out, &format!("{before}{part}"));
    }
}
