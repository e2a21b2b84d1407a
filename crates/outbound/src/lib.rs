//! The only HTTP client and the only spawner of processes.
//!
//! | module | for | addresses come from |
//! |---|---|---|
//! | [`guard`] | one document of a stranger's URL (client metadata, key sets) | anybody: guarded against SSRF |
//! | [`http`] | an upstream's MCP endpoint, pooled and streaming | the administrator's configuration |
//! | [`stdio`] | an upstream that is a process | the administrator's configuration |
//!
//! It never follows a redirect, never sends a header that its caller did not write (`Host` and
//! `Content-Length` apart), never runs a shell, and never spawns from anything but a [`stdio::StdioSpec`].

mod address;
mod error;
pub mod guard;
pub mod http;
mod lines;
pub mod stdio;
mod tls;
#[cfg(test)]
mod tls_server;

pub use address::{AddressPolicy, RefusedAddress};
pub use error::Error;
pub use tls::{ClientIdentity, certificates_from_pem};
