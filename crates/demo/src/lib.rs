//! The demo's built-in MCP server: a small help desk with tickets, customers and a mail outbox.
//!
//! It plays the part of a vendor's own server behind the gate, faults and all: one ticket carries
//! an injected instruction in hidden text, one tool hands out a credential. It speaks every
//! protocol version that `rmcp` knows, and it takes one bearer token, its own: whatever a client
//! presented to the gate is refused here.
//!
//! It binds no socket, mails nobody and keeps everything in memory. It is never part of `serve`.

mod catalogue;
mod desk;
mod entrance;
mod poison;
mod server;
mod tools;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use sallyport_model::Secret;

pub use desk::{Access, Customer, Desk, Mail, Note, Ticket, TicketStatus};
pub use entrance::{Arrival, Seen, digest};
pub use poison::{LEAKED_KEY_ID, LEAKED_SECRET_KEY, POISON_MARK, POISONED_TICKET};
pub use server::HelpDesk;

/// One demo server: its token, what it saw, and its state. Cheap to clone; clones share all three.
#[derive(Clone)]
pub struct Demo {
    token: Secret,
    seen: Arc<Seen>,
    desk: Arc<Mutex<Desk>>,
}

impl Demo {
    /// A fresh help desk that answers only to `Authorization: Bearer TOKEN`.
    pub fn new(token: Secret) -> Self {
        Self { token, seen: Arc::new(Seen::default()), desk: Arc::new(Mutex::new(Desk::seeded())) }
    }

    /// The service, with the MCP endpoint at `/mcp`, for a listener that the caller owns.
    ///
    /// `Host` must be a loopback name (MCP 2025-11-25, transports, "Security Warning"). No request
    /// that carries an `Origin` gets in: no browser has any business here.
    pub fn router(&self) -> Router {
        let config = StreamableHttpServerConfig::default().enforce_origin_validation();
        let desk = Arc::clone(&self.desk);
        let service: StreamableHttpService<HelpDesk, LocalSessionManager> = StreamableHttpService::new(
            move || Ok(HelpDesk::new(Arc::clone(&desk))),
            Arc::new(LocalSessionManager::default()),
            config,
        );
        entrance::guard(Router::new().nest_service("/mcp", service), &self.token, &self.seen)
    }

    /// What has arrived so far: tests read here that no client's credential came through.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The state, for tests that check what a call did or did not do. Do not hold it across a call.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        desk::lock(&self.desk)
    }
}
