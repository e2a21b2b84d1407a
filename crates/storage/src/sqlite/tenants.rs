//! Tenants in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, params};
use sallyport_model::TenantId;

use super::{
    SqliteStore,
    rows::{all, change, id, millis, one, plain, time},
};
use crate::{StoreError, Tenant, Tenants};

fn tenant(row: &Row<'_>) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: id(row, "id")?,
        name: plain(row, "name")?,
        created_at: time(row, "created_at")?,
        suspended: plain(row, "suspended")?,
    })
}

#[async_trait]
impl Tenants for SqliteStore {
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.write(move |c| {
            change(
                c,
                "INSERT INTO tenants (id, name, created_at, suspended) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, suspended = excluded.suspended",
                params![tenant.id.as_str(), tenant.name, millis(tenant.created_at), tenant.suspended],
            )?;
            Ok(())
        })
        .await
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let id = id.clone();
        self.read(move |c| one(c, "SELECT * FROM tenants WHERE id = ?1", [id.as_str()], tenant)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.read(|c| all(c, "SELECT * FROM tenants ORDER BY id", [], tenant)).await
    }
}
