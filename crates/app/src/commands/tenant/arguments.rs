//! What `sallyport tenant` and `sallyport contain` take. Nothing is looked up here.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use sallyport_identity::{
    SamlKeyStep,
    settings::{ScimAttribute, ScimMatch},
};
use sallyport_model::TenantId;
use sallyport_oauth::oidc::PresetId;

use crate::cli::Configured;

/// `sallyport tenant …`
#[derive(Debug, Args)]
pub struct Tenant {
    /// Where the deployment is, and how the answer is printed.
    #[command(flatten)]
    pub manner: Manner,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Where the deployment is, and how the answer is printed.
#[derive(Debug, Args)]
pub struct Manner {
    /// The configuration file.
    #[arg(long, global = true, env = "SALLYPORT_CONFIG", default_value = "sallyport.toml")]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Manner {
    /// As other commands take it.
    pub fn configured(&self) -> Configured {
        Configured { config: self.config.clone() }
    }
}

/// What to do about tenants.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// All tenants.
    List,
    /// One tenant, with the lifetimes that are in force.
    Show {
        /// The tenant.
        id: TenantId,
    },
    /// Make a tenant.
    Create {
        /// Its id: 1 to 63 of a-z, 0-9 and inner hyphens.
        id: TenantId,
        /// What people call it.
        #[arg(long)]
        name: String,
    },
    /// Change what a tenant chose for itself.
    Set(Set),
    /// Let nobody of a tenant in, and end everything that is alive.
    Suspend {
        /// The tenant.
        id: TenantId,
    },
    /// Let a suspended tenant's people sign in again.
    Resume {
        /// The tenant.
        id: TenantId,
    },
    /// Remove a tenant with everything that is its own; the audit log stays.
    Delete {
        /// The tenant.
        id: TenantId,
        /// Do it. Without this, what would go is shown, and the answer is no.
        #[arg(long)]
        yes: bool,
    },
    /// E-mail domains that lead to a tenant's identity provider.
    #[command(subcommand)]
    Domain(DomainVerb),
    /// Connect an OpenID provider.
    ConnectOidc(Box<ConnectOidc>),
    /// Connect a SAML identity provider.
    ConnectSaml(Box<ConnectSaml>),
    /// A tenant's connections, with what to enter at each provider.
    Connections {
        /// The tenant.
        id: TenantId,
    },
    /// Switch a connection on or off, or remove it.
    #[command(subcommand)]
    Connection(ConnectionVerb),
    /// Change who becomes whom; shows before and after. An option that is not given leaves its part as it is.
    SetMapping {
        /// The tenant.
        id: TenantId,
        /// The connection.
        name: String,
        /// Begin with the defaults of the protocol and the preset, not with what is there.
        #[arg(long)]
        reset: bool,
        /// What changes.
        #[command(flatten)]
        mapping: Box<MappingOptions>,
    },
    /// What the mapping makes of what a provider asserted last, or of a file; the answer is no if it admits nobody.
    Preview {
        /// The tenant.
        id: TenantId,
        /// The connection.
        name: String,
        /// Of this person: id, login or e-mail address. Without it: whoever signed in last.
        #[arg(long, conflicts_with = "asserted")]
        user: Option<String>,
        /// A JSON object of claims or attributes instead: `{"email": "ann@acme.example", "groups": ["staff"]}`.
        #[arg(long, value_name = "FILE")]
        asserted: Option<PathBuf>,
    },
    /// Tokens that a tenant's provisioning system (SCIM) writes with.
    #[command(subcommand)]
    ScimToken(ScimTokenVerb),
    /// What identity providers say when access should end: Shared Signals, Global Token Revocation.
    #[command(subcommand)]
    Signals(super::signals::SignalsVerb),
    /// Who is signed in, newest first, at most 1000.
    Sessions {
        /// The tenant.
        id: TenantId,
        /// Only of this person: id, login or e-mail address.
        #[arg(long)]
        user: Option<String>,
    },
    /// End one session with every token that stands on it.
    EndSession {
        /// The tenant.
        id: TenantId,
        /// The session.
        session: String,
    },
    /// A tenant's people.
    People {
        /// The tenant.
        id: TenantId,
    },
}

