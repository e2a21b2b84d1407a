//! Agents in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, params};
use sallyport_model::{AgentId, TenantId};

use super::{
    SqliteStore,
    rows::{all, change, from_json, id, json, millis, one, optional_id, parsed, plain, time},
};
use crate::{Agent, Agents, StoreError};

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
    })
}

#[async_trait]
impl Agents for SqliteStore {
    async fn put_agent(&self, agent: &Agent) -> Result<(), StoreError> {
        let agent = agent.clone();
        self.write(move |c| {
            change(
                c,
                "INSERT OR REPLACE INTO agents
                 (id, tenant, client, name, owner, purpose, scopes, resources, created_at, suspended)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
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
                ],
            )?;
            Ok(())
        })
        .await
    }

    async fn agent(&self, id: &AgentId) -> Result<Option<Agent>, StoreError> {
        let id = id.clone();
        self.read(move |c| one(c, "SELECT * FROM agents WHERE id = ?1", [id.as_str()], agent)).await
    }

    async fn agents(&self, tenant: &TenantId) -> Result<Vec<Agent>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |c| all(c, "SELECT * FROM agents WHERE tenant = ?1 ORDER BY id", [tenant.as_str()], agent)).await
    }
}
