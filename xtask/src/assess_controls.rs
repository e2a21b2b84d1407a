//! `cargo xtask assess-controls`: switches off one control of the gate at a time, in a copy of the tree, and demands
//! that the assessor's score of the demo falls in the right question and stays as it was in every other.
//!
//! It never edits the tree itself, and never runs a control that it could not switch off or build: such an entry of
//! `test-lab/assess/controls.toml` is an error.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread::{self, JoinHandle},
};

use serde::Deserialize;

use crate::mutants::{self, Edit, Workbench};

const TABLE: &str = "test-lab/assess/controls.toml";
const QUESTIONS: std::ops::RangeInclusive<u8> = 1..=10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    control: Vec<Control>,
}

/// A control, and what the assessor says without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    id: String,
    /// What is switched off, in words.
    without: String,
    /// An entry of `xtask/mutants.toml` that switches it off.
    mutant: Option<String>,
    /// Or the edits that do.
    #[serde(default)]
    edit: Vec<Edit>,
    /// The question that must lose.
    question: u8,
    /// The checks that must fail.
    checks: Vec<String>,
    /// Other questions that cannot but lose too, and why.
    also: Option<Also>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Also {
    questions: Vec<u8>,
    why: String,
}

impl Control {
    /// What has to be changed.
    fn edits(&self, mutants: &BTreeMap<String, Edit>) -> Result<Vec<Edit>, String> {
        match &self.mutant {
            Some(_) if !self.edit.is_empty() => Err("has both `mutant` and `edit`".to_owned()),
            Some(id) => match mutants.get(id) {
                Some(edit) => Ok(vec![edit.clone()]),
                None => Err(format!("there is no mutant `{id}`")),
            },
            None if self.edit.is_empty() => Err("has neither `mutant` nor `edit`".to_owned()),
            None => Ok(self.edit.clone()),
        }
    }

