//! How many durable steps a second; run it with `--run-ignored all --no-capture`.

use std::{sync::Arc, time::Instant};

use sallyport_model::{Timestamp, TokenId};
use tokio::task::JoinSet;

use super::open;
use crate::{RevocationSubject, Revocations};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and asserts nothing"]
async fn commits_a_second() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let store = Arc::new(open(&directory.path().join("s.db")).unwrap());
    for (callers, each) in [(1, 400), (64, 200)] {
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for n in 0..each {
                    let subject = RevocationSubject::Token(TokenId::new(format!("{caller}-{n}")).unwrap());
                    store.revoke(&subject, Timestamp::from_secs(1)).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let rate = f64::from(callers * each) / begun.elapsed().as_secs_f64();
        println!("{callers:>3} callers: {rate:.0} durable steps/s");
    }
}
