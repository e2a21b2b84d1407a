//! Grants and refresh tokens in PostgreSQL. The row of a grant is the lock of its family.

use std::time::Duration;

use async_trait::async_trait;
use sallyport_model::{Actor, AgentId, ClientId, GrantId, KeyBinding, TenantId, Timestamp};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, taken},
    revocations,
    rows::{
        Row, all, change, damaged, id, ids, json, millis, one, optional_json, optional_time, params, parsed, plain,
        time,
    },
};
use crate::{Digest, Grant, Grants, NewRefresh, RevocationSubject, Rotation, StoreError};

fn subject_kind(actor: &Actor) -> &'static str {
    match actor {
        Actor::Human(_) => "human",
        Actor::Agent(_) => "agent",
    }
}

fn subject(row: &Row) -> Result<Actor, StoreError> {
    let kind: String = plain(row, "subject_kind")?;
    match kind.as_str() {
        "human" => Ok(Actor::Human(id(row, "subject_id")?)),
        "agent" => Ok(Actor::Agent(id(row, "subject_id")?)),
        other => Err(damaged("subject_kind", format!("`{other}` is neither human nor agent"))),
    }
}

/// Of a row of the view `standing_grants`, never of the table: the view knows what the log covers.
fn grant(row: &Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        subject: subject(row)?,
        actors: ids(row, "actors")?,
        ancestors: ids(row, "ancestors")?,
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

const BY_ID: &str = "SELECT * FROM standing_grants WHERE id = $1";

pub(super) async fn by_id(c: &mut PgConnection, id: &GrantId) -> Result<Option<Grant>, Failure> {
    one(c, BY_ID, params![id.as_str()], grant).await
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

const REFRESH: &str = "SELECT g.*, r.idle_expires_at, r.spent_at,
            EXISTS (SELECT 1 FROM refresh_tokens s WHERE s.token = r.successor AND s.spent_at IS NULL)
                AS successor_lives
     FROM refresh_tokens r JOIN standing_grants g ON g.id = r.grant_id WHERE r.token = $1";

fn refresh(row: &Row) -> Result<Refresh, StoreError> {
    Ok(Refresh {
        grant: grant(row)?,
        idle_expires_at: time(row, "idle_expires_at")?,
        spent_at: optional_time(row, "spent_at")?,
        successor_lives: plain(row, "successor_lives")?,
    })
}

async fn insert_refresh(c: &mut PgConnection, grant: &GrantId, new: &NewRefresh) -> Result<(), Failure> {
    let sql = "INSERT INTO refresh_tokens (token, grant_id, idle_expires_at) VALUES ($1, $2, $3)";
    let values = params![new.token, grant.as_str(), millis(new.idle_expires_at)];
    change(c, sql, values).await.map_err(taken("refresh token"))?;
    Ok(())
}

async fn add_refresh(c: &mut PgConnection, id: &GrantId, new: &NewRefresh, now: Timestamp) -> Result<(), Failure> {
    one(c, "SELECT 1 FROM grants WHERE id = $1 FOR UPDATE", params![id.as_str()], |_| Ok(())).await?;
    match by_id(c, id).await? {
        Some(grant) if grant.revoked_at.is_none() && grant.expires_at > now => insert_refresh(c, id, new).await,
        _ => Err(StoreError::Missing("living grant").into()),
    }
}

async fn bind(c: &mut PgConnection, id: &GrantId, key: &KeyBinding, now: Timestamp) -> Result<bool, Failure> {
    one(c, "SELECT 1 FROM grants WHERE id = $1 FOR UPDATE", params![id.as_str()], |_| Ok(())).await?;
    let lives = |grant: &Grant| grant.revoked_at.is_none() && grant.expires_at > now;
    let Some(grant) = by_id(c, id).await?.filter(lives) else { return Ok(false) };
    if let Some(bound_to) = grant.bound_to {
        return Ok(bound_to == *key);
    }
    change(c, "UPDATE grants SET bound_to = $2 WHERE id = $1", params![id.as_str(), json("key binding", key)?]).await?;
    Ok(true)
}

/// One presentation of a refresh token (RFC 9700 section 4.14.2). The order of the questions is
/// the defence: what is spent is reuse even when its idle time is over, and nothing is said about
/// a token, nor done to its family, for a client that it was not given to.
///
/// Gives the epoch too, if there was reuse.
async fn rotate(
    c: &mut PgConnection,
    token: &Digest,
    client: &ClientId,
    successor: &NewRefresh,
    now: Timestamp,
    grace: Duration,
) -> Result<(Rotation, Option<u64>), Failure> {
    // The family is locked first and read by a second statement: one that waited for the lock itself would
    // still see the tokens as they were before it.
    let family = "SELECT 1 FROM grants WHERE id = (SELECT grant_id FROM refresh_tokens WHERE token = $1) FOR UPDATE";
    one(c, family, params![token], |_| Ok(())).await?;
    let Some(found) = one(c, REFRESH, params![token], refresh).await? else { return Ok((Rotation::Unknown, None)) };
    if found.grant.client != *client {
        return Ok((Rotation::ForeignClient, None));
    }
    if found.grant.revoked_at.is_some() {
        return Ok((Rotation::Revoked, None));
    }
    if found.grant.expires_at <= now {
        return Ok((Rotation::Expired, None));
    }
    if let Some(spent_at) = found.spent_at {
        if found.successor_lives && now.since(spent_at) < grace {
            return Ok((Rotation::Raced, None));
        }
        let epoch = revocations::append(c, &RevocationSubject::Grant(found.grant.id.clone()), now).await?;
        return Ok((Rotation::Reused(Grant { revoked_at: Some(now), ..found.grant }), Some(epoch)));
    }
    if found.idle_expires_at <= now {
        return Ok((Rotation::Expired, None));
    }
    let sql = "UPDATE refresh_tokens SET spent_at = $2, successor = $3 WHERE token = $1 AND spent_at IS NULL";
    if change(c, sql, params![token, millis(now), successor.token]).await? != 1 {
        return Err(damaged("refresh token", "it was spent in the middle of its own rotation").into());
    }
    insert_refresh(c, &found.grant.id, successor).await?;
    Ok((Rotation::Rotated(found.grant), None))
}

/// Whatever ends it may have come before it was stored: then it is born dead. An ancestor that is not stored, or
/// ended before, ends it too.
const ADD: &str = "INSERT INTO grants (id, tenant, subject_kind, subject_id, client, resource, scopes, session_id,
                                       authenticated_at, created_at, expires_at, actors, ancestors, bound_to,
                                       revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $14, $15,
            coalesce($12,
                (SELECT min(replayed_at) FROM codes WHERE grant_id = $1),
                (SELECT $10 FROM people WHERE $3 = 'human' AND id = $4 AND disabled),
                (SELECT min(at) FROM revocations
                 WHERE at >= $9 AND (kind = 'grant' AND id = $1 OR kind = 'tenant' AND id = $2
                                     OR kind = 'session' AND id = $8)
                    OR at >= $9 AND $3 = 'human' AND kind = 'user' AND id = $4
                    OR at >= $10 AND $3 = 'agent' AND kind = 'agent' AND id = $4
                    OR at >= $10 AND kind = 'agent' AND id = ANY ($13)
                    OR kind = 'grant' AND id = ANY ($14)
                    OR at >= $10 AND kind = 'client' AND id = $5),
                (SELECT min(coalesce(p.revoked_at, $10))
                 FROM unnest($14) AS a (id) LEFT JOIN standing_grants p ON p.id = a.id
                 WHERE p.id IS NULL OR p.revoked_at IS NOT NULL OR p.expires_at <= $10)))";

async fn add(c: &mut PgConnection, grant: &Grant) -> Result<(), Failure> {
    // A replay of its code that is under way comes to its end first.
    let codes = "SELECT 1 FROM codes WHERE grant_id = $1 ORDER BY code FOR UPDATE";
    all(c, codes, params![grant.id.as_str()], |_| Ok(())).await?;
    let actors: Vec<&str> = grant.actors.iter().map(AgentId::as_str).collect();
    let ancestors: Vec<&str> = grant.ancestors.iter().map(GrantId::as_str).collect();
    if !ancestors.is_empty() {
        // So does the end of an ancestor.
        let sql = "SELECT 1 FROM grants WHERE id = ANY ($1) ORDER BY id FOR SHARE";
        all(c, sql, params![ancestors.as_slice()], |_| Ok(())).await?;
    }
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
        actors.as_slice(),
        ancestors.as_slice(),
        grant.bound_to.as_ref().map(|key| json("key binding", key)).transpose()?,
    ];
    change(c, ADD, values).await.map_err(taken("grant"))?;
    Ok(())
}

