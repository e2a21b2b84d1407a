//! `cargo xtask fuzz`: runs the targets of `fuzz/`, guided by coverage, each for a bounded time.
//!
//! It needs no nightly compiler: the coverage pass is asked for by stable options of code generation. It never
//! touches the seeds in `fuzz/corpus`; what a run finds beyond them is kept below `target/`, and an input that breaks
//! a promise below `.test/fuzz`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const PACKAGE: &str = "fuzz";
const TARGETS: &str = "fuzz/targets";
const BUILD: &str = "target/fuzz";
const CRASHES: &str = ".test/fuzz";
const SECONDS: u64 = 60;

/// What libFuzzer reads coverage from, in code that is optimised otherwise. One unit, or edges are counted twice.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                            -Cllvm-args=-sanitizer-coverage-pc-table \
                            -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// What to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// For each target.
    seconds: u64,
    /// Only these targets; all if empty.
    only: Vec<String>,
}

impl Options {
    /// Reads the words after `fuzz`; none if they make no sense.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self { seconds: SECONDS, only: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--seconds" => options.seconds = words.next()?.parse().ok().filter(|seconds| *seconds > 0)?,
                option if option.starts_with('-') => return None,
                target => options.only.push(target.to_owned()),
            }
        }
        Some(options)
    }
}

/// Builds the targets and runs each; true if none broke.
pub(crate) fn run(root: &Path, options: &Options) -> io::Result<bool> {
    let all = targets(root)?;
    if let Some(unknown) = options.only.iter().find(|name| !all.contains(name)) {
        return Err(io::Error::other(format!("there is no target `{unknown}`; there are {}", all.join(", "))));
    }
    let wanted: Vec<&String> = all.iter().filter(|t| options.only.is_empty() || options.only.contains(t)).collect();
    let programs = build(root, &wanted)?;
    let mut fine = true;
    for target in &wanted {
        let outcome = fuzz(root, &programs, target, options.seconds)?;
        println!("{target:<20} {outcome}");
        fine &= outcome.crash.is_none();
    }
    println!("fuzz: {} targets, {}", wanted.len(), if fine { "none broke" } else { "some broke" });
    Ok(fine)
}

/// The targets' names, in order.
fn targets(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(TARGETS))? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".rs")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The folder with the built programs.
#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
fn build(root: &Path, targets: &[&String]) -> io::Result<PathBuf> {
    let version = Command::new("rustc").current_dir(root).arg("-vV").output()?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| io::Error::other("`rustc -vV` names no host"))?;
    let mut cargo = Command::new("cargo");
    // With a target named, build scripts and macros are built without the options, as they must be.
    cargo.current_dir(root.join(PACKAGE)).env("RUSTFLAGS", INSTRUMENTED).env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.args(["build", "--quiet", "--release", "--target", host, "--target-dir"]).arg(root.join(BUILD));
    for target in targets {
        cargo.args(["--bin", target]);
    }
    if !cargo.status()?.success() {
        return Err(io::Error::other("the targets do not build; they need a C++ compiler (Debian: g++)"));
    }
    Ok(root.join(BUILD).join(host).join("release"))
}

