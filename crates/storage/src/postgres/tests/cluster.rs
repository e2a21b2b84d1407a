//! A PostgreSQL server of one's own, from the binaries of the distribution, in a directory that goes when
//! the test process does, however it ends.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// A server's URL to use instead of one's own, where a test does not stop it.
pub(super) const ELSEWHERE: &str = "SALLYPORT_TEST_POSTGRES";

/// Waits until the test process is gone, whatever way, then ends the server and removes its directory.
const KEEPER: &str = r#"
echo ready
cat > /dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2> /dev/null)
if [ -n "$pid" ]; then
    kill -CONT "$pid"; kill -QUIT "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2> /dev/null || break; sleep 0.3; done
fi
rm -rf "$0"
"#;

pub(super) struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    /// Settings beside the usual ones.
    settings: Vec<String>,
    port: u16,
    server: Option<Child>,
    databases: AtomicUsize,
    _keeper: Keeper,
}

/// Its end of the pipe closes with the process.
struct Keeper {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that needs a real server starts one")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

fn run(mut command: Command) -> Output {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// The newest version that is installed.
fn binaries() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let debian = installed.map(|entry| entry.path()).max_by_key(|path| version(path)).map(|path| path.join("bin"));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .into_iter()
        .chain(std::env::split_paths(&on_path))
        .find(|directory| directory.join("initdb").exists() && directory.join("postgres").exists())
        .unwrap_or_else(|| {
            panic!("there is no PostgreSQL here: apt-get install postgresql, or name a server's URL in {ELSEWHERE}")
        })
}

/// PostgreSQL does not run as root; then another user runs it.
fn user() -> Option<&'static str> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let passwords = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let has = |name: &str| passwords.lines().any(|line| line.split(':').next() == Some(name));
    root.then(|| if has("postgres") { "postgres" } else { "nobody" })
}

/// A command as the user who runs the server.
fn as_its_user(program: &Path) -> Command {
    match user() {
        None => command(program),
        Some(user) => {
            let mut command = command("setpriv");
            command.args(["--reuid", user, "--clear-groups", "--"]).arg(program);
            command
        }
    }
}

impl Cluster {
    /// A new one, running.
    pub(super) fn start(settings: &[&str]) -> Self {
        let binaries = binaries();
        let directory = tempfile::Builder::new().prefix("sallyport-pg-").tempdir().unwrap().keep();
        if let Some(user) = user() {
            let mut chown = command("chown");
            chown.arg(user).arg(&directory);
            run(chown);
        }
        let keeper = keeper(&directory);
        initialise(&binaries, &directory.join("data"));
        let mut cluster = Self {
            directory,
            binaries,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            port: 5432,
            server: None,
            databases: AtomicUsize::new(0),
            _keeper: keeper,
        };
        cluster.serve();
        cluster
    }

