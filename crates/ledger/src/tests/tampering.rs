//! Whoever alters a log is found out: without the key by the log itself, with the key by the chains
//! or by a checkpoint kept elsewhere.

use super::*;

/// The public files that a checkpoint over seven entries needs.
const FILES: [&str; 3] = ["checkpoint", "tile/0/000.p/7", "tile/entries/000.p/7"];

#[tokio::test]
async fn a_flipped_byte_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 7).await;
    check(dir.path()).unwrap();
    for file in FILES {
        let path = dir.path().join(file);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut altered = good.clone();
            altered[at] ^= 1 << (at % 8);
            fs::write(&path, &altered).unwrap();
            assert!(check(dir.path()).is_err(), "{file} byte {at}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(check(dir.path()).is_err(), "{file} cut short");
        fs::write(&path, [&good[..], b"\n"].concat()).unwrap();
        assert!(check(dir.path()).is_err(), "{file} made longer");
        fs::remove_file(&path).unwrap();
        assert!(check(dir.path()).is_err(), "{file} removed");
        fs::write(&path, &good).unwrap();
    }
    let vkey = fs::read_to_string(dir.path().join("log.vkey")).unwrap();
    assert_eq!(&VerifierKey::parse(&vkey).unwrap(), signer().verifier());
}

#[tokio::test]
async fn a_flipped_byte_in_an_upper_tile_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path(), 600).await;
    let path = dir.path().join("tile/1/000.p/2");
    let mut altered = fs::read(&path).unwrap();
    altered[40] ^= 1;
    fs::write(&path, altered).unwrap();
    let error = check(dir.path()).unwrap_err();
    assert!(matches!(&error, LedgerError::TileWrong { path, .. } if path == "tile/1/000.p/2"), "{error}");
}

#[tokio::test]
async fn dropped_and_reordered_entries_are_refused_even_when_signed_again() {
    let made = tempfile::tempdir().unwrap();
    sample(made.path(), 9).await;
    let good = leaves(made.path());
    let kept = fs::read(made.path().join("checkpoint")).unwrap();
    let mut dropped = good.clone();
    dropped.remove(4);
    let mut reordered = good.clone();
    reordered.swap(3, 4);
    for altered in [dropped, reordered] {
        let dir = tempfile::tempdir().unwrap();
        forge(dir.path(), &altered);
        let error = check(dir.path()).unwrap_err();
        assert!(matches!(error, LedgerError::BadLeaf { .. }), "{error}");
        fs::write(dir.path().join("checkpoint"), &kept).unwrap();
        assert!(check(dir.path()).is_err(), "under the honest checkpoint");
    }
    // An insider who also counts the indexes anew still breaks the tenant's chain.
    let mut dropped = good;
    dropped.remove(4);
    for (n, leaf) in dropped.iter_mut().enumerate() {
        leaf[4..12].copy_from_slice(&(n as u64).to_be_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    forge(dir.path(), &dropped);
    let error = check(dir.path()).unwrap_err();
    assert!(matches!(&error, LedgerError::BrokenChain { index: 6, tenant, .. } if tenant == "acme"), "{error}");
}

#[tokio::test]
async fn numbering_everything_anew_still_breaks_the_chain() {
    let made = tempfile::tempdir().unwrap();
    sample(made.path(), 9).await;
    // All of one tenant's: entries 1, 4 and 7; without 4, with indexes and sequence numbers that fit.
    let mut altered = leaves(made.path());
    altered.remove(4);
    for (n, leaf) in altered.iter_mut().enumerate() {
        leaf[4..12].copy_from_slice(&(n as u64).to_be_bytes());
    }
    altered[6][12..20].copy_from_slice(&1u64.to_be_bytes());
    let dir = tempfile::tempdir().unwrap();
    forge(dir.path(), &altered);
    let error = check(dir.path()).unwrap_err();
    let expected = "it does not name the entry before it";
    assert!(matches!(&error, LedgerError::BrokenChain { index: 6, why, .. } if *why == expected), "{error}");
}

#[tokio::test]
async fn a_kept_checkpoint_shows_a_cut_tail_a_rollback_and_a_fork() {
    let made = tempfile::tempdir().unwrap();
    sample(made.path(), 300).await;
    let all = leaves(made.path());
    let against = |dir: &Path, note: Vec<u8>| {
        let options = VerifyOptions { against: Some(note), entry: Some(2) };
        verify(dir, signer().verifier(), ORIGIN, &options)
    };
    let kept = fs::read(made.path().join("checkpoint")).unwrap();
    assert_eq!(against(made.path(), kept.clone()).unwrap().continues, Some(300));

    let cut = tempfile::tempdir().unwrap();
    forge(cut.path(), &all[..290]);
    check(cut.path()).unwrap();
    let error = against(cut.path(), kept.clone()).unwrap_err();
    assert!(matches!(error, LedgerError::RolledBack { have: 290, signed: 300 }), "{error}");

    // An honest continuation of the shorter log passes.
    let older = fs::read(cut.path().join("checkpoint")).unwrap();
    assert_eq!(against(made.path(), older).unwrap().continues, Some(290));

    // The same first 290 with other entries after them, longer than before.
    let other = tempfile::tempdir().unwrap();
    let keyring = sample(other.path(), 290).await;
    assert_eq!(leaves(other.path()), all[..290], "seeded runs are the same");
    let (log, _) = open_log(other.path()).unwrap();
    record(&recorder(&log, &keyring), 400, 420).await;
    log.close().unwrap();
    check(other.path()).unwrap();
    let error = against(other.path(), kept).unwrap_err();
    assert!(matches!(error, LedgerError::Forked { size: 300 }), "{error}");

    let mut reader = LogReader::open(made.path(), signer().verifier(), ORIGIN).unwrap();
    let proof = reader.prove_consistency(290).unwrap();
    let old = LogReader::open(cut.path(), signer().verifier(), ORIGIN).unwrap().checkpoint().root;
    crate::merkle::check_consistency(290, &old, 300, &reader.checkpoint().root, &proof).unwrap();
    assert_eq!(reader.refresh().unwrap(), 0);
}
