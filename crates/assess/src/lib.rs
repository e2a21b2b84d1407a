//! The assessor: probes one MCP server, gathers evidence for each of the ten questions, and scores it.
//!
//! | module | what for |
//! |---|---|
//! | [`catalogue`], [`check`] | the published rubric |
//! | [`findings`], [`score`] | from outcomes to scores |
//! | [`access`] | what the operator gave: identities, tools that may be tried, hooks |
//! | [`bench`] | what a probe works with: the target, what it was given, and every exchange so far |
//! | [`wire`] | HTTP and MCP as a careful client speaks them |
//! | `login` | finding the authorization server, registering, signing in |
//! | `probes` | the checks themselves, a file a group |
//! | [`hooks`] | commands and URLs of the operator that let a probe see or do more |
//! | [`answers`] | the vendor's own answers |
//! | [`fleet`] | several servers together |
//! | [`mapping`] | the ten questions beside other frameworks |
//! | [`run`] | the order of the probes |
//! | `document` | what comes of them |
//!
//! It never writes to the target but where an operator named a tool to try, sends no token anywhere but to
//! the server it is for, follows no redirect by itself, and believes nothing that the target says of itself.

pub mod access;
pub mod answers;
pub mod bench;
pub mod catalogue;
pub mod check;
pub(crate) mod document;
pub mod findings;
pub mod fleet;
pub mod hooks;
pub(crate) mod login;
pub mod mapping;
pub(crate) mod probes;
pub mod run;
pub mod score;
pub mod wire;

pub use access::Access;
pub use bench::{Bench, Target};
pub use run::{assess, was_answered};