    /// Starts the server and waits until it answers.
    pub(super) fn serve(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            let mut server = as_its_user(&self.binaries.join("postgres"));
            server.arg("-D").arg(self.directory.join("data"));
            // What is not synced survives a killed server all the same; nobody cuts the power here.
            server.args(["-c", "fsync=off", "-c", "listen_addresses=", "-c"]);
            server.arg(format!("unix_socket_directories={}", self.directory.display()));
            server.arg("-p").arg(self.port.to_string());
            for setting in &self.settings {
                server.args(["-c", setting]);
            }
            server.current_dir("/").stdin(Stdio::null());
            server.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
            let mut server = server.spawn().unwrap();
            while Instant::now() < end && server.try_wait().unwrap().is_none() {
                if self.is_ready() {
                    self.server = Some(server);
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            // The processes of one that was killed may still hold its memory.
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{}", std::fs::read_to_string(self.directory.join("log")).unwrap_or_default());
    }

    fn is_ready(&self) -> bool {
        let mut ask = command(self.binaries.join("pg_isready"));
        ask.args(["-q", "-U", "postgres", "-p", &self.port.to_string(), "-h"]).arg(&self.directory);
        ask.status().unwrap().success()
    }

    /// Another port (of the socket too) and other settings, from the next start on.
    pub(super) fn set(&mut self, port: u16, settings: &[&str]) {
        self.port = port;
        self.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    }

    /// Puts a file that only the server may read among its own.
    pub(super) fn give(&self, name: &str, text: &str) {
        let path = self.directory.join("data").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if let Some(user) = user() {
            let mut chown = command("chown");
            chown.arg(user).arg(&path);
            run(chown);
        }
    }

    /// The server's own files.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The URL of a database of it.
    pub(super) fn url(&self, database: &str) -> String {
        let directory = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{directory}:{}/{database}", self.port)
    }

    /// A name that no other test has.
    pub(super) fn next(&self) -> String {
        format!("db{}", self.databases.fetch_add(1, Ordering::SeqCst))
    }

    /// Stops as a crash does, without a last word to the disk.
    pub(super) fn stop(&mut self) {
        self.signal("QUIT", &[self.postmaster()]);
        self.server.take().unwrap().wait().unwrap();
    }

    /// Kills the server and all its processes at once.
    pub(super) fn kill(&mut self) {
        self.signal("KILL", &self.processes());
        self.server.take().unwrap().wait().unwrap();
    }

    /// Every process stands still; connections stay open and nobody answers.
    pub(super) fn freeze(&self) {
        self.signal("STOP", &self.processes());
    }

    pub(super) fn thaw(&self) {
        self.signal("CONT", &self.processes());
    }

    fn postmaster(&self) -> u32 {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// The postmaster and its children.
    fn processes(&self) -> Vec<u32> {
        let postmaster = self.postmaster();
        let parent = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        std::iter::once(postmaster).chain(pids.filter(|pid| parent(*pid) == Some(postmaster))).collect()
    }

    fn signal(&self, name: &str, processes: &[u32]) {
        let mut kill = command("kill");
        kill.arg(format!("-{name}")).args(processes.iter().map(u32::to_string));
        // One of several may have ended by itself.
        kill.stderr(Stdio::null()).status().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            self.thaw();
            self.signal("QUIT", &[self.postmaster()]);
            let _ = server.wait();
        }
    }
}

/// Makes the files of a new server. The first time they are also kept beside the test's own program, since
/// a copy costs a tenth.
fn initialise(binaries: &Path, to: &Path) {
    let mut version = command(binaries.join("postgres"));
    version.arg("--version");
    let version = String::from_utf8(run(version).stdout).unwrap();
    let name = version.trim().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    let program = std::env::current_exe().unwrap();
    let kept = program.with_file_name(format!("{name}-{}", user().unwrap_or("mine")));
    if kept.join("PG_VERSION").exists() {
        copy(&kept, to);
        return;
    }
    let mut initdb = as_its_user(&binaries.join("initdb"));
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
    initdb.arg(to).current_dir("/");
    run(initdb);
    let half = kept.with_extension(format!("{}.half", std::process::id()));
    copy(to, &half);
    // Another test may have been faster.
    if std::fs::rename(&half, &kept).is_err() {
        std::fs::remove_dir_all(&half).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let mut copy = command("cp");
    copy.arg("-a").arg("--reflink=auto").arg(from).arg(to);
    run(copy);
}

fn keeper(directory: &Path) -> Keeper {
    // In a session of its own: whoever kills the test with its whole group does not kill what tidies up.
    let mut keeper = command("setsid");
    keeper.arg("sh").arg("-c").arg(KEEPER).arg(directory).current_dir("/");
    keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = keeper.spawn().unwrap();
    let mut ready = String::new();
    // Its output is closed afterwards, so that nobody waits for it.
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    let mut pipe = process.stdin.take().unwrap();
    pipe.flush().unwrap();
    Keeper { process, pipe: Some(pipe) }
}
