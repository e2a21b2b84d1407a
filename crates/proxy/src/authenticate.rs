//! Second stage: who asks. The only maker of [`Authenticated`].
//!
//! A token is taken from the `Authorization` header and nowhere else, verified for exactly this
//! resource, and checked against the revocation log on every request. There is no default identity.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header};
use moka::sync::Cache;
use sallyport_model::{Binding, Principal};
use sallyport_oauth::{Expect, verify_access_token};

use crate::{gate::Gate, receive::Arrived, record::Subject, refusal::Refusal};

const LEEWAY: Duration = Duration::from_secs(5);
const CACHED: u64 = 100_000;

/// A request whose sender is known.
pub(crate) struct Authenticated {
    pub(crate) arrived: Arrived,
    principal: Arc<Principal>,
}

impl Authenticated {
    /// The verified bearer.
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
/// time and revocation are checked at each use.
#[derive(Debug)]
pub(crate) struct VerifiedTokens(Cache<[u8; 32], Arc<Principal>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(CACHED).time_to_live(Duration::from_secs(900)).build())
    }
}

/// Finds out who sent `arrived`.
#[expect(clippy::result_large_err, reason = "the request comes back, to be answered")]
pub(crate) fn authenticate(gate: &Gate, arrived: Arrived) -> Result<Authenticated, (Refusal, Arrived)> {
    match verify(gate, &arrived) {
        Ok(principal) => Ok(Authenticated { arrived, principal }),
        Err(refusal) => Err((refusal, arrived)),
    }
}

fn verify(gate: &Gate, arrived: &Arrived) -> Result<Arc<Principal>, Refusal> {
    let token = bearer(&arrived.headers, arrived.query.as_deref())?;
    let resource = arrived.served.resource();
    let key = digest(token, resource);
    let now = gate.clock().now();
    let tokens = gate.verified_tokens();
    let principal = match tokens.0.get(&key).filter(|principal| now < principal.expires_at) {
        Some(principal) => principal,
        None => {
            let expect = Expect { issuer: &gate.config().issuer, audience: resource, now, leeway: LEEWAY };
            let verified = verify_access_token(token, gate.keys(), &expect).map_err(Refusal::BadToken)?;
            let principal = Arc::new(verified);
            tokens.0.insert(key, Arc::clone(&principal));
            principal
        }
    };
    gate.revocations().check(&principal).map_err(Refusal::Dead)?;
    Ok(principal)
}

/// The one bearer token of a request (RFC 6750 section 2.1; the other two ways are forbidden by MCP).
pub(crate) fn bearer<'a>(headers: &'a HeaderMap, query: Option<&str>) -> Result<&'a str, Refusal> {
    let in_query =
        query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("access_token")));
    if in_query {
        return Err(Refusal::TokenPlace);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Refusal::NoToken) };
    if values.next().is_some() {
        return Err(Refusal::TokenPlace);
    }
    let value = value.to_str().map_err(|_| Refusal::TokenPlace)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::TokenPlace)?;
    let token = token.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains([' ', ',']) {
        return Err(Refusal::TokenPlace);
    }
    Ok(token)
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_stands_in_one_header_and_nowhere_else() {
        assert_eq!(bearer(&headers(&["bEaReR abc"]), Some("x=1")).unwrap(), "abc");
        assert!(matches!(bearer(&headers(&[]), None), Err(Refusal::NoToken)));
        for bad in [
            &["Bearer a", "Bearer b"][..],
            &["Basic abc"],
            &["Bearer"],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a, Bearer b"],
        ] {
            assert!(matches!(bearer(&headers(bad), None), Err(Refusal::TokenPlace)), "{bad:?}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_refused_even_beside_a_good_header() {
        assert!(matches!(bearer(&headers(&["Bearer abc"]), Some("a=b&access_token=abc")), Err(Refusal::TokenPlace)));
    }
}
