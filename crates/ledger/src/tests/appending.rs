//! What goes in comes out, in order, chained, and grouped.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::*;
use crate::journal::JournalFile;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn batches_of_any_size_verify_and_read_back(sizes in prop::collection::vec(1u64..200, 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let keyring = keyring();
            let mut total = 0;
            for size in sizes {
                // Each batch in a life of its own: chains and tiles go on where they were.
                let (log, recovery) = open_log(dir.path()).unwrap();
                assert_eq!((recovery.entries, recovery.unsigned, recovery.torn_bytes), (total, 0, 0));
                assert_eq!(recovery.rebuilt, Vec::<String>::new());
                let receipts = record(&recorder(&log, &keyring), total, total + size).await;
                assert_eq!(receipts.iter().map(|r| r.index).collect::<Vec<_>>(), (total..total + size).collect::<Vec<_>>());
                log.close().unwrap();
                total += size;
                let verified = check(dir.path()).unwrap();
                assert_eq!(verified.checkpoint.size, total);
                assert_eq!(verified.chains.iter().map(|(_, count, _)| count).sum::<u64>(), total);
            }
            let reader = LogReader::open(dir.path(), signer().verifier(), ORIGIN).unwrap();
            for (n, entry) in reader.entries(0).enumerate() {
                let entry = entry.unwrap();
                let found = entry.open(&*keyring).unwrap().event(entry.index).unwrap().unwrap();
                assert_eq!((entry.index, found), (n as u64, event(n as u64)));
                assert_eq!(entry.leaf.place.tenant_sequence, n as u64 / 3);
            }
            assert_eq!(reader.entries(total - 1).count(), 1);
            let back: Vec<u64> = reader.entries_back().map(|entry| entry.unwrap().index).collect();
            assert_eq!(back, (0..total).rev().collect::<Vec<_>>());
            assert!(matches!(reader.entry(total), Err(LedgerError::NoSuchEntry { .. })));
        });
    }
}

struct Counting(crate::journal::Journal, Arc<AtomicU64>);
impl JournalFile for Counting {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_millis(2));
        self.0.sync()
    }
    fn check(&mut self, length: u64) -> Result<(), String> {
        self.0.check(length)
    }
}

#[test]
fn sixty_four_threads_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU64::new(0));
    let count = syncs.clone();
    let config = LogConfig::new(dir.path(), signer());
    let (log, _) = Log::open_with(config, |journal| Box::new(Counting(journal, count))).unwrap();
    let keyring = keyring();
    let threads: Vec<_> = (0..64u64)
        .map(|thread| {
            let recorder = recorder(&log, &keyring);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let indexes = (0..20).map(|n| runtime.block_on(recorder.record(event(thread * 20 + n))).unwrap().index);
                indexes.collect::<Vec<_>>()
            })
        })
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        let indexes = thread.join().unwrap();
        assert!(indexes.is_sorted(), "one caller's events keep their order");
        all.extend(indexes);
    }
    all.sort_unstable();
    assert_eq!(all, (0..1280).collect::<Vec<_>>());
    log.close().unwrap();
    assert!(syncs.load(Ordering::SeqCst) <= 320, "{} syncs for 1280 events", syncs.load(Ordering::SeqCst));
    assert_eq!(check(dir.path()).unwrap().checkpoint.size, 1280);
}

/// A journal whose sync waits for the test.
struct Held(crate::journal::Journal, std::sync::mpsc::Receiver<()>, Arc<AtomicU64>);
impl JournalFile for Held {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.2.fetch_add(1, Ordering::SeqCst);
        self.1.recv().map_err(io::Error::other)?;
        self.0.sync()
    }
    fn check(&mut self, length: u64) -> Result<(), String> {
        self.0.check(length)
    }
}