#[async_trait]
impl Grants for PostgresStore {
    async fn add_grant(&self, grant: &Grant) -> Result<(), StoreError> {
        self.write(grant.clone(), |c, grant| Box::pin(add(c, grant))).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        self.one(BY_ID, params![id.as_str()], grant).await
    }

    async fn grants_of(&self, tenant: &TenantId, subject: &Actor, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let sql = "SELECT * FROM standing_grants
                   WHERE subject_kind = $1 AND subject_id = $2 AND tenant = $3
                     AND revoked_at IS NULL AND expires_at > $4
                   ORDER BY created_at DESC, id DESC";
        let values = params![subject_kind(subject), subject.id(), tenant.as_str(), millis(now)];
        self.all(sql, values, grant).await
    }

    async fn grants_acted(&self, tenant: &TenantId, agent: &AgentId, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let sql = "SELECT * FROM standing_grants
                   WHERE actors <> '{}' AND actors @> $1 AND tenant = $2
                     AND revoked_at IS NULL AND expires_at > $3
                   ORDER BY created_at DESC, id DESC";
        self.all(sql, params![[agent.as_str()].as_slice(), tenant.as_str(), millis(now)], grant).await
    }

    async fn grant_like(&self, like: &Grant, until: Timestamp) -> Result<Option<Grant>, StoreError> {
        let sql = "SELECT * FROM standing_grants
                   WHERE subject_kind = $1 AND subject_id = $2 AND tenant = $3 AND client = $4 AND resource = $5
                     AND scopes = $6 AND bound_to IS NOT DISTINCT FROM $7 AND actors = '{}' AND ancestors = '{}'
                     AND revoked_at IS NULL AND expires_at >= $8
                   ORDER BY created_at DESC, id DESC LIMIT 1";
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
        self.one(sql, values, grant).await
    }

