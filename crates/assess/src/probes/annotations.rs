//! Whether tools say what they do to the world, and whether that is plausible.
//!
//! Hints are claims: nothing is called to try them.

use sallyport_inspect::annotations::{plausible, stated};
use sallyport_mcp::{catalogue::Definition, methods::ListKind};

use super::{definitions::read_in, discovery::shown};
use crate::bench::{Bench, Target};

const STATED: &str = "annotations-stated";
const PLAUSIBLE: &str = "annotations-plausible";

/// Runs the probes of this file, after `definitions`.
pub(crate) async fn run(bench: &Bench) {
    if matches!(bench.target, Target::Answers(_)) {
        return;
    }
    let Some(catalogue) = bench.seen.catalogue.get() else {
        bench.findings.unseen(STATED, "the tools could not be listed", &[]);
        return bench.findings.unseen(PLAUSIBLE, "the tools could not be listed", &[]);
    };
    let tools: Vec<&Definition> = catalogue.iter().filter(|definition| definition.kind == ListKind::Tools).collect();
    if tools.is_empty() {
        bench.findings.not_applicable(STATED, "there are no tools");
        return bench.findings.not_applicable(PLAUSIBLE, "there are no tools");
    }
    let read = read_in(bench, "definitions-clean");
    let (held, observed) = all_stated(&tools);
    bench.findings.decide(STATED, held, observed, &read);
    let (held, observed) = all_plausible(&tools);
    bench.findings.decide(PLAUSIBLE, held, observed, &read);
}

/// `readOnlyHint` on every tool, and `destructiveHint` on every one that does not only read.
fn all_stated(tools: &[&Definition]) -> (bool, String) {
    let silent: Vec<String> = tools
        .iter()
        .filter(|tool| {
            let hints = stated(tool);
            match hints.read_only {
                Some(true) => false,
                Some(false) => hints.destructive.is_none(),
                None => true,
            }
        })
        .map(|tool| shown(&tool.key))
        .collect();
    match silent.first() {
        None => (true, format!("all of {} tools do", tools.len())),
        Some(first) => (false, format!("{} of {} tools do not, {first} for one", silent.len(), tools.len())),
    }
}

/// No tool that acts by its name or description claims that it does not.
fn all_plausible(tools: &[&Definition]) -> (bool, String) {
    let wrong: Vec<String> = tools
        .iter()
        .filter_map(|tool| plausible(tool).err().map(|finding| format!("{}: {}", shown(&tool.key), finding.why)))
        .collect();
    match wrong.first() {
        None => (true, format!("nothing in {} tools speaks against their hints", tools.len())),
        Some(first) => (false, format!("{first} ({} in all)", wrong.len())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tool(name: &str, annotations: Value) -> Definition {
        let raw = json!({"name": name, "inputSchema": {"type": "object"}, "annotations": annotations});
        Definition::read(ListKind::Tools, raw).unwrap()
    }

    #[test]
    fn what_reads_needs_one_hint_and_what_acts_two() {
        for (annotations, held) in [
            (json!({"readOnlyHint": true}), true),
            (json!({"readOnlyHint": false, "destructiveHint": true}), true),
            (json!({"readOnlyHint": false, "destructiveHint": false}), true),
            (json!({"readOnlyHint": false}), false),
            (json!({"destructiveHint": true}), false),
            (json!({"readOnlyHint": "true"}), false),
            (json!({}), false),
        ] {
            assert_eq!(all_stated(&[&tool("x", annotations.clone())]).0, held, "{annotations}");
        }
        let (good, silent) = (tool("a", json!({"readOnlyHint": true})), tool("b", json!(null)));
        assert_eq!(all_stated(&[&good, &silent]), (false, "1 of 2 tools do not, b for one".to_owned()));
    }

    #[test]
    fn a_tool_that_deletes_and_only_reads_is_a_lie() {
        let lie = tool("delete_user", json!({"readOnlyHint": true}));
        assert!(!all_plausible(&[&lie]).0);
        assert!(all_plausible(&[&tool("delete_user", json!({"readOnlyHint": false, "destructiveHint": true}))]).0);
        assert!(all_plausible(&[&tool("list_users", json!({"readOnlyHint": true}))]).0);
    }
}
