//! Tokens of the admin API in PostgreSQL, and changes that happen only if nobody was faster: the row is locked
//! before it is compared.

use async_trait::async_trait;
use sallyport_model::{ApiTokenId, TenantId, Timestamp};
use sqlx::PgConnection;

use super::{
    PostgresStore, connections,
    error::{Failure, dangling, taken},
    rows::{Row, Value, change, damaged, id, json, millis, one, optional_id, optional_time, params, plain, time},
    tenants,
};
use crate::{ApiRole, ApiToken, ApiTokens, Connection, Digest, StoreError, Tenant, seal::Sealer};

fn token(row: &Row) -> Result<ApiToken, StoreError> {
    let role: String = plain(row, "role")?;
    let role = ApiRole::of(&role, optional_id(row, "tenant")?);
    Ok(ApiToken {
        id: id(row, "id")?,
        role: role.ok_or_else(|| damaged("API token", "role and tenant do not fit together"))?,
        name: plain(row, "name")?,
        token: plain(row, "token")?,
        created_at: time(row, "created_at")?,
        expires_at: optional_time(row, "expires_at")?,
    })
}

async fn insert(c: &mut PgConnection, values: &[Value]) -> Result<(), Failure> {
    let sql = "INSERT INTO api_tokens (id, role, tenant, name, token, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    match change(c, sql, values.to_vec()).await {
        Ok(_) => Ok(()),
        Err(error) if super::error::state(&error).as_deref() == Some("23503") => Err(dangling("tenant")(error)),
        Err(error) => Err(taken("API token")(error)),
    }
}

async fn swap_tenant(c: &mut PgConnection, was: &Tenant, new: &Tenant) -> Result<bool, Failure> {
    let sql = "SELECT * FROM tenants WHERE id = $1 FOR UPDATE";
    let found = one(c, sql, params![was.id.as_str()], tenants::tenant).await?;
    if found.as_ref() != Some(was) {
        return Ok(false);
    }
    let sql = "UPDATE tenants SET name = $2, suspended = $3, settings = $4 WHERE id = $1";
    let settings = json("settings", &new.settings)?;
    change(c, sql, params![was.id.as_str(), new.name, new.suspended, settings]).await?;
    Ok(true)
}

async fn swap_connection(
    c: &mut PgConnection,
    was: &Connection,
    values: &[Value],
    sealer: &Sealer,
) -> Result<bool, Failure> {
    let sql = "SELECT * FROM connections WHERE id = $1 FOR UPDATE";
    let found = one(c, sql, params![was.id.as_str()], |row| connections::connection(row, sealer)).await?;
    if found.as_ref() != Some(was) {
        return Ok(false);
    }
    let sql = "UPDATE connections SET name = $2, sealed = $3, enabled = $4, changed_at = $5 WHERE id = $1";
    change(c, sql, values.to_vec()).await.map_err(taken("connection of that name"))?;
    Ok(true)
}

#[async_trait]
impl ApiTokens for PostgresStore {
    async fn add_api_token(&self, token: &ApiToken) -> Result<(), StoreError> {
        let values = params![
            token.id.as_str(),
            token.role.word(),
            token.role.tenant().map(TenantId::as_str),
            token.name,
            token.token,
            millis(token.created_at),
            token.expires_at.map(millis),
        ];
        self.write(values, |c, values| Box::pin(insert(c, values))).await
    }

    async fn api_token(&self, sha256: &Digest, now: Timestamp) -> Result<Option<ApiToken>, StoreError> {
        let sql = "SELECT * FROM api_tokens WHERE token = $1 AND (expires_at IS NULL OR expires_at > $2)
                   AND (tenant IS NULL OR tenant IN (SELECT id FROM tenants WHERE NOT suspended))";
        self.one(sql, params![sha256, millis(now)], token).await
    }

    async fn api_tokens(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiToken>, StoreError> {
        let sql = "SELECT * FROM api_tokens WHERE $1 IS NULL OR tenant = $1 ORDER BY created_at, id";
        self.all(sql, params![tenant.map(TenantId::as_str)], token).await
    }

    async fn remove_api_token(&self, id: &ApiTokenId) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM api_tokens WHERE id = $1", params![id.as_str()]).await? > 0)
    }

    async fn exchange_tenant(&self, was: &Tenant, new: &Tenant) -> Result<bool, StoreError> {
        let given = (was.clone(), new.clone());
        self.write_if(|done| *done, given, |c, (was, new)| Box::pin(swap_tenant(c, was, new))).await
    }

    async fn exchange_connection(&self, was: &Connection, new: &Connection) -> Result<bool, StoreError> {
        let row = was.id.as_str().as_bytes();
        let sealed = self.sealer().seal(connections::CONNECTIONS, row, new.settings.as_bytes())?;
        let values = params![was.id.as_str(), new.name, sealed, new.enabled, millis(new.changed_at)];
        let given = (was.clone(), values, self.sealer());
        let step = |done: &bool| *done;
        self.write_if(step, given, |c, (was, values, sealer)| Box::pin(swap_connection(c, was, values, sealer))).await
    }
}
