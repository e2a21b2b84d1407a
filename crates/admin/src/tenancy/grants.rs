//! What people and agents of a tenant have given to clients, and ending that.

use sallyport_model::{Actor, AgentId, GrantId, TenantId, UserId};
use sallyport_storage::{Grant, RevocationSubject};
use serde_json::{Value, json};

use super::Tenancy;
use crate::Fault;

/// Living grants of a tenant, of one person or agent where one is named.
///
/// # Errors
/// [`Fault::Store`].
pub async fn living(tenancy: &Tenancy, tenant: &TenantId, subject: Option<&Actor>) -> Result<Vec<Grant>, Fault> {
    if let Some(subject) = subject {
        return tenancy.grants_of(tenant, subject).await;
    }
    let people = tenancy.store().people(tenant).await?;
    let agents = tenancy.store().agents(tenant).await?;
    let human = |id: UserId| Actor::Human(id);
    let machine = |id: AgentId| Actor::Agent(id);
    let mut all = Vec::new();
    let subjects = people.into_iter().map(|person| human(person.id));
    for subject in subjects.chain(agents.into_iter().map(|agent| machine(agent.id))) {
        all.extend(tenancy.grants_of(tenant, &subject).await?);
    }
    Ok(all)
}

/// A tenant's grant by its id, alive or not.
///
/// # Errors
/// [`Code::NotFound`](crate::Code).
pub async fn find(tenancy: &Tenancy, tenant: &TenantId, given: &str) -> Result<Grant, Fault> {
    let known = match GrantId::new(given) {
        Ok(id) => tenancy.store().grant(&id).await?,
        Err(_) => None,
    };
    // Another tenant's is not there: whoever asks learns nothing of it.
    known.filter(|grant| grant.tenant == *tenant).ok_or_else(|| {
        Fault::not_found("grant", format!("{tenant} has no grant `{given}`"), "list those that are alive")
    })
}

/// Ends a grant with all its tokens; the entry of the revocation log, or none where it had ended before.
///
/// # Errors
/// When the record or the store fails.
pub async fn end(tenancy: &Tenancy, grant: &Grant) -> Result<Option<u64>, Fault> {
    let facts = json!({ "grant": grant.id, "subject": grant.subject, "client": grant.client });
    tenancy.note("tenant.end_grant", Some(&grant.tenant), facts).await?;
    Ok(tenancy.store().revoke_once(&RevocationSubject::Grant(grant.id.clone()), tenancy.now()).await?)
}

/// A grant for programs.
pub fn grant_json(tenancy: &Tenancy, grant: &Grant) -> Value {
    json!({
        "id": grant.id,
        "subject": grant.subject,
        "actors": grant.actors,
        "client": grant.client,
        "resource": grant.resource,
        "scopes": grant.scopes.to_string(),
        "session": grant.session,
        "created_at": grant.created_at.to_string(),
        "expires_at": grant.expires_at.to_string(),
        "alive": grant.revoked_at.is_none() && grant.expires_at > tenancy.now(),
    })
}
