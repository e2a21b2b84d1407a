//! Tenants with what is theirs, connections, domains, links, sessions at providers, streams, notices.

use std::sync::Arc;

use sallyport_model::{ConnectionId, SignalStreamId};
use tokio::task::JoinSet;

use super::samples::*;
use crate::{
    BrowserSession, Connection, ConnectionProtocol, Domain, DomainProof, Grant, Link, PersonOrigin, ProviderSession,
    ProviderSessions, ProviderToken, RevocationSubject, Role, SignalDelivery, SignalStream, Store, StoreError, Tenant,
    TenantSettings,
};

pub(super) fn connection_id(name: &str) -> ConnectionId {
    ConnectionId::new(name).unwrap()
}

pub(super) fn connection(name: &str, whose: &str) -> Connection {
    Connection {
        id: connection_id(name),
        tenant: tenant(whose),
        name: format!("{name} {HOSTILE}"),
        protocol: ConnectionProtocol::Oidc,
        settings: format!("{{\"client_secret\":\"{name}\"}}"),
        enabled: true,
        created_at: NOW,
        changed_at: NOW,
    }
}

/// Two tenants with a person each.
pub(super) async fn two_tenants(store: &dyn Store) {
    for (whose, who) in [("acme", "ann"), ("zed", "zoe")] {
        store.put_tenant(&Tenant::new(tenant(whose), whose, NOW)).await.unwrap();
        store.add_person(&crate::Person { tenant: tenant(whose), ..person(who) }).await.unwrap();
    }
}

pub(super) async fn tenants(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let settings = TenantSettings { access_token_seconds: Some(60), federated_only: true, ..TenantSettings::default() };
    let acme = Tenant { settings, ..Tenant::new(tenant("acme"), HOSTILE, NOW) };
    store.put_tenant(&acme).await.unwrap();
    assert_eq!(store.tenant(&acme.id).await.unwrap(), Some(acme.clone()));
    let again = store.add_tenant(&Tenant::new(acme.id.clone(), "x", NOW)).await;
    assert!(matches!(again, Err(StoreError::Exists("tenant"))), "{again:?}");
    assert_eq!(store.tenant(&acme.id).await.unwrap(), Some(acme.clone()), "nothing of it happened");
    let third = Tenant { id: tenant("third"), suspended: true, ..acme };
    store.add_tenant(&third).await.unwrap();
    assert_eq!(store.tenant(&third.id).await.unwrap(), Some(third));

    let ann = crate::Person {
        origin: PersonOrigin::External,
        display_name: "Ann".into(),
        role: Role::Administrator,
        groups: vec![HOSTILE.into(), "b".into()],
        ..person("ann")
    };
    store.update_person(&ann).await.unwrap();
    let kept = store.person(&ann.id).await.unwrap().unwrap();
    assert_eq!((&kept.groups, kept.role, kept.origin), (&ann.groups, ann.role, PersonOrigin::Local), "origin stays");
    let abroad = crate::Person { tenant: tenant("zed"), ..ann };
    assert!(matches!(store.update_person(&abroad).await, Err(StoreError::Missing("person"))));
}

