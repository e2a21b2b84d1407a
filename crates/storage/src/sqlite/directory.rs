//! The local directory in SQLite: people, passkeys and lock-out.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{TenantId, Timestamp, UserId};

use super::{
    SqliteStore,
    error::{dangling, taken},
    rows::{all, change, damaged, from_json, from_word, id, json, millis, one, optional_time, plain, time, word},
    seal::Sealer,
};
use crate::{Directory, Lock, LockPolicy, Passkey, Person, StoreError};

const PASSKEYS: &str = "passkeys";

fn person(row: &Row<'_>) -> Result<Person, StoreError> {
    Ok(Person {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        origin: from_word(row, "origin")?,
        login: plain(row, "login")?,
        email: plain(row, "email")?,
        display_name: plain(row, "display_name")?,
        role: from_word(row, "role")?,
        groups: from_json(row, "groups")?,
        password_hash: plain(row, "password_hash")?,
        disabled: plain(row, "disabled")?,
        created_at: time(row, "created_at")?,
    })
}

fn passkey(row: &Row<'_>, sealer: &Sealer) -> Result<Passkey, StoreError> {
    let id: String = plain(row, "id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let credential = sealer.open(PASSKEYS, id.as_bytes(), &sealed)?;
    Ok(Passkey {
        user: super::rows::id(row, "user_id")?,
        name: plain(row, "name")?,
        credential: String::from_utf8(credential.to_vec()).map_err(|error| damaged(PASSKEYS, error.utf8_error()))?,
        created_at: time(row, "created_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
        id,
    })
}

pub(super) fn insert_person(c: &Connection, person: &Person) -> Result<(), StoreError> {
    let sql = "INSERT INTO people
               (id, tenant, origin, login, email, display_name, role, groups, password_hash, disabled, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
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
    change(c, sql, values).map_err(taken("person"))?;
    Ok(())
}

/// `Missing` unless exactly one person changed.
fn changed(rows: usize) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::Missing("person")) }
}

fn lock(c: &Connection, key: &str, now: Timestamp, since: Option<Timestamp>) -> Result<Lock, StoreError> {
    let failures: i64 = match since {
        Some(since) => c
            .prepare_cached("SELECT count(*) FROM sign_in_failures WHERE key = ?1 AND at >= ?2")?
            .query_row(params![key, millis(since)], |row| row.get(0))?,
        None => c
            .prepare_cached("SELECT count(*) FROM sign_in_failures WHERE key = ?1 AND forget_at >= ?2")?
            .query_row(params![key, millis(now)], |row| row.get(0))?,
    };
    let sql = "SELECT locked_until FROM sign_in_locks WHERE key = ?1 AND locked_until > ?2";
    let locked_until = one(c, sql, params![key, millis(now)], |row| time(row, "locked_until"))?;
    Ok(Lock { failures: u32::try_from(failures).unwrap_or(u32::MAX), locked_until })
}

fn count(c: &Connection, key: &str, now: Timestamp, policy: LockPolicy) -> Result<Lock, StoreError> {
    let since = now.minus(policy.window);
    change(c, "DELETE FROM sign_in_failures WHERE key = ?1 AND at < ?2", params![key, millis(since)])?;
    change(
        c,
        "INSERT INTO sign_in_failures (key, at, forget_at) VALUES (?1, ?2, ?3)",
        params![key, millis(now), millis(now.plus(policy.window))],
    )?;
    let found = lock(c, key, now, Some(since))?;
    // A lock in force is not made longer, or whoever keeps failing could lock somebody out for good.
    if found.locked_until.is_some() || found.failures < policy.limit {
        return Ok(found);
    }
    let locked_until = now.plus(policy.lock);
    change(
        c,
        "INSERT INTO sign_in_locks (key, locked_until) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET locked_until = excluded.locked_until",
        params![key, millis(locked_until)],
    )?;
    Ok(Lock { locked_until: Some(locked_until), ..found })
}

#[async_trait]
impl Directory for SqliteStore {
    async fn add_person(&self, person: &Person) -> Result<(), StoreError> {
        let person = person.clone();
        self.write(move |c| insert_person(c, &person)).await
    }

    async fn person(&self, id: &UserId) -> Result<Option<Person>, StoreError> {
        let id = id.clone();
        self.read(move |c| one(c, "SELECT * FROM people WHERE id = ?1", [id.as_str()], person)).await
    }

