//! Opening after a crash, and after worse.

use proptest::prelude::*;

use super::*;
use crate::journal::FRAME_HEADER;

/// Where each frame of the journal ends.
fn frame_ends(journal: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 32;
    while at < journal.len() {
        at += FRAME_HEADER + u32::from_be_bytes(journal[at + 4..at + 8].try_into().unwrap()) as usize;
        ends.push(at);
    }
    ends
}

/// A log of eight events whose checkpoint covers five.
async fn behind(dir: &Path) -> Arc<MemoryKeyring> {
    let keyring = sample(dir, 5).await;
    let checkpoint = fs::read(dir.join("checkpoint")).unwrap();
    let (log, _) = open_log(dir).unwrap();
    let recorder = recorder(&log, &keyring);
    for n in 5..8 {
        record(&recorder, n, n + 1).await;
    }
    drop(recorder);
    log.close().unwrap();
    drop(log);
    fs::write(dir.join("checkpoint"), checkpoint).unwrap();
    keyring
}

#[tokio::test]
async fn a_journal_torn_at_any_byte_keeps_every_whole_entry() {
    let made = tempfile::tempdir().unwrap();
    let keyring = behind(made.path()).await;
    let journal = fs::read(made.path().join("journal")).unwrap();
    let ends = frame_ends(&journal);
    assert_eq!((ends.len(), *ends.last().unwrap()), (8, journal.len()));
    for cut in 0..=journal.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
        // Every cut in the last three frames, and a sample of those that the checkpoint forbids.
        if whole < 5 && cut % 97 != 0 {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        fs::write(dir.path().join("journal"), &journal[..cut]).unwrap();
        let opened = open_log(dir.path());
        if whole < 5 {
            let refused =
                matches!(opened, Err(LedgerError::RolledBack { signed: 5, .. } | LedgerError::CorruptJournal { .. }));
            assert!(refused, "cut at {cut}");
            assert_eq!(fs::read(dir.path().join("journal")).unwrap().len(), cut, "nothing was changed");
            continue;
        }
        let (log, recovery) = opened.unwrap();
        assert_eq!((recovery.entries, recovery.unsigned), (whole, whole - 5), "cut at {cut}");
        let end = ends[whole as usize - 1];
        assert_eq!(recovery.torn_bytes as usize, cut - end);
        let receipt = recorder(&log, &keyring).record(event(50)).await.unwrap();
        assert_eq!(receipt.index, whole);
        log.close().unwrap();
        assert_eq!(check(dir.path()).unwrap().checkpoint.size, whole + 1);
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_in_the_journal_is_refused_or_cut_as_torn_at_the_very_end() {
    let made = tempfile::tempdir().unwrap();
    behind(made.path()).await;
    let journal = fs::read(made.path().join("journal")).unwrap();
    let ends = frame_ends(&journal);
    for at in (0..journal.len()).step_by(7) {
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        let mut altered = journal.clone();
        altered[at] ^= 1;
        fs::write(dir.path().join("journal"), &altered).unwrap();
        let opened = open_log(dir.path());
        if at < ends[6] {
            assert!(matches!(opened, Err(LedgerError::CorruptJournal { .. })), "byte {at}: {opened:?}");
        } else {
            // The last frame, which no later one and no checkpoint vouches for.
            assert_eq!(opened.unwrap().1.entries, 7, "byte {at}");
        }
    }
}

#[tokio::test]
async fn missing_and_wrong_tiles_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 520).await;
    let tile = dir.path().join("tile/0/001");
    let bundle = dir.path().join("tile/entries/000");
    let (good_tile, good_bundle) = (fs::read(&tile).unwrap(), fs::read(&bundle).unwrap());
    fs::remove_file(&tile).unwrap();
    let mut wrong = good_bundle.clone();
    wrong[1000] ^= 1;
    fs::write(&bundle, &wrong).unwrap();
    fs::remove_dir_all(dir.path().join("tile/0/002.p")).unwrap();
    assert!(check(dir.path()).is_err());
    let (log, recovery) = open_log(dir.path()).unwrap();
    assert_eq!(recovery.rebuilt, ["tile/entries/000", "tile/0/001"]);
    assert_eq!((fs::read(&tile).unwrap(), fs::read(&bundle).unwrap()), (good_tile, good_bundle));
    log.close().unwrap();
    assert_eq!(check(dir.path()).unwrap().checkpoint.size, 520);
}

