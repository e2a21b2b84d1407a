use std::time::Instant;

use super::*;

fn spec(command: &str, args: &[&str]) -> StdioSpec {
    StdioSpec::from_configuration(command, args.iter().map(|&a| a.to_owned()).collect(), BTreeMap::new(), None)
}

fn shell(script: &str) -> StdioSpec {
    spec("sh", &["-c", script])
}

fn quiet() -> StderrSink {
    Arc::new(|_| {})
}

fn quick() -> SpawnLimits {
    SpawnLimits { max_line: 1024, eof_grace: Duration::from_millis(100), term_grace: Duration::from_millis(300) }
}

/// Whether the process is there and not a zombie.
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

async fn gone(pid: u32) -> bool {
    for _ in 0..100 {
        if !runs(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn lines_go_in_and_come_out() {
    let mut child = Spawner::new().spawn(&spec("cat", &[]), &quick(), quiet()).unwrap();
    child.stdin.write_line(b"{\"a\":1}").await.unwrap();
    assert_eq!(child.stdout.next_line().await.unwrap().unwrap(), "{\"a\":1}");
    assert!(child.stdin.write_line(b"two\nlines").await.is_err());
    drop(child.stdin);
    assert_eq!(child.stdout.next_line().await.unwrap(), None);
    let exit = child.handle.exited().await;
    assert!(exit.status.unwrap().success() && !exit.asked);
}

#[tokio::test]
async fn the_environment_is_the_allow_list_and_the_configuration() {
    // Cargo sets this one for every test, so its absence proves the cleaning.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let env = BTreeMap::from([("API_KEY".to_owned(), Secret::new("s3cret")), ("LANG".to_owned(), Secret::new("C"))]);
    let spec = StdioSpec::from_configuration("env", vec![], env, None);
    let mut child = Spawner::new().spawn(&spec, &quick(), quiet()).unwrap();
    let mut seen = Vec::new();
    while let Some(line) = child.stdout.next_line().await.unwrap() {
        seen.push(String::from_utf8(line.to_vec()).unwrap());
    }
    assert!(seen.contains(&"API_KEY=s3cret".to_owned()) && seen.contains(&"LANG=C".to_owned()), "{seen:?}");
    for line in &seen {
        let name = line.split('=').next().unwrap();
        assert!(INHERITED.contains(&name) || name == "API_KEY", "{line} leaked");
    }
    assert!(!format!("{spec:?}").contains("s3cret"));
}

#[tokio::test]
async fn an_argument_is_never_read_by_a_shell() {
    let spec = spec("printf", &["%s\n", "$(id); `id` | cat"]);
    let mut child = Spawner::new().spawn(&spec, &quick(), quiet()).unwrap();
    assert_eq!(child.stdout.next_line().await.unwrap().unwrap(), "$(id); `id` | cat");
}

#[tokio::test]
async fn a_missing_command_is_an_error_with_a_remedy() {
    let error = Spawner::new().spawn(&spec("no-such-command-here", &[]), &quick(), quiet()).unwrap_err();
    assert!(error.to_string().contains("PATH"), "{error}");
    assert!(!error.may_have_been_sent());
}

#[tokio::test]
async fn a_line_over_the_limit_is_an_error() {
    let script = shell("head -c 5000 /dev/zero | tr '\\0' x; echo; sleep 60");
    let mut child = Spawner::new().spawn(&script, &quick(), quiet()).unwrap();
    assert!(matches!(child.stdout.next_line().await, Err(Error::LineTooLong { limit: 1024 })));
}

#[tokio::test]
async fn error_output_reaches_the_sink_by_lines() {
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = Arc::clone(&seen);
    let sink: StderrSink = Arc::new(move |line| kept.lock().unwrap().push(line.to_owned()));
    let child = Spawner::new().spawn(&shell("echo one >&2; echo two >&2"), &quick(), sink).unwrap();
    child.handle.exited().await;
    for _ in 0..100 {
        if seen.lock().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(*seen.lock().unwrap(), ["one", "two"]);
}

/// A shell that ignores TERM, with a child that does too; it prints both ids.
const STUBBORN: &str = "trap '' TERM; (trap '' TERM; sleep 60; sleep 60) & echo $!; echo $$; while :; do sleep 1; done";

async fn two_pids(child: &mut Child) -> [u32; 2] {
    let mut pids = [0; 2];
    for pid in &mut pids {
        let line = child.stdout.next_line().await.unwrap().unwrap();
        *pid = std::str::from_utf8(&line).unwrap().parse().unwrap();
    }
    pids
}

#[tokio::test]
async fn stop_kills_a_stubborn_process_with_its_children() {
    let spawner = Spawner::new();
    let mut child = spawner.spawn(&shell(STUBBORN), &quick(), quiet()).unwrap();
    let [grandchild, leader] = two_pids(&mut child).await;
    assert!(runs(grandchild) && runs(leader));
    let began = Instant::now();
    drop(child.stdin);
    let exit = child.handle.stop().await;
    assert!(exit.asked && !exit.status.unwrap().success());
    assert!(began.elapsed() >= Duration::from_millis(400), "both graces pass before SIGKILL");
    assert!(gone(grandchild).await && gone(leader).await);
    assert_eq!(spawner.live_count(), 0);
}

#[tokio::test]
async fn dropping_the_handle_ends_the_group() {
    let mut child = Spawner::new().spawn(&shell(STUBBORN), &quick(), quiet()).unwrap();
    let pids = two_pids(&mut child).await;
    drop(child);
    assert!(gone(pids[0]).await && gone(pids[1]).await);
}

#[tokio::test]
async fn a_leader_that_exits_takes_its_children_along() {
    let mut child = Spawner::new().spawn(&shell("sleep 60 & echo $!; echo $$"), &quick(), quiet()).unwrap();
    let [grandchild, _] = two_pids(&mut child).await;
    assert!(!child.handle.exited().await.asked);
    assert!(gone(grandchild).await);
}

#[tokio::test]
async fn stop_all_ends_everything_and_starts_nothing_more() {
    let spawner = Spawner::new();
    let mut pids = Vec::new();
    let mut children = Vec::new();
    for _ in 0..3 {
        let mut child = spawner.spawn(&shell(STUBBORN), &quick(), quiet()).unwrap();
        pids.extend(two_pids(&mut child).await);
        children.push(child);
    }
    spawner.stop_all().await;
    for pid in pids {
        assert!(gone(pid).await);
    }
    assert!(matches!(spawner.spawn(&spec("cat", &[]), &quick(), quiet()), Err(Error::Stopping)));
}

#[test]
fn a_runtime_torn_down_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (child, pids) = runtime.block_on(async {
        let mut child = Spawner::new().spawn(&shell(STUBBORN), &quick(), quiet()).unwrap();
        let pids = two_pids(&mut child).await;
        (child, pids)
    });
    drop(runtime);
    let watcher = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(watcher.block_on(gone(pids[0])) && watcher.block_on(gone(pids[1])));
    drop(child);
}
