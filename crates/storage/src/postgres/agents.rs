//! Agents and their credentials in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::{AgentId, CredentialId, TenantId, Timestamp, UserId};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    error::{Failure, dangling, taken},
    revocations,
    rows::{
        Row, change, damaged, from_json, id, json, millis, one, optional, optional_id, optional_time, params, parsed,
        plain, time,
    },
};
use crate::{Agent, AgentCredential, Agents, CredentialKind, RevocationSubject, ScopeUse, StoreError, agents::COARSE};

fn agent(row: &Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        id: id(row, "id")?,
        tenant: id(row, "tenant")?,
        client: id(row, "client")?,
        name: plain(row, "name")?,
        owner: optional_id(row, "owner")?,
        purpose: plain(row, "purpose")?,
        scopes: parsed(row, "scopes")?,
        resources: from_json(row, "resources")?,
        created_at: time(row, "created_at")?,
        suspended: plain(row, "suspended")?,
        bounds: from_json(row, "bounds")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}

fn credential(row: &Row) -> Result<AgentCredential, StoreError> {
    let kind: CredentialKind = from_json(row, "proof")?;
    let method: String = plain(row, "method")?;
    if method != kind.word() {
        return Err(damaged("method", format!("`{method}` is not what the credential proves by")));
    }
    Ok(AgentCredential {
        id: id(row, "id")?,
        agent: id(row, "agent")?,
        tenant: id(row, "tenant")?,
        kind,
        issuer: optional(row, "issuer")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}

async fn put(c: &mut PgConnection, agent: &Agent) -> Result<(), Failure> {
    // Its row is locked, so that nobody makes the client another agent's meanwhile.
    let theirs = "SELECT agent FROM clients WHERE id = $1 FOR SHARE";
    let owner: Option<Option<AgentId>> =
        one(c, theirs, params![agent.client.as_str()], |row| optional_id(row, "agent")).await?;
    if owner.flatten().is_some_and(|owner| owner != agent.id) {
        return Err(StoreError::Exists("agent's client").into());
    }
    let sql = "INSERT INTO agents
               (id, tenant, client, name, owner, purpose, scopes, resources, created_at, suspended, bounds)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
               ON CONFLICT (id) DO UPDATE SET client = excluded.client, name = excluded.name,
                   owner = excluded.owner, purpose = excluded.purpose, scopes = excluded.scopes,
                   resources = excluded.resources, created_at = excluded.created_at,
                   suspended = excluded.suspended, bounds = excluded.bounds
               WHERE agents.tenant = excluded.tenant";
    let values = params![
        agent.id.as_str(),
        agent.tenant.as_str(),
        agent.client.as_str(),
        agent.name,
        agent.owner.as_ref().map(|owner| owner.as_str()),
        agent.purpose,
        agent.scopes.to_string(),
        json("agent resources", &agent.resources)?,
        millis(agent.created_at),
        agent.suspended,
        json("agent bounds", &agent.bounds)?,
    ];
    match change(c, sql, values).await.map_err(taken("agent's client"))? {
        0 => Err(StoreError::Exists("agent").into()),
        _ => Ok(()),
    }
}

/// Children before parents; `$1` is the agent, `$2` its client.
const OWNED: &[&str] = &[
    "DELETE FROM consents WHERE client IN (SELECT id FROM clients WHERE agent = $1 OR id = $2)",
    "DELETE FROM clients WHERE agent = $1 OR id = $2 AND agent IS NULL",
    "DELETE FROM agents WHERE id = $1 AND client = $2",
];

/// The epoch, if there was one.
async fn remove(c: &mut PgConnection, tenant: &TenantId, id: &AgentId, at: Timestamp) -> Result<Option<u64>, Failure> {
    let sql = "SELECT * FROM agents WHERE id = $1 AND tenant = $2";
    let Some(found) = one(c, sql, params![id.as_str(), tenant.as_str()], agent).await? else { return Ok(None) };
    let subjects = [RevocationSubject::Agent(id.clone())];
    revocations::mark(c, &subjects, at).await?;
    for sql in OWNED {
        change(c, sql, params![id.as_str(), found.client.as_str()]).await?;
    }
    revocations::log(c, &subjects, at).await.map(Some)
}

async fn add_credential(c: &mut PgConnection, new: &AgentCredential) -> Result<(), Failure> {
    let sql = "INSERT INTO agent_credentials
               (id, agent, tenant, method, proof, issuer, created_at, expires_at, revoked_at, last_used_at)
               SELECT $1, id, tenant, $4, $5, $6, $7, $8, $9, $10 FROM agents WHERE id = $2 AND tenant = $3
               FOR KEY SHARE";
    let values = params![
        new.id.as_str(),
        new.agent.as_str(),
        new.tenant.as_str(),
        new.kind.word(),
        json("credential", &new.kind)?,
        new.issuer,
        millis(new.created_at),
        millis(new.expires_at),
        new.revoked_at.map(millis),
        new.last_used_at.map(millis),
    ];
    match change(c, sql, values).await.map_err(taken("credential"))? {
        0 => Err(StoreError::Missing("agent").into()),
        _ => Ok(()),
    }
}

impl PostgresStore {
    /// Notes a use in one row, unless that was done in the same minute: then nothing is locked or written.
    async fn note_use(
        &self,
        sql: (&'static str, &'static str),
        whose: &AgentId,
        which: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (look, note) = sql;
        let last = self.one(look, params![which, whose.as_str()], |row| optional_time(row, "last_used_at")).await?;
        if last.is_some_and(|last| last.is_none_or(|last| last <= at.minus(COARSE))) {
            self.execute(note, params![which, whose.as_str(), millis(at)]).await?;
        }
        Ok(())
    }
}

const AGENT_USE: (&str, &str) = (
    "SELECT last_used_at FROM agents WHERE id = $1 AND id = $2",
    "UPDATE agents SET last_used_at = $3 WHERE id = $1 AND id = $2 AND coalesce(last_used_at < $3, TRUE)",
);

const CREDENTIAL_USE: (&str, &str) = (
    "SELECT last_used_at FROM agent_credentials WHERE id = $1 AND agent = $2",
    "UPDATE agent_credentials SET last_used_at = $3
     WHERE id = $1 AND agent = $2 AND coalesce(last_used_at < $3, TRUE)",
);

#[async_trait]
impl Agents for PostgresStore {
    async fn put_agent(&self, agent: &Agent) -> Result<(), StoreError> {
        self.write(agent.clone(), |c, agent| Box::pin(put(c, agent))).await
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, StoreError> {
        self.one("SELECT * FROM agents WHERE id = $1", params![id.as_str()], agent).await
    }

    async fn agents(&self, tenant: &TenantId) -> Result<Vec<Agent>, StoreError> {
        self.all("SELECT * FROM agents WHERE tenant = $1 ORDER BY id", params![tenant.as_str()], agent).await
    }

    async fn agents_of(&self, owner: &UserId) -> Result<Vec<Agent>, StoreError> {
        self.all("SELECT * FROM agents WHERE owner = $1 ORDER BY id", params![owner.as_str()], agent).await
    }

    async fn remove_agent(&self, tenant: &TenantId, id: &AgentId, at: Timestamp) -> Result<bool, StoreError> {
        let given = (tenant.clone(), id.clone());
        let epoch = self.write_long(given, move |c, (tenant, id)| Box::pin(remove(c, tenant, id, at))).await?;
        Ok(self.tell(epoch).is_some())
    }

    async fn add_credential(&self, credential: &AgentCredential) -> Result<(), StoreError> {
        self.write(credential.clone(), |c, credential| Box::pin(add_credential(c, credential))).await
    }

    async fn credentials(&self, agent: &AgentId) -> Result<Vec<AgentCredential>, StoreError> {
        let sql = "SELECT * FROM agent_credentials WHERE agent = $1 ORDER BY created_at DESC, id DESC";
        self.all(sql, params![agent.as_str()], credential).await
    }

    async fn workload_credentials(&self, issuer: &str, now: Timestamp) -> Result<Vec<AgentCredential>, StoreError> {
        let sql = "SELECT * FROM agent_credentials
                   WHERE issuer = $1 AND method = 'workload' AND revoked_at IS NULL AND expires_at > $2
                   ORDER BY id LIMIT 1000";
        self.all(sql, params![issuer, millis(now)], credential).await
    }

    async fn revoke_credential(&self, agent: &AgentId, id: &CredentialId, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE agent_credentials SET revoked_at = $3
                   WHERE id = $1 AND agent = $2 AND revoked_at IS NULL AND expires_at > $3";
        Ok(self.execute(sql, params![id.as_str(), agent.as_str(), millis(at)]).await? > 0)
    }

    async fn expire_credential(&self, agent: &AgentId, id: &CredentialId, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE agent_credentials SET expires_at = least(expires_at, $3)
                   WHERE id = $1 AND agent = $2 AND revoked_at IS NULL";
        Ok(self.execute(sql, params![id.as_str(), agent.as_str(), millis(at)]).await? > 0)
    }

    async fn note_agent_use(
        &self,
        agent: &AgentId,
        credential: Option<&CredentialId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.note_use(AGENT_USE, agent, agent.as_str(), at).await?;
        match credential {
            Some(credential) => self.note_use(CREDENTIAL_USE, agent, credential.as_str(), at).await,
            None => Ok(()),
        }
    }

    async fn note_scope_uses(&self, agent: &AgentId, uses: &[ScopeUse]) -> Result<(), StoreError> {
        let (scopes, times): (Vec<&str>, Vec<i64>) =
            uses.iter().map(|used| (used.scope.as_str(), millis(used.last_used_at))).unzip();
        // In one order, so that two batches never hold what the other waits for.
        let sql = "INSERT INTO agent_scope_uses (agent, scope, last_used_at)
                   SELECT a.id, s.scope, max(s.at) FROM agents a, unnest($2, $3) AS s (scope, at)
                   WHERE a.id = $1 GROUP BY a.id, s.scope ORDER BY s.scope
                   ON CONFLICT (agent, scope) DO UPDATE
                       SET last_used_at = excluded.last_used_at
                       WHERE agent_scope_uses.last_used_at < excluded.last_used_at";
        let values = params![agent.as_str(), scopes.as_slice(), times.as_slice()];
        let noted = self.write(values, move |c, values| {
            Box::pin(async move { change(c, sql, values.clone()).await.map_err(dangling("agent")) })
        });
        match noted.await {
            // Removed at this very moment.
            Err(StoreError::Missing(_)) => Ok(()),
            noted => noted.map(|_| ()),
        }
    }

    async fn scope_uses(&self, agent: &AgentId) -> Result<Vec<ScopeUse>, StoreError> {
        let sql = "SELECT scope, last_used_at FROM agent_scope_uses WHERE agent = $1 ORDER BY scope";
        self.all(sql, params![agent.as_str()], |row| {
            Ok(ScopeUse { scope: plain(row, "scope")?, last_used_at: time(row, "last_used_at")? })
        })
        .await
    }
}
