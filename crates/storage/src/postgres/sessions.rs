//! Browser sessions in PostgreSQL.

use async_trait::async_trait;
use aws_lc_rs::digest;
use sallyport_model::{SessionId, TenantId, Timestamp, UserId};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, dangling, taken},
    revocations,
    rows::{
        Row, all, change, damaged, from_json, id, json, millis, optional, optional_id, optional_time, params, plain,
        time,
    },
};
use crate::{
    BrowserSession, BrowserSessions, Digest, ProviderSession, ProviderSessions, ProviderToken, RevocationSubject,
    StoreError, seal::Sealer,
};

const TOKENS: &str = "provider_tokens";

fn session(row: &Row) -> Result<BrowserSession, StoreError> {
    Ok(BrowserSession {
        id: id(row, "id")?,
        cookie: plain(row, "cookie")?,
        user: id(row, "user_id")?,
        tenant: id(row, "tenant")?,
        methods: from_json(row, "methods")?,
        authenticated_at: time(row, "authenticated_at")?,
        expires_at: time(row, "expires_at")?,
        provider: provider(row)?,
    })
}

fn provider(row: &Row) -> Result<Option<ProviderSession>, StoreError> {
    let Some(connection) = optional_id(row, "connection")? else { return Ok(None) };
    let subject: Option<String> = optional(row, "provider_subject")?;
    let subject = subject.ok_or_else(|| damaged("browser session", "a provider's session is nobody's"))?;
    Ok(Some(ProviderSession {
        connection,
        subject,
        session: optional(row, "provider_session")?,
        not_after: optional_time(row, "provider_until")?,
    }))
}

fn token(row: &Row, sealer: &Sealer) -> Result<ProviderToken, StoreError> {
    let session: String = plain(row, "session_id")?;
    let sealed: Vec<u8> = plain(row, "sealed")?;
    let token = sealer.open(TOKENS, session.as_bytes(), &sealed)?;
    Ok(ProviderToken {
        token: String::from_utf8(token.to_vec()).map_err(|error| damaged(TOKENS, error.utf8_error()))?,
        asked_at: time(row, "asked_at")?,
    })
}

/// Tells one stored token from another without opening either.
fn sha256(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

/// Revokes these sessions, with an epoch each; the last of them.
pub(super) async fn revoke_all(
    c: &mut PgConnection,
    sessions: &[SessionId],
    at: Timestamp,
) -> Result<Option<u64>, Failure> {
    let subjects: Vec<_> = sessions.iter().cloned().map(RevocationSubject::Session).collect();
    if subjects.is_empty() {
        return Ok(None);
    }
    revocations::mark(c, &subjects, at).await?;
    revocations::log(c, &subjects, at).await.map(Some)
}

async fn revoke(
    c: &mut PgConnection,
    which: &ProviderSessions,
    at: Timestamp,
) -> Result<(Vec<SessionId>, Option<u64>), Failure> {
    if which.subject.is_none() && which.session.is_none() {
        return Ok((Vec::new(), None));
    }
    let sql = "SELECT id FROM browser_sessions
               WHERE connection = $1 AND ($2 IS NULL OR provider_subject = $2)
                 AND ($3 IS NULL OR provider_session = $3)
                 AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.kind = 'session' AND r.id = browser_sessions.id)
               ORDER BY id";
    let values = params![which.connection.as_str(), which.subject, which.session];
    let sessions: Vec<SessionId> = all(c, sql, values, |row| id(row, "id")).await?;
    let epoch = revoke_all(c, &sessions, at).await?;
    Ok((sessions, epoch))
}

