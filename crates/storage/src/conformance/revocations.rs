//! The revocation log and what a revocation covers.

use std::{sync::Arc, time::Duration};

use sallyport_model::{Actor, AgentId, TokenId};
use tokio::task::JoinSet;

use super::samples::*;
use crate::{BrowserSession, CodeRecord, CodeUse, Grant, RevocationSubject, Store, StoreError};

pub(super) async fn log(store: Arc<dyn Store>) {
    let subjects = [
        RevocationSubject::Token(TokenId::new(HOSTILE).unwrap()),
        RevocationSubject::Grant(grant_id("g")),
        RevocationSubject::Session(session_id("s")),
        RevocationSubject::User(user("u")),
        RevocationSubject::Agent(AgentId::new("a").unwrap()),
        RevocationSubject::Client(client("https://c.example/")),
        RevocationSubject::Tenant(tenant("t")),
    ];
    for (n, subject) in (1u64..).zip(&subjects) {
        let at = NOW.plus(Duration::from_millis(n));
        assert_eq!(store.revoke(subject, at).await.unwrap(), n);
    }
    let log = store.revocations_after(0, 100).await.unwrap();
    assert_eq!(log.iter().map(|entry| entry.subject.clone()).collect::<Vec<_>>(), subjects);
    assert_eq!(log[2].at, NOW.plus(Duration::from_millis(3)));
    assert_eq!(store.revocations_after(2, 3).await.unwrap(), log[2..5]);
    assert!(store.revocations_after(7, 100).await.unwrap().is_empty());
    assert!(store.revocations_after(u64::MAX, 100).await.unwrap().is_empty());

    assert_eq!(store.prune_revocations(NOW.plus(Duration::from_millis(3))).await.unwrap(), 2);
    assert_eq!(store.revocations_after(0, 100).await.unwrap(), log[2..]);
    assert_eq!(store.prune_revocations(NOW.plus(HOUR)).await.unwrap(), 5);
    assert_eq!(store.revoke(&subjects[0], NOW).await.unwrap(), 8, "the counter outlives the entries");
}

/// Two of everything, of which one is of another person, agent, client, tenant and session.
pub(super) async fn cover(store: Arc<dyn Store>) {
    let cases = [
        (RevocationSubject::Token(TokenId::new("t").unwrap()), [false, false, false, false]),
        (RevocationSubject::Grant(grant_id("mine")), [true, false, false, true]),
        (RevocationSubject::Session(session_id("mine")), [true, false, true, true]),
        (RevocationSubject::User(user("mine")), [true, false, true, true]),
        (RevocationSubject::Agent(AgentId::new("mine").unwrap()), [false, true, false, false]),
        (RevocationSubject::Client(client("mine")), [true, true, false, true]),
        (RevocationSubject::Tenant(tenant("mine")), [true, true, true, true]),
    ];
    store.add_person(&person("mine")).await.unwrap();
    store.add_person(&person("other")).await.unwrap();
    for (n, (subject, covered)) in (1u64..).zip(cases) {
        for (m, whose) in (1u64..).zip(["mine", "other"]) {
            plant(&*store, &subject, n * 10 + m, whose).await;
        }
        // Before what the next case plants, which would be born dead.
        store.revoke(&subject, NOW.minus(Duration::from_millis(1))).await.unwrap();
        assert_eq!(dead(&*store, &subject, n * 10 + 1, "mine").await, covered, "{subject:?}");
        assert_eq!(dead(&*store, &subject, n * 10 + 2, "other").await, [false; 4], "{subject:?}");
    }
}

/// Ids are fresh for each case, apart from the one that is revoked.
fn names(subject: &RevocationSubject, n: u64, whose: &str) -> (String, String) {
    let fresh = format!("{whose}-{n}");
    match subject {
        RevocationSubject::Grant(_) => (whose.to_owned(), fresh),
        RevocationSubject::Session(_) => (fresh, whose.to_owned()),
        _ => (fresh.clone(), fresh),
    }
}

async fn plant(store: &dyn Store, subject: &RevocationSubject, n: u64, whose: &str) {
    let (grant_name, session_name) = names(subject, n, whose);
    let of_person = Grant {
        tenant: tenant(whose),
        subject: Actor::Human(user(whose)),
        client: client(whose),
        session: session_id(&session_name),
        ..grant(&grant_name)
    };
    let of_agent = Grant {
        id: grant_id(&format!("agent-{n}")),
        subject: Actor::Agent(AgentId::new(whose).unwrap()),
        session: session_id(&format!("agent-{n}")),
        ..of_person.clone()
    };
    store.add_grant(&of_person).await.unwrap();
    store.add_grant(&of_agent).await.unwrap();
    let session = BrowserSession { user: user(whose), tenant: tenant(whose), ..browser_session(&session_name, n) };
    store.add_browser_session(&session).await.unwrap();
    let record = CodeRecord {
        tenant: tenant(whose),
        user: user(whose),
        client: client(whose),
        session: session_id(&session_name),
        ..code(&grant_name)
    };
    store.add_code(&digest(n), &record).await.unwrap();
}