#[tokio::test]
async fn nobody_hears_back_before_the_sync_and_all_who_wait_share_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (release, held) = std::sync::mpsc::channel();
    let begun = Arc::new(AtomicU64::new(0));
    let count = begun.clone();
    let config = LogConfig::new(dir.path(), signer());
    let (log, _) = Log::open_with(config, |journal| Box::new(Held(journal, held, count))).unwrap();
    let recorder = Arc::new(recorder(&log, &keyring()));
    let spawn = |n| {
        let recorder = recorder.clone();
        tokio::spawn(async move { recorder.record(event(n)).await.unwrap().index })
    };
    let settle = || tokio::time::sleep(std::time::Duration::from_millis(30));
    let first = spawn(0);
    while begun.load(Ordering::SeqCst) == 0 {
        settle().await;
    }
    let others: Vec<_> = (1..11).map(spawn).collect();
    settle().await;
    assert!(!first.is_finished() && others.iter().all(|other| !other.is_finished()));
    assert_eq!(*log.published().borrow(), 0, "no checkpoint runs ahead of the journal");
    release.send(()).unwrap();
    assert_eq!(first.await.unwrap(), 0);
    settle().await;
    assert!(others.iter().all(|other| !other.is_finished()));
    release.send(()).unwrap();
    for other in others {
        other.await.unwrap();
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2, "ten events, one sync");
    log.close().unwrap();
    assert_eq!(check(dir.path()).unwrap().checkpoint.size, 11);
}

#[tokio::test]
async fn a_shredded_key_erases_the_event_and_leaves_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = sample(dir.path(), 30).await;
    let before = check(dir.path()).unwrap();
    let (tenant, person) = (TenantId::new("acme").unwrap(), UserId::new("user-1").unwrap());
    assert!(keyring.shred(Some(&tenant), Some(&person)));
    let reader = LogReader::open(dir.path(), signer().verifier(), ORIGIN).unwrap();
    let erased: Vec<u64> = reader
        .entries(0)
        .map(Result::unwrap)
        .filter(|entry| entry.open(&*keyring).unwrap() == Opened::Erased)
        .map(|entry| entry.index)
        .collect();
    assert_eq!(erased, [1, 16]);
    assert_eq!(check(dir.path()).unwrap(), before);
    let options = VerifyOptions { entry: Some(16), ..Default::default() };
    let verified = verify(dir.path(), signer().verifier(), ORIGIN, &options).unwrap();
    assert_eq!(verified.entry.unwrap().index, 16);
}

#[tokio::test]
async fn going_back_each_bundle_is_read_once_and_an_error_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 600).await;
    let reader = LogReader::open(dir.path(), signer().verifier(), ORIGIN).unwrap();
    let mut back = reader.entries_back();
    assert_eq!(back.nth(600 - 512).unwrap().unwrap().index, 511);
    fs::remove_file(dir.path().join("tile/entries/001")).unwrap();
    fs::remove_file(dir.path().join("tile/entries/000")).unwrap();
    assert_eq!(back.nth(254).unwrap().unwrap().index, 256, "what was read is not read again");
    assert!(matches!(back.next(), Some(Err(LedgerError::TileMissing(_)))));
    assert!(back.next().is_none());
}

#[tokio::test]
async fn a_reader_follows_a_growing_log_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = keyring();
    let (log, _) = open_log(dir.path()).unwrap();
    let recorder = recorder(&log, &keyring);
    let mut reader = LogReader::open(dir.path(), log.verifier(), ORIGIN).unwrap();
    let mut next = 0;
    for _ in 0..6 {
        record(&recorder, next, next + 97).await;
        log.published().wait_for(|size| *size == next + 97).await.unwrap();
        assert_eq!(reader.refresh().unwrap(), 97);
        assert_eq!(
            reader.entries(next).map(|e| e.unwrap().index).collect::<Vec<_>>(),
            (next..next + 97).collect::<Vec<_>>()
        );
        next += 97;
    }
    let other = tempfile::tempdir().unwrap();
    forge(other.path(), &[vec![1], vec![2]]);
    fs::copy(other.path().join("checkpoint"), dir.path().join("checkpoint")).unwrap();
    assert!(matches!(reader.refresh(), Err(LedgerError::RolledBack { .. })));
}

#[tokio::test]
async fn after_closing_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = keyring();
    let (log, _) = open_log(dir.path()).unwrap();
    let recorder = recorder(&log, &keyring);
    assert!(matches!(open_log(dir.path()), Err(LedgerError::Locked(_))));
    log.close().unwrap();
    let refused = recorder.record(event(0)).await;
    assert!(matches!(refused, Err(sallyport_model::RecordError::Poisoned(_))));
}
