//! SARIF 2.1.0 (OASIS), for code scanning.
//!
//! A rule for each check; a result for each check that failed (`fail`), that nobody could make (`open`) or that
//! has no meaning here (`notApplicable`). What passed gives no result. A failure that somebody lives with stays
//! a result and carries a suppression. The document holds no body of a message.

use aws_lc_rs::digest::{SHA256, digest};
use sallyport_model::assessment::{Assessment, CheckResult, Evidence, Exchange, Question, Severity};
use serde_json::{Map, Value, json};

use crate::{safe, words};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The log: one run.
pub fn render(assessment: &Assessment) -> Value {
    let checks: Vec<(&Question, &Evidence)> = assessment
        .questions
        .iter()
        .flat_map(|question| question.evidence.iter().map(move |evidence| (question, evidence)))
        .collect();
    let mut ids: Vec<String> = Vec::new();
    let mut rules = Vec::new();
    let mut results = Vec::new();
    for (question, evidence) in checks {
        let id = rule_id(evidence);
        let index = ids.iter().position(|known| *known == id).unwrap_or_else(|| {
            rules.push(rule(question, evidence, &id));
            ids.push(id.clone());
            ids.len() - 1
        });
        results.extend(result(assessment, question, evidence, &id, index));
    }
    let (name, version) = assessor(assessment);
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": name, "version": version, "rules": rules}},
            "automationDetails": {"id": format!("{name}/{}/", artifact(assessment))},
            "invocations": [invocation(assessment)],
            "artifacts": [{
                "location": {"uri": artifact(assessment)},
                "description": {"text": format!("the MCP server at {}", target(assessment))},
            }],
            "logicalLocations": [logical_location(assessment)],
            "results": results,
            "columnKind": "unicodeCodePoints",
            "properties": totals(assessment),
        }],
    })
}

fn assessor(assessment: &Assessment) -> (String, String) {
    let shown = safe::line(&assessment.assessor, 80);
    let (name, version) = shown.split_once(' ').unwrap_or((shown.as_str(), "0"));
    (if name.is_empty() { "sallyport" } else { name }.to_owned(), version.to_owned())
}

fn invocation(assessment: &Assessment) -> Value {
    let mut invocation = json!({"executionSuccessful": true});
    // `startTimeUtc` must be a UTC date and time (3.8.9): anything else is left out.
    let began = &assessment.assessed_at;
    let digits =
        |at: std::ops::Range<usize>| began.get(at).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    if began.len() == 20 && began.ends_with('Z') && digits(0..4) && digits(5..7) && digits(8..10) && digits(11..13) {
        invocation["startTimeUtc"] = json!(began);
    }
    invocation
}

fn totals(assessment: &Assessment) -> Value {
    json!({
        "target": target(assessment),
        "total": assessment.total,
        "totalRange": assessment.total_range,
        "answerTotal": assessment.answer_total,
        "max": assessment.max,
        "band": assessment.band,
    })
}

fn rule(question: &Question, evidence: &Evidence, id: &str) -> Value {
    let title = sentence(&evidence.title);
    let remedy = sentence(&evidence.remedy);
    let reference = sentence(&evidence.reference);
    let help = format!("{remedy} Reference: {reference}.");
    json!({
        "id": id,
        "name": rule_name(id),
        "shortDescription": {"text": title},
        "fullDescription": {"text": format!("Question {}, {}: {title}.", question.number, sentence(&question.title))},
        "help": {"text": help},
        "defaultConfiguration": {"level": level(evidence.severity)},
        "properties": {
            "tags": ["security", "mcp", format!("question-{}", question.number)],
            "precision": "high",
            "security-severity": security_severity(evidence.severity),
        },
    })
}

fn result(assessment: &Assessment, question: &Question, evidence: &Evidence, id: &str, index: usize) -> Option<Value> {
    let (kind, level) = match evidence.result {
        CheckResult::Pass => return None,
        CheckResult::Fail => ("fail", level(evidence.severity)),
        // 3.27.10: a result of another kind has the level "none".
        CheckResult::NotAssessable => ("open", "none"),
        CheckResult::NotApplicable => ("notApplicable", "none"),
    };
    let observed = sentence(&evidence.observed);
    let text = match evidence.result {
        CheckResult::Fail => {
            format!("Not so: {}. Seen: {observed}. Do: {}", sentence(&evidence.title), sentence(&evidence.remedy))
        }
        _ => format!("{} ({}): {observed}", sentence(&evidence.title), words::result(evidence.result)),
    };
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": artifact(assessment), "index": 0},
                "region": {"startLine": 1},
            },
            "logicalLocations": [logical_reference(assessment)],
        }],
        "partialFingerprints": {"checkAtTarget/v1": fingerprint(id, &assessment.target)},
        "properties": properties(assessment, question, evidence),
    });
    if let Some(suppression) = &evidence.suppressed {
        let said = format!("{} ({}, until {})", suppression.reason, suppression.owner, suppression.until);
        result["suppressions"] = json!([{"kind": "external", "status": "accepted", "justification": sentence(&said)}]);
    }
    Some(result)
}

fn properties(assessment: &Assessment, question: &Question, evidence: &Evidence) -> Value {
    let mut properties = Map::new();
    properties.insert("question".into(), json!(question.number));
    properties.insert("severity".into(), json!(words::severity(evidence.severity)));
    let asked: Vec<Value> = evidence
        .exchanges
        .iter()
        .filter_map(|number| assessment.exchanges.iter().find(|exchange| exchange.number == *number))
        .map(asked)
        .collect();
    if !asked.is_empty() {
        properties.insert("exchanges".into(), Value::Array(asked));
    }
    Value::Object(properties)
}

