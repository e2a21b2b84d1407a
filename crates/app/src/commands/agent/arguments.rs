//! What `sallyport agent` takes. Nothing is looked up here.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use sallyport_model::TenantId;

use crate::commands::tenant::arguments::Manner;

/// `sallyport agent …`
#[derive(Debug, Args)]
pub struct Agent {
    /// Where the deployment is, and how the answer is printed.
    #[command(flatten)]
    pub manner: Manner,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do about agents.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The inventory of a tenant: owners, last uses, unused scopes, ages of credentials, risks.
    List {
        /// The tenant.
        tenant: TenantId,
        /// Only agents with this risk: `no_owner`, `owner_gone`, `secret`, `old_credential`, `ends_soon`,
        /// `no_credential`, `never_used` or `unused_scopes`.
        #[arg(long)]
        risk: Option<String>,
    },
    /// One agent, with its credentials and when it used which scope.
    Show {
        /// The agent.
        id: String,
    },
    /// Make an agent.
    Create(Box<Create>),
    /// Change an agent. An option that is not given leaves its part as it is; `none` takes a part away.
    Set(Box<Set>),
    /// Give it no more than what it has used: its scopes become those that its calls needed.
    Narrow {
        /// The agent.
        id: String,
        /// Do it. Without this, what would change is shown, and the answer is no.
        #[arg(long)]
        yes: bool,
    },
    /// Give it no token any more, and end those that it has.
    Suspend {
        /// The agent.
        id: String,
    },
    /// Let a suspended agent ask for tokens again.
    Resume {
        /// The agent.
        id: String,
    },
    /// End every token of an agent, and everything under which it acts for somebody. It may ask for new ones.
    Revoke {
        /// The agent.
        id: String,
    },
    /// Remove an agent with its client, credentials and tokens; the audit log stays.
    Delete {
        /// The agent.
        id: String,
        /// Do it. Without this, what would go is shown, and the answer is no.
        #[arg(long)]
        yes: bool,
    },
    /// What proves an agent to be itself.
    #[command(subcommand)]
    Credential(CredentialVerb),
}

/// `sallyport agent create`
#[derive(Debug, Args)]
pub struct Create {
    /// Its tenant.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// Its `client_id`: 1 to 63 of a-z, 0-9 and hyphens. Without it, one is made.
    #[arg(long)]
    pub client_id: Option<String>,
    /// What it is.
    #[command(flatten)]
    pub options: Options,
    /// Its first credential.
    #[command(flatten)]
    pub credential: Source,
    /// How long the credential lives, days. Default, and at most: what the tenant allows.
    #[arg(long)]
    pub credential_days: Option<u32>,
}

/// `sallyport agent set`
#[derive(Debug, Args)]
pub struct Set {
    /// The agent.
    pub id: String,
    /// What people call it.
    #[arg(long)]
    pub name: Option<String>,
    /// What changes.
    #[command(flatten)]
    pub options: Options,
}

/// What an agent is.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Who answers for it: id, login or e-mail address.
    #[arg(long, value_name = "PERSON")]
    pub owner: Option<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub purpose: Option<String>,
    /// A scope that it may have at most, such as `files:read`; repeat it.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// A server that it may use, by name; repeat it. Without one: those that its scopes are of.
    #[arg(long = "server", value_name = "NAME")]
    pub servers: Vec<String>,
    /// A network that its requests must come from, such as `10.20.0.0/16`; repeat it.
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<String>,
    /// When it may work: `Mo-Fr 08:00-18:00 Europe/Berlin`.
    #[arg(long, value_name = "HOURS")]
    pub hours: Option<String>,
    /// The last day on which it gets tokens, UTC.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub ends: Option<String>,
    /// How long its access tokens live at most, seconds; 0: as long as the operator says.
    #[arg(long, value_name = "N")]
    pub token_seconds: Option<u64>,
    /// Whether its tokens must be bound to a key (DPoP or mTLS).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub sender_bound: Option<bool>,
    /// Where people come back to who let it act for them; repeat it. Without one, nobody can.
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub redirect_uris: Vec<String>,
    /// An agent of the same tenant that may act for it (token exchange); repeat it.
    #[arg(long = "delegate", value_name = "AGENT")]
    pub delegates: Vec<String>,
    /// Who answers for it when its owner leaves; without one, it stops then.
    #[arg(long, value_name = "PERSON")]
    pub successor: Option<String>,
}

/// Where a credential comes from.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("source").multiple(false))]
pub struct Source {
    /// A JWK set with its public keys (`private_key_jwt`).
    #[arg(long, value_name = "FILE", group = "source")]
    pub jwks: Option<PathBuf>,
    /// Make a key; its private half is written to this new file, readable by you alone.
    #[arg(long, value_name = "PATH", group = "source")]
    pub generate_key: Option<PathBuf>,
    /// Make a secret and print it once; only where the tenant allows secrets of agents.
    #[arg(long, group = "source")]
    pub secret: bool,
    /// Its client certificate (PEM), self-signed or not: exactly this one (mTLS).
    #[arg(long, value_name = "FILE", group = "source")]
    pub certificate: Option<PathBuf>,
    /// A name in certificates of the authorities that the listener trusts: `dns:NAME`, `uri:URI`, `email:ADDRESS` or
    /// `subject_dn:NAME` (mTLS).
    #[arg(long, value_name = "OF:NAME", group = "source")]
    pub certificate_name: Option<String>,
    /// A platform's tokens by issuer, audience and rules, as JSON (workload identity federation).
    #[arg(long, value_name = "FILE", group = "source")]
    pub workload: Option<PathBuf>,
}

/// `sallyport agent credential …`
#[derive(Debug, Subcommand)]
pub enum CredentialVerb {
    /// Add one; those that are there stay.
    Add {
        /// The agent.
        id: String,
        /// What it is.
        #[command(flatten)]
        source: Source,
        /// How long it lives, days. Default, and at most: what the tenant allows.
        #[arg(long)]
        days: Option<u32>,
    },
    /// All of an agent, dead ones too.
    List {
        /// The agent.
        id: String,
    },
    /// Add one in the place of another, which goes on for a while.
    Rotate {
        /// The agent.
        id: String,
        /// The credential that is replaced.
        credential: String,
        /// What takes its place. Without one: the same kind, with a new secret, the same name or the same trust.
        #[command(flatten)]
        source: Source,
        /// How long the new one lives, days. Default, and at most: what the tenant allows.
        #[arg(long)]
        days: Option<u32>,
        /// How long the old one goes on: `90s`, `30m`, `24h` or `7d`.
        #[arg(long, default_value = "24h", value_parser = span)]
        overlap: std::time::Duration,
    },
    /// End one now, with every token of the agent.
    Revoke {
        /// The agent.
        id: String,
        /// The credential.
        credential: String,
    },
}

/// `90s`, `30m`, `24h`, `7d`.
fn span(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is no span: write it like 90s, 30m, 24h or 7d");
    let at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(std::time::Duration::from_secs).ok_or_else(wrong)
}
