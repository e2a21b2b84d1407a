//! `[server]`: addresses, names, TLS.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::ConfigError;

/// Where the gate listens and what it is called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The public listener: MCP endpoints, OAuth, sign-in. `127.0.0.1:8080`
    pub listen: SocketAddr,
    /// The private listener: health and metrics. `127.0.0.1:9090`
    #[serde(default = "private")]
    pub admin_listen: SocketAddr,
    /// Scheme and authority by which clients reach the public listener: `https://mcp.example.com`. It is
    /// the issuer, and the beginning of every resource identifier.
    #[schemars(with = "String")]
    pub public_url: Url,
    /// How the public listener is protected. Absent: plain HTTP, on loopback only.
    pub tls: Option<Tls>,
    /// Origins of web pages that may call the MCP endpoints; a port of `*` stands for any.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// What pages call this deployment.
    #[serde(default = "product")]
    pub product: String,
    /// Where people find help: an address or a URL.
    pub support: Option<String>,
}

/// TLS of the public listener.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Tls {
    /// Our own.
    Own {
        /// PEM file with the certificate chain.
        certificate: PathBuf,
        /// PEM file with the private key.
        key: PathBuf,
        /// Whether clients are asked for certificates, so that agents may prove themselves by them and bind their
        /// tokens to them (RFC 8705): `off` or `optional`. Default: off.
        #[serde(default)]
        client_certificates: ClientCertificates,
        /// PEM file of the authorities whose word about names in clients' certificates counts. Without it, a
        /// certificate proves its key alone.
        client_ca: Option<PathBuf>,
    },
    /// Something in front of us does it.
    Terminated {
        /// The addresses that it comes from; their `X-Forwarded-For` is believed.
        #[schemars(with = "Vec<String>")]
        trusted_proxies: Vec<IpNet>,
        /// The header in which they pass on the certificate that a client showed: `Client-Cert` (RFC 9440), or one
        /// with the certificate as PEM with percent escapes. It is taken from nobody else.
        client_certificate_header: Option<String>,
        /// As above.
        client_ca: Option<PathBuf>,
    },
}

/// Whether clients are asked for certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Nobody is asked.
    #[default]
    Off,
    /// Everybody is asked, and nobody needs one.
    Optional,
}

impl Tls {
    /// Whether clients can show certificates at all.
    pub fn takes_certificates(&self) -> bool {
        match self {
            Self::Own { client_certificates, .. } => *client_certificates == ClientCertificates::Optional,
            Self::Terminated { client_certificate_header, .. } => client_certificate_header.is_some(),
        }
    }
}

fn private() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9090))
}

fn product() -> String {
    "Sallyport".to_owned()
}

impl Server {
    /// `https://host[:port]` without a slash at the end.
    pub fn origin(&self) -> String {
        self.public_url.origin().ascii_serialization()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let url = &self.public_url;
        if !matches!(url.scheme(), "https" | "http")
            || url.path() != "/"
            || url.query().is_some()
            || url.host().is_none()
        {
            let remedy = "write scheme, host and port alone: public_url = \"https://mcp.example.com\"";
            return Err(ConfigError::field("server.public_url", &format!("`{url}` is not an origin"), remedy));
        }
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            let what = format!("{} is not a loopback address and there is no TLS", self.listen);
            let remedy = "set server.tls = { certificate = \"…\", key = \"…\" }, or { trusted_proxies = [\"…\"] } if a proxy \
                          in front ends TLS, or listen on 127.0.0.1";
            return Err(ConfigError::field("server.listen", &what, remedy));
        }
        let loopback = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !loopback {
            let what = format!("`{url}` is plain HTTP and not on this machine");
            return Err(ConfigError::field("server.public_url", &what, "use https"));
        }
        if !self.admin_listen.ip().is_loopback() {
            let what = format!("{} is not a loopback address", self.admin_listen);
            return Err(ConfigError::field(
                "server.admin_listen",
                &what,
                "listen on 127.0.0.1 and reach it by a tunnel",
            ));
        }
        Ok(())
    }
}
