//! What the gate is told at start. Valid by construction: the app parses and checks, this only holds.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sallyport_model::{ScopeSet, TenantId, UpstreamName};

use crate::{scopes, upstream::UpstreamSpec};

/// Bounds on what one client may ask of the gate.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Levels of JSON nesting.
    pub json_depth: usize,
    /// Messages in one 2025-03-26 batch.
    pub batch: usize,
    /// Calls in progress of one principal.
    pub calls: usize,
    /// Long-lived streams of one principal.
    pub streams: usize,
    /// Legacy MCP sessions of one principal.
    pub sessions: usize,
    /// A legacy session that is not used for this long ends.
    pub session_idle: Duration,
    /// A call that waits for a person's or model's input ends after this.
    pub parked: Duration,
    /// No request body may take longer to arrive.
    pub body_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            json_depth: 64,
            batch: 32,
            calls: 64,
            streams: 16,
            sessions: 16,
            session_idle: Duration::from_secs(30 * 60),
            parked: Duration::from_secs(10 * 60),
            body_time: Duration::from_secs(30),
        }
    }
}

/// Which tenants may use an upstream. There is no default: absence never grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenants {
    /// Every tenant of the deployment.
    All,
    /// These.
    These(BTreeSet<TenantId>),
}

impl Tenants {
    /// Whether `tenant` is among them.
    pub fn contains(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::These(tenants) => tenants.contains(tenant),
        }
    }
}

/// A group of tools that a scope covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Tools pinned as read-only, resources, prompts, completion.
    Read,
    /// Every other tool.
    Write,
}

/// One upstream as the gate offers it.
#[derive(Debug, Clone)]
pub struct Offered {
    /// How to reach it.
    pub spec: Arc<UpstreamSpec>,
    /// What people call it.
    pub title: String,
    /// Who may use it.
    pub tenants: Tenants,
    /// What a client that names no scope is offered.
    pub initial: Vec<Group>,
}

impl Offered {
    /// The upstream's name.
    pub fn name(&self) -> &UpstreamName {
        &self.spec.name
    }

    /// The scopes of the groups in `initial`.
    pub fn initial_scopes(&self) -> ScopeSet {
        self.initial.iter().map(|group| scopes::group(self.name(), *group)).collect()
    }
}

/// The gate's configuration.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// The authorization server's issuer URL.
    pub issuer: String,
    /// Scheme and authority under which clients reach the gate, without a trailing slash.
    pub public_url: String,
    /// Other origins whose pages may call the gate, such as `https://inspector.example`; a port of
    /// `*` stands for any port.
    pub allowed_origins: Vec<String>,
    /// Bounds.
    pub limits: Limits,
    /// The upstreams.
    pub upstreams: Vec<Offered>,
}

impl GateConfig {
    /// The resource identifier (RFC 8707) and endpoint of an upstream.
    pub fn resource(&self, upstream: &UpstreamName) -> String {
        format!("{}/mcp/{upstream}", self.public_url)
    }

    /// Where an upstream's protected resource metadata is (RFC 9728 section 3.1, path inserted).
    pub fn resource_metadata(&self, upstream: &UpstreamName) -> String {
        format!("{}/.well-known/oauth-protected-resource/mcp/{upstream}", self.public_url)
    }

    /// `host[:port]` of the public URL, as a `Host` header has it.
    pub fn authority(&self) -> &str {
        self.public_url.split_once("://").map_or(self.public_url.as_str(), |(_, rest)| rest)
    }

    /// Whether a page of `origin` may call the gate.
    pub fn allows_origin(&self, origin: &str) -> bool {
        origin == self.public_url || self.allowed_origins.iter().any(|allowed| origin_matches(allowed, origin))
    }
}

fn origin_matches(allowed: &str, origin: &str) -> bool {
    match allowed.strip_suffix(":*") {
        None => allowed == origin,
        Some(base) => {
            let port = origin.strip_prefix(base).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
            match port {
                Some("") => origin == base,
                Some(port) => origin.len() == base.len() + 1 + port.len() && port.bytes().all(|b| b.is_ascii_digit()),
                None => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_wildcard_matches_ports_and_nothing_else() {
        for ok in ["http://localhost", "http://localhost:6274"] {
            assert!(origin_matches("http://localhost:*", ok), "{ok}");
        }
        for no in [
            "http://localhost.evil.example",
            "http://localhost:1@evil.example",
            "http://localhost:6274/x",
            "https://localhost:1",
            "http://localhost6",
        ] {
            assert!(!origin_matches("http://localhost:*", no), "{no}");
        }
    }
}
