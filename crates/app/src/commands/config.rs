//! `sallyport config`: a file to start from, a check, a schema.

use crate::{
    End,
    cli::{Config as Command, Configured},
    config::Config,
};

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<End> {
    match command {
        Command::Init => print!("{}", include_str!("../../assets/sallyport.toml")),
        Command::Schema => println!("{:#}", Config::schema()),
        Command::Check(configured) => {
            let config = load(&configured)?;
            for upstream in &config.upstreams {
                upstream.offered()?;
            }
            println!("{}: good", configured.config.display());
        }
    }
    Ok(End::Done)
}

/// Loads the configuration that a command names, with overrides from the environment.
pub fn load(configured: &Configured) -> anyhow::Result<Config> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    Ok(Config::load(&configured.config, &environment)?)
}
