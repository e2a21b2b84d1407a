//! Grants and refresh tokens.

use std::{sync::Arc, time::Duration};

use sallyport_model::{Actor, AgentId, KeyBinding};
use tokio::task::JoinSet;

use super::samples::*;
use crate::{Grant, NewRefresh, RevocationSubject, Rotation, Store, StoreError};

pub(super) async fn lifecycle(store: Arc<dyn Store>) {
    let older = Grant { resource: HOSTILE.into(), ..grant("g1") };
    let newer = Grant { created_at: NOW.plus(HOUR), ..grant("g2") };
    let agents = Grant { subject: Actor::Agent(AgentId::new("ann").unwrap()), ..grant("g3") };
    let elsewhere = Grant { tenant: tenant("zed"), ..grant("g4") };
    for grant in [&older, &newer, &agents, &elsewhere] {
        store.add_grant(grant).await.unwrap();
        assert_eq!(store.grant(&grant.id).await.unwrap().as_ref(), Some(grant));
    }
    assert!(matches!(store.add_grant(&older).await, Err(StoreError::Exists("grant"))));
    assert_eq!(store.grant(&grant_id("nothing")).await.unwrap(), None);

    let of_ann = store.grants_of(&tenant("acme"), &Actor::Human(user("ann")), NOW).await.unwrap();
    assert_eq!(of_ann, [newer.clone(), older.clone()], "newest first, no agent's and no other tenant's");
    store.revoke(&RevocationSubject::Grant(newer.id), NOW).await.unwrap();
    assert_eq!(
        store.grants_of(&tenant("acme"), &Actor::Human(user("ann")), NOW).await.unwrap(),
        std::slice::from_ref(&older)
    );
    let ended = store.grants_of(&tenant("acme"), &Actor::Human(user("ann")), older.expires_at).await.unwrap();
    assert!(ended.is_empty());

    store.add_refresh(&older.id, &refresh(1), NOW).await.unwrap();
    let second = store.add_refresh(&older.id, &refresh(2), NOW).await;
    assert!(matches!(second, Err(StoreError::Exists("refresh token"))), "at most one is alive");
    let nothing = store.add_refresh(&grant_id("nothing"), &refresh(3), NOW).await;
    assert!(matches!(nothing, Err(StoreError::Missing("living grant"))));
    let late = store.add_refresh(&agents.id, &refresh(3), agents.expires_at).await;
    assert!(matches!(late, Err(StoreError::Missing("living grant"))));

    assert_eq!(store.grant_of_refresh(&digest(9), NOW).await.unwrap(), None);
    assert_eq!(store.grant_of_refresh(&digest(1), NOW).await.unwrap(), Some((older.clone(), true)));
    let idle = refresh(1).idle_expires_at;
    assert_eq!(store.grant_of_refresh(&digest(1), idle).await.unwrap(), Some((older, false)));
}

/// A grant is bound once, by one of however many.
pub(super) async fn bound(store: Arc<dyn Store>) {
    let key = |n: usize| KeyBinding::Dpop(format!("key-{n}"));
    store.add_grant(&grant("g1")).await.unwrap();
    assert!(!store.bind_grant(&grant_id("nothing"), &key(0), NOW).await.unwrap());
    assert!(!store.bind_grant(&grant_id("g1"), &key(0), grant("g1").expires_at).await.unwrap(), "ended");
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap().unwrap().bound_to, None);
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { (n, store.bind_grant(&grant_id("g1"), &key(n), NOW).await.unwrap()) });
    }
    let won: Vec<usize> = tasks.join_all().await.into_iter().filter(|(_, won)| *won).map(|(n, _)| n).collect();
    assert_eq!(won.len(), 1);
    let stored = store.grant(&grant_id("g1")).await.unwrap().unwrap();
    assert_eq!(stored, Grant { bound_to: Some(key(won[0])), ..grant("g1") }, "and nothing else changed");
    assert!(store.bind_grant(&grant_id("g1"), &key(won[0]), NOW).await.unwrap(), "the same again");
    assert!(!store.bind_grant(&grant_id("g1"), &KeyBinding::Certificate("key-0".into()), NOW).await.unwrap());

    store.add_grant(&grant("g2")).await.unwrap();
    store.revoke(&RevocationSubject::Grant(grant_id("g2")), NOW).await.unwrap();
    assert!(!store.bind_grant(&grant_id("g2"), &key(0), NOW).await.unwrap(), "revoked");
}

