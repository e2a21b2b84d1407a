//! Whose database it is, what version, and how it is set.

use std::time::Duration;

use sallyport_model::AgentId;
use sqlx::Row;
use tokio::task::JoinSet;

use super::*;
use crate::{
    Admission, AdmissionDecision, AgentBounds, Agents, Assessments, Catalogue, Clients, Definition, DefinitionKind,
    Directory, Grants, Revocations, Tenant, Tenants,
};

fn tenant(n: usize, name: &str) -> Tenant {
    let id = TenantId::new(format!("t{n:03}")).unwrap();
    Tenant { id, name: name.into(), created_at: NOW, suspended: false, settings: Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_on_an_empty_database_all_come_up() {
    let url = empty().await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        tasks.spawn(async move { connect(&url).await });
    }
    let nodes = tasks.join_all().await;
    for node in nodes {
        assert!(node.unwrap().tenants().await.unwrap().is_empty());
    }
    let again = connect(&url).await.unwrap();
    again.put_tenant(&tenant(1, "a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_a_newer_schema_and_a_strangers_database_are_refused() {
    let url = migrated().await;
    let other = PostgresStore::connect(&url, Zeroizing::new([8; 32])).await;
    assert!(matches!(other, Err(StoreError::WrongMasterKey)), "{other:?}");
    sql(&url, "UPDATE sallyport_schema SET version = 999").await.unwrap();
    assert!(matches!(connect(&url).await, Err(StoreError::TooNew { found: 999, known: 4 })));

    let theirs = empty().await;
    sql(&theirs, "CREATE TABLE bookmarks (url text)").await.unwrap();
    let Err(StoreError::Damaged { what: "database", why }) = connect(&theirs).await else { panic!() };
    assert!(why.contains("`bookmarks`"), "{why}");
    let mut operator = operator(&theirs).await;
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(count(&mut operator, tables).await, 1, "left as it was");

    let nobody = shared().url("there_is_no_such_database");
    assert!(matches!(connect(&nobody).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_another_encoding_and_a_standby_are_refused() {
    let name = shared().next();
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    sql(&shared().url("postgres"), &create).await.unwrap();
    let Err(StoreError::Damaged { what: "database", why }) = connect(&shared().url(&name)).await else { panic!() };
    assert!(why.contains("LATIN1"), "{why}");

    // A node that lost its primary by name, and would read of revocations late.
    let mut cluster = Cluster::start(&[]);
    let url = cluster.url("postgres");
    let store = connect(&url).await.unwrap();
    store.revoke(&token(1), NOW).await.unwrap();
    sql(&url, "CHECKPOINT").await.unwrap();
    cluster.stop();
    let signal = cluster.directory().join("data/standby.signal");
    std::fs::write(&signal, "").unwrap();
    cluster.serve();
    let read = store.revocations_after(0, 10).await;
    assert!(matches!(&read, Err(StoreError::Unavailable(why)) if why.contains("standby")), "{read:?}");
    let opened = connect(&url).await;
    assert!(matches!(&opened, Err(StoreError::Unavailable(why)) if why.contains("standby")), "{opened:?}");
    cluster.stop();
    std::fs::remove_file(signal).unwrap();
    cluster.serve();
    assert_eq!(store.revocations_after(0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_synced_and_bounded_whatever_the_role_says() {
    let url = migrated().await;
    let name = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let careless =
        ["synchronous_commit = off", "statement_timeout = 0", "default_transaction_isolation = serializable"];
    for setting in careless {
        sql(&url, &format!("ALTER DATABASE {name} SET {setting}")).await.unwrap();
    }
    let store = connect(&url).await.unwrap();
    let ask = |setting: &'static str| {
        let step = store.write(setting, move |c, setting| {
            Box::pin(async move {
                let row = sqlx::query(AssertSqlSafe(format!("SHOW {setting}"))).fetch_one(c).await?;
                Ok(row.try_get::<String, _>(0)?)
            })
        });
        async move { step.await.unwrap() }
    };
    assert_eq!(ask("synchronous_commit").await, "on");
    assert_eq!(ask("statement_timeout").await, "1500ms");
    assert_eq!(ask("lock_timeout").await, "1s");
    assert_eq!(ask("idle_in_transaction_session_timeout").await, "1s");
    assert_eq!(ask("transaction_isolation").await, "read committed");
    assert_eq!(ask("application_name").await, "sallyport");

    let begun = std::time::Instant::now();
    let slow = store.one("SELECT pg_sleep(30)::text AS slept", vec![], |row| super::super::rows::plain(row, "slept"));
    let slow: Result<Option<String>, _> = slow.await;
    assert!(matches!(slow, Err(StoreError::Unavailable(_))), "{slow:?}");
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_by_another_node_breaks_no_statement_of_this_one() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    for n in 0..3 {
        store.put_tenant(&tenant(n, "a")).await.unwrap();
        assert_eq!(store.tenants().await.unwrap().len(), n + 1);
        sql(&url, &format!("ALTER TABLE tenants ADD COLUMN more{n} text")).await.unwrap();
        assert_eq!(store.tenants().await.unwrap().len(), n + 1, "its prepared statement has another result now");
    }
}

/// What an earlier version stored is read as what it was: nobody acted for anybody.
#[tokio::test(flavor = "multi_thread")]
async fn rows_from_before_agents_acted_for_people_read_back() {
    let url = empty().await;
    sql(&url, include_str!("../../../../../migrations/postgres/0001_initial.sql")).await.unwrap();
    let seal = crate::seal::Sealer::new(&KEY).unwrap().seal("meta", b"seal_check", b"sallyport").unwrap();
    let seal: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
    let rows = format!(
        "CREATE TABLE sallyport_schema (version BIGINT NOT NULL); INSERT INTO sallyport_schema VALUES (1);
         INSERT INTO meta VALUES ('seal_check', decode('{seal}', 'hex'));
         INSERT INTO agents VALUES ('robot', 'acme', 'c', 'Robot', 'ann', '', 'files.read', '[]', 1, FALSE);
         INSERT INTO grants VALUES ('g1', 'acme', 'human', 'ann', 'c', 'r', 'files.read', 's', 1, 1, 9, NULL),
                                   ('g2', 'acme', 'human', 'ann', 'c', 'r', 'files.read', 's', 1, 1, 9, NULL);
         INSERT INTO revocations VALUES (1, 'grant', 'g2', 5)"
    );
    sql(&url, &rows).await.unwrap();
    let store = connect(&url).await.unwrap();
    let grant = async |id: &str| store.grant(&GrantId::new(id).unwrap()).await.unwrap().unwrap();
    let old = grant("g1").await;
    assert_eq!((old.actors, old.ancestors, old.bound_to, old.revoked_at), (vec![], vec![], None, None));
    assert_eq!(grant("g2").await.revoked_at, Some(Timestamp::from_millis(5)), "dead by the log alone, as before");
    let robot = store.agent(&AgentId::new("robot").unwrap()).await.unwrap().unwrap();
    assert_eq!((robot.bounds, robot.last_used_at), (AgentBounds::default(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_read_back_is_damage_and_never_a_default() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    for (column, value) in [("id", "'Not a slug'"), ("created_at", "-1"), ("settings", "'{\"unknown\":1}'")] {
        store.put_tenant(&tenant(1, "a")).await.unwrap();
        sql(&url, &format!("UPDATE tenants SET {column} = {value}")).await.unwrap();
        let read = store.tenants().await;
        assert!(matches!(&read, Err(StoreError::Damaged { what, .. }) if *what == column), "{read:?}");
        sql(&url, "DELETE FROM tenants").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_survives() {
    let store = connect(&migrated().await).await.unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let texts = proptest::collection::vec(".{0,40}|[\\x00-\\x7f]{0,20}|[\\x00\u{10ffff}01]{0,6}", 60);
    let texts = proptest::strategy::Strategy::new_tree(&texts, &mut runner).unwrap();
    let texts = proptest::strategy::ValueTree::current(&texts);
    for (n, text) in texts.iter().enumerate() {
        store.put_tenant(&tenant(n, text)).await.unwrap();
    }
    let expected: Vec<Tenant> = texts.iter().enumerate().map(|(n, text)| tenant(n, text)).collect();
    assert_eq!(store.tenants().await.unwrap(), expected);
    assert_eq!(store.person_by_login("a\0b").await.unwrap(), None);
    assert_eq!(store.client(&ClientId::new("https://c.example/%00").unwrap()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_any_length_is_pinned() {
    let store = connect(&migrated().await).await.unwrap();
    let upstream = "files".parse().unwrap();
    // Incompressible, so that it is as long in the index as here.
    let mut state = 1u64;
    let name: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 57) as u8 % 94)
    })
    .take(100_000)
    .collect();
    let long = Definition {
        kind: DefinitionKind::Resource,
        name,
        sha256: [1; 32],
        raw: "{}".into(),
        first_seen_at: NOW,
        pinned_at: NOW,
    };
    for expected in [1, 0] {
        let changes = store.pin(&upstream, DefinitionKind::Resource, std::slice::from_ref(&long)).await.unwrap();
        assert_eq!(changes.len(), expected);
    }
    assert_eq!(store.pinned(&upstream).await.unwrap(), [long]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_rewrites_the_register() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    let held = AdmissionDecision {
        upstream: "files".parse().unwrap(),
        decided: Admission::Held,
        by: "ann".into(),
        reason: "an incident".into(),
        owner: None,
        until: None,
        at: NOW,
        definitions: [1; 32],
    };
    store.decide_admission(&held).await.unwrap();
    for table in ["admissions", "assessments"] {
        for change in ["UPDATE {} SET upstream = 'x'", "DELETE FROM {}", "TRUNCATE {}"] {
            let tried = sql(&url, &change.replace("{}", table)).await;
            assert!(tried.is_err_and(|error| error.to_string().contains("only grows")), "{change} {table}");
        }
    }
    assert_eq!(store.standing(&held.upstream).await.unwrap().decided, Some(held));
}
