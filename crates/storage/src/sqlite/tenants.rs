//! Tenants in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{TenantId, Timestamp};

use super::{
    SqliteStore,
    error::taken,
    revocations,
    rows::{all, change, from_json, id, json, millis, one, plain, time},
};
use crate::{RevocationSubject, StoreError, Tenant, Tenants};

pub(super) fn tenant(row: &Row<'_>) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: id(row, "id")?,
        name: plain(row, "name")?,
        created_at: time(row, "created_at")?,
        suspended: plain(row, "suspended")?,
        settings: from_json(row, "settings")?,
    })
}

/// What a tenant owns, children before parents; `?1` is the tenant.
const OWNED: &[&str] = &[
    "DELETE FROM streams WHERE tenant = ?1",
    "DELETE FROM scim_resources WHERE tenant = ?1",
    "DELETE FROM scim_clients WHERE tenant = ?1",
    "DELETE FROM links WHERE tenant = ?1",
    "DELETE FROM domains WHERE tenant = ?1",
    "DELETE FROM connections WHERE tenant = ?1",
    "DELETE FROM consents WHERE user_id IN (SELECT id FROM people WHERE tenant = ?1)",
    "DELETE FROM codes WHERE tenant = ?1",
    "DELETE FROM grants WHERE tenant = ?1",
    "DELETE FROM browser_sessions WHERE tenant = ?1",
    "DELETE FROM consents WHERE client IN
     (SELECT c.id FROM clients c JOIN agents a ON a.id = c.agent WHERE a.tenant = ?1)",
    "DELETE FROM clients WHERE agent IN (SELECT id FROM agents WHERE tenant = ?1)",
    "DELETE FROM agents WHERE tenant = ?1",
    "DELETE FROM people WHERE tenant = ?1",
    "DELETE FROM tenants WHERE id = ?1",
];

fn remove(c: &Connection, id: &TenantId, at: Timestamp) -> Result<bool, StoreError> {
    if one(c, "SELECT 1 FROM tenants WHERE id = ?1", [id.as_str()], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    revocations::append(c, &RevocationSubject::Tenant(id.clone()), at)?;
    for sql in OWNED {
        change(c, sql, [id.as_str()])?;
    }
    Ok(true)
}

#[async_trait]
impl Tenants for SqliteStore {
    async fn add_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        let sql = "INSERT INTO tenants (id, name, created_at, suspended, settings) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.write(move |c| {
            let values = params![
                tenant.id.as_str(),
                tenant.name,
                millis(tenant.created_at),
                tenant.suspended,
                json("settings", &tenant.settings)?,
            ];
            change(c, sql, values).map_err(taken("tenant"))?;
            Ok(())
        })
        .await
    }

    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.write(move |c| {
            change(
                c,
                "INSERT INTO tenants (id, name, created_at, suspended, settings) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, suspended = excluded.suspended,
                     settings = excluded.settings",
                params![
                    tenant.id.as_str(),
                    tenant.name,
                    millis(tenant.created_at),
                    tenant.suspended,
                    json("settings", &tenant.settings)?,
                ],
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

    async fn remove_tenant(&self, id: &TenantId, at: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |c| remove(c, &id, at)).await
    }
}
