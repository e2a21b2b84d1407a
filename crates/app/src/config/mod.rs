//! `sallyport.toml`: one struct a section, unknown keys refused, parsed into valid types at the edge.
//!
//! A value may come from the environment instead: `SALLYPORT_SECTION_KEY` overrides `section.key` for
//! scalars. Secrets are never written in the file: it names a variable or a file that holds them.

mod admission;
mod error;
mod identity;
mod limits;
mod oauth;
mod server;
mod state;
mod tenants;
mod upstream_credential;
mod upstreams;

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

pub use admission::Admission;
pub use error::ConfigError;
pub use identity::Identity;
pub use limits::Limits;
pub use oauth::OAuth;
pub use server::{ClientCertificates, Server, Tls};
pub use state::State;
pub use tenants::Tenant;
pub use upstreams::Upstream;

/// The whole file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the gate listens and what it is called.
    pub server: Server,
    /// Where state is kept.
    pub data: State,
    /// The authorization server.
    #[serde(default)]
    pub oauth: OAuth,
    /// How people sign in.
    #[serde(default)]
    pub identity: Identity,
    /// Bounds on what one client may ask.
    #[serde(default)]
    pub limits: Limits,
    /// Which upstreams are served, by what their assessment says.
    #[serde(default)]
    pub admission: Admission,
    /// Customers that are there from the start; `sallyport tenant create` makes more.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// The MCP servers behind the gate. At least one.
    pub upstreams: Vec<Upstream>,
}

impl Config {
    /// Reads and checks a file, with overrides from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`], naming the field, its place and the remedy.
    pub fn load(path: &Path, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(&text, path, environment)
    }

    /// Parses and checks the text of a file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let place = |error: toml::de::Error| error::located(text, path, &error);
        // Once for the text, so that an error shows its place; once more with the overrides.
        let config: Self = toml::from_str(text).map_err(place)?;
        let config = if environment.iter().any(|(name, _)| is_override(name)) {
            let mut table: toml::Table = toml::from_str(text).map_err(place)?;
            for (name, value) in environment.iter().filter(|(name, _)| is_override(name)) {
                put(&mut table, name, value)?;
            }
            Self::deserialize(toml::Value::Table(table))
                .map_err(|error| ConfigError::Environment(error.message().to_owned()))?
        } else {
            config
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        self.data.check()?;
        self.admission.check()?;
        if self.upstreams.is_empty() {
            return Err(ConfigError::field("upstreams", "there is none", "add an [[upstreams]] section"));
        }
        let mut names = std::collections::BTreeSet::new();
        for upstream in &self.upstreams {
            upstream.check()?;
            if !names.insert(&upstream.name) {
                let what = format!("`{}` is there twice", upstream.name);
                return Err(ConfigError::field("upstreams.name", &what, "give each upstream a name of its own"));
            }
        }
        for tenant in &self.tenants {
            tenant.check()?;
        }
        Ok(())
    }

    /// The JSON Schema of the file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

const PREFIX: &str = "SALLYPORT_";
const SECTIONS: [&str; 6] = ["SERVER_", "DATA_", "OAUTH_", "IDENTITY_", "LIMITS_", "ADMISSION_"];

fn is_override(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| SECTIONS.iter().any(|section| rest.starts_with(section)))
}

/// Puts `SALLYPORT_SECTION_KEY=value` into the table.
fn put(table: &mut toml::Table, name: &str, value: &str) -> Result<(), ConfigError> {
    let bad = || ConfigError::Environment(format!("{name} names no setting"));
    let rest = name.strip_prefix(PREFIX).ok_or_else(bad)?.to_ascii_lowercase();
    let (section, key) = rest.split_once('_').ok_or_else(bad)?;
    let scalar = match (value.parse::<i64>(), value) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, "true") => toml::Value::Boolean(true),
        (_, "false") => toml::Value::Boolean(false),
        _ => toml::Value::String(value.to_owned()),
    };
    let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    section.as_table_mut().ok_or_else(bad)?.insert(key.to_owned(), scalar);
    Ok(())
}

#[cfg(test)]
mod tests;
