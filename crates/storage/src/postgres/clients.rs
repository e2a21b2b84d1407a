//! OAuth clients in PostgreSQL.

use async_trait::async_trait;
use sallyport_model::ClientId;

use super::{
    PostgresStore,
    error::taken,
    rows::{
        Row, Value, change, damaged, from_json, from_word, id, json, millis, optional, optional_id, optional_time,
        params, plain, signed, time, unsigned, word,
    },
};
use crate::{ClientAuthMethod, ClientRecord, ClientSource, Clients, StoreError};

/// In columns, so that a method whose secret or keys are absent is damage and never "no secret".
fn auth(row: &Row) -> Result<ClientAuthMethod, StoreError> {
    let method: String = plain(row, "auth_method")?;
    match method.as_str() {
        "none" => Ok(ClientAuthMethod::None),
        "secret" => Ok(ClientAuthMethod::Secret { sha256: plain(row, "secret_sha256")? }),
        "private_key_jwt" => Ok(ClientAuthMethod::PrivateKeyJwt { jwks: from_json(row, "jwks")? }),
        "agent_credential" => Ok(ClientAuthMethod::AgentCredential),
        other => Err(damaged("auth_method", format!("`{other}` is not known"))),
    }
}

fn client(row: &Row) -> Result<ClientRecord, StoreError> {
    Ok(ClientRecord {
        id: id(row, "id")?,
        source: from_word(row, "source")?,
        name: plain(row, "name")?,
        redirect_uris: from_json(row, "redirect_uris")?,
        application_type: from_word(row, "application_type")?,
        auth: auth(row)?,
        grant_types: from_json(row, "grant_types")?,
        uri: optional(row, "uri")?,
        agent: optional_id(row, "agent")?,
        created_at: time(row, "created_at")?,
        stale_at: optional_time(row, "stale_at")?,
    })
}

const INSERT: &str = "INSERT INTO clients (id, source, name, redirect_uris, application_type, auth_method,
         secret_sha256, jwks, grant_types, uri, agent, created_at, stale_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const PUT: &str = "INSERT INTO clients (id, source, name, redirect_uris, application_type, auth_method,
         secret_sha256, jwks, grant_types, uri, agent, created_at, stale_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     ON CONFLICT (id) DO UPDATE SET source = excluded.source, name = excluded.name,
         redirect_uris = excluded.redirect_uris, application_type = excluded.application_type,
         auth_method = excluded.auth_method, secret_sha256 = excluded.secret_sha256, jwks = excluded.jwks,
         grant_types = excluded.grant_types, uri = excluded.uri, agent = excluded.agent,
         created_at = excluded.created_at, stale_at = excluded.stale_at";

fn values(client: &ClientRecord) -> Result<Vec<Value>, StoreError> {
    let (method, sha256, jwks) = match &client.auth {
        ClientAuthMethod::None => ("none", None, None),
        ClientAuthMethod::Secret { sha256 } => ("secret", Some(sha256), None),
        ClientAuthMethod::PrivateKeyJwt { jwks } => ("private_key_jwt", None, Some(json("jwks", jwks)?)),
        ClientAuthMethod::AgentCredential => ("agent_credential", None, None),
    };
    Ok(params![
        client.id.as_str(),
        word("client source", &client.source)?,
        client.name,
        json("redirect URIs", &client.redirect_uris)?,
        word("application type", &client.application_type)?,
        method,
        sha256,
        jwks,
        json("grant types", &client.grant_types)?,
        client.uri,
        client.agent.as_ref().map(|agent| agent.as_str()),
        millis(client.created_at),
        client.stale_at.map(millis),
    ])
}

#[async_trait]
impl Clients for PostgresStore {
    async fn add_client(&self, client: &ClientRecord) -> Result<(), StoreError> {
        let add = self.write(values(client)?, |c, values| {
            Box::pin(async { change(c, INSERT, values.clone()).await.map_err(taken("client")) })
        });
        add.await.map(|_| ())
    }

    async fn put_client(&self, client: &ClientRecord) -> Result<(), StoreError> {
        self.execute(PUT, values(client)?).await.map(|_| ())
    }

    async fn client(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        self.one("SELECT * FROM clients WHERE id = $1", params![id.as_str()], client).await
    }

    async fn clients(&self, limit: usize) -> Result<Vec<ClientRecord>, StoreError> {
        let sql = "SELECT * FROM clients ORDER BY created_at DESC, id DESC LIMIT $1";
        self.all(sql, params![signed(limit)], client).await
    }

    async fn dynamic_clients(&self) -> Result<u64, StoreError> {
        let source = word("client source", &ClientSource::Dynamic)?;
        let sql = "SELECT count(*) AS count FROM clients WHERE source = $1";
        let count = self.one(sql, params![source], |row| plain(row, "count")).await?;
        unsigned("client count", count.unwrap_or_default())
    }
}