/// Whether the person's grant, the agent's grant, the browser session and the waiting code died.
async fn dead(store: &dyn Store, subject: &RevocationSubject, n: u64, whose: &str) -> [bool; 4] {
    let (grant_name, _) = names(subject, n, whose);
    let revoked = async |name: &str| store.grant(&grant_id(name)).await.unwrap().unwrap().revoked_at.is_some();
    [
        revoked(&grant_name).await,
        revoked(&format!("agent-{n}")).await,
        store.browser_session(&digest(n), NOW).await.unwrap().is_none(),
        store.consume_code(&digest(n), NOW).await.unwrap() == CodeUse::Unknown,
    ]
}

pub(super) async fn concurrent(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for n in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let subject = RevocationSubject::Token(TokenId::new(format!("token-{n}")).unwrap());
            let epoch = store.revoke(&subject, NOW).await.unwrap();
            // Whoever was told an epoch finds it, and all before it, in the log.
            let log = store.revocations_after(0, 1000).await.unwrap();
            assert!(log.len() as u64 >= epoch);
            assert_eq!(log[epoch as usize - 1].subject, subject);
            epoch
        });
    }
    let mut epochs = tasks.join_all().await;
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=64).collect::<Vec<u64>>(), "no gap and none twice");
    let log: Vec<u64> = store.revocations_after(0, 1000).await.unwrap().iter().map(|entry| entry.epoch).collect();
    assert_eq!(log, epochs);
}

/// What a person, tenant, session, agent or client gave before its revocation is dead even when it is
/// stored after it; what came later lives.
pub(super) async fn stored_late(store: Arc<dyn Store>) {
    store.add_person(&person("ann")).await.unwrap();
    let at = NOW.plus(HOUR);
    let subjects = [
        RevocationSubject::Session(session_id("s1")),
        RevocationSubject::User(user("ann")),
        RevocationSubject::Tenant(tenant("acme")),
        RevocationSubject::Client(client("editor")),
        RevocationSubject::Agent(AgentId::new("robot").unwrap()),
    ];
    let others = [RevocationSubject::User(user("bob")), RevocationSubject::Client(client("other"))];
    for subject in &others {
        store.revoke(subject, at).await.unwrap();
    }
    let mut n = 0;
    for (subject, (of_session, of_grant)) in
        subjects.iter().zip([(true, true), (true, true), (true, true), (false, true), (false, true)])
    {
        let store = &*store;
        let robot = matches!(subject, RevocationSubject::Agent(_));
        let mut add = async |authenticated_at, created_at| {
            n += 1;
            let id = if matches!(subject, RevocationSubject::Session(_)) { "s1".to_owned() } else { format!("s-{n}") };
            let session = BrowserSession { authenticated_at, ..browser_session(&id, n) };
            let session_stored = store.add_browser_session(&session).await;
            let new = Grant {
                subject: if robot { Actor::Agent(AgentId::new("robot").unwrap()) } else { grant("x").subject },
                session: session_id(&id),
                authenticated_at,
                created_at,
                ..grant(&format!("g-{n}"))
            };
            store.add_grant(&new).await.unwrap();
            let grant_lives = store.grant(&new.id).await.unwrap().unwrap().revoked_at.is_none();
            let code_stored = store.add_code(&digest(n), &code(new.id.as_str())).await;
            assert_eq!(matches!(code_stored, Err(StoreError::Missing("living grant"))), !grant_lives, "{subject:?}");
            (session_stored, grant_lives)
        };
        let later = at.plus(Duration::from_millis(1));
        store.revoke(subject, at).await.unwrap();
        for early in [NOW, at] {
            let (session, grant_lives) = add(early, early).await;
            let refused = matches!(session, Err(StoreError::Missing("person who may sign in")));
            assert_eq!((refused, !grant_lives), (of_session, of_grant), "{subject:?}");
        }
        let (session, grant_lives) = add(later, later).await;
        assert!(session.is_ok() && grant_lives, "{subject:?}: what came later lives");
        store.prune_revocations(later).await.unwrap();
    }
}

pub(super) async fn of_the_disabled(store: Arc<dyn Store>) {
    store.add_person(&person("ann")).await.unwrap();
    store.set_disabled(&user("ann"), true).await.unwrap();
    let session = store.add_browser_session(&browser_session("s1", 1)).await;
    assert!(matches!(session, Err(StoreError::Missing("person who may sign in"))));
    store.add_grant(&grant("g1")).await.unwrap();
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap().unwrap().revoked_at, Some(NOW), "born dead");
    let robot = Grant { subject: Actor::Agent(AgentId::new("ann").unwrap()), ..grant("g2") };
    store.add_grant(&robot).await.unwrap();
    assert_eq!(store.grant(&robot.id).await.unwrap(), Some(robot), "an agent of that name is somebody else");
}

pub(super) async fn once(store: Arc<dyn Store>) {
    let token = RevocationSubject::Token(TokenId::new("t").unwrap());
    let grant = RevocationSubject::Grant(grant_id("t"));
    assert_eq!(store.revoke_once(&token, NOW).await.unwrap(), Some(1));
    assert_eq!(store.revoke_once(&grant, NOW).await.unwrap(), Some(2), "another kind of thing with that id");
    for _ in 0..3 {
        assert_eq!(store.revoke_once(&token, NOW.plus(HOUR)).await.unwrap(), None);
    }
    assert_eq!(store.revocations_after(0, 10).await.unwrap().len(), 2, "whoever holds a token cannot fill the log");
}