pub(super) async fn removed_tenant(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    store.put_connection(&connection("c", "acme")).await.unwrap();
    store.put_connection(&connection("z", "zed")).await.unwrap();
    store.put_domain(&domain("acme.example", "acme", true)).await.unwrap();
    store.put_link(&link("c", "acme", "ann")).await.unwrap();
    store.put_stream(&stream("st", "acme", Some("c"))).await.unwrap();
    store.add_browser_session(&browser_session("s1", 1)).await.unwrap();
    store.add_grant(&grant("g1")).await.unwrap();
    store.add_refresh(&grant_id("g1"), &refresh(1), NOW).await.unwrap();
    assert!(store.remove_tenant(&tenant("acme"), NOW.plus(HOUR)).await.unwrap());
    assert!(!store.remove_tenant(&tenant("acme"), NOW.plus(HOUR)).await.unwrap());
    assert_eq!(store.tenant(&tenant("acme")).await.unwrap(), None);
    assert_eq!(store.person(&user("ann")).await.unwrap(), None);
    assert_eq!(store.connection(&connection_id("c")).await.unwrap(), None);
    assert_eq!(store.domain("acme.example").await.unwrap(), None);
    assert_eq!(store.streams(None).await.unwrap(), []);
    assert_eq!(store.browser_session_by_id(&session_id("s1")).await.unwrap(), None);
    assert_eq!(store.grant(&grant_id("g1")).await.unwrap(), None);
    let log = store.revocations_after(0, 10).await.unwrap();
    assert!(log.iter().any(|entry| entry.subject == RevocationSubject::Tenant(tenant("acme"))), "{log:?}");
    assert!(store.person(&user("zoe")).await.unwrap().is_some(), "another tenant's stays");
    assert!(store.connection(&connection_id("z")).await.unwrap().is_some());
}

pub(super) async fn connections(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let first = connection("b", "acme");
    let second = Connection { protocol: ConnectionProtocol::Saml, enabled: false, ..connection("a", "acme") };
    store.put_connection(&second).await.unwrap();
    assert!(!store.has_connections().await.unwrap(), "it is off");
    store.put_connection(&first).await.unwrap();
    assert!(store.has_connections().await.unwrap());
    assert_eq!(store.connections(&tenant("acme")).await.unwrap(), [second.clone(), first.clone()], "by name");
    assert_eq!(store.connections(&tenant("zed")).await.unwrap(), []);
    assert_eq!(store.connection(&first.id).await.unwrap(), Some(first.clone()));

    let taken = Connection { tenant: tenant("zed"), ..first.clone() };
    assert!(matches!(store.put_connection(&taken).await, Err(StoreError::Exists("connection"))), "another tenant's");
    let same_name = Connection { name: first.name.clone(), ..connection("c", "acme") };
    assert!(matches!(store.put_connection(&same_name).await, Err(StoreError::Exists("connection"))));
    let nobodys = connection("d", "nobody");
    assert!(matches!(store.put_connection(&nobodys).await, Err(StoreError::Missing("tenant"))));

    let changed = Connection { settings: HOSTILE.into(), changed_at: NOW.plus(HOUR), ..first.clone() };
    store.put_connection(&changed).await.unwrap();
    assert_eq!(store.connection(&first.id).await.unwrap(), Some(changed));

    store.put_fetched(&first.id, "metadata", HOSTILE, NOW).await.unwrap();
    store.put_fetched(&first.id, "metadata", "two", NOW.plus(HOUR)).await.unwrap();
    assert_eq!(store.fetched(&first.id, "metadata").await.unwrap(), Some(("two".into(), NOW.plus(HOUR))));
    assert_eq!(store.fetched(&first.id, "keys").await.unwrap(), None);

    let standing =
        ProviderSession { connection: first.id.clone(), subject: "x".into(), session: None, not_after: None };
    let session = BrowserSession { provider: Some(standing), ..browser_session("s1", 1) };
    store.add_browser_session(&session).await.unwrap();
    assert!(!store.remove_connection(&tenant("zed"), &first.id, NOW).await.unwrap(), "not zed's to remove");
    assert!(store.remove_connection(&tenant("acme"), &first.id, NOW.plus(HOUR)).await.unwrap());
    assert_eq!(store.fetched(&first.id, "metadata").await.unwrap(), None);
    assert_eq!(store.browser_session(&session.cookie, NOW.plus(HOUR)).await.unwrap(), None);
    let log = store.revocations_after(0, 10).await.unwrap();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].subject, RevocationSubject::Session(session.id));
}

