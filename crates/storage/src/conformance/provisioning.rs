//! SCIM clients, users, groups, and what happens to a person with them.

use std::sync::Arc;

use sallyport_model::{ScimClientId, UserId};
use tokio::task::JoinSet;

use super::{federation::two_tenants, samples::*};
use crate::{
    MemberChange, Person, PersonOrigin, RevocationSubject, ScimChange, ScimClient, ScimKind, ScimResource, Store,
    StoreError, Tenant,
};

fn resource(kind: ScimKind, id: &str, name: &str) -> ScimResource {
    ScimResource {
        id: id.into(),
        tenant: tenant("acme"),
        kind,
        version: 1,
        name: name.into(),
        external_id: Some(format!("ext-{id}")),
        document: format!("{{\"x\":{HOSTILE:?}}}"),
        created_at: NOW,
        changed_at: NOW,
    }
}

fn external(name: &str) -> Person {
    Person { origin: PersonOrigin::External, login: name.into(), ..person(name) }
}

fn none() -> MemberChange {
    MemberChange::default()
}

async fn provisioned(store: &dyn Store, id: &str) -> (ScimResource, Person) {
    let user = resource(ScimKind::User, id, &format!("{id}@Acme.example"));
    store.add_scim_user(&user, &external(id)).await.unwrap();
    (user, external(id))
}

pub(super) async fn clients(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let client = |id: &str, n: u64| ScimClient {
        id: ScimClientId::new(id).unwrap(),
        tenant: tenant("acme"),
        name: HOSTILE.into(),
        token: digest(n),
        created_at: NOW,
        expires_at: None,
    };
    let old = ScimClient { expires_at: Some(NOW.plus(HOUR)), ..client("old", 1) };
    store.add_scim_client(&old).await.unwrap();
    store.add_scim_client(&client("new", 2)).await.unwrap();
    assert!(matches!(store.add_scim_client(&client("third", 2)).await, Err(StoreError::Exists(_))), "a token is one's");
    assert_eq!(store.scim_client(&digest(1), NOW).await.unwrap(), Some(old.clone()));
    assert_eq!(store.scim_client(&digest(1), NOW.plus(HOUR)).await.unwrap(), None, "it ended");
    assert_eq!(store.scim_client(&digest(3), NOW).await.unwrap(), None);
    assert_eq!(store.scim_clients(&tenant("acme")).await.unwrap().len(), 2);
    assert!(!store.remove_scim_client(&tenant("zed"), &old.id).await.unwrap());
    let next = client("next", 4);
    let taken = store.replace_scim_client(&old, &client("next", 2)).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    assert!(store.scim_client(&digest(1), NOW).await.unwrap().is_some(), "nothing of it happened");
    let abroad = ScimClient { tenant: tenant("zed"), ..old.clone() };
    assert!(!store.replace_scim_client(&abroad, &next).await.unwrap(), "another tenant's");
    assert!(store.replace_scim_client(&old, &next).await.unwrap());
    assert!(!store.replace_scim_client(&old, &client("late", 5)).await.unwrap(), "it is gone");
    assert_eq!(store.scim_client(&digest(5), NOW).await.unwrap(), None, "and nothing was made in its place");
    assert_eq!(store.scim_client(&digest(4), NOW).await.unwrap(), Some(next.clone()));
    assert!(store.remove_scim_client(&tenant("acme"), &next.id).await.unwrap());
    assert_eq!(store.scim_client(&digest(1), NOW).await.unwrap(), None);
    store.put_tenant(&Tenant { suspended: true, ..Tenant::new(tenant("acme"), "x", NOW) }).await.unwrap();
    assert_eq!(store.scim_client(&digest(2), NOW).await.unwrap(), None, "of a suspended tenant");
}