    fn fits(&self) -> Result<(), String> {
        let also = self.also.as_ref().map_or(&[][..], |also| &also.questions);
        let named = |number: &u8| QUESTIONS.contains(number);
        if !named(&self.question) || !also.iter().all(named) || also.contains(&self.question) {
            return Err("`question` and `also` are different questions, 1 to 10".to_owned());
        }
        if self.checks.is_empty() {
            return Err("`checks` is empty".to_owned());
        }
        if self.also.as_ref().is_some_and(|also| also.questions.is_empty() || also.why.trim().is_empty()) {
            return Err("`also` needs questions and a reason".to_owned());
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<Control>, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut ids = BTreeSet::new();
    for control in &table.control {
        control.fits().map_err(|why| format!("{}: {why}", control.id))?;
        if !ids.insert(&control.id) {
            return Err(format!("two entries are called `{}`", control.id));
        }
    }
    Ok(table.control)
}

/// Files as they would be with a control switched off.
type Changed = BTreeMap<String, String>;

/// The files below `folder` that `edits` change, read and changed.
fn changed(folder: &Path, edits: &[Edit]) -> Result<Changed, String> {
    let mut files = Changed::new();
    for edit in edits {
        let text = match files.remove(&edit.file) {
            Some(text) => text,
            None => fs::read_to_string(folder.join(&edit.file)).map_err(|error| format!("{}: {error}", edit.file))?,
        };
        let text = edit.apply(&text).map_err(|why| format!("{}: {why}", edit.file))?;
        files.insert(edit.file.clone(), text);
    }
    Ok(files)
}

/// The table with the edits of each, when every one still applies.
fn applicable(root: &Path) -> io::Result<Vec<(Control, Vec<Edit>)>> {
    let controls = fs::read_to_string(root.join(TABLE))?;
    let controls = parse(&controls).map_err(|error| io::Error::other(format!("{TABLE}: {error}")))?;
    let mutants = mutants::edits(root)?;
    let mut all = Vec::new();
    let mut stale = Vec::new();
    for control in controls {
        match control.edits(&mutants).and_then(|edits| changed(root, &edits).map(|_| edits)) {
            Ok(edits) => all.push((control, edits)),
            Err(why) => stale.push(format!("{TABLE}: {}: {why}", control.id)),
        }
    }
    if stale.is_empty() {
        return Ok(all);
    }
    Err(io::Error::other(format!("{}\n    remedy: bring the entries up to date", stale.join("\n"))))
}

/// Only looks whether each control can still be switched off.
pub(crate) fn check(root: &Path) -> io::Result<bool> {
    println!("assess-controls: {} entries, each applies", applicable(root)?.len());
    Ok(true)
}

/// Runs the entries of these ids, or all; true if the assessor saw each in its question only.
pub(crate) fn run(root: &Path, ids: &[&str]) -> io::Result<bool> {
    let mut controls = applicable(root)?;
    if let Some(id) = ids.iter().find(|id| !controls.iter().any(|(control, _)| control.id == **id)) {
        return Err(io::Error::other(format!("{TABLE} has no entry `{id}`")));
    }
    controls.retain(|(control, _)| ids.is_empty() || ids.contains(&control.id.as_str()));
    let bench = Workbench::fill(root)?;
    let whole = build(&bench, "whole")?.map_err(io::Error::other)?;
    let sound = assess(&bench.folder, &whole)?.map_err(io::Error::other)?;
    println!("{:<28} {}", "with every control on", sound.line());
    let mut seen = 0;
    let mut waiting = None;
    for (control, edits) in &controls {
        let built = switched_off(&bench, &control.id, edits)?;
        // An assessment mostly waits: the next build goes on beside it.
        let folder = bench.folder.clone();
        let assessing = thread::spawn(move || match built {
            Ok(binary) => assess(&folder, &binary),
            Err(why) => Ok(Err(why)),
        });
        if let Some((before, assessing)) = waiting.replace((control, assessing)) {
            seen += usize::from(finish(before, assessing, &sound)?);
        }
    }
    if let Some((last, assessing)) = waiting {
        seen += usize::from(finish(last, assessing, &sound)?);
    }
    println!("assess-controls: {seen} of {} seen in the right question and nowhere else", controls.len());
    Ok(seen == controls.len())
}

/// Waits for the score without a control, judges and prints it; whether it is as it should be.
fn finish(control: &Control, assessing: JoinHandle<Assessed>, sound: &Score) -> io::Result<bool> {
    let assessed = assessing.join().map_err(|_| io::Error::other("an assessment panicked"))??;
    let verdict = assessed.and_then(|without| judge(control, sound, &without));
    match &verdict {
        Ok(what) => println!("{:<28} seen: {what}", control.id),
        Err(why) => println!("{:<28} NOT AS IT SHOULD BE: {}: {why}", control.id, control.without),
    }
    Ok(verdict.is_ok())
}

/// The binary without a control; the copy is whole again afterwards.
fn switched_off(bench: &Workbench, id: &str, edits: &[Edit]) -> io::Result<Result<PathBuf, String>> {
    let broken = match changed(&bench.folder, edits) {
        Ok(broken) => broken,
        Err(why) => return Ok(Err(why)),
    };
    let mut whole = Vec::new();
    for (file, text) in &broken {
        whole.push((file, fs::read(bench.folder.join(file))?));
        bench.write(file, text.as_bytes())?;
    }
    let built = build(bench, id);
    for (file, bytes) in whole {
        bench.write(file, &bytes)?;
    }
    built
}

/// Builds the copy and gives the binary a name of its own; the inner error says why there is none.
#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
fn build(bench: &Workbench, name: &str) -> io::Result<Result<PathBuf, String>> {
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--color", "never", "--package", "sallyport"])
        .current_dir(&bench.folder)
        .env("CARGO_TARGET_DIR", &bench.build)
        .output()?;
    if !built.status.success() {
        return Ok(Err(format!("it does not build\n{}", mutants::tail(&built))));
    }
    let binary = bench.build.join(format!("sallyport-{name}"));
    fs::copy(bench.build.join("debug/sallyport"), &binary)?;
    Ok(Ok(binary))
}

/// The score, or why there is none.
type Assessed = io::Result<Result<Score, String>>;

/// Assesses the demo of `binary`, which is removed afterwards.
#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
fn assess(folder: &Path, binary: &Path) -> Assessed {
    let result = binary.with_extension("json");
    let assessed = Command::new("python3")
        .arg("test-lab/assess/demo.py")
        .arg("--result")
        .arg(&result)
        .current_dir(folder)
        .env("SALLYPORT", binary)
        .output()?;
    fs::remove_file(binary)?;
    if !assessed.status.success() {
        return Ok(Err(format!("it could not be assessed\n{}", mutants::tail(&assessed))));
    }
    let score = serde_json::from_slice(&fs::read(&result)?).map_err(|error| format!("its result: {error}"));
    fs::remove_file(&result)?;
    Ok(score)
}

/// The part of a result that is compared (`crates/model/src/assessment.rs`).
#[derive(Debug, Deserialize)]
struct Score {
    questions: Vec<Question>,
}

#[derive(Debug, Clone, Deserialize)]
struct Question {
    number: u8,
    range: [u8; 2],
    points: Option<u8>,
    evidence: Vec<Evidence>,
}

#[derive(Debug, Clone, Deserialize)]
struct Evidence {
    check: String,
    result: String,
    observed: String,
}

impl Score {
    fn question(&self, number: u8) -> Result<&Question, String> {
        self.questions.iter().find(|one| one.number == number).ok_or(format!("there is no question {number}"))
    }

    fn line(&self) -> String {
        self.questions.iter().map(|one| format!("{}: {one}", one.number)).collect::<Vec<_>>().join("; ")
    }
}

impl Question {
    /// Whether this is less than `before`: in no respect more, in one less.
    fn fell(&self, before: &Self) -> bool {
        let all = [
            (self.range[0], before.range[0]),
            (self.range[1], before.range[1]),
            (self.points.unwrap_or(0), before.points.unwrap_or(0)),
        ];
        all.iter().all(|(now, was)| now <= was) && all.iter().any(|(now, was)| now < was)
    }

    fn same(&self, before: &Self) -> bool {
        (self.range, self.points) == (before.range, before.points)
    }

    /// What did not pass here and passed before.
    fn lost(&self, before: &Self) -> String {
        let passed = |check: &str| before.evidence.iter().any(|one| one.check == check && one.result == "pass");
        let lost = self.evidence.iter().filter(|one| one.result != "pass" && passed(&one.check));
        lost.map(|one| format!("{} ({}: {})", one.check, one.result, one.observed)).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            [low, high] if low == high => write!(f, "{low}")?,
            [low, high] => write!(f, "{low}-{high}")?,
        }
        write!(f, "/{}%", self.points.unwrap_or(0))
    }
}

/// What was seen of the control, or what is not as the entry says.
fn judge(control: &Control, before: &Score, without: &Score) -> Result<String, String> {
    let (was, now) = (before.question(control.question)?, without.question(control.question)?);
    let mut wrong = Vec::new();
    if !now.fell(was) {
        wrong.push(format!("question {} did not fall: {was}, then {now}", control.question));
    }
    for check in &control.checks {
        match now.evidence.iter().find(|one| one.check == *check) {
            Some(one) if one.result == "fail" => {}
            Some(one) => wrong.push(format!("{check} is {}: {}", one.result, one.observed)),
            None => wrong.push(format!("{check} was not made")),
        }
    }
    let also = control.also.as_ref().map_or(&[][..], |also| &also.questions);
    for number in QUESTIONS.filter(|number| *number != control.question) {
        let (was, now) = (before.question(number)?, without.question(number)?);
        match also.contains(&number) {
            false if !now.same(was) => {
                wrong.push(format!("question {number} changed too: {was}, then {now}: {}", now.lost(was)));
            }
            true if !now.fell(was) => wrong.push(format!("question {number} did not fall: {was}, then {now}")),
            _ => {}
        }
    }
    if wrong.is_empty() {
        let failed = control.checks.join(", ");
        Ok(format!("question {}: {was} → {now}: {failed}", control.question))
    } else {
        Err(wrong.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "[[control]]\nid='a'\nwithout='w'\nmutant='m'\nquestion=1\nchecks=['c']\n";

    fn score(first: [u8; 2], points: u8, result: &str, second: u8) -> Score {
        let question = |number, range, points, result: &str| Question {
            number,
            range,
            points: Some(points),
            evidence: vec![Evidence { check: "c".into(), result: result.into(), observed: "o".into() }],
        };
        let others = QUESTIONS.skip(2).map(|number| question(number, [2, 2], 100, "pass"));
        let questions = [question(1, first, points, result), question(2, [2, 2], second, "pass")];
        Score { questions: questions.into_iter().chain(others).collect() }
    }

    #[test]
    fn a_control_is_seen_when_its_question_alone_falls_by_its_check() {
        let control = parse(ENTRY).unwrap().remove(0);
        let sound = score([2, 2], 100, "pass", 100);
        for (without, good) in [
            (score([0, 0], 90, "fail", 100), true),
            (score([2, 2], 90, "fail", 100), true),
            (score([2, 2], 100, "fail", 100), false),
            (score([1, 1], 90, "not_assessable", 100), false),
            (score([0, 0], 90, "fail", 99), false),
            (score([0, 2], 100, "fail", 100), true),
        ] {
            assert_eq!(judge(&control, &sound, &without).is_ok(), good, "{without:?}");
        }
    }

    #[test]
    fn what_must_lose_too_is_stated_with_a_reason() {
        let entry = format!("{ENTRY}also={{questions=[2], why='w'}}\n");
        let control = parse(&entry).unwrap().remove(0);
        let sound = score([2, 2], 100, "pass", 100);
        assert!(judge(&control, &sound, &score([0, 0], 90, "fail", 99)).is_ok());
        assert!(judge(&control, &sound, &score([0, 0], 90, "fail", 100)).is_err());
        assert!(parse(&format!("{ENTRY}also={{questions=[2], why=' '}}\n")).is_err());
        assert!(parse(&format!("{ENTRY}also={{questions=[1], why='w'}}\n")).is_err());
    }

    #[test]
    fn the_table_refuses_what_makes_no_sense() {
        assert!(parse(&ENTRY.repeat(2)).is_err());
        assert!(parse(&ENTRY.replace("question=1", "question=11")).is_err());
        assert!(parse(&ENTRY.replace("['c']", "[]")).is_err());
        assert!(parse(&format!("{ENTRY}extra=1\n")).is_err());
        let known = BTreeMap::new();
        assert!(parse(ENTRY).unwrap()[0].edits(&known).is_err(), "no such mutant");
    }

    #[test]
    fn every_control_can_still_be_switched_off() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if let Err(error) = applicable(root) {
            panic!("{error}");
        }
    }
}
