//! Who acts for whom: chains of agents, grants made out of grants, and how they end.

use std::{sync::Arc, time::Duration};

use sallyport_model::{Actor, KeyBinding};
use tokio::task::JoinSet;

use super::{
    agents::{agent, agent_id, client_of},
    samples::*,
};
use crate::{CodeRecord, CodeUse, Grant, RevocationSubject, Rotation, Store, StoreError};

/// A grant under which `actors` act for ann, the nearest first.
fn acted(id: &str, actors: &[&str], ancestors: &[&str]) -> Grant {
    Grant {
        actors: actors.iter().map(|name| agent_id(name)).collect(),
        ancestors: ancestors.iter().map(|name| grant_id(name)).collect(),
        client: client(&format!("{}-client", actors.first().unwrap_or(&"editor"))),
        ..grant(id)
    }
}

/// Ann lets `robot` act for her, which lets `sub` do so, which lets `deep` do so; and what is none of theirs.
async fn chain(store: &dyn Store) -> [Grant; 5] {
    let grants = [
        acted("g1", &["robot"], &[]),
        acted("g2", &["sub", "robot"], &["g1"]),
        acted("g3", &["deep", "sub", "robot"], &["g2", "g1"]),
        acted("g4", &["robot"], &[]),
        grant("g5"),
    ];
    for name in ["robot", "sub", "deep"] {
        store.put_agent(&agent(name)).await.unwrap();
        store.put_client(&client_of(&agent(name))).await.unwrap();
    }
    for new in &grants {
        store.add_grant(new).await.unwrap();
    }
    grants
}

async fn lives(store: &dyn Store, grants: &[Grant]) -> Vec<bool> {
    let mut lives = Vec::new();
    for one in grants {
        lives.push(store.grant(&one.id).await.unwrap().unwrap().revoked_at.is_none());
    }
    lives
}

