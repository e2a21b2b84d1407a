//! Tokens of the gate's own for upstreams: fetched, kept until they end, dropped when they are refused or their
//! principal is revoked.
//!
//! | kind | from |
//! |---|---|
//! | command | a program of the operator's |
//! | client credentials | the upstream's authorization server, RFC 6749 section 4.4 |
//! | token exchange, ID-JAG | the same, for an assertion that the gate makes afresh ([`assertion`]) |
//! | linked account | what a person granted on the gate's own page ([`linking`]) |
//!
//! Never: a token of a client's. What comes in here is a [`Caller`], and that has no room for one.

pub mod assertion;
mod cache;
mod challenge;
mod client;
mod discovery;
pub mod fault;
mod issue;
mod kept;
pub mod linking;
mod reach;
mod wire;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use rustls_pki_types::CertificateDer;
use sallyport_model::{Clock, Principal, Rng, Secret, SigningKeyId, Timestamp, UpstreamName};
use sallyport_oauth::{SigningKey, dpop};
use sallyport_outbound::guard::Resolver;
use sallyport_storage::Store;
use tokio::time::Instant;
use url::Url;

pub use assertion::{AssertionSigner, AssertionType, IDENTITY_HEADER};
pub use fault::TokenFault;

use super::{Caller, Transport, UpstreamCredential, UpstreamError, UpstreamSpec};
use assertion::Maker;
use cache::{Cache, Key, Whose};
use challenge::Challenge;
use discovery::{Looking, Server};

/// How long what was discovered is believed.
const DISCOVERED_FOR: Duration = Duration::from_secs(600);
/// A secret that a program printed is asked for again after this.
const COMMAND_LIFE: Duration = Duration::from_secs(3600);

/// What fetching stands on.
pub struct TokensDeps {
    /// Our issuer URL: who makes the assertions.
    pub issuer: String,
    /// Scheme and authority of the pages on which people link accounts, without a trailing slash.
    pub public_url: String,
    /// Signs assertions.
    pub signer: Arc<dyn AssertionSigner>,
    /// Linked accounts, and people's addresses.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Names of servers.
    pub resolver: Arc<dyn Resolver>,
}

/// Fetches and keeps tokens for upstreams.
pub struct UpstreamTokens {
    deps: TokensDeps,
    cache: Cache,
    servers: Mutex<HashMap<UpstreamName, Found>>,
    keys: Mutex<HashMap<UpstreamName, Arc<SigningKey>>>,
    /// The last `DPoP-Nonce` of an origin.
    nonces: Mutex<HashMap<String, String>>,
}

/// An authorization server that was found.
#[derive(Clone)]
struct Found {
    /// For the upstream at this URL.
    url: Url,
    server: Arc<Server>,
    since: Instant,
}

impl fmt::Debug for UpstreamTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamTokens(…)")
    }
}

/// How a token is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
    /// In a header of the upstream's own.
    Header(HeaderName),
}

/// Something to show an upstream.
pub(super) struct UpstreamToken {
    secret: Secret,
    scheme: Scheme,
    usable_until: Timestamp,
    key: Option<Arc<SigningKey>>,
    /// Of a linked account: which of its tokens.
    version: u64,
}

impl fmt::Debug for UpstreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamToken").field("usable_until", &self.usable_until).finish_non_exhaustive()
    }
}

/// An upstream over HTTP as far as its credential goes.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) name: UpstreamName,
    pub(super) url: Url,
    pub(super) credential: UpstreamCredential,
    pub(super) identity_header: bool,
    pub(super) roots: Vec<CertificateDer<'static>>,
}

impl At {
    /// Of a specification; `None` for a process.
    pub(super) fn of(spec: &UpstreamSpec) -> Option<Self> {
        let Transport::Http { url, options } = &spec.transport else { return None };
        let mut url = url.clone();
        url.set_fragment(None);
        Some(Self {
            name: spec.name.clone(),
            url,
            credential: spec.credential.clone(),
            identity_header: spec.identity_header,
            roots: options.extra_roots.clone(),
        })
    }
}

impl UpstreamTokens {
    /// Nothing is fetched yet.
    pub fn new(deps: TokensDeps) -> Self {
        Self {
            deps,
            cache: Cache::default(),
            servers: Mutex::default(),
            keys: Mutex::default(),
            nonces: Mutex::default(),
        }
    }

    /// Forgets the tokens of whoever is dead.
    pub fn end(&self, dead: impl Fn(&Principal) -> bool) {
        self.cache.end(dead);
    }

    /// What to show `at` for `caller`.
    pub(super) async fn token(self: &Arc<Self>, at: &At, caller: &Caller) -> Result<Arc<UpstreamToken>, UpstreamError> {
        if let UpstreamCredential::LinkedAccount(linked) = &at.credential {
            return self.linked_token(at, linked, caller).await;
        }
        let key = key(at, caller);
        let principal = match caller {
            Caller::Principal(principal) if matches!(key.whose, Whose::Principals(_)) => Some(principal),
            _ => None,
        };
        let fetched = self.cache.get(&key, principal, self.deps.clock.now(), self.fetch(at, caller)).await;
        fetched.map_err(UpstreamError::from)
    }