pub(super) async fn users(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let (bob, _) = provisioned(store.as_ref(), "bob").await;
    let acme = tenant("acme");
    assert_eq!(store.scim(&acme, ScimKind::User, "bob").await.unwrap(), Some(bob.clone()));
    assert_eq!(store.scim(&acme, ScimKind::Group, "bob").await.unwrap(), None);
    assert_eq!(store.scim(&tenant("zed"), ScimKind::User, "bob").await.unwrap(), None, "of another tenant");
    assert_eq!(store.scim_by_name(&acme, ScimKind::User, "BOB@acme.EXAMPLE").await.unwrap(), Some(bob.clone()));
    assert_eq!(store.scim_by_external_id(&acme, ScimKind::User, "ext-bob").await.unwrap(), std::slice::from_ref(&bob));
    assert_eq!(store.scim_by_external_id(&acme, ScimKind::User, "EXT-bob").await.unwrap(), []);
    assert_eq!(store.person(&user("bob")).await.unwrap().unwrap().origin, PersonOrigin::External);

    let again = ScimResource { id: "bob2".into(), ..bob.clone() };
    assert!(matches!(store.add_scim_user(&again, &external("bob2")).await, Err(StoreError::Exists(_))));
    assert_eq!(store.person(&user("bob2")).await.unwrap(), None, "nothing of it happened");
    let adopted = resource(ScimKind::User, "ann", "ann");
    store.adopt_scim_user(&adopted).await.unwrap();
    assert!(matches!(store.adopt_scim_user(&adopted).await, Err(StoreError::Exists(_))));
    let abroad = resource(ScimKind::User, "zoe", "zoe");
    assert!(matches!(store.adopt_scim_user(&abroad).await, Err(StoreError::Missing("person"))));
    let ids = |found: Vec<ScimResource>| found.into_iter().map(|one| one.id).collect::<Vec<_>>().join(" ");
    assert_eq!(ids(store.scim_list(&acme, ScimKind::User, None, 0, 10).await.unwrap()), "ann bob");
    assert_eq!(ids(store.scim_list(&acme, ScimKind::User, Some("ann"), 0, 10).await.unwrap()), "bob");
    assert_eq!(ids(store.scim_list(&acme, ScimKind::User, None, 0, 1).await.unwrap()), "ann");
    assert_eq!(ids(store.scim_list(&acme, ScimKind::User, None, 1, 10).await.unwrap()), "bob");
    assert_eq!(store.scim_count(&acme, ScimKind::User).await.unwrap(), 2);
    assert_eq!(store.scim_count(&tenant("zed"), ScimKind::User).await.unwrap(), 0);
}

pub(super) async fn deactivation(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let (bob, person) = provisioned(store.as_ref(), "bob").await;
    let session = crate::BrowserSession { user: user("bob"), ..browser_session("s1", 1) };
    store.add_browser_session(&session).await.unwrap();
    let later = NOW.plus(HOUR);
    let next = |version: u64| ScimResource { version, changed_at: later, name: "bob".into(), ..bob.clone() };
    let renamed = Person { display_name: "Bob".into(), ..person.clone() };
    let done = store.replace_scim(&next(2), Some(&renamed), &none()).await.unwrap();
    assert_eq!(done, ScimChange::Done { revoked: None }, "a change of name ends nothing");
    assert_eq!(store.person(&user("bob")).await.unwrap().unwrap().display_name, "Bob");
    assert_eq!(store.replace_scim(&next(2), Some(&renamed), &none()).await.unwrap(), ScimChange::Stale);
    let missing = ScimResource { id: "nobody".into(), ..next(3) };
    assert_eq!(store.replace_scim(&missing, None, &none()).await.unwrap(), ScimChange::Missing);
    let abroad = ScimResource { tenant: tenant("zed"), ..next(3) };
    assert_eq!(store.replace_scim(&abroad, None, &none()).await.unwrap(), ScimChange::Missing);

    let off = Person { disabled: true, ..renamed.clone() };
    let ScimChange::Done { revoked: Some(revoked) } = store.replace_scim(&next(3), Some(&off), &none()).await.unwrap()
    else {
        panic!("who becomes inactive is revoked");
    };
    assert_eq!((&revoked.subject, revoked.at), (&RevocationSubject::User(user("bob")), later));
    assert_eq!(store.revocations_after(0, 10).await.unwrap(), [revoked]);
    assert_eq!(store.browser_session(&session.cookie, NOW).await.unwrap(), None);
    let still = store.replace_scim(&next(4), Some(&off), &none()).await.unwrap();
    assert_eq!(still, ScimChange::Done { revoked: None }, "once is enough");
    let back = store.replace_scim(&next(5), Some(&renamed), &none()).await.unwrap();
    assert_eq!(back, ScimChange::Done { revoked: None });
    assert_eq!(store.browser_session(&session.cookie, NOW).await.unwrap(), None, "nothing comes back to life");

    let acme = tenant("acme");
    let wrong = store.remove_scim(&acme, ScimKind::User, "bob", Some(4), later).await.unwrap();
    assert_eq!(wrong, ScimChange::Stale);
    let abroad = store.remove_scim(&tenant("zed"), ScimKind::User, "bob", None, later).await.unwrap();
    assert_eq!(abroad, ScimChange::Missing);
    let gone = store.remove_scim(&acme, ScimKind::User, "bob", Some(5), later).await.unwrap();
    assert!(matches!(gone, ScimChange::Done { revoked: Some(_) }));
    assert_eq!(store.person(&user("bob")).await.unwrap(), None);
    assert_eq!(store.scim(&acme, ScimKind::User, "bob").await.unwrap(), None);
}

