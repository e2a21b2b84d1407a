//! Two nodes on one database.

use std::{sync::Arc, time::Duration};

use sallyport_model::{AgentId, ClientId, DataKeyId, SessionId, TenantId, UserId};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::*;
use crate::{
    Agent, AgentBounds, Agents, Authorizations, BrowserSession, BrowserSessions, CodeRecord, CodeUse, Connections,
    DataKey, Directory, Grants, Keys, LockPolicy, NewRefresh, Parked, ParkedKind, Revocations, Rotation, Tenants,
};

/// Two nodes, as two processes would have them: with nothing in common but the database.
async fn nodes() -> (String, [Arc<PostgresStore>; 2]) {
    let url = migrated().await;
    let nodes = [Arc::new(connect(&url).await.unwrap()), Arc::new(connect(&url).await.unwrap())];
    (url, nodes)
}

fn refresh(n: u64) -> NewRefresh {
    NewRefresh { token: digest(2, n), idle_expires_at: Timestamp::from_secs(1_900_000_000) }
}

fn code(grant: &str) -> CodeRecord {
    CodeRecord {
        grant: GrantId::new(grant).unwrap(),
        tenant: TenantId::new("acme").unwrap(),
        user: UserId::new("ann").unwrap(),
        client: ClientId::new("editor").unwrap(),
        redirect_uri: "http://127.0.0.1/callback".into(),
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
        resource: "https://gate.example/mcp/files".into(),
        scopes: "files.read".parse().unwrap(),
        session: SessionId::new("s1").unwrap(),
        nonce: None,
        authenticated_at: NOW,
        expires_at: Timestamp::from_secs(1_900_000_000),
        dpop_jkt: None,
    }
}

/// An agent whose client is that of [`grant`].
fn robot() -> Agent {
    Agent {
        id: AgentId::new("robot").unwrap(),
        tenant: TenantId::new("acme").unwrap(),
        client: ClientId::new("editor").unwrap(),
        name: "Robot".into(),
        owner: None,
        purpose: "tests".into(),
        scopes: "files.read".parse().unwrap(),
        resources: vec![],
        created_at: NOW,
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    }
}

