//! The local directory in PostgreSQL: people, passkeys and lock-out.

use async_trait::async_trait;
use sallyport_model::{TenantId, Timestamp, UserId};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, dangling, taken},
    rows::{
        self, Row, change, damaged, from_json, from_word, id, json, millis, one, optional, optional_time, params,
        plain, time, word,
    },
};
use crate::{Directory, Lock, LockPolicy, Passkey, Person, StoreError, seal::Sealer};

const PASSKEYS: &str = "passkeys";

fn person(row: &Row) -> Result<Person, StoreError> {
    Ok(Person {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        origin: from_word(row, "origin")?,
        login: plain(row, "login")?,
        email: optional(row, "email")?,
        display_name: plain(row, "display_name")?,
        role: from_word(row, "role")?,
        groups: from_json(row, "groups")?,
        password_hash: optional(row, "password_hash")?,
        disabled: plain(row, "disabled")?,
        created_at: time(row, "created_at")?,
    })
}

fn passkey(row: &Row, sealer: &Sealer) -> Result<Passkey, StoreError> {
    let id: String = plain(row, "id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let credential = sealer.open(PASSKEYS, id.as_bytes(), &sealed)?;
    Ok(Passkey {
        user: rows::id(row, "user_id")?,
        name: plain(row, "name")?,
        credential: String::from_utf8(credential.to_vec()).map_err(|error| damaged(PASSKEYS, error.utf8_error()))?,
        created_at: time(row, "created_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
        id,
    })
}

/// `Missing` unless exactly one person changed.
fn changed(rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Missing("person")) }
}