/// What became of one target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    per_second: u64,
    /// Edges of the program's graph that some input took.
    edges: u64,
    /// Why it broke, and with which input.
    crash: Option<String>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.crash {
            Some(why) => write!(f, "BROKE\n{why}"),
            None => {
                write!(f, "{:>10} executions {:>8}/s {:>6} edges covered", self.executions, self.per_second, self.edges)
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
fn fuzz(root: &Path, programs: &Path, target: &str, seconds: u64) -> io::Result<Outcome> {
    let grown = root.join(BUILD).join("corpus").join(target);
    let crashes = root.join(CRASHES).join(target);
    fs::create_dir_all(&grown)?;
    fs::create_dir_all(&crashes)?;
    let program = programs.join(target);
    let mut fuzzer = Command::new(&program);
    fuzzer.current_dir(root).stdin(Stdio::null());
    fuzzer.args(["-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048"]);
    fuzzer.arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-artifact_prefix={}/", crashes.display()));
    let words = root.join(PACKAGE).join("dictionaries").join(format!("{target}.dict"));
    if words.is_file() {
        fuzzer.arg(format!("-dict={}", words.display()));
    }
    // New inputs go to the first folder; the seeds are only read.
    fuzzer.arg(&grown).arg(root.join(PACKAGE).join("corpus").join(target));
    Ok(judge(&fuzzer.output()?, &program))
}

fn judge(output: &Output, program: &Path) -> Outcome {
    let log = String::from_utf8_lossy(&output.stderr);
    let stat = |name: &str| {
        let found = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        found.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
    };
    let edges = log.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(" cov: ")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    let mut outcome = Outcome {
        executions: stat("number_of_executed_units"),
        per_second: stat("average_exec_per_sec"),
        edges: edges.unwrap_or(0),
        crash: None,
    };
    // A run in which nothing was executed or nothing is covered has shown nothing.
    let shown = outcome.executions > 0 && outcome.edges > 0;
    if !output.status.success() || !shown {
        outcome.crash = Some(crash(&log, program));
    }
    outcome
}

/// The end of the log and how to see it again.
fn crash(log: &str, program: &Path) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("stat::")).collect();
    let mut told = lines[lines.len().saturating_sub(30)..].join("\n");
    let marker = "Test unit written to ";
    if let Some(path) = log.lines().find_map(|line| Some(line.split_once(marker)?.1)) {
        told.push_str(&format!("\n    again: {} {path}", program.display()));
        told.push_str("\n    remedy: mend what it shows, and give it a test of its own");
    }
    told
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn ended(code: i32, stderr: &str) -> Outcome {
        let status = std::process::ExitStatus::from_raw(code << 8);
        judge(&Output { status, stdout: vec![], stderr: stderr.into() }, Path::new("program"))
    }

    #[test]
    fn options_are_read_strictly() {
        let options = |words: &[&str]| Options::parse(words).map(|o| (o.seconds, o.only));
        assert_eq!(options(&[]), Some((SECONDS, vec![])));
        assert_eq!(options(&["--seconds", "3", "a"]), Some((3, vec!["a".to_owned()])));
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["--second", "3"]] {
            assert_eq!(options(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_end_of_a_run_is_read() {
        let log = "#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#90\tDONE   cov: 45 ft: 60 corp: 9/90b\nDone 90 runs\n\
                   stat::number_of_executed_units: 90\nstat::average_exec_per_sec:     30\n";
        assert_eq!(ended(0, log), Outcome { executions: 90, per_second: 30, edges: 45, crash: None });
    }

    #[test]
    fn a_crash_and_a_run_that_showed_nothing_fail() {
        let log = "#9 pulse  cov: 45 ft: 60\npanicked at x\n\
                   artifact_prefix='/x/'; Test unit written to /x/crash-1\nstat::number_of_executed_units: 90\n";
        let crash = ended(77, log).crash.unwrap();
        assert!(crash.contains("panicked at x") && crash.contains("again: program /x/crash-1"), "{crash}");
        assert!(ended(0, "").crash.is_some());
        assert!(ended(0, "stat::number_of_executed_units: 90\n").crash.is_some(), "without coverage");
    }

    #[test]
    fn every_target_is_built_has_seeds_and_a_function() {
        let root = crate::root();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let targets = targets(&root).unwrap();
        assert!(targets.len() >= 6, "{targets:?}");
        for target in targets {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
            let entry = fs::read_to_string(root.join(TARGETS).join(format!("{target}.rs"))).unwrap();
            assert!(entry.contains(&format!("sallyport_fuzz::{target}(bytes)")), "{target}");
            let seeds = fs::read_dir(root.join(PACKAGE).join("corpus").join(&target)).unwrap().count();
            assert!(seeds > 2, "{target} has {seeds} seeds");
        }
    }
}
