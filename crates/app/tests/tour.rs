//! `sallyport demo --tour --json`, the built binary, from outside.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::process::{Command, Output};

use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "the test runs the binary that is tested")]
fn tour(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sallyport"));
    command.args(["demo", "--tour", "--listen", "127.0.0.1:0"]).args(arguments);
    // A master key of the surroundings would be taken for the demo's.
    command.env_remove("SALLYPORT_MASTER_KEY").output().unwrap()
}

fn failed(question: &Value) -> Vec<&Value> {
    let evidence = question["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty(), "{question}");
    evidence.iter().filter(|check| check["passed"] != true).collect()
}

#[test]
fn the_ten_questions_are_answered_by_what_this_run_saw() {
    let output = tour(&["--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "some questions are open; {said}");
    let questions: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = questions.iter().map(|question| question["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>(), "{said}");
    for at in [1, 3, 4, 6, 7, 8] {
        let question = &questions[at - 1];
        assert!(failed(question).is_empty(), "question {at}: {:#?}", failed(question));
    }
    for question in &questions {
        let whole = failed(question).is_empty() && question["missing"].as_array().unwrap().is_empty();
        assert_eq!(question["verdict"] == "held", whole, "{question}");
    }
    assert_eq!(questions[0]["verdict"], "held");
}

#[test]
fn people_read_it_without_colour_where_there_is_no_terminal() {
    let data = tempfile::tempdir().unwrap();
    let output = tour(&["--data", data.path().to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!text.contains('\u{1b}'), "no escape sequence off a terminal");
    let headings = text.lines().filter(|line| line.get(..2).is_some_and(|n| n.trim().parse::<u8>().is_ok()));
    assert_eq!(headings.count(), 10, "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("Held "), "{text}");
    assert!(!data.path().join("tour-copy").exists(), "what the tour needed for itself is gone");
}
