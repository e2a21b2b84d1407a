//! Agents and their credentials in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::{AgentId, CredentialId, TenantId, Timestamp, UserId};

use super::{
    SqliteStore,
    error::taken,
    revocations,
    rows::{all, change, damaged, from_json, id, json, millis, one, optional_id, optional_time, parsed, plain, time},
};
use crate::{Agent, AgentCredential, Agents, CredentialKind, RevocationSubject, ScopeUse, StoreError, agents::COARSE};

fn agent(row: &Row<'_>) -> Result<Agent, StoreError> {
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

fn credential(row: &Row<'_>) -> Result<AgentCredential, StoreError> {
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
        issuer: plain(row, "issuer")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}

fn put(c: &Connection, agent: &Agent) -> Result<(), StoreError> {
    let theirs = "SELECT 1 FROM clients WHERE id = ?1 AND agent IS NOT NULL AND agent <> ?2";
    if one(c, theirs, [agent.client.as_str(), agent.id.as_str()], |_| Ok(()))?.is_some() {
        return Err(StoreError::Exists("agent's client"));
    }
    let sql = "INSERT INTO agents
               (id, tenant, client, name, owner, purpose, scopes, resources, created_at, suspended, bounds)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (id) DO UPDATE SET client = excluded.client, name = excluded.name,
                   owner = excluded.owner, purpose = excluded.purpose, scopes = excluded.scopes,
                   resources = excluded.resources, created_at = excluded.created_at,
                   suspended = excluded.suspended, bounds = excluded.bounds
               WHERE tenant = excluded.tenant";
    let values = params![
        agent.id.as_str(),
        agent.tenant.as_str(),
        agent.client.as_str(),
        agent.name,
        agent.owner.as_ref().map(AsRef::<str>::as_ref),
        agent.purpose,
        agent.scopes.to_string(),
        json("agent resources", &agent.resources)?,
        millis(agent.created_at),
        agent.suspended,
        json("agent bounds", &agent.bounds)?,
    ];
    match change(c, sql, values).map_err(taken("agent's client"))? {
        0 => Err(StoreError::Exists("agent")),
        _ => Ok(()),
    }
}

/// Children before parents; `?1` is the agent, `?2` its client.
const OWNED: &[&str] = &[
    "DELETE FROM consents WHERE client IN (SELECT id FROM clients WHERE agent = ?1 OR id = ?2)",
    "DELETE FROM clients WHERE agent = ?1 OR id = ?2 AND agent IS NULL",
    "DELETE FROM agents WHERE id = ?1 AND client = ?2",
];

fn remove(c: &Connection, tenant: &TenantId, id: &AgentId, at: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT * FROM agents WHERE id = ?1 AND tenant = ?2";
    let Some(found) = one(c, sql, [id.as_str(), tenant.as_str()], agent)? else { return Ok(false) };
    revocations::append(c, &RevocationSubject::Agent(id.clone()), at)?;
    for sql in OWNED {
        change(c, sql, [id.as_str(), found.client.as_str()])?;
    }
    Ok(true)
}

fn add_credential(c: &Connection, new: &AgentCredential) -> Result<(), StoreError> {
    let sql = "INSERT INTO agent_credentials
               (id, agent, tenant, method, proof, issuer, created_at, expires_at, revoked_at, last_used_at)
               SELECT ?1, id, tenant, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM agents WHERE id = ?2 AND tenant = ?3";
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
    match change(c, sql, values).map_err(taken("credential"))? {
        0 => Err(StoreError::Missing("agent")),
        _ => Ok(()),
    }
}

pub(super) const WORKLOADS: &str = "SELECT * FROM agent_credentials
    WHERE issuer = ?1 AND method = 'workload' AND revoked_at IS NULL AND expires_at > ?2
    ORDER BY id LIMIT 1000";

fn due(last_used_at: Option<Timestamp>, at: Timestamp) -> bool {
    last_used_at.is_none_or(|last| last <= at.minus(COARSE))
}

#[async_trait]
impl Agents for SqliteStore {
    async fn put_agent(&self, agent: &Agent) -> Result<(), StoreError> {
        let agent = agent.clone();
        self.write(move |c| put(c, &agent)).await
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, StoreError> {
        let id = id.clone();
        self.read(move |c| one(c, "SELECT * FROM agents WHERE id = ?1", [id.as_str()], agent)).await
    }

    async fn agents(&self, tenant: &TenantId) -> Result<Vec<Agent>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| all(c, "SELECT * FROM agents WHERE tenant = ?1 ORDER BY id", [tenant.as_str()], agent)).await
    }

    async fn agents_of(&self, owner: &UserId) -> Result<Vec<Agent>, StoreError> {
        let owner = owner.clone();
        self.read(move |c| all(c, "SELECT * FROM agents WHERE owner = ?1 ORDER BY id", [owner.as_str()], agent)).await
    }

    async fn remove_agent(&self, tenant: &TenantId, id: &AgentId, at: Timestamp) -> Result<bool, StoreError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        self.write(move |c| remove(c, &tenant, &id, at)).await
    }

    async fn add_credential(&self, credential: &AgentCredential) -> Result<(), StoreError> {
        let credential = credential.clone();
        self.write(move |c| add_credential(c, &credential)).await
    }

    async fn credentials(&self, agent: &AgentId) -> Result<Vec<AgentCredential>, StoreError> {
        let agent = agent.clone();
        let sql = "SELECT * FROM agent_credentials WHERE agent = ?1 ORDER BY created_at DESC, id DESC";
        self.read(move |c| all(c, sql, [agent.as_str()], credential)).await
    }

    async fn workload_credentials(&self, issuer: &str, now: Timestamp) -> Result<Vec<AgentCredential>, StoreError> {
        let issuer = issuer.to_owned();
        self.read(move |c| all(c, WORKLOADS, params![issuer, millis(now)], credential)).await
    }

    async fn revoke_credential(&self, agent: &AgentId, id: &CredentialId, at: Timestamp) -> Result<bool, StoreError> {
        let (agent, id) = (agent.clone(), id.clone());
        let sql = "UPDATE agent_credentials SET revoked_at = ?3
                   WHERE id = ?1 AND agent = ?2 AND revoked_at IS NULL AND expires_at > ?3";
        self.write(move |c| Ok(change(c, sql, params![id.as_str(), agent.as_str(), millis(at)])? > 0)).await
    }

    async fn expire_credential(&self, agent: &AgentId, id: &CredentialId, at: Timestamp) -> Result<bool, StoreError> {
        let (agent, id) = (agent.clone(), id.clone());
        let sql = "UPDATE agent_credentials SET expires_at = min(expires_at, ?3)
                   WHERE id = ?1 AND agent = ?2 AND revoked_at IS NULL";
        self.write(move |c| Ok(change(c, sql, params![id.as_str(), agent.as_str(), millis(at)])? > 0)).await
    }

    async fn note_agent_use(
        &self,
        agent: &AgentId,
        credential: Option<&CredentialId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        // A reader looks first: nearly always it was noted in this minute, and the writer is everybody's.
        let (whose, which) = (agent.clone(), credential.cloned());
        let (agent_due, credential_due) = self
            .read(move |c| {
                let sql = "SELECT last_used_at FROM agents WHERE id = ?1";
                let last = |row: &Row<'_>| Ok(due(optional_time(row, "last_used_at")?, at));
                let agent_due = one(c, sql, [whose.as_str()], last)?.unwrap_or(false);
                let Some(which) = which else { return Ok((agent_due, false)) };
                let sql = "SELECT last_used_at FROM agent_credentials WHERE id = ?1 AND agent = ?2";
                let credential_due = one(c, sql, [which.as_str(), whose.as_str()], last)?.unwrap_or(false);
                Ok((agent_due, credential_due))
            })
            .await?;
        if !agent_due && !credential_due {
            return Ok(());
        }
        let (agent, credential) = (agent.clone(), credential.filter(|_| credential_due).cloned());
        let later = "last_used_at = max(coalesce(last_used_at, ?2), ?2)";
        self.write(move |c| {
            let sql = format!("UPDATE agents SET {later} WHERE id = ?1 AND ?3");
            change(c, &sql, params![agent.as_str(), millis(at), agent_due])?;
            if let Some(credential) = credential {
                let sql = format!("UPDATE agent_credentials SET {later} WHERE id = ?1 AND agent = ?3");
                change(c, &sql, params![credential.as_str(), millis(at), agent.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    async fn note_scope_uses(&self, agent: &AgentId, uses: &[ScopeUse]) -> Result<(), StoreError> {
        let (agent, uses) = (agent.clone(), uses.to_vec());
        let sql = "INSERT INTO agent_scope_uses (agent, scope, last_used_at)
                   SELECT id, ?2, ?3 FROM agents WHERE id = ?1
                   ON CONFLICT (agent, scope) DO UPDATE SET last_used_at = max(last_used_at, excluded.last_used_at)";
        self.write(move |c| {
            for used in &uses {
                change(c, sql, params![agent.as_str(), used.scope, millis(used.last_used_at)])?;
            }
            Ok(())
        })
        .await
    }

    async fn scope_uses(&self, agent: &AgentId) -> Result<Vec<ScopeUse>, StoreError> {
        let agent = agent.clone();
        let sql = "SELECT scope, last_used_at FROM agent_scope_uses WHERE agent = ?1 ORDER BY scope";
        self.read(move |c| {
            all(c, sql, [agent.as_str()], |row| {
                Ok(ScopeUse { scope: plain(row, "scope")?, last_used_at: time(row, "last_used_at")? })
            })
        })
        .await
    }
}
