//! Values for the suite. The free text in them is what a careless statement would trip over.

use std::time::Duration;

use sallyport_model::{Actor, ClientId, GrantId, ScopeSet, SessionId, TenantId, Timestamp, UserId};

use crate::{BrowserSession, CodeRecord, Digest, Grant, Grants, NewRefresh, Person, PersonOrigin, Role, Store};

pub(super) const HOSTILE: &str = "x'); DROP TABLE grants; --\"; \u{202e}\u{1f600}%_?1 \\";
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
pub(super) const GRACE: Duration = Duration::from_secs(10);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(super) fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

pub(super) fn grant_id(name: &str) -> GrantId {
    GrantId::new(name).unwrap()
}

pub(super) fn session_id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub(super) fn scopes(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

/// A digest that no other number gives.
pub(super) fn digest(n: u64) -> Digest {
    let mut digest = [0xa5; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

pub(super) fn person(name: &str) -> Person {
    Person {
        id: user(name),
        tenant: tenant("acme"),
        origin: PersonOrigin::Local,
        login: format!("{name}@acme.example"),
        email: Some(HOSTILE.into()),
        display_name: HOSTILE.into(),
        role: Role::User,
        groups: Vec::new(),
        password_hash: None,
        disabled: false,
        created_at: NOW,
    }
}

/// A grant of the person `ann` to `editor` that lives a day from [`NOW`].
pub(super) fn grant(id: &str) -> Grant {
    Grant {
        id: grant_id(id),
        tenant: tenant("acme"),
        subject: Actor::Human(user("ann")),
        actors: Vec::new(),
        ancestors: Vec::new(),
        client: client("editor"),
        resource: "https://gate.example/mcp/files".into(),
        scopes: scopes("files.read files.write"),
        session: session_id("s1"),
        authenticated_at: NOW,
        created_at: NOW,
        expires_at: NOW.plus(DAY),
        revoked_at: None,
        bound_to: None,
    }
}

pub(super) fn refresh(n: u64) -> NewRefresh {
    NewRefresh { token: digest(n), idle_expires_at: NOW.plus(8 * HOUR) }
}

/// A code for the grant `grant` that lives a minute from [`NOW`].
pub(super) fn code(grant: &str) -> CodeRecord {
    CodeRecord {
        grant: grant_id(grant),
        tenant: tenant("acme"),
        user: user("ann"),
        client: client("editor"),
        redirect_uri: "http://127.0.0.1:9/callback?a=';--".into(),
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".into(),
        resource: "https://gate.example/mcp/files".into(),
        scopes: scopes("files.read"),
        session: session_id("s1"),
        nonce: Some(HOSTILE.into()),
        authenticated_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(60)),
        dpop_jkt: None,
    }
}

pub(super) fn browser_session(id: &str, n: u64) -> BrowserSession {
    BrowserSession {
        id: session_id(id),
        cookie: digest(n),
        user: user("ann"),
        tenant: tenant("acme"),
        methods: vec!["pwd".into(), "mfa".into()],
        authenticated_at: NOW,
        expires_at: NOW.plus(DAY),
        provider: None,
    }
}

/// Stores [`grant`] with the living refresh token number `n`.
pub(super) async fn family(store: &dyn Store, id: &str, n: u64) {
    store.add_grant(&grant(id)).await.unwrap();
    Grants::add_refresh(store, &grant_id(id), &refresh(n), NOW).await.unwrap();
}
