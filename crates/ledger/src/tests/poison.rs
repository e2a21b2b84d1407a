//! One failure ends the log for good, and no acknowledged event is lost by it.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use sallyport_model::RecordError;

use super::*;
use crate::journal::{Journal, JournalFile};

/// Fails its `nth` write or sync, counting from 1, with EIO; and counts what is tried after that.
struct Failing {
    journal: Journal,
    fail_write: u64,
    fail_sync: u64,
    writes: u64,
    syncs: u64,
    after: Arc<AtomicU64>,
    failed: bool,
}

impl JournalFile for Failing {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.after.fetch_add(self.failed.into(), Ordering::SeqCst);
        self.writes += 1;
        if self.writes == self.fail_write {
            self.failed = true;
            // Half of it arrives.
            self.journal.append(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::from_raw_os_error(28));
        }
        self.journal.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.after.fetch_add(self.failed.into(), Ordering::SeqCst);
        self.syncs += 1;
        if self.syncs == self.fail_sync {
            self.failed = true;
            return Err(io::Error::from_raw_os_error(5));
        }
        self.journal.sync()
    }
    fn check(&mut self, length: u64) -> Result<(), String> {
        self.journal.check(length)
    }
}

async fn fails_at(fail_write: u64, fail_sync: u64) {
    let dir = tempfile::tempdir().unwrap();
    let keyring = keyring();
    let after = Arc::new(AtomicU64::new(0));
    let count = after.clone();
    let wrap = move |journal| -> Box<dyn JournalFile> {
        let (writes, syncs, failed) = (0, 0, false);
        Box::new(Failing { journal, fail_write, fail_sync, writes, syncs, after: count, failed })
    };
    let (log, _) = Log::open_with(LogConfig::new(dir.path(), signer()), wrap).unwrap();
    let recorder = recorder(&log, &keyring);
    let mut acknowledged = 0;
    let mut refused = 0;
    for round in 0..6 {
        for result in join_all((0..10).map(|n| recorder.record(event(round * 10 + n)))).await {
            match result {
                Ok(_) => acknowledged += 1,
                Err(RecordError::Poisoned(why)) => {
                    assert!(why.contains("journal"), "{why}");
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(acknowledged > 0 && refused > 0);
    assert!(recorder.ready().is_err());
    assert!(log.close().is_err());
    assert_eq!(after.load(Ordering::SeqCst), 0, "nothing is tried again");
    drop((recorder, log));
    let (log, recovery) = open_log(dir.path()).unwrap();
    assert!(recovery.entries >= acknowledged, "{} of {acknowledged}", recovery.entries);
    log.close().unwrap();
    check(dir.path()).unwrap();
}

#[tokio::test]
async fn a_failed_sync_poisons() {
    fails_at(0, 3).await;
}

#[tokio::test]
async fn a_failed_write_poisons() {
    fails_at(3, 0).await;
}

#[tokio::test]
async fn a_journal_that_is_swapped_removed_or_cut_under_the_writer_poisons() {
    let harms: [fn(&Path); 3] = [
        |journal| fs::remove_file(journal).unwrap(),
        |journal| {
            let bytes = fs::read(journal).unwrap();
            fs::remove_file(journal).unwrap();
            fs::write(journal, bytes).unwrap();
        },
        |journal| fs::OpenOptions::new().write(true).open(journal).unwrap().set_len(40).unwrap(),
    ];
    for harm in harms {
        let dir = tempfile::tempdir().unwrap();
        let keyring = keyring();
        let (log, _) = open_log(dir.path()).unwrap();
        let recorder = recorder(&log, &keyring);
        record(&recorder, 0, 3).await;
        harm(&dir.path().join("journal"));
        for _ in 0..2 {
            assert!(matches!(recorder.record(event(9)).await, Err(RecordError::Poisoned(_))));
        }
    }
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_written_poisons() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = keyring();
    let (log, _) = open_log(dir.path()).unwrap();
    let recorder = recorder(&log, &keyring);
    fs::remove_file(dir.path().join("checkpoint")).unwrap();
    fs::create_dir_all(dir.path().join("checkpoint/in-the-way")).unwrap();
    // The event itself is durable before the checkpoint fails.
    recorder.record(event(0)).await.unwrap();
    while recorder.ready().is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(recorder.record(event(1)).await.is_err());
}

#[tokio::test]
async fn an_event_without_a_key_is_not_recorded_and_the_log_goes_on() {
    struct NoKeys;
    impl Keyring for NoKeys {
        fn seal_key(
            &self,
            _: Option<&TenantId>,
            _: Option<&UserId>,
        ) -> Result<(sallyport_model::DataKeyId, DataKey), KeyError> {
            Err(KeyError("storage is away".into()))
        }
        fn open_key(&self, _: &sallyport_model::DataKeyId) -> Result<Option<DataKey>, KeyError> {
            Err(KeyError("storage is away".into()))
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open_log(dir.path()).unwrap();
    let without = LogRecorder::new(log.clone(), Arc::new(NoKeys), Arc::new(SeededRng::new(1)));
    assert!(matches!(without.record(event(0)).await, Err(RecordError::NoKey(_))));
    record(&recorder(&log, &keyring()), 0, 2).await;
    log.close().unwrap();
    assert_eq!(check(dir.path()).unwrap().checkpoint.size, 2);
}
