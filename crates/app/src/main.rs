//! `sallyport`: parses the command line, runs a command, maps its end to an exit code.
//!
//! Exit codes: 0 done; 1 it says no; 2 usage or configuration; 3 could not run.

#![expect(unreachable_pub, reason = "a binary has no public interface; `pub` says what a module offers")]

mod announce;
mod cli;
mod client_certificates;
mod commands;
mod config;
mod deployment;
mod health;
mod kept;
mod keyring;
mod linking;
mod listeners;
mod notices;
mod offer;
mod orphans;
mod register;
mod secrets;
mod tour;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    config::ConfigError,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did what was asked.
    Done,
    /// What was asked has the answer no.
    No,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_standard_error();
    match run(cli.command) {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::No) => ExitCode::from(1),
        // Whoever reads has enough, as `| head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 3 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<End> {
    match command {
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Manual => commands::manual::page(),
        Command::Config(command) => commands::config::run(command),
        Command::Assess(command) => runtime()?.block_on(commands::assess::run(*command)),
        Command::Report(command) => runtime()?.block_on(commands::report::run(*command)),
        Command::Audit(command) => runtime()?.block_on(commands::audit::run(command)),
        Command::Register(command) => runtime()?.block_on(commands::register::run(command)),
        Command::Tenant(command) => runtime()?.block_on(commands::tenant::run(command)),
        Command::ApiToken(command) => runtime()?.block_on(commands::api_token::run(command)),
        Command::Agent(command) => runtime()?.block_on(commands::agent::run(command)),
        Command::Contain(command) => runtime()?.block_on(commands::contain::run(command)),
        Command::User(command) => runtime()?.block_on(commands::user::run(command)),
        Command::Doctor(command) => runtime()?.block_on(commands::doctor::run(command)),
        Command::Serve(command) => runtime()?.block_on(commands::serve::run(command)),
        Command::Demo(command) => runtime()?.block_on(commands::demo::run(command)),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn log_to_standard_error() {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SALLYPORT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
}
