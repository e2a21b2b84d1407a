//! Tokens that a tenant's provisioning system writes with.

use anyhow::Result;
use sallyport_admin::tenancy::scim_tokens::{self, base_url, scim_token_json};
use sallyport_model::TenantId;
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    arguments::ScimTokenVerb,
    opened::{Opened, shown, told},
};

/// Runs one.
pub async fn run(opened: &Opened, verb: &ScimTokenVerb) -> Result<Answer> {
    match verb {
        ScimTokenVerb::Add { id, name, expires_days } => add(opened, id, name, *expires_days).await,
        ScimTokenVerb::List { id } => list(opened, id).await,
        ScimTokenVerb::Remove { id, token_id } => remove(opened, id, token_id).await,
    }
}

async fn add(opened: &Opened, id: &TenantId, name: &str, days: Option<u32>) -> Result<Answer> {
    opened.tenant(id).await?;
    let tenancy = opened.tenancy();
    let (client, token) = scim_tokens::add(tenancy, id, name, days).await.map_err(told)?;
    let mut json = scim_token_json(tenancy, &client);
    json["base_url"] = json!(base_url(tenancy));
    json["token"] = json!(token.expose());
    let lines = [format!("base URL: {}", base_url(tenancy)), format!("token:    {}", token.expose())];
    let end =
        client.expires_at.map_or_else(|| "It does not end by itself.".to_owned(), |at| format!("It ends at {at}."));
    Ok(Answer::done(json, lines).remark(format!("The token is shown this once. {end} Its id is {}.", client.id)))
}

async fn list(opened: &Opened, id: &TenantId) -> Result<Answer> {
    opened.tenant(id).await?;
    let clients = opened.store().scim_clients(id).await?;
    let rows: Vec<Vec<String>> = clients
        .iter()
        .map(|client| {
            let end = match client.expires_at {
                None => "never".to_owned(),
                Some(at) if at <= opened.now() => format!("ended {at}"),
                Some(at) => at.to_string(),
            };
            vec![client.id.to_string(), shown(&client.name), client.created_at.to_string(), end]
        })
        .collect();
    let values = clients.iter().map(|client| scim_token_json(opened.tenancy(), client)).collect();
    Ok(Answer::done(Value::Array(values), table(&["id", "name", "since", "ends"], &rows)))
}

async fn remove(opened: &Opened, id: &TenantId, token: &str) -> Result<Answer> {
    opened.tenant(id).await?;
    let client = scim_tokens::find(opened.tenancy(), id, token).await.map_err(told)?;
    let removed = scim_tokens::remove(opened.tenancy(), &client).await.map_err(told)?;
    let line = format!("{}: removed; the next request with it is refused", shown(&client.name));
    Ok(Answer::done(json!({ "id": client.id, "removed": removed }), [line]))
}
