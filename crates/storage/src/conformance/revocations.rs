//! The revocation log and what a revocation covers.

use std::{sync::Arc, time::Duration};

use sallyport_model::{Actor, AgentId, TokenId};
use tokio::task::JoinSet;

use super::samples::*;
use crate::{BrowserSession, CodeRecord, CodeUse, Grant, RevocationSubject, Store};

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
        store.revoke(&subject, NOW).await.unwrap();
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
