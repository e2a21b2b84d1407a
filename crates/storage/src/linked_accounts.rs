//! People's own accounts at upstreams, which they linked on the gate's page.
//!
//! A link ends with its person's access: one that was made before she, or her tenant, was revoked is not read any
//! more, and [`crate::Authorizations::purge`] deletes it.

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp, UpstreamName, UserId};

use crate::StoreError;

/// One person's account at one upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkedAccount {
    /// Her tenant.
    pub tenant: TenantId,
    /// She.
    pub user: UserId,
    /// Where.
    pub upstream: UpstreamName,
    /// JSON in the words of the gate; sealed at rest, since tokens are in it.
    pub tokens: String,
    /// Grows with each renewal. Whoever links draws the first one at random: an account that was unlinked and linked
    /// anew then has no version that the old one had, and nobody who still holds one of those touches it.
    pub version: u64,
    /// When she began to link it. A revocation at that time or later ends the link.
    pub linked_at: Timestamp,
    /// When the tokens were last renewed.
    pub renewed_at: Timestamp,
}

impl std::fmt::Debug for LinkedAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkedAccount({} of {} at {}, version {})", self.user, self.tenant, self.upstream, self.version)
    }
}

/// Storage of linked accounts. An account is always looked for by tenant and person.
#[async_trait]
pub trait LinkedAccounts {
    /// Inserts, or replaces what this person had linked there; [`StoreError::Missing`] if there is no such person in
    /// that tenant who is not disabled, or her access ended at `linked_at` or later. The version that a replaced one
    /// gets is higher than any before.
    async fn link_account(&self, account: &LinkedAccount) -> Result<(), StoreError>;
    /// The one at `upstream`, while her access lasts.
    async fn linked_account(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
    ) -> Result<Option<LinkedAccount>, StoreError>;
    /// All of a person, by upstream, while her access lasts.
    async fn linked_accounts(&self, tenant: &TenantId, user: &UserId) -> Result<Vec<LinkedAccount>, StoreError>;
    /// Whether the caller may refresh the tokens of `version` now: of any number of callers on any node one hears
    /// `true`, and nobody else until `until`.
    async fn claim_linked_refresh(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Replaces the tokens of `version`, whose number grows by one; whether it still stood.
    async fn renew_linked_account(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: u64,
        tokens: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Removes, where `version` is given only that one; what was there, whether or not her access lasts.
    async fn unlink_account(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: Option<u64>,
    ) -> Result<Option<LinkedAccount>, StoreError>;
}
