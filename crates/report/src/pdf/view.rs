//! What the PDF shows, in the order in which it shows it.

use sallyport_model::assessment::{Answer, Assessment, CheckResult, Evidence, Exchange, Question, TITLES, Verdict};
use serde_json::{Value, json};

use crate::{Brand, Party, safe, words};

/// The most exchanges in the appendix.
const EXCHANGES: usize = 150;
/// The most characters of a body in the appendix.
const BODY: usize = 1_200;

/// The document as JSON: every string is fit to be shown.
pub(super) fn view(assessment: &Assessment, brand: &Brand) -> Value {
    let rating = words::rating(assessment);
    let subject = words::server(assessment).unwrap_or_else(|| line(&assessment.target, 60));
    let access = match assessment.access.is_empty() {
        true => "nothing but the target".to_owned(),
        false => line(&assessment.access.join(", "), 72),
    };
    json!({
        "title": format!("MCP security assessment of {}", safe::cut(&subject, 48)),
        "vendor": party(&brand.vendor),
        "customer": brand.customer.as_ref().map(party),
        "target": line(&assessment.target, 120),
        "server": words::server(assessment).map(|server| safe::cut(&server, 48)),
        "transport": line(&assessment.transport, 24),
        "versions": line(&assessment.protocol_versions.join(", "), 72),
        "assessed": words::instant(&assessment.assessed_at),
        "duration": words::duration(assessment.duration_ms),
        "assessor": line(&assessment.assessor, 80),
        "access": access,
        "rating": rating,
        "tone": tone(rating.band.map(|band| band as u8)),
        "range": assessment.total_range,
        "settled": assessment.total.is_some(),
        "max": assessment.max,
        "answers": assessment.answer_total,
        "steps": words::next_steps(assessment).iter().map(|step| json!({
            "number": step.number, "title": words::short_title(step.number), "score": step.score, "remedy": step.remedy,
        })).collect::<Vec<_>>(),
        "gaps": words::gaps(assessment),
        "questions": assessment.questions.iter().map(question).collect::<Vec<_>>(),
        "exchanges": assessment.exchanges.iter().take(EXCHANGES).map(exchange).collect::<Vec<_>>(),
        "left": assessment.exchanges.len().saturating_sub(EXCHANGES),
        "known": words::is_known_version(assessment),
    })
}

fn party(party: &Party) -> Value {
    json!({
        "name": party.shown_name(),
        "colour": party.colour.to_string(),
        "on": party.colour.text_on().to_string(),
    })
}

/// A band as the name of a pair of colours, worst first.
fn tone(band: Option<u8>) -> &'static str {
    match band {
        Some(0) => "bad",
        Some(1) => "mid",
        Some(_) => "good",
        None => "open",
    }
}

fn question(question: &Question) -> Value {
    json!({
        "number": question.number,
        "title": line(&question.title, 120),
        "short": canonical_title(question),
        "score": words::score(question.score, question.range, question.max),
        "word": words::verdict(question.verdict),
        "tone": match question.verdict {
            Verdict::Met => "good",
            Verdict::Partial => "mid",
            Verdict::NotMet => "bad",
            Verdict::NotAssessable => "open",
        },
        "points": question.points.map_or_else(|| "–".to_owned(), |points| format!("{points} %")),
        "reason": if question.verdict == Verdict::Met { String::new() } else { safe::cut(&words::reason(question), 95) },
        "held": question.held_down_by.iter().map(|sentence| line(sentence, safe::SENTENCE)).collect::<Vec<_>>(),
        "remedy": line(&question.remedy, safe::SENTENCE),
        "answer": question.answer.as_ref().map(answer),
        "checks": question.evidence.iter().map(check).collect::<Vec<_>>(),
    })
}

/// The rubric's own title: page one has room for ten short lines and no more.
fn canonical_title(question: &Question) -> String {
    let at = usize::from(question.number).checked_sub(1);
    at.and_then(|at| TITLES.get(at)).map_or_else(|| line(&question.title, 60), |&title| title.to_owned())
}

fn answer(answer: &Answer) -> Value {
    let named = [("", &answer.document), ("", &answer.owner), ("", &answer.date), ("until ", &answer.expires)];
    let facts: Vec<String> = named
        .iter()
        .filter_map(|(lead, value)| value.as_ref().map(|value| format!("{lead}{}", line(value, 300))))
        .collect();
    json!({
        "score": answer.score,
        "text": line(&answer.text, safe::BODY),
        "facts": facts.join(" · "),
        "complaints": line(&answer.complaints.join("; "), safe::SENTENCE),
    })
}

fn check(evidence: &Evidence) -> Value {
    let decided = matches!(evidence.result, CheckResult::Pass | CheckResult::Fail);
    let mut facts = vec![line(&evidence.check, 80)];
    if decided {
        facts.push(words::source(evidence.source).to_owned());
    }
    facts.push(format!("severity {}", words::severity(evidence.severity)));
    facts.push(line(&evidence.reference, 200));
    if !evidence.exchanges.is_empty() {
        let numbers: Vec<String> = evidence.exchanges.iter().take(12).map(u32::to_string).collect();
        facts.push(format!("exchange {}", numbers.join(", ")));
    }
    let accepted = evidence.suppressed.as_ref().map(|suppression| {
        line(&format!("{} ({}, until {})", suppression.reason, suppression.owner, suppression.until), safe::SENTENCE)
    });
    json!({
        "result": words::result(evidence.result),
        "sign": words::result_sign(evidence.result),
        "tone": match evidence.result {
            CheckResult::Pass => "good",
            CheckResult::Fail => "bad",
            CheckResult::NotAssessable => "open",
            CheckResult::NotApplicable => "off",
        },
        "title": line(&evidence.title, safe::SENTENCE),
        "observed": line(&evidence.observed, safe::SENTENCE),
        "remedy": (evidence.result == CheckResult::Fail).then(|| line(&evidence.remedy, safe::SENTENCE)),
        "accepted": accepted,
        "facts": facts.join(" · "),
    })
}

fn exchange(exchange: &Exchange) -> Value {
    json!({
        "number": exchange.number,
        "check": line(&exchange.check, 80),
        "request": line(&exchange.request, 300),
        "status": exchange.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
        "elapsed": words::duration(exchange.elapsed_ms),
        "sent": message(&exchange.request_headers, &exchange.request_body),
        "got": message(&exchange.response_headers, &exchange.response_body),
        "replay": safe::block(&exchange.replay, BODY),
    })
}

fn message(headers: &[(String, String)], body: &str) -> String {
    let mut lines: Vec<String> =
        headers.iter().take(30).map(|(name, value)| format!("{}: {}", line(name, 80), line(value, 300))).collect();
    let body = safe::block(body, BODY);
    if !body.is_empty() {
        lines.push(body);
    }
    lines.join("\n")
}

fn line(text: &str, limit: usize) -> String {
    safe::line(text, limit)
}
