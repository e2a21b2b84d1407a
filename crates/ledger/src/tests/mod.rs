//! Tests of the whole: append, recover, tamper, fail.

mod appending;
mod poison;
mod recovery;
mod tampering;

use std::{fs, path::Path, sync::Arc};

use futures::future::join_all;
use sallyport_model::{AuditEvent, EventId, EventKind, Receipt, Recorder, SeededRng, TenantId, Timestamp, UserId};

use crate::*;

pub(super) const ORIGIN: &str = "example.com/audit";

pub(super) fn signer() -> LogSigner {
    LogSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

pub(super) fn keyring() -> Arc<MemoryKeyring> {
    Arc::new(MemoryKeyring::new(Arc::new(SeededRng::new(11))))
}

pub(super) fn open_log(dir: &Path) -> Result<(Log, Recovery), LedgerError> {
    let mut config = LogConfig::new(dir, signer());
    config.checkpoint_interval = std::time::Duration::ZERO;
    Log::open(config)
}

pub(super) fn recorder(log: &Log, keyring: &Arc<MemoryKeyring>) -> LogRecorder {
    // A seed that differs between openings, so that ids do not repeat.
    let seed = *log.published().borrow() + 1000;
    LogRecorder::new(log.clone(), keyring.clone(), Arc::new(SeededRng::new(seed)))
}

/// Event `n`, of one of two tenants or of none.
pub(super) fn event(n: u64) -> AuditEvent {
    let now = Timestamp::from_millis(1_700_000_000_000 + n);
    let mut event = AuditEvent::new(EventKind::SignedIn, EventId::mint(now, &SeededRng::new(n)), now);
    event.tenant = match n % 3 {
        0 => None,
        1 => Some(TenantId::new("acme").unwrap()),
        _ => Some(TenantId::new("globex").unwrap()),
    };
    event.who = Some(sallyport_model::event::Who {
        subject: sallyport_model::Actor::Human(UserId::new(format!("user-{}", n % 5)).unwrap()),
        on_behalf_of: Vec::new(),
        client: None,
        session: None,
        grant: None,
        token: None,
    });
    event
}

/// Records events `from` to `to`, many waiting at the same time and in order: as few as the runtime
/// lets one task poll before it makes it yield.
pub(super) async fn record(recorder: &LogRecorder, from: u64, to: u64) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for start in (from..to).step_by(40) {
        let end = to.min(start + 40);
        receipts.extend(join_all((start..end).map(|n| recorder.record(event(n)))).await);
    }
    receipts.into_iter().map(Result::unwrap).collect()
}

/// A closed log of `n` events.
pub(super) async fn sample(dir: &Path, n: u64) -> Arc<MemoryKeyring> {
    let keyring = keyring();
    let (log, _) = open_log(dir).unwrap();
    record(&recorder(&log, &keyring), 0, n).await;
    log.close().unwrap();
    keyring
}

pub(super) fn check(dir: &Path) -> Result<Verified, LedgerError> {
    verify(dir, signer().verifier(), ORIGIN, &VerifyOptions::default())
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Writes the log of these leaves as somebody who has the signing key would.
pub(super) fn forge(dir: &Path, leaves: &[Vec<u8>]) {
    let mut tiles = crate::tiles::TileWriter::new(dir, crate::tiles::Mode::Append);
    for leaf in leaves {
        tiles.push(leaf, leaf_hash(leaf)).unwrap();
    }
    tiles.write_partials().unwrap();
    fs::write(dir.join("checkpoint"), signer().sign(tiles.size(), &tiles.root())).unwrap();
}

pub(super) fn leaves(dir: &Path) -> Vec<Vec<u8>> {
    let reader = LogReader::open(dir, signer().verifier(), ORIGIN).unwrap();
    reader.entries(0).map(|entry| entry.unwrap().bytes).collect()
}