pub(super) async fn stored(store: Arc<dyn Store>) {
    let grants = chain(&*store).await;
    let bound = [KeyBinding::Dpop(HOSTILE.into()), KeyBinding::Certificate("x".into())];
    for (n, key) in (6..).zip(bound) {
        let one = Grant { bound_to: Some(key), ..grant(&format!("g{n}")) };
        store.add_grant(&one).await.unwrap();
        assert_eq!(store.grant(&one.id).await.unwrap(), Some(one));
    }
    for one in &grants {
        assert_eq!(store.grant(&one.id).await.unwrap().as_ref(), Some(one), "in their order");
    }
    store.add_refresh(&grants[2].id, &refresh(1), NOW).await.unwrap();
    let rotated = store.rotate_refresh(&digest(1), &client("deep-client"), &refresh(2), NOW, GRACE).await.unwrap();
    assert_eq!(rotated, Rotation::Rotated(grants[2].clone()));
    assert_eq!(store.grant_of_refresh(&digest(2), NOW).await.unwrap(), Some((grants[2].clone(), true)));

    let acme = tenant("acme");
    let by = async |name: &str, now| {
        let found = store.grants_acted(&acme, &agent_id(name), now).await.unwrap();
        found.into_iter().map(|grant| grant.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(by("robot", NOW).await, ["g4", "g3", "g2", "g1"], "wherever in the chain it is");
    assert_eq!(by("sub", NOW).await, ["g3", "g2"]);
    assert_eq!(by("nobody", NOW).await, [""; 0]);
    assert_eq!(by("robot", grants[0].expires_at).await, [""; 0], "they have ended");
    assert!(store.grants_acted(&tenant("zed"), &agent_id("robot"), NOW).await.unwrap().is_empty());
    let hers = store.grants_of(&acme, &Actor::Human(user("ann")), NOW).await.unwrap();
    assert_eq!(hers.len(), 7, "those under which agents act for her are hers");
    let its_own = Grant { subject: Actor::Agent(agent_id("robot")), ..grant("g8") };
    store.add_grant(&its_own).await.unwrap();
    assert_eq!(by("robot", NOW).await.len(), 4, "what it does for itself is for nobody");
    store.revoke(&RevocationSubject::Grant(grant_id("g4")), NOW).await.unwrap();
    assert_eq!(by("robot", NOW).await, ["g3", "g2", "g1"]);

    let made_of = async |name: &str, now| {
        let found = store.grants_made_of(&grant_id(name), now).await.unwrap();
        found.into_iter().map(|grant| grant.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(made_of("g1", NOW).await, ["g3", "g2"]);
    assert_eq!(made_of("g2", NOW).await, ["g3"]);
    assert_eq!(made_of("g3", NOW).await, [""; 0]);
    assert_eq!(made_of("g1", grants[0].expires_at).await, [""; 0], "they have ended");

    let pinned = CodeRecord { dpop_jkt: Some(HOSTILE.into()), ..code("g9") };
    store.add_code(&digest(9), &pinned).await.unwrap();
    assert_eq!(store.consume_code(&digest(9), NOW).await.unwrap(), CodeUse::Fresh(pinned));
}

/// What a revocation ends of the five of [`chain`]; and it stays ended when the log forgets it.
pub(super) async fn covered(make: &impl AsyncFn() -> Arc<dyn Store>) {
    let cases = [
        (RevocationSubject::Agent(agent_id("robot")), [false, false, false, false, true]),
        (RevocationSubject::Agent(agent_id("sub")), [true, false, false, true, true]),
        (RevocationSubject::Agent(agent_id("deep")), [true, true, false, true, true]),
        (RevocationSubject::Agent(agent_id("ann")), [true; 5]),
        (RevocationSubject::Grant(grant_id("g1")), [false, false, false, true, true]),
        (RevocationSubject::Grant(grant_id("g2")), [true, false, false, true, true]),
        (RevocationSubject::Grant(grant_id("g5")), [true, true, true, true, false]),
        (RevocationSubject::Client(client("robot-client")), [false, false, false, false, true]),
        (RevocationSubject::Client(client("sub-client")), [true, false, false, true, true]),
        (RevocationSubject::Client(client("editor")), [true, true, true, true, false]),
        (RevocationSubject::User(user("ann")), [false; 5]),
        (RevocationSubject::Session(session_id("s1")), [false; 5]),
        (RevocationSubject::Tenant(tenant("acme")), [false; 5]),
    ];
    for (subject, expected) in cases {
        let store = make().await;
        let grants = chain(&*store).await;
        let epoch = store.revoke(&subject, NOW.plus(HOUR)).await.unwrap();
        assert_eq!(lives(&*store, &grants).await, expected, "{subject:?}");
        let log = store.revocations_after(0, 10).await.unwrap();
        assert_eq!((log.last().unwrap().epoch, &log.last().unwrap().subject), (epoch, &subject));
        // A node knows a token's ancestors, not their clients: it is told of those.
        let told: Vec<_> = log.iter().filter(|entry| matches!(entry.subject, RevocationSubject::Grant(_))).collect();
        let told: Vec<_> = told.iter().map(|entry| entry.subject.clone()).collect();
        let expected_told = match &subject {
            RevocationSubject::Client(id) if id.as_str() == "robot-client" => vec!["g1"],
            RevocationSubject::Client(id) if id.as_str() == "sub-client" => vec!["g2"],
            RevocationSubject::Grant(id) => vec![id.as_str()],
            _ => vec![],
        };
        let expected_told: Vec<_> =
            expected_told.into_iter().map(|id| RevocationSubject::Grant(grant_id(id))).collect();
        assert_eq!(told, expected_told, "{subject:?}");
        store.prune_revocations(NOW.plus(DAY)).await.unwrap();
        assert_eq!(lives(&*store, &grants).await, expected, "{subject:?}: when the log forgets it");
    }
}

/// Ends of other kinds: the removal of an agent, a refresh token used twice, a code used twice.
pub(super) async fn ended(store: Arc<dyn Store>) {
    let grants = chain(&*store).await;
    store.add_refresh(&grants[1].id, &refresh(1), NOW).await.unwrap();
    let sub = client("sub-client");
    store.rotate_refresh(&digest(1), &sub, &refresh(2), NOW, GRACE).await.unwrap();
    let reused = store.rotate_refresh(&digest(1), &sub, &refresh(3), NOW.plus(HOUR), GRACE).await.unwrap();
    assert!(matches!(reused, Rotation::Reused(_)));
    assert_eq!(lives(&*store, &grants).await, [true, false, false, true, true], "a family takes its descendants along");

    // Somebody who has just said yes to the agent: the code waits.
    let robots = acted("g6", &["robot"], &[]);
    store.add_grant(&robots).await.unwrap();
    for (n, to) in [(6, "robot-client"), (7, "editor")] {
        store.add_code(&digest(n), &CodeRecord { client: client(to), ..code(&format!("g{n}")) }).await.unwrap();
    }
    assert!(store.remove_agent(&tenant("acme"), &agent_id("robot"), NOW).await.unwrap());
    assert_eq!(store.consume_code(&digest(6), NOW).await.unwrap(), CodeUse::Unknown);
    assert!(matches!(store.consume_code(&digest(7), NOW).await.unwrap(), CodeUse::Fresh(_)), "another client's");
    assert_eq!(lives(&*store, &grants).await, [false, false, false, false, true]);
    assert_eq!(lives(&*store, &[robots]).await, [false]);
    assert!(store.grants_acted(&tenant("acme"), &agent_id("sub"), NOW).await.unwrap().is_empty());
    assert!(store.grants_made_of(&grant_id("g1"), NOW).await.unwrap().is_empty());
}

/// Stored after what ends it.
pub(super) async fn born_dead(store: Arc<dyn Store>) {
    chain(&*store).await;
    let at = NOW.plus(HOUR);
    let mut n = 0;
    let mut add = async |new: Grant, created_at| {
        n += 1;
        let new = Grant { id: grant_id(&format!("late-{n}")), created_at, ..new };
        store.add_grant(&new).await.unwrap();
        let lives = store.grant(&new.id).await.unwrap().unwrap().revoked_at.is_none();
        assert_eq!(store.add_refresh(&new.id, &refresh(1_000 + n), NOW).await.is_ok(), lives);
        lives
    };
    let later = at.plus(Duration::from_millis(1));
    let of_two = || acted("x", &["other", "outer"], &[]);
    store.revoke(&RevocationSubject::Agent(agent_id("outer")), at).await.unwrap();
    assert!(!add(of_two(), NOW).await, "an agent of the chain was revoked since it was made");
    assert!(!add(of_two(), at).await);
    assert!(add(of_two(), later).await, "what came later lives");

    assert!(add(acted("x", &["deep", "sub", "robot"], &["g2", "g1"]), NOW).await);
    store.revoke(&RevocationSubject::Grant(grant_id("g2")), at).await.unwrap();
    let of_g2 = || acted("x", &["deep", "sub", "robot"], &["g2", "g1"]);
    assert!(!add(of_g2(), NOW).await, "its parent is dead");
    assert!(!add(of_g2(), later).await, "whenever it was made");
    assert!(!add(acted("x", &["deep"], &["g1", "g2"]), later).await, "any of them");
    assert!(add(acted("x", &["deep"], &["g1"]), later).await);
    store.revoke(&RevocationSubject::Client(client("robot-client")), at).await.unwrap();
    assert!(!add(acted("x", &["deep"], &["g1"]), later).await, "whatever ended its parent");
    store.prune_revocations(NOW.plus(DAY)).await.unwrap();
    assert!(!add(of_g2(), later).await, "though the log has forgotten it");
    assert!(!add(acted("x", &["deep"], &["nothing"]), NOW).await, "an ancestor that is not there");
    let end = grant("g5").expires_at;
    assert!(add(acted("x", &["deep"], &["g5"]), NOW).await);
    assert!(!add(acted("x", &["deep"], &["g5"]), end).await, "an ancestor that has ended");
}

/// Whatever comes first, what is stored while an agent, a client or an ancestor of it is revoked is dead.
pub(super) async fn raced(store: Arc<dyn Store>) {
    chain(&*store).await;
    for round in 0..12u64 {
        let name = format!("racer-{round}");
        let racer = agent(&name);
        store.put_agent(&racer).await.unwrap();
        let parent = format!("p-{round}");
        store.add_grant(&acted(&parent, &[&name], &[])).await.unwrap();
        let subject = match round % 3 {
            0 => RevocationSubject::Agent(racer.id.clone()),
            1 => RevocationSubject::Grant(grant_id(&parent)),
            _ => RevocationSubject::Client(racer.client.clone()),
        };
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            let (store, name, parent) = (Arc::clone(&store), name.clone(), parent.clone());
            tasks.spawn(async move {
                let new = acted(&format!("r-{round}-{n}"), &["sub", &name], &[&parent]);
                store.add_grant(&new).await.unwrap();
            });
        }
        let revoking = Arc::clone(&store);
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(round % 4)).await;
            revoking.revoke(&subject, NOW).await.unwrap();
        });
        tasks.join_all().await;
        for n in 0..8u64 {
            let id = grant_id(&format!("r-{round}-{n}"));
            assert!(store.grant(&id).await.unwrap().unwrap().revoked_at.is_some(), "round {round}, grant {n}");
            let refused = store.add_refresh(&id, &refresh(10_000 + round * 100 + n), NOW).await;
            assert!(matches!(refused, Err(StoreError::Missing("living grant"))), "{refused:?}");
        }
        assert!(store.grants_acted(&tenant("acme"), &agent_id(&name), NOW).await.unwrap().is_empty());
    }
    store.prune_revocations(NOW.plus(HOUR)).await.unwrap();
    for round in 0..12 {
        for n in 0..8 {
            let id = grant_id(&format!("r-{round}-{n}"));
            assert!(store.grant(&id).await.unwrap().unwrap().revoked_at.is_some(), "round {round} lives again");
        }
    }
}

pub(super) async fn purged(store: Arc<dyn Store>) {
    let grants = chain(&*store).await;
    let end = grants[0].expires_at.plus(2 * DAY);
    assert_eq!(store.purge(end).await.unwrap(), 5, "the grants; what is searched by goes with them");
    assert_eq!(store.grant(&grants[0].id).await.unwrap(), None);
    assert!(store.grants_acted(&tenant("acme"), &agent_id("robot"), NOW).await.unwrap().is_empty());
    assert!(store.agent(&agent_id("robot")).await.unwrap().is_some());
}
