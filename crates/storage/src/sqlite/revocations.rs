//! The revocation log in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{ClientId, GrantId, Timestamp};

use super::{
    SqliteStore,
    rows::{all, change, damaged, id, millis, plain, time},
};
use crate::{Revocation, RevocationSubject, Revocations, StoreError};

/// A subject as its two columns.
fn columns(subject: &RevocationSubject) -> (&'static str, &str) {
    match subject {
        RevocationSubject::Token(id) => ("token", id.as_str()),
        RevocationSubject::Grant(id) => ("grant", id.as_str()),
        RevocationSubject::Session(id) => ("session", id.as_str()),
        RevocationSubject::User(id) => ("user", id.as_str()),
        RevocationSubject::Agent(id) => ("agent", id.as_str()),
        RevocationSubject::Client(id) => ("client", id.as_str()),
        RevocationSubject::Tenant(id) => ("tenant", id.as_str()),
    }
}

fn revocation(row: &Row<'_>) -> Result<Revocation, StoreError> {
    let kind: String = plain(row, "kind")?;
    let subject = match kind.as_str() {
        "token" => RevocationSubject::Token(id(row, "id")?),
        "grant" => RevocationSubject::Grant(id(row, "id")?),
        "session" => RevocationSubject::Session(id(row, "id")?),
        "user" => RevocationSubject::User(id(row, "id")?),
        "agent" => RevocationSubject::Agent(id(row, "id")?),
        "client" => RevocationSubject::Client(id(row, "id")?),
        "tenant" => RevocationSubject::Tenant(id(row, "id")?),
        other => return Err(damaged("revocation", format!("`{other}` is not known"))),
    };
    Ok(Revocation { epoch: unsigned(plain(row, "epoch")?)?, subject, at: time(row, "at")? })
}

fn unsigned(epoch: i64) -> Result<u64, StoreError> {
    u64::try_from(epoch).map_err(|error| damaged("epoch", error))
}

/// What a subject covers, as conditions on `grants`, `browser_sessions` and waiting `codes`.
/// Absent: it covers none of these.
struct Cover {
    grants: Option<&'static str>,
    sessions: Option<&'static str>,
    codes: Option<&'static str>,
}

fn cover(subject: &RevocationSubject) -> Cover {
    let cover = |grants, sessions, codes| Cover { grants, sessions, codes };
    match subject {
        RevocationSubject::Token(_) => cover(None, None, None),
        RevocationSubject::Grant(_) => {
            let made_out_of = "id = ?1 OR id IN (SELECT grant_id FROM grant_ancestors WHERE ancestor = ?1)";
            cover(Some(made_out_of), None, Some("grant_id = ?1"))
        }
        RevocationSubject::Session(_) => cover(Some("session_id = ?1"), Some("id = ?1"), Some("session_id = ?1")),
        RevocationSubject::User(_) => {
            cover(Some("subject_kind = 'human' AND subject_id = ?1"), Some("user_id = ?1"), Some("user_id = ?1"))
        }
        RevocationSubject::Agent(_) => {
            let acts = "subject_kind = 'agent' AND subject_id = ?1
                        OR id IN (SELECT grant_id FROM grant_actors WHERE agent = ?1)";
            // Who has said yes to an agent has said it to its client.
            let asked = "client IN (SELECT id FROM clients WHERE agent = ?1
                                    UNION ALL SELECT client FROM agents WHERE id = ?1)";
            cover(Some(acts), None, Some(asked))
        }
        RevocationSubject::Client(_) => cover(Some("client = ?1"), None, Some("client = ?1")),
        RevocationSubject::Tenant(_) => cover(Some("tenant = ?1"), Some("tenant = ?1"), Some("tenant = ?1")),
    }
}

/// The living grants of a client out of which living grants of others were made. Those end with them, and the
/// log says so of each: a token of theirs names its ancestors, not their clients.
fn delegated(c: &Connection, client: &ClientId) -> Result<Vec<GrantId>, StoreError> {
    let sql = "SELECT DISTINCT p.id AS id FROM grants p
               JOIN grant_ancestors a ON a.ancestor = p.id JOIN grants g ON g.id = a.grant_id
               WHERE p.client = ?1 AND p.revoked_at IS NULL AND g.revoked_at IS NULL ORDER BY p.id";
    all(c, sql, [client.as_str()], |row| id(row, "id"))
}

/// Appends to the log and does what the revocation means for what is stored. Runs inside the
/// caller's transaction; the counter's row is what makes epochs follow the order of commits.
pub(super) fn append(c: &Connection, subject: &RevocationSubject, at: Timestamp) -> Result<u64, StoreError> {
    if let RevocationSubject::Client(client) = subject {
        for grant in delegated(c, client)? {
            append(c, &RevocationSubject::Grant(grant), at)?;
        }
    }
    let (kind, id) = columns(subject);
    let at = millis(at);
    let epoch: i64 = c
        .prepare_cached("UPDATE counters SET value = value + 1 WHERE name = 'revocation_epoch' RETURNING value")?
        .query_row([], |row| row.get(0))?;
    change(c, "INSERT INTO revocations (epoch, kind, id, at) VALUES (?1, ?2, ?3, ?4)", params![epoch, kind, id, at])?;
    let cover = cover(subject);
    if let Some(which) = cover.grants {
        let sql = format!("UPDATE grants SET revoked_at = ?2 WHERE ({which}) AND revoked_at IS NULL");
        change(c, &sql, params![id, at])?;
    }
    if let Some(which) = cover.sessions {
        let sql = format!("UPDATE browser_sessions SET ended_at = ?2 WHERE ({which}) AND ended_at IS NULL");
        change(c, &sql, params![id, at])?;
    }
    // A code that waits would give tokens issued after `at`, which the log does not cover.
    if let Some(which) = cover.codes {
        change(c, &format!("DELETE FROM codes WHERE ({which}) AND consumed_at IS NULL"), params![id])?;
    }
    unsigned(epoch)
}

fn is_logged(c: &Connection, subject: &RevocationSubject) -> Result<bool, StoreError> {
    let (kind, id) = columns(subject);
    let sql = "SELECT EXISTS (SELECT 1 FROM revocations WHERE kind = ?1 AND id = ?2)";
    Ok(c.prepare_cached(sql)?.query_row(params![kind, id], |row| row.get(0))?)
}

#[async_trait]
impl Revocations for SqliteStore {
    fn revoked(&self) -> tokio::sync::watch::Receiver<u64> {
        self.writer.revoked()
    }

    async fn revoke(&self, subject: &RevocationSubject, at: Timestamp) -> Result<u64, StoreError> {
        let subject = subject.clone();
        self.write(move |c| append(c, &subject, at)).await
    }

    async fn revoke_once(&self, subject: &RevocationSubject, at: Timestamp) -> Result<Option<u64>, StoreError> {
        let subject = subject.clone();
        self.write(move |c| if is_logged(c, &subject)? { Ok(None) } else { append(c, &subject, at).map(Some) }).await
    }

    async fn revocations_after(&self, epoch: u64, limit: usize) -> Result<Vec<Revocation>, StoreError> {
        let after = i64::try_from(epoch).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT * FROM revocations WHERE epoch > ?1 ORDER BY epoch LIMIT ?2";
        self.read(move |c| all(c, sql, params![after, limit], revocation)).await
    }

    async fn prune_revocations(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(move |c| Ok(change(c, "DELETE FROM revocations WHERE at < ?1", [millis(before)])? as u64)).await
    }
}
