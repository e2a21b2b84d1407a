//! Upstreams that are processes: spawning them, talking to them by lines, ending them with their children.
//!
//! A process starts with a clean environment: the variables named in [`INHERITED`] and those that the
//! configuration sets, nothing else of the gate's. It leads a process group of its own, which is ended
//! as a whole: its input closes, then `SIGTERM`, then `SIGKILL`, each after a grace. Its group is killed
//! also when it exits by itself, so that no child outlives it (a child that makes a session of its own
//! escapes; it still sees the closed pipes). When the gate itself is killed, the process sees the end of
//! its input.
//!
//! Nothing here runs a shell, and nothing is spawned from anything but a [`StdioSpec`].

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use sallyport_model::Secret;
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::Error;
pub use crate::lines::Lines;

/// The gate's own variables that a process gets, where they are set.
pub const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Longest line of a process's error output that is kept; longer ones are cut into pieces.
const MAX_ERROR_LINE: usize = 8 * 1024;

/// What to start. Made by the configuration loader and by nothing else: a field of an API request, a
/// token or an upstream's answer must never reach [`StdioSpec::from_configuration`].
#[derive(Debug, Clone)]
pub struct StdioSpec {
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, Secret>,
    cwd: Option<PathBuf>,
}

impl StdioSpec {
    /// Call this with what the operator's configuration file says, and with nothing else.
    /// `command` is a path, or a name that is looked up in the gate's `PATH`; `args` go to it as they
    /// are; `env` adds to, and overrides, [`INHERITED`]; `cwd` defaults to the gate's own.
    pub fn from_configuration(
        command: impl Into<String>,
        args: Vec<String>,
        env: BTreeMap<String, Secret>,
        cwd: Option<PathBuf>,
    ) -> Self {
        Self { command: command.into(), args, env, cwd }
    }

    /// The command, without arguments.
    pub fn command(&self) -> &str {
        &self.command
    }
    /// The arguments, as they go to the process.
    pub fn args(&self) -> &[String] {
        &self.args
    }
    /// The names of the variables that the configuration sets, and their values.
    pub fn env(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value))
    }
    /// The working directory, where one is configured.
    pub fn cwd(&self) -> Option<&Path> {
        self.cwd.as_deref()
    }
}

/// How patiently a process is ended, and how long its lines may be.
#[derive(Debug, Clone)]
pub struct SpawnLimits {
    /// Longest line of its output, bytes.
    pub max_line: usize,
    /// From the end of its input to `SIGTERM`.
    pub eof_grace: Duration,
    /// From `SIGTERM` to `SIGKILL`.
    pub term_grace: Duration,
}

impl Default for SpawnLimits {
    fn default() -> Self {
        let (eof_grace, term_grace) = (Duration::from_millis(500), Duration::from_secs(2));
        Self { max_line: 4 * 1024 * 1024, eof_grace, term_grace }
    }
}

/// Where a process's error output goes, line by line, in order. It must not block.
pub type StderrSink = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts processes and knows those that run.
#[derive(Clone, Default)]
pub struct Spawner {
    shared: Arc<Running>,
}

#[derive(Default)]
struct Running {
    stopping: CancellationToken,
    live: Mutex<HashMap<u32, watch::Receiver<Option<Exit>>>>,
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("live", &self.live_count()).finish()
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The status; `None` when the system lost it.
    pub status: Option<ExitStatus>,
    /// Whether it was told to.
    pub asked: bool,
}

/// A running process.
#[derive(Debug)]
pub struct Child {
    /// Its input. Dropping it closes the pipe.
    pub stdin: Stdin,
    /// Its output, by lines.
    pub stdout: Lines<ChildStdout>,
    /// Its life. Dropping it ends the process.
    pub handle: ChildHandle,
}

/// The input of a process.
#[derive(Debug)]
pub struct Stdin(ChildStdin);

impl Stdin {
    /// Writes `line` and a line end.
    ///
    /// # Errors
    /// [`Error::Pipe`], also when `line` holds a line end (a message would become two).
    pub async fn write_line(&mut self, line: &[u8]) -> Result<(), Error> {
        if line.contains(&b'\n') {
            return Err(Error::Pipe(std::io::Error::new(std::io::ErrorKind::InvalidInput, "a line holds a line end")));
        }
        let mut framed = Vec::with_capacity(line.len() + 1);
        framed.extend_from_slice(line);
        framed.push(b'\n');
        self.0.write_all(&framed).await.map_err(Error::Pipe)?;
        self.0.flush().await.map_err(Error::Pipe)
    }
}

/// Ends a process, and tells when it has ended. Dropping it ends the process in the background.
#[derive(Debug)]
pub struct ChildHandle {
    pid: u32,
    stop: CancellationToken,
    exit: watch::Receiver<Option<Exit>>,
}