fn asked(exchange: &Exchange) -> Value {
    json!({
        "request": sentence(&exchange.request),
        "status": exchange.status,
        "replay": safe::block(&exchange.replay, safe::BODY),
    })
}

fn logical_location(assessment: &Assessment) -> Value {
    json!({"name": short_target(assessment), "fullyQualifiedName": target(assessment), "kind": "resource"})
}

fn logical_reference(assessment: &Assessment) -> Value {
    let mut location = logical_location(assessment);
    location["index"] = json!(0);
    location
}

fn target(assessment: &Assessment) -> String {
    safe::line(&assessment.target, 300)
}

fn short_target(assessment: &Assessment) -> String {
    words::server(assessment).unwrap_or_else(|| target(assessment))
}

/// A relative reference that stands for the target: code scanning refuses a file in which a result has no
/// physical location, and one whose location is a URL of another scheme than the checkout's.
fn artifact(assessment: &Assessment) -> String {
    let target = &assessment.target;
    let bare = target.split_once("://").map_or(target.as_str(), |(_, rest)| rest);
    let path: String = bare
        .chars()
        .take(120)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
        .collect();
    format!("mcp-servers/{}", path.trim_matches(|c| c == '_' || c == '.'))
}

fn fingerprint(id: &str, target: &str) -> String {
    let hash = digest(&SHA256, format!("{id}\n{target}").as_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn rule_id(evidence: &Evidence) -> String {
    safe::line(&evidence.check, 80)
}

/// An identifier in Pascal case (3.49.7).
fn rule_name(id: &str) -> String {
    let parts = id.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// The middle of the range that code scanning gives the same name to.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    }
}

fn sentence(text: &str) -> String {
    safe::line(text, safe::SENTENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn run(log: &Value) -> &Value {
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
        assert_eq!(log["runs"].as_array().unwrap().len(), 1);
        &log["runs"][0]
    }

    #[test]
    fn required_members_levels_and_indexes_are_right() {
        for assessment in [sample::open(), sample::settled(), sample::hostile()] {
            let log = render(&assessment);
            let run = run(&log);
            let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
            assert!(!run["tool"]["driver"]["name"].as_str().unwrap().is_empty());
            let mut ids: Vec<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), rules.len(), "rule ids are unique (3.49.3)");
            let results = run["results"].as_array().unwrap();
            assert!(!results.is_empty());
            for result in results {
                let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
                assert_eq!(rules[index]["id"], result["ruleId"]);
                assert!(!result["message"]["text"].as_str().unwrap().is_empty());
                let kind = result["kind"].as_str().unwrap();
                assert!(["fail", "open", "notApplicable"].contains(&kind));
                let level = result["level"].as_str().unwrap();
                assert_eq!(kind != "fail", level == "none", "{kind} {level}");
                assert!(["none", "note", "warning", "error"].contains(&level));
                let location = &result["locations"][0];
                let uri = location["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
                assert!(!uri.contains(':') && uri.bytes().all(|b| b.is_ascii_graphic()), "{uri}");
                assert_eq!(run["artifacts"][0]["location"]["uri"], uri);
                assert_eq!(
                    location["logicalLocations"][0]["fullyQualifiedName"],
                    run["logicalLocations"][0]["fullyQualifiedName"]
                );
            }
        }
    }

    #[test]
    fn each_failure_is_one_result_and_what_passed_is_none() {
        let assessment = sample::open();
        let log = render(&assessment);
        let count = |wanted: CheckResult| {
            assessment.questions.iter().flat_map(|q| &q.evidence).filter(|e| e.result == wanted).count()
        };
        let of = |kind: &str| run(&log)["results"].as_array().unwrap().iter().filter(|r| r["kind"] == kind).count();
        assert_eq!(of("fail"), count(CheckResult::Fail));
        assert_eq!(of("open"), count(CheckResult::NotAssessable));
        assert_eq!(of("notApplicable"), count(CheckResult::NotApplicable));
        assert_eq!(of("pass"), 0);
    }

    #[test]
    fn a_suppressed_failure_stays_and_says_who_until_when() {
        let log = render(&sample::open());
        let results = run(&log)["results"].as_array().unwrap();
        let kept: Vec<&Value> = results.iter().filter(|result| result.get("suppressions").is_some()).collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0]["suppressions"][0]["kind"], "external");
        let why = kept[0]["suppressions"][0]["justification"].as_str().unwrap();
        assert!(why.contains("Dana Reyes") && why.contains("2027-03-31"), "{why}");
        assert_eq!(kept[0]["kind"], "fail");
    }

    #[test]
    fn no_string_holds_a_control_character() {
        fn walk(value: &Value) {
            match value {
                Value::String(text) => {
                    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
                    assert!(text.chars().count() <= 5_000);
                }
                Value::Array(items) => items.iter().for_each(walk),
                Value::Object(members) => members.values().for_each(walk),
                _ => {}
            }
        }
        walk(&render(&sample::hostile()));
    }

    #[test]
    fn fingerprints_tell_targets_apart() {
        assert_ne!(fingerprint("a", "https://x"), fingerprint("a", "https://y"));
        assert_eq!(rule_name("q1.pkce-s256"), "Q1PkceS256");
    }
}
