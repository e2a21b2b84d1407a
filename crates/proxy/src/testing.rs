//! Values that the unit tests of this crate share.

use sallyport_model::{Actor, ClientId, GrantId, Principal, SessionId, TenantId, Timestamp, TokenId, UserId};

/// A person with read access to `files`.
pub(crate) fn principal() -> Principal {
    Principal {
        tenant: TenantId::new("acme").unwrap(),
        subject: Actor::Human(UserId::new("u-ann").unwrap()),
        actors: Vec::new(),
        client: ClientId::new("c-1").unwrap(),
        session: SessionId::new("s-1").unwrap(),
        grant: GrantId::new("g-1").unwrap(),
        ancestors: Vec::new(),
        token: TokenId::new("t-1").unwrap(),
        scopes: "files:read".parse().unwrap(),
        issued_at: Timestamp::from_secs(1_000),
        expires_at: Timestamp::from_secs(1_300),
        bound_to: None,
    }
}