#[tokio::test]
async fn a_log_without_its_parts_or_under_another_key_is_not_opened() {
    let made = tempfile::tempdir().unwrap();
    sample(made.path(), 4).await;
    type Harm = (&'static str, fn(&Path), fn(&LedgerError) -> bool);
    let harms: [Harm; 6] = [
        (
            "no journal",
            |d| fs::remove_file(d.join("journal")).unwrap(),
            |e| matches!(e, LedgerError::RolledBack { have: 0, signed: 4 }),
        ),
        (
            "neither journal nor checkpoint",
            |d| {
                fs::remove_file(d.join("journal")).unwrap();
                fs::remove_file(d.join("checkpoint")).unwrap();
            },
            |e| matches!(e, LedgerError::RolledBack { .. }),
        ),
        (
            "no checkpoint",
            |d| fs::remove_file(d.join("checkpoint")).unwrap(),
            |e| matches!(e, LedgerError::CheckpointMissing(_)),
        ),
        (
            "another key",
            |d| {
                let other = LogSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
                fs::write(d.join("log.vkey"), other.verifier().to_string()).unwrap();
            },
            |e| matches!(e, LedgerError::OtherKey(_)),
        ),
        (
            "a checkpoint by another key",
            |d| {
                let other = LogSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
                fs::write(d.join("checkpoint"), other.sign(4, &[0; 32])).unwrap();
            },
            |e| matches!(e, LedgerError::BadSignature(_)),
        ),
        (
            "a checkpoint over something else",
            |d| {
                fs::write(d.join("checkpoint"), signer().sign(4, &[9; 32])).unwrap();
            },
            |e| matches!(e, LedgerError::Forked { size: 4 }),
        ),
    ];
    for (name, harm, expected) in harms {
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        harm(dir.path());
        let error = open_log(dir.path()).map(|_| ()).unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_old_copy_put_back_whole_is_refused_against_a_kept_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = sample(dir.path(), 6).await;
    let old = tempfile::tempdir().unwrap();
    copy(dir.path(), old.path());
    let open_against = |dir: &Path, kept: &[u8]| {
        let mut config = LogConfig::new(dir, signer());
        config.kept = Some(kept.to_vec());
        Log::open(config)
    };
    let first = fs::read(dir.path().join("checkpoint")).unwrap();
    let (log, _) = open_against(dir.path(), &first).unwrap();
    record(&recorder(&log, &keyring), 6, 9).await;
    log.close().unwrap();
    drop(log);
    let kept = fs::read(dir.path().join("checkpoint")).unwrap();
    assert!(matches!(open_against(old.path(), &kept), Err(LedgerError::RolledBack { have: 6, signed: 9 })));
    // Without it the copy looks whole, and grows another history.
    let (log, _) = open_log(old.path()).unwrap();
    record(&recorder(&log, &keyring), 60, 69).await;
    log.close().unwrap();
    drop(log);
    assert!(matches!(open_against(old.path(), &kept), Err(LedgerError::Forked { size: 9 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn any_bytes_after_the_durable_part_are_cut_off(garbage in prop::collection::vec(any::<u8>(), 0..200), ours in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(sample(dir.path(), 3));
        let path = dir.path().join("journal");
        let mut journal = fs::read(&path).unwrap();
        if ours {
            journal.extend(b"SPJ\x01\0\0\0\x09");
        }
        journal.extend(&garbage);
        fs::write(&path, &journal).unwrap();
        let (_, recovery) = open_log(dir.path()).unwrap();
        prop_assert_eq!((recovery.entries, recovery.torn_bytes as usize), (3, garbage.len() + if ours { 8 } else { 0 }));
    }

    #[test]
    fn any_bytes_for_a_bundle_are_refused(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(sample(dir.path(), 3));
        fs::write(dir.path().join("tile/entries/000.p/3"), garbage).unwrap();
        prop_assert!(check(dir.path()).is_err());
    }
}