fn domain(name: &str, whose: &str, proved: bool) -> Domain {
    Domain {
        tenant: tenant(whose),
        name: name.into(),
        challenge: HOSTILE.into(),
        connection: None,
        claimed_at: NOW,
        proved: proved.then_some((DomainProof::Operator, NOW.plus(HOUR))),
    }
}

pub(super) async fn domains(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    store.put_connection(&connection("c", "acme")).await.unwrap();
    for whose in ["acme", "zed"] {
        store.put_domain(&domain("both.example", whose, false)).await.unwrap();
    }
    assert_eq!(store.domain("both.example").await.unwrap(), None, "a claim proves nothing");
    let proved = Domain { connection: Some(connection_id("c")), ..domain("both.example", "acme", true) };
    store.put_domain(&proved).await.unwrap();
    assert_eq!(store.domain("both.example").await.unwrap(), Some(proved.clone()));
    assert_eq!(store.domain("%").await.unwrap(), None);
    let theirs = domain("both.example", "zed", true);
    assert!(matches!(store.put_domain(&theirs).await, Err(StoreError::Exists("domain"))), "one has proved it");
    let foreign = Domain { connection: Some(connection_id("c")), ..domain("z.example", "zed", false) };
    assert!(matches!(store.put_domain(&foreign).await, Err(StoreError::Missing(_))), "another tenant's connection");

    assert_eq!(store.domains(&tenant("acme")).await.unwrap(), [proved]);
    assert!(!store.remove_domain(&tenant("acme"), "z.example").await.unwrap());
    assert!(store.remove_domain(&tenant("acme"), "both.example").await.unwrap());
    store.put_domain(&theirs).await.unwrap();
    assert_eq!(store.domain("both.example").await.unwrap(), Some(theirs));
}

pub(super) async fn claims(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    store.put_connection(&connection("c", "acme")).await.unwrap();
    let of = |whose: &str| domain("both.example", whose, false);
    let (first, at) = (of("acme"), NOW.plus(HOUR));
    store.claim_domain(&Domain { proved: Some((DomainProof::Operator, NOW)), ..first.clone() }).await.unwrap();
    let claims = async || store.domains(&tenant("acme")).await.unwrap();
    assert_eq!(claims().await, std::slice::from_ref(&first), "a claim proves nothing");
    let other = Domain { challenge: "other".into(), claimed_at: at, ..first.clone() };
    assert!(!store.prove_domain(&other, DomainProof::Dns, at).await.unwrap(), "of another challenge");
    assert!(!store.prove_domain(&of("zed"), DomainProof::Dns, at).await.unwrap(), "there is no such claim");
    assert!(store.prove_domain(&first, DomainProof::Dns, at).await.unwrap());
    assert!(!store.prove_domain(&first, DomainProof::Operator, NOW).await.unwrap(), "once is enough");
    store.claim_domain(&Domain { connection: Some(connection_id("c")), ..other.clone() }).await.unwrap();
    store.claim_domain(&other).await.unwrap();
    let kept = Domain { connection: Some(connection_id("c")), proved: Some((DomainProof::Dns, at)), ..first };
    assert_eq!(claims().await, [kept], "only the connection changed, and none takes none away");

    store.claim_domain(&of("zed")).await.unwrap();
    let taken = store.prove_domain(&of("zed"), DomainProof::Dns, at).await;
    assert!(matches!(taken, Err(StoreError::Exists("domain"))), "{taken:?}");
    let foreign = Domain { connection: Some(connection_id("c")), ..domain("z.example", "zed", false) };
    assert!(matches!(store.claim_domain(&foreign).await, Err(StoreError::Missing(_))), "another tenant's connection");
    let nobodys = domain("z.example", "nobody", false);
    assert!(matches!(store.claim_domain(&nobodys).await, Err(StoreError::Missing(_))));
}

fn link(connection: &str, whose: &str, who: &str) -> Link {
    Link {
        tenant: tenant(whose),
        connection: connection_id(connection),
        subject: format!("iss sub {HOSTILE}"),
        user: user(who),
        linked_at: NOW,
        last_seen_at: NOW,
        asserted: "{}".into(),
    }
}

