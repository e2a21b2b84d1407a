//! OAuth clients in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use sallyport_model::ClientId;

use super::{
    SqliteStore,
    error::taken,
    rows::{
        all, change, damaged, from_json, from_word, id, json, millis, one, optional_id, optional_time, plain, time,
        word,
    },
};
use crate::{ClientAuthMethod, ClientRecord, ClientSource, Clients, StoreError};

/// In columns, so that a method whose secret or keys are absent is damage and never "no secret".
fn auth(row: &Row<'_>) -> Result<ClientAuthMethod, StoreError> {
    let method: String = plain(row, "auth_method")?;
    match method.as_str() {
        "none" => Ok(ClientAuthMethod::None),
        "secret" => Ok(ClientAuthMethod::Secret { sha256: plain(row, "secret_sha256")? }),
        "private_key_jwt" => Ok(ClientAuthMethod::PrivateKeyJwt { jwks: from_json(row, "jwks")? }),
        "agent_credential" => Ok(ClientAuthMethod::AgentCredential),
        other => Err(damaged("auth_method", format!("`{other}` is not known"))),
    }
}

fn client(row: &Row<'_>) -> Result<ClientRecord, StoreError> {
    Ok(ClientRecord {
        id: id(row, "id")?,
        source: from_word(row, "source")?,
        name: plain(row, "name")?,
        redirect_uris: from_json(row, "redirect_uris")?,
        application_type: from_word(row, "application_type")?,
        auth: auth(row)?,
        grant_types: from_json(row, "grant_types")?,
        uri: plain(row, "uri")?,
        agent: optional_id(row, "agent")?,
        created_at: time(row, "created_at")?,
        stale_at: optional_time(row, "stale_at")?,
    })
}

const COLUMNS: &str = "(id, source, name, redirect_uris, application_type, auth_method, secret_sha256, jwks,
     grant_types, uri, agent, created_at, stale_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

fn insert(c: &Connection, verb: &str, client: &ClientRecord) -> Result<(), StoreError> {
    let (method, sha256, jwks) = match &client.auth {
        ClientAuthMethod::None => ("none", None, None),
        ClientAuthMethod::Secret { sha256 } => ("secret", Some(sha256), None),
        ClientAuthMethod::PrivateKeyJwt { jwks } => ("private_key_jwt", None, Some(json("jwks", jwks)?)),
        ClientAuthMethod::AgentCredential => ("agent_credential", None, None),
    };
    let values = params![
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
        client.agent.as_ref().map(AsRef::<str>::as_ref),
        millis(client.created_at),
        client.stale_at.map(millis),
    ];
    change(c, &format!("{verb} INTO clients {COLUMNS}"), values).map_err(taken("client"))?;
    Ok(())
}

#[async_trait]
impl Clients for SqliteStore {
    async fn add_client(&self, client: &ClientRecord) -> Result<(), StoreError> {
        let client = client.clone();
        self.write(move |c| insert(c, "INSERT", &client)).await
    }

    async fn put_client(&self, client: &ClientRecord) -> Result<(), StoreError> {
        let client = client.clone();
        self.write(move |c| insert(c, "INSERT OR REPLACE", &client)).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        let id = id.clone();
        self.read(move |c| one(c, "SELECT * FROM clients WHERE id = ?1", [id.as_str()], client)).await
    }

    async fn clients(&self, limit: usize) -> Result<Vec<ClientRecord>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT * FROM clients ORDER BY created_at DESC, id DESC LIMIT ?1";
        self.read(move |c| all(c, sql, [limit], client)).await
    }

    async fn dynamic_clients(&self) -> Result<u64, StoreError> {
        let source = word("client source", &ClientSource::Dynamic)?;
        let count: i64 = self
            .read(move |c| {
                Ok(c.query_row("SELECT count(*) FROM clients WHERE source = ?1", [source], |row| row.get(0))?)
            })
            .await?;
        u64::try_from(count).map_err(|error| damaged("client count", error))
    }
}
