//! Workload identity federation: a platform's own token proves which workload asks (RFC 7523 section 2.1, MCP's
//! SEP-1933), so that it needs no secret of ours.
//!
//! | module | what for |
//! |---|---|
//! | [`WorkloadTrust`] | whose tokens, for whom, and which claims they must hold; refused when too wide |
//! | [`ClaimRule`] | one demand on one claim |
//! | [`verify`] | a token, held against a trust |
//!
//! Known here: Kubernetes service accounts, GitHub Actions, GitLab CI, SPIFFE JWT-SVIDs, Google, Entra ID and AWS;
//! every other issuer by an exact `sub`. A token is read only after its signature is verified, and a claim that is
//! missing never matches. Which agent a trust belongs to, and whether a token may be used twice, is the caller's.

mod rule;
mod trust;
mod verify;

pub use rule::{ClaimRule, Demand};
pub use trust::{Platform, TrustFault, WorkloadKeys, WorkloadTrust};
pub use verify::{ExpectWorkload, MAX_LIFETIME, Workload, WorkloadFault, key_set, verify};

#[cfg(test)]
mod tests;