/// `sallyport tenant set`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub struct Set {
    /// The tenant.
    pub id: TenantId,
    /// What people call it.
    #[arg(long, group = "what")]
    pub name: Option<String>,
    /// How long an access token of a person lives; 0: as the operator says.
    #[arg(long, group = "what", value_name = "N")]
    pub access_token_seconds: Option<u64>,
    /// How long a refresh token may lie idle; 0: as the operator says.
    #[arg(long, group = "what", value_name = "N")]
    pub refresh_idle_seconds: Option<u64>,
    /// How long a grant lives at most; 0: as the operator says.
    #[arg(long, group = "what", value_name = "N")]
    pub grant_seconds: Option<u64>,
    /// How long a browser session lives at most; 0: as the operator says.
    #[arg(long, group = "what", value_name = "N")]
    pub session_seconds: Option<u64>,
    /// Whether its people may not sign in with passwords kept here.
    #[arg(long, group = "what", value_name = "true|false")]
    pub federated_only: Option<bool>,
    /// How long a grant lives at most under which an agent acts for a person; 0: as the operator says.
    #[arg(long, group = "what", value_name = "N")]
    pub delegation_seconds: Option<u64>,
    /// How long a credential of an agent lives at most; 0: as the operator says.
    #[arg(long, group = "what", value_name = "N")]
    pub agent_credential_seconds: Option<u64>,
    /// How many agents may stand in one chain, at most 8; 0: none acts for a person. Two without it.
    #[arg(long, group = "what", value_name = "N")]
    pub agent_depth: Option<u8>,
    /// Whether every token must be bound to a key (DPoP or mTLS).
    #[arg(long, group = "what", value_name = "true|false")]
    pub sender_bound: Option<bool>,
    /// Whether agents may use secrets instead of keys.
    #[arg(long, group = "what", value_name = "true|false")]
    pub agent_secrets: Option<bool>,
    /// Whether people may make agents for themselves.
    #[arg(long, group = "what", value_name = "true|false")]
    pub personal_agents: Option<bool>,
}

/// `sallyport tenant domain …`
#[derive(Debug, Subcommand)]
pub enum DomainVerb {
    /// Claim a domain; prints the DNS record that proves it.
    Add {
        /// The tenant.
        id: TenantId,
        /// The domain, such as acme.example.
        domain: String,
        /// Where its people sign in; without it, the tenant's first connection that is on.
        #[arg(long, value_name = "NAME")]
        connection: Option<String>,
    },
    /// Look for the record of a claimed domain. Once it is there, its people are sent to the tenant's provider.
    Verify {
        /// The tenant.
        id: TenantId,
        /// The domain.
        domain: String,
        /// Look for nothing: you know that it is the tenant's, and answer for it.
        #[arg(long)]
        by_operator: bool,
        /// The name server to ask. Default: those of the system.
        #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "by_operator")]
        name_server: Option<std::net::SocketAddr>,
    },
    /// A tenant's domains.
    List {
        /// The tenant.
        id: TenantId,
    },
    /// Give a claim up.
    Remove {
        /// The tenant.
        id: TenantId,
        /// The domain.
        domain: String,
    },
}

/// `sallyport tenant connection …`
#[derive(Debug, Subcommand)]
pub enum ConnectionVerb {
    /// Let people sign in by it.
    Enable {
        /// The tenant.
        id: TenantId,
        /// The connection.
        name: String,
    },
    /// Let nobody sign in by it, and end every session that was begun by it.
    Disable {
        /// The tenant.
        id: TenantId,
        /// The connection.
        name: String,
    },
    /// Remove it with its links, and end every session that was begun by it.
    Remove {
        /// The tenant.
        id: TenantId,
        /// The connection.
        name: String,
    },
    /// Replace our keys at a SAML provider, in three steps with time between them.
    SamlKeys {
        /// The tenant.
        id: TenantId,
        /// The connection.
        name: String,
        /// Which step.
        #[arg(long, value_enum)]
        step: KeyStep,
    },
}

/// `sallyport tenant scim-token …`
#[derive(Debug, Subcommand)]
pub enum ScimTokenVerb {
    /// Make a token; it is printed once. Two may live side by side while one replaces the other.
    Add {
        /// The tenant.
        id: TenantId,
        /// What you call the provisioning system.
        name: String,
        /// When it ends; without it, when it is removed.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: Option<u32>,
    },
    /// A tenant's tokens; none is shown.
    List {
        /// The tenant.
        id: TenantId,
    },
    /// Remove a token; the next request with it is refused.
    Remove {
        /// The tenant.
        id: TenantId,
        /// The token's id, as `list` shows it.
        token_id: String,
    },
}

