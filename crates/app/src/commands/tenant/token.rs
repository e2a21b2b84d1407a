//! Tokens that a tenant's provisioning system writes with.

use std::time::Duration;

use anyhow::Result;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sallyport_model::{Rng, ScimClientId, Secret, TenantId};
use sallyport_storage::{Digest, ScimClient};
use serde_json::{Value, json};

use super::{
    answer::{Answer, table},
    arguments::ScimTokenVerb,
    opened::{Opened, refused, shown, text},
};

/// What every such token begins with, so that one is recognised where it should not be.
const PREFIX: &str = "sps_";
/// Characters of a token's name.
const MOST_NAME: usize = 100;
const DAY: u64 = 24 * 60 * 60;

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
    let token = Secret::new(format!("{PREFIX}{}", random(opened.rng())));
    let client = ScimClient {
        id: ScimClientId::mint(opened.rng()),
        tenant: id.clone(),
        name: text("NAME", name, MOST_NAME)?,
        token: sha256(token.expose()),
        created_at: opened.now(),
        expires_at: days.map(|days| opened.now().plus(Duration::from_secs(u64::from(days) * DAY))),
    };
    let expires_at = client.expires_at.map(|at| at.to_string());
    let facts = json!({ "scim_client": client.id, "name": client.name, "expires_at": expires_at });
    opened.notice("tenant.scim_token.add", Some(id), facts).await?;
    opened.store().add_scim_client(&client).await?;
    let mut json = client_json(opened, &client);
    json["base_url"] = json!(base_url(opened));
    json["token"] = json!(token.expose());
    let lines = [format!("base URL: {}", base_url(opened)), format!("token:    {}", token.expose())];
    let end = expires_at.map_or_else(|| "It does not end by itself.".to_owned(), |at| format!("It ends at {at}."));
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
    let values = clients.iter().map(|client| client_json(opened, client)).collect();
    Ok(Answer::done(Value::Array(values), table(&["id", "name", "since", "ends"], &rows)))
}

async fn remove(opened: &Opened, id: &TenantId, token: &str) -> Result<Answer> {
    opened.tenant(id).await?;
    let known = opened.store().scim_clients(id).await?;
    let Some(client) = known.into_iter().find(|client| client.id.as_str() == token) else {
        let what = format!("{id} has no token `{}`; `sallyport tenant scim-token list {id}` lists them", shown(token));
        return Err(refused("TOKEN_ID", &what));
    };
    let facts = json!({ "scim_client": client.id, "name": client.name });
    opened.notice("tenant.scim_token.remove", Some(id), facts).await?;
    let removed = opened.store().remove_scim_client(id, &client.id).await?;
    let line = format!("{}: removed; the next request with it is refused", shown(&client.name));
    Ok(Answer::done(json!({ "id": client.id, "removed": removed }), [line]))
}

fn client_json(opened: &Opened, client: &ScimClient) -> Value {
    json!({
        "id": client.id,
        "name": client.name,
        "created_at": client.created_at.to_string(),
        "expires_at": client.expires_at.map(|at| at.to_string()),
        "ended": client.expires_at.is_some_and(|at| at <= opened.now()),
    })
}

fn base_url(opened: &Opened) -> String {
    format!("{}/scim/v2", opened.origin())
}

/// 256 random bits, base64url.
pub fn random(rng: &dyn Rng) -> String {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    rng.fill(bytes.as_mut());
    URL_SAFE_NO_PAD.encode(bytes.as_slice())
}

/// Under which a bearer value is kept.
pub fn sha256(value: &str) -> Digest {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
    out
}
