//! Client authentication at the token, pushed-request and revocation endpoints (RFC 6749 section 2.3,
//! RFC 7523, RFC 8705): exactly the way in which the client is registered, and one way at a time. An agent's client
//! proves itself by any living credential of its agent.

mod agent;
mod certificate;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use sallyport_oauth::{
    ErrorCode,
    client_assertion::{self, ASSERTION_TYPE, Assertion, AssertionFault, ExpectAssertion},
    metadata,
};
use sallyport_storage::{ClientAuthMethod, ClientRecord, Digest, Parked, ParkedKind, StoreError};
use sallyport_web::Caller;
use zeroize::Zeroizing;

use crate::{
    bearer,
    error::{Ended, Refusal},
    parameters::Parameters,
    record::{Known, Standing},
    server::Server,
};

/// How far a client's clock may be off.
const LEEWAY: Duration = Duration::from_secs(30);

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidClient, "client authentication failed", reason)
}

/// What a request brought to prove who its client is.
enum Proof {
    Nothing,
    Secret(Zeroizing<String>),
    Assertion(String),
}

/// A client that has proved to be the client, or has nothing to prove.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) client: ClientRecord,
    /// `x5t#S256` of the certificate by which it did.
    pub(crate) certificate: Option<String>,
}

impl From<ClientRecord> for Authenticated {
    fn from(client: ClientRecord) -> Self {
        Self { client, certificate: None }
    }
}

/// The client, after it has proved to be the client. Notes what it claims to be in `known`.
pub(crate) async fn authenticate(
    server: &Server,
    caller: &Caller,
    parameters: &Parameters,
    known: &mut Known,
) -> Result<Authenticated, Ended> {
    let (id, proof) = presented(&caller.headers, parameters)?;
    known.claim("client_id", Some(&id));
    let client = server.client_lately(&id, caller).await?;
    known.client = Some(client.id.clone());
    match (&client.auth, proof) {
        (ClientAuthMethod::AgentCredential, proof) => {
            let certificate = agent::authenticate(server, caller, &client, proof, known).await?;
            Ok(Authenticated { client, certificate })
        }
        (ClientAuthMethod::None, Proof::Nothing) => Ok(client.into()),
        (ClientAuthMethod::None, _) => Err(refuse("client_is_public").into()),
        (ClientAuthMethod::Secret { sha256 }, Proof::Secret(secret)) => {
            if !bearer::is_behind(&secret, sha256) {
                return Err(refuse("client_secret_wrong").into());
            }
            known.standing = Standing::Proved;
            Ok(client.into())
        }
        (ClientAuthMethod::PrivateKeyJwt { jwks }, Proof::Assertion(assertion)) => {
            let assertion =
                verified(server, &client, jwks, &assertion).map_err(|fault| not_verified(&client, &fault))?;
            spend(server, &client, &assertion).await?;
            known.standing = Standing::Proved;
            Ok(client.into())
        }
        (_, Proof::Nothing) => Err(refuse("client_unauthenticated").into()),
        _ => Err(refuse("client_auth_method").into()),
    }
}

/// Checks an assertion against one set of keys.
fn verified(
    server: &Server,
    client: &ClientRecord,
    jwks: &serde_json::Value,
    assertion: &str,
) -> Result<Assertion, AssertionFault> {
    let token_endpoint = server.url(metadata::TOKEN);
    let audiences = [server.issuer(), token_endpoint.as_str()];
    let expect = ExpectAssertion { client: &client.id, audiences: &audiences, now: server.now(), leeway: LEEWAY };
    client_assertion::verify(assertion, jwks, &expect)
}

fn not_verified(client: &ClientRecord, fault: &AssertionFault) -> Refusal {
    tracing::info!(client = %client.id, %fault, "a client assertion is refused");
    refuse("client_assertion_wrong")
}

/// Spends a good assertion, for every node.
async fn spend(server: &Server, client: &ClientRecord, assertion: &Assertion) -> Result<(), Ended> {
    // The id of an assertion is kept, durably and for all nodes, until the assertion has ended. No
    // handle that anybody can present hashes to this: handles have 43 characters and no line break.
    let replay = Parked {
        handle: replay_key(client, &assertion.jti),
        kind: ParkedKind::Pushed,
        body: "\"assertion\"".to_owned(),
        expires_at: assertion.expires_at,
    };
    match server.store.park(&replay).await {
        Ok(()) => Ok(()),
        Err(StoreError::Exists(_)) => Err(refuse("client_assertion_replayed").into()),
        Err(error) => Err(error.into()),
    }
}

fn replay_key(client: &ClientRecord, jti: &str) -> Digest {
    bearer::sha256(format!("client assertion\n{}\n{jti}", client.id).as_bytes())
}

fn presented(headers: &HeaderMap, parameters: &Parameters) -> Result<(String, Proof), Refusal> {
    let basic = basic(headers)?;
    let body_id = parameters.get("client_id");
    let secret = parameters.get("client_secret");
    let assertion = parameters.get("client_assertion");
    let ways = usize::from(basic.is_some()) + usize::from(secret.is_some()) + usize::from(assertion.is_some());
    if ways > 1 {
        return Err(refuse("client_auth_several"));
    }
    if let Some((id, secret)) = basic {
        if body_id.is_some_and(|body| body != id) {
            return Err(refuse("client_id_differs"));
        }
        let proof = if secret.is_empty() { Proof::Nothing } else { Proof::Secret(secret) };
        return Ok((id, proof));
    }
    if let Some(assertion) = assertion {
        if parameters.get("client_assertion_type") != Some(ASSERTION_TYPE) {
            return Err(refuse("client_assertion_type"));
        }
        let id = match body_id {
            Some(id) => id.to_owned(),
            None => subject(assertion).ok_or(refuse("client_assertion_wrong"))?,
        };
        return Ok((id, Proof::Assertion(assertion.to_owned())));
    }
    let id = body_id.ok_or(refuse("client_id_missing"))?.to_owned();
    Ok((id, secret.map_or(Proof::Nothing, |secret| Proof::Secret(Zeroizing::new(secret.to_owned())))))
}

/// Whom an assertion names, unverified; only to find the keys that must then verify it.
fn subject(assertion: &str) -> Option<String> {
    let compact = sallyport_oauth::jws::Compact::parse(assertion).ok()?;
    compact.claims.get("sub")?.as_str().map(str::to_owned)
}

/// RFC 6749 section 2.3.1: both halves are form-encoded within the Basic scheme.
pub(crate) fn basic(headers: &HeaderMap) -> Result<Option<(String, Zeroizing<String>)>, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let malformed = refuse("authorization_malformed");
    let value = value.to_str().map_err(|_| malformed)?;
    let (scheme, encoded) = value.split_once(' ').ok_or(malformed)?;
    if all.next().is_some() || !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed);
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| malformed)?);
    let text = std::str::from_utf8(&decoded).map_err(|_| malformed)?;
    let (id, secret) = text.split_once(':').ok_or(malformed)?;
    let form =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().map(String::from).map_err(|_| malformed);
    Ok(Some((form(id)?, Zeroizing::new(form(secret)?))))
}