/// `sallyport tenant connect-oidc`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("proof").required(true))]
pub struct ConnectOidc {
    /// The tenant.
    pub id: TenantId,
    /// What people call the connection; it is on their sign-in page.
    pub name: String,
    /// Whose provider it is.
    #[arg(long, value_enum)]
    pub preset: Preset,
    /// The issuer, exactly as the provider writes it.
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// Our client id there.
    #[arg(long, value_name = "X")]
    pub client_id: String,
    /// The variable of the environment that holds our secret there.
    #[arg(long, value_name = "VAR", group = "proof")]
    pub client_secret_env: Option<String>,
    /// Prove who we are with a key that is made here (ES256; for Entra RSA with a certificate); its public half is
    /// printed. With `--replace` the key that is there stays.
    #[arg(long, group = "proof")]
    pub private_key_jwt: bool,
    /// The customer at a provider that many share: Entra's directory id, Google's domain.
    #[arg(long, value_name = "T")]
    pub organisation: Option<String>,
    /// A scope to ask for besides the preset's; may be repeated.
    #[arg(long = "scope", value_name = "S")]
    pub scopes: Vec<String>,
    /// Do not ask the provider about the person at every refresh.
    #[arg(long)]
    pub do_not_ask_again: bool,
    /// Take its word for clients without a browser: ID-JAGs (Enterprise-Managed Authorization, Cross App Access).
    #[arg(long)]
    pub id_jag: bool,
    /// Replace the connection of that name. Its id, its URLs and who is whom stay; so the issuer must.
    #[arg(long)]
    pub replace: bool,
    /// What is demanded of the sign-in.
    #[command(flatten)]
    pub demands: DemandOptions,
    /// Who becomes whom.
    #[command(flatten)]
    pub mapping: MappingOptions,
}

/// `sallyport tenant connect-saml`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true))]
pub struct ConnectSaml {
    /// The tenant.
    pub id: TenantId,
    /// What people call the connection; it is on their sign-in page.
    pub name: String,
    /// Where the provider's metadata are fetched from, again and again.
    #[arg(long, value_name = "URL", group = "source", requires = "entity_id")]
    pub metadata_url: Option<String>,
    /// The provider's metadata as a file.
    #[arg(long, value_name = "FILE", group = "source")]
    pub metadata: Option<PathBuf>,
    /// The provider's entity id. A file that describes one provider need not be told.
    #[arg(long, value_name = "E")]
    pub entity_id: Option<String>,
    /// A PEM file with the certificate that signs the metadata; unsigned metadata are refused then.
    #[arg(long, value_name = "FILE")]
    pub metadata_certificate: Option<PathBuf>,
    /// Let the provider sign people in without being asked (IdP-initiated).
    #[arg(long)]
    pub allow_unsolicited: bool,
    /// Replace the connection of that name. Its id, its URLs, our keys and who is whom stay; so the entity id must.
    #[arg(long)]
    pub replace: bool,
    /// What is demanded of the sign-in.
    #[command(flatten)]
    pub demands: DemandOptions,
    /// Who becomes whom.
    #[command(flatten)]
    pub mapping: MappingOptions,
}

/// What is demanded of the sign-in at the provider.
#[derive(Debug, Default, Args)]
pub struct DemandOptions {
    /// An authentication context class that will do (`acr`, SAML's `AuthnContextClassRef`); may be repeated.
    #[arg(long, value_name = "V")]
    pub acr: Vec<String>,
    /// Demand more than one factor.
    #[arg(long)]
    pub require_mfa: bool,
    /// A class (at Entra: an authentication context) that at this provider stands for more than one factor; may be
    /// repeated.
    #[arg(long, value_name = "V", requires = "require_mfa")]
    pub mfa_acr: Vec<String>,
    /// How long ago the sign-in may have been at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(60..=31_536_000))]
    pub max_age_seconds: Option<u64>,
}

