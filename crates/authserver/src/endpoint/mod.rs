//! The endpoints that need no browser, one file each.

pub(crate) mod discovery;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod register;
pub(crate) mod revoke;
