//! `cargo xtask eval-assess`: the assessor against its truth tables, by `test-lab/assess/eval.py`.
//!
//! It judges nothing itself, and never writes to a table.

use std::{
    io,
    path::Path,
    process::{Command, ExitCode},
};

/// Runs the comparison with these arguments and passes its exit status on; an error when python3 does not start.
#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
pub(crate) fn run(root: &Path, arguments: &[&str]) -> io::Result<ExitCode> {
    let status = Command::new("python3").current_dir(root).arg("test-lab/assess/eval.py").args(arguments).status()?;
    // Ended by a signal: no status of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
