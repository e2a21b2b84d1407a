//! Sizes: no file past 600 lines, no function past 100, tests apart; and how they are spread.

use std::fmt::Write;

use super::{Problem, source::Source};

const FILE: usize = 600;
const FUNCTION: usize = 100;

pub(super) fn check(sources: &[Source<'_>], problems: &mut Vec<Problem>) {
    let remedy = "split where the type changes";
    for source in sources.iter().filter(|source| !source.is_test) {
        if source.lines() > FILE {
            let what = format!("{} lines without tests, at most {FILE}", source.lines());
            problems.push(Problem::new(source.path, FILE + 1, what, remedy));
        }
        for function in source.functions.iter().filter(|function| function.lines > FUNCTION) {
            let what = format!("`{}` has {} lines, at most {FUNCTION}", function.name, function.lines);
            problems.push(Problem::new(source.path, function.line, what, remedy));
        }
        if let Some(line) = source.code_after_tests() {
            problems.push(Problem::new(source.path, line, "code after the tests", "move the test module to the foot"));
        }
    }
}

/// Two lines to watch from one change to the next; the aims are those of the house rules.
pub(super) fn distribution(sources: &[Source<'_>]) -> String {
    let ours = || sources.iter().filter(|source| !source.is_test);
    let files = ours().map(|source| (source.lines(), source.path.to_owned())).collect();
    let of = |source: &Source<'_>| -> Vec<(usize, String)> {
        source.functions.iter().map(|f| (f.lines, format!("{}:{} {}", source.path, f.line, f.name))).collect()
    };
    let functions = ours().flat_map(of).collect();
    let mut out = String::new();
    for (noun, sizes, aim) in [("files", files, "150 / 400 / 600"), ("functions", functions, "10 / 40 / 100")] {
        spread(&mut out, noun, sizes, aim);
    }
    out
}

fn spread(out: &mut String, noun: &str, mut sizes: Vec<(usize, String)>, aim: &str) {
    sizes.sort();
    let at = |share: usize| sizes.get((sizes.len() * share / 100).min(sizes.len().saturating_sub(1)));
    if let (Some((median, _)), Some((p90, _)), Some((most, place))) = (at(50), at(90), sizes.last()) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{noun}: {} of ours, lines median {median}, p90 {p90}, most {most} ({place}); aim {aim}",
            sizes.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        check(&[Source::new(path, text)], &mut problems);
        problems.into_iter().map(|p| format!("{} {}", p.line, p.what)).collect()
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "const X: u8 = 0;\n".repeat(601);
        assert_eq!(found("crates/a/src/a.rs", &long), ["601 601 lines without tests, at most 600"]);
        assert!(found("crates/a/src/tests.rs", &long).is_empty());
        let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert!(found("crates/a/src/a.rs", &tested).is_empty());
    }

    #[test]
    fn a_long_function_is_found() {
        let body = "    x();\n".repeat(99);
        assert_eq!(
            found("crates/a/src/a.rs", &format!("\nfn f() {{\n{body}}}\n")),
            ["2 `f` has 101 lines, at most 100"]
        );
        let body = "    x();\n".repeat(98);
        assert!(found("crates/a/src/a.rs", &format!("fn f() {{\n{body}}}\n")).is_empty());
    }

    #[test]
    fn tests_stand_at_the_foot() {
        let text = "#[cfg(test)]\nmod tests {}\n\nfn late() {}\n";
        assert_eq!(found("crates/a/src/a.rs", text), ["4 code after the tests"]);
    }

    #[test]
    fn the_spread_names_the_largest() {
        let sources = [Source::new("a.rs", "fn f() {\n}\n"), Source::new("b.rs", "fn g() {}\n")];
        let text = distribution(&sources);
        assert!(text.contains("files: 2 of ours") && text.contains("most 2 (a.rs:1 f)"), "{text}");
    }
}
