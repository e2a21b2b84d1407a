//! Keys in SQLite, always sealed.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{DataKeyId, TenantId, Timestamp, UserId};
use zeroize::Zeroizing;

use super::{
    SqliteStore,
    error::taken,
    rows::{all, change, damaged, id, millis, one, plain, time},
    seal::Sealer,
};
use crate::{DataKey, Keys, SigningKeyRecord, StoreError};

const SIGNING_KEYS: &str = "signing_keys";
const DATA_KEYS: &str = "data_keys";

fn signing_key(row: &Row<'_>, sealer: &Sealer) -> Result<SigningKeyRecord, StoreError> {
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

fn data_key(row: &Row<'_>, sealer: &Sealer) -> Result<DataKey, StoreError> {
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
fn owner(tenant: Option<&TenantId>, person: Option<&UserId>) -> [String; 2] {
    [tenant.map_or("", TenantId::as_str).to_owned(), person.map_or("", UserId::as_str).to_owned()]
}

fn by_owner(c: &Connection, owner: &[String; 2], sealer: &Sealer) -> Result<Option<DataKey>, StoreError> {
    let sql = "SELECT * FROM data_keys WHERE tenant = ?1 AND person = ?2";
    one(c, sql, params![owner[0], owner[1]], |row| data_key(row, sealer))
}

#[async_trait]
impl Keys for SqliteStore {
    async fn signing_keys(&self, now: Timestamp) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let sealer = self.sealer.clone();
        let sql = "SELECT * FROM signing_keys WHERE published_until > ?1 ORDER BY created_at, id";
        self.read(move |c| all(c, sql, [millis(now)], |row| signing_key(row, &sealer))).await
    }

    async fn put_signing_key(&self, key: &SigningKeyRecord) -> Result<(), StoreError> {
        let sealed = self.sealer.seal(SIGNING_KEYS, key.id.as_str().as_bytes(), &key.private_key)?;
        let (id, algorithm) = (key.id.clone(), key.algorithm.clone());
        let times = [key.created_at, key.signs_from, key.signs_until, key.published_until].map(millis);
        let sql = "INSERT OR REPLACE INTO signing_keys
                   (id, algorithm, sealed, created_at, signs_from, signs_until, published_until)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.write(move |c| {
            change(c, sql, params![id.as_str(), algorithm, sealed, times[0], times[1], times[2], times[3]])?;
            Ok(())
        })
        .await
    }

    async fn data_key(
        &self,
        tenant: Option<&TenantId>,
        person: Option<&UserId>,
        candidate: &DataKey,
    ) -> Result<DataKey, StoreError> {
        let owner = owner(tenant, person);
        // Nearly always it is there, and a read costs no commit.
        let (reading, sealer) = (owner.clone(), self.sealer.clone());
        if let Some(key) = self.read(move |c| by_owner(c, &reading, &sealer)).await? {
            return Ok(key);
        }
        let (candidate, sealer) = (candidate.clone(), self.sealer.clone());
        self.write(move |c| {
            if let Some(key) = by_owner(c, &owner, &sealer)? {
                return Ok(key);
            }
            let sealed = sealer.seal(DATA_KEYS, candidate.id.as_str().as_bytes(), &*candidate.key)?;
            let sql = "INSERT INTO data_keys (id, tenant, person, sealed) VALUES (?1, ?2, ?3, ?4)";
            change(c, sql, params![candidate.id.as_str(), owner[0], owner[1], sealed]).map_err(taken("data key"))?;
            Ok(candidate)
        })
        .await
    }

    async fn data_key_by_id(&self, id: &DataKeyId) -> Result<Option<DataKey>, StoreError> {
        let (id, sealer) = (id.clone(), self.sealer.clone());
        let sql = "SELECT * FROM data_keys WHERE id = ?1";
        self.read(move |c| one(c, sql, [id.as_str()], |row| data_key(row, &sealer))).await
    }

    async fn shred_person(&self, tenant: &TenantId, person: &UserId) -> Result<bool, StoreError> {
        let owner = owner(Some(tenant), Some(person));
        let sql = "DELETE FROM data_keys WHERE tenant = ?1 AND person = ?2";
        self.write_and_scrub(move |c| Ok(change(c, sql, owner)? > 0)).await
    }
}
