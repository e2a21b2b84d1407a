//! Grants and refresh tokens in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{Actor, ClientId, GrantId, TenantId, Timestamp};

use super::{
    SqliteStore,
    error::taken,
    revocations,
    rows::{all, change, damaged, id, millis, one, optional_time, parsed, plain, time},
};
use crate::{Digest, Grant, Grants, NewRefresh, RevocationSubject, Rotation, StoreError};

fn subject_kind(actor: &Actor) -> &'static str {
    match actor {
        Actor::Human(_) => "human",
        Actor::Agent(_) => "agent",
    }
}

fn subject(row: &Row<'_>) -> Result<Actor, StoreError> {
    let kind: String = plain(row, "subject_kind")?;
    match kind.as_str() {
        "human" => Ok(Actor::Human(id(row, "subject_id")?)),
        "agent" => Ok(Actor::Agent(id(row, "subject_id")?)),
        other => Err(damaged("subject_kind", format!("`{other}` is neither human nor agent"))),
    }
}

fn grant(row: &Row<'_>) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        subject: subject(row)?,
        client: id(row, "client")?,
        resource: plain(row, "resource")?,
        scopes: parsed(row, "scopes")?,
        session: id(row, "session_id")?,
        authenticated_at: time(row, "authenticated_at")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
    })
}

pub(super) fn by_id(c: &Connection, id: &GrantId) -> Result<Option<Grant>, StoreError> {
    one(c, "SELECT * FROM grants WHERE id = ?1", [id.as_str()], grant)
}

/// A stored refresh token with its grant.
struct Refresh {
    grant: Grant,
    idle_expires_at: Timestamp,
    spent_at: Option<Timestamp>,
    /// Whether the token that took its place has not been spent in its turn.
    successor_lives: bool,
}

impl Refresh {
    fn usable(&self, now: Timestamp) -> bool {
        self.spent_at.is_none()
            && self.idle_expires_at > now
            && self.grant.revoked_at.is_none()
            && self.grant.expires_at > now
    }
}

fn refresh(c: &Connection, token: &Digest) -> Result<Option<Refresh>, StoreError> {
    let sql = "SELECT g.*, r.idle_expires_at, r.spent_at,
                      EXISTS (SELECT 1 FROM refresh_tokens s WHERE s.token = r.successor AND s.spent_at IS NULL)
                          AS successor_lives
               FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.token = ?1";
    one(c, sql, [token], |row| {
        Ok(Refresh {
            grant: grant(row)?,
            idle_expires_at: time(row, "idle_expires_at")?,
            spent_at: optional_time(row, "spent_at")?,
            successor_lives: plain(row, "successor_lives")?,
        })
    })
}

fn insert_refresh(c: &Connection, grant: &GrantId, new: &NewRefresh) -> Result<(), StoreError> {
    let sql = "INSERT INTO refresh_tokens (token, grant_id, idle_expires_at) VALUES (?1, ?2, ?3)";
    change(c, sql, params![new.token, grant.as_str(), millis(new.idle_expires_at)]).map_err(taken("refresh token"))?;
    Ok(())
}

/// One presentation of a refresh token (RFC 9700 section 4.14.2). The order of the questions is
/// the defence: what is spent is reuse even when its idle time is over, and nothing is said about
/// a token, nor done to its family, for a client that it was not given to.
fn rotate(
    c: &Connection,
    token: &Digest,
    client: &ClientId,
    successor: &NewRefresh,
    now: Timestamp,
    grace: Duration,
) -> Result<Rotation, StoreError> {
    let Some(found) = refresh(c, token)? else { return Ok(Rotation::Unknown) };
    if found.grant.client != *client {
        return Ok(Rotation::ForeignClient);
    }
    if found.grant.revoked_at.is_some() {
        return Ok(Rotation::Revoked);
    }
    if found.grant.expires_at <= now {
        return Ok(Rotation::Expired);
    }
    if let Some(spent_at) = found.spent_at {
        if found.successor_lives && now.since(spent_at) < grace {
            return Ok(Rotation::Raced);
        }
        revocations::append(c, &RevocationSubject::Grant(found.grant.id.clone()), now)?;
        return Ok(Rotation::Reused(Grant { revoked_at: Some(now), ..found.grant }));
    }
    if found.idle_expires_at <= now {
        return Ok(Rotation::Expired);
    }
    let sql = "UPDATE refresh_tokens SET spent_at = ?2, successor = ?3 WHERE token = ?1 AND spent_at IS NULL";
    if change(c, sql, params![token, millis(now), successor.token])? != 1 {
        return Err(damaged("refresh token", "it was spent in the middle of its own rotation"));
    }
    insert_refresh(c, &found.grant.id, successor)?;
    Ok(Rotation::Rotated(found.grant))
}

