//! What administrators change: the rules, and the API that obeys them.
//!
//! | module | what for |
//! |---|---|
//! | [`tenancy`] | one function for each change, used by the command line and by the API alike |
//! | [`api`] | `/api/v1` on the private listener: tokens, authority, requests, answers, the OpenAPI document |
//!
//! A change is on record before it happens: who did it, to what, from what to what. No secret is ever part of that
//! record, nor of any answer but the one that makes it. The API knows bearer tokens of its own and nothing else:
//! neither cookies nor the tokens of the authorization server open it.

pub mod api;
mod fault;
pub mod tenancy;

pub use fault::{Code, Fault, Refusal};