/// Who becomes whom. What is given replaces the default or, for `set-mapping`, what is there.
#[derive(Debug, Default, Args)]
pub struct MappingOptions {
    /// A group (by its name here) whose members may sign in; may be repeated. Without it everybody may.
    #[arg(long = "admit-group", value_name = "G")]
    pub admit_groups: Vec<String>,
    /// A group (by its name here) whose members administer the tenant; may be repeated.
    #[arg(long = "administrator-group", value_name = "G")]
    pub administrator_groups: Vec<String>,
    /// What a group is called here; may be repeated.
    #[arg(long = "rename-group", value_name = "FROM=TO", value_parser = renamed)]
    pub rename_groups: Vec<(String, String)>,
    /// The claim or attribute that holds the e-mail address; may be repeated, the first that is there counts.
    #[arg(long = "email-claim", value_name = "C")]
    pub email_claims: Vec<String>,
    /// The claim that says whether the address was verified.
    #[arg(long, value_name = "C")]
    pub email_verified_claim: Option<String>,
    /// The claim or attribute that holds the name; may be repeated, the first that is there counts.
    #[arg(long = "name-claim", value_name = "C")]
    pub name_claims: Vec<String>,
    /// The claim or attribute that holds groups; may be repeated.
    #[arg(long = "groups-claim", value_name = "C")]
    pub groups_claims: Vec<String>,
    /// How somebody is found among those whom SCIM brought; `sub` and `name_id` are claims too.
    #[arg(long, value_name = "CLAIM=userName|externalId", value_parser = scim_match, conflicts_with = "no_scim_match")]
    pub scim_match: Option<ScimMatch>,
    /// Look for nobody among those whom SCIM brought.
    #[arg(long)]
    pub no_scim_match: bool,
    /// Only who was provisioned may sign in.
    #[arg(long)]
    pub no_create: bool,
    /// Whoever has a verified address of a proved domain becomes the one person of the tenant who has it already.
    #[arg(long)]
    pub link_by_email: bool,
}

/// Whose provider it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Okta, its own or a custom authorization server.
    Okta,
    /// Microsoft Entra ID, v2.0.
    Entra,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// PingOne.
    Ping,
    /// Any provider that follows the specifications.
    Standard,
}

impl Preset {
    /// As the protocol's crate knows it.
    pub fn id(self) -> PresetId {
        match self {
            Self::Okta => PresetId::Okta,
            Self::Entra => PresetId::Entra,
            Self::Google => PresetId::Google,
            Self::Keycloak => PresetId::Keycloak,
            Self::Ping => PresetId::Ping,
            Self::Standard => PresetId::Standard,
        }
    }
}

/// A step of a roll-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyStep {
    /// New keys stand in our metadata, beside those in use.
    Announce,
    /// The announced key signs.
    Use,
    /// What was encrypted for the old keys is not decrypted any more.
    Retire,
}

impl KeyStep {
    /// As the flow knows it.
    pub fn step(self) -> SamlKeyStep {
        match self {
            Self::Announce => SamlKeyStep::Announce,
            Self::Use => SamlKeyStep::Use,
            Self::Retire => SamlKeyStep::Retire,
        }
    }
}

/// `sallyport contain …`
#[derive(Debug, Args)]
pub struct Contain {
    /// Where the deployment is, and how the answer is printed.
    #[command(flatten)]
    pub manner: Manner,
    /// Whose access ends.
    #[command(subcommand)]
    pub whom: Whom,
}

/// Whose access ends now.
#[derive(Debug, Subcommand)]
pub enum Whom {
    /// A person: her sessions, grants and tokens.
    User(Contained),
    /// An agent: its grants and tokens.
    Agent(Contained),
    /// Everything that was given to an OAuth client, in every tenant.
    Client {
        /// The client id.
        id: String,
    },
    /// One sign-in session, with everything that stands on it.
    Session(Contained),
    /// Everything of a tenant.
    Tenant {
        /// The tenant.
        id: TenantId,
    },
}

/// Who, and of which tenant.
#[derive(Debug, Args)]
pub struct Contained {
    /// The id; of a person the login will do.
    pub id: String,
    /// Refuse anybody who is not of this tenant.
    #[arg(long, value_name = "T")]
    pub tenant: Option<TenantId>,
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.trim().is_empty() && !to.trim().is_empty() => {
            Ok((from.trim().to_owned(), to.trim().to_owned()))
        }
        _ => Err("write FROM=TO, such as 0af3=operations".to_owned()),
    }
}

fn scim_match(text: &str) -> Result<ScimMatch, String> {
    let (claim, attribute) = text.rsplit_once('=').unwrap_or_default();
    let attribute = match attribute {
        "userName" => ScimAttribute::UserName,
        "externalId" => ScimAttribute::ExternalId,
        _ => return Err("write CLAIM=userName or CLAIM=externalId, such as preferred_username=userName".to_owned()),
    };
    if claim.trim().is_empty() {
        return Err("name a claim before the equals sign".to_owned());
    }
    Ok(ScimMatch { claim: claim.trim().to_owned(), attribute })
}
