//! The only HTTP client and the only spawner of processes.
//!
//! | module | for | addresses come from |
//! |---|---|---|
//! | [`guard`] | one document of a stranger's URL (client metadata, key sets) | anybody: guarded against SSRF |
//! | [`http`] | an upstream's MCP endpoint, pooled and streaming | the administrator's configuration |
//! | [`probe`] | any request to a server under assessment, streaming | a hostile target: checked by the caller's policy, resolved once |
//! | [`provider`] | an identity provider, a transmitter of signals | a tenant's administrator: guarded against SSRF |
//! | [`stdio`] | an upstream that is a process | the administrator's configuration |
//! | [`loopback`] | the redirect that ends a sign-in in a browser | nowhere: it waits |
//! | [`dns`] | TXT records of a domain that a tenant claims | the system's name servers |
//! | [`command`] | a program that runs once and ends | the operator's file |
//!
//! It never follows a redirect, never sends a header that its caller did not write (`Host` and
//! `Content-Length` apart), never runs a shell, and never spawns from anything but a
//! [`stdio::StdioSpec`] or a [`command::CommandSpec`].

mod address;
pub mod command;
pub mod dns;
mod error;
pub mod guard;
pub mod http;
mod lines;
pub mod loopback;
pub mod probe;
pub mod provider;
pub mod stdio;
mod tls;
#[cfg(test)]
mod tls_server;

pub use address::{AddressPolicy, RefusedAddress};
pub use error::Error;
pub use tls::{ClientIdentity, certificates_from_pem};