#[async_trait]
impl Grants for SqliteStore {
    async fn add_grant(&self, grant: &Grant) -> Result<(), StoreError> {
        let grant = grant.clone();
        self.write(move |c| {
            // Whatever ends it may have come before it was stored: then it is born dead.
            let sql = "INSERT INTO grants (id, tenant, subject_kind, subject_id, client, resource, scopes,
                                           session_id, authenticated_at, created_at, expires_at, revoked_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,
                               coalesce(?12,
                                   (SELECT min(replayed_at) FROM codes WHERE grant_id = ?1),
                                   (SELECT ?10 FROM people WHERE ?3 = 'human' AND id = ?4 AND disabled = 1),
                                   (SELECT min(at) FROM revocations
                                    WHERE at >= ?9 AND (kind, id) IN
                                              (VALUES ('grant', ?1), ('tenant', ?2), ('session', ?8))
                                       OR at >= ?9 AND ?3 = 'human' AND kind = 'user' AND id = ?4
                                       OR at >= ?10 AND ?3 = 'agent' AND kind = 'agent' AND id = ?4
                                       OR at >= ?10 AND kind = 'client' AND id = ?5)))";
            let values = params![
                grant.id.as_str(),
                grant.tenant.as_str(),
                subject_kind(&grant.subject),
                grant.subject.id(),
                grant.client.as_str(),
                grant.resource,
                grant.scopes.to_string(),
                grant.session.as_str(),
                millis(grant.authenticated_at),
                millis(grant.created_at),
                millis(grant.expires_at),
                grant.revoked_at.map(millis),
            ];
            change(c, sql, values).map_err(taken("grant"))?;
            Ok(())
        })
        .await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        let id = id.clone();
        self.read(move |c| by_id(c, &id)).await
    }

    async fn grants_of(&self, tenant: &TenantId, subject: &Actor, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let (tenant, subject) = (tenant.clone(), subject.clone());
        let sql = "SELECT * FROM grants
                   WHERE subject_kind = ?1 AND subject_id = ?2 AND tenant = ?3
                     AND revoked_at IS NULL AND expires_at > ?4
                   ORDER BY created_at DESC, id DESC";
        self.read(move |c| {
            all(c, sql, params![subject_kind(&subject), subject.id(), tenant.as_str(), millis(now)], grant)
        })
        .await
    }

    async fn add_refresh(&self, grant: &GrantId, refresh: &NewRefresh, now: Timestamp) -> Result<(), StoreError> {
        let (id, refresh) = (grant.clone(), refresh.clone());
        self.write(move |c| match by_id(c, &id)? {
            Some(grant) if grant.revoked_at.is_none() && grant.expires_at > now => insert_refresh(c, &id, &refresh),
            _ => Err(StoreError::Missing("living grant")),
        })
        .await
    }

    async fn rotate_refresh(
        &self,
        token: &Digest,
        client: &ClientId,
        successor: &NewRefresh,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation, StoreError> {
        let (token, client, successor) = (*token, client.clone(), successor.clone());
        self.write(move |c| rotate(c, &token, &client, &successor, now, grace)).await
    }

    async fn grant_of_refresh(&self, token: &Digest, now: Timestamp) -> Result<Option<(Grant, bool)>, StoreError> {
        let token = *token;
        self.read(move |c| {
            Ok(refresh(c, &token)?.map(|found| {
                let usable = found.usable(now);
                (found.grant, usable)
            }))
        })
        .await
    }
}
