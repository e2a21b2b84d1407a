//! The revocation log in PostgreSQL.
//!
//! Locks are always taken in one order, so that no two steps wait for one another: codes that are
//! presented, grants, browser sessions, waiting codes, and last the counter, which everybody needs.

use async_trait::async_trait;
use sallyport_model::Timestamp;
use sqlx::PgConnection;
use tokio::sync::watch;

use super::{
    PostgresStore,
    error::Failure,
    rows::{self, Row, change, damaged, id, millis, one, params, plain, signed, time, unsigned},
};
use crate::{Revocation, RevocationSubject, Revocations, StoreError};

const EPOCH: &str = "epoch";

/// So many rows are marked in one step.
const MARKED: i64 = 2_000;

/// Not an error: what `revoke_once` finds is in the log already.
const LOGGED: &str = "revocation";
const LOGGED_SQL: &str = "SELECT 1 FROM revocations WHERE kind = $1 AND id = $2 LIMIT 1";

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

fn revocation(row: &Row) -> Result<Revocation, StoreError> {
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
    Ok(Revocation { epoch: unsigned(EPOCH, plain(row, "epoch")?)?, subject, at: time(row, "at")? })
}

/// What subjects of a kind cover, as conditions on `grants`, `browser_sessions` and waiting `codes`.
/// Absent: they cover none of these.
struct Cover {
    grants: Option<&'static str>,
    /// Which time of a grant the log compares with that of the revocation.
    since: &'static str,
    sessions: Option<&'static str>,
    codes: Option<&'static str>,
}

fn cover(subject: &RevocationSubject) -> Cover {
    let (signed_in, made) = ("authenticated_at", "created_at");
    let cover = |since, grants, sessions, codes| Cover { since, grants, sessions, codes };
    match subject {
        RevocationSubject::Token(_) => cover(signed_in, None, None, None),
        RevocationSubject::Grant(_) => {
            let made_out_of = "id = ANY ($1) OR ancestors <> '{}' AND ancestors && $1";
            cover(signed_in, Some(made_out_of), None, Some("grant_id = ANY ($1)"))
        }
        RevocationSubject::Session(_) => {
            cover(signed_in, Some("session_id = ANY ($1)"), Some("id = ANY ($1)"), Some("session_id = ANY ($1)"))
        }
        RevocationSubject::User(_) => cover(
            signed_in,
            Some("subject_kind = 'human' AND subject_id = ANY ($1)"),
            Some("user_id = ANY ($1)"),
            Some("user_id = ANY ($1)"),
        ),
        RevocationSubject::Agent(_) => {
            let acts = "subject_kind = 'agent' AND subject_id = ANY ($1) OR actors <> '{}' AND actors && $1";
            // Who has said yes to an agent has said it to its client.
            let asked = "client IN (SELECT id FROM clients WHERE agent = ANY ($1)
                                    UNION ALL SELECT client FROM agents WHERE id = ANY ($1))";
            cover(made, Some(acts), None, Some(asked))
        }
        RevocationSubject::Client(_) => {
            // What was made out of a client's goes in the same step, so that the order of the locks holds.
            let given = "client = ANY ($1)
                         OR ancestors <> '{}' AND ancestors && ARRAY
                             (SELECT p.id FROM grants p
                              WHERE p.client = ANY ($1) AND p.revoked_at IS NULL
                                AND EXISTS (SELECT 1 FROM agents WHERE client = ANY ($1)))";
            cover(made, Some(given), None, Some("client = ANY ($1)"))
        }
        RevocationSubject::Tenant(_) => {
            cover(signed_in, Some("tenant = ANY ($1)"), Some("tenant = ANY ($1)"), Some("tenant = ANY ($1)"))
        }
    }
}

/// Appends to the log and does what the revocation means for what is stored. Runs inside the caller's
/// transaction, as its last step.
pub(super) async fn append(c: &mut PgConnection, subject: &RevocationSubject, at: Timestamp) -> Result<u64, Failure> {
    let subject = std::slice::from_ref(subject);
    mark(c, subject, at).await?;
    let delegated = delegated(c, subject, at).await?;
    log(c, &[&delegated, subject].concat(), at).await
}

/// The grants of a client out of which grants of others were made that were alive until now. Those end with them,
/// and the log is to say so of each: a token of theirs names its ancestors, not their clients. Only agents' clients
/// have such. Read after the mark has waited for whoever was just making one; locks nothing.
async fn delegated(
    c: &mut PgConnection,
    subjects: &[RevocationSubject],
    at: Timestamp,
) -> Result<Vec<RevocationSubject>, Failure> {
    let [RevocationSubject::Client(client)] = subjects else { return Ok(Vec::new()) };
    let sql = "SELECT p.id FROM grants p
               WHERE p.client = $1 AND EXISTS (SELECT 1 FROM agents WHERE client = $1)
                 AND EXISTS (SELECT 1 FROM grants g
                             WHERE g.ancestors <> '{}' AND g.ancestors @> ARRAY[p.id]
                               AND (g.revoked_at IS NULL OR g.revoked_at = $2))
               ORDER BY p.id";
    let read = |row: &Row| Ok(RevocationSubject::Grant(id(row, "id")?));
    rows::all(c, sql, params![client.as_str(), millis(at)], read).await
}