/// A grant of the same kind is found again, and no other.
pub(super) async fn alike(store: Arc<dyn Store>) {
    let key = |name: &str| Some(KeyBinding::Dpop(name.into()));
    let robot = Actor::Agent(AgentId::new("robot").unwrap());
    let own = |id: &str| Grant { subject: robot.clone(), resource: HOSTILE.into(), ..grant(id) };
    let found = async |like: &Grant, until| store.grant_like(like, until).await.unwrap().map(|grant| grant.id);
    assert_eq!(found(&own("x"), NOW).await, None);
    for new in [
        own("g1"),
        Grant { bound_to: key("a"), ..own("g2") },
        Grant { actors: vec![AgentId::new("sub").unwrap()], ..own("g3") },
        Grant { ancestors: vec![grant_id("g1")], ..own("g4") },
    ] {
        store.add_grant(&new).await.unwrap();
    }
    assert_eq!(found(&own("x"), NOW).await, Some(grant_id("g1")));
    assert_eq!(store.grant_like(&own("x"), NOW).await.unwrap(), Some(own("g1")));
    assert_eq!(found(&Grant { bound_to: key("a"), ..own("x") }, NOW).await, Some(grant_id("g2")));
    for other in [
        Grant { bound_to: key("b"), ..own("x") },
        Grant { subject: Actor::Human(user("robot")), ..own("x") },
        Grant { tenant: tenant("zed"), ..own("x") },
        Grant { client: client("other"), ..own("x") },
        Grant { resource: "other".into(), ..own("x") },
        Grant { scopes: scopes("files.read"), ..own("x") },
    ] {
        assert_eq!(found(&other, NOW).await, None, "{other:?}");
    }
    let end = own("g1").expires_at;
    assert_eq!(found(&own("x"), end).await, Some(grant_id("g1")));
    assert_eq!(found(&own("x"), end.plus(Duration::from_millis(1))).await, None, "it does not live until then");
    store.add_grant(&Grant { created_at: NOW.plus(HOUR), ..own("g5") }).await.unwrap();
    assert_eq!(found(&own("x"), NOW).await, Some(grant_id("g5")), "the newest");
    store.revoke(&RevocationSubject::Grant(grant_id("g5")), NOW).await.unwrap();
    assert_eq!(found(&own("x"), NOW).await, Some(grant_id("g1")), "revoked");
}