pub(super) async fn links(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    store.add_person(&person("bob")).await.unwrap();
    store.put_connection(&connection("c", "acme")).await.unwrap();
    let first = link("c", "acme", "ann");
    store.put_link(&first).await.unwrap();
    let seen = Link { last_seen_at: NOW.plus(HOUR), asserted: HOSTILE.into(), ..first.clone() };
    store.put_link(&seen).await.unwrap();
    assert_eq!(store.link(&first.connection, &first.subject).await.unwrap(), Some(seen.clone()));
    assert_eq!(store.link(&first.connection, "%").await.unwrap(), None);
    assert!(matches!(store.put_link(&link("c", "acme", "bob")).await, Err(StoreError::Exists("link"))), "hers");
    for (whose, who) in [("acme", "zoe"), ("zed", "zoe"), ("zed", "ann")] {
        let abroad = Link { subject: "new".into(), ..link("c", whose, who) };
        assert!(matches!(store.put_link(&abroad).await, Err(StoreError::Missing(_))), "{whose} {who}");
    }
    assert_eq!(store.links(&user("ann")).await.unwrap(), [seen]);
    assert_eq!(store.links(&user("bob")).await.unwrap(), []);
    store.remove_connection(&tenant("acme"), &first.connection, NOW).await.unwrap();
    assert_eq!(store.links(&user("ann")).await.unwrap(), []);
}

pub(super) async fn used_once(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.use_once("assertion", &digest(1), NOW, NOW.plus(HOUR)).await.unwrap() });
    }
    let first = tasks.join_all().await.into_iter().filter(|first| *first).count();
    assert_eq!(first, 1);
    assert!(store.use_once("logout", &digest(1), NOW, NOW.plus(HOUR)).await.unwrap(), "another purpose");
    assert!(store.use_once("assertion", &digest(2), NOW, NOW.plus(HOUR)).await.unwrap(), "another id");
    let end = NOW.plus(HOUR);
    assert!(!store.use_once("assertion", &digest(1), NOW.plus(HOUR / 2), end).await.unwrap());
    store.purge(NOW.plus(HOUR / 2)).await.unwrap();
    assert!(!store.use_once("assertion", &digest(1), NOW.plus(HOUR / 2), end).await.unwrap(), "purged too early");
    assert!(store.use_once("assertion", &digest(1), end, end.plus(HOUR)).await.unwrap(), "forgotten by then");
}

/// Many at once, in batches that overlap, are each used once; and what has ended goes.
pub(super) async fn each_used_once(store: Arc<dyn Store>) {
    const IDS: u64 = 300;
    let end = NOW.plus(HOUR);
    assert!(store.use_each_once("proof", &[], NOW).await.unwrap().is_empty());
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&store);
        // Each batch begins elsewhere and goes round, forwards or backwards.
        let mut batch: Vec<_> = (0..IDS).map(|id| (digest((id + 7 * n) % IDS), end)).collect();
        if n % 2 == 1 {
            batch.reverse();
        }
        tasks.spawn(async move {
            let fresh = store.use_each_once("proof", &batch, NOW).await.unwrap();
            assert_eq!(fresh.len(), batch.len());
            batch.into_iter().zip(fresh).filter(|(_, fresh)| *fresh).map(|((id, _), _)| id).collect::<Vec<_>>()
        });
    }
    let mut used: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    used.sort_unstable();
    assert_eq!(used, (0..IDS).map(digest).collect::<Vec<_>>(), "of forty who came with it, one was the first");

    let batch = [(digest(1), end), (digest(900), end), (digest(900), end), (digest(901), end)];
    let fresh = store.use_each_once("proof", &batch, NOW).await.unwrap();
    assert_eq!(fresh, [false, true, false, true], "in their order, and twice in a call is twice");
    assert!(!store.use_once("proof", &digest(901), NOW, end).await.unwrap(), "one store with those that come alone");
    assert_eq!(store.use_each_once("another", &batch[..2], NOW).await.unwrap(), [true, true]);

    assert_eq!(store.purge(NOW.plus(HOUR / 2)).await.unwrap(), 0);
    assert_eq!(store.use_each_once("proof", &batch[..2], NOW.plus(HOUR / 2)).await.unwrap(), [false, false]);
    let again: Vec<_> = batch[..2].iter().map(|(id, _)| (*id, end.plus(HOUR))).collect();
    assert_eq!(store.use_each_once("proof", &again, end).await.unwrap(), [true, true], "forgotten by then");
    assert_eq!(store.purge(end).await.unwrap(), IDS - 1 + 1 + 2, "all that has ended, and not what was used anew");
    assert_eq!(store.use_each_once("proof", &again, end).await.unwrap(), [false, false]);
}

