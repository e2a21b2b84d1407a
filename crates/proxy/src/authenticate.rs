//! Second stage: who asks. The only maker of [`Authenticated`].
//!
//! A token is taken from the `Authorization` header and nowhere else, verified for exactly this
//! resource, held against the key that it is bound to ([`crate::possession`]), and checked against the
//! revocation log, all on every request. There is no default identity.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use sallyport_model::{Binding, Principal};
use sallyport_oauth::{Expect, verify_access_token};

use crate::{
    gate::Gate,
    possession,
    presented::{Presented, presented},
    receive::Arrived,
    record::Subject,
    refusal::Refusal,
};

const LEEWAY: Duration = Duration::from_secs(5);
const CACHED: u64 = 100_000;

/// A request whose sender is known.
pub(crate) struct Authenticated {
    pub(crate) arrived: Arrived,
    principal: Arc<Principal>,
}

impl Authenticated {
    /// The verified principal.
    pub(crate) fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// What state of this principal is bound to.
    pub(crate) fn binding(&self) -> Binding {
        self.principal.binding()
    }

    /// For the record.
    pub(crate) fn subject(&self, request_bytes: usize) -> Subject {
        Subject {
            principal: Arc::clone(&self.principal),
            source: self.arrived.source.clone(),
            upstream: self.arrived.served.name().clone(),
            arrived: self.arrived.at,
            request_bytes: request_bytes as u64,
        }
    }
}

/// Verified tokens by the digest of token and resource. An entry says that a signature was good; its
/// time, its holder's key and its revocation are checked at each use.
#[derive(Debug)]
pub(crate) struct VerifiedTokens(Cache<[u8; 32], Arc<Principal>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(CACHED).time_to_live(Duration::from_secs(900)).build())
    }
}

/// Finds out who sent `arrived`.
pub(crate) async fn authenticate(gate: &Gate, arrived: Arrived) -> Result<Authenticated, (Refusal, Arrived)> {
    match verify(gate, &arrived).await {
        Ok(principal) => Ok(Authenticated { arrived, principal }),
        Err(refusal) => Err((refusal, arrived)),
    }
}

async fn verify(gate: &Gate, arrived: &Arrived) -> Result<Arc<Principal>, Refusal> {
    let presented = presented(&arrived.headers, arrived.query.as_deref())?;
    let principal = token(gate, arrived, &presented)?;
    possession::prove(gate, arrived, &presented, &principal).await?;
    gate.revocations().check(&principal).map_err(Refusal::Dead)?;
    Ok(principal)
}

/// What the token says, which proves nothing yet of whoever sent it.
fn token(gate: &Gate, arrived: &Arrived, presented: &Presented<'_>) -> Result<Arc<Principal>, Refusal> {
    let resource = arrived.served.resource();
    let key = digest(presented.token, resource);
    let now = gate.clock().now();
    let tokens = gate.verified_tokens();
    if let Some(principal) = tokens.0.get(&key).filter(|principal| now < principal.expires_at) {
        return Ok(principal);
    }
    let expect = Expect { issuer: &gate.config().issuer, audience: resource, now, leeway: LEEWAY };
    let verified = verify_access_token(presented.token, gate.keys(), &expect).map_err(Refusal::BadToken)?;
    let principal = Arc::new(verified);
    tokens.0.insert(key, Arc::clone(&principal));
    Ok(principal)
}

fn digest(token: &str, resource: &str) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(&(token.len() as u64).to_be_bytes());
    context.update(token.as_bytes());
    context.update(resource.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}
