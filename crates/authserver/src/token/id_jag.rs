//! An Identity Assertion JWT Authorization Grant (draft-ietf-oauth-identity-assertion-authz-grant; MCP's
//! Enterprise-Managed Authorization): the identity provider of a tenant says that this client may act for this person.
//!
//! Which provider may say so is the tenant's choice, who the person is its connection's. Nobody is asked for consent,
//! so nothing is given that the provider did not name, and never a refresh token.

use sallyport_identity::IdentityError;
use sallyport_model::{Actor, GrantId, ScopeSet};
use sallyport_oauth::{
    ErrorCode,
    id_jag::{self, ExpectIdJag, IdJag, IdJagFault},
    jws::Compact,
    oidc::{JwtFault, Moment},
};
use sallyport_storage::{BrowserSession, Grant, TenantSettings};
use serde_json::Value;

use super::{
    Request,
    issue::{Order, TokenResponse, issue},
};
use crate::{
    IdJagIssuer, ResourceInfo,
    agents::Chain,
    authorize::{delegation::DEPTH, request::of_resource},
    bearer,
    error::{Ended, Refusal},
    possession::{self, MARGIN},
    record::{Known, Standing},
    resources,
    server::Server,
};

/// What they are remembered as, on every node.
const PURPOSE: &str = "id-jag";
/// How far a provider's clock may be off.
const LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::grant("the assertion is wrong, spent, ended or not for this client here", reason)
}

/// Gives an access token for an ID-JAG, once.
pub(super) async fn redeem(
    mut request: Request<'_>,
    assertion: &str,
    unverified: &Compact<'_>,
    known: &mut Known,
) -> Result<TokenResponse, Ended> {
    let Request { server, caller, client, parameters, .. } = request;
    known.fact("assertion", "id_jag");
    let own = match &client.agent {
        Some(_) => server.agent_of(client, caller).await?,
        None => Chain::default(),
    };
    let iss = unverified.claims.get("iss").and_then(Value::as_str).ok_or(refuse("id_jag_issuer_missing"))?;
    known.claim("iss", Some(iss));
    let (issuer, id_jag) = verified(&request, &own, (assertion, unverified), iss).await?;
    known.tenant = Some(issuer.tenant.clone());
    known.fact("connection", issuer.connection.as_str());
    known.standing = Standing::Proved;
    let held = request.hold().await?;
    id_jag.held_by(&held.proved()).map_err(|fault| refused(&fault))?;
    let bound_to = held.binding();
    let settings = server.settings_of(&issuer.tenant).await?;
    possession::demand(&settings, &own, bound_to.as_ref())
        .map_err(|refusal| Refusal::grant(refusal.error.description, refusal.reason))?;
    actors(&own, &id_jag, &settings)?;
    let resource = resource(server, &own, &id_jag, parameters.get("resource"))?;
    let scopes = scopes(&own, &resource, &id_jag, parameters.get("scope"))?;
    spend(server, &id_jag).await?;
    let session = person(&request, &issuer, &id_jag).await?;
    let now = server.now();
    let lifetime = server.token_lifetime(&session.tenant, &own).await?;
    let grant = Grant {
        id: GrantId::mint(server.rng.as_ref()),
        tenant: session.tenant.clone(),
        subject: Actor::Human(session.user.clone()),
        actors: client.agent.iter().cloned().collect(),
        ancestors: Vec::new(),
        client: client.id.clone(),
        resource: resource.uri,
        scopes: scopes.clone(),
        session: session.id.clone(),
        authenticated_at: session.authenticated_at,
        created_at: known.since(server),
        expires_at: now.plus(lifetime).min(session.expires_at),
        revoked_at: None,
        bound_to: bound_to.clone(),
    };
    server.store.add_grant(&grant).await?;
    let order =
        Order { grant: &grant, scopes, lifetime, until: own.until(), bound_to, refresh_token: None, identify: None };
    issue(server, caller, order, known).await
}

/// Who acts is the client, and nobody else. Where the provider says that somebody acts for her, the client must be an
/// agent's: otherwise a machine would pass for her.
fn actors(own: &Chain, id_jag: &IdJag, settings: &TenantSettings) -> Result<(), Refusal> {
    if own.presenting().is_none() && !id_jag.actors.is_empty() {
        let machine = "the assertion says that an agent acts: have the client made an agent's";
        return Err(Refusal::grant(machine, "id_jag_actor_unknown"));
    }
    if own.presenting().is_some() && settings.agent_depth.unwrap_or(DEPTH) == 0 {
        return Err(Refusal::grant("agents act for nobody here", "delegation_depth"));
    }
    Ok(())
}

