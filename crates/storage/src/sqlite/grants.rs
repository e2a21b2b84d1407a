//! Grants and refresh tokens in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{Actor, AgentId, ClientId, GrantId, KeyBinding, TenantId, Timestamp};

use super::{
    SqliteStore,
    error::taken,
    revocations,
    rows::{all, change, damaged, from_json, id, json, millis, one, optional_json, optional_time, parsed, plain, time},
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
        actors: from_json(row, "actors")?,
        ancestors: from_json(row, "ancestors")?,
        client: id(row, "client")?,
        resource: plain(row, "resource")?,
        scopes: parsed(row, "scopes")?,
        session: id(row, "session_id")?,
        authenticated_at: time(row, "authenticated_at")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        bound_to: optional_json(row, "bound_to")?,
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

/// Whatever ends it may have come before it was stored: then it is born dead. An ancestor that is not stored, or
/// ended before, ends it too.
pub(super) const ADD: &str =
    "INSERT INTO grants (id, tenant, subject_kind, subject_id, client, resource, scopes, session_id,
                                       authenticated_at, created_at, expires_at, actors, ancestors, bound_to,
                                       revoked_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?13, ?14, ?15,
            coalesce(?12,
                (SELECT min(replayed_at) FROM codes WHERE grant_id = ?1),
                (SELECT ?10 FROM people WHERE ?3 = 'human' AND id = ?4 AND disabled = 1),
                (SELECT min(r.at)
                 FROM (SELECT 'grant' AS kind, ?1 AS id, ?9 AS since
                       UNION ALL SELECT 'grant', value, 0 FROM json_each(?14)
                       UNION ALL SELECT 'tenant', ?2, ?9
                       UNION ALL SELECT 'session', ?8, ?9
                       UNION ALL SELECT 'user', ?4, ?9 WHERE ?3 = 'human'
                       UNION ALL SELECT 'agent', ?4, ?10 WHERE ?3 = 'agent'
                       UNION ALL SELECT 'agent', value, ?10 FROM json_each(?13)
                       UNION ALL SELECT 'client', ?5, ?10) s
                 CROSS JOIN revocations r ON r.kind = s.kind AND r.id = s.id AND r.at >= s.since),
                (SELECT min(coalesce(p.revoked_at, ?10))
                 FROM json_each(?14) a LEFT JOIN grants p ON p.id = a.value
                 WHERE p.id IS NULL OR p.revoked_at IS NOT NULL OR p.expires_at <= ?10)))";

/// The plus keeps the index of the tenant out of it, which leads to very many more.
pub(super) const ACTED: &str = "SELECT * FROM grants
    WHERE id IN (SELECT grant_id FROM grant_actors WHERE agent = ?1) AND +tenant = ?2
      AND revoked_at IS NULL AND expires_at > ?3
    ORDER BY created_at DESC, id DESC";

fn add(c: &Connection, grant: &Grant) -> Result<(), StoreError> {
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
        json("actors", &grant.actors)?,
        json("ancestors", &grant.ancestors)?,
        grant.bound_to.as_ref().map(|key| json("key binding", key)).transpose()?,
    ];
    change(c, ADD, values).map_err(taken("grant"))?;
    for agent in &grant.actors {
        let sql = "INSERT OR IGNORE INTO grant_actors (agent, grant_id) VALUES (?1, ?2)";
        change(c, sql, [agent.as_str(), grant.id.as_str()])?;
    }
    for ancestor in &grant.ancestors {
        let sql = "INSERT OR IGNORE INTO grant_ancestors (ancestor, grant_id) VALUES (?1, ?2)";
        change(c, sql, [ancestor.as_str(), grant.id.as_str()])?;
    }
    Ok(())
}

#[async_trait]
impl Grants for SqliteStore {
    async fn add_grant(&self, grant: &Grant) -> Result<(), StoreError> {
        let grant = grant.clone();
        self.write(move |c| add(c, &grant)).await
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

    async fn grants_acted(&self, tenant: &TenantId, agent: &AgentId, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let (tenant, agent) = (tenant.clone(), agent.clone());
        self.read(move |c| all(c, ACTED, params![agent.as_str(), tenant.as_str(), millis(now)], grant)).await
    }

    async fn grant_like(&self, like: &Grant, until: Timestamp) -> Result<Option<Grant>, StoreError> {
        let like = like.clone();
        let sql = "SELECT * FROM grants
                   WHERE subject_kind = ?1 AND subject_id = ?2 AND tenant = ?3 AND client = ?4 AND resource = ?5
                     AND scopes = ?6 AND bound_to IS ?7 AND actors = '[]' AND ancestors = '[]'
                     AND revoked_at IS NULL AND expires_at >= ?8
                   ORDER BY created_at DESC, id DESC LIMIT 1";
        self.read(move |c| {
            let values = params![
                subject_kind(&like.subject),
                like.subject.id(),
                like.tenant.as_str(),
                like.client.as_str(),
                like.resource,
                like.scopes.to_string(),
                like.bound_to.as_ref().map(|key| json("key binding", key)).transpose()?,
                millis(until),
            ];
            one(c, sql, values, grant)
        })
        .await
    }

    async fn grants_made_of(&self, grant: &GrantId, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let id = grant.clone();
        let sql = "SELECT * FROM grants
                   WHERE id IN (SELECT grant_id FROM grant_ancestors WHERE ancestor = ?1)
                     AND revoked_at IS NULL AND expires_at > ?2
                   ORDER BY created_at DESC, id DESC";
        self.read(move |c| all(c, sql, params![id.as_str(), millis(now)], self::grant)).await
    }

    async fn bind_grant(&self, grant: &GrantId, key: &KeyBinding, now: Timestamp) -> Result<bool, StoreError> {
        let (id, key) = (grant.clone(), key.clone());
        self.write(move |c| {
            let written = json("key binding", &key)?;
            let sql = "UPDATE grants SET bound_to = ?2
                       WHERE id = ?1 AND bound_to IS NULL AND revoked_at IS NULL AND expires_at > ?3";
            change(c, sql, params![id.as_str(), written, millis(now)])?;
            Ok(by_id(c, &id)?.is_some_and(|grant| {
                grant.bound_to.as_ref() == Some(&key) && grant.revoked_at.is_none() && grant.expires_at > now
            }))
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
