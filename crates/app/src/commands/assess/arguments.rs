//! The command line of `sallyport assess`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use url::Url;

/// Put the ten questions to an MCP server, gather evidence, and score it.
///
/// Without more it makes every check that needs nothing but the target. It never writes to the target but by a
/// tool that you name with `--acting-tool`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["url", "stdio", "config", "answers", "rubric"]))]
pub struct Assess {
    /// The MCP endpoint.
    #[arg(conflicts_with_all = ["stdio", "config"])]
    pub url: Option<Url>,
    /// Assess a local server: `--stdio -- COMMAND ARGUMENTS…`.
    #[arg(long, requires = "command", conflicts_with = "config")]
    pub stdio: bool,
    /// Assess every server in an MCP client's configuration file, and what they allow together.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Print the rubric that the scores come from.
    #[arg(long, exclusive = true)]
    pub rubric: bool,
    /// The command of `--stdio`.
    #[arg(last = true)]
    pub command: Vec<String>,
    /// Whom the assessor may be.
    #[command(flatten)]
    pub identities: Identities,
    /// What it may try.
    #[command(flatten)]
    pub tools: Tools,
    /// A file of hooks: commands and URLs that deprovision, revoke, restrict, export, contain.
    #[arg(long, value_name = "FILE.toml")]
    pub hooks: Option<PathBuf>,
    /// The vendor's statements, which stand in for what cannot be seen.
    #[arg(long, value_name = "FILE.toml")]
    pub evidence: Option<PathBuf>,
    /// The vendor's answers (TOML, or a CAIQ-like sheet as CSV): scored by themselves without a URL, and beside the
    /// evidence with one, where they stand in as `--evidence` does.
    #[arg(long, value_name = "FILE", conflicts_with = "evidence")]
    pub answers: Option<PathBuf>,
    /// Whose CSV sheet it is; a sheet does not say so itself.
    #[command(flatten)]
    pub statement: Statement,
    /// Failures that somebody chose to live with. They stay visible, and count.
    #[arg(long, value_name = "FILE.toml")]
    pub suppress: Option<PathBuf>,
    /// An earlier result to compare with; the answer is no if something got worse.
    #[arg(long, value_name = "FILE.json")]
    pub baseline: Option<PathBuf>,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Where to; without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Names, colours and logos for the report's first page.
    #[arg(long, value_name = "FILE.toml")]
    pub brand: Option<PathBuf>,
    /// The answer is no below this evidence score. While a required check did not run, the least that the score
    /// can be counts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=20))]
    pub min_score: Option<u8>,
    /// For the whole run, in seconds; without it 30, and 240 with hooks.
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Show every check, not only what decides.
    #[arg(long)]
    pub details: bool,
}

/// Whose answers a CSV sheet holds.
#[derive(Debug, Args)]
pub struct Statement {
    /// Where the sheet is published.
    #[arg(long, value_name = "URL", requires = "answers")]
    pub answers_document: Option<String>,
    /// Who answers for it.
    #[arg(long, value_name = "NAME", requires = "answers")]
    pub answers_owner: Option<String>,
    /// When it was filled in.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "answers")]
    pub answers_date: Option<String>,
    /// Until when it holds.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "answers")]
    pub answers_expire: Option<String>,
}

/// Whom the assessor may be. Secrets come from the environment: a command line is seen by everybody.
#[derive(Debug, Args)]
pub struct Identities {
    /// A test person: the assessor signs in with the authorization server's own form.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The variable that holds her password.
    #[arg(long, value_name = "VARIABLE", requires = "user")]
    pub password_env: Option<String>,
    /// Her password; better use `--password-env`.
    #[arg(long, value_name = "PASSWORD", requires = "user", conflicts_with = "password_env")]
    pub password: Option<String>,
    /// A second test person.
    #[arg(long, value_name = "NAME")]
    pub second_user: Option<String>,
    /// The variable that holds her password.
    #[arg(long, value_name = "VARIABLE", requires = "second_user")]
    pub second_password_env: Option<String>,
    /// Her password; better use `--second-password-env`.
    #[arg(long, value_name = "PASSWORD", requires = "second_user", conflicts_with = "second_password_env")]
    pub second_password: Option<String>,
    /// Sign in yourself: prints a URL to open in a browser, and waits.
    #[arg(long, conflicts_with = "user")]
    pub login: bool,
    /// The variable that holds an access token of a person.
    #[arg(long, value_name = "VARIABLE")]
    pub token_env: Option<String>,
    /// An access token of a person; better use `--token-env`.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_env")]
    pub token: Option<String>,
    /// The variable that holds an access token of a second person.
    #[arg(long, value_name = "VARIABLE")]
    pub second_token_env: Option<String>,
    /// The variable that holds a genuine token of the same issuer for another resource.
    #[arg(long, value_name = "VARIABLE")]
    pub foreign_token_env: Option<String>,
    /// Another resource of the same authorization server: a token for it must open nothing here.
    #[arg(long, value_name = "URL")]
    pub foreign_resource: Option<Url>,
    /// The authorization server that passwords and client secrets are for: nobody signs in at another one, whatever
    /// the target names.
    #[arg(long, value_name = "URL")]
    pub issuer: Option<Url>,
    /// An agent's client id.
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// The variable that holds its secret.
    #[arg(long, value_name = "VARIABLE", requires = "client_id")]
    pub client_secret_env: Option<String>,
    /// Its secret; better use `--client-secret-env`.
    #[arg(long, value_name = "SECRET", requires = "client_id", conflicts_with = "client_secret_env")]
    pub client_secret: Option<String>,
    /// The client that people sign in through, where it is registered beforehand.
    #[arg(long, value_name = "ID")]
    pub oauth_client_id: Option<String>,
    /// The variable that holds its secret.
    #[arg(long, value_name = "VARIABLE", requires = "oauth_client_id")]
    pub oauth_client_secret_env: Option<String>,
}

/// What the assessor may try.
#[derive(Debug, Args)]
pub struct Tools {
    /// A tool and argument that it gives back, to see what becomes of hidden text, orders and credentials.
    #[arg(long, value_name = "TOOL.ARGUMENT")]
    pub canary: Option<String>,
    /// A tool that acts and may be tried, to see whether it waits for a person.
    #[arg(long, value_name = "TOOL")]
    pub acting_tool: Option<String>,
    /// Its arguments.
    #[arg(long, value_name = "JSON", requires = "acting_tool")]
    pub acting_arguments: Option<String>,
    /// A harmless tool for ordinary calls; without it, one that calls itself read-only and needs no argument.
    #[arg(long, value_name = "TOOL")]
    pub read_tool: Option<String>,
    /// Its arguments.
    #[arg(long, value_name = "JSON", requires = "read_tool")]
    pub read_arguments: Option<String>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One screen.
    Text,
    /// Everything, by a published schema.
    Json,
    /// One page without anything outside it.
    Html,
    /// To hand over.
    Pdf,
    /// For code scanning.
    Sarif,
    /// A small picture.
    Badge,
}
