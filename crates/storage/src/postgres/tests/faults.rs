//! A server that stops, freezes, is killed, or ends a connection: refused in time, and nothing that was
//! answered with `Ok` is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::*;
use crate::{Grants, Revocations, Tenant, Tenants};

/// A node must refuse within 2 s; this is what its store may take of that.
const BOUND: Duration = Duration::from_millis(1_500);

async fn database(cluster: &Cluster) -> String {
    let name = cluster.next();
    sql(&cluster.url("postgres"), &format!("CREATE DATABASE {name}")).await.unwrap();
    cluster.url(&name)
}

fn tenant(n: usize) -> Tenant {
    let id = TenantId::new(format!("t{n}")).unwrap();
    Tenant { id, name: "a".into(), created_at: NOW, suspended: false, settings: Default::default() }
}

/// Everything that asks is refused, and in time: those that poll, read, write and revoke, many at once.
async fn all_are_refused(store: &Arc<PostgresStore>, what: &str) {
    for round in 0..2 {
        let mut tasks = JoinSet::new();
        for n in 0..40 {
            let (store, what) = (Arc::clone(store), what.to_owned());
            tasks.spawn(async move {
                let begun = Instant::now();
                let refused = match n % 4 {
                    0 => store.revocations_after(0, 10).await.map(|_| ()),
                    1 => store.tenants().await.map(|_| ()),
                    2 => store.put_tenant(&tenant(n)).await,
                    _ => store.revoke(&token(n), NOW).await.map(|_| ()),
                };
                let took = begun.elapsed();
                assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{what}: {n}: {refused:?}");
                assert!(took < BOUND, "{what}: {n} took {took:?} in round {round}");
                took
            });
        }
        let longest = tasks.join_all().await.into_iter().max();
        println!("{what}: the longest refusal took {longest:?}");
    }
}

async fn works(store: &PostgresStore, n: usize, what: &str) {
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < Duration::from_secs(5) {
        match store.put_tenant(&tenant(n)).await {
            Ok(()) => {
                assert_eq!(store.tenant(&tenant(n).id).await.unwrap(), Some(tenant(n)));
                store.revocations_after(0, 10).await.unwrap();
                println!("{what}: it works again after {:?}", begun.elapsed());
                return;
            }
            Err(error) => last = error.to_string(),
        }
    }
    panic!("{what}: it does not work again: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_or_freezes_is_refused_in_time_and_comes_back() {
    let mut cluster = Cluster::start(&[]);
    let store = Arc::new(connect(&database(&cluster).await).await.unwrap());
    works(&store, 0, "at first").await;

    cluster.freeze();
    all_are_refused(&store, "frozen").await;
    cluster.thaw();
    works(&store, 1, "thawed").await;

    cluster.stop();
    all_are_refused(&store, "stopped").await;
    cluster.serve();
    works(&store, 2, "started").await;

    // In the middle of steps: each is refused or done, and none hangs.
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for m in 0..20 {
                let begun = Instant::now();
                let done = store.put_tenant(&tenant(100 + n * 20 + m)).await;
                assert!(begun.elapsed() < BOUND, "{done:?} took {:?}", begun.elapsed());
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    cluster.freeze();
    tasks.join_all().await;
    cluster.thaw();
    works(&store, 3, "frozen in the middle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_ends_is_replaced() {
    let url = migrated().await;
    let store = Arc::new(connect(&url).await.unwrap());
    let mut operator = operator(&url).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..5 {
        let mut tasks = JoinSet::new();
        for n in 0..16 {
            let store = Arc::clone(&store);
            tasks.spawn(async move { store.put_tenant(&tenant(n)).await });
        }
        tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        assert!(count(&mut operator, end).await > 0);
        // The next steps find dead connections and use others.
        store.put_tenant(&tenant(round)).await.unwrap();
        assert_eq!(store.tenants().await.unwrap().len(), 16);
        store.revoke(&token(round), NOW).await.unwrap();
        assert_eq!(store.revocations_after(0, 100).await.unwrap().len(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_in_the_middle_of_a_step_holds_up_nobody() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    let mut dead = super::super::connection::open(&connection::options(&url).unwrap()).await.unwrap();
    let held = "BEGIN; UPDATE counters SET value = value + 1 WHERE name = 'revocation_epoch'";
    sqlx::raw_sql(held).execute(&mut dead).await.unwrap();
    let begun = Instant::now();
    assert_eq!(store.revoke(&token(1), NOW).await.unwrap(), 1);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(500) && took < BOUND, "{took:?}");
    // Whoever polls and reads does not wait at all.
    assert_eq!(store.revocations_after(0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_that_was_answered() {
    let mut cluster = Cluster::start(&[]);
    let url = database(&cluster).await;
    let store = Arc::new(connect(&url).await.unwrap());
    let mut first = 0;
    for round in 0..4 {
        let mut tasks = JoinSet::new();
        for writer in 0..12 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let mut kept = Vec::new();
                for n in 0.. {
                    let n = first + n * 12 + writer;
                    match store.revoke(&token(n), NOW).await {
                        Ok(epoch) => kept.push((epoch, token(n))),
                        Err(StoreError::Unavailable(_)) => return kept,
                        Err(error) => panic!("{error}"),
                    }
                    let id = format!("g{n}");
                    if store.add_grant(&grant(&id, "ann")).await.is_err() {
                        return kept;
                    }
                }
                kept
            });
        }
        tokio::time::sleep(Duration::from_millis(150 + 50 * round)).await;
        cluster.kill();
        let kept: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        assert!(!kept.is_empty(), "round {round}");
        cluster.serve();
        works(&store, round as usize, "killed and started").await;
        let log = store.revocations_after(0, usize::MAX).await.unwrap();
        for (n, entry) in (1u64..).zip(&log) {
            assert_eq!(entry.epoch, n, "no gap after round {round}");
        }
        for (epoch, subject) in &kept {
            assert_eq!(&log[*epoch as usize - 1].subject, subject, "epoch {epoch} of round {round} is lost");
        }
        println!("round {round}: {} were answered, {} are in the log", kept.len(), log.len());
        first += 100_000;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_step_half_done() {
    let url = migrated().await;
    let store = Arc::new(connect(&url).await.unwrap());
    for n in 0..40 {
        let subject = token(n as usize);
        let _ = tokio::time::timeout(Duration::from_micros(n * 150), store.revoke(&subject, NOW)).await;
    }
    let begun = Instant::now();
    while store.revocations_after(0, 100).await.unwrap().len() < 40 {
        assert!(begun.elapsed() < Duration::from_secs(5), "a step did not come to its end");
    }
    let mut operator = operator(&url).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(count(&mut operator, open).await, 0);
}
