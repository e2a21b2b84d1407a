//! Tokens of the admin API in SQLite, and changes that happen only if nobody was faster.

use async_trait::async_trait;
use rusqlite::{Row, params};
use sallyport_model::{ApiTokenId, TenantId, Timestamp};

use super::{
    SqliteStore, connections,
    error::taken,
    rows::{all, change, damaged, id, json, millis, one, optional_id, optional_time, plain, time},
    tenants,
};
use crate::{ApiRole, ApiToken, ApiTokens, Connection, Digest, StoreError, Tenant};

fn token(row: &Row<'_>) -> Result<ApiToken, StoreError> {
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

#[async_trait]
impl ApiTokens for SqliteStore {
    async fn add_api_token(&self, token: &ApiToken) -> Result<(), StoreError> {
        let token = token.clone();
        let sql = "INSERT INTO api_tokens (id, role, tenant, name, token, created_at, expires_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.write(move |c| {
            let tenant = token.role.tenant().map(TenantId::as_str);
            let known = "SELECT 1 FROM tenants WHERE ?1 IS NULL OR id = ?1";
            if tenant.is_some() && one(c, known, [tenant], |_| Ok(()))?.is_none() {
                return Err(StoreError::Missing("tenant"));
            }
            let values = params![
                token.id.as_str(),
                token.role.word(),
                tenant,
                token.name,
                token.token,
                millis(token.created_at),
                token.expires_at.map(millis),
            ];
            change(c, sql, values).map_err(taken("API token"))?;
            Ok(())
        })
        .await
    }

    async fn api_token(&self, sha256: &Digest, now: Timestamp) -> Result<Option<ApiToken>, StoreError> {
        let (sha256, now) = (*sha256, millis(now));
        let sql = "SELECT * FROM api_tokens WHERE token = ?1 AND (expires_at IS NULL OR expires_at > ?2)
                   AND (tenant IS NULL OR tenant IN (SELECT id FROM tenants WHERE suspended = 0))";
        self.read(move |c| one(c, sql, params![sha256, now], token)).await
    }

    async fn api_tokens(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiToken>, StoreError> {
        let tenant = tenant.cloned();
        let sql = "SELECT * FROM api_tokens WHERE ?1 IS NULL OR tenant = ?1 ORDER BY created_at, id";
        self.read(move |c| all(c, sql, [tenant.as_ref().map(TenantId::as_str)], token)).await
    }

    async fn remove_api_token(&self, id: &ApiTokenId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |c| Ok(change(c, "DELETE FROM api_tokens WHERE id = ?1", [id.as_str()])? > 0)).await
    }

    async fn exchange_tenant(&self, was: &Tenant, new: &Tenant) -> Result<bool, StoreError> {
        let (was, new) = (was.clone(), new.clone());
        self.write(move |c| {
            let found = one(c, "SELECT * FROM tenants WHERE id = ?1", [was.id.as_str()], tenants::tenant)?;
            if found.as_ref() != Some(&was) {
                return Ok(false);
            }
            let sql = "UPDATE tenants SET name = ?2, suspended = ?3, settings = ?4 WHERE id = ?1";
            let settings = json("settings", &new.settings)?;
            change(c, sql, params![was.id.as_str(), new.name, new.suspended, settings])?;
            Ok(true)
        })
        .await
    }

    async fn exchange_connection(&self, was: &Connection, new: &Connection) -> Result<bool, StoreError> {
        let row = was.id.as_str().as_bytes();
        let sealed = self.sealer.seal(connections::CONNECTIONS, row, new.settings.as_bytes())?;
        let (was, new, sealer) = (was.clone(), new.clone(), self.sealer.clone());
        self.write(move |c| {
            let sql = "SELECT * FROM connections WHERE id = ?1";
            let found = one(c, sql, [was.id.as_str()], |row| connections::connection(row, &sealer))?;
            if found.as_ref() != Some(&was) {
                return Ok(false);
            }
            let sql = "UPDATE connections SET name = ?2, sealed = ?3, enabled = ?4, changed_at = ?5 WHERE id = ?1";
            let values = params![was.id.as_str(), new.name, sealed, new.enabled, millis(new.changed_at)];
            change(c, sql, values).map_err(taken("connection of that name"))?;
            Ok(true)
        })
        .await
    }
}
