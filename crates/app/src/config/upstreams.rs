//! `[[upstreams]]`: the MCP servers behind the gate. The only place from which a process is ever started.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use sallyport_model::{Secret, TenantId, UpstreamName};
use sallyport_outbound::{http::HttpOptions, stdio::StdioSpec};
use sallyport_proxy::{
    Group, Offered, Tenants,
    upstream::{Timeouts, Transport, UpstreamCredential, UpstreamSpec},
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{
    ConfigError,
    upstream_credential::{Credential, variable_of},
};

/// An MCP server behind the gate. Give `url` for Streamable HTTP or `command` for stdio.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The last segment of its endpoint: `/mcp/NAME`.
    #[schemars(with = "String")]
    pub name: UpstreamName,
    /// What people call it. Default: the name.
    pub title: Option<String>,
    /// Who answers for it: a name, a team or a mail address, for the register.
    pub owner: Option<String>,
    /// Its MCP endpoint.
    #[schemars(with = "Option<String>")]
    pub url: Option<Url>,
    /// The program to start.
    pub command: Option<String>,
    /// The program's arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// The program's environment beyond PATH, HOME, LANG, LC_ALL, TZ and TMPDIR. A value `$NAME` is taken
    /// from the gate's own environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The directory that the program starts in.
    pub cwd: Option<PathBuf>,
    /// Whether all principals of a tenant may share one process, because it keeps no state about them.
    #[serde(default)]
    pub shareable: bool,
    /// The gate's own credential at an HTTP upstream.
    pub credential: Option<Credential>,
    /// Whether each request to an HTTP upstream tells who calls, in the header `Sallyport-Identity`, signed by the
    /// gate.
    #[serde(default)]
    pub identity_header: bool,
    /// Which tenants may use it. Default: all.
    pub tenants: Option<Vec<String>>,
    /// What a client is offered that names no scope. Default: ["read"].
    #[serde(default = "read")]
    pub initial_scopes: Vec<ScopeGroup>,
    /// Seconds to wait for the first byte of an answer. Default: 60.
    #[serde(default = "sixty")]
    pub timeout_seconds: u32,
    /// Largest message that the upstream may send, bytes. Default: 16777216.
    #[serde(default = "sixteen_mib")]
    pub max_message_bytes: usize,
}

/// A group of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeGroup {
    /// Tools that change nothing, resources, prompts.
    Read,
    /// Every other tool.
    Write,
}

fn read() -> Vec<ScopeGroup> {
    vec![ScopeGroup::Read]
}

fn sixty() -> u32 {
    60
}

fn sixteen_mib() -> usize {
    16 << 20
}

impl Upstream {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let field = |name: &str| format!("upstreams[{}].{name}", self.name);
        match (&self.url, &self.command) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                return Err(ConfigError::field(
                    &field("url"),
                    "neither `url` nor `command` is there",
                    "give one of them",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError::field(
                    &field("url"),
                    "`url` and `command` are both there",
                    "give one of them",
                ));
            }
        }
        if self.owner.as_ref().is_some_and(|owner| owner.trim().is_empty()) {
            return Err(ConfigError::field(&field("owner"), "it is empty", "name somebody, or leave it out"));
        }
        if self.command.is_some() && self.credential.is_some() {
            let remedy = "a program gets its credentials by `env`";
            return Err(ConfigError::field(&field("credential"), "it is for HTTP upstreams", remedy));
        }
        if self.command.is_some() && self.identity_header {
            let remedy = "leave it out; a program is told nothing of who calls";
            return Err(ConfigError::field(&field("identity_header"), "it is for HTTP upstreams", remedy));
        }
        if let Some(credential) = &self.credential {
            credential.check(&field("credential"))?;
        }
        for tenant in self.tenants.iter().flatten() {
            if let Err(error) = TenantId::new(tenant.clone()) {
                let remedy = "name a tenant of a [[tenants]] section or of `sallyport tenant list`";
                return Err(ConfigError::field(&field("tenants"), &error.to_string(), remedy));
            }
        }
        Ok(())
    }

    /// As the gate takes it. Reads the credential.
    ///
    /// # Errors
    /// When a secret is not where the configuration says.
    pub fn offered(&self) -> Result<Offered, ConfigError> {
        let spec = UpstreamSpec {
            name: self.name.clone(),
            transport: self.transport()?,
            credential: match &self.credential {
                Some(credential) => credential.read(&format!("upstreams[{}].credential", self.name))?,
                None => UpstreamCredential::None,
            },
            identity_header: self.identity_header,
            timeouts: Timeouts {
                first: Duration::from_secs(u64::from(self.timeout_seconds.max(1))),
                ..Timeouts::default()
            },
            max_message_bytes: self.max_message_bytes,
        };
        let groups = self.initial_scopes.iter().map(|group| match group {
            ScopeGroup::Read => Group::Read,
            ScopeGroup::Write => Group::Write,
        });
        Ok(Offered {
            spec: Arc::new(spec),
            title: self.title.clone().unwrap_or_else(|| self.name.to_string()),
            tenants: self.tenants(),
            initial: groups.collect(),
        })
    }

    fn tenants(&self) -> Tenants {
        match &self.tenants {
            None => Tenants::All,
            Some(names) => Tenants::These(names.iter().filter_map(|name| TenantId::new(name.clone()).ok()).collect()),
        }
    }

    fn transport(&self) -> Result<Transport, ConfigError> {
        if let Some(url) = &self.url {
            return Ok(Transport::Http { url: url.clone(), options: HttpOptions::default() });
        }
        let command = self.command.clone().unwrap_or_default();
        let mut env = BTreeMap::new();
        for (name, value) in &self.env {
            let value = match value.strip_prefix('$') {
                Some(variable) => variable_of(&format!("upstreams[{}].env.{name}", self.name), variable)?,
                None => Secret::new(value.clone()),
            };
            env.insert(name.clone(), value);
        }
        let spec = StdioSpec::from_configuration(command, self.args.clone(), env, self.cwd.clone());
        Ok(Transport::Stdio { spec, shareable: self.shareable })
    }
}
