//! Identity Assertion JWT Authorization Grants (draft-ietf-oauth-identity-assertion-authz-grant, "ID-JAG"; MCP's
//! Enterprise-Managed Authorization): an identity provider says that one client may act for one person here.
//!
//! | module | what for |
//! |---|---|
//! | [`verify`] | one that a tenant's identity provider issued to a client of ours |
//! | [`issue`] | one of ours, for an upstream's authorization server |
//!
//! The grant is good for the client that it names, at the one server that it names, once. Whether it was seen
//! before is state, and the caller's: it remembers [`IdJag::replay_id`] until [`IdJag::remember_until`]. What it
//! allows is at most what the person may do here anyway, and deciding that is the caller's too.

mod issue;
mod verify;

use std::time::Duration;

pub use issue::{IdJagClaims, issue};
pub use verify::{ExpectIdJag, ForeignActor, IdJag, IdJagFault, verify};

/// The `typ` of an ID-JAG.
pub const TYPE: &str = "oauth-id-jag+jwt";
/// An ID-JAG may live at most this long, and be issued at most this long ago.
pub const MAX_LIFETIME: Duration = Duration::from_secs(600);
/// Its token type (RFC 8693 section 3).
pub const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id-jag";
/// Its entry in `authorization_grant_profiles_supported`.
pub const PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

#[cfg(test)]
mod tests;
