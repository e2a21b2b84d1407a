//! HTTP and MCP as a careful client speaks them to a server that may be hostile.
//!
//! | module | what for |
//! |---|---|
//! | [`http`] | one request, one answer or stream; limits and time |
//! | `ask` | what is asked and heard |
//! | `inside` | which addresses may be reached |
//! | [`exchange`] | the record of what was said |
//! | [`redact`] | credentials taken out of it |
//! | [`mcp`] | an MCP client, both eras |
//! | `legacy_sse` | HTTP+SSE of 2024-11-05 |
//! | `stdio` | a server as a process |
//!
//! It never follows a redirect, accepts a compressed body, reaches inside for a target that is outside, or
//! records a credential.

mod ask;
pub mod exchange;
pub mod http;
mod inside;
mod legacy_sse;
pub mod mcp;
pub mod redact;
mod stdio;

pub use exchange::{Exchanges, Noted};
pub use http::{Ask, Heard, Stream, Wire, WireError};
pub use mcp::{Answer, ConnectOptions, Credential, EraChoice, McpClient, McpFault, Pending, Reply};
