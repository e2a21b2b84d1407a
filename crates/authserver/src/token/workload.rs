//! Workload identity federation (RFC 7523 section 2.1, MCP's SEP-1933): a platform's own token proves which agent
//! asks. No client authentication besides, and no client id needed: exactly one agent must fit.

use std::collections::BTreeSet;

use sallyport_model::{AgentId, ClientId};
use sallyport_oauth::{
    ErrorCode,
    jws::Compact,
    oidc::{JwtFault, Moment},
    workload::{self, ExpectWorkload, Workload, WorkloadFault, WorkloadTrust},
};
use sallyport_storage::{AgentCredential, ClientAuthMethod, CredentialKind, MOST_WORKLOADS};
use sallyport_web::Caller;
use serde_json::Value;

use super::{Request, TokenResponse};
use crate::{
    error::{Ended, Refusal},
    parameters::Parameters,
    possession::Shown,
    record::{Known, Standing},
    server::Server,
};

/// How far a platform's clock may be off.
const LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);
/// More trusts are not tried for one request.
const MOST: usize = 32;

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::grant("the assertion proves no agent here: check its issuer, audience, time and claims", reason)
}

/// A credential that a token fits.
struct Fitting {
    credential: AgentCredential,
    workload: Workload,
}

/// Gives an agent's access token for a platform's token.
pub(super) async fn redeem(
    server: &Server,
    caller: &Caller,
    parameters: &Parameters,
    assertion: &str,
    unverified: &Compact<'_>,
    shown: Shown,
    known: &mut Known,
) -> Result<TokenResponse, Ended> {
    known.fact("assertion", "workload");
    known.claim("iss", unverified.claims.get("iss").and_then(Value::as_str));
    known.claim("sub", unverified.claims.get("sub").and_then(Value::as_str));
    let named = parameters.get("client_id");
    let Fitting { credential, workload } = fitting(server, assertion, unverified, named).await?;
    known.proved_by(&credential);
    known.fact("workload", workload.subject.as_str());
    known.standing = Standing::Proved;
    let unknown = Refusal::new(ErrorCode::UnauthorizedClient, "the agent is not there", "agent_unknown");
    let agent = server.store.agent(&credential.agent).await?.ok_or(unknown)?;
    let client = server.client_lately(agent.client.as_str(), caller).await?;
    known.client = Some(client.id.clone());
    if client.auth != ClientAuthMethod::AgentCredential {
        return Err(
            Refusal::new(ErrorCode::UnauthorizedClient, "the agent has no credentials", "client_auth_method").into()
        );
    }
    super::client_credentials::issue(Request { server, caller, client: &client, parameters, shown }, known).await
}

/// The one credential that the token fits, of the one agent.
async fn fitting(
    server: &Server,
    assertion: &str,
    unverified: &Compact<'_>,
    named: Option<&str>,
) -> Result<Fitting, Ended> {
    let mut found: Vec<Fitting> = Vec::new();
    let mut why = refuse("workload_unknown");
    for (credential, trust) in trusts(server, unverified, named).await? {
        match verified(server, assertion, &trust).await {
            Ok(workload) => found.push(Fitting { credential, workload }),
            Err(refusal) => why = refusal,
        }
    }
    let agents: BTreeSet<&AgentId> = found.iter().map(|one| &one.credential.agent).collect();
    if agents.len() > 1 {
        let several = "the assertion fits more than one agent: send the client_id of the one that is meant";
        return Err(Refusal::grant(several, "workload_ambiguous").into());
    }
    // Of several credentials of the same agent, the newest.
    found.sort_by_key(|one| one.credential.created_at);
    found.pop().ok_or(why.into())
}