    /// The upstream refused `token` with 401; whether another try could go better. Nothing was executed. Ask once for
    /// a request: what is sent again is not asked about again.
    pub(super) async fn refused(
        self: &Arc<Self>,
        at: &At,
        caller: &Caller,
        token: &Arc<UpstreamToken>,
        headers: &HeaderMap,
    ) -> bool {
        let nonce = self.learn_nonce(&at.url, headers);
        if token.scheme == Scheme::Dpop && wants_nonce(headers) {
            // The proof was refused and the token was not looked at. Whether the nonce is news is no question to ask
            // of what is remembered: another request may have brought it since this one was signed.
            return nonce.is_some();
        }
        match &at.credential {
            UpstreamCredential::LinkedAccount(_) => self.linked_refused(at, caller, token).await,
            _ => {
                self.cache.forget(&key(at, caller), token).await;
                true
            }
        }
    }

    /// Writes `token` into a request's headers.
    pub(super) fn show(
        &self,
        at: &At,
        token: &UpstreamToken,
        method: &str,
        headers: &mut HeaderMap,
    ) -> Result<(), TokenFault> {
        let value = |text: String| wire::secret_value(&text);
        match &token.scheme {
            Scheme::Bearer => {
                headers.insert(header::AUTHORIZATION, value(format!("Bearer {}", token.secret.expose()))?)
            }
            Scheme::Header(name) => headers.insert(name.clone(), wire::secret_value(token.secret.expose())?),
            Scheme::Dpop => {
                let key = token.key.as_ref().ok_or(TokenFault::Unsigned)?;
                let nonce = self.nonce(&at.url);
                let target = dpop::Target {
                    method,
                    url: &at.url,
                    nonce: nonce.as_deref(),
                    access_token: Some(token.secret.expose()),
                };
                headers.insert(dpop::HEADER, value(self.prove(&target, key)?)?);
                headers.insert(header::AUTHORIZATION, value(format!("DPoP {}", token.secret.expose()))?)
            }
        };
        Ok(())
    }

    /// Who calls, signed for this upstream alone.
    pub(super) fn identity(&self, at: &At, caller: &Caller) -> Result<HeaderValue, TokenFault> {
        let assertion = self.maker().about(AssertionType::Identity, caller, at.url.as_str(), &[])?;
        wire::secret_value(assertion.expose())
    }

    fn maker(&self) -> Maker<'_> {
        Maker {
            issuer: &self.deps.issuer,
            signer: self.deps.signer.as_ref(),
            now: self.deps.clock.now(),
            rng: self.deps.rng.as_ref(),
        }
    }

    async fn server(&self, at: &At, server: &super::credential::TokenServer) -> Result<Arc<Server>, TokenFault> {
        let known = lock(&self.servers).get(&at.name).cloned();
        if let Some(known) = known.filter(|known| known.url == at.url && known.since.elapsed() < DISCOVERED_FOR) {
            return Ok(known.server);
        }
        let looking = Looking { url: &at.url, resolver: &self.deps.resolver, roots: &at.roots };
        let server = Arc::new(looking.find(server).await?);
        let found = Found { url: at.url.clone(), server: Arc::clone(&server), since: Instant::now() };
        lock(&self.servers).insert(at.name.clone(), found);
        Ok(server)
    }

    /// The key that an upstream's tokens are bound to; it lives as long as this process.
    fn key(&self, upstream: &UpstreamName) -> Result<Arc<SigningKey>, TokenFault> {
        let mut keys = lock(&self.keys);
        if let Some(key) = keys.get(upstream) {
            return Ok(Arc::clone(key));
        }
        let pkcs8 = SigningKey::generate().map_err(|_| TokenFault::Unsigned)?;
        let key = Arc::new(dpop_key(&pkcs8)?);
        keys.insert(upstream.clone(), Arc::clone(&key));
        Ok(key)
    }

    fn prove(&self, target: &dpop::Target<'_>, key: &SigningKey) -> Result<String, TokenFault> {
        dpop::prove(target, key, self.deps.clock.now(), self.deps.rng.as_ref()).map_err(|_| TokenFault::Unsigned)
    }

    fn nonce(&self, url: &Url) -> Option<String> {
        lock(&self.nonces).get(&url.origin().ascii_serialization()).cloned()
    }

    /// Remembers the nonce of an answer, which it gives back.
    pub(super) fn learn_nonce(&self, url: &Url, headers: &HeaderMap) -> Option<String> {
        let nonce = wire::dpop_nonce(headers)?;
        lock(&self.nonces).insert(url.origin().ascii_serialization(), nonce.clone());
        Some(nonce)
    }
}

/// RFC 9449 section 9.
fn wants_nonce(headers: &HeaderMap) -> bool {
    Challenge::read(headers).error.as_deref() == Some("use_dpop_nonce")
}

fn dpop_key(pkcs8: &[u8]) -> Result<SigningKey, TokenFault> {
    let id = SigningKeyId::new("dpop").map_err(|_| TokenFault::Unsigned)?;
    SigningKey::from_pkcs8(id, pkcs8).map_err(|_| TokenFault::Unsigned)
}

fn key(at: &At, caller: &Caller) -> Key {
    let scope = match &at.credential {
        UpstreamCredential::ClientCredentials(issued) => issued.scope.clone(),
        UpstreamCredential::TokenExchange(exchanged) | UpstreamCredential::IdJag(exchanged) => {
            exchanged.issued.scope.clone()
        }
        _ => None,
    };
    let whose = match caller {
        _ if !at.credential.kind().is_per_principal() => Whose::Everybodys,
        Caller::Principal(principal) => Whose::Principals(principal.binding()),
        Caller::Gate(_) => Whose::Gates,
    };
    Key { upstream: at.name.clone(), whose, scope }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