pub(super) async fn insert_person(c: &mut PgConnection, person: &Person) -> Result<(), Failure> {
    let sql = "INSERT INTO people
               (id, tenant, origin, login, email, display_name, role, groups, password_hash, disabled, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let values = params![
        person.id.as_str(),
        person.tenant.as_str(),
        word("origin", &person.origin)?,
        person.login.to_lowercase(),
        person.email,
        person.display_name,
        word("role", &person.role)?,
        json("groups", &person.groups)?,
        person.password_hash,
        person.disabled,
        millis(person.created_at),
    ];
    change(c, sql, values).await.map_err(taken("person"))?;
    Ok(())
}

async fn lock(c: &mut PgConnection, key: &str, now: Timestamp, since: Option<Timestamp>) -> Result<Lock, Failure> {
    let (sql, from) = match since {
        Some(since) => ("SELECT count(*) FROM sign_in_failures WHERE key = $1 AND at >= $2", since),
        None => ("SELECT count(*) FROM sign_in_failures WHERE key = $1 AND forget_at >= $2", now),
    };
    let failures = rows::number(c, sql, params![key, millis(from)]).await?;
    let sql = "SELECT locked_until FROM sign_in_locks WHERE key = $1 AND locked_until > $2";
    let locked_until = one(c, sql, params![key, millis(now)], |row| time(row, "locked_until")).await?;
    Ok(Lock { failures: u32::try_from(failures).unwrap_or(u32::MAX), locked_until })
}

/// The row of a key in `sign_in_locks` is what failures of that key wait for; made if there is none, as a
/// lock that ended long ago.
async fn take_turn(c: &mut PgConnection, key: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO sign_in_locks (key, locked_until) VALUES ($1, 0)
               ON CONFLICT (key) DO UPDATE SET key = excluded.key";
    change(c, sql, params![key]).await?;
    Ok(())
}

async fn count(c: &mut PgConnection, key: &str, now: Timestamp, policy: LockPolicy) -> Result<Lock, Failure> {
    take_turn(c, key).await?;
    let since = now.minus(policy.window);
    change(c, "DELETE FROM sign_in_failures WHERE key = $1 AND at < $2", params![key, millis(since)]).await?;
    let sql = "INSERT INTO sign_in_failures (key, at, forget_at) VALUES ($1, $2, $3)";
    change(c, sql, params![key, millis(now), millis(now.plus(policy.window))]).await?;
    let found = lock(c, key, now, Some(since)).await?;
    // A lock in force is not made longer, or whoever keeps failing could lock somebody out for good.
    if found.locked_until.is_some() || found.failures < policy.limit {
        return Ok(found);
    }
    let locked_until = now.plus(policy.lock);
    let sql = "UPDATE sign_in_locks SET locked_until = $2 WHERE key = $1";
    change(c, sql, params![key, millis(locked_until)]).await?;
    Ok(Lock { locked_until: Some(locked_until), ..found })
}

async fn clear(c: &mut PgConnection, key: &str, now: Timestamp) -> Result<(), Failure> {
    take_turn(c, key).await?;
    change(c, "DELETE FROM sign_in_failures WHERE key = $1", params![key]).await?;
    let ended = "DELETE FROM sign_in_locks WHERE key = $1 AND locked_until <= $2";
    change(c, ended, params![key, millis(now)]).await?;
    Ok(())
}

#[async_trait]
impl Directory for PostgresStore {
    async fn add_person(&self, person: &Person) -> Result<(), StoreError> {
        self.write(person.clone(), |c, person| Box::pin(insert_person(c, person))).await
    }

    async fn person(&self, id: &UserId) -> Result<Option<Person>, StoreError> {
        self.one("SELECT * FROM people WHERE id = $1", params![id.as_str()], person).await
    }

    async fn person_by_login(&self, login: &str) -> Result<Option<Person>, StoreError> {
        self.one("SELECT * FROM people WHERE login = $1", params![login.to_lowercase()], person).await
    }

    async fn people(&self, tenant: &TenantId) -> Result<Vec<Person>, StoreError> {
        self.all("SELECT * FROM people WHERE tenant = $1 ORDER BY login", params![tenant.as_str()], person).await
    }

    async fn update_person(&self, person: &Person) -> Result<(), StoreError> {
        let sql = "UPDATE people SET email = $3, display_name = $4, role = $5, groups = $6
                   WHERE id = $1 AND tenant = $2";
        let values = params![
            person.id.as_str(),
            person.tenant.as_str(),
            person.email,
            person.display_name,
            word("role", &person.role)?,
            json("groups", &person.groups)?,
        ];
        changed(self.execute(sql, values).await?)
    }

    async fn set_password(&self, id: &UserId, password_hash: &str) -> Result<(), StoreError> {
        let sql = "UPDATE people SET password_hash = $2 WHERE id = $1";
        changed(self.execute(sql, params![id.as_str(), password_hash]).await?)
    }

    async fn set_disabled(&self, id: &UserId, disabled: bool) -> Result<(), StoreError> {
        let sql = "UPDATE people SET disabled = $2 WHERE id = $1";
        changed(self.execute(sql, params![id.as_str(), disabled]).await?)
    }

    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM passkeys WHERE user_id = $1 ORDER BY created_at, id";
        self.all(sql, params![user.as_str()], move |row| passkey(row, &sealer)).await
    }

    async fn put_passkey(&self, passkey: &Passkey) -> Result<(), StoreError> {
        let sealed = self.sealer().seal(PASSKEYS, passkey.id.as_bytes(), passkey.credential.as_bytes())?;
        // A credential of somebody else is never taken over (WebAuthn section 7.1, step 27).
        let sql = "INSERT INTO passkeys (id, user_id, name, sealed, created_at, last_used_at)
                   VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, sealed = excluded.sealed,
                       created_at = excluded.created_at, last_used_at = excluded.last_used_at
                   WHERE passkeys.user_id = excluded.user_id";
        let values = params![
            passkey.id,
            passkey.user.as_str(),
            passkey.name,
            sealed,
            millis(passkey.created_at),
            passkey.last_used_at.map(millis),
        ];
        let put = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(dangling("person")) })
        });
        if put.await? == 1 { Ok(()) } else { Err(StoreError::Exists("passkey")) }
    }

    async fn remove_passkey(&self, user: &UserId, id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM passkeys WHERE id = $1 AND user_id = $2";
        Ok(self.execute(sql, params![id, user.as_str()]).await? > 0)
    }

    async fn lock(&self, key: &str, now: Timestamp) -> Result<Lock, StoreError> {
        self.look(key.to_owned(), move |c, key| Box::pin(lock(c, key, now, None))).await
    }

    async fn count_failure(&self, key: &str, now: Timestamp, policy: LockPolicy) -> Result<Lock, StoreError> {
        self.write(key.to_owned(), move |c, key| Box::pin(count(c, key, now, policy))).await
    }

    async fn clear_failures(&self, key: &str, now: Timestamp) -> Result<(), StoreError> {
        self.write(key.to_owned(), move |c, key| Box::pin(clear(c, key, now))).await
    }
}
