//! Tokens of this API: seen and revoked. They are made by the command line alone, so that a token that was stolen
//! cannot make another that outlives it.

use sallyport_storage::{ApiToken, Tenant};
use serde_json::Value;

use super::{Answer, Ask, reply::Reply};
use crate::tenancy::api_tokens::{self, api_token_json};

/// `getSelf`
pub(crate) async fn own(ask: Ask) -> Answer {
    Ok(Reply::ok(api_token_json(&ask.tenancy, ask.caller.token())))
}

/// `listApiTokens`
pub(crate) async fn all(ask: Ask) -> Answer {
    let tokens = ask.tenancy.store().api_tokens(None).await.map_err(crate::Fault::from)?;
    Ok(Reply::ok(paged(&ask, tokens)?))
}

/// `listTenantApiTokens`
pub(crate) async fn list(ask: Ask, tenant: Tenant) -> Answer {
    let tokens = ask.tenancy.store().api_tokens(Some(&tenant.id)).await.map_err(crate::Fault::from)?;
    Ok(Reply::ok(paged(&ask, tokens)?))
}

fn paged(ask: &Ask, tokens: Vec<ApiToken>) -> Result<Value, super::Problem> {
    let cut = ask.page()?.cut(tokens, |token| token.id.to_string());
    let items = cut.items.iter().map(|token| api_token_json(&ask.tenancy, token)).collect();
    Ok(cut.json(items))
}

/// `revokeApiToken`
pub(crate) async fn revoke_any(ask: Ask) -> Answer {
    let token = api_tokens::find(&ask.tenancy, None, ask.path("token")).await?;
    api_tokens::revoke(&ask.tenancy, &token).await?;
    Ok(Reply::gone())
}

/// `revokeTenantApiToken`
pub(crate) async fn revoke(ask: Ask, tenant: Tenant) -> Answer {
    let token = api_tokens::find(&ask.tenancy, Some(&tenant.id), ask.path("token")).await?;
    api_tokens::revoke(&ask.tenancy, &token).await?;
    Ok(Reply::gone())
}
