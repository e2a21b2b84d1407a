//! `[oauth]`: the authorization server.

use std::time::Duration;

use sallyport_authserver::Lifetimes;
use schemars::JsonSchema;
use serde::Deserialize;

/// The authorization server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    /// Whether strangers may register clients (RFC 7591). Default: false.
    pub dynamic_registration: bool,
    /// How many registrations one address may make an hour. Default: 30.
    pub registrations_per_hour: u32,
    /// Whether clients may be known by a Client ID Metadata Document. Default: true.
    pub client_documents: bool,
    /// A person's access token, seconds. Default: 300; at most 3600.
    pub access_token_seconds: u32,
    /// An unused refresh token, minutes. Default: 480.
    pub refresh_idle_minutes: u32,
    /// A grant, however often it is refreshed, minutes. Default: 1440.
    pub grant_minutes: u32,
    /// An agent's access token, seconds. Default: 300; at most 3600.
    pub agent_token_seconds: u32,
    /// A grant under which an agent acts for a person, minutes. Default: 480; never longer than `grant_minutes`.
    pub delegation_minutes: u32,
    /// Whether a DPoP proof must hold a nonce of this server (RFC 9449 section 8). Default: true.
    pub dpop_nonces: bool,
    /// Whether people are asked for consent at every sign-in. Default: false.
    pub always_ask_consent: bool,
    /// Clients that are known beforehand.
    pub clients: Vec<Client>,
    /// Resource servers that may introspect tokens.
    pub introspection: Vec<Introspection>,
}

/// A client that is known beforehand.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// What people see on the consent page.
    pub name: String,
    /// Exact redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Whether it runs on people's own machines (loopback redirects match any port).
    #[serde(default)]
    pub native: bool,
    /// SHA-256 of its secret in hexadecimal; absent for a public client.
    pub secret_sha256: Option<String>,
}

/// A resource server that may introspect tokens (RFC 7662).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Introspection {
    /// Its name in `Authorization: Basic`.
    pub id: String,
    /// SHA-256 of its secret in hexadecimal.
    pub secret_sha256: String,
    /// The upstreams whose tokens it may ask about.
    pub upstreams: Vec<String>,
}

impl Default for OAuth {
    fn default() -> Self {
        Self {
            dynamic_registration: false,
            registrations_per_hour: 30,
            client_documents: true,
            access_token_seconds: 300,
            refresh_idle_minutes: 8 * 60,
            grant_minutes: 24 * 60,
            agent_token_seconds: 300,
            delegation_minutes: 8 * 60,
            dpop_nonces: true,
            always_ask_consent: false,
            clients: Vec::new(),
            introspection: Vec::new(),
        }
    }
}

impl OAuth {
    /// Lifetimes within the product's own bounds.
    pub fn lifetimes(&self) -> Lifetimes {
        let seconds = |n: u32| Duration::from_secs(u64::from(n.clamp(30, 3600)));
        let minutes = |n: u32| Duration::from_secs(u64::from(n.max(1)) * 60);
        Lifetimes {
            access_token: seconds(self.access_token_seconds),
            agent_token: seconds(self.agent_token_seconds),
            refresh_idle: minutes(self.refresh_idle_minutes),
            grant: minutes(self.grant_minutes),
            delegation: minutes(self.delegation_minutes.min(self.grant_minutes)),
            ..Lifetimes::default()
        }
    }
}
