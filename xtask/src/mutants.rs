//! `cargo xtask mutants`: breaks the product on purpose, one line at a time, in a copy of the tree,
//! and demands that the named tests notice.
//!
//! It never edits the tree itself. A breakage that no longer applies or compiles is an error, not a
//! success: the table `xtask/mutants.toml` has gone stale.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde::Deserialize;

const TABLE: &str = "xtask/mutants.toml";
const COPY: &str = "target/mutants";
const BUILD: &str = "target/mutants-build";

/// `cargo nextest`'s exit code for a failed test; every other failure is no test's doing.
const TEST_FAILED: i32 = 100;

/// What to run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Only look whether each breakage still applies.
    check: bool,
    /// Only these ids; all if empty.
    only: Vec<String>,
}

impl Options {
    /// Reads the words after `mutants`; none if they make no sense.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--check" => options.check = true,
                "--only" => options.only.push((*words.next()?).to_owned()),
                _ => return None,
            }
        }
        Some(options)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    mutant: Vec<Mutant>,
}

/// A change of one place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// Path from the root.
    pub(crate) file: String,
    /// Exact text that occurs once in `file`.
    find: String,
    replace: String,
}

impl Edit {
    /// `text` with the change, or why it does not apply.
    pub(crate) fn apply(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            _ if self.find.is_empty() => Err("`find` is empty".to_owned()),
            _ if self.find == self.replace => Err("`replace` changes nothing".to_owned()),
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            n => Err(format!("`find` occurs {n} times, once is needed")),
        }
    }
}

/// One deliberate breakage.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    id: String,
    /// As in [`Edit`].
    file: String,
    find: String,
    replace: String,
    /// Package whose tests must notice.
    package: String,
    /// `lib`, or the name of an integration test: only that is built. All of the package if absent.
    target: Option<String>,
    /// A nextest filter expression that names those tests.
    test: String,
    /// What the breakage would let through.
    why: String,
}

impl Mutant {
    /// Which tests of the package are built; each one more is linked anew for every breakage.
    fn selected(&self) -> Vec<&str> {
        match self.target.as_deref() {
            None => Vec::new(),
            Some("lib") => vec!["--lib"],
            Some(name) => vec!["--test", name],
        }
    }

    fn edit(&self) -> Edit {
        Edit { file: self.file.clone(), find: self.find.clone(), replace: self.replace.clone() }
    }

    /// `text` with the breakage, or why it does not apply.
    fn apply(&self, text: &str) -> Result<String, String> {
        self.edit().apply(text)
    }
}

/// The breakages of the table by their ids.
pub(crate) fn edits(root: &Path) -> io::Result<BTreeMap<String, Edit>> {
    let table = read(root)?;
    Ok(table.mutant.into_iter().map(|mutant| (mutant.id.clone(), mutant.edit())).collect())
}

fn read(root: &Path) -> io::Result<Table> {
    let text = fs::read_to_string(root.join(TABLE))?;
    parse(&text).map_err(|error| io::Error::other(format!("{TABLE}: {error}")))
}

/// Runs the table; true if every breakage was noticed.
pub(crate) fn run(root: &Path, options: &Options) -> io::Result<bool> {
    let table = read(root)?;
    let wanted = |mutant: &&Mutant| options.only.is_empty() || options.only.contains(&mutant.id);
    let mutants: Vec<&Mutant> = table.mutant.iter().filter(wanted).collect();
    if let Some(id) = options.only.iter().find(|id| !mutants.iter().any(|mutant| mutant.id == **id)) {
        return Err(io::Error::other(format!("{TABLE} has no entry `{id}`")));
    }
    let mut stale = false;
    for mutant in &mutants {
        if let Err(why) =
            fs::read_to_string(root.join(&mutant.file)).map_err(|e| e.to_string()).and_then(|t| mutant.apply(&t))
        {
            eprintln!("{TABLE}: {}: {}: {why}\n    remedy: bring the entry up to date", mutant.id, mutant.file);
            stale = true;
        }
    }
    if stale || options.check {
        println!("mutants: {} entries, {}", mutants.len(), if stale { "some stale" } else { "each applies once" });
        return Ok(!stale);
    }
    break_and_test(root, &mutants)
}

fn parse(text: &str) -> Result<Table, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut ids = BTreeSet::new();
    match table.mutant.iter().find(|mutant| !ids.insert(&mutant.id)) {
        Some(twice) => Err(format!("two entries are called `{}`", twice.id)),
        None => Ok(table),
    }
}

/// What became of one breakage.
enum Outcome {
    /// The tests that failed.
    Caught(Vec<String>),
    Survived,
    /// Why nothing was learnt.
    Stale(String),
}

fn break_and_test(root: &Path, mutants: &[&Mutant]) -> io::Result<bool> {
    let copy = Workbench::fill(root)?;
    // A test that fails anyway catches nothing: see each pass first. Holds why, if it does not.
    let mut unfit: BTreeMap<_, Option<String>> = BTreeMap::new();
    let mut all_caught = true;
    for mutant in mutants {
        let key = (&mutant.package, &mutant.target, &mutant.test);
        let reason = match unfit.entry(key) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(unseen) => {
                let output = copy.test(mutant)?;
                unseen.insert((!output.status.success()).then(|| unbroken(&output)))
            }
        };
        let outcome = match reason {
            Some(why) => Outcome::Stale(why.clone()),
            None => {
                // The copy's own: the tree may have moved on since it was made.
                let text = fs::read_to_string(copy.folder.join(&mutant.file))?;
                let broken = mutant.apply(&text).map_err(io::Error::other)?;
                copy.write(&mutant.file, broken.as_bytes())?;
                let output = copy.test(mutant);
                copy.write(&mutant.file, text.as_bytes())?;
                judge(&output?)
            }
        };
        let verdict = match &outcome {
            Outcome::Caught(tests) => format!("caught by {}", tests.join(", ")),
            Outcome::Survived => format!("SURVIVED: {}", mutant.why),
            Outcome::Stale(why) => format!("STALE: {why}"),
        };
        println!("{:<32} {verdict}", mutant.id);
        all_caught &= matches!(outcome, Outcome::Caught(_));
    }
    println!("mutants: {} of {}", if all_caught { "every one caught" } else { "not every one caught" }, mutants.len());
    Ok(all_caught)
}

