//! What tenants' provisioning systems write: SCIM users and groups, and the tokens they write with.
//!
//! A SCIM user is a person. What happens to her here happens in the same step: who becomes inactive or
//! is deleted is disabled and revoked when the method returns.

use async_trait::async_trait;
use sallyport_model::{ScimClientId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::{Digest, Person, Revocation, StoreError};

/// A provisioning system of a tenant, by one of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimClient {
    /// Its id; two of one tenant may live beside one another while one replaces the other.
    pub id: ScimClientId,
    /// Whose.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the token.
    pub token: Digest,
    /// Since when.
    pub created_at: Timestamp,
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
}

/// The two resource types (RFC 7643 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScimKind {
    /// `User`.
    User,
    /// `Group`.
    Group,
}

/// A resource as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimResource {
    /// Its id; a user's is that of the person.
    pub id: String,
    /// Whose.
    pub tenant: TenantId,
    /// What it is.
    pub kind: ScimKind,
    /// Counted from one; the ETag.
    pub version: u64,
    /// `userName` or `displayName`.
    pub name: String,
    /// The provisioning system's own id for it.
    pub external_id: Option<String>,
    /// JSON, without id, `meta` and a group's members.
    pub document: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Last change.
    pub changed_at: Timestamp,
}

/// How a change of a resource ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScimChange {
    /// Done. `revoked`: what ended with it, where the person lost her access.
    Done {
        /// The entry of the revocation log.
        revoked: Option<Revocation>,
    },
    /// It is at another version by now; nothing changed.
    Stale,
    /// There is no such resource.
    Missing,
}

/// Storage of what SCIM brings.
#[async_trait]
pub trait Provisioning {
    /// Inserts; [`StoreError::Exists`] if id or token is taken.
    async fn add_scim_client(&self, client: &ScimClient) -> Result<(), StoreError>;
    /// By token, if it has not ended and its tenant is not suspended.
    async fn scim_client(&self, token: &Digest, now: Timestamp) -> Result<Option<ScimClient>, StoreError>;
    /// All of a tenant, oldest first.
    async fn scim_clients(&self, tenant: &TenantId) -> Result<Vec<ScimClient>, StoreError>;
    /// Puts `new` in the place of `old`, which is worth nothing from the same moment on; whether `old` was there. Of
    /// any number of callers one hears `true`, and only its token lives. [`StoreError::Exists`] if id or token is taken.
    async fn replace_scim_client(&self, old: &ScimClient, new: &ScimClient) -> Result<bool, StoreError>;
    /// Removes one; whether there was one.
    async fn remove_scim_client(&self, tenant: &TenantId, id: &ScimClientId) -> Result<bool, StoreError>;

    /// Inserts a user and its person; [`StoreError::Exists`] if the name (compared without case) is taken
    /// among the tenant's users, or the id or login is.
    async fn add_scim_user(&self, user: &ScimResource, person: &Person) -> Result<(), StoreError>;
    /// Makes a person who came by signing in a SCIM user as well; [`StoreError::Exists`] as above or if she
    /// is one.
    async fn adopt_scim_user(&self, user: &ScimResource) -> Result<(), StoreError>;
    /// Inserts a group with its members; [`StoreError::Exists`] if the name is taken among the tenant's groups.
    /// Who is no SCIM user of the tenant is left out.
    async fn add_scim_group(&self, group: &ScimResource, members: &[UserId]) -> Result<(), StoreError>;
    /// Replaces name, external id and document of what is at `version - 1`. For a user also the person's
    /// e-mail, display name and `disabled`; if that turns true she is revoked as of `changed_at`. For a group
    /// also its members; who is no SCIM user of the tenant is left out.
    async fn replace_scim(
        &self,
        resource: &ScimResource,
        person: Option<&Person>,
        members: &MemberChange,
    ) -> Result<ScimChange, StoreError>;
    /// Removes a resource; `version`: only if it is at that one. A user's person is revoked and removed, a
    /// group's members leave it.
    async fn remove_scim(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        id: &str,
        version: Option<u64>,
        at: Timestamp,
    ) -> Result<ScimChange, StoreError>;
    /// One.
    async fn scim(&self, tenant: &TenantId, kind: ScimKind, id: &str) -> Result<Option<ScimResource>, StoreError>;
    /// By name, compared without case.
    async fn scim_by_name(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        name: &str,
    ) -> Result<Option<ScimResource>, StoreError>;
    /// By external id, compared to the letter; several if the provisioning system is careless.
    async fn scim_by_external_id(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        external_id: &str,
    ) -> Result<Vec<ScimResource>, StoreError>;
    /// How many there are.
    async fn scim_count(&self, tenant: &TenantId, kind: ScimKind) -> Result<u64, StoreError>;
    /// In the order of ids, those after `after`, less the first `skip`.
    async fn scim_list(
        &self,
        tenant: &TenantId,
        kind: ScimKind,
        after: Option<&str>,
        skip: u64,
        limit: usize,
    ) -> Result<Vec<ScimResource>, StoreError>;

    /// The members of a group, by id.
    async fn scim_members(&self, tenant: &TenantId, group: &str) -> Result<Vec<UserId>, StoreError>;
    /// The groups of a user (id, name), by name.
    async fn scim_groups_of(&self, tenant: &TenantId, user: &UserId) -> Result<Vec<(String, String)>, StoreError>;
}

/// Who joins a group and who leaves it. Who is there already stays, who is not there is no fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberChange {
    /// Who joins.
    pub add: Vec<UserId>,
    /// Who leaves.
    pub remove: Vec<UserId>,
}
