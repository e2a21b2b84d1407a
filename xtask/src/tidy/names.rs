//! Names that say nothing, and module files that do not say what they are.

use super::{Problem, source::Source};

/// Words that no file, module or type has in its name.
const EMPTY: [&str; 5] = ["manager", "helper", "helpers", "util", "utils"];

/// Means the client to half of the field and the server to the other half.
const AMBIGUOUS: &str = "downstream";

pub(super) fn check(sources: &[Source<'_>], problems: &mut Vec<Problem>) {
    for source in sources {
        // A test file beside `x.rs` is about `x`; there is no more to say.
        if !source.is_test {
            check_head(source, problems);
        }
        let stem = source.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        let folders = source.path.split('/').rev().skip(1);
        for name in std::iter::once(stem).chain(folders) {
            report(source, 1, "a file or folder", name, problems);
        }
        let words: Vec<(usize, &str)> = source.identifiers().collect();
        for pair in words.windows(2) {
            let [(before, keyword), (at, name)] = *pair else { continue };
            // `type="button" data-x` in a page is no definition.
            let adjacent = source.code[before + keyword.len()..at].trim().is_empty();
            if adjacent && ["struct", "enum", "trait", "type", "union", "mod"].contains(&keyword) {
                report(source, source.line(at), "a type or module", name, problems);
            }
        }
        for (at, word) in words {
            if split(word).any(|part| part == AMBIGUOUS) {
                let remedy = "say `client` or `upstream`";
                problems.push(Problem::new(source.path, source.line(at), format!("`{word}`: {AMBIGUOUS}"), remedy));
            }
        }
    }
}

fn report(source: &Source<'_>, line: usize, what: &str, name: &str, problems: &mut Vec<Problem>) {
    // `data` says as little, but only when it is the whole name.
    if name == "data" || name == "Data" || split(name).any(|part| EMPTY.contains(&part.as_str())) {
        let remedy = "name it after what it holds or does, in the specification's word";
        problems.push(Problem::new(source.path, line, format!("{what} is called `{name}`"), remedy));
    }
}

fn check_head(source: &Source<'_>, problems: &mut Vec<Problem>) {
    let head: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
    let words = head.iter().map(|line| line.trim_start_matches("//!").trim()).find(|line| !line.is_empty());
    if words.is_none_or(|words| words.starts_with("TODO")) {
        let remedy = "begin with `//!`: what it is, what it never does";
        problems.push(Problem::new(source.path, 1, "the file does not say what it is", remedy));
    }
}

/// The lower-case words of a snake_case or CamelCase name.
fn split(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' || c == '-' || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.into_iter()
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
    fn empty_names_are_found_in_files_modules_and_types() {
        for path in ["crates/a/src/utils.rs", "crates/a/src/token_helper.rs", "crates/a/src/manager/x.rs"] {
            assert_eq!(found(path, "//! x\n").len(), 1, "{path}");
        }
        for text in ["struct TokenManager;", "enum Utils {}", "mod helpers {}", "trait Helper {}", "type Data = u8;"] {
            let found = found("crates/a/src/a.rs", &format!("//! x\n{text}\n"));
            assert!(found.len() == 1 && found[0].starts_with("2 a type or module"), "{text}: {found:?}");
        }
        let fine = "//! x\nuse rmcp::LocalSessionManager;\nstruct Utility;\nstruct Metadata;\nfn data() {}\nbutton type=\"x\" data-x\n";
        assert!(found("crates/a/src/a.rs", fine).is_empty());
    }

    #[test]
    fn the_ambiguous_word_is_found_inside_an_identifier() {
        for text in ["fn to_downstream() {}", "let DownstreamUrl = 1;", "x.downstream"] {
            assert_eq!(found("crates/a/src/a.rs", &format!("//! x\n{text}\n")).len(), 1, "{text}");
        }
        assert!(found("crates/a/src/a.rs", "//! x\n// downstream in a comment\n").is_empty());
    }

    #[test]
    fn a_file_says_what_it_is() {
        for text in ["", "fn f() {}\n", "//! TODO\n", "//!\n", "// x\n"] {
            assert_eq!(found("crates/a/src/a.rs", text), ["1 the file does not say what it is"], "{text:?}");
        }
        assert!(found("crates/a/src/a.rs", "//! Tokens.\n").is_empty());
        assert!(found("crates/a/src/a_tests.rs", "").is_empty());
    }
}
