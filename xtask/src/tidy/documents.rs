//! Decisions name what holds them, and attacks name the test that stops them.
//!
//! `docs/adr/*.md`: a line `Held by: …` with names in backticks. A name is a test function (its
//! path may stand before it), a lint (`clippy::x`), a command (`cargo xtask tidy`) or a path.
//! `docs/attacks.md`: a table `| attack | seen in | defence | test |`; the last cell holds test
//! functions in backticks.

use std::collections::BTreeSet;

use super::{Problem, source::Source};
use crate::tree::Tree;

const ATTACKS: &str = "docs/attacks.md";
const HELD_BY: &str = "Held by:";

pub(super) fn check(tree: &Tree, sources: &[Source<'_>], problems: &mut Vec<Problem>) {
    let tests = tests(sources);
    for (path, text) in
        tree.ending(".md").filter(|(path, _)| path.starts_with("docs/adr/") && !path.ends_with("/README.md"))
    {
        check_decision(tree, &tests, path, text, problems);
    }
    match tree.files.get(ATTACKS) {
        Some(text) => check_attacks(&tests, text, problems),
        None => problems.push(Problem::new(ATTACKS, 1, "is missing", "write | attack | seen in | defence | test |")),
    }
}

fn check_decision(tree: &Tree, tests: &BTreeSet<&str>, path: &str, text: &str, problems: &mut Vec<Problem>) {
    let remedy = "add a line `Held by:` with a test, a lint or a check in backticks";
    let Some((line, held)) = (1..).zip(text.lines()).find_map(|(n, line)| Some((n, line.strip_prefix(HELD_BY)?)))
    else {
        problems.push(Problem::new(path, 1, "names no test or lint that holds it", remedy));
        return;
    };
    let names = ticked(held);
    if names.is_empty() {
        problems.push(Problem::new(path, line, "names no test or lint that holds it", remedy));
    }
    for name in names {
        let is_path = tree.files.contains_key(name) || ["clippy.toml", "deny.toml", "test"].contains(&name);
        let known = name.starts_with("clippy::") || name.starts_with("cargo ") || is_path || names_test(tests, name);
        if !known {
            let what = format!("`{name}` is no test, lint, command or path here");
            problems.push(Problem::new(path, line, what, remedy));
        }
    }
}

fn check_attacks(tests: &BTreeSet<&str>, text: &str, problems: &mut Vec<Problem>) {
    let remedy = "name a test function in backticks in the last cell; a defence without a test is a claim";
    let mut entries = 0;
    for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| row.starts_with('|')) {
        let cells: Vec<&str> = row.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let is_rule = cells.iter().all(|cell| cell.trim_matches(['-', ':', '|', ' ']).is_empty());
        if is_rule || cells.first().is_some_and(|cell| cell.eq_ignore_ascii_case("attack")) {
            continue;
        }
        entries += 1;
        if cells.len() != 4 || cells.iter().any(|cell| cell.is_empty()) {
            let what = format!("{} cells, four are needed and none may be empty", cells.len());
            problems.push(Problem::new(ATTACKS, line, what, "write | attack | seen in | defence | test |"));
            continue;
        }
        let names = ticked(cells[3]);
        if names.is_empty() {
            problems.push(Problem::new(ATTACKS, line, "the attack has no test", remedy));
        }
        for name in names.into_iter().filter(|name| !names_test(tests, name)) {
            problems.push(Problem::new(ATTACKS, line, format!("there is no test `{name}`"), remedy));
        }
    }
    if entries == 0 {
        problems.push(Problem::new(ATTACKS, 1, "has no entry", "write | attack | seen in | defence | test |"));
    }
}

/// What stands between backticks.
fn ticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|name| !name.is_empty()).collect()
}

fn names_test(tests: &BTreeSet<&str>, name: &str) -> bool {
    name.rsplit("::").next().is_some_and(|last| tests.contains(last))
}

/// Every function under an attribute that ends in `test]` or opens `test(`.
fn tests<'a>(sources: &'a [Source<'_>]) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for source in sources {
        let mut marked = false;
        for line in source.code.lines().map(str::trim) {
            if line.starts_with("#[") {
                marked |= line.ends_with("test]") || line.contains("test(");
            } else if let Some((before, rest)) = line.split_once("fn ").filter(|_| marked) {
                if matches!(before.trim(), "" | "async" | "pub" | "pub async") {
                    found.extend(super::source::identifiers(rest).next().map(|(_, name)| name));
                }
                marked = false;
            } else if !line.is_empty() {
                marked = marked && !line.ends_with(['}', ';']);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "#[test]\nfn plain() {}\n#[tokio::test]\nasync fn slow() {}\nfn no_test() {}\n#[tokio::test(start_paused = true)]\n// why\nasync fn timed() {}\n#[cfg(test)]\nmod tests;\nfn neither() {}\n";
    const GOOD: &str =
        "# x\n| attack | seen in | defence | test |\n|---|---|---|---|\n| a | b | c | `proxy::plain`, `slow` |\n";

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let all = [files, &[("crates/a/src/a.rs", CODE)]].concat();
        let tree = Tree::of(&all);
        let mut problems = Vec::new();
        check(&tree, &Source::all(&tree), &mut problems);
        problems.into_iter().map(|p| format!("{}:{} {}", p.path, p.line, p.what)).collect()
    }

    #[test]
    fn only_test_functions_count() {
        let tree = Tree::of(&[("crates/a/src/a.rs", CODE)]);
        let sources = Source::all(&tree);
        assert_eq!(tests(&sources), BTreeSet::from(["plain", "slow", "timed"]));
    }

    #[test]
    fn every_attack_names_a_test_that_exists() {
        assert_eq!(found(&[(ATTACKS, GOOD)]), [""; 0]);
        for (row, what) in [
            ("| a | b | c | |", "cells"),
            ("| a | b | c | soon |", "no test"),
            ("| a | b | c | `no_test` |", "there is no test `no_test`"),
            ("| a | b | `plain` |", "3 cells"),
        ] {
            let found = found(&[(ATTACKS, &format!("{GOOD}{row}\n"))]);
            assert!(
                found.len() == 1 && found[0].starts_with("docs/attacks.md:5") && found[0].contains(what),
                "{found:?}"
            );
        }
        assert_eq!(found(&[]), ["docs/attacks.md:1 is missing"]);
        assert_eq!(found(&[(ATTACKS, "# none\n")]), ["docs/attacks.md:1 has no entry"]);
    }

    #[test]
    fn every_decision_names_what_holds_it() {
        let one = |text: &str| found(&[(ATTACKS, GOOD), ("docs/adr/0001-x.md", text)]);
        for held in ["`model::tests::plain`", "`clippy::todo`", "`cargo xtask tidy`", "`crates/a/src/a.rs`"] {
            assert_eq!(one(&format!("# x\n\nHeld by: {held}\n")), [""; 0]);
        }
        assert_eq!(one("# x\n"), ["docs/adr/0001-x.md:1 names no test or lint that holds it"]);
        assert_eq!(one("# x\nHeld by: care\n"), ["docs/adr/0001-x.md:2 names no test or lint that holds it"]);
        assert_eq!(
            one("# x\nHeld by: `gone`\n"),
            ["docs/adr/0001-x.md:2 `gone` is no test, lint, command or path here"]
        );
    }
}