pub(super) async fn groups(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    provisioned(store.as_ref(), "bob").await;
    provisioned(store.as_ref(), "cat").await;
    let users = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Vec<UserId>>();
    let group = resource(ScimKind::Group, "g", "Writers");
    store.add_scim_group(&group, &users(&["bob", "zoe", "nobody"])).await.unwrap();
    let acme = tenant("acme");
    assert_eq!(store.scim_members(&acme, "g").await.unwrap(), [user("bob")], "who is no user here is left out");
    let other = resource(ScimKind::Group, "h", "writers");
    assert!(matches!(store.add_scim_group(&other, &[]).await, Err(StoreError::Exists(_))), "compared without case");
    let done = ScimChange::Done { revoked: None };
    let change = async |version: u64, add: &[&str], remove: &[&str]| {
        let next = ScimResource { version, changed_at: NOW.plus(HOUR), ..group.clone() };
        let members = MemberChange { add: users(add), remove: users(remove) };
        store.replace_scim(&next, None, &members).await.unwrap()
    };
    assert_eq!(change(2, &["cat", "bob", "zoe"], &["nobody"]).await, done);
    assert_eq!(store.scim_members(&acme, "g").await.unwrap(), [user("bob"), user("cat")]);
    assert_eq!(change(2, &[], &["cat"]).await, ScimChange::Stale);
    assert_eq!(store.scim_members(&acme, "g").await.unwrap().len(), 2, "nothing of it happened");
    assert_eq!(change(3, &[], &["bob"]).await, done);
    assert_eq!(store.scim_members(&acme, "g").await.unwrap(), [user("cat")]);
    assert_eq!(store.scim_members(&tenant("zed"), "g").await.unwrap(), []);
    assert_eq!(store.scim_groups_of(&acme, &user("cat")).await.unwrap(), [("g".to_owned(), "Writers".to_owned())]);
    let kept = store.scim(&acme, ScimKind::Group, "g").await.unwrap().unwrap();
    assert_eq!((kept.version, kept.changed_at), (3, NOW.plus(HOUR)));
    store.remove_scim(&acme, ScimKind::User, "cat", None, NOW).await.unwrap();
    assert_eq!(store.scim_members(&acme, "g").await.unwrap(), [], "who is gone is no member");
    assert_eq!(store.remove_scim(&acme, ScimKind::Group, "g", None, NOW).await.unwrap(), done);
    assert_eq!(store.scim(&acme, ScimKind::Group, "g").await.unwrap(), None);
}

pub(super) async fn concurrent(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let (bob, person) = provisioned(store.as_ref(), "bob").await;
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let (store, person) = (Arc::clone(&store), person.clone());
        let next = ScimResource { version: 2, name: format!("bob{n}"), ..bob.clone() };
        tasks.spawn(async move { store.replace_scim(&next, Some(&person), &none()).await.unwrap() });
    }
    let done = tasks.join_all().await.into_iter().filter(|one| *one == ScimChange::Done { revoked: None }).count();
    assert_eq!(done, 1, "of many at one version one wins");
}
