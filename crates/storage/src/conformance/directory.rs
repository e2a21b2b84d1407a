//! People, passkeys and lock-out.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::samples::*;
use crate::{Lock, LockPolicy, Passkey, Person, Role, Store, StoreError};

const POLICY: LockPolicy = LockPolicy { limit: 3, window: Duration::from_secs(600), lock: Duration::from_secs(900) };

pub(super) async fn people(store: Arc<dyn Store>) {
    let bob = Person { role: Role::Administrator, email: None, ..person("bob") };
    let ann = person("ann");
    store.add_person(&bob).await.unwrap();
    store.add_person(&ann).await.unwrap();
    assert_eq!(store.person(&ann.id).await.unwrap(), Some(ann.clone()));
    assert_eq!(store.person_by_login("ANN@acme.Example").await.unwrap(), Some(ann.clone()));
    assert_eq!(store.person_by_login(HOSTILE).await.unwrap(), None);
    assert_eq!(store.person_by_login("%").await.unwrap(), None, "a login is not a pattern");
    assert_eq!(store.people(&tenant("acme")).await.unwrap(), [ann.clone(), bob.clone()], "by login");
    assert!(store.people(&tenant("zed")).await.unwrap().is_empty());

    let same_login = Person { login: "Ann@ACME.example".into(), ..person("other") };
    assert!(matches!(store.add_person(&same_login).await, Err(StoreError::Exists("person"))));
    let same_id = Person { login: "new@acme.example".into(), ..ann.clone() };
    assert!(matches!(store.add_person(&same_id).await, Err(StoreError::Exists("person"))));

    store.set_password(&ann.id, HOSTILE).await.unwrap();
    store.set_disabled(&ann.id, true).await.unwrap();
    let changed = Person { password_hash: Some(HOSTILE.into()), disabled: true, ..ann };
    assert_eq!(store.person(&changed.id).await.unwrap(), Some(changed));
    assert_eq!(store.person(&bob.id).await.unwrap(), Some(bob), "nobody else changed");
    assert!(matches!(store.set_password(&user("nobody"), "x").await, Err(StoreError::Missing("person"))));
    assert!(matches!(store.set_disabled(&user("nobody"), true).await, Err(StoreError::Missing("person"))));
}

pub(super) async fn passkeys(store: Arc<dyn Store>) {
    store.add_person(&person("ann")).await.unwrap();
    store.add_person(&person("bob")).await.unwrap();
    let first = Passkey {
        id: "b-first".into(),
        user: user("ann"),
        name: HOSTILE.into(),
        credential: "{\"cred\":1}".into(),
        created_at: NOW,
        last_used_at: None,
    };
    let second = Passkey { id: "a-second".into(), created_at: NOW.plus(HOUR), ..first.clone() };
    store.put_passkey(&second).await.unwrap();
    store.put_passkey(&first).await.unwrap();
    let used = Passkey { credential: "{\"cred\":2}".into(), last_used_at: Some(NOW.plus(HOUR)), ..first };
    store.put_passkey(&used).await.unwrap();
    assert_eq!(store.passkeys(&user("ann")).await.unwrap(), [used.clone(), second.clone()], "oldest first");

    let stolen = Passkey { user: user("bob"), ..used.clone() };
    assert!(matches!(store.put_passkey(&stolen).await, Err(StoreError::Exists("passkey"))));
    assert!(store.passkeys(&user("bob")).await.unwrap().is_empty());
    let nobodys = Passkey { id: "c".into(), user: user("nobody"), ..used.clone() };
    assert!(matches!(store.put_passkey(&nobodys).await, Err(StoreError::Missing("person"))));

    assert!(!store.remove_passkey(&user("bob"), &used.id).await.unwrap(), "not bob's to remove");
    assert!(store.remove_passkey(&user("ann"), &used.id).await.unwrap());
    assert!(!store.remove_passkey(&user("ann"), &used.id).await.unwrap());
    assert_eq!(store.passkeys(&user("ann")).await.unwrap(), [second]);
}

pub(super) async fn locks(store: Arc<dyn Store>) {
    assert_eq!(store.lock(HOSTILE, NOW).await.unwrap(), Lock::default());
    for failures in 1..=2 {
        let lock = store.count_failure(HOSTILE, NOW, POLICY).await.unwrap();
        assert_eq!(lock, Lock { failures, locked_until: None });
    }
    assert_eq!(store.lock(HOSTILE, NOW).await.unwrap().failures, 2);
    assert_eq!(store.lock("another", NOW).await.unwrap(), Lock::default());
    let past = NOW.plus(POLICY.window + Duration::from_millis(1));
    assert_eq!(store.lock(HOSTILE, past).await.unwrap(), Lock::default(), "old failures are forgotten");

    let end = NOW.plus(POLICY.lock);
    let locked = store.count_failure(HOSTILE, NOW, POLICY).await.unwrap();
    assert_eq!(locked, Lock { failures: 3, locked_until: Some(end) });
    let again = store.count_failure(HOSTILE, NOW.plus(Duration::from_secs(60)), POLICY).await.unwrap();
    assert_eq!(again.locked_until, Some(end), "a lock in force is not made longer");

    store.clear_failures(HOSTILE, NOW).await.unwrap();
    let cleared = store.lock(HOSTILE, NOW).await.unwrap();
    assert_eq!(cleared, Lock { failures: 0, locked_until: Some(end) }, "success does not lift a lock");
    assert_eq!(store.lock(HOSTILE, end).await.unwrap(), Lock::default());
    let fresh = store.count_failure(HOSTILE, end, POLICY).await.unwrap();
    assert_eq!(fresh, Lock { failures: 1, locked_until: None });
}

pub(super) async fn concurrent_failures(store: Arc<dyn Store>) {
    let policy = LockPolicy { limit: 50, ..POLICY };
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.count_failure("ann", NOW, policy).await.unwrap() });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_by_key(|lock| lock.failures);
    assert_eq!(seen.iter().map(|lock| lock.failures).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
    assert!(seen[..49].iter().all(|lock| lock.locked_until.is_none()));
    assert_eq!(seen[49].locked_until, Some(NOW.plus(policy.lock)), "the fiftieth locks, and no other");
}
