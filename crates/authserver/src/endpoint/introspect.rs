//! `POST /oauth/introspect` (RFC 7662), for resource servers of the configuration.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use sallyport_model::{EventKind, KeyBinding, Mark, Principal, PrincipalKind};
use sallyport_oauth::{ErrorCode, Expect, actor, verify_access_token};
use sallyport_storage::RevocationSubject;
use sallyport_web::Caller;
use serde::Serialize;

use crate::{
    AuthServerError, IntrospectionCaller, bearer, client_auth,
    error::{Ended, Refusal, no_store},
    parameters::Parameters,
    record::Known,
    server::Server,
    token::{form, token_type},
};

/// Revocations read at a time.
const PAGE: usize = 1000;

#[derive(Serialize)]
struct Introspection {
    active: bool,
    #[serde(flatten)]
    token: Option<Token>,
}

#[derive(Serialize)]
struct Token {
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    scope: String,
    exp: u64,
    iat: u64,
    jti: String,
    token_type: &'static str,
    tenant: String,
    principal_type: PrincipalKind,
    /// Human, agent, or agent for a human.
    mark: Mark,
    /// Who acts for `sub` (RFC 8693 section 4.1), the one that presents the token outermost.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<serde_json::Value>,
    /// The key that must be proved with it (RFC 7800; RFC 9449 section 6.2, RFC 8705 section 3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<KeyBinding>,
}

/// Says whether an access token for one of the caller's own resources is good, and about every other
/// string only that it is not.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let mut known = Known::default();
    match introspect(&server, &caller, &body, &mut known).await {
        Ok(answer) => no_store(Json(answer).into_response()),
        Err(ended) => server.end(EventKind::TokenRefused, &caller, &known, ended).await,
    }
}

async fn introspect(server: &Server, caller: &Caller, body: &[u8], known: &mut Known) -> Result<Introspection, Ended> {
    let parameters = form(&caller.headers, body)?;
    let asking = authenticate(server, caller, &parameters, known)?;
    let token = parameters.require("token", "token is missing")?;
    for audience in &asking.resources {
        let expect = Expect { issuer: server.issuer(), audience, now: server.now(), leeway: Duration::ZERO };
        let Ok(principal) = verify_access_token(token, server.keys.as_ref(), &expect) else { continue };
        if is_revoked(server, &principal).await? {
            break;
        }
        return Ok(Introspection { active: true, token: Some(describe(server, audience, &principal)) });
    }
    Ok(Introspection { active: false, token: None })
}

fn authenticate<'a>(
    server: &'a Server,
    caller: &Caller,
    parameters: &Parameters,
    known: &mut Known,
) -> Result<&'a IntrospectionCaller, Refusal> {
    let refused = Refusal::new(ErrorCode::InvalidClient, "client authentication failed", "introspection_caller");
    let (id, secret) = match client_auth::basic(&caller.headers)? {
        Some(both) => both,
        None => match (parameters.get("client_id"), parameters.get("client_secret")) {
            (Some(id), Some(secret)) => (id.to_owned(), zeroize::Zeroizing::new(secret.to_owned())),
            _ => return Err(refused),
        },
    };
    known.claim("client_id", Some(&id));
    let mut all = server.config.introspection_callers.iter();
    all.find(|one| one.id == id && bearer::is_behind(&secret, &one.secret_sha256)).ok_or(refused)
}

pub(crate) async fn is_revoked(server: &Server, principal: &Principal) -> Result<bool, AuthServerError> {
    // A revocation of a person, agent, client, session, tenant or ancestor also marks the grants that it covers.
    match server.store.grant(&principal.grant).await? {
        Some(grant) if grant.revoked_at.is_none() => {}
        _ => return Ok(true),
    }
    let this = RevocationSubject::Token(principal.token.clone());
    let mut epoch = 0;
    loop {
        let page = server.store.revocations_after(epoch, PAGE).await?;
        if page.iter().any(|revocation| revocation.subject == this) {
            return Ok(true);
        }
        match page.last() {
            Some(last) => epoch = last.epoch,
            None => return Ok(false),
        }
    }
}

fn describe(server: &Server, audience: &str, principal: &Principal) -> Token {
    Token {
        iss: server.issuer().to_owned(),
        sub: principal.subject.id().to_owned(),
        aud: audience.to_owned(),
        client_id: principal.client.to_string(),
        scope: principal.scopes.to_string(),
        exp: principal.expires_at.as_secs(),
        iat: principal.issued_at.as_secs(),
        jti: principal.token.to_string(),
        token_type: token_type(principal.bound_to.as_ref()),
        tenant: principal.tenant.to_string(),
        principal_type: principal.subject.kind(),
        mark: principal.mark(),
        act: actor::write(&principal.actors),
        cnf: principal.bound_to.clone(),
    }
}
