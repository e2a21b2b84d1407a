//! The checks themselves, a file a group. Each leaves its outcomes in [`crate::findings`] and decides no score.

pub(crate) mod acting;
pub(crate) mod agent;
pub(crate) mod agent_hooks;
pub(crate) mod annotations;
pub(crate) mod audience;
pub(crate) mod audit;
pub(crate) mod bundle;
pub(crate) mod canary;
pub(crate) mod contain;
pub(crate) mod definitions;
pub(crate) mod deprovision;
pub(crate) mod discovery;
pub(crate) mod errors;
pub(crate) mod forged;
pub(crate) mod metadata;
pub(crate) mod origin;
pub(crate) mod registration;
pub(crate) mod restriction;
pub(crate) mod scopes;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod tokens;
pub(crate) mod transport;
pub(crate) mod upstream;
