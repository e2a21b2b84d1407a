//! The Model Context Protocol, both eras, without input or output.
//!
//! Bytes of a stranger become a [`envelope::Message`] or a typed refusal; everything that leaves is
//! serialised anew from what was understood. The *legacy* era is 2025-11-25 and before (a handshake and
//! a session), the *modern* era is 2026-07-28 (each request carries its own metadata).
//!
//! | module | what for |
//! |---|---|
//! | [`json`] | strict parser and canonical form |
//! | [`envelope`] | JSON-RPC messages |
//! | [`era`] | protocol versions; which era an HTTP POST speaks |
//! | [`meta`] | per-request metadata, client capabilities, log levels |
//! | [`headers`] | `Mcp-Method`, `Mcp-Name`, `Mcp-Param-*`: checking and making them |
//! | [`sse`] | server-sent events, both directions |
//! | [`errors`] | error codes, refusals and how errors cross eras |
//! | [`methods`] | who answers a method, in which era, and what it needs |
//! | [`translate`] | handshake, results, server requests and notifications across eras |
//! | [`catalogue`] | typed definitions, their hashes, filtered lists |
//!
//! It never opens a socket, reads a clock, decides who may do what, or trusts a name that it has not
//! compared byte by byte.

pub mod catalogue;
pub mod envelope;
pub mod era;
pub mod errors;
pub mod headers;
pub mod json;
pub mod meta;
pub mod methods;
pub mod sse;
pub mod translate;

pub use envelope::{Incoming, Limits, Message, Notification, Outcome, Request, RequestId, Response};
pub use era::{Era, ProtocolVersion, Spoken};
pub use errors::{Error, Refusal, RpcError};
pub use json::Object;
pub use meta::{ClientCapabilities, LogLevel, RequestMeta};

#[cfg(test)]
mod spec_tests;
