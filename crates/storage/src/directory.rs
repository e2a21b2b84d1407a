//! The local directory: people who sign in here, with passwords and passkeys, and lock-out.

use std::time::Duration;

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// What a person may do in the product itself (not at upstreams).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Uses upstreams.
    User,
    /// Also administers the tenant.
    Administrator,
}

/// Where a person comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonOrigin {
    /// Added here; signs in with a password or passkey kept here.
    #[default]
    Local,
    /// Came from her tenant's identity provider, by signing in or by SCIM; has no password here.
    External,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The id; a token's `sub`.
    pub id: UserId,
    /// Whose.
    pub tenant: TenantId,
    /// Where she comes from.
    pub origin: PersonOrigin,
    /// Unique in the deployment, lowercase. Of an external person it is her id: nobody types it.
    pub login: String,
    /// For display and mail.
    pub email: Option<String>,
    /// For display.
    pub display_name: String,
    /// Role in the product.
    pub role: Role,
    /// Her groups, as her tenant's mapping names them.
    pub groups: Vec<String>,
    /// A PHC string (argon2id); absent: no password sign-in.
    pub password_hash: Option<String>,
    /// Disabled people sign in nowhere.
    pub disabled: bool,
    /// Since when.
    pub created_at: Timestamp,
}

/// A WebAuthn credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The credential id, base64url without padding.
    pub id: String,
    /// Whose.
    pub user: UserId,
    /// What its owner calls it.
    pub name: String,
    /// The credential as webauthn-rs serialises it.
    pub credential: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Last sign-in with it.
    pub last_used_at: Option<Timestamp>,
}

/// When failed sign-ins lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockPolicy {
    /// Failures within `window` that lock.
    pub limit: u32,
    /// A failure older than this is forgotten.
    pub window: Duration,
    /// How long a lock lasts.
    pub lock: Duration,
}

/// The state of one lock key (a login, an address).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lock {
    /// Failures within the window.
    pub failures: u32,
    /// Locked until then.
    pub locked_until: Option<Timestamp>,
}

/// Storage of the local directory.
#[async_trait]
pub trait Directory {
    /// Inserts a person; [`StoreError::Exists`] if id or login is taken.
    async fn add_person(&self, person: &Person) -> Result<(), StoreError>;
    /// By id.
    async fn person(&self, id: &UserId) -> Result<Option<Person>, StoreError>;
    /// By login, compared in lowercase.
    async fn person_by_login(&self, login: &str) -> Result<Option<Person>, StoreError>;
    /// All people of a tenant, by login.
    async fn people(&self, tenant: &TenantId) -> Result<Vec<Person>, StoreError>;
    /// Replaces e-mail, display name, role and groups; [`StoreError::Missing`] if there is no such person in
    /// that tenant.
    async fn update_person(&self, person: &Person) -> Result<(), StoreError>;
    /// Replaces the password hash; [`StoreError::Missing`] if there is no such person.
    async fn set_password(&self, id: &UserId, password_hash: &str) -> Result<(), StoreError>;
    /// Disables or enables; [`StoreError::Missing`] if there is no such person. Ends nothing by
    /// itself: revoke the person as well.
    async fn set_disabled(&self, id: &UserId, disabled: bool) -> Result<(), StoreError>;
    /// A person's passkeys, oldest first.
    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, StoreError>;
    /// Inserts or replaces (after a sign-in its counter and last use change);
    /// [`StoreError::Exists`] if the credential is somebody else's.
    async fn put_passkey(&self, passkey: &Passkey) -> Result<(), StoreError>;
    /// Removes one of `user`'s; whether there was one.
    async fn remove_passkey(&self, user: &UserId, id: &str) -> Result<bool, StoreError>;
    /// Reads a lock without counting.
    async fn lock(&self, key: &str, now: Timestamp) -> Result<Lock, StoreError>;
    /// Counts one failure and locks when the policy says so; atomic under any number of callers. A
    /// lock in force is not made longer.
    async fn count_failure(&self, key: &str, now: Timestamp, policy: LockPolicy) -> Result<Lock, StoreError>;
    /// Forgets the failures after a success. Does not lift a lock in force.
    async fn clear_failures(&self, key: &str, now: Timestamp) -> Result<(), StoreError>;
}