/// Marks what subjects of one kind cover: everything that the log does not cover, and of the rest so many
/// that it takes no time that anybody notices, however large a tenant is. What is not marked, or is stored by
/// another step at this very moment, is dead by the log (`standing_grants`, `standing_sessions`).
pub(super) async fn mark(c: &mut PgConnection, subjects: &[RevocationSubject], at: Timestamp) -> Result<(), Failure> {
    let Some(first) = subjects.first() else { return Ok(()) };
    let kind = columns(first).0;
    let ids: Vec<&str> = subjects.iter().map(columns).filter(|(other, _)| *other == kind).map(|(_, id)| id).collect();
    if ids.len() != subjects.len() {
        return Err(damaged("revocation", "subjects of several kinds in one step").into());
    }
    let cover = cover(first);
    if let Some(which) = cover.grants {
        mark_rows(c, ("grants", "revoked_at"), which, cover.since, &ids, at).await?;
    }
    if let Some(which) = cover.sessions {
        mark_rows(c, ("browser_sessions", "ended_at"), which, "authenticated_at", &ids, at).await?;
    }
    // A code that waits would give tokens issued after `at`, which the log does not cover.
    if let Some(which) = cover.codes {
        let sql = format!(
            "DELETE FROM codes WHERE code IN
             (SELECT code FROM codes WHERE ({which}) AND consumed_at IS NULL ORDER BY code FOR UPDATE)"
        );
        change(c, &sql, params![ids.as_slice()]).await?;
    }
    Ok(())
}

/// Rows are locked in the order of their ids, so that two steps never hold what the other waits for.
async fn mark_rows(
    c: &mut PgConnection,
    (table, column): (&str, &str),
    which: &str,
    since: &str,
    ids: &[&str],
    at: Timestamp,
) -> Result<(), Failure> {
    for (some, most) in [(format!("AND {since} > $2"), i64::MAX), (String::new(), MARKED)] {
        let sql = format!(
            "UPDATE {table} SET {column} = $2 WHERE id IN
             (SELECT id FROM {table} WHERE {column} IS NULL AND id = ANY (ARRAY
                 (SELECT id FROM {table} WHERE ({which}) AND {column} IS NULL {some} LIMIT $3))
              ORDER BY id FOR UPDATE)"
        );
        change(c, &sql, params![ids, millis(at), most]).await?;
    }
    Ok(())
}

/// Enters subjects into the log; the epoch of the last. The counter's row is locked from here to the
/// commit: it is what makes epochs follow the order of commits, without a gap.
pub(super) async fn log(c: &mut PgConnection, subjects: &[RevocationSubject], at: Timestamp) -> Result<u64, Failure> {
    let last = claim(c, subjects.len()).await?;
    enter(c, subjects, last, at).await?;
    Ok(unsigned(EPOCH, last)?)
}

async fn claim(c: &mut PgConnection, count: usize) -> Result<i64, Failure> {
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'revocation_epoch' RETURNING value";
    rows::number(c, sql, params![signed(count)]).await
}

async fn enter(c: &mut PgConnection, subjects: &[RevocationSubject], last: i64, at: Timestamp) -> Result<(), Failure> {
    let (kinds, ids): (Vec<&str>, Vec<&str>) = subjects.iter().map(columns).unzip();
    let before = last.saturating_sub(signed(subjects.len()));
    let sql = "INSERT INTO revocations (epoch, kind, id, at)
               SELECT $1 + s.n, s.kind, s.id, $4
               FROM unnest($2, $3) WITH ORDINALITY AS s (kind, id, n)";
    change(c, sql, params![before, kinds.as_slice(), ids.as_slice(), millis(at)]).await?;
    Ok(())
}

/// Whether the log holds this subject.
async fn is_logged(c: &mut PgConnection, subject: &RevocationSubject) -> Result<bool, Failure> {
    let (kind, id) = columns(subject);
    Ok(one(c, LOGGED_SQL, params![kind, id], |_| Ok(())).await?.is_some())
}

