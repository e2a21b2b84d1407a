//! Browser sessions in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, params};
use sallyport_model::{SessionId, Timestamp};

use super::{
    SqliteStore,
    error::taken,
    rows::{change, from_json, id, json, millis, one, plain, time},
};
use crate::{BrowserSession, BrowserSessions, Digest, StoreError};

fn session(row: &Row<'_>) -> Result<BrowserSession, StoreError> {
    Ok(BrowserSession {
        id: id(row, "id")?,
        cookie: plain(row, "cookie")?,
        user: id(row, "user_id")?,
        tenant: id(row, "tenant")?,
        methods: from_json(row, "methods")?,
        authenticated_at: time(row, "authenticated_at")?,
        expires_at: time(row, "expires_at")?,
    })
}

#[async_trait]
impl BrowserSessions for SqliteStore {
    async fn add_browser_session(&self, session: &BrowserSession) -> Result<(), StoreError> {
        let session = session.clone();
        self.write(move |c| {
            // What was proved before a revocation or before the person was disabled counts no longer.
            let rows = change(
                c,
                "INSERT INTO browser_sessions (id, cookie, user_id, tenant, methods, authenticated_at, expires_at)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
                 WHERE NOT EXISTS (SELECT 1 FROM people WHERE id = ?3 AND disabled = 1)
                   AND NOT EXISTS (SELECT 1 FROM revocations WHERE at >= ?6
                       AND (kind, id) IN (VALUES ('session', ?1), ('user', ?3), ('tenant', ?4)))",
                params![
                    session.id.as_str(),
                    session.cookie,
                    session.user.as_str(),
                    session.tenant.as_str(),
                    json("authentication methods", &session.methods)?,
                    millis(session.authenticated_at),
                    millis(session.expires_at),
                ],
            )
            .map_err(taken("browser session"))?;
            if rows == 1 { Ok(()) } else { Err(StoreError::Missing("person who may sign in")) }
        })
        .await
    }

    async fn browser_session(&self, cookie: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError> {
        let cookie = *cookie;
        // The inner join is meant: a session of somebody who is not in the directory is none.
        let sql = "SELECT s.* FROM browser_sessions s JOIN people p ON p.id = s.user_id AND p.disabled = 0
                   WHERE s.cookie = ?1 AND s.ended_at IS NULL AND s.expires_at > ?2";
        self.read(move |c| one(c, sql, params![cookie, millis(now)], session)).await
    }

    async fn end_browser_session(&self, id: &SessionId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.clone();
        let sql = "UPDATE browser_sessions SET ended_at = ?2
                   WHERE id = ?1 AND ended_at IS NULL AND expires_at > ?2";
        self.write(move |c| Ok(change(c, sql, params![id.as_str(), millis(now)])? > 0)).await
    }
}
