//! Tenants in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, taken},
    revocations,
    rows::{Row, change, from_json, id, json, millis, one, params, plain, time},
};
use crate::{RevocationSubject, StoreError, Tenant, Tenants};

pub(super) fn tenant(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: id(row, "id")?,
        name: plain(row, "name")?,
        created_at: time(row, "created_at")?,
        suspended: plain(row, "suspended")?,
        settings: from_json(row, "settings")?,
    })
}

/// A large tenant has millions of rows, and nobody waits for their end but who ordered it.
const REMOVAL: Duration = Duration::from_secs(120);

/// What a tenant owns, children before parents; `$1` is the tenant.
const OWNED: &[&str] = &[
    "DELETE FROM streams WHERE tenant = $1",
    "DELETE FROM scim_resources WHERE tenant = $1",
    "DELETE FROM scim_clients WHERE tenant = $1",
    "DELETE FROM links WHERE tenant = $1",
    "DELETE FROM domains WHERE tenant = $1",
    "DELETE FROM connections WHERE tenant = $1",
    "DELETE FROM consents WHERE user_id IN (SELECT id FROM people WHERE tenant = $1)",
    "DELETE FROM grants WHERE tenant = $1",
    "DELETE FROM browser_sessions WHERE tenant = $1",
    "DELETE FROM codes WHERE tenant = $1",
    "DELETE FROM consents WHERE client IN
     (SELECT c.id FROM clients c JOIN agents a ON a.id = c.agent WHERE a.tenant = $1)",
    "DELETE FROM clients WHERE agent IN (SELECT id FROM agents WHERE tenant = $1)",
    "DELETE FROM agents WHERE tenant = $1",
    "DELETE FROM people WHERE tenant = $1",
    "DELETE FROM tenants WHERE id = $1",
];

async fn remove(c: &mut PgConnection, id: &TenantId, at: Timestamp) -> Result<Option<u64>, Failure> {
    // Locked, so that nothing that refers to it slips in.
    let sql = "SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE";
    if one(c, sql, params![id.as_str()], |_| Ok(())).await?.is_none() {
        return Ok(None);
    }
    let subjects = [RevocationSubject::Tenant(id.clone())];
    revocations::mark(c, &subjects, at).await?;
    for sql in OWNED {
        change(c, sql, params![id.as_str()]).await?;
    }
    revocations::log(c, &subjects, at).await.map(Some)
}

#[async_trait]
impl Tenants for PostgresStore {
    async fn add_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let sql = "INSERT INTO tenants (id, name, created_at, suspended, settings) VALUES ($1, $2, $3, $4, $5)";
        let values = params![
            tenant.id.as_str(),
            tenant.name,
            millis(tenant.created_at),
            tenant.suspended,
            json("settings", &tenant.settings)?,
        ];
        let add = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(taken("tenant")) })
        });
        add.await.map(|_| ())
    }

    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let sql = "INSERT INTO tenants (id, name, created_at, suspended, settings) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, suspended = excluded.suspended,
                       settings = excluded.settings";
        let values = params![
            tenant.id.as_str(),
            tenant.name,
            millis(tenant.created_at),
            tenant.suspended,
            json("settings", &tenant.settings)?,
        ];
        self.execute(sql, values).await.map(|_| ())
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        self.one("SELECT * FROM tenants WHERE id = $1", params![id.as_str()], tenant).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.all("SELECT * FROM tenants ORDER BY id", params![], tenant).await
    }

    async fn remove_tenant(&self, id: &TenantId, at: Timestamp) -> Result<bool, StoreError> {
        let epoch = self.write_within(REMOVAL, (id.clone(), at), |c, (id, at)| Box::pin(remove(c, id, *at))).await?;
        Ok(self.tell(epoch).is_some())
    }
}
