//! `[identity]`: how people sign in.

use std::path::PathBuf;

use ipnet::IpNet;
use rustls_pki_types::CertificateDer;
use sallyport_outbound::{AddressPolicy, certificates_from_pem};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;

/// How people sign in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Whether people sign in at this deployment's own directory. Default: true.
    pub local_directory: bool,
    /// The longest browser session, hours. Default: 12.
    pub session_hours: u32,
    /// Whether administrators must have a passkey. Default: false; needs a host name in `public_url`.
    pub require_passkey_for_administrators: bool,
    /// Networks besides the public ones where tenants' identity providers may be, such as `10.20.0.0/16`. There
    /// plain HTTP is allowed to literal addresses too. Default: none.
    #[schemars(with = "Vec<String>")]
    pub provider_networks: Vec<IpNet>,
    /// A file of PEM certificates that identity providers are trusted by besides the web's roots.
    pub provider_ca: Option<PathBuf>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            local_directory: true,
            session_hours: 12,
            require_passkey_for_administrators: false,
            provider_networks: Vec::new(),
            provider_ca: None,
        }
    }
}

impl Identity {
    /// Where tenants' identity providers may be.
    pub fn providers(&self) -> AddressPolicy {
        if self.provider_networks.is_empty() {
            return AddressPolicy::PublicOnly;
        }
        AddressPolicy::Allowing(self.provider_networks.clone())
    }

    /// What they are trusted by besides the web's roots.
    pub fn provider_roots(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let Some(path) = &self.provider_ca else { return Ok(Vec::new()) };
        let wrong = |what: String| ConfigError::field("identity.provider_ca", &what, "name a file of PEM certificates");
        let pem = std::fs::read_to_string(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        certificates_from_pem(&pem).map_err(|error| wrong(error.to_string()))
    }
}
