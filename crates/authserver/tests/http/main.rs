//! The authorization server over HTTP: one module per route, and the attacks on it.

#![expect(clippy::unwrap_used, reason = "a test may fall over")]

mod app;
mod attacks;
mod authorize;
mod client_credentials;
mod client_documents;
mod code;
mod consent;
mod discovery;
mod introspect;
mod keys;
mod par;
mod recording;
mod refresh;
mod register;
mod revoke;
mod signing_in;
