//! Programs that run once: an operator's hook, with its output bounded and its time limited.
//!
//! A program starts without a shell, with no input, and with a clean environment: `PATH` and the variables that
//! were named, nothing else. It leads a process group of its own, which is killed as a whole when the time is
//! up, when the caller goes away, and also when the program ends by itself, so that no child outlives it.
//!
//! Nothing here reads what the program prints, and nothing is started from anything but a [`CommandSpec`].

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use sallyport_model::Secret;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Error, stdio::Group};

/// How long output may still arrive after the program has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// What to run. Made from a file of the operator and from nothing else: what a server answers must never reach
/// [`CommandSpec::from_operator`], except as the value of a variable.
#[derive(Debug, Clone)]
pub struct CommandSpec {
    program: String,
    args: Vec<String>,
    env: BTreeMap<String, Secret>,
    cwd: Option<PathBuf>,
}

impl CommandSpec {
    /// `program` is a path, or a name that is looked up in `PATH`; `args` go to it as they are; `env` is all that
    /// it gets besides `PATH`; `cwd` defaults to the caller's own.
    pub fn from_operator(
        program: impl Into<String>,
        args: Vec<String>,
        env: BTreeMap<String, Secret>,
        cwd: Option<PathBuf>,
    ) -> Self {
        Self { program: program.into(), args, env, cwd }
    }
}

/// How long a program may run, and how much it may print.
#[derive(Debug, Clone, Copy)]
pub struct CommandLimits {
    /// From its start to its end.
    pub timeout: Duration,
    /// Bytes of its output.
    pub max_stdout: usize,
    /// Bytes of its error output.
    pub max_stderr: usize,
}

impl Default for CommandLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_stdout: 16 * 1024 * 1024, max_stderr: 64 * 1024 }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exit(i32),
    /// By a signal, or unknown how.
    Killed,
    /// It was killed when its time was up.
    TimedOut,
}

/// What a program printed, and how it ended.
#[derive(Debug, Clone)]
pub struct CommandOutput {
    /// How it ended.
    pub ended: Ended,
    /// Its output, at most [`CommandLimits::max_stdout`].
    pub stdout: Vec<u8>,
    /// Whether it printed more than that.
    pub truncated: bool,
    /// Its error output, at most [`CommandLimits::max_stderr`].
    pub stderr: Vec<u8>,
    /// From its start to its end.
    pub elapsed: Duration,
}

/// Runs a program to its end. Needs a Tokio runtime. Dropping the future kills the program and its children.
///
/// # Errors
/// [`Error::Spawn`] when it does not start. That it fails, or takes too long, is no error but [`Ended`].
pub async fn run(spec: &CommandSpec, limits: &CommandLimits) -> Result<CommandOutput, Error> {
    let began = Instant::now();
    let failed = |source| Error::Spawn { command: spec.program.clone(), source };
    let mut process = command(spec).spawn().map_err(failed)?;
    let group = process
        .id()
        .and_then(Group::of)
        .ok_or_else(|| failed(std::io::Error::other("it has no process id that is valid")))?;
    let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
        return Err(failed(std::io::Error::other("it has no pipes")));
    };
    let (mut out, mut err) = (Kept::new(limits.max_stdout), Kept::new(limits.max_stderr));
    let reading = async { tokio::join!(out.read(stdout), err.read(stderr)) };
    let waiting = async {
        let status = tokio::time::timeout(limits.timeout, process.wait()).await;
        drop(group);
        status
    };
    let ended = {
        tokio::pin!(reading, waiting);
        tokio::select! {
            status = &mut waiting => {
                // What it wrote before it ended may still be in the pipes.
                let _ = tokio::time::timeout(DRAIN, reading).await;
                ended(status)
            }
            _ = &mut reading => ended(waiting.await),
        }
    };
    if ended == Ended::TimedOut {
        // Its group is killed; this collects it.
        let _ = process.wait().await;
    }
    Ok(CommandOutput { ended, stdout: out.bytes, truncated: out.over, stderr: err.bytes, elapsed: began.elapsed() })
}

fn ended(status: Result<std::io::Result<ExitStatus>, tokio::time::error::Elapsed>) -> Ended {
    match status {
        Err(_) => Ended::TimedOut,
        Ok(Ok(status)) => status.code().map_or(Ended::Killed, Ended::Exit),
        Ok(Err(_)) => Ended::Killed,
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate is where processes start")]
fn command(spec: &CommandSpec) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&spec.program);
    command.args(&spec.args).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    for (name, value) in &spec.env {
        command.env(name, value.expose());
    }
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command
}

