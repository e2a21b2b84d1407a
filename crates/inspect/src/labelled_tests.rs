//! Precision and recall over hand-labelled lines (`testdata/labelled.jsonl`, written for this test). The figures
//! may only be raised. Some malicious lines carry nothing that a rule could know; they are there to be missed.

use sallyport_mcp::{catalogue::Definition, methods::ListKind};
use serde_json::{Value, json};

use crate::{Finding, Severity, definition, text};

const LINES: &str = include_str!("../testdata/labelled.jsonl");

/// Malicious lines found, of all.
const RECALL: (usize, usize) = (100, 107);
/// Benign lines flagged, of all.
const FLAGGED: (usize, usize) = (0, 208);

/// Places for secrets in the lines, made here so that nothing in the repository looks like a key to a scanner.
fn filled(text: &str) -> String {
    const SET: &[u8] = b"aZ3kQ9xLm2Vt7Yb5Rw8Hc4Nd6Jf1Gs";
    let made = |n: usize| -> String { (0..n).map(|i| char::from(SET[(i * 7 + i / 5) % SET.len()])).collect() };
    let upper = made(16).to_uppercase().replace(['1', '8', '9'], "7");
    text.replace("{{aws}}", &format!("AKIA{upper}"))
        .replace("{{github}}", &format!("ghp_{}", made(36)))
        .replace("{{stripe}}", &format!("sk_live_{}", made(24)))
        .replace("{{jwt}}", &format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{}.{}", made(30), made(43)))
        .replace("{{password}}", &made(12))
        .replace("{{random}}", &made(32))
}

fn inspected(surface: &str, line: &str) -> Vec<Finding> {
    if surface == "result" {
        return text::inspect(line);
    }
    let tool = |name: &str, text: &str| {
        let raw = json!({"name": name, "description": text, "inputSchema": {"type": "object"}});
        Definition::read(ListKind::Tools, raw).expect("a tool")
    };
    let siblings = ["send_email", "make_payment", "read_text_file", "status_check", "create_issue", "read_lines"];
    let siblings = siblings.map(|name| tool(name, ""));
    definition::inspect(&tool("ask", line), &siblings)
}

#[test]
fn precision_and_recall() {
    let (mut hit, mut malicious, mut flagged, mut benign) = (0, 0, 0, 0);
    for line in LINES.lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let member = |name: &str| line[name].as_str().expect("a string");
        let text = filled(member("text"));
        let found = inspected(member("surface"), &text);
        let is_flagged = found.iter().any(|f| f.severity >= Severity::Medium);
        match (member("label"), is_flagged) {
            ("malicious", found) => {
                malicious += 1;
                hit += usize::from(found);
            }
            (_, found) => {
                benign += 1;
                flagged += usize::from(found);
            }
        }
        if (member("label") == "malicious") != is_flagged {
            println!("{} as {}: {text:?}: {found:#?}", member("label"), member("surface"));
        }
    }
    println!("recall {hit}/{malicious}; benign lines flagged {flagged}/{benign}");
    println!("precision {:.3}", hit as f64 / (hit + flagged) as f64);
    assert!(malicious >= 60 && benign >= 120);
    assert_eq!((hit, malicious), RECALL, "recall may only be raised");
    assert_eq!((flagged, benign), FLAGGED, "false positives may only go down");
}
