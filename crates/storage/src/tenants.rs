//! Tenants: the customers of a deployment.

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp};

use crate::StoreError;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Suspended tenants authenticate nobody.
    pub suspended: bool,
}

/// Storage of tenants.
#[async_trait]
pub trait Tenants {
    /// Inserts, or updates name and suspension.
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError>;
    /// One tenant.
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError>;
    /// All, by id.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;
}
