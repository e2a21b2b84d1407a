//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    agent::arguments::Agent,
    api_token::ApiToken,
    assess::Assess,
    report::Report,
    tenant::arguments::{Contain, Tenant},
};

/// The security layer in front of an MCP server.
#[derive(Debug, Parser)]
#[command(name = "sallyport", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the product with a demo tenant, people, an agent and a built-in MCP server.
    Demo(Demo),
    /// Run the gate in front of your MCP servers.
    Serve(Configured),
    /// Put the ten questions to an MCP server and score the answers.
    Assess(Box<Assess>),
    /// Make a report from a result, compare two, or write this deployment's answers.
    Report(Box<Report>),
    /// Read and check the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// Keep the register of assessed upstreams: record, accept, hold, admit.
    #[command(subcommand)]
    Register(Register),
    /// Keep the customers of this deployment: domains, identity providers, provisioning, sessions.
    Tenant(Tenant),
    /// Keep a tenant's agents: who answers for them, what they may do, what proves them.
    Agent(Agent),
    /// Make, list and revoke tokens of the admin API.
    ApiToken(ApiToken),
    /// Add and list people of the local directory.
    #[command(subcommand)]
    User(User),
    /// End everything of a person, an agent, a client, a session or a tenant, now.
    Contain(Contain),
    /// Write, check and describe the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Say what is wrong with a deployment.
    Doctor(Doctor),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Manual,
}

/// `sallyport demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where to keep state; without it, a directory that goes with the process.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Print one line of JSON on standard output once ready.
    #[arg(long)]
    pub json: bool,
    /// Play the ten questions against the running demo, then stop.
    #[arg(long)]
    pub tour: bool,
    /// By which URL the demo is reached; `http://localhost:PORT` lets browsers offer passkeys.
    #[arg(long)]
    pub public_url: Option<url::Url>,
}

/// A command that reads a configuration.
#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration file.
    #[arg(long, env = "SALLYPORT_CONFIG", default_value = "sallyport.toml")]
    pub config: PathBuf,
}

/// `sallyport doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// The configuration.
    #[command(flatten)]
    pub configured: Configured,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where an audit log and its keys are.
#[derive(Debug, Args)]
pub struct Place {
    /// The configuration of the deployment.
    #[arg(long, env = "SALLYPORT_CONFIG", conflicts_with = "data")]
    pub config: Option<PathBuf>,
    /// The data directory of the deployment.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// `sallyport audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Verify a log: every entry, tile, chain and the signed checkpoint.
    Verify(Verify),
    /// Write events out.
    Export(Export),
    /// Show events as they come.
    Tail(Tail),
}

/// `sallyport audit verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// The log's directory. Nothing but this directory is needed.
    #[arg(long, required_unless_present_any = ["config", "data"])]
    pub log: Option<PathBuf>,
    /// The deployment instead.
    #[command(flatten)]
    pub place: Place,
    /// The file with the log's public key; without it, `log.vkey` in the directory, which proves less.
    #[arg(long)]
    pub vkey: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the log must be a continuation of it.
    #[arg(long)]
    pub against: Option<PathBuf>,
    /// Also print the inclusion proof of this entry.
    #[arg(long)]
    pub entry: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `sallyport audit export`
#[derive(Debug, Args)]
pub struct Export {
    /// The deployment.
    #[command(flatten)]
    pub place: Place,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// The first index.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Only events of this tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Where to; without it, standard output.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// `sallyport audit tail`
#[derive(Debug, Args)]
pub struct Tail {
    /// The deployment.
    #[command(flatten)]
    pub place: Place,
    /// How many of the last events to begin with.
    #[arg(long, short = 'n', default_value_t = 10)]
    pub lines: u64,
    /// Keep showing new events.
    #[arg(long, short)]
    pub follow: bool,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line, with its place in the log.
    Jsonl,
    /// OCSF API Activity, one object a line.
    Ocsf,
}

/// `sallyport register …`
#[derive(Debug, Subcommand)]
pub enum Register {
    /// How every upstream stands.
    List {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// How one upstream stands, and what led there.
    Show {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// The upstream.
        name: String,
        /// The most entries of its history.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Print JSON, with the whole document of the assessment that counts.
        #[arg(long)]
        json: bool,
    },
    /// Record an assessment of an upstream.
    Record {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// The upstream.
        name: String,
        /// A result of `sallyport assess --json`.
        #[arg(long)]
        result: PathBuf,
        /// Why a result counts whose target is neither the upstream nor the gate's endpoint for it.
        #[arg(long, value_name = "REASON")]
        target_differs: Option<String>,
    },
    /// Accept the risk of an upstream as it is now, until a date.
    Accept {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// The upstream.
        name: String,
        /// Who decides, and why.
        #[command(flatten)]
        decided: Decided,
        /// The last day, YYYY-MM-DD, UTC.
        #[arg(long, value_name = "YYYY-MM-DD")]
        until: String,
    },
    /// Stop serving an upstream, whatever its score.
    Hold {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// The upstream.
        name: String,
        /// Who decides, and why.
        #[command(flatten)]
        decided: Decided,
    },
    /// End a hold or an acceptance: the score decides.
    Admit {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// The upstream.
        name: String,
        /// Who decides, and why.
        #[command(flatten)]
        decided: Decided,
    },
    /// What needs an assessment or a decision; the answer is no if anything does.
    Due {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Who decides about an upstream, and why.
#[derive(Debug, Args)]
pub struct Decided {
    /// Who decides.
    #[arg(long, value_name = "WHO")]
    pub by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who answers for the upstream from now on.
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
}

/// `sallyport user …`
#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a person to the local directory.
    Add {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// What she signs in with.
        login: String,
        /// Her tenant.
        #[arg(long)]
        tenant: String,
        /// Her name.
        #[arg(long)]
        name: Option<String>,
        /// Her mail address.
        #[arg(long)]
        email: Option<String>,
        /// Whether she administers the tenant.
        #[arg(long)]
        administrator: bool,
        /// Read the password from standard input; without it, one is made and printed once.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Let somebody in nowhere any more, and end all that she has; her agents stop or pass to their successors.
    Disable {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// Her login or id.
        who: String,
    },
    /// Let her sign in again. Nothing that ended lives again, and her agents stay stopped.
    Enable {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// Her login or id.
        who: String,
    },
    /// List a tenant's people.
    List {
        /// The configuration.
        #[command(flatten)]
        configured: Configured,
        /// Their tenant.
        #[arg(long)]
        tenant: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `sallyport config …`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print a configuration to start from.
    Init,
    /// Check a configuration.
    Check(Configured),
    /// Print the JSON Schema of the configuration.
    Schema,
}
