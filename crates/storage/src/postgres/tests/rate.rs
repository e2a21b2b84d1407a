//! How many durable steps a second; run it with `--run-ignored all --no-capture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::*;
use crate::{Authorizations, Connections, Parked, ParkedKind, Revocations};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and asserts nothing"]
async fn commits_a_second() {
    let cluster = Cluster::start(&["fsync=on"]);
    let store = Arc::new(connect(&cluster.url("postgres")).await.unwrap());
    for (callers, each) in [(1, 300), (64, 60)] {
        for what in ["revoke", "park", "use_once"] {
            let begun = Instant::now();
            let mut tasks = JoinSet::new();
            for caller in 0..callers {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    for n in 0..each {
                        let number = caller * each + n + callers * 1_000_000;
                        if what == "revoke" {
                            store.revoke(&token(number), NOW).await.unwrap();
                        } else if what == "use_once" {
                            let end = NOW.plus(Duration::from_secs(60));
                            store.use_once("proof", &digest(2, number as u64), NOW, end).await.unwrap();
                        } else {
                            let handle = digest(1, number as u64);
                            let parked =
                                Parked { handle, kind: ParkedKind::Pushed, body: "{}".into(), expires_at: NOW };
                            store.park(&parked).await.unwrap();
                        }
                    }
                });
            }
            tasks.join_all().await;
            let rate = (callers * each) as f64 / begun.elapsed().as_secs_f64();
            println!("{what}, {callers:>2} callers: {rate:.0} durable steps/s");
        }
    }
    // As a gate does it that gathers them.
    for (callers, batch) in [(1, 100), (4, 100)] {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for n in 0..50 {
                    let number = |id: usize| (((callers * 1_000 + caller) * 1_000 + n) * 1_000 + id) as u64;
                    let end = NOW.plus(Duration::from_secs(60));
                    let uses: Vec<_> = (0..batch).map(|id| (digest(3, number(id)), end)).collect();
                    assert!(store.use_each_once("proof", &uses, NOW).await.unwrap().iter().all(|fresh| *fresh));
                }
            });
        }
        tasks.join_all().await;
        let rate = (callers * 50 * batch) as f64 / begun.elapsed().as_secs_f64();
        println!("use_each_once, {callers:>2} callers of {batch} each: {rate:.0} ids/s");
    }
}
