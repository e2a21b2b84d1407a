//! Parked requests and authorization codes in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{GrantId, Timestamp};

use super::{
    SqliteStore,
    error::taken,
    grants, purge, revocations,
    rows::{change, damaged, from_word, id, millis, one, optional_time, parsed, plain, time, word},
    seal::Sealer,
};
use crate::{Authorizations, CodeRecord, CodeUse, Digest, Parked, ParkedKind, RevocationSubject, StoreError};

const PARKED: &str = "parked";

fn parked(row: &Row<'_>, sealer: &Sealer) -> Result<Parked, StoreError> {
    let handle: Digest = plain(row, "handle")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let body = sealer.open(PARKED, &handle, &sealed)?;
    Ok(Parked {
        handle,
        kind: from_word(row, "kind")?,
        body: String::from_utf8(body.to_vec()).map_err(|error| damaged(PARKED, error.utf8_error()))?,
        expires_at: time(row, "expires_at")?,
    })
}

fn record(row: &Row<'_>) -> Result<CodeRecord, StoreError> {
    Ok(CodeRecord {
        grant: id(row, "grant_id")?,
        tenant: id(row, "tenant")?,
        user: id(row, "user_id")?,
        client: id(row, "client")?,
        redirect_uri: plain(row, "redirect_uri")?,
        code_challenge: plain(row, "code_challenge")?,
        resource: plain(row, "resource")?,
        scopes: parsed(row, "scopes")?,
        session: id(row, "session_id")?,
        nonce: plain(row, "nonce")?,
        authenticated_at: time(row, "authenticated_at")?,
        expires_at: time(row, "expires_at")?,
        dpop_jkt: plain(row, "dpop_jkt")?,
    })
}

fn insert_code(c: &Connection, code: &Digest, record: &CodeRecord) -> Result<(), StoreError> {
    // A revocation deletes the codes that wait; one that comes after it must not slip in.
    if grants::by_id(c, &record.grant)?.is_some_and(|grant| grant.revoked_at.is_some()) {
        return Err(StoreError::Missing("living grant"));
    }
    let sql = "INSERT INTO codes (code, grant_id, tenant, user_id, client, redirect_uri, code_challenge, resource,
                                  scopes, session_id, nonce, authenticated_at, expires_at, dpop_jkt)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let values = params![
        code,
        record.grant.as_str(),
        record.tenant.as_str(),
        record.user.as_str(),
        record.client.as_str(),
        record.redirect_uri,
        record.code_challenge,
        record.resource,
        record.scopes.to_string(),
        record.session.as_str(),
        record.nonce,
        millis(record.authenticated_at),
        millis(record.expires_at),
        record.dpop_jkt,
    ];
    change(c, sql, values).map_err(taken("authorization code"))?;
    Ok(())
}

/// One presentation of a code (RFC 6749 section 4.1.2: a second use revokes what the first gave).
fn consume(c: &Connection, code: &Digest, now: Timestamp) -> Result<CodeUse, StoreError> {
    let found = one(c, "SELECT * FROM codes WHERE code = ?1", [code], |row| {
        Ok((record(row)?, optional_time(row, "consumed_at")?, optional_time(row, "replayed_at")?))
    })?;
    let Some((record, consumed_at, replayed_at)) = found else { return Ok(CodeUse::Unknown) };
    if consumed_at.is_some() {
        let first = replayed_at.is_none();
        if first {
            replay(c, code, &record.grant, now)?;
        }
        return Ok(CodeUse::Replayed { grant: record.grant, first });
    }
    if record.expires_at <= now {
        return Ok(CodeUse::Expired);
    }
    let sql = "UPDATE codes SET consumed_at = ?2 WHERE code = ?1 AND consumed_at IS NULL";
    if change(c, sql, params![code, millis(now)])? != 1 {
        return Err(damaged("authorization code", "it was consumed in the middle of its own consumption"));
    }
    Ok(CodeUse::Fresh(record))
}

/// The first replay. Later ones find `replayed_at` and add nothing, so that whoever holds a used
/// code cannot fill the log; nor does the replay of a code whose grant is dead already.
fn replay(c: &Connection, code: &Digest, grant: &GrantId, now: Timestamp) -> Result<(), StoreError> {
    change(c, "UPDATE codes SET replayed_at = ?2 WHERE code = ?1", params![code, millis(now)])?;
    if grants::by_id(c, grant)?.is_none_or(|grant| grant.revoked_at.is_none()) {
        revocations::append(c, &RevocationSubject::Grant(grant.clone()), now)?;
    }
    Ok(())
}

#[async_trait]
impl Authorizations for SqliteStore {
    async fn park(&self, parked: &Parked) -> Result<(), StoreError> {
        let (handle, expires_at) = (parked.handle, millis(parked.expires_at));
        let kind = word("parked kind", &parked.kind)?;
        let sealed = self.sealer.seal(PARKED, &handle, parked.body.as_bytes())?;
        let sql = "INSERT INTO parked (handle, kind, sealed, expires_at) VALUES (?1, ?2, ?3, ?4)";
        self.write(move |c| {
            change(c, sql, params![handle, kind, sealed, expires_at]).map_err(taken("parked request"))?;
            Ok(())
        })
        .await
    }

    async fn parked(&self, handle: &Digest, kind: ParkedKind, now: Timestamp) -> Result<Option<Parked>, StoreError> {
        let (handle, kind, sealer) = (*handle, word("parked kind", &kind)?, self.sealer.clone());
        let sql = "SELECT * FROM parked WHERE handle = ?1 AND kind = ?2 AND expires_at > ?3";
        self.read(move |c| one(c, sql, params![handle, kind, millis(now)], |row| parked(row, &sealer))).await
    }

    async fn repark(&self, handle: &Digest, kind: ParkedKind, body: &str, now: Timestamp) -> Result<bool, StoreError> {
        let (handle, kind) = (*handle, word("parked kind", &kind)?);
        let sealed = self.sealer.seal(PARKED, &handle, body.as_bytes())?;
        let sql = "UPDATE parked SET sealed = ?4 WHERE handle = ?1 AND kind = ?2 AND expires_at > ?3";
        self.write(move |c| Ok(change(c, sql, params![handle, kind, millis(now), sealed])? > 0)).await
    }

    async fn unpark(&self, handle: &Digest, kind: ParkedKind, now: Timestamp) -> Result<Option<Parked>, StoreError> {
        let (handle, kind, sealer) = (*handle, word("parked kind", &kind)?, self.sealer.clone());
        let sql = "DELETE FROM parked WHERE handle = ?1 AND kind = ?2 AND expires_at > ?3 RETURNING *";
        self.write(move |c| one(c, sql, params![handle, kind, millis(now)], |row| parked(row, &sealer))).await
    }

    async fn add_code(&self, code: &Digest, record: &CodeRecord) -> Result<(), StoreError> {
        let (code, record) = (*code, record.clone());
        self.write(move |c| insert_code(c, &code, &record)).await
    }

    async fn consume_code(&self, code: &Digest, now: Timestamp) -> Result<CodeUse, StoreError> {
        let code = *code;
        self.write(move |c| consume(c, &code, now)).await
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.write(move |c| purge::purge(c, now)).await
    }
}
