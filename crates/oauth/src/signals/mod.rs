//! The receiver's half of security events: what an identity provider says when access should end.
//!
//! | module | what for |
//! |---|---|
//! | [`set`], [`subject`], [`event`] | security event tokens (RFC 8417), whom they are about (RFC 9493), what happened (CAEP, RISC, SSF) |
//! | [`transmitter`], [`stream`] | Shared Signals Framework 1.0: the transmitter's metadata and its streams |
//! | [`delivery`] | push (RFC 8935) and poll (RFC 8936) |
//! | [`revocation`] | Global Token Revocation, as Okta's Universal Logout sends it |
//!
//! It never opens a socket or keeps state. An event can end access and never grants any; whether a token
//! was seen before, and whether its subject is the tenant's, is the caller's business.

pub mod delivery;
pub mod event;
pub mod fault;
pub mod revocation;
pub mod set;
pub mod stream;
pub mod subject;
pub mod transmitter;

pub use event::{Effect, Event};
pub use fault::SignalFault;
pub use set::{ExpectSet, SecurityEvent};
pub use subject::{Subject, SubjectId};
pub use transmitter::TransmitterMetadata;

#[cfg(test)]
mod tests;