/// Runs `step` a hundred times at once, half of them on each node.
async fn hundred<T, F>(nodes: &[Arc<PostgresStore>; 2], step: impl Fn(Arc<PostgresStore>, u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        tasks.spawn(step(Arc::clone(&nodes[n as usize % 2]), n));
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_works_once_works_on_one_node() {
    let (_, nodes) = nodes().await;
    nodes[0].add_grant(&grant("g1", "ann")).await.unwrap();
    nodes[0].add_refresh(&GrantId::new("g1").unwrap(), &refresh(0), NOW).await.unwrap();
    let client = ClientId::new("editor").unwrap();
    let rotated = hundred(&nodes, |node, n| {
        let client = client.clone();
        async move {
            let grace = Duration::from_secs(10);
            node.rotate_refresh(&refresh(0).token, &client, &refresh(1 + n), NOW, grace).await.unwrap()
        }
    });
    let rotated = rotated.await;
    assert_eq!(rotated.iter().filter(|found| matches!(found, Rotation::Rotated(_))).count(), 1);
    assert_eq!(rotated.iter().filter(|found| **found == Rotation::Raced).count(), 99, "{rotated:?}");

    nodes[0].add_code(&digest(1, 1), &code("g2")).await.unwrap();
    let used = hundred(&nodes, |node, _| async move { node.consume_code(&digest(1, 1), NOW).await.unwrap() }).await;
    assert_eq!(used.iter().filter(|found| matches!(found, CodeUse::Fresh(_))).count(), 1);
    assert_eq!(used.iter().filter(|found| matches!(found, CodeUse::Replayed { first: true, .. })).count(), 1);
    assert_eq!(nodes[1].revocations_after(0, 10).await.unwrap().len(), 1, "one replay is logged");

    let kind = ParkedKind::Pushed;
    let expires_at = Timestamp::from_secs(1_900_000_000);
    nodes[0].park(&Parked { handle: [1; 32], kind, body: "{}".into(), expires_at }).await.unwrap();
    let taken = hundred(&nodes, |node, _| async move { node.unpark(&[1; 32], kind, NOW).await.unwrap() }).await;
    assert_eq!(taken.iter().flatten().count(), 1);

    let first =
        hundred(&nodes, |node, _| async move { node.use_once("saml", &[1; 32], NOW, expires_at).await.unwrap() });
    assert_eq!(first.await.into_iter().filter(|first| *first).count(), 1);

    let policy = LockPolicy { limit: 100, window: Duration::from_secs(60), lock: Duration::from_secs(60) };
    let counted = hundred(&nodes, |node, _| async move { node.count_failure("ann", NOW, policy).await.unwrap() });
    let mut counted: Vec<u32> = counted.await.iter().map(|lock| lock.failures).collect();
    counted.sort_unstable();
    assert_eq!(counted, (1..=100).collect::<Vec<_>>());

    let keys = hundred(&nodes, |node, n| async move {
        let key = Zeroizing::new([n as u8; 32]);
        let candidate = DataKey { id: DataKeyId::new(format!("key-{n}")).unwrap(), key };
        node.data_key(None, None, &candidate).await.unwrap()
    });
    let keys = keys.await;
    assert!(keys.iter().all(|key| key.id == keys[0].id && key.key == keys[0].key), "all got the same one");

    let once = hundred(&nodes, |node, _| async move { node.revoke_once(&token(1), NOW).await.unwrap() }).await;
    assert_eq!(once.iter().flatten().collect::<Vec<_>>(), [&2], "once, and no number was lost over it");
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_are_seen_in_order_and_whole_while_fifty_write() {
    const EACH: usize = 6;
    let (_, nodes) = nodes().await;
    let polling = {
        let node = Arc::clone(&nodes[0]);
        tokio::spawn(async move {
            let (mut last, mut polls, mut longest) = (0, 0, Duration::ZERO);
            while last < 50 * EACH as u64 {
                let begun = std::time::Instant::now();
                for entry in node.revocations_after(last, 20).await.unwrap() {
                    assert_eq!(entry.epoch, last + 1, "an epoch was seen before the one that precedes it");
                    last = entry.epoch;
                }
                longest = longest.max(begun.elapsed());
                polls += 1;
            }
            (polls, longest)
        })
    };
    let mut writers = JoinSet::new();
    for writer in 0..50 {
        let node = Arc::clone(&nodes[writer % 2]);
        writers.spawn(async move {
            for n in 0..EACH {
                let epoch = node.revoke(&token(writer * EACH + n), NOW).await.unwrap();
                assert!(*node.revoked().borrow() >= epoch, "its own node is told before the caller is");
            }
        });
    }
    writers.join_all().await;
    let (polls, longest) = tokio::time::timeout(Duration::from_secs(5), polling).await.unwrap().unwrap();
    println!("{polls} polls, the longest {longest:?}");
    assert!(longest < Duration::from_secs(1), "a poll took {longest:?}, and a node has two seconds");
}

/// Neither sees the other's row while both are being committed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_while_it_is_revoked_on_another_node_is_dead() {
    let (url, nodes) = nodes().await;
    let mut missed = 0;
    for round in 0..25 {
        let person = UserId::new(format!("user-{round}")).unwrap();
        let mut tasks = JoinSet::new();
        for n in 0..6 {
            let (node, person) = (Arc::clone(&nodes[n % 2]), person.clone());
            tasks.spawn(async move {
                let id = format!("g-{round}-{n}");
                node.add_grant(&grant(&id, person.as_str())).await.unwrap();
                let session = BrowserSession {
                    id: SessionId::new(format!("s-{round}-{n}")).unwrap(),
                    cookie: digest(9, round * 100 + n as u64),
                    user: person,
                    tenant: TenantId::new("acme").unwrap(),
                    methods: vec![],
                    authenticated_at: NOW,
                    expires_at: Timestamp::from_secs(1_900_000_000),
                    provider: None,
                };
                // It may well be refused.
                let _ = node.add_browser_session(&session).await;
            });
        }
        let (node, subject) = (Arc::clone(&nodes[1]), RevocationSubject::User(person.clone()));
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(round % 7)).await;
            node.revoke(&subject, NOW).await.unwrap();
        });
        tasks.join_all().await;
        let subject = Actor::Human(person.clone());
        let tenant = TenantId::new("acme").unwrap();
        assert!(nodes[0].grants_of(&tenant, &subject, NOW).await.unwrap().is_empty(), "round {round}");
        assert!(nodes[0].browser_sessions(&tenant, Some(&person), NOW).await.unwrap().is_empty(), "round {round}");
        for n in 0..6 {
            let id = GrantId::new(format!("g-{round}-{n}")).unwrap();
            assert!(nodes[0].grant(&id).await.unwrap().unwrap().revoked_at.is_some(), "round {round}");
            let refused = nodes[0].add_refresh(&id, &refresh(round * 100 + n), NOW).await;
            assert!(matches!(refused, Err(StoreError::Missing("living grant"))), "{refused:?}");
        }
    }
    let mut operator = operator(&url).await;
    let unmarked = count(&mut operator, "SELECT count(*) FROM grants WHERE revoked_at IS NULL").await;
    println!("{unmarked} of 150 grants are dead by the log alone");
    // They stay dead when the log forgets them.
    let later = NOW.plus(Duration::from_secs(60));
    for node in &nodes {
        missed += node.prune_revocations(later).await.unwrap();
    }
    assert_eq!(missed, 25);
    for round in 0..25 {
        for n in 0..6 {
            let id = GrantId::new(format!("g-{round}-{n}")).unwrap();
            assert!(nodes[0].grant(&id).await.unwrap().unwrap().revoked_at.is_some(), "round {round} lives again");
        }
    }
}

