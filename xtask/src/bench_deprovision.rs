//! `cargo xtask bench-deprovision`: how long access outlives its end at the identity provider, measured by
//! `test-lab/deprovision/deprovision.py` with a built gate.
//!
//! It measures nothing itself.

use std::{
    io,
    path::Path,
    process::{Command, ExitCode},
};

/// Runs the measurement with these arguments and passes its exit status on; an error when python3 does not start.
#[expect(clippy::disallowed_methods, reason = "a tool of the house, not the product")]
pub(crate) fn run(root: &Path, arguments: &[&str]) -> io::Result<ExitCode> {
    let script = "test-lab/deprovision/deprovision.py";
    let status = Command::new("python3").current_dir(root).arg(script).args(arguments).status()?;
    // Ended by a signal: no status of its own.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
