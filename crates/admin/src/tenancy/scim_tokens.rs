//! Tokens that a tenant's provisioning system writes with.

use std::time::Duration;

use sallyport_model::{ScimClientId, Secret, TenantId};
use sallyport_storage::ScimClient;
use serde_json::{Value, json};

use super::{Tenancy, random, sha256, text};
use crate::{Code, Fault};

/// What every such token begins with, so that one is recognised where it should not be.
const PREFIX: &str = "sps_";
/// Characters of a token's name.
const MOST_NAME: usize = 100;
/// Days.
pub const MOST_DAYS: u32 = 3650;
const DAY: u64 = 24 * 60 * 60;

/// Makes a token; it is shown this once. Two may live side by side while one replaces the other.
///
/// # Errors
/// When the name is none, or the record or the store fails.
pub async fn add(
    tenancy: &Tenancy,
    id: &TenantId,
    name: &str,
    days: Option<u32>,
) -> Result<(ScimClient, Secret), Fault> {
    let name = text("name", name, MOST_NAME)?;
    let days = bounded("expires_days", days)?;
    let expires_at = days.map(|days| tenancy.now().plus(Duration::from_secs(u64::from(days) * DAY)));
    let (client, token) = made(tenancy, id, name, expires_at);
    let facts = json!({
        "scim_client": client.id, "name": client.name, "expires_at": client.expires_at.map(|at| at.to_string()),
    });
    tenancy.note("tenant.scim_token.add", Some(id), facts).await?;
    tenancy.store().add_scim_client(&client).await?;
    Ok((client, token))
}

/// A number of days that can be meant.
pub(super) fn bounded(field: &'static str, days: Option<u32>) -> Result<Option<u32>, Fault> {
    match days {
        Some(days) if !(1..=MOST_DAYS).contains(&days) => {
            let what = format!("{days} days cannot be meant");
            Err(Fault::refused(Code::OutOfBounds, field, what, format!("choose 1 to {MOST_DAYS}")))
        }
        days => Ok(days),
    }
}

fn made(
    tenancy: &Tenancy,
    id: &TenantId,
    name: String,
    expires_at: Option<sallyport_model::Timestamp>,
) -> (ScimClient, Secret) {
    let token = Secret::new(format!("{PREFIX}{}", random(tenancy.rng())));
    let client = ScimClient {
        id: ScimClientId::mint(tenancy.rng()),
        tenant: id.clone(),
        name,
        token: sha256(token.expose()),
        created_at: tenancy.now(),
        expires_at,
    };
    (client, token)
}

/// A tenant's token by its id.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn find(tenancy: &Tenancy, id: &TenantId, token: &str) -> Result<ScimClient, Fault> {
    let known = tenancy.store().scim_clients(id).await?;
    known
        .into_iter()
        .find(|client| client.id.as_str() == token)
        .ok_or_else(|| Fault::not_found("token", format!("{id} has no token `{token}`"), "list its tokens"))
}

/// Makes the successor of a token; it has the same name and the same length of life. The old one ends at once: enter
/// the new one where it is used first, or make a second one with [`add`].
///
/// # Errors
/// When the record or the store fails; then the old one still lives. [`Code::Stale`] when it was removed or replaced
/// meanwhile: then no new one was made.
pub async fn rotate(tenancy: &Tenancy, old: &ScimClient) -> Result<(ScimClient, Secret), Fault> {
    let life = old.expires_at.map(|at| at.since(old.created_at));
    let expires_at = life.map(|life| tenancy.now().plus(life));
    let (client, token) = made(tenancy, &old.tenant, old.name.clone(), expires_at);
    let facts = json!({ "scim_client": client.id, "in_place_of": old.id, "name": client.name });
    tenancy.note("tenant.scim_token.rotate", Some(&old.tenant), facts).await?;
    if !tenancy.store().replace_scim_client(old, &client).await? {
        return Err(Fault::stale());
    }
    Ok((client, token))
}

/// Removes a token; the next request with it is refused.
///
/// # Errors
/// When the record or the store fails.
pub async fn remove(tenancy: &Tenancy, client: &ScimClient) -> Result<bool, Fault> {
    let facts = json!({ "scim_client": client.id, "name": client.name });
    tenancy.note("tenant.scim_token.remove", Some(&client.tenant), facts).await?;
    Ok(tenancy.store().remove_scim_client(&client.tenant, &client.id).await?)
}

/// A token for programs, without its value.
pub fn scim_token_json(tenancy: &Tenancy, client: &ScimClient) -> Value {
    json!({
        "id": client.id,
        "name": client.name,
        "created_at": client.created_at.to_string(),
        "expires_at": client.expires_at.map(|at| at.to_string()),
        "ended": client.expires_at.is_some_and(|at| at <= tenancy.now()),
    })
}

/// Where a provisioning system writes to.
pub fn base_url(tenancy: &Tenancy) -> String {
    format!("{}/scim/v2", tenancy.origin())
}