/// A grant that was stored without the mark, as it happens between two nodes, and the log forgets it.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_marks_what_it_alone_holds_dead_before_it_forgets() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    let subjects = [
        RevocationSubject::User(UserId::new("ann").unwrap()),
        RevocationSubject::Tenant(TenantId::new("acme").unwrap()),
        RevocationSubject::Session(SessionId::new("s1").unwrap()),
        RevocationSubject::Client(ClientId::new("editor").unwrap()),
        RevocationSubject::Grant(GrantId::new("g1").unwrap()),
        RevocationSubject::Agent(robot().id),
    ];
    let mut operator = operator(&url).await;
    let acted = Grant { actors: vec![robot().id], ..grant("g1", "ann") };
    store.add_grant(&acted).await.unwrap();
    for subject in subjects {
        let id = GrantId::new("g1").unwrap();
        store.revoke(&subject, NOW).await.unwrap();
        sqlx::raw_sql("UPDATE grants SET revoked_at = NULL").execute(&mut operator).await.unwrap();
        assert_eq!(store.grant(&id).await.unwrap().unwrap().revoked_at, Some(NOW), "{subject:?}");
        assert_eq!(count(&mut operator, "SELECT count(*) FROM grants WHERE revoked_at IS NULL").await, 1);
        assert_eq!(store.prune_revocations(NOW.plus(Duration::from_millis(1))).await.unwrap(), 1);
        assert_eq!(store.grant(&id).await.unwrap().unwrap().revoked_at, Some(NOW), "{subject:?}");
        assert_eq!(count(&mut operator, "SELECT count(*) FROM grants WHERE revoked_at IS NULL").await, 0);
        sqlx::raw_sql("UPDATE grants SET revoked_at = NULL").execute(&mut operator).await.unwrap();
        assert_eq!(store.grant(&id).await.unwrap().unwrap().revoked_at, None, "the operator's own doing");
    }
}

/// A grant that was made out of one that dies at this very moment on another node, and got no mark.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_out_of_the_dead_is_dead() {
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    let mut operator = operator(&url).await;
    let subjects = [
        RevocationSubject::Grant(GrantId::new("g1").unwrap()),
        RevocationSubject::Client(ClientId::new("editor").unwrap()),
    ];
    let child = Grant {
        actors: vec![robot().id],
        ancestors: vec![GrantId::new("g1").unwrap()],
        client: ClientId::new("another").unwrap(),
        ..grant("g2", "ann")
    };
    store.add_grant(&grant("g1", "ann")).await.unwrap();
    store.add_grant(&child).await.unwrap();
    for subject in subjects {
        store.revoke(&subject, NOW).await.unwrap();
        for unmarked in ["UPDATE grants SET revoked_at = NULL", "UPDATE grants SET revoked_at = NULL WHERE id = 'g2'"] {
            sqlx::raw_sql(unmarked).execute(&mut operator).await.unwrap();
            assert_eq!(store.grant(&child.id).await.unwrap().unwrap().revoked_at, Some(NOW), "{subject:?}: {unmarked}");
        }
        store.prune_revocations(NOW.plus(Duration::from_millis(1))).await.unwrap();
        assert_eq!(store.grant(&child.id).await.unwrap().unwrap().revoked_at, Some(NOW), "{subject:?}");
        sqlx::raw_sql("UPDATE grants SET revoked_at = NULL").execute(&mut operator).await.unwrap();
        assert_eq!(store.grant(&child.id).await.unwrap().unwrap().revoked_at, None, "the operator's own doing");
    }
}

