//! Keys in PostgreSQL, always sealed.

use std::sync::Arc;

use async_trait::async_trait;
use sallyport_model::{DataKeyId, TenantId, Timestamp, UserId};
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::{
    PostgresStore,
    error::{Failure, taken},
    rows::{Row, Value, change, damaged, id, millis, one, params, plain, time},
};
use crate::{DataKey, Keys, SigningKeyRecord, StoreError, seal::Sealer};

const SIGNING_KEYS: &str = "signing_keys";
const DATA_KEYS: &str = "data_keys";

fn signing_key(row: &Row, sealer: &Sealer) -> Result<SigningKeyRecord, StoreError> {
    let name: String = plain(row, "id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    Ok(SigningKeyRecord {
        id: id(row, "id")?,
        algorithm: plain(row, "algorithm")?,
        private_key: sealer.open(SIGNING_KEYS, name.as_bytes(), &sealed)?,
        created_at: time(row, "created_at")?,
        signs_from: time(row, "signs_from")?,
        signs_until: time(row, "signs_until")?,
        published_until: time(row, "published_until")?,
    })
}

fn data_key(row: &Row, sealer: &Sealer) -> Result<DataKey, StoreError> {
    let name: String = plain(row, "id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let opened = sealer.open(DATA_KEYS, name.as_bytes(), &sealed)?;
    let mut key = Zeroizing::new([0u8; 32]);
    if opened.len() != key.len() {
        return Err(damaged(DATA_KEYS, format!("a key of {} bytes", opened.len())));
    }
    key.copy_from_slice(&opened);
    Ok(DataKey { id: id(row, "id")?, key })
}

/// `''` is no legal id, so it can stand for an absent one.
fn owner(tenant: Option<&TenantId>, person: Option<&UserId>) -> Vec<Value> {
    params![tenant.map_or("", TenantId::as_str), person.map_or("", UserId::as_str)]
}

const BY_OWNER: &str = "SELECT * FROM data_keys WHERE tenant = $1 AND person = $2";

/// Keeps the candidate (its id first, then its seal) unless the owner has a key; the sealed one that it has.
async fn keep(c: &mut PgConnection, owner: &[Value], candidate: &[Value]) -> Result<bool, Failure> {
    let sql = "INSERT INTO data_keys (tenant, person, id, sealed) VALUES ($1, $2, $3, $4)
               ON CONFLICT (tenant, person) DO NOTHING";
    let kept = change(c, sql, [owner, candidate].concat()).await.map_err(taken("data key"))?;
    Ok(kept > 0)
}

#[async_trait]
impl Keys for PostgresStore {
    async fn signing_keys(&self, now: Timestamp) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM signing_keys WHERE published_until > $1 ORDER BY created_at, id";
        self.all(sql, params![millis(now)], move |row| signing_key(row, &sealer)).await
    }

    async fn put_signing_key(&self, key: &SigningKeyRecord) -> Result<(), StoreError> {
        let sealed = self.sealer().seal(SIGNING_KEYS, key.id.as_str().as_bytes(), &key.private_key)?;
        let sql = "INSERT INTO signing_keys
                   (id, algorithm, sealed, created_at, signs_from, signs_until, published_until)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)
                   ON CONFLICT (id) DO UPDATE SET algorithm = excluded.algorithm, sealed = excluded.sealed,
                       created_at = excluded.created_at, signs_from = excluded.signs_from,
                       signs_until = excluded.signs_until, published_until = excluded.published_until";
        let values = params![
            key.id.as_str(),
            key.algorithm,
            sealed,
            millis(key.created_at),
            millis(key.signs_from),
            millis(key.signs_until),
            millis(key.published_until),
        ];
        self.execute(sql, values).await.map(|_| ())
    }

    async fn data_key(
        &self,
        tenant: Option<&TenantId>,
        person: Option<&UserId>,
        candidate: &DataKey,
    ) -> Result<DataKey, StoreError> {
        let (owner, sealer) = (owner(tenant, person), self.sealer());
        // Nearly always it is there, and a read costs no commit.
        let reading = Arc::clone(&sealer);
        if let Some(key) = self.one(BY_OWNER, owner.clone(), move |row| data_key(row, &reading)).await? {
            return Ok(key);
        }
        let sealed = sealer.seal(DATA_KEYS, candidate.id.as_str().as_bytes(), &*candidate.key)?;
        let new = params![candidate.id.as_str(), sealed];
        self.write((owner, new, sealer), |c, (owner, new, sealer)| {
            Box::pin(async move {
                keep(c, owner, new).await?;
                let found = one(c, BY_OWNER, owner.clone(), |row| data_key(row, sealer)).await?;
                // Shredded between the two statements.
                found.ok_or_else(|| StoreError::Unavailable("the key was just shredded: ask again".into()).into())
            })
        })
        .await
    }

    async fn data_key_by_id(&self, id: &DataKeyId) -> Result<Option<DataKey>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM data_keys WHERE id = $1";
        self.one(sql, params![id.as_str()], move |row| data_key(row, &sealer)).await
    }

    async fn shred_person(&self, tenant: &TenantId, person: &UserId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM data_keys WHERE tenant = $1 AND person = $2";
        Ok(self.execute(sql, owner(Some(tenant), Some(person))).await? > 0)
    }
}