    async fn person_by_login(&self, login: &str) -> Result<Option<Person>, StoreError> {
        let login = login.to_lowercase();
        self.read(move |c| one(c, "SELECT * FROM people WHERE login = ?1", [login], person)).await
    }

    async fn people(&self, tenant: &TenantId) -> Result<Vec<Person>, StoreError> {
        let tenant = tenant.clone();
        let sql = "SELECT * FROM people WHERE tenant = ?1 ORDER BY login";
        self.read(move |c| all(c, sql, [tenant.as_str()], person)).await
    }

    async fn update_person(&self, person: &Person) -> Result<(), StoreError> {
        let person = person.clone();
        let sql = "UPDATE people SET email = ?3, display_name = ?4, role = ?5, groups = ?6
                   WHERE id = ?1 AND tenant = ?2";
        self.write(move |c| {
            let values = params![
                person.id.as_str(),
                person.tenant.as_str(),
                person.email,
                person.display_name,
                word("role", &person.role)?,
                json("groups", &person.groups)?,
            ];
            changed(change(c, sql, values)?)
        })
        .await
    }

    async fn set_password(&self, id: &UserId, password_hash: &str) -> Result<(), StoreError> {
        let (id, password_hash) = (id.clone(), password_hash.to_owned());
        let sql = "UPDATE people SET password_hash = ?2 WHERE id = ?1";
        self.write(move |c| changed(change(c, sql, params![id.as_str(), password_hash])?)).await
    }

    async fn set_disabled(&self, id: &UserId, disabled: bool) -> Result<(), StoreError> {
        let id = id.clone();
        let sql = "UPDATE people SET disabled = ?2 WHERE id = ?1";
        self.write(move |c| changed(change(c, sql, params![id.as_str(), disabled])?)).await
    }

    async fn passkeys(&self, user: &UserId) -> Result<Vec<Passkey>, StoreError> {
        let (user, sealer) = (user.clone(), self.sealer.clone());
        let sql = "SELECT * FROM passkeys WHERE user_id = ?1 ORDER BY created_at, id";
        self.read(move |c| all(c, sql, [user.as_str()], |row| passkey(row, &sealer))).await
    }

    async fn put_passkey(&self, passkey: &Passkey) -> Result<(), StoreError> {
        let sealed = self.sealer.seal(PASSKEYS, passkey.id.as_bytes(), passkey.credential.as_bytes())?;
        let (id, user, name) = (passkey.id.clone(), passkey.user.clone(), passkey.name.clone());
        let (created_at, last_used_at) = (millis(passkey.created_at), passkey.last_used_at.map(millis));
        // A credential of somebody else is never taken over (WebAuthn section 7.1, step 27).
        let sql = "INSERT INTO passkeys (id, user_id, name, sealed, created_at, last_used_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, sealed = excluded.sealed,
                       created_at = excluded.created_at, last_used_at = excluded.last_used_at
                   WHERE user_id = excluded.user_id";
        self.write(move |c| {
            let rows = change(c, sql, params![id, user.as_str(), name, sealed, created_at, last_used_at])
                .map_err(dangling("person"))?;
            if rows == 1 { Ok(()) } else { Err(StoreError::Exists("passkey")) }
        })
        .await
    }

    async fn remove_passkey(&self, user: &UserId, id: &str) -> Result<bool, StoreError> {
        let (user, id) = (user.clone(), id.to_owned());
        let sql = "DELETE FROM passkeys WHERE id = ?1 AND user_id = ?2";
        self.write(move |c| Ok(change(c, sql, params![id, user.as_str()])? > 0)).await
    }

    async fn lock(&self, key: &str, now: Timestamp) -> Result<Lock, StoreError> {
        let key = key.to_owned();
        self.read(move |c| lock(c, &key, now, None)).await
    }

    async fn count_failure(&self, key: &str, now: Timestamp, policy: LockPolicy) -> Result<Lock, StoreError> {
        let key = key.to_owned();
        self.write(move |c| count(c, &key, now, policy)).await
    }

    async fn clear_failures(&self, key: &str, now: Timestamp) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(move |c| {
            change(c, "DELETE FROM sign_in_failures WHERE key = ?1", [&key])?;
            let ended = "DELETE FROM sign_in_locks WHERE key = ?1 AND locked_until <= ?2";
            change(c, ended, params![key, millis(now)])?;
            Ok(())
        })
        .await
    }
}