/// Among very many grants that nobody acts under, those of an agent and those made out of one.
#[tokio::test(flavor = "multi_thread")]
async fn delegations_are_found_by_their_indexes() {
    let url = migrated().await;
    let mut operator = operator(&url).await;
    let now = NOW.as_millis();
    let fill = format!(
        "INSERT INTO grants (id, tenant, subject_kind, subject_id, client, resource, scopes, session_id,
                             authenticated_at, created_at, expires_at, actors, ancestors)
         SELECT 'g' || n, 'acme', 'human', 'u' || n % 5000, 'editor', 'r', 'files.read', 's' || n,
                {now}, {now}, {now} + 9999999,
                CASE WHEN n % 20 = 0 THEN ARRAY['a' || n % 1000] ELSE '{{}}' END,
                CASE WHEN n % 40 = 0 THEN ARRAY['g' || n - 20] ELSE '{{}}' END FROM generate_series(1, 60000) n;
         INSERT INTO revocations SELECT n, 'token', 't' || n, {now} FROM generate_series(1, 20000) n;
         ANALYZE"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut operator).await.unwrap();
    let plans = [
        (
            "SELECT id FROM grants WHERE (subject_kind = 'agent' AND subject_id = ANY (ARRAY['a20']) OR actors <> '{}' AND actors && ARRAY['a20']) AND revoked_at IS NULL LIMIT 2000",
            "grants_by_actor",
        ),
        (
            "SELECT id FROM grants WHERE (id = ANY (ARRAY['g20']) OR ancestors <> '{}' AND ancestors && ARRAY['g20']) AND revoked_at IS NULL LIMIT 2000",
            "grants_by_ancestor",
        ),
        (
            "SELECT * FROM standing_grants WHERE actors <> '{}' AND actors @> ARRAY['a20'] AND tenant = 'acme' AND revoked_at IS NULL AND expires_at > 1 ORDER BY created_at DESC, id DESC",
            "grants_by_actor",
        ),
        ("SELECT * FROM standing_grants WHERE id = 'g40'", "grants_pkey"),
    ];
    for (query, index) in plans {
        let sql = format!("EXPLAIN {query}");
        let lines = super::super::rows::all(&mut operator, &sql, vec![], |row| {
            super::super::rows::plain::<String>(row, "QUERY PLAN")
        });
        let plan = lines.await.unwrap().join("\n");
        println!("{plan}");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{query}\n{plan}");
    }
}