/// The credentials that may fit. What the token says unverified only ever leaves some of them out.
async fn trusts(
    server: &Server,
    unverified: &Compact<'_>,
    named: Option<&str>,
) -> Result<Vec<(AgentCredential, WorkloadTrust)>, Ended> {
    let claims = &unverified.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    // A JWT-SVID may have no `iss`; its subject names the trust domain.
    let domain = text("sub").and_then(|sub| {
        let (domain, _) = sub.strip_prefix("spiffe://")?.split_once('/')?;
        Some(format!("spiffe://{domain}"))
    });
    let issuers: BTreeSet<String> = [text("iss"), domain].into_iter().flatten().collect();
    let of_named = match named {
        Some(id) => Some(of_client(server, id).await?),
        None => None,
    };
    let mut all = Vec::new();
    for issuer in issuers {
        for credential in with_issuer(server, &issuer, of_named.as_deref()).await? {
            let CredentialKind::Workload { trust } = &credential.kind else { continue };
            let Ok(trust) = serde_json::from_value::<WorkloadTrust>(trust.clone()) else {
                tracing::warn!(credential = %credential.id, "a workload's trust cannot be read and trusts nobody");
                continue;
            };
            if trust.issuer != issuer || !trust.rules.iter().all(|rule| rule.holds(claims)) {
                continue;
            }
            all.push((credential, trust));
        }
    }
    if all.len() > MOST {
        return Err(refuse("workload_ambiguous").into());
    }
    Ok(all)
}

/// The living ones that name this issuer: of the named agent, or of all. Where the store has more than it gives at
/// once, nobody knows whether the right one is among them.
async fn with_issuer(
    server: &Server,
    issuer: &str,
    of_named: Option<&[AgentCredential]>,
) -> Result<Vec<AgentCredential>, Ended> {
    if let Some(own) = of_named {
        return Ok(own.iter().filter(|one| one.issuer.as_deref() == Some(issuer)).cloned().collect());
    }
    let found = server.store.workload_credentials(issuer, server.now()).await?;
    if found.len() >= MOST_WORKLOADS {
        let several = "very many agents trust this issuer: send the client_id of the one that is meant";
        return Err(Refusal::grant(several, "workload_too_many").into());
    }
    Ok(found)
}

/// The living credentials of the agent whose client this is; none where it is no agent's.
async fn of_client(server: &Server, id: &str) -> Result<Vec<AgentCredential>, Ended> {
    let id = ClientId::new(id).map_err(|_| refuse("client_id_malformed"))?;
    let Some(agent) = server.store.client(&id).await?.and_then(|client| client.agent) else { return Ok(Vec::new()) };
    if server.store.agent(&agent).await?.is_none_or(|agent| agent.client != id) {
        return Ok(Vec::new());
    }
    let now = server.now();
    let mut own = server.store.credentials(&agent).await?;
    own.retain(|one| one.lives(now));
    Ok(own)
}

async fn verified(server: &Server, assertion: &str, trust: &WorkloadTrust) -> Result<Workload, Refusal> {
    let now = server.now();
    let expect = ExpectWorkload {
        audience: server.issuer(),
        longest: workload::MAX_LIFETIME,
        moment: Moment { now, leeway: LEEWAY },
    };
    let silent = |fault: crate::platforms::PlatformFault| {
        tracing::warn!(issuer = %trust.issuer, %fault, "a platform's keys cannot be had");
        let later = "the platform's keys cannot be had at this moment: try again later";
        Refusal::new(ErrorCode::TemporarilyUnavailable, later, "platform_keys_unavailable")
    };
    let keys = server.platforms.of(trust, None, now).await.map_err(silent)?;
    let verified = match workload::verify(assertion, &keys, trust, &expect) {
        Err(WorkloadFault::Jwt(fault @ (JwtFault::UnknownKey { .. } | JwtFault::Signature))) => {
            let keys = server.platforms.of(trust, Some(&fault), now).await.map_err(silent)?;
            workload::verify(assertion, &keys, trust, &expect)
        }
        verified => verified,
    };
    verified.map_err(|fault| {
        tracing::info!(issuer = %trust.issuer, %fault, remedy = fault.remedy(), "a workload's assertion is refused");
        refuse(fault.code())
    })
}