impl ChildHandle {
    /// The process's id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.pid
    }
    /// Waits until the process has ended.
    pub async fn exited(&self) -> Exit {
        wait_exit(self.exit.clone()).await
    }
    /// How it ended; `None` while it runs.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }
    /// Tells it to end and waits. Drop its [`Stdin`] first: that is the gentle signal.
    pub async fn stop(&self) -> Exit {
        self.stop.cancel();
        self.exited().await
    }
}

impl Drop for ChildHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn wait_exit(mut exit: watch::Receiver<Option<Exit>>) -> Exit {
    match exit.wait_for(Option::is_some).await {
        Ok(found) => found.unwrap_or(Exit { status: None, asked: true }),
        Err(_) => Exit { status: None, asked: true },
    }
}

impl Spawner {
    /// A spawner with nothing running.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a process. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the command does not start, [`Error::Stopping`] after [`Spawner::stop_all`].
    pub fn spawn(&self, spec: &StdioSpec, limits: &SpawnLimits, stderr: StderrSink) -> Result<Child, Error> {
        if self.shared.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        let failed = |source| Error::Spawn { command: spec.command.clone(), source };
        let mut process = command(spec).spawn().map_err(failed)?;
        let pid = process.id().ok_or_else(|| failed(std::io::Error::other("it has no process id")))?;
        let group = Group::of(pid).ok_or_else(|| failed(std::io::Error::other("its process id is not valid")))?;
        let (Some(stdin), Some(stdout), Some(errors)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            return Err(failed(std::io::Error::other("it has no pipes")));
        };
        let stop = CancellationToken::new();
        let (exit_sender, exit) = watch::channel(None);
        self.shared.live().insert(pid, exit.clone());
        tokio::spawn(read_errors(errors, stderr));
        let ends = Ends { own: stop.clone(), shared: Arc::clone(&self.shared), limits: limits.clone() };
        tokio::spawn(supervise(process, group, ends, exit_sender));
        let handle = ChildHandle { pid, stop, exit };
        Ok(Child { stdin: Stdin(stdin), stdout: Lines::new(stdout, limits.max_line), handle })
    }

    /// How many processes run.
    pub fn live_count(&self) -> usize {
        self.shared.live().len()
    }

    /// Ends every process, waits for the last, and starts none any more.
    pub async fn stop_all(&self) {
        self.shared.stopping.cancel();
        let waiting: Vec<_> = self.shared.live().values().cloned().collect();
        for exit in waiting {
            wait_exit(exit).await;
        }
    }
}

impl Running {
    fn live(&self) -> MutexGuard<'_, HashMap<u32, watch::Receiver<Option<Exit>>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate is where processes start")]
fn command(spec: &StdioSpec) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&spec.command);
    command.args(&spec.args).env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in &spec.env {
        command.env(name, value.expose());
    }
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command
}

/// A process group. Dropping it kills what is left of the group, so that also a runtime that is torn
/// down leaves nothing behind.
pub(crate) struct Group(Pid);

impl Group {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        i32::try_from(pid).ok().and_then(Pid::from_raw).map(Self)
    }
    fn signal(&self, signal: Signal) {
        // It fails only when the group is gone already, which is what was wanted.
        let _ = kill_process_group(self.0, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

struct Ends {
    own: CancellationToken,
    shared: Arc<Running>,
    limits: SpawnLimits,
}

async fn supervise(mut process: tokio::process::Child, group: Group, ends: Ends, exit: watch::Sender<Option<Exit>>) {
    let pid = process.id();
    let (asked, status) = tokio::select! {
        status = process.wait() => (false, status.ok()),
        () = ends.own.cancelled() => (true, end(&mut process, &group, &ends.limits).await),
        () = ends.shared.stopping.cancelled() => (true, end(&mut process, &group, &ends.limits).await),
    };
    // The leader is gone; its number names the group as long as anybody is left in it.
    drop(group);
    if let Some(pid) = pid {
        ends.shared.live().remove(&pid);
    }
    let _ = exit.send(Some(Exit { status, asked }));
}

async fn end(process: &mut tokio::process::Child, group: &Group, limits: &SpawnLimits) -> Option<ExitStatus> {
    if let Ok(status) = tokio::time::timeout(limits.eof_grace, process.wait()).await {
        return status.ok();
    }
    group.signal(Signal::TERM);
    if let Ok(status) = tokio::time::timeout(limits.term_grace, process.wait()).await {
        return status.ok();
    }
    group.signal(Signal::KILL);
    process.wait().await.ok()
}

async fn read_errors(pipe: ChildStderr, sink: StderrSink) {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut piece = (&mut reader).take(MAX_ERROR_LINE as u64);
        match piece.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => sink(String::from_utf8_lossy(&line).trim_end()),
        }
    }
}

#[cfg(test)]
#[path = "stdio_tests.rs"]
mod tests;
