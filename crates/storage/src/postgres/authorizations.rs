//! Parked requests and authorization codes in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::{GrantId, Timestamp};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, taken},
    grants, revocations,
    rows::{
        Row, change, damaged, from_word, id, millis, one, optional, optional_time, params, parsed, plain, time, word,
    },
};
use crate::{
    Authorizations, CodeRecord, CodeUse, Digest, Parked, ParkedKind, RevocationSubject, StoreError, seal::Sealer,
};

const PARKED: &str = "parked";

fn parked(row: &Row, sealer: &Sealer) -> Result<Parked, StoreError> {
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

fn record(row: &Row) -> Result<CodeRecord, StoreError> {
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
        nonce: optional(row, "nonce")?,
        authenticated_at: time(row, "authenticated_at")?,
        expires_at: time(row, "expires_at")?,
        dpop_jkt: optional(row, "dpop_jkt")?,
    })
}

async fn insert_code(c: &mut PgConnection, code: &Digest, record: &CodeRecord) -> Result<(), Failure> {
    // A revocation deletes the codes that wait; one that comes after it must not slip in.
    let grant = params![record.grant.as_str()];
    one(c, "SELECT 1 FROM grants WHERE id = $1 FOR SHARE", grant, |_| Ok(())).await?;
    if grants::by_id(c, &record.grant).await?.is_some_and(|grant| grant.revoked_at.is_some()) {
        return Err(StoreError::Missing("living grant").into());
    }
    let sql = "INSERT INTO codes (code, grant_id, tenant, user_id, client, redirect_uri, code_challenge, resource,
                                  scopes, session_id, nonce, authenticated_at, expires_at, dpop_jkt)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
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
    change(c, sql, values).await.map_err(taken("authorization code"))?;
    Ok(())
}

/// One presentation of a code (RFC 6749 section 4.1.2: a second use revokes what the first gave), and the
/// epoch of the revocation if there was one. Presentations of one code wait for one another at its row.
async fn consume(c: &mut PgConnection, code: &Digest, now: Timestamp) -> Result<(CodeUse, Option<u64>), Failure> {
    let found = one(c, "SELECT * FROM codes WHERE code = $1 FOR UPDATE", params![code], |row| {
        Ok((record(row)?, optional_time(row, "consumed_at")?, optional_time(row, "replayed_at")?))
    });
    let Some((record, consumed_at, replayed_at)) = found.await? else { return Ok((CodeUse::Unknown, None)) };
    if consumed_at.is_some() {
        let first = replayed_at.is_none();
        let epoch = if first { replay(c, code, &record.grant, now).await? } else { None };
        return Ok((CodeUse::Replayed { grant: record.grant, first }, epoch));
    }
    if record.expires_at <= now {
        return Ok((CodeUse::Expired, None));
    }
    let sql = "UPDATE codes SET consumed_at = $2 WHERE code = $1 AND consumed_at IS NULL";
    if change(c, sql, params![code, millis(now)]).await? != 1 {
        return Err(damaged("authorization code", "it was consumed in the middle of its own consumption").into());
    }
    Ok((CodeUse::Fresh(record), None))
}

/// The first replay. Later ones find `replayed_at` and add nothing, so that whoever holds a used
/// code cannot fill the log; nor does the replay of a code whose grant is dead already.
async fn replay(c: &mut PgConnection, code: &Digest, grant: &GrantId, now: Timestamp) -> Result<Option<u64>, Failure> {
    change(c, "UPDATE codes SET replayed_at = $2 WHERE code = $1", params![code, millis(now)]).await?;
    if grants::by_id(c, grant).await?.is_some_and(|grant| grant.revoked_at.is_some()) {
        return Ok(None);
    }
    revocations::append(c, &RevocationSubject::Grant(grant.clone()), now).await.map(Some)
}

#[async_trait]
impl Authorizations for PostgresStore {
    async fn park(&self, parked: &Parked) -> Result<(), StoreError> {
        let kind = word("parked kind", &parked.kind)?;
        let sealed = self.sealer().seal(PARKED, &parked.handle, parked.body.as_bytes())?;
        let sql = "INSERT INTO parked (handle, kind, sealed, expires_at) VALUES ($1, $2, $3, $4)";
        let values = params![parked.handle, kind, sealed, millis(parked.expires_at)];
        let add = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(taken("parked request")) })
        });
        add.await.map(|_| ())
    }

    async fn parked(&self, handle: &Digest, kind: ParkedKind, now: Timestamp) -> Result<Option<Parked>, StoreError> {
        let (kind, sealer) = (word("parked kind", &kind)?, self.sealer());
        let sql = "SELECT * FROM parked WHERE handle = $1 AND kind = $2 AND expires_at > $3";
        self.one(sql, params![handle, kind, millis(now)], move |row| parked(row, &sealer)).await
    }

    async fn repark(&self, handle: &Digest, kind: ParkedKind, body: &str, now: Timestamp) -> Result<bool, StoreError> {
        let kind = word("parked kind", &kind)?;
        let sealed = self.sealer().seal(PARKED, handle, body.as_bytes())?;
        let sql = "UPDATE parked SET sealed = $4 WHERE handle = $1 AND kind = $2 AND expires_at > $3";
        Ok(self.execute(sql, params![handle, kind, millis(now), sealed]).await? > 0)
    }

    async fn unpark(&self, handle: &Digest, kind: ParkedKind, now: Timestamp) -> Result<Option<Parked>, StoreError> {
        let values = params![handle, word("parked kind", &kind)?, millis(now)];
        let sql = "DELETE FROM parked WHERE handle = $1 AND kind = $2 AND expires_at > $3 RETURNING *";
        self.write_if(Option::is_some, (values, self.sealer()), move |c, (values, sealer)| {
            Box::pin(one(c, sql, values.clone(), move |row| parked(row, sealer)))
        })
        .await
    }

    async fn add_code(&self, code: &Digest, record: &CodeRecord) -> Result<(), StoreError> {
        self.write((*code, record.clone()), |c, (code, record)| Box::pin(insert_code(c, code, record))).await
    }

    async fn consume_code(&self, code: &Digest, now: Timestamp) -> Result<CodeUse, StoreError> {
        let changed: fn(&(CodeUse, _)) -> bool =
            |(used, _)| matches!(used, CodeUse::Fresh(_) | CodeUse::Replayed { first: true, .. });
        let (used, epoch) = self.write_if(changed, *code, move |c, code| Box::pin(consume(c, code, now))).await?;
        self.tell(epoch);
        Ok(used)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.purge_ended(now).await
    }
}
