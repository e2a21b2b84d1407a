//! Linked accounts in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp, UpstreamName, UserId};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, dangling},
    rows::{Row, Value, change, damaged, id, millis, one, params, plain, time},
};
use crate::{LinkedAccount, LinkedAccounts, StoreError, seal::Sealer};

const TABLE: &str = "linked_accounts";

/// What the seal of an account is bound to.
fn row_of(user: &UserId, upstream: &UpstreamName) -> Vec<u8> {
    [user.as_str().as_bytes(), b"\0", upstream.as_str().as_bytes()].concat()
}

fn account(row: &Row, sealer: &Sealer) -> Result<LinkedAccount, StoreError> {
    let (user, upstream): (UserId, UpstreamName) = (id(row, "user_id")?, id(row, "upstream")?);
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let tokens = sealer.open(TABLE, &row_of(&user, &upstream), &sealed)?;
    let version: i64 = plain(row, "version")?;
    Ok(LinkedAccount {
        tenant: id(row, "tenant")?,
        tokens: String::from_utf8(tokens.to_vec()).map_err(|error| damaged(TABLE, error.utf8_error()))?,
        version: u64::try_from(version).map_err(|error| damaged(TABLE, error))?,
        linked_at: time(row, "linked_at")?,
        renewed_at: time(row, "renewed_at")?,
        user,
        upstream,
    })
}

/// A link that its person's access has not ended.
const ONE: &str = "SELECT l.* FROM linked_accounts l WHERE user_id = $1 AND upstream = $2 AND tenant = $3
    AND EXISTS (SELECT 1 FROM people p WHERE p.id = l.user_id AND p.tenant = l.tenant AND NOT p.disabled)
    AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.at >= l.linked_at
                    AND (r.kind = 'user' AND r.id = l.user_id OR r.kind = 'tenant' AND r.id = l.tenant))";
const ALL: &str = "SELECT l.* FROM linked_accounts l WHERE user_id = $1 AND tenant = $2
    AND EXISTS (SELECT 1 FROM people p WHERE p.id = l.user_id AND p.tenant = l.tenant AND NOT p.disabled)
    AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.at >= l.linked_at
                    AND (r.kind = 'user' AND r.id = l.user_id OR r.kind = 'tenant' AND r.id = l.tenant))
    ORDER BY upstream";

async fn insert(c: &mut PgConnection, values: &[Value]) -> Result<(), Failure> {
    let sql = "INSERT INTO linked_accounts
                   (tenant, user_id, upstream, version, sealed, linked_at, renewed_at, refresh_until)
               SELECT $1, $2, $3, $4, $5, $6, $7, 0
               WHERE EXISTS (SELECT 1 FROM people WHERE id = $2 AND tenant = $1 AND NOT disabled)
                 AND NOT EXISTS (SELECT 1 FROM revocations WHERE at >= $6
                                 AND (kind = 'user' AND id = $2 OR kind = 'tenant' AND id = $1))
               ON CONFLICT (user_id, upstream) DO UPDATE SET
                   tenant = excluded.tenant, version = greatest(excluded.version, linked_accounts.version + 1),
                   sealed = excluded.sealed, linked_at = excluded.linked_at, renewed_at = excluded.renewed_at,
                   refresh_until = 0";
    match change(c, sql, values.to_vec()).await.map_err(dangling("person"))? {
        1 => Ok(()),
        _ => Err(StoreError::Missing("person").into()),
    }
}

fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

#[async_trait]
impl LinkedAccounts for PostgresStore {
    async fn link_account(&self, account: &LinkedAccount) -> Result<(), StoreError> {
        let row = row_of(&account.user, &account.upstream);
        let sealed = self.sealer().seal(TABLE, &row, account.tokens.as_bytes())?;
        let values = params![
            account.tenant.as_str(),
            account.user.as_str(),
            account.upstream.as_str(),
            number(account.version),
            sealed,
            millis(account.linked_at),
            millis(account.renewed_at),
        ];
        self.write(values, |c, values| Box::pin(insert(c, values))).await
    }

    async fn linked_account(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
    ) -> Result<Option<LinkedAccount>, StoreError> {
        let sealer = self.sealer();
        let key = params![user.as_str(), upstream.as_str(), tenant.as_str()];
        self.one(ONE, key, move |row| account(row, &sealer)).await
    }

    async fn linked_accounts(&self, tenant: &TenantId, user: &UserId) -> Result<Vec<LinkedAccount>, StoreError> {
        let sealer = self.sealer();
        self.all(ALL, params![user.as_str(), tenant.as_str()], move |row| account(row, &sealer)).await
    }

    async fn claim_linked_refresh(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE linked_accounts SET refresh_until = $6
                   WHERE user_id = $1 AND upstream = $2 AND tenant = $3 AND version = $4 AND refresh_until <= $5";
        let (now, until) = (millis(now), millis(until));
        let key = params![user.as_str(), upstream.as_str(), tenant.as_str(), number(version), now, until];
        Ok(self.execute(sql, key).await? == 1)
    }

    async fn renew_linked_account(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: u64,
        tokens: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let sealed = self.sealer().seal(TABLE, &row_of(user, upstream), tokens.as_bytes())?;
        let sql = "UPDATE linked_accounts
                   SET version = version + 1, sealed = $5, renewed_at = $6, refresh_until = 0
                   WHERE user_id = $1 AND upstream = $2 AND tenant = $3 AND version = $4";
        let key = params![user.as_str(), upstream.as_str(), tenant.as_str(), number(version), sealed, millis(at)];
        Ok(self.execute(sql, key).await? == 1)
    }

    async fn unlink_account(
        &self,
        tenant: &TenantId,
        user: &UserId,
        upstream: &UpstreamName,
        version: Option<u64>,
    ) -> Result<Option<LinkedAccount>, StoreError> {
        let sql = "DELETE FROM linked_accounts
                   WHERE user_id = $1 AND upstream = $2 AND tenant = $3 AND ($4::bigint IS NULL OR version = $4)
                   RETURNING *";
        let key = params![user.as_str(), upstream.as_str(), tenant.as_str(), version.map(number)];
        let sealer = self.sealer();
        self.write((key, sealer), move |c, (key, sealer)| {
            Box::pin(async move { one(c, sql, key.clone(), |row| account(row, sealer)).await })
        })
        .await
    }
}
