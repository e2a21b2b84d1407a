//! The authorization server over HTTP: one module per route, and the attacks on it.

#![expect(clippy::unwrap_used, reason = "a test may fall over")]

mod agent_bounds;
mod agent_credentials;
mod app;
mod attacks;
mod attacks_assertions;
mod attacks_delegation;
mod attacks_dpop;
mod authorize;
mod client_credentials;
mod client_documents;
mod code;
mod consent;
mod delegation;
mod discovery;
mod dpop;
mod exchange;
mod id_jag;
mod introspect;
mod keys;
mod kit;
mod par;
mod recording;
mod refresh;
mod register;
mod revoke;
mod signing_in;
mod workload;