pub(super) async fn rotation(store: Arc<dyn Store>) {
    family(&*store, "g1", 1).await;
    let rotate = async |token, client_name: &str, successor: &NewRefresh, now| {
        store.rotate_refresh(&digest(token), &client(client_name), successor, now, GRACE).await
    };
    assert_eq!(rotate(9, "editor", &refresh(2), NOW).await.unwrap(), Rotation::Unknown);
    assert_eq!(rotate(1, "thief", &refresh(2), NOW).await.unwrap(), Rotation::ForeignClient);
    assert_eq!(rotate(1, "editor", &refresh(2), NOW).await.unwrap(), Rotation::Rotated(grant("g1")));
    assert_eq!(store.grant_of_refresh(&digest(1), NOW).await.unwrap(), Some((grant("g1"), false)));
    assert_eq!(store.grant_of_refresh(&digest(2), NOW).await.unwrap(), Some((grant("g1"), true)));

    let clash = rotate(2, "editor", &refresh(1), NOW).await;
    assert!(matches!(clash, Err(StoreError::Exists("refresh token"))));
    assert_eq!(store.grant_of_refresh(&digest(2), NOW).await.unwrap(), Some((grant("g1"), true)), "nothing was spent");

    let raced = rotate(1, "editor", &refresh(3), NOW.plus(GRACE - Duration::from_millis(1))).await.unwrap();
    assert_eq!(raced, Rotation::Raced);
    assert_eq!(rotate(1, "thief", &refresh(3), NOW.plus(HOUR)).await.unwrap(), Rotation::ForeignClient);
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap(), Some(grant("g1")), "neither revoked the family");
    assert_eq!(store.grant_of_refresh(&digest(3), NOW).await.unwrap(), None, "nor stored a successor");

    let idle = refresh(2).idle_expires_at;
    assert_eq!(rotate(2, "editor", &refresh(3), idle).await.unwrap(), Rotation::Expired);
    let long = NewRefresh { idle_expires_at: NOW.plus(9 * DAY), ..refresh(3) };
    assert_eq!(rotate(2, "editor", &long, NOW).await.unwrap(), Rotation::Rotated(grant("g1")));
    let end = grant("g1").expires_at;
    assert_eq!(rotate(3, "editor", &refresh(4), end).await.unwrap(), Rotation::Expired, "the grant's absolute end");
    assert!(store.revocations_after(0, 10).await.unwrap().is_empty(), "nothing so far was reuse");
    store.revoke(&RevocationSubject::Grant(grant_id("g1")), NOW).await.unwrap();
    assert_eq!(rotate(3, "editor", &refresh(4), NOW).await.unwrap(), Rotation::Revoked);
    assert_eq!(rotate(1, "editor", &refresh(4), NOW).await.unwrap(), Rotation::Revoked);
}

pub(super) async fn reuse(store: Arc<dyn Store>) {
    let cases = [("late", GRACE, false), ("idle", 9 * HOUR, false), ("older", Duration::from_secs(1), true)];
    for (n, (name, after, twice)) in (1u64..).zip(cases) {
        let first = n * 100;
        family(&*store, name, first).await;
        let rotate = async |token, successor, now| {
            let long = NewRefresh { idle_expires_at: NOW.plus(DAY), ..refresh(successor) };
            store.rotate_refresh(&digest(token), &client("editor"), &long, now, GRACE).await.unwrap()
        };
        assert!(matches!(rotate(first, first + 1, NOW).await, Rotation::Rotated(_)));
        if twice {
            // The grandparent is no race of the client with itself, however fast it comes.
            assert!(matches!(rotate(first + 1, first + 2, NOW).await, Rotation::Rotated(_)));
        }
        let at = NOW.plus(after);
        let dead = Grant { revoked_at: Some(at), ..grant(name) };
        assert_eq!(rotate(first, first + 3, at).await, Rotation::Reused(dead.clone()), "{name}");
        assert_eq!(store.grant(&dead.id).await.unwrap(), Some(dead.clone()), "{name}");
        let living = if twice { first + 2 } else { first + 1 };
        assert_eq!(rotate(living, first + 4, at).await, Rotation::Revoked, "{name}");
        let log = store.revocations_after(n - 1, 10).await.unwrap();
        assert_eq!(log.len(), 1, "{name}");
        assert_eq!((log[0].epoch, &log[0].subject), (n, &RevocationSubject::Grant(dead.id)), "{name}");
    }
}

pub(super) async fn one_of_many_rotates(store: Arc<dyn Store>) {
    family(&*store, "g1", 1).await;
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let now = NOW.plus(Duration::from_millis(n));
            (n, store.rotate_refresh(&digest(1), &client("editor"), &refresh(100 + n), now, GRACE).await.unwrap())
        });
    }
    let outcomes = tasks.join_all().await;
    let winners: Vec<u64> =
        outcomes.iter().filter(|(_, found)| matches!(found, Rotation::Rotated(_))).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(outcomes.iter().filter(|(_, found)| *found == Rotation::Raced).count(), 99);
    for n in 0..100 {
        let stored = store.grant_of_refresh(&digest(100 + n), NOW).await.unwrap();
        let expected = (n == winners[0]).then(|| (grant("g1"), true));
        assert_eq!(stored, expected, "only the winner's successor is stored, and it lives");
    }
}