/// Asked under the counter's lock, so that of two callers at once one finds the other's entry.
async fn append_once(c: &mut PgConnection, subject: &RevocationSubject, at: Timestamp) -> Result<u64, Failure> {
    let subjects = std::slice::from_ref(subject);
    mark(c, subjects, at).await?;
    let delegated = delegated(c, subjects, at).await?;
    let epoch = claim(c, delegated.len() + 1).await?;
    if is_logged(c, subject).await? {
        // Takes back the mark and the number.
        return Err(StoreError::Exists(LOGGED).into());
    }
    enter(c, &[&delegated, subjects].concat(), epoch, at).await?;
    Ok(unsigned(EPOCH, epoch)?)
}

/// What the entries that are about to go still have to say: what was not marked is dead by them alone.
/// Table, its column, kind of subject, which rows, and since when.
const MARKS: &[(&str, &str, &str, &str, &str)] = &[
    ("grants", "revoked_at", "grant", "t.id = r.id", "authenticated_at"),
    ("grants", "revoked_at", "tenant", "t.tenant = r.id", "authenticated_at"),
    ("grants", "revoked_at", "session", "t.session_id = r.id", "authenticated_at"),
    ("grants", "revoked_at", "user", "t.subject_kind = 'human' AND t.subject_id = r.id", "authenticated_at"),
    ("grants", "revoked_at", "agent", "t.subject_kind = 'agent' AND t.subject_id = r.id", "created_at"),
    ("grants", "revoked_at", "agent", "t.actors <> '{}' AND t.actors @> ARRAY[r.id]", "created_at"),
    ("grants", "revoked_at", "client", "t.client = r.id", "created_at"),
    ("browser_sessions", "ended_at", "session", "t.id = r.id", "authenticated_at"),
    ("browser_sessions", "ended_at", "user", "t.user_id = r.id", "authenticated_at"),
    ("browser_sessions", "ended_at", "tenant", "t.tenant = r.id", "authenticated_at"),
];

/// Marks what entries before `before` hold dead, at most [`MARKED`] rows; how many.
async fn mark_by_log(c: &mut PgConnection, mark: usize, before: Timestamp) -> Result<u64, Failure> {
    let (table, column, kind, which, since) = MARKS[mark];
    let sql = format!(
        "UPDATE {table} t SET {column} = m.at
         FROM (SELECT t.id, min(r.at) AS at FROM revocations r JOIN {table} t ON {which}
               WHERE r.at < $1 AND r.kind = '{kind}' AND r.at >= t.{since} AND t.{column} IS NULL
               GROUP BY t.id ORDER BY t.id LIMIT $2) m
         WHERE m.id = t.id AND t.{column} IS NULL"
    );
    Ok(change(c, &sql, params![millis(before), MARKED]).await?)
}

async fn prune(c: &mut PgConnection, before: Timestamp) -> Result<u64, Failure> {
    Ok(change(c, "DELETE FROM revocations WHERE at < $1", params![millis(before)]).await?)
}

#[async_trait]
impl Revocations for PostgresStore {
    fn revoked(&self) -> watch::Receiver<u64> {
        self.shared.epoch.subscribe()
    }

    async fn revoke(&self, subject: &RevocationSubject, at: Timestamp) -> Result<u64, StoreError> {
        let given = (subject.clone(), at);
        let epoch = self.write_long(given, |c, (subject, at)| Box::pin(append(c, subject, *at))).await?;
        self.tell(Some(epoch));
        Ok(epoch)
    }

    async fn revoke_once(&self, subject: &RevocationSubject, at: Timestamp) -> Result<Option<u64>, StoreError> {
        // Nearly always a second time comes long after the first, and a read holds up nobody.
        let (kind, id) = columns(subject);
        if self.one(LOGGED_SQL, params![kind, id], |_| Ok(())).await?.is_some() {
            return Ok(None);
        }
        let given = (subject.clone(), at);
        match self.write_long(given, |c, (subject, at)| Box::pin(append_once(c, subject, *at))).await {
            Ok(epoch) => Ok(self.tell(Some(epoch))),
            Err(StoreError::Exists(LOGGED)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn revocations_after(&self, epoch: u64, limit: usize) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT * FROM revocations WHERE epoch > $1 ORDER BY epoch LIMIT $2";
        self.poll(sql, params![signed(epoch), signed(limit)], revocation).await
    }

    async fn prune_revocations(&self, before: Timestamp) -> Result<u64, StoreError> {
        // Steps that were under way when these entries were committed have long ended, so that what is not
        // marked only gets less.
        let changed: fn(&u64) -> bool = |rows| *rows > 0;
        for mark in 0..MARKS.len() {
            let step = || self.write_if(changed, before, move |c, before| Box::pin(mark_by_log(c, mark, *before)));
            while step().await? > 0 {}
        }
        self.write_long(before, |c, before| Box::pin(prune(c, *before))).await
    }
}
