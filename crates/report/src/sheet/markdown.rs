//! The sheet as Markdown (CommonMark with tables).

use std::fmt::Write;

use super::{AnswerSheet, SheetAnswer, origin, state};
use crate::{
    safe::{self, line},
    words,
};

/// The sheet as Markdown. Text of the sheet is text: no markup of it has an effect.
pub fn markdown(sheet: &AnswerSheet) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "# {}: ten questions about MCP security\n", text(&sheet.product, 120));
    let _ =
        writeln!(out, "Answers of {}, {}.", text(&sheet.vendor, 120), text(&words::instant(&sheet.prepared_at), 40));
    for endpoint in &sheet.endpoints {
        let _ = writeln!(out, "- Endpoint: {}", code(endpoint));
    }
    if let Some(contact) = &sheet.contact {
        let _ = writeln!(out, "- Contact: {}", text(contact, 200));
    }
    for answer in &sheet.answers {
        section(&mut out, answer);
    }
    let _ = writeln!(out, "\n---\n\nWritten by {} from the running configuration.", text(&sheet.prepared_by, 80));
    out
}

fn section(out: &mut String, answer: &SheetAnswer) {
    let _ = writeln!(out, "\n## {}. {}\n", answer.number, text(&answer.title, 120));
    for paragraph in &answer.text {
        let _ = writeln!(out, "{}\n", text(paragraph, safe::BODY));
    }
    if !answer.figures.is_empty() {
        let _ = writeln!(out, "| Figure | Value | From |\n|---|---|---|");
        for figure in &answer.figures {
            let (name, value) = (text(&figure.name, 120), text(&figure.value, 80));
            let _ = writeln!(out, "| {name} | {value} | {} |", text(&origin(&figure.origin), 400));
        }
        let _ = writeln!(out);
    }
    let _ = writeln!(out, "**Evidence:** {}.", text(&state(&answer.state), safe::SENTENCE));
    if !answer.limits.is_empty() {
        let _ = writeln!(out, "\nNot covered:\n");
        for limit in &answer.limits {
            let _ = writeln!(out, "- {}", text(limit, safe::SENTENCE));
        }
    }
    if !answer.references.is_empty() {
        let list: Vec<String> = answer.references.iter().map(|reference| text(reference, 200)).collect();
        let _ = writeln!(out, "\nReferences: {}.", list.join("; "));
    }
}

/// A URL in a code span; anything that holds other characters as text.
fn code(raw: &str) -> String {
    let shown = line(raw, 300);
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_~?=%[]".contains(c);
    if shown.chars().all(plain) { format!("`{shown}`") } else { text(raw, 300) }
}

/// One line in which every character that Markdown or HTML could act on is escaped.
fn text(raw: &str, limit: usize) -> String {
    let shown = line(raw, limit);
    let mut escaped = String::with_capacity(shown.len());
    for (at, c) in shown.char_indices() {
        // At the beginning of a line only: lists and headings. Elsewhere they are punctuation.
        let starts = at == 0 && matches!(c, '-' | '+' | '=');
        let numbered = matches!(c, '.' | ')') && at > 0 && shown[..at].bytes().all(|b| b.is_ascii_digit());
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '~' | '!' | '$' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            ':' if shown[at..].starts_with("://") => escaped.push_str("&#58;"),
            _ if starts || numbered => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}
