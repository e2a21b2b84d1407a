//! Sign-in, account and passkeys, through the router, over the embedded store.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod account;
mod authenticator;
mod passkeys;
mod render;
mod sessions;
mod sign_in;
mod support;
