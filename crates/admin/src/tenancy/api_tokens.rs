//! Tokens of the admin API: made, listed, revoked.

use std::time::Duration;

use sallyport_model::{ApiTokenId, Secret, TenantId};
use sallyport_storage::{ApiRole, ApiToken};
use serde_json::{Value, json};

use super::{Tenancy, random, scim_tokens::bounded, sha256, text};
use crate::Fault;

/// What every such token begins with, so that one is recognised where it should not be.
pub const PREFIX: &str = "spadm_";
/// Characters of a token's name.
const MOST_NAME: usize = 100;
const DAY: u64 = 24 * 60 * 60;

/// Makes a token; it is shown this once.
///
/// # Errors
/// When the name is none or the tenant is not there, or the record or the store fails.
pub async fn create(
    tenancy: &Tenancy,
    role: ApiRole,
    name: &str,
    days: Option<u32>,
) -> Result<(ApiToken, Secret), Fault> {
    let name = text("name", name, MOST_NAME)?;
    let days = bounded("expires_days", days)?;
    if let Some(tenant) = role.tenant() {
        tenancy.tenant(tenant).await?;
    }
    let token = Secret::new(format!("{PREFIX}{}", random(tenancy.rng())));
    let kept = ApiToken {
        id: ApiTokenId::mint(tenancy.rng()),
        role,
        name,
        token: sha256(token.expose()),
        created_at: tenancy.now(),
        expires_at: days.map(|days| tenancy.now().plus(Duration::from_secs(u64::from(days) * DAY))),
    };
    let facts = json!({
        "token": kept.id, "name": kept.name, "role": kept.role.word(),
        "expires_at": kept.expires_at.map(|at| at.to_string()),
    });
    tenancy.note("api_token.create", kept.role.tenant(), facts).await?;
    tenancy.store().add_api_token(&kept).await?;
    Ok((kept, token))
}

/// A token by its id; of this tenant, where one is named.
///
/// # Errors
/// [`Code::NotFound`](crate::Code).
pub async fn find(tenancy: &Tenancy, tenant: Option<&TenantId>, id: &str) -> Result<ApiToken, Fault> {
    let known = tenancy.store().api_tokens(tenant).await?;
    let found = known.into_iter().find(|token| token.id.as_str() == id);
    found.ok_or_else(|| Fault::not_found("token", format!("there is no API token `{id}`"), "list them"))
}

/// Revokes a token; the next request with it is refused.
///
/// # Errors
/// When the record or the store fails.
pub async fn revoke(tenancy: &Tenancy, token: &ApiToken) -> Result<bool, Fault> {
    let facts = json!({ "token": token.id, "name": token.name, "role": token.role.word() });
    tenancy.note("api_token.revoke", token.role.tenant(), facts).await?;
    Ok(tenancy.store().remove_api_token(&token.id).await?)
}

/// A token for programs, without its value.
pub fn api_token_json(tenancy: &Tenancy, token: &ApiToken) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "role": token.role.word(),
        "tenant": token.role.tenant(),
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.map(|at| at.to_string()),
        "ended": token.expires_at.is_some_and(|at| at <= tenancy.now()),
    })
}
