//! The house's own checks: `cargo xtask tidy` holds the rules that no lint knows, `cargo xtask mutants` proves that
//! the tests notice deliberate breakages, `cargo xtask eval-assess` holds the assessor to its truth tables,
//! `cargo xtask assess-controls` proves that it notices each control of the gate that is switched off,
//! `cargo xtask bench-deprovision` measures how long access outlives its end at the identity provider, and
//! `cargo xtask fuzz` runs the parsers of strangers' bytes against what they promise.
//!
//! It is never part of the product and touches nothing outside the tree.

mod assess_controls;
mod bench_deprovision;
mod eval_assess;
mod fuzz;
mod mutants;
mod tidy;
mod tree;

use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "\
usage: cargo xtask tidy
       cargo xtask mutants [--check] [--only ID]...
       cargo xtask eval-assess [OPTION]...      options of test-lab/assess/eval.py
       cargo xtask assess-controls [--check | ID...]
       cargo xtask bench-deprovision [OPTION]...      options of test-lab/deprovision/deprovision.py
       cargo xtask fuzz [--seconds N] [TARGET]...      each for so long (60 s)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["mutants", options @ ..] => match mutants::Options::parse(options) {
            Some(options) => mutants::run(&root(), &options),
            None => return usage(),
        },
        ["fuzz", options @ ..] => match fuzz::Options::parse(options) {
            Some(options) => fuzz::run(&root(), &options),
            None => return usage(),
        },
        ["assess-controls", "--check"] => assess_controls::check(&root()),
        ["assess-controls", ids @ ..] => assess_controls::run(&root(), ids),
        ["eval-assess", arguments @ ..] => return passed_on(eval_assess::run(&root(), arguments)),
        ["bench-deprovision", arguments @ ..] => return passed_on(bench_deprovision::run(&root(), arguments)),
        _ => return usage(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(3)
        }
    }
}

/// The exit status of a script that ran.
fn passed_on(outcome: std::io::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: python3: {error}; install Python 3.11 or later");
        ExitCode::from(3)
    })
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(2)
}

/// The workspace's root: the parent of this crate's folder.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
