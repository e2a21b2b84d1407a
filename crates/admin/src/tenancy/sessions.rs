//! Who is signed in, and ending that.

use sallyport_model::{Actor, SessionId, TenantId, UserId};
use sallyport_storage::{BrowserSession, Connection, Person, RevocationSubject};
use serde_json::{Value, json};

use super::{MOST_SESSIONS, Tenancy};
use crate::Fault;

/// All living sessions of a tenant, or of one person of it, however many there are.
///
/// # Errors
/// [`Fault::Store`].
pub async fn living(tenancy: &Tenancy, tenant: &TenantId, user: Option<&UserId>) -> Result<Vec<BrowserSession>, Fault> {
    let mut sessions = tenancy.store().browser_sessions(tenant, user, tenancy.now()).await?;
    if user.is_none() && sessions.len() >= MOST_SESSIONS {
        // The store lists no more at once: person by person, then.
        sessions.clear();
        for person in tenancy.store().people(tenant).await? {
            sessions.extend(tenancy.store().browser_sessions(tenant, Some(&person.id), tenancy.now()).await?);
        }
    }
    Ok(sessions)
}

/// A session that is known, of this tenant; of any, where none is named.
///
/// # Errors
/// [`Code::NotFound`](crate::Code).
pub async fn find(tenancy: &Tenancy, tenant: Option<&TenantId>, given: &str) -> Result<BrowserSession, Fault> {
    let known = match SessionId::new(given) {
        Ok(id) => tenancy.store().browser_session_by_id(&id).await?,
        Err(_) => None,
    };
    // Another tenant's is not there: whoever asks learns nothing of it.
    known.filter(|session| tenant.is_none_or(|tenant| session.tenant == *tenant)).ok_or_else(|| {
        let whose = tenant.map(|tenant| format!("{tenant} has")).unwrap_or_else(|| "there is".to_owned());
        Fault::not_found("session", format!("{whose} no session `{given}`"), "list those that are alive")
    })
}

/// A session that was ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// The entry of the revocation log.
    pub epoch: u64,
    /// How many grants stood on it.
    pub grants: usize,
}

/// Ends a session with every token that stands on it.
///
/// # Errors
/// When the record or the store fails.
pub async fn end(tenancy: &Tenancy, session: &BrowserSession) -> Result<Ended, Fault> {
    let facts = json!({ "session": session.id, "user": session.user });
    tenancy.note("tenant.end_session", Some(&session.tenant), facts).await?;
    let grants = grants_of(tenancy, session).await?;
    let epoch = tenancy.store().revoke(&RevocationSubject::Session(session.id.clone()), tenancy.now()).await?;
    Ok(Ended { epoch, grants })
}

/// How many living grants stand on a session.
///
/// # Errors
/// [`Fault::Store`].
pub async fn grants_of(tenancy: &Tenancy, session: &BrowserSession) -> Result<usize, Fault> {
    let grants = tenancy.grants_of(&session.tenant, &Actor::Human(session.user.clone())).await?;
    Ok(grants.iter().filter(|grant| grant.session == session.id).count())
}

/// A session for programs. `person` and `connections` are of its tenant.
pub fn session_json(session: &BrowserSession, person: Option<&Person>, connections: &[Connection]) -> Value {
    let by = session.provider.as_ref().and_then(|provider| {
        connections.iter().find(|known| known.id == provider.connection).map(|known| known.name.clone())
    });
    json!({
        "id": session.id,
        "user": session.user,
        "login": person.map(|person| &person.login),
        "email": person.and_then(|person| person.email.as_ref()),
        "methods": session.methods,
        "authenticated_at": session.authenticated_at.to_string(),
        "expires_at": session.expires_at.to_string(),
        "connection": by,
    })
}