#[async_trait]
impl BrowserSessions for PostgresStore {
    async fn add_browser_session(&self, session: &BrowserSession) -> Result<(), StoreError> {
        // What was proved before a revocation or before the person was disabled counts no longer.
        let sql = "INSERT INTO browser_sessions (id, cookie, user_id, tenant, methods, authenticated_at, expires_at,
                                                 connection, provider_subject, provider_session,
                                                 provider_until)
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
                   WHERE NOT EXISTS (SELECT 1 FROM people WHERE id = $3 AND disabled)
                     AND NOT EXISTS (SELECT 1 FROM revocations WHERE at >= $6
                         AND (kind, id) IN (VALUES ('session', $1), ('user', $3), ('tenant', $4)))";
        let values = params![
            session.id.as_str(),
            session.cookie,
            session.user.as_str(),
            session.tenant.as_str(),
            json("authentication methods", &session.methods)?,
            millis(session.authenticated_at),
            millis(session.expires_at),
            session.provider.as_ref().map(|provider| provider.connection.as_str()),
            session.provider.as_ref().map(|provider| provider.subject.as_str()),
            session.provider.as_ref().and_then(|provider| provider.session.as_deref()),
            session.provider.as_ref().and_then(|provider| provider.not_after).map(millis),
        ];
        let add = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(taken("browser session")) })
        });
        if add.await? == 1 { Ok(()) } else { Err(StoreError::Missing("person who may sign in")) }
    }

    async fn browser_session(&self, cookie: &Digest, now: Timestamp) -> Result<Option<BrowserSession>, StoreError> {
        // The inner join is meant: a session of somebody who is not in the directory is none.
        let sql = "SELECT s.* FROM standing_sessions s JOIN people p ON p.id = s.user_id AND NOT p.disabled
                   WHERE s.cookie = $1 AND s.ended_at IS NULL AND s.expires_at > $2";
        self.one(sql, params![cookie, millis(now)], session).await
    }

    async fn end_browser_session(&self, id: &SessionId, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE browser_sessions SET ended_at = $2
                   WHERE id = $1 AND ended_at IS NULL AND expires_at > $2";
        Ok(self.execute(sql, params![id.as_str(), millis(now)]).await? > 0)
    }

    async fn browser_session_by_id(&self, id: &SessionId) -> Result<Option<BrowserSession>, StoreError> {
        self.one("SELECT * FROM browser_sessions WHERE id = $1", params![id.as_str()], session).await
    }

    async fn browser_sessions(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Vec<BrowserSession>, StoreError> {
        let sql = "SELECT * FROM standing_sessions
                   WHERE tenant = $1 AND ($2 IS NULL OR user_id = $2) AND ended_at IS NULL AND expires_at > $3
                   ORDER BY authenticated_at DESC, id LIMIT 1000";
        self.all(sql, params![tenant.as_str(), user.map(UserId::as_str), millis(now)], session).await
    }

    async fn revoke_provider_sessions(
        &self,
        which: &ProviderSessions,
        at: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let revoking = self.write_long(which.clone(), move |c, which| Box::pin(revoke(c, which, at)));
        let (sessions, epoch) = revoking.await?;
        self.tell(epoch);
        Ok(sessions)
    }

    async fn put_provider_token(
        &self,
        session: &SessionId,
        token: &ProviderToken,
        was: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sealed = self.sealer().seal(TOKENS, session.as_str().as_bytes(), token.token.as_bytes())?;
        let sql = "INSERT INTO provider_tokens (session_id, sealed, sha256, asked_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (session_id) DO UPDATE SET sealed = excluded.sealed, sha256 = excluded.sha256,
                       asked_at = excluded.asked_at
                   WHERE $5 IS NULL OR provider_tokens.sha256 = $5";
        let values = params![session.as_str(), sealed, sha256(&token.token), millis(token.asked_at), was.map(sha256)];
        let put = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(dangling("browser session")) })
        });
        Ok(put.await? > 0)
    }

    async fn provider_token(&self, session: &SessionId) -> Result<Option<ProviderToken>, StoreError> {
        let sealer = self.sealer();
        let sql = "SELECT * FROM provider_tokens WHERE session_id = $1";
        self.one(sql, params![session.as_str()], move |row| token(row, &sealer)).await
    }
}
