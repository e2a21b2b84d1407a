//! The evidence bundle of an identity.
//!
//! It believes a bundle only when its verifier accepts it, refuses a copy with one byte changed, and the calls of
//! this run are in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    bench::Bench,
    check::Needs,
    hooks::{
        HookName,
        caller::{self, Caller, Served},
        run::{self, HookRun, Told},
    },
    login::quote,
};

const CHECK: &str = "evidence-bundle";
/// More of a bundle is not read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// More files are not read.
const MOST_FILES: usize = 2_000;

/// Runs the probes of this file.
pub(crate) async fn run(bench: &Bench) {
    let unseen = |why: &str| bench.findings.unseen(CHECK, why, &[]);
    if !bench.access.hooks.has(HookName::Bundle) {
        return unseen(&format!("it needs {}", Needs::Hook("bundle")));
    }
    let (Ok(out), Ok(copy)) = (tempfile::tempdir(), tempfile::tempdir()) else {
        return unseen("no folder could be made for the hook");
    };
    let began = bench.clock.now();
    let Some(tool) = caller::read_tool(bench) else { return unseen("it needs a harmless tool: --read-tool TOOL") };
    let grant = match caller::person(bench, CHECK, 15).await {
        Ok(grant) => grant,
        Err(why) => return unseen(&why),
    };
    let called = Caller::new(bench, CHECK, &grant).announced().ask().await;
    if !matches!(called, Served::Yes(_)) {
        return unseen(&format!("no call could be made: {}", called.words()));
    }
    let mut told = Told::of(bench, &tool.tool, began);
    if told.subject.is_empty() {
        told.subject.clone_from(&grant.subject);
    }
    let Some(made) = run::run(bench, CHECK, HookName::Bundle, &told, out.path()).await else { return };
    let mut seen = [called.exchanges(), made.exchanges.clone()].concat();
    if !made.passed {
        return bench.findings.unseen(CHECK, made.said, &seen);
    }
    let outcome = judge(bench, &told, &made, (out.path(), copy.path()), &mut seen).await;
    match outcome {
        Ok(Ok(observed)) => bench.findings.pass(CHECK, observed, &seen),
        Ok(Err(observed)) => bench.findings.fail(CHECK, observed, &seen),
        Err(why) => bench.findings.unseen(CHECK, why, &seen),
    }
}

/// `Err`: nobody can tell.
async fn judge(
    bench: &Bench,
    told: &Told,
    made: &HookRun,
    (out, copy): (&Path, &Path),
    seen: &mut Vec<u32>,
) -> Result<Result<String, String>, String> {
    let mut files = read(out)?;
    if files.is_empty() && !made.output.is_empty() {
        // A URL's bundle is its answer.
        let path = out.join("bundle");
        fs::write(&path, &made.output).map_err(|error| format!("the bundle could not be kept: {error}"))?;
        files = vec![(path, made.output.clone())];
    }
    if files.iter().all(|(_, bytes)| bytes.is_empty()) {
        return Ok(Err("the hook wrote no bundle".to_owned()));
    }
    let Some(verified) = run::run(bench, CHECK, HookName::BundleVerify, told, out).await else {
        return Err("a bundle was written; whether it verifies was not tried: add `bundle_verify`".to_owned());
    };
    seen.extend(&verified.exchanges);
    if !verified.answered {
        return Err(verified.said);
    }
    if !verified.passed {
        return Ok(Err(format!("the bundle does not verify as it is ({})", verified.said)));
    }
    let tool = told.tool.as_bytes();
    let place = files.iter().find_map(|(path, bytes)| Some((path, find(bytes, tool)?)));
    if place.is_none() && find(&verified.output, tool).is_none() {
        let what = format!("it verifies, but `{}`, which the person called, is nowhere in it", quote(&told.tool));
        return Ok(Err(what));
    }
    let largest = || files.iter().max_by_key(|(_, bytes)| bytes.len()).map(|(path, bytes)| (path, bytes.len() / 2));
    let Some((path, at)) = place.or_else(largest) else { return Ok(Err("the hook wrote no bundle".to_owned())) };
    alter(&files, out, copy, path, at)?;
    let Some(altered) = run::run(bench, CHECK, HookName::BundleVerify, told, copy).await else {
        return Ok(Err(String::new()));
    };
    seen.extend(&altered.exchanges);
    Ok(match (altered.answered, altered.passed) {
        (false, _) => return Err(altered.said),
        (true, true) => Err("a copy with one byte changed verifies as well".to_owned()),
        (true, false) => {
            Ok("it verifies, holds the person's call, and a copy with one byte changed is refused".to_owned())
        }
    })
}

/// Every plain file below `folder`, links left out.
fn read(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let failed = |error: std::io::Error| format!("the bundle cannot be read: {error}");
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                bytes += entry.metadata().map_err(failed)?.len();
                if bytes > MOST_BYTES || files.len() == MOST_FILES {
                    return Err(format!("the bundle is larger than {MOST_BYTES} bytes or {MOST_FILES} files"));
                }
                files.push((entry.path(), fs::read(entry.path()).map_err(failed)?));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies the files to `copy`, with one bit of one byte of `path` turned.
fn alter(files: &[(PathBuf, Vec<u8>)], out: &Path, copy: &Path, path: &Path, at: usize) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the bundle cannot be copied: {error}");
    for (file, bytes) in files {
        let below = file.strip_prefix(out).map_err(|error| error.to_string())?;
        let to = copy.join(below);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut bytes = bytes.clone();
        if file == path
            && let Some(byte) = bytes.get_mut(at)
        {
            // A letter stays a letter, so that only a real check sees it.
            *byte ^= 1;
        }
        fs::write(&to, bytes).map_err(failed)?;
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_of_one_file_differs_in_the_copy() {
        let (out, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(out.path().join("deep")).unwrap();
        fs::write(out.path().join("deep/events.jsonl"), "call read_ticket").unwrap();
        fs::write(out.path().join("signature"), "abc").unwrap();
        let files = read(out.path()).unwrap();
        assert_eq!(files.len(), 2);
        let (path, at) = files.iter().find_map(|(path, bytes)| Some((path, find(bytes, b"read_ticket")?))).unwrap();
        alter(&files, out.path(), copy.path(), path, at).unwrap();
        assert_eq!(fs::read(copy.path().join("deep/events.jsonl")).unwrap(), b"call sead_ticket");
        assert_eq!(fs::read(copy.path().join("signature")).unwrap(), b"abc");
    }

    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let out = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", out.path().join("link")).unwrap();
        assert!(read(out.path()).unwrap().is_empty());
        assert_eq!(find(b"abc", b""), None);
    }
}
