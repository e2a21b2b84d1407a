//! What a probe works with: the target, what the operator gave, what was seen so far, and the way out.
//!
//! It decides nothing. Facts in [`Seen`] are set once, each by the probe that owns it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use sallyport_mcp::{Era, catalogue::Definition};
use sallyport_model::{Clock, Rng, Secret, Timestamp, assessment::ServerAbout};
use sallyport_outbound::stdio::StdioSpec;
use serde_json::Value;
use url::Url;

use crate::{
    access::Access,
    findings::Findings,
    wire::{Wire, WireError},
};

/// What is assessed.
#[derive(Debug, Clone)]
pub enum Target {
    /// A server by HTTP: the URL of its MCP endpoint.
    Http(Url),
    /// A server as a process.
    Stdio(StdioSpec),
    /// No server: only the vendor's answers, from the file of this name.
    Answers(String),
}

/// One assessment in progress; shared by reference.
pub struct Bench {
    /// What is assessed.
    pub target: Target,
    /// What the operator gave.
    pub access: Access,
    /// Outcomes so far.
    pub findings: Findings,
    /// The way out.
    pub wire: Wire,
    /// Facts shared by probes.
    pub seen: Seen,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// Facts shared by probes; each is set once, by its owner.
#[derive(Debug, Default)]
pub struct Seen {
    /// By `probes::discovery`.
    pub discovery: OnceLock<Discovery>,
    /// By `probes::definitions`: everything listed, with the person's token where there is one.
    pub catalogue: OnceLock<Vec<Definition>>,
    /// By `login`: the person.
    pub person: OnceLock<Grant>,
    /// By `login`: the second person.
    pub second: OnceLock<Grant>,
    /// By `login`: the agent.
    pub agent: OnceLock<Grant>,
    /// By `login`: where sign-ins are made.
    pub(crate) login: OnceLock<crate::login::Desk>,
    /// Every protocol version that the server agreed to.
    pub versions: Mutex<BTreeSet<String>>,
    /// What the server says that it is; untrusted text.
    pub server: OnceLock<ServerAbout>,
    /// The era that the first connection came about in.
    pub era: OnceLock<Era>,
    /// `streamable-http`, `sse` or `stdio`, once a connection came about.
    pub transport: OnceLock<&'static str>,
}

/// What a stranger without a token finds.
#[derive(Debug, Default)]
pub struct Discovery {
    /// The first Bearer challenge, where there was one.
    pub challenge: Option<Challenge>,
    /// Protected resource metadata.
    pub resource: Option<Found<Value>>,
    /// Authorization server metadata documents that were found.
    pub servers: Vec<Found<Value>>,
    /// The issuer that the resource names.
    pub issuer: Option<String>,
}

/// A `WWW-Authenticate` challenge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// As it was written.
    pub scheme: String,
    /// Names in lower case; values without their quotes.
    pub params: BTreeMap<String, String>,
    /// The exchange that it came in.
    pub exchange: u32,
}

/// A document and where it was.
#[derive(Debug, Clone)]
pub struct Found<T> {
    /// Its URL.
    pub url: Url,
    /// What it says.
    pub document: T,
    /// The exchange that brought it.
    pub exchange: u32,
}

/// Tokens that were given or obtained.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// The id token.
    pub id_token: Option<Secret>,
    /// `expires_in`, seconds.
    pub expires_in: Option<u64>,
    /// When.
    pub obtained_at: Timestamp,
    /// `scope` of the token response, else what was asked for.
    pub scope: Option<String>,
    /// The client that it was issued to.
    pub client: Client,
    /// `token_type`.
    pub token_type: String,
    /// The user name or client id as given.
    pub subject: String,
}

/// An OAuth client as the authorization server knows it.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// `client_id`; empty for a token that the operator gave.
    pub id: String,
    /// Absent for a public client.
    pub secret: Option<Secret>,
    /// `none`, `client_secret_basic` or `client_secret_post`.
    pub auth_method: String,
    /// The redirect URI registered for it.
    pub redirect_uri: Option<String>,
}

impl Bench {
    /// An assessment that is about to begin; its time runs from here.
    ///
    /// # Errors
    /// [`WireError::Setup`] when a certificate of [`Access::extra_roots`] does not work.
    pub fn new(target: Target, access: Access, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Result<Self, WireError> {
        let wire = Wire::new(&target, &access)?;
        Ok(Self { target, access, findings: Findings::default(), wire, seen: Seen::default(), clock, rng })
    }

    /// The URL of an HTTP target.
    pub fn url(&self) -> Option<&Url> {
        match &self.target {
            Target::Http(url) => Some(url),
            Target::Stdio(_) | Target::Answers(_) => None,
        }
    }

    /// Whether the run's time is over; see [`Access::budget`].
    pub fn out_of_time(&self) -> bool {
        self.wire.left().is_zero()
    }

    /// A new value that nobody can guess: `bytes` of randomness in hexadecimal.
    pub fn nonce(&self, bytes: usize) -> String {
        let mut random = vec![0; bytes];
        self.rng.fill(&mut random);
        sallyport_model::hex(&random)
    }
}

impl Seen {
    /// Notes that the server agreed to `version`.
    pub fn agreed(&self, version: &str) {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).insert(version.to_owned());
    }
}