/// The ID-JAG, and whose it is: of the one tenant that takes it. Who cannot be asked ends the request, and who refuses
/// is remembered: another tenant of the same provider never stands in.
async fn verified(
    request: &Request<'_>,
    own: &Chain,
    (assertion, unverified): (&str, &Compact<'_>),
    iss: &str,
) -> Result<(IdJagIssuer, IdJag), Ended> {
    let server = request.server;
    // The same bytes are verified below.
    let claimed = |name: &str| unverified.claims.get(name).and_then(Value::as_str);
    let mut issuers = server.identity.id_jag_issuers(iss).await?;
    let mut why = refuse("id_jag_issuer_unknown");
    if let Some(tenant) = claimed("aud_tenant").filter(|_| !issuers.is_empty()) {
        issuers.retain(|issuer| issuer.tenant.as_str() == tenant);
        why = refuse("id_jag_tenant_unknown");
    }
    let (mut good, mut refusing) = (Vec::new(), Vec::new());
    for issuer in issuers {
        let elsewhere = match (claimed("tenant"), &issuer.organisation) {
            (Some(claimed), Some(own)) if !claimed.eq_ignore_ascii_case(own) => Some("id_jag_tenant_other"),
            _ => None,
        };
        if let Some(code) = issuer.refuses.or(elsewhere) {
            why = refuse(code);
            refusing.push((issuer, code));
            continue;
        }
        if own.presenting().is_some_and(|agent| agent.tenant != issuer.tenant) {
            continue;
        }
        match verified_by(request, &issuer, assertion).await {
            Ok(id_jag) => good.push((issuer, id_jag)),
            Err(Ended::Refused(refusal)) => {
                refusing.push((issuer, refusal.reason));
                why = refusal;
            }
            Err(failed @ Ended::Failed(_)) => return Err(failed),
        }
    }
    if good.is_empty() {
        return Err(why.into());
    }
    one_tenants(server, good, &refusing).await
}

async fn verified_by(request: &Request<'_>, issuer: &IdJagIssuer, assertion: &str) -> Result<IdJag, Ended> {
    let server = request.server;
    let expect = ExpectIdJag {
        issuer: &issuer.rule,
        audience: server.issuer(),
        client: &request.client.id,
        algorithms: issuer.algorithms,
        longest: id_jag::MAX_LIFETIME,
        moment: Moment { now: server.now(), leeway: LEEWAY },
    };
    let keys = server.identity.id_jag_keys(issuer, None).await?;
    let verified = match id_jag::verify(assertion, &keys, &expect) {
        Err(IdJagFault::Jwt(fault @ (JwtFault::UnknownKey { .. } | JwtFault::Signature))) => {
            let keys = server.identity.id_jag_keys(issuer, Some(&fault)).await?;
            id_jag::verify(assertion, &keys, &expect)
        }
        verified => verified,
    };
    verified.map_err(|fault| refused(&fault).into())
}

fn refused(fault: &IdJagFault) -> Refusal {
    tracing::info!(%fault, remedy = fault.remedy(), "an ID-JAG is refused");
    refuse(fault.code())
}

/// The one whose person she is, however many take assertions of her provider: never one whose address another tenant
/// has proved, and nobody at all if she is of a tenant that refuses; then the tenant that has proved her address's domain,
/// else the one where she is known. Nobody becomes hers by configuring her provider.
async fn one_tenants(
    server: &Server,
    good: Vec<(IdJagIssuer, IdJag)>,
    refusing: &[(IdJagIssuer, &'static str)],
) -> Result<(IdJagIssuer, IdJag), Ended> {
    for (issuer, code) in refusing {
        if good.iter().any(|(one, _)| one.tenant == issuer.tenant) {
            continue;
        }
        // One assertion, verified by any: the same words about the same person.
        let Some((_, id_jag)) = good.first() else { break };
        let standing = server.identity.id_jag_standing(issuer, id_jag).await?;
        if standing.linked || standing.owners.contains(&issuer.tenant) {
            return Err(refuse(code).into());
        }
    }
    let (mut proved, mut known, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (issuer, id_jag) in good {
        let standing = server.identity.id_jag_standing(&issuer, &id_jag).await?;
        match () {
            () if standing.is_of_another(&issuer.tenant) => {}
            () if standing.proved => proved.push((issuer, id_jag)),
            () if standing.linked => known.push((issuer, id_jag)),
            () => unknown.push((issuer, id_jag)),
        }
    }
    let mut left = [proved, known, unknown].into_iter().find(|some| !some.is_empty()).unwrap_or_default();
    match left.len() {
        0 => Err(refuse("id_jag_tenant_domain").into()),
        1 => Ok(left.swap_remove(0)),
        _ => Err(refuse("id_jag_tenant_ambiguous").into()),
    }
}

/// The one resource: of those that the provider names, the one that is asked for; never another.
fn resource(server: &Server, own: &Chain, id_jag: &IdJag, asked: Option<&str>) -> Result<ResourceInfo, Refusal> {
    let wrong = |reason| {
        let what = "the assertion and the request must name one and the same resource of this server";
        Refusal::new(ErrorCode::InvalidTarget, what, reason)
    };
    let of = |uri: &str| resources::named(server.resources.as_ref(), Some(uri));
    let named: Vec<ResourceInfo> = id_jag.resources.iter().filter_map(|uri| of(uri)).collect();
    let resource = match (asked, named.as_slice()) {
        (Some(asked), _) => {
            let asked = of(asked).ok_or(wrong("resource_unknown"))?;
            let covered = id_jag.resources.is_empty() || named.iter().any(|one| one.uri == asked.uri);
            if covered { Some(asked) } else { None }
        }
        (None, [one]) => Some(one.clone()),
        (None, []) if id_jag.resources.is_empty() => resources::named(server.resources.as_ref(), None),
        (None, _) => None,
    };
    let resource = resource.ok_or(wrong("resource_not_asserted"))?;
    if own.may_use(&resource.uri) { Ok(resource) } else { Err(wrong("resource_not_the_agents")) }
}

/// What is asked for, what the provider allows, what the resource knows, and what an agent may have: all of it at once.
/// Where the provider names no scope, the resource's initial ones are the most.
fn scopes(own: &Chain, resource: &ResourceInfo, id_jag: &IdJag, asked: Option<&str>) -> Result<ScopeSet, Refusal> {
    let none = |reason| Refusal::new(ErrorCode::InvalidScope, "none of these scopes can be given", reason);
    let most = match &id_jag.scopes {
        Some(allowed) => resource.known(allowed),
        None => resource.initial_scopes.clone(),
    };
    let wanted = match asked {
        Some(asked) => {
            let asked: ScopeSet = asked.parse().map_err(|_| none("scope_malformed"))?;
            resource.known(&of_resource(&asked)).intersection(&resource.closure(&most))
        }
        None => most,
    };
    let given = own.within(resource, &wanted);
    if given.is_empty() { Err(none("scope_not_asserted")) } else { Ok(given) }
}

/// Spends it, for every node.
async fn spend(server: &Server, id_jag: &IdJag) -> Result<(), Ended> {
    let id = bearer::sha256(id_jag.replay_id().as_bytes());
    let until = id_jag.remember_until.plus(MARGIN);
    match server.store.use_once(PURPOSE, &id, server.now(), until).await? {
        true => Ok(()),
        false => Err(refuse("id_jag_replayed").into()),
    }
}

/// The person, as her tenant's connection knows her, and a session that stands on her provider's.
async fn person(request: &Request<'_>, issuer: &IdJagIssuer, id_jag: &IdJag) -> Result<BrowserSession, Ended> {
    let server = request.server;
    let source = request.caller.source();
    let session: Result<_, IdentityError> = server.identity.id_jag_person(&source, issuer, id_jag).await;
    let session = session?.map_err(|refused| {
        tracing::info!(code = refused.code, what = %refused.what, "an ID-JAG brings nobody");
        Refusal::grant("the person may not be here: ask the tenant's administrator", refused.code)
    })?;
    if session.tenant != issuer.tenant {
        return Err(refuse("id_jag_tenant").into());
    }
    if let Some(refusal) = server.person_refused(&session.tenant, &session.user).await? {
        return Err(refusal.into());
    }
    Ok(session)
}
