//! `cargo xtask tidy`: the rules of the house that a compiler does not know.
//!
//! Every rule is a function from the tree to problems, and has a test that sees it fail.

mod documents;
mod imports;
mod names;
mod places;
mod sizes;
mod source;

use std::{fmt, io, path::Path};

use crate::tree::Tree;
use source::Source;

/// One broken rule: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    remedy: {}", self.path, self.line, self.what, self.remedy)
    }
}

/// Checks the tree at `root`; true if it keeps every rule. Sizes go to standard output.
pub(crate) fn run(root: &Path) -> io::Result<bool> {
    let tree = Tree::read(root)?;
    let sources = Source::all(&tree);
    print!("{}", sizes::distribution(&sources));
    let problems = check(&tree, &sources);
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => println!("tidy: {} files keep every rule", tree.files.len()),
        n => eprintln!("tidy: {n} problem(s)"),
    }
    Ok(problems.is_empty())
}

fn check(tree: &Tree, sources: &[Source<'_>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    imports::check(tree, &mut problems);
    places::check(tree, sources, &mut problems);
    sizes::check(sources, &mut problems);
    names::check(sources, &mut problems);
    documents::check(tree, sources, &mut problems);
    problems.sort();
    problems
}