fn unbroken(output: &Output) -> String {
    match output.status.code() {
        Some(4) => "the filter matches no test".to_owned(),
        _ => format!("its tests fail without it too\n{}", tail(output)),
    }
}

fn judge(output: &Output) -> Outcome {
    match output.status.code() {
        Some(0) => Outcome::Survived,
        Some(TEST_FAILED) => Outcome::Caught(failed(&String::from_utf8_lossy(&output.stderr))),
        _ => Outcome::Stale(format!("it does not build or run\n{}", tail(output))),
    }
}

/// The tests on lines such as `FAIL [ 0.004s] sallyport-model scope::tests::x`.
fn failed(log: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim_start();
        ["FAIL [", "TIMEOUT [", "SIGABRT [", "SIGSEGV ["].iter().find_map(|mark| line.strip_prefix(mark))?;
        line.split_whitespace().next_back().map(str::to_owned)
    };
    log.lines().filter_map(name).collect::<BTreeSet<_>>().into_iter().collect()
}

pub(crate) fn tail(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The copy of the tree that gets broken.
pub(crate) struct Workbench {
    pub(crate) folder: PathBuf,
    pub(crate) build: PathBuf,
}

impl Workbench {
    /// Brings the copy up to date; unchanged files keep their times, so that builds stay small.
    pub(crate) fn fill(root: &Path) -> io::Result<Self> {
        let bench = Self { folder: root.join(COPY), build: root.join(BUILD) };
        let listed = git_files(root)?;
        for path in &listed {
            match fs::read(root.join(path)) {
                Ok(bytes) => bench.write(path, &bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        bench.prune(&bench.folder, "", &listed)?;
        Ok(bench)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.folder.join(path);
        if fs::read(&target).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(target, bytes)
    }

    /// Removes what the tree no longer has.
    fn prune(&self, folder: &Path, prefix: &str, listed: &BTreeSet<String>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.prune(&entry.path(), &format!("{path}/"), listed)?;
            } else if !listed.contains(&path) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
    fn test(&self, mutant: &Mutant) -> io::Result<Output> {
        Command::new("cargo")
            .args([
                "nextest",
                "run",
                "--no-fail-fast",
                "--color",
                "never",
                "--package",
                &mutant.package,
                "-E",
                &mutant.test,
            ])
            .args(mutant.selected())
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.build)
            .output()
    }
}

/// Tracked files and new ones that git does not ignore.
#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
fn git_files(root: &Path) -> io::Result<BTreeSet<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("git ls-files: {}", tail(&output))));
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(find: &str, replace: &str) -> Mutant {
        let text = |value: &str| value.to_owned();
        Mutant {
            id: text("x"),
            file: text("a.rs"),
            find: text(find),
            replace: text(replace),
            package: text("p"),
            target: None,
            test: text("all()"),
            why: text("y"),
        }
    }

    #[test]
    fn a_breakage_applies_exactly_once_or_not_at_all() {
        assert_eq!(mutant("b", "c").apply("abd"), Ok("acd".to_owned()));
        for (find, replace, text) in [("b", "c", "abb"), ("b", "c", "a"), ("", "c", "a"), ("b", "b", "b")] {
            assert!(mutant(find, replace).apply(text).is_err(), "{find} {replace} {text}");
        }
    }

    #[test]
    fn one_target_is_built_where_one_is_named() {
        let of = |target: Option<&str>| Mutant { target: target.map(str::to_owned), ..mutant("a", "b") };
        assert!(of(None).selected().is_empty());
        assert_eq!(of(Some("lib")).selected(), ["--lib"]);
        assert_eq!(of(Some("gate")).selected(), ["--test", "gate"]);
    }

    #[test]
    fn the_table_refuses_unknown_keys_and_twins() {
        let entry = "[[mutant]]\nid='a'\nfile='f'\nfind='x'\nreplace='y'\npackage='p'\ntest='t'\nwhy='w'\n";
        assert_eq!(parse(entry).map(|table| table.mutant.len()), Ok(1));
        assert_eq!(parse("").map(|table| table.mutant.len()), Ok(0));
        assert!(parse(&entry.repeat(2)).is_err());
        assert!(parse(&format!("{entry}extra='1'\n")).is_err());
    }

    #[test]
    fn options_are_read_and_nonsense_is_refused() {
        let only = Options { check: false, only: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(Options::parse(&["--only", "a", "--only", "b"]), Some(only));
        assert_eq!(Options::parse(&["--check"]), Some(Options { check: true, only: vec![] }));
        assert_eq!(Options::parse(&["--only"]), None);
        assert_eq!(Options::parse(&["--force"]), None);
    }

    #[test]
    fn failed_tests_are_read_from_the_log() {
        let log = "  PASS [ 0.1s] (1/3) p a::ok\n  FAIL [ 0.1s] (2/3) p a::bad\n  FAIL [ 0.1s] (2/3) p a::bad\n TIMEOUT [ 9s] (3/3) p b::slow\n";
        assert_eq!(failed(log), ["a::bad", "b::slow"]);
    }
}
