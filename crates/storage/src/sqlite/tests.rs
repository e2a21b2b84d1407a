//! What only the embedded backend promises: its files, its seals, its disk.

mod crash;
mod files;
mod rate;

use std::{path::Path, sync::Arc};

use sallyport_model::{TenantId, Timestamp};
use zeroize::Zeroizing;

use super::SqliteStore;
use crate::{Store, StoreError, Tenant, Tenants};

const KEY: [u8; 32] = [7; 32];

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Zeroizing::new(KEY))
}

fn tenant(n: usize, name: &str) -> Tenant {
    let id = TenantId::new(format!("t{n}")).unwrap();
    Tenant::new(id, name, Timestamp::from_secs(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    crate::conformance::run(async || {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Arc::new(open(&directory.path().join(format!("{n}.db"))).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[test]
fn sqlite_has_no_known_corruption_bug() {
    // Versions before 3.51.3 can corrupt a database in WAL mode.
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[tokio::test]
async fn commits_are_synced_and_references_hold() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    let pragma = async |name: &'static str| {
        store.write(move |c| Ok(c.pragma_query_value(None, name, |row| row.get::<_, i64>(0))?)).await.unwrap()
    };
    assert_eq!(pragma("synchronous").await, 2, "FULL");
    assert_eq!(pragma("foreign_keys").await, 1);
    assert_eq!(pragma("secure_delete").await, 1);
    let mode = store.read(|c| Ok(c.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?)).await;
    assert_eq!(mode.unwrap(), "wal");
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    let tried = store.read(|c| Ok(c.execute("DELETE FROM tenants", [])?)).await;
    assert!(matches!(tried, Err(StoreError::Unavailable(_))), "{tried:?}");
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    let limit = async |pages: i64| {
        // The answer of this pragma is a row, which the caller does not need.
        store.write(move |c| Ok(c.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)).await
    };
    limit(1).await.unwrap();
    let big = "x".repeat(200_000);
    let full = store.put_tenant(&tenant(1, &big)).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    assert_eq!(store.tenant(&tenant(1, "").id).await.unwrap(), None, "nothing of it happened");
    limit(1_000_000).await.unwrap();
    store.put_tenant(&tenant(1, &big)).await.unwrap();
    assert_eq!(store.tenant(&tenant(1, "").id).await.unwrap(), Some(tenant(1, &big)));
}

#[tokio::test]
async fn a_database_that_another_process_holds_is_unavailable_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    let store = open(&path).unwrap();
    store.write(|c| Ok(c.busy_timeout(std::time::Duration::from_millis(20))?)).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = store.put_tenant(&tenant(1, "a")).await;
    assert!(matches!(busy, Err(StoreError::Unavailable(_))), "{busy:?}");
    assert!(store.tenants().await.unwrap().is_empty(), "readers go on");
    other.execute_batch("ROLLBACK").unwrap();
    store.put_tenant(&tenant(1, "a")).await.unwrap();
}

#[tokio::test]
async fn what_does_not_read_back_is_damage_and_never_a_default() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    for (column, value) in [("id", "'Not a slug'"), ("created_at", "-1")] {
        store.put_tenant(&tenant(1, "a")).await.unwrap();
        store.write(move |c| Ok(c.execute(&format!("UPDATE tenants SET {column} = {value}"), [])?)).await.unwrap();
        let read = store.tenants().await;
        assert!(matches!(&read, Err(StoreError::Damaged { what, .. }) if *what == column), "{read:?}");
        store.write(|c| Ok(c.execute("DELETE FROM tenants", [])?)).await.unwrap();
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_survives(texts in proptest::collection::vec(".{0,40}|[\\x00-\\x7f]{0,20}", 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let store = open(&directory.path().join("s.db")).unwrap();
            for (n, text) in texts.iter().enumerate() {
                store.put_tenant(&tenant(n, text)).await.unwrap();
            }
            let expected: Vec<Tenant> = texts.iter().enumerate().map(|(n, text)| tenant(n, text)).collect();
            assert_eq!(store.tenants().await.unwrap(), expected);
        });
    }
}

#[tokio::test]
async fn nobody_rewrites_the_register() {
    use crate::{Admission, AdmissionDecision, Assessments};
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    let held = AdmissionDecision {
        upstream: "files".parse().unwrap(),
        decided: Admission::Held,
        by: "ann".into(),
        reason: "an incident".into(),
        owner: None,
        until: None,
        at: Timestamp::from_secs(1),
        definitions: [1; 32],
    };
    store.decide_admission(&held).await.unwrap();
    for sql in ["UPDATE admissions SET decided = 'admitted'", "DELETE FROM admissions"] {
        let tried = store.write(move |c| Ok(c.execute(sql, [])?)).await;
        assert!(tried.is_err(), "{sql}");
    }
    assert_eq!(store.standing(&held.upstream).await.unwrap().decided, Some(held));
}

#[tokio::test]
async fn delegations_are_found_by_their_indexes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("s.db")).unwrap();
    let plans = [
        (super::grants::ADD, &["revocations_by_subject"][..]),
        (super::grants::ACTED, &["grant_actors USING PRIMARY KEY (agent=?)", "grants USING INDEX sqlite_autoindex"]),
        (super::agents::WORKLOADS, &["agent_credentials_by_issuer"]),
    ];
    for (sql, expected) in plans {
        let plan = store.read(move |c| {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let unknown = rusqlite::params_from_iter(vec![None::<String>; statement.parameter_count()]);
            let rows = statement.query_map(unknown, |row| row.get::<_, String>("detail"))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?.join("\n"))
        });
        let plan = plan.await.unwrap();
        for index in expected {
            assert!(plan.contains(index) && !plan.contains("SCAN grants") && !plan.contains("by_time"), "{plan}");
        }
    }
}
