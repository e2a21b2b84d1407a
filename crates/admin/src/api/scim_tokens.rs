//! Tokens of a tenant's provisioning systems.

use sallyport_model::Secret;
use sallyport_storage::{ScimClient, Tenant};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Ask, reply::Reply};
use crate::{
    Fault,
    tenancy::scim_tokens::{self, base_url, scim_token_json},
};

/// A token to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewScimToken {
    /// What you call the provisioning system.
    name: String,
    /// When it ends, 1 to 3650 days; without it, when it is removed.
    expires_days: Option<u32>,
}

/// `listScimTokens`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let all = ask.tenancy.store().scim_clients(&tenant.id).await.map_err(Fault::from)?;
    let cut = ask.page()?.cut(all, |client| client.id.to_string());
    let items = cut.items.iter().map(|client| scim_token_json(&ask.tenancy, client)).collect();
    Ok(Reply::ok(cut.json(items)))
}

/// `createScimToken`
pub(crate) async fn create(ask: Ask, tenant: Tenant) -> Answer {
    let new: NewScimToken = ask.body()?;
    let (client, token) = scim_tokens::add(&ask.tenancy, &tenant.id, &new.name, new.expires_days).await?;
    Ok(Reply::created(shown_once(&ask, &client, &token)))
}

/// `rotateScimToken`
pub(crate) async fn rotate(ask: Ask, tenant: Tenant) -> Answer {
    let old = scim_tokens::find(&ask.tenancy, &tenant.id, ask.path("token")).await?;
    let (client, token) = scim_tokens::rotate(&ask.tenancy, &old).await?;
    Ok(Reply::created(shown_once(&ask, &client, &token)))
}

fn shown_once(ask: &Ask, client: &ScimClient, token: &Secret) -> Value {
    let mut value = scim_token_json(&ask.tenancy, client);
    value["base_url"] = json!(base_url(&ask.tenancy));
    value["token"] = json!(token.expose());
    value
}

/// `revokeScimToken`
pub(crate) async fn revoke(ask: Ask, tenant: Tenant) -> Answer {
    let client = scim_tokens::find(&ask.tenancy, &tenant.id, ask.path("token")).await?;
    scim_tokens::remove(&ask.tenancy, &client).await?;
    Ok(Reply::gone())
}
