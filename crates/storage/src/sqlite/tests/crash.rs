//! A process killed in the middle of its work: what it acknowledged never lives again.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use sallyport_model::{ClientId, Timestamp};
use tokio::task::JoinSet;

use super::open;
use crate::{Authorizations, CodeUse, Digest, Grants, NewRefresh, Revocations, Rotation, SqliteStore};

/// As `crash_child` makes them.
fn digest(kind: u8, n: u64) -> Digest {
    let mut digest = [kind; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

fn child_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/crash_child");
    assert!(program.exists(), "build it first: cargo build -p sallyport-storage --examples");
    program
}

#[expect(clippy::disallowed_methods, reason = "nothing but a real process can be killed like one")]
fn start(database: &Path, from: u64) -> Child {
    let mut command = std::process::Command::new(child_program());
    command.arg(database).arg(from.to_string()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Lets the child work until it has acknowledged `enough`, kills it, and returns every
/// acknowledgement that got out: what was done, and its number.
fn work_and_kill(database: &Path, from: u64, enough: usize) -> Vec<(String, u64)> {
    let mut child = start(database, from);
    let mut said = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        // The last line may be cut; then nobody was told.
        if let Some((what, n)) = line.strip_suffix('\n').and_then(|line| line.split_once(' ')) {
            said.push((what.to_owned(), n.parse().unwrap()));
        }
        line.clear();
        if said.len() == enough {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(said.len() >= enough, "the child ended by itself ({status}) after {} steps", said.len());
    said
}

async fn check(store: Arc<SqliteStore>, what: &str, n: u64) {
    let now = Timestamp::from_secs(1_700_000_100);
    match what {
        "consumed" => {
            let again = store.consume_code(&digest(1, n), now).await.unwrap();
            assert!(matches!(again, CodeUse::Replayed { .. }), "code {n} lives again: {again:?}");
        }
        "rotated" => {
            let (_, alive) = store.grant_of_refresh(&digest(2, n), now).await.unwrap().unwrap();
            assert!(!alive, "refresh token {n} lives again");
            let (_, successor) = store.grant_of_refresh(&digest(3, n), now).await.unwrap().unwrap();
            assert!(successor, "the successor of {n} was handed out and is lost");
            let new = NewRefresh { token: digest(4, n), idle_expires_at: Timestamp::from_secs(1_800_000_000) };
            let client = ClientId::new("editor").unwrap();
            let again = store.rotate_refresh(&digest(2, n), &client, &new, now, Duration::ZERO).await.unwrap();
            assert!(matches!(again, Rotation::Reused(_)), "refresh token {n}: {again:?}");
        }
        "revoked" => {
            let epochs = store.revocations_after(n - 1, 1).await.unwrap();
            assert_eq!(epochs.first().map(|entry| entry.epoch), Some(n), "epoch {n} is lost");
        }
        other => panic!("the child said `{other}`"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_bring_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("s.db");
    for round in 0..10u64 {
        let enough = 30 + 17 * round as usize;
        let said = work_and_kill(&database, round * 1_000_000, enough);
        for what in ["consumed", "rotated", "revoked"] {
            assert!(said.iter().any(|(said, _)| said == what), "round {round} saw nothing {what}");
        }
        let store = Arc::new(open(&database).unwrap());
        let mut checks = JoinSet::new();
        for (what, n) in said {
            let store = Arc::clone(&store);
            checks.spawn(async move { check(store, &what, n).await });
        }
        checks.join_all().await;
        let epochs: Vec<u64> =
            store.revocations_after(0, usize::MAX).await.unwrap().iter().map(|entry| entry.epoch).collect();
        assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>(), "no gap after round {round}");
    }
}
