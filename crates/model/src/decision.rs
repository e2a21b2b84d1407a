//! A decision is a value; denial is not an error.

use serde::{Deserialize, Serialize};

use crate::ScopeSet;

/// Whether something may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that nobody reads protects nothing"]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not, and why.
    Deny(Reason),
}

/// Why something is refused. The `code` of each goes to the audit log and the error pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// The token lacks scopes that the operation needs; all of them are named at once.
    InsufficientScope {
        /// Every scope that would be enough, not only the missing ones.
        needed: ScopeSet,
    },
    /// The tool, resource or prompt is not in the upstream's pinned catalogue.
    NotInCatalogue {
        /// Its name or URI.
        name: String,
    },
    /// The principal's tenant may not use this upstream.
    UpstreamNotGranted,
    /// The method is not one that the gate lets through.
    MethodNotAllowed {
        /// The JSON-RPC method.
        method: String,
    },
    /// A limit was reached.
    LimitReached {
        /// Which limit, as the configuration names it.
        limit: String,
    },
}

impl Reason {
    /// The stable code, as in the audit log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::NotInCatalogue { .. } => "not_in_catalogue",
            Self::UpstreamNotGranted => "upstream_not_granted",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::LimitReached { .. } => "limit_reached",
        }
    }
}
