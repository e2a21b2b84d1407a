//! Sign-in, account and passkeys, through the router, over the embedded store.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod account;
mod agents;
mod authenticator;
mod id_jag;
mod linking;
mod oidc;
mod oidc_again;
mod oidc_attacks;
mod oidc_logout;
mod oidc_provider;
mod passkeys;
mod realm;
mod render;
mod saml;
mod saml_logout;
mod saml_metadata;
mod saml_provider;
mod scim;
mod sessions;
mod sign_in;
mod ssf;
mod ssf_attacks;
mod ssf_failing;
mod ssf_keys;
mod ssf_poll;
mod ssf_revocation;
mod ssf_setup;
mod ssf_strict;
mod ssf_transmitter;
mod support;