pub(super) async fn provider_sessions(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    store.put_connection(&connection("c", "acme")).await.unwrap();
    store.put_connection(&connection("d", "acme")).await.unwrap();
    let standing = |connection: &str, subject: &str, session: &str| {
        let session = Some(session.to_owned());
        Some(ProviderSession {
            connection: connection_id(connection),
            subject: subject.into(),
            session,
            not_after: Some(NOW.plus(HOUR)),
        })
    };
    let sessions = [
        BrowserSession { provider: standing("c", "ann@idp", "1"), ..browser_session("s1", 1) },
        BrowserSession { provider: standing("c", "ann@idp", "2"), ..browser_session("s2", 2) },
        BrowserSession { provider: standing("c", "bob@idp", "1"), ..browser_session("s3", 3) },
        BrowserSession { provider: standing("d", "ann@idp", "1"), ..browser_session("s4", 4) },
        browser_session("s5", 5),
    ];
    for session in &sessions {
        store.add_browser_session(session).await.unwrap();
        assert_eq!(store.browser_session(&session.cookie, NOW).await.unwrap().as_ref(), Some(session));
        assert_eq!(store.browser_session_by_id(&session.id).await.unwrap().as_ref(), Some(session));
    }
    let alive = |store: Arc<dyn Store>| async move {
        let mut ids: Vec<String> = store
            .browser_sessions(&tenant("acme"), Some(&user("ann")), NOW)
            .await
            .unwrap()
            .into_iter()
            .map(|session| session.id.to_string())
            .collect();
        ids.sort();
        ids.concat()
    };
    assert_eq!(alive(store.clone()).await, "s1s2s3s4s5");
    assert_eq!(store.browser_sessions(&tenant("zed"), None, NOW).await.unwrap(), []);
    let which = |subject: Option<&str>, session: Option<&str>| ProviderSessions {
        connection: connection_id("c"),
        subject: subject.map(str::to_owned),
        session: session.map(str::to_owned),
    };
    assert_eq!(store.revoke_provider_sessions(&which(None, None), NOW).await.unwrap(), [], "not everybody");
    let ended = store.revoke_provider_sessions(&which(Some("ann@idp"), Some("1")), NOW).await.unwrap();
    assert_eq!(ended, [session_id("s1")]);
    let ended = store.revoke_provider_sessions(&which(None, Some("1")), NOW).await.unwrap();
    assert_eq!(ended, [session_id("s3")]);
    let ended = store.revoke_provider_sessions(&which(Some("ann@idp"), None), NOW).await.unwrap();
    assert_eq!(ended, [session_id("s2")]);
    assert_eq!(alive(store.clone()).await, "s4s5");
    assert_eq!(store.revoke_provider_sessions(&which(Some("ann@idp"), None), NOW).await.unwrap(), [], "once each");
    let gone = BrowserSession { provider: standing("c", "cat@idp", "9"), ..browser_session("s9", 9) };
    store.add_browser_session(&gone).await.unwrap();
    store.end_browser_session(&gone.id, NOW).await.unwrap();
    let grant = Grant { session: gone.id.clone(), ..grant("g9") };
    store.add_grant(&grant).await.unwrap();
    let ended = store.revoke_provider_sessions(&which(Some("cat@idp"), None), NOW).await.unwrap();
    assert_eq!(ended, [gone.id], "she signed out here, and her grants lived on");
    assert!(store.grant(&grant.id).await.unwrap().unwrap().revoked_at.is_some());
    assert_eq!(store.revocations_after(0, 10).await.unwrap().len(), 4);

    let token = |token: &str, n: u64| ProviderToken { token: token.into(), asked_at: NOW.plus(HOUR * n as u32) };
    let s4 = session_id("s4");
    assert!(store.put_provider_token(&s4, &token(HOSTILE, 0), None).await.unwrap());
    assert_eq!(store.provider_token(&s4).await.unwrap(), Some(token(HOSTILE, 0)));
    assert!(store.put_provider_token(&s4, &token("two", 1), Some(HOSTILE)).await.unwrap());
    assert!(!store.put_provider_token(&s4, &token("three", 2), Some(HOSTILE)).await.unwrap(), "it moved on");
    assert_eq!(store.provider_token(&s4).await.unwrap(), Some(token("two", 1)));
    let nobodys = store.put_provider_token(&session_id("none"), &token("x", 0), None).await;
    assert!(matches!(nobodys, Err(StoreError::Missing("browser session"))));
}

