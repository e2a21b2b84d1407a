//! Parked requests and authorization codes.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::samples::*;
use crate::{CodeUse, Parked, ParkedKind, Revocation, RevocationSubject, Store, StoreError};

fn parked(n: u64) -> Parked {
    Parked { handle: digest(n), kind: ParkedKind::Interactive, body: HOSTILE.into(), expires_at: NOW.plus(HOUR) }
}

pub(super) async fn parking(store: Arc<dyn Store>) {
    let (kind, end) = (ParkedKind::Interactive, NOW.plus(HOUR));
    let one = parked(1);
    store.park(&one).await.unwrap();
    assert!(matches!(store.park(&one).await, Err(StoreError::Exists("parked request"))));
    assert_eq!(store.parked(&one.handle, kind, NOW).await.unwrap(), Some(one.clone()));
    assert_eq!(store.parked(&one.handle, kind, end).await.unwrap(), None, "it ended");

    for other in [ParkedKind::Pushed, ParkedKind::Ceremony] {
        assert_eq!(store.parked(&one.handle, other, NOW).await.unwrap(), None);
        assert!(!store.repark(&one.handle, other, "x", NOW).await.unwrap());
        assert_eq!(store.unpark(&one.handle, other, NOW).await.unwrap(), None);
    }
    assert!(store.repark(&one.handle, kind, "{\"step\":2}", NOW).await.unwrap());
    assert!(!store.repark(&one.handle, kind, "late", end).await.unwrap());
    assert!(!store.repark(&digest(2), kind, "x", NOW).await.unwrap());
    assert_eq!(store.unpark(&one.handle, kind, end).await.unwrap(), None, "too late to take");
    let taken = store.unpark(&one.handle, kind, NOW).await.unwrap();
    assert_eq!(taken, Some(Parked { body: "{\"step\":2}".into(), ..one.clone() }));
    assert_eq!(store.unpark(&one.handle, kind, NOW).await.unwrap(), None, "once");
    assert_eq!(store.parked(&one.handle, kind, NOW).await.unwrap(), None);
}

pub(super) async fn one_of_many_unparks(store: Arc<dyn Store>) {
    store.park(&parked(1)).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.unpark(&digest(1), ParkedKind::Interactive, NOW).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.into_iter().flatten().count(), 1);
}

pub(super) async fn codes(store: Arc<dyn Store>) {
    store.add_grant(&grant("g1")).await.unwrap();
    let record = code("g1");
    assert_eq!(store.consume_code(&digest(1), NOW).await.unwrap(), CodeUse::Unknown);
    store.add_code(&digest(1), &record).await.unwrap();
    assert!(matches!(store.add_code(&digest(1), &record).await, Err(StoreError::Exists("authorization code"))));
    assert_eq!(store.consume_code(&digest(1), record.expires_at).await.unwrap(), CodeUse::Expired);
    assert_eq!(store.consume_code(&digest(1), NOW).await.unwrap(), CodeUse::Fresh(record.clone()));
    assert_eq!(store.grant(&record.grant).await.unwrap().unwrap().revoked_at, None);

    // Hours after the code's own minute: what counts is the grant that it gave.
    let late = NOW.plus(5 * HOUR);
    for first in [true, false, false] {
        let replayed = CodeUse::Replayed { grant: record.grant.clone(), first };
        assert_eq!(store.consume_code(&digest(1), late).await.unwrap(), replayed);
    }
    assert_eq!(store.grant(&record.grant).await.unwrap().unwrap().revoked_at, Some(late));
    let log = store.revocations_after(0, 10).await.unwrap();
    let once = Revocation { epoch: 1, subject: RevocationSubject::Grant(record.grant.clone()), at: late };
    assert_eq!(log, [once], "replays after the first add nothing");
    assert!(matches!(
        store.add_refresh(&record.grant, &refresh(1), late).await,
        Err(StoreError::Missing("living grant"))
    ));
}

pub(super) async fn code_of_a_grant_stored_late(store: Arc<dyn Store>) {
    store.add_code(&digest(1), &code("g1")).await.unwrap();
    assert!(matches!(store.consume_code(&digest(1), NOW).await.unwrap(), CodeUse::Fresh(_)));
    for _ in 0..3 {
        assert!(matches!(store.consume_code(&digest(1), NOW).await.unwrap(), CodeUse::Replayed { .. }));
    }
    assert_eq!(store.revocations_after(0, 10).await.unwrap().len(), 1, "a used code cannot fill the log");
    store.add_grant(&grant("g1")).await.unwrap();
    let stored = store.grant(&grant_id("g1")).await.unwrap().unwrap();
    assert_eq!(stored.revoked_at, Some(NOW), "born dead");
}

/// The first presentation wins; every other one is a replay, so the family is dead in the end,
/// and the log says so once.
pub(super) async fn one_of_many_consumes(store: Arc<dyn Store>) {
    store.add_grant(&grant("g1")).await.unwrap();
    store.add_code(&digest(1), &code("g1")).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.consume_code(&digest(1), NOW).await.unwrap() });
    }
    let uses = tasks.join_all().await;
    assert_eq!(uses.iter().filter(|found| matches!(found, CodeUse::Fresh(_))).count(), 1);
    assert_eq!(uses.iter().filter(|found| matches!(found, CodeUse::Replayed { .. })).count(), 99);
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert_eq!(store.revocations_after(0, 1000).await.unwrap().len(), 1);
}

pub(super) async fn purging(store: Arc<dyn Store>) {
    store.park(&parked(1)).await.unwrap();
    family(&*store, "g1", 1).await;
    store.add_code(&digest(1), &code("g1")).await.unwrap();
    store.add_code(&digest(2), &code("g2")).await.unwrap();
    store.consume_code(&digest(1), NOW).await.unwrap();
    assert_eq!(store.purge(NOW).await.unwrap(), 0);

    assert_eq!(store.purge(NOW.plus(HOUR)).await.unwrap(), 1, "what was parked");
    assert_eq!(store.parked(&digest(1), ParkedKind::Interactive, NOW).await.unwrap(), None);

    // The unused code goes; the used one stays for as long as its grant could live.
    let gone = store.purge(NOW.plus(DAY + Duration::from_secs(61))).await.unwrap();
    assert_eq!(gone, 1);
    assert_eq!(store.consume_code(&digest(2), NOW).await.unwrap(), CodeUse::Unknown);
    assert!(matches!(store.consume_code(&digest(1), NOW).await.unwrap(), CodeUse::Replayed { first: true, .. }));

    assert_eq!(store.purge(NOW.plus(2 * DAY)).await.unwrap(), 3, "the code, the refresh token and the grant");
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap(), None);
    assert_eq!(store.consume_code(&digest(1), NOW).await.unwrap(), CodeUse::Unknown);
}
