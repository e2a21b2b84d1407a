//! Agents in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::{AgentId, TenantId};

use super::{
    PostgresStore,
    rows::{Row, from_json, id, json, millis, optional_id, params, parsed, plain, time},
};
use crate::{Agent, Agents, StoreError};

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
    })
}

#[async_trait]
impl Agents for PostgresStore {
    async fn put_agent(&self, agent: &Agent) -> Result<(), StoreError> {
        let sql = "INSERT INTO agents
                   (id, tenant, client, name, owner, purpose, scopes, resources, created_at, suspended)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                   ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, client = excluded.client,
                       name = excluded.name, owner = excluded.owner, purpose = excluded.purpose,
                       scopes = excluded.scopes, resources = excluded.resources,
                       created_at = excluded.created_at, suspended = excluded.suspended";
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
        ];
        self.execute(sql, values).await.map(|_| ())
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, StoreError> {
        self.one("SELECT * FROM agents WHERE id = $1", params![id.as_str()], agent).await
    }

    async fn agents(&self, tenant: &TenantId) -> Result<Vec<Agent>, StoreError> {
        self.all("SELECT * FROM agents WHERE tenant = $1 ORDER BY id", params![tenant.as_str()], agent).await
    }
}