/// However large it is: the log says that it is dead, and the rows are marked when there is time.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_tenant_is_revoked_at_once() {
    const ROWS: usize = 30_000;
    let url = migrated().await;
    let store = connect(&url).await.unwrap();
    let mut operator = operator(&url).await;
    let now = NOW.as_millis();
    let fill = format!(
        "INSERT INTO grants SELECT 'g' || n, 'acme', 'human', 'ann', 'editor', 'r', 'files.read', 's' || n,
                                   {now} + n / 29000, {now}, {now} + 9999999, NULL FROM generate_series(1, {ROWS}) n;
         INSERT INTO browser_sessions SELECT 's' || n, decode(md5('' || n) || md5('x' || n), 'hex'), 'ann', 'acme',
                                   '[]', {now} + n / 29000, {now} + 9999999 FROM generate_series(1, {ROWS}) n;
         ANALYZE"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut operator).await.unwrap();
    let (tenant, ann) = (TenantId::new("acme").unwrap(), UserId::new("ann").unwrap());
    let grants = async || store.grants_of(&tenant, &Actor::Human(ann.clone()), NOW).await.unwrap().len();
    let sessions = async || store.browser_sessions(&tenant, None, NOW).await.unwrap().len();
    let living = "SELECT count(*) FROM standing_grants WHERE revoked_at IS NULL";
    assert_eq!((count(&mut operator, living).await, sessions().await), (ROWS as i64, 1_000));

    let begun = std::time::Instant::now();
    store.revoke(&RevocationSubject::Tenant(tenant.clone()), NOW).await.unwrap();
    let took = begun.elapsed();
    println!("{ROWS} grants and sessions were revoked in {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Also those of whoever signed in after the moment that it is revoked as of.
    assert_eq!((grants().await, sessions().await, count(&mut operator, living).await), (0, 0, 0));
    let unmarked = "SELECT count(*) FROM grants WHERE revoked_at IS NULL";
    assert!(count(&mut operator, unmarked).await > 0, "and it was not done by marking them all");

    assert_eq!(store.prune_revocations(NOW.plus(Duration::from_millis(1))).await.unwrap(), 1);
    assert_eq!((grants().await, sessions().await, count(&mut operator, living).await), (0, 0, 0));
    assert!(store.remove_tenant(&tenant, NOW).await.is_ok());
}

/// Whatever is done at once, nobody waits for one who waits for him.
#[tokio::test(flavor = "multi_thread")]
async fn steps_of_every_kind_at_once_all_come_to_an_end() {
    let (_, nodes) = nodes().await;
    let mut tasks = JoinSet::new();
    for n in 0..120u64 {
        let node = Arc::clone(&nodes[n as usize % 2]);
        tasks.spawn(async move {
            let id = format!("g{}", n % 10);
            let family = GrantId::new(&id).unwrap();
            let client = ClientId::new("editor").unwrap();
            let first = 1_000 * (n % 10);
            match node.add_grant(&grant(&id, "ann")).await {
                Ok(()) | Err(StoreError::Exists("grant")) => {}
                Err(error) => panic!("{error}"),
            }
            if n % 4 == 0 {
                let made_out_of_it = Grant {
                    actors: vec![robot().id],
                    ancestors: vec![family.clone()],
                    ..grant(&format!("child-{n}"), "ann")
                };
                node.add_grant(&made_out_of_it).await.unwrap();
                node.put_agent(&robot()).await.unwrap();
                let proofs: Vec<_> = (0..10).map(|id| (digest(3, (n * 7 + id) % 30), NOW)).collect();
                node.use_each_once("proof", &proofs, NOW).await.unwrap();
            }
            match node.add_code(&digest(1, n), &code(&id)).await {
                Ok(()) | Err(StoreError::Missing("living grant")) => {}
                Err(error) => panic!("{error}"),
            }
            match node.add_refresh(&family, &refresh(first), NOW).await {
                Ok(()) | Err(StoreError::Exists(_) | StoreError::Missing(_)) => {}
                Err(error) => panic!("{error}"),
            }
            for _ in 0..2 {
                node.consume_code(&digest(1, n), NOW).await.unwrap();
                let grace = Duration::from_secs(u64::from(n % 3 > 0));
                node.rotate_refresh(&refresh(first).token, &client, &refresh(first + 1 + n), NOW, grace).await.unwrap();
            }
            match n % 8 {
                0 => node.revoke(&RevocationSubject::User(UserId::new("ann").unwrap()), NOW).await.map(|_| ()),
                1 => node.revoke(&RevocationSubject::Tenant(TenantId::new("acme").unwrap()), NOW).await.map(|_| ()),
                2 => node.revoke_once(&RevocationSubject::Grant(family), NOW).await.map(|_| ()),
                3 => node.purge(NOW.plus(Duration::from_secs(60))).await.map(|_| ()),
                4 => node.revoke(&RevocationSubject::Client(client), NOW).await.map(|_| ()),
                5 => node.revoke(&RevocationSubject::Agent(robot().id), NOW).await.map(|_| ()),
                6 => node.remove_agent(&robot().tenant, &robot().id, NOW).await.map(|_| ()),
                _ => node.prune_revocations(NOW).await.map(|_| ()),
            }
            .unwrap();
        });
    }
    tasks.join_all().await;
    let log = nodes[0].revocations_after(0, 10_000).await.unwrap();
    let epochs: Vec<u64> = log.iter().map(|entry| entry.epoch).collect();
    assert_eq!(epochs, (1..=epochs.len() as u64).collect::<Vec<_>>(), "no gap");
}
