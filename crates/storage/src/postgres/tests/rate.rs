//! How many durable steps a second; run it with `--run-ignored all --no-capture`.

use std::{sync::Arc, time::Instant};

use tokio::task::JoinSet;

use super::*;
use crate::{Authorizations, Parked, ParkedKind, Revocations};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and asserts nothing"]
async fn commits_a_second() {
    let cluster = Cluster::start(&["fsync=on"]);
    let store = Arc::new(connect(&cluster.url("postgres")).await.unwrap());
    for (callers, each) in [(1, 300), (64, 60)] {
        for what in ["revoke", "park"] {
            let begun = Instant::now();
            let mut tasks = JoinSet::new();
            for caller in 0..callers {
                let store = Arc::clone(&store);
                tasks.spawn(async move {
                    for n in 0..each {
                        let number = caller * each + n + callers * 1_000_000;
                        if what == "revoke" {
                            store.revoke(&token(number), NOW).await.unwrap();
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
}
