//! An agent proves itself by any of its living credentials: while one takes the place of another, both are good.
//! What it proved by, dead or alive, is on the record.

use sallyport_model::Timestamp;
use sallyport_oauth::{
    client_assertion::{Assertion, AssertionFault},
    thumbprint,
};
use sallyport_storage::{AgentCredential, ClientRecord, CredentialKind};
use sallyport_web::Caller;

use super::{Proof, certificate, not_verified, refuse, spend, verified};
use crate::{
    bearer,
    error::{Ended, Refusal},
    record::{Known, Standing},
    server::Server,
};

/// Checks what a client of an agent has brought; the thumbprint of its certificate, if it proved itself by one.
pub(super) async fn authenticate(
    server: &Server,
    caller: &Caller,
    client: &ClientRecord,
    proof: Proof,
    known: &mut Known,
) -> Result<Option<String>, Ended> {
    let id = client.agent.as_ref().ok_or(refuse("agent_unknown"))?;
    let credentials = server.store.credentials(id).await?;
    let now = server.now();
    match proof {
        Proof::Secret(secret) => {
            let fits = |one: &AgentCredential| match &one.kind {
                CredentialKind::Secret { sha256 } => bearer::is_behind(&secret, sha256),
                _ => false,
            };
            let one = living(&credentials, fits, now, refuse("client_secret_wrong"), known)?;
            if !server.settings_of(&one.tenant).await?.agent_secrets {
                return Err(refuse("agent_secret_not_allowed").into());
            }
        }
        Proof::Assertion(assertion) => {
            let (assertion, fitting) = assertion_of(server, client, &credentials, &assertion)?;
            living(&credentials, |one| fitting.contains(&&one.id), now, refuse("client_assertion_wrong"), known)?;
            spend(server, client, &assertion).await?;
        }
        Proof::Nothing => {
            let peer = caller.certificate.as_ref().ok_or(refuse("client_unauthenticated"))?;
            let fits = |one: &AgentCredential| match &one.kind {
                CredentialKind::Certificate { x5t_s256 } => thumbprint::same(x5t_s256, &peer.x5t_s256),
                CredentialKind::CertificateName { of, name } => {
                    peer.trusted && certificate::is_named(&peer.der, of, name)
                }
                _ => false,
            };
            living(&credentials, fits, now, refuse("client_certificate_unknown"), known)?;
            known.standing = Standing::Proved;
            return Ok(Some(peer.x5t_s256.to_string()));
        }
    }
    known.standing = Standing::Proved;
    Ok(None)
}

/// The assertion, if one set of keys verifies it, and the credentials whose keys do.
fn assertion_of<'c>(
    server: &Server,
    client: &ClientRecord,
    credentials: &'c [AgentCredential],
    assertion: &str,
) -> Result<(Assertion, Vec<&'c sallyport_model::CredentialId>), Refusal> {
    let mut found: Option<Assertion> = None;
    let mut fitting = Vec::new();
    for one in credentials {
        let CredentialKind::Keys { jwks } = &one.kind else { continue };
        match verified(server, client, jwks, assertion) {
            Ok(good) => {
                fitting.push(&one.id);
                found = Some(good);
            }
            Err(AssertionFault::Signature) => {}
            // Signed by a key of the agent, or not looked at: no other credential makes it better.
            Err(fault) => return Err(not_verified(client, &fault)),
        }
    }
    let found = found.ok_or_else(|| not_verified(client, &AssertionFault::Signature))?;
    Ok((found, fitting))
}

/// The credential that fits and lives; `unknown` where none fits. One that fits and is dead is named on the record.
fn living<'c>(
    credentials: &'c [AgentCredential],
    fits: impl Fn(&AgentCredential) -> bool,
    now: Timestamp,
    unknown: Refusal,
    known: &mut Known,
) -> Result<&'c AgentCredential, Refusal> {
    let fitting: Vec<&AgentCredential> = credentials.iter().filter(|one| fits(one)).collect();
    let one = fitting.iter().find(|one| one.lives(now)).or(fitting.first()).ok_or(unknown)?;
    known.proved_by(one);
    if one.revoked_at.is_some() {
        return Err(refuse("credential_revoked"));
    }
    if !one.lives(now) {
        return Err(refuse("credential_expired"));
    }
    Ok(one)
}
