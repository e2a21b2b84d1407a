//! People, sessions, grants: shown, and ended.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::StatusCode;
use sallyport_admin::{
    Fault,
    tenancy::{Author, Journal, Parts, Tenancy, people},
};
use sallyport_model::{AuditEvent, SeededRng};
use sallyport_storage::{Agent, AgentBounds, RevocationSubject, Store};
use serde_json::json;

use crate::bench::{Bench, NOW, signed_in, tenant};

async fn last_revocation(store: &dyn Store) -> RevocationSubject {
    store.revocations_after(0, 100).await.unwrap().pop().unwrap().subject
}

#[tokio::test]
async fn a_disabled_person_is_out_and_stays_out_until_enabled() {
    let bench = Bench::new().await;
    let shown = bench.get(&bench.acme, "/tenants/acme/people/u-acme").await.json;
    assert_eq!((&shown["email"], &shown["disabled"]), (&json!("ann@acme.example"), &json!(false)));
    let off = bench.post(&bench.acme, "/tenants/acme/people/u-acme/disable", json!(null)).await;
    assert_eq!((off.status, &off.json["ended"]["sessions"]["number"]), (StatusCode::OK, &json!(1)));
    assert_eq!(bench.noted(), ("user.disable".into(), Some("acme".into()), json!("ci")));
    assert_eq!(last_revocation(bench.store.as_ref()).await, RevocationSubject::User("u-acme".parse().unwrap()));
    let people = bench.get(&bench.acme, "/tenants/acme/people").await.json;
    assert_eq!(people["items"][0]["disabled"], true);
    assert_eq!(bench.get(&bench.acme, "/tenants/acme/sessions").await.json["items"], json!([]));
    assert_eq!(bench.get(&bench.acme, "/tenants/acme/grants").await.json["items"], json!([]));
    let on = bench.post(&bench.acme, "/tenants/acme/people/u-acme/enable", json!(null)).await;
    assert_eq!(on.json["disabled"], false);
    assert_eq!(bench.get(&bench.acme, "/tenants/acme/sessions").await.json["items"], json!([]), "nothing comes back");
    assert_eq!(bench.get(&bench.beta, "/tenants/beta/sessions").await.json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn everything_of_a_person_ends_at_once() {
    let bench = Bench::new().await;
    let ended = bench.post(&bench.acme, "/tenants/acme/people/u-acme/end", json!(null)).await;
    assert_eq!((&ended.json["ended"]["grants"]["number"], &ended.json["disabled"]), (&json!(1), &json!(false)));
    assert_eq!(bench.noted().0, "contain");
    assert!(bench.store.browser_sessions(&tenant("acme"), None, NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_session_and_a_grant_end_by_themselves() {
    let bench = Bench::new().await;
    signed_in(bench.store.as_ref(), "acme", "s-2", "g-2", None).await;
    let sessions = bench.get(&bench.acme, "/tenants/acme/sessions?user=u-acme").await.json;
    assert_eq!(sessions["items"].as_array().unwrap().len(), 2);
    let by = |id: &str| sessions["items"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    assert_eq!((&by("s-acme")["connection"], &by("s-2")["connection"]), (&json!("idp"), &json!(null)));
    let ended = bench.delete(&bench.acme, "/tenants/acme/sessions/s-2").await;
    assert_eq!((ended.status, &ended.json["grants"]), (StatusCode::OK, &json!(1)));
    assert_eq!(bench.noted(), ("tenant.end_session".into(), Some("acme".into()), json!("ci")));
    let grants = bench.get(&bench.acme, "/tenants/acme/grants?user=u-acme").await.json;
    assert_eq!(grants["items"].as_array().unwrap().len(), 1, "that of the other session: {grants}");
    let ended = bench.delete(&bench.acme, "/tenants/acme/grants/g-acme").await;
    assert_eq!((ended.status, &ended.json["had_ended"]), (StatusCode::OK, &json!(false)));
    assert_eq!(last_revocation(bench.store.as_ref()).await, RevocationSubject::Grant("g-acme".parse().unwrap()));
    assert_eq!(bench.get(&bench.acme, "/tenants/acme/grants").await.json["items"], json!([]));
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let bench = Bench::new().await;
    for n in 0..7 {
        signed_in(bench.store.as_ref(), "acme", &format!("s-{n}"), &format!("g-{n}"), None).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/tenants/acme/sessions?limit=3".to_owned());
    loop {
        let page = bench.get(&bench.acme, &path).await.json;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/tenants/acme/sessions?limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["s-0", "s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-acme"]);
}

fn nightly() -> Agent {
    Agent {
        id: "a-1".parse().unwrap(),
        tenant: tenant("acme"),
        client: "client-1".parse().unwrap(),
        name: "Nightly".into(),
        owner: Some("u-acme".parse().unwrap()),
        purpose: "reads at night".into(),
        scopes: "x:read".parse().unwrap(),
        resources: Vec::new(),
        created_at: NOW,
        suspended: false,
        bounds: AgentBounds::default(),
        last_used_at: None,
    }
}

/// Takes so many events, then none.
struct Filling(AtomicUsize);

#[async_trait::async_trait]
impl Journal for Filling {
    async fn keep(&self, _: AuditEvent) -> Result<(), Fault> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| Fault::Record("no space".into()))
    }
}

#[tokio::test]
async fn a_log_that_fails_leaves_a_person_and_her_agents_as_they_are() {
    let bench = Bench::new().await;
    let agent = nightly();
    bench.store.put_agent(&agent).await.unwrap();
    let ann = bench.tenancy.person(&tenant("acme"), "u-acme").await.unwrap();
    let with = |room: usize| {
        let parts = Parts {
            store: bench.store.clone(),
            clock: bench.clock.clone(),
            rng: Arc::new(SeededRng::new(1)),
            journal: Arc::new(Filling(AtomicUsize::new(room))),
            bounds: bench.tenancy.bounds().clone(),
        };
        Tenancy::new(Arc::new(parts), Author::Account("ann (uid 1000)".into()))
    };
    // Of herself, and of her agent.
    for room in 0..2 {
        let failed = people::disable(&with(room), &ann).await;
        assert!(matches!(failed, Err(Fault::Record(_))), "{room}: {failed:?}");
        assert!(!bench.store.person(&ann.id).await.unwrap().unwrap().disabled);
        assert_eq!(bench.store.agent(&agent.id).await.unwrap(), Some(agent.clone()));
        assert_eq!(bench.store.revocations_after(0, 10).await.unwrap().len(), 0);
    }
    let (_, left) = people::disable(&with(2), &ann).await.unwrap();
    assert_eq!(left.len(), 1, "two events are all there is to record");
    assert!(bench.store.agent(&agent.id).await.unwrap().unwrap().suspended);
}

#[tokio::test]
async fn the_agents_of_a_disabled_person_stop() {
    let bench = Bench::new().await;
    let agent = nightly();
    bench.store.put_agent(&agent).await.unwrap();
    let off = bench.post(&bench.acme, "/tenants/acme/people/u-acme/disable", json!(null)).await;
    assert_eq!(off.json["agents"][0]["agent"], "a-1", "{}", off.json);
    assert!(bench.store.agent(&agent.id).await.unwrap().unwrap().suspended);
    assert_eq!(bench.noted(), ("agent.owner_left".into(), Some("acme".into()), json!("ci")));
}
