//! What an operator chooses about the authorization server.

use std::time::Duration;

use sallyport_model::{AgentId, ClientId};
use sallyport_storage::{ApplicationType, ClientAuthMethod, Digest, TenantSettings};

/// The choices; each has a safe default but the issuer.
#[derive(Debug, Clone)]
pub struct AuthServerConfig {
    /// The issuer, to the letter, as in tokens and `iss`. Usually the public URL without a slash at its
    /// end; it may have a path.
    pub issuer: String,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// RFC 7591 open registration. Default: off.
    pub dynamic_registration: bool,
    /// The most dynamically registered clients. Default: 10,000.
    pub dynamic_clients_limit: u64,
    /// Client ID Metadata Documents. Default: on.
    pub client_documents: bool,
    /// Clients that the operator registered.
    pub clients: Vec<PreregisteredClient>,
    /// Who may ask about tokens (RFC 7662).
    pub introspection_callers: Vec<IntrospectionCaller>,
    /// Whether a DPoP proof must hold a nonce of ours (RFC 9449 section 8). Default: on.
    pub dpop_nonces: bool,
    /// Whether the listener asks clients for TLS certificates, so that they can authenticate by one (RFC 8705).
    /// Default: off.
    pub client_certificates: bool,
    /// Whether a consent that still covers a request is asked for again anyway. Default: off.
    pub always_ask_consent: bool,
    /// Limits per source address.
    pub rates: Rates,
}

impl AuthServerConfig {
    /// The defaults for `issuer`.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            lifetimes: Lifetimes::default(),
            dynamic_registration: false,
            dynamic_clients_limit: 10_000,
            client_documents: true,
            clients: Vec::new(),
            introspection_callers: Vec::new(),
            dpop_nonces: true,
            client_certificates: false,
            always_ask_consent: false,
            rates: Rates::default(),
        }
    }
}

/// How long things live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authorization code. Default: 60 s.
    pub code: Duration,
    /// A person's access token. Default: 5 min.
    pub access_token: Duration,
    /// A refresh token that is not used. Default: 8 h.
    pub refresh_idle: Duration,
    /// A grant, however often it is refreshed. Default: 24 h.
    pub grant: Duration,
    /// A grant under which an agent acts for a person. Default: 8 h.
    pub delegation: Duration,
    /// A pushed authorization request. Default: 90 s.
    pub pushed_request: Duration,
    /// An authorization request that waits for a person. Default: 15 min.
    pub waiting_request: Duration,
    /// An agent's access token. Default: 5 min.
    pub agent_token: Duration,
    /// The span in which presenting the immediate predecessor of a refresh token is taken for a race of
    /// the client with itself. Default: 10 s.
    pub refresh_race: Duration,
}

impl Lifetimes {
    /// What a tenant chose, where it is shorter than the operator's.
    #[must_use]
    pub fn narrowed(self, settings: &TenantSettings) -> Self {
        let shorter =
            |ours: Duration, theirs: Option<u64>| theirs.map_or(ours, |seconds| Duration::from_secs(seconds).min(ours));
        Self {
            access_token: shorter(self.access_token, settings.access_token_seconds),
            refresh_idle: shorter(self.refresh_idle, settings.refresh_idle_seconds),
            grant: shorter(self.grant, settings.grant_seconds),
            // Never longer than what she gets herself.
            delegation: shorter(shorter(self.delegation, settings.delegation_seconds), settings.grant_seconds),
            ..self
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            code: minutes(1),
            access_token: minutes(5),
            refresh_idle: minutes(8 * 60),
            grant: minutes(24 * 60),
            delegation: minutes(8 * 60),
            pushed_request: Duration::from_secs(90),
            waiting_request: minutes(15),
            agent_token: minutes(5),
            refresh_race: Duration::from_secs(10),
        }
    }
}

/// How often one source address may do what costs something before anybody has authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Registrations an hour. Default: 30.
    pub registrations_per_hour: u32,
    /// Authorization requests a minute, pushed ones too. Default: 120.
    pub authorizations_per_minute: u32,
    /// Refusals of strangers that are recorded one by one, a minute; of all addresses together, ten
    /// times as many. The rest is counted. Default: 30.
    pub recorded_refusals_per_minute: u32,
    /// Documents of clients that are fetched for it, a minute. Default: 20.
    pub document_fetches_per_minute: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            registrations_per_hour: 30,
            authorizations_per_minute: 120,
            recorded_refusals_per_minute: 30,
            document_fetches_per_minute: 20,
        }
    }
}

/// A client that the operator registered.
#[derive(Debug, Clone)]
pub struct PreregisteredClient {
    /// Its id.
    pub id: ClientId,
    /// What people see.
    pub name: String,
    /// Exact redirect URIs; may be empty for an agent's client.
    pub redirect_uris: Vec<String>,
    /// Native or web.
    pub application_type: ApplicationType,
    /// How it authenticates.
    pub auth: ClientAuthMethod,
    /// `grant_types`.
    pub grant_types: Vec<String>,
    /// The agent whose credential this client is.
    pub agent: Option<AgentId>,
}

/// A resource server that may ask about tokens.
#[derive(Debug, Clone)]
pub struct IntrospectionCaller {
    /// Its name in `Basic`.
    pub id: String,
    /// SHA-256 of its secret, which must have at least 256 random bits.
    pub secret_sha256: Digest,
    /// It learns about tokens for these resources only.
    pub resources: Vec<String>,
}