/// The first bytes of a pipe.
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, over: false }
    }

    /// Reads to the end or to the limit, then lets go of the pipe, so that who writes on is told.
    async fn read(&mut self, mut pipe: impl AsyncRead + Unpin) {
        let mut piece = [0; 8 * 1024];
        loop {
            match pipe.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let room = self.limit - self.bytes.len();
                    self.bytes.extend_from_slice(&piece[..read.min(room)]);
                    if read > room {
                        self.over = true;
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandSpec {
        CommandSpec::from_operator("sh", vec!["-c".to_owned(), script.to_owned()], BTreeMap::new(), None)
    }

    fn within(millis: u64) -> CommandLimits {
        CommandLimits { timeout: Duration::from_millis(millis), max_stdout: 1000, max_stderr: 10 }
    }

    /// Whether the process is there and not a zombie.
    fn runs(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    }

    async fn gone(pid: &str) -> bool {
        for _ in 0..100 {
            if !runs(pid) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    #[tokio::test]
    async fn output_errors_and_the_code_come_back() {
        let output = run(&shell("echo out; echo err >&2; exit 3"), &within(5000)).await.unwrap();
        assert_eq!(
            (output.ended, output.stdout, output.stderr),
            (Ended::Exit(3), b"out\n".to_vec(), b"err\n".to_vec())
        );
        assert!(!output.truncated);
    }

    #[tokio::test]
    async fn the_environment_is_path_and_what_was_named() {
        let env = BTreeMap::from([("SALLYPORT_TOOL".to_owned(), Secret::new("$(id)"))]);
        let spec = CommandSpec::from_operator("env", Vec::new(), env, None);
        let output = run(&spec, &within(5000)).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("SALLYPORT_TOOL=$(id)\n"));
        assert!(text.lines().all(|line| line.starts_with("PATH=") || line.starts_with("SALLYPORT_TOOL=")), "{text}");
    }

    #[tokio::test]
    async fn an_argument_is_never_read_by_a_shell() {
        let args = vec!["%s".to_owned(), "$(id); `id` | cat".to_owned()];
        let output = run(&CommandSpec::from_operator("printf", args, BTreeMap::new(), None), &within(5000)).await;
        assert_eq!(output.unwrap().stdout, b"$(id); `id` | cat");
    }

    #[tokio::test]
    async fn a_stubborn_program_is_killed_with_its_children_when_its_time_is_up() {
        let script =
            "trap '' TERM INT; (trap '' TERM; sleep 60; sleep 60) & echo $!; echo $$; while :; do sleep 1; done";
        let output = run(&shell(script), &within(400)).await.unwrap();
        assert_eq!(output.ended, Ended::TimedOut);
        assert!(output.elapsed < Duration::from_secs(3));
        let text = String::from_utf8(output.stdout).unwrap();
        let pids: Vec<&str> = text.lines().collect();
        assert_eq!(pids.len(), 2);
        assert!(gone(pids[0]).await && gone(pids[1]).await);
    }

    #[tokio::test]
    async fn a_child_left_behind_is_killed_and_does_not_hold_the_answer_up() {
        let output = run(&shell("sleep 60 & echo $!"), &within(20_000)).await.unwrap();
        assert_eq!(output.ended, Ended::Exit(0));
        assert!(output.elapsed < Duration::from_secs(5));
        assert!(gone(String::from_utf8(output.stdout).unwrap().trim()).await);
    }

    #[tokio::test]
    async fn endless_output_is_cut_and_said_to_be() {
        let output = run(&shell("yes"), &within(5000)).await.unwrap();
        assert_eq!((output.stdout.len(), output.truncated), (1000, true));
        assert_ne!(output.ended, Ended::TimedOut);
        let output = run(&shell("yes >&2"), &within(5000)).await.unwrap();
        assert_eq!((output.stderr.len(), output.truncated), (10, false));
    }

    #[tokio::test]
    async fn a_missing_program_is_an_error_with_a_remedy() {
        let spec = CommandSpec::from_operator("no-such-program-here", Vec::new(), BTreeMap::new(), None);
        assert!(run(&spec, &within(1000)).await.unwrap_err().to_string().contains("PATH"));
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ > {}; sleep 60", file.display());
        let (spec, limits) = (shell(&script), within(60_000));
        let _ = tokio::time::timeout(Duration::from_millis(500), run(&spec, &limits)).await;
        let pid = std::fs::read_to_string(&file).unwrap();
        assert!(gone(pid.trim()).await);
    }
}