pub(super) fn stream(name: &str, whose: &str, of: Option<&str>) -> SignalStream {
    SignalStream {
        id: SignalStreamId::new(name).unwrap(),
        tenant: tenant(whose),
        connection: of.map(connection_id),
        delivery: SignalDelivery::Push,
        settings: HOSTILE.into(),
        token: Some(digest(9)),
        created_at: NOW,
        verified_at: None,
        last_event_at: None,
        last_fault: None,
    }
}

pub(super) async fn streams(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    store.put_connection(&connection("c", "acme")).await.unwrap();
    let first = stream("one", "acme", Some("c"));
    let second = SignalStream { delivery: SignalDelivery::Poll, token: None, ..stream("two", "zed", None) };
    store.put_stream(&first).await.unwrap();
    store.put_stream(&second).await.unwrap();
    assert_eq!(store.stream(&first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(store.streams(None).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.streams(Some(&tenant("zed"))).await.unwrap(), [second]);
    let stolen = SignalStream { tenant: tenant("zed"), ..first.clone() };
    assert!(matches!(store.put_stream(&stolen).await, Err(StoreError::Exists("stream"))));
    store.note_stream(&first.id, Some(NOW), None, Some(HOSTILE)).await.unwrap();
    store.note_stream(&first.id, None, Some(NOW.plus(HOUR)), None).await.unwrap();
    let noted = SignalStream { verified_at: Some(NOW), last_event_at: Some(NOW.plus(HOUR)), ..first.clone() };
    assert_eq!(store.stream(&first.id).await.unwrap(), Some(noted));
    assert!(!store.remove_stream(&tenant("zed"), &first.id).await.unwrap());
    assert!(store.remove_stream(&tenant("acme"), &first.id).await.unwrap());
}

pub(super) async fn notices(store: Arc<dyn Store>) {
    for event in ["a", HOSTILE, "c"] {
        store.add_notice(event).await.unwrap();
    }
    let found = store.notices(2).await.unwrap();
    assert_eq!(found.iter().map(|(_, event)| event.as_str()).collect::<Vec<_>>(), ["a", HOSTILE]);
    store.drop_notices(found[1].0).await.unwrap();
    let left = store.notices(10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].1 == "c" && left[0].0 > found[1].0);
    store.drop_notices(left[0].0).await.unwrap();
    store.add_notice("d").await.unwrap();
    assert!(store.notices(1).await.unwrap()[0].0 > left[0].0, "numbers are not used again");
}