    async fn grants_made_of(&self, grant: &GrantId, now: Timestamp) -> Result<Vec<Grant>, StoreError> {
        let sql = "SELECT * FROM standing_grants
                   WHERE ancestors <> '{}' AND ancestors @> $1 AND revoked_at IS NULL AND expires_at > $2
                   ORDER BY created_at DESC, id DESC";
        self.all(sql, params![[grant.as_str()].as_slice(), millis(now)], self::grant).await
    }

    async fn bind_grant(&self, grant: &GrantId, key: &KeyBinding, now: Timestamp) -> Result<bool, StoreError> {
        let given = (grant.clone(), key.clone());
        self.write(given, move |c, (id, key)| Box::pin(bind(c, id, key, now))).await
    }

    async fn add_refresh(&self, grant: &GrantId, refresh: &NewRefresh, now: Timestamp) -> Result<(), StoreError> {
        let given = (grant.clone(), refresh.clone());
        self.write(given, move |c, (id, refresh)| Box::pin(add_refresh(c, id, refresh, now))).await
    }

    async fn rotate_refresh(
        &self,
        token: &Digest,
        client: &ClientId,
        successor: &NewRefresh,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotation, StoreError> {
        let given = (*token, client.clone(), successor.clone());
        let changed: fn(&(Rotation, _)) -> bool =
            |(rotation, _)| matches!(rotation, Rotation::Rotated(_) | Rotation::Reused(_));
        let (rotation, epoch) = self
            .write_if(changed, given, move |c, (token, client, successor)| {
                Box::pin(rotate(c, token, client, successor, now, grace))
            })
            .await?;
        self.tell(epoch);
        Ok(rotation)
    }

    async fn grant_of_refresh(&self, token: &Digest, now: Timestamp) -> Result<Option<(Grant, bool)>, StoreError> {
        let found = self.one(REFRESH, params![token], refresh).await?;
        Ok(found.map(|found| {
            let usable = found.usable(now);
            (found.grant, usable)
        }))
    }
}
