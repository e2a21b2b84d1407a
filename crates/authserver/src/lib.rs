//! The authorization server: authorization code with PKCE S256, pushed requests, consent, tokens,
//! refresh with rotation, revocation, introspection, discovery and registration.
//!
//! One file per endpoint. There is no implicit grant, no password grant and no `plain`. This crate
//! never signs anybody in, never opens a connection and never decides what a token may do at a
//! resource. What it cannot record, it does not do.

mod agents;
mod authorize;
mod bearer;
mod bounds;
mod client_auth;
mod clients;
mod config;
mod cors;
mod documents;
mod endpoint;
mod error;
mod keyring;
mod limits;
mod parameters;
mod platforms;
mod possession;
mod record;
mod resources;
mod server;
mod sign_in;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use sallyport_model::{Clock, Recorder, Rng, Strangers};
use sallyport_oauth::{dpop::NonceKey, metadata};
use sallyport_storage::Store;
use sallyport_web::Shell;
use url::Url;
use zeroize::Zeroizing;

pub use config::{AuthServerConfig, IntrospectionCaller, Lifetimes, PreregisteredClient, Rates};
pub use documents::{Document, DocumentFetcher, FetchFault};
pub use error::AuthServerError;
pub use keyring::{KeyRing, PUBLISH_AFTER, PUBLISH_AHEAD, SIGN_PERIOD};
pub use resources::{ResourceInfo, Resources, ScopeInfo};
pub use sign_in::{IdJagIssuer, SignIn, SignedIn};

use server::Server;

/// No form or document of a client is larger.
const BODY_LIMIT: usize = 64 * 1024;

/// What an [`AuthServer`] is made of.
pub struct Deps {
    /// Where clients, grants, codes and keys are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for codes, tokens, secrets and ids.
    pub rng: Arc<dyn Rng>,
    /// The audit log.
    pub recorder: Arc<dyn Recorder>,
    /// Counts refusals that are not recorded one by one; somebody must record the counts now and then.
    pub strangers: Arc<Strangers>,
    /// Who is signed in; an `Arc<sallyport_identity::Identity>`.
    pub identity: Arc<dyn SignIn>,
    /// How pages look, and the public URL below which the endpoints are.
    pub shell: Arc<Shell>,
    /// Fetches clients' documents.
    pub documents: Arc<dyn DocumentFetcher>,
    /// Fetches the discovery documents and key sets of platforms whose workloads are agents: addresses that tenants'
    /// administrators wrote.
    pub platforms: Arc<dyn DocumentFetcher>,
    /// The deployment's key for DPoP nonces: 256 bits, the same on every node and used for nothing else.
    pub nonce_key: Zeroizing<[u8; 32]>,
    /// Knows what tokens are for.
    pub resources: Arc<dyn Resources>,
    /// The operator's choices.
    pub config: AuthServerConfig,
}

/// The authorization server.
pub struct AuthServer(Arc<Server>);

impl std::fmt::Debug for AuthServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthServer").field("issuer", &self.0.issuer()).finish_non_exhaustive()
    }
}

impl AuthServer {
    /// Checks the configuration, stores the operator's clients and opens the key ring.
    ///
    /// # Errors
    /// [`AuthServerError::Configuration`], or when the store fails.
    pub async fn new(deps: Deps) -> Result<Self, AuthServerError> {
        issuer_path(&deps.config.issuer)?;
        for client in &deps.config.clients {
            deps.store.put_client(&clients::preregistered(client, deps.clock.now())?).await?;
        }
        let keys = KeyRing::open(deps.store.clone(), deps.clock.clone(), deps.rng.clone()).await?;
        let nonces = NonceKey::new(deps.nonce_key.as_slice(), possession::NONCE_ROTATION);
        let nonces = nonces.ok_or_else(|| AuthServerError::Configuration("the nonce key is too short".into()))?;
        Ok(Self(Arc::new(Server::new(deps, keys, nonces))))
    }

    /// The key ring: the proxy verifies tokens with it, and somebody must call its `refresh` every
    /// minute.
    pub fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.keys)
    }

    /// All endpoints. Every request must carry a [`sallyport_web::ClientAddress`] extension; one that
    /// does not gets a 500 wherever an address matters.
    pub fn router(&self) -> Router {
        let pages = Router::new()
            .route(metadata::AUTHORIZE, get(authorize::endpoint::get).post(authorize::endpoint::post))
            .route(authorize::RESUME, get(authorize::resume::get))
            .route(authorize::CONSENT, post(authorize::consent::post))
            .route(metadata::PAR, post(authorize::par::post))
            .route(metadata::INTROSPECT, post(endpoint::introspect::post));
        let mut open = Router::new()
            .route(metadata::JWKS, get(endpoint::jwks::get))
            .route(metadata::TOKEN, post(token::post))
            .route(metadata::REVOKE, post(endpoint::revoke::post))
            .route(metadata::REGISTER, post(endpoint::register::post));
        // Checked when the server was made.
        for path in endpoint::discovery::paths(&issuer_path(self.0.issuer()).unwrap_or_default()) {
            open = open.route(&path, get(endpoint::discovery::get));
        }
        open.layer(middleware::from_fn(cors::any_origin))
            .merge(pages)
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::clone(&self.0))
    }
}

/// The issuer's path without a slash at its end; usually empty.
fn issuer_path(issuer: &str) -> Result<String, AuthServerError> {
    let wrong = |why: &str| AuthServerError::Configuration(format!("issuer `{issuer}`: {why}"));
    let url = Url::parse(issuer).map_err(|_| wrong("it is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || issuer.contains(['?', '#', '@']) {
        return Err(wrong("use http or https without query, fragment and user information"));
    }
    let path = url.path().trim_end_matches('/');
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.')) {
        return Err(wrong("use only letters, digits, `-`, `_`, `.` and `/` in its path"));
    }
    Ok(path.to_owned())
}
