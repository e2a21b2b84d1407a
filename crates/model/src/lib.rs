//! The nouns of Sallyport: typed ids, principals, scopes, decisions, audit events, and the
//! traits through which time, randomness and recording are handed in.
//!
//! This crate imports nothing of ours, opens nothing and decides nothing.

pub mod assessment;
pub mod clock;
pub mod decision;
pub mod event;
pub mod hex;
pub mod id;
pub mod peer;
pub mod principal;
pub mod rng;
pub mod scope;
pub mod secret;
pub mod strangers;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use decision::{Decision, Reason};
pub use event::{AuditEvent, EventKind, Receipt, RecordError, Recorder};
pub use hex::hex;
pub use id::*;
pub use peer::PeerCertificate;
pub use principal::{Actor, Binding, KeyBinding, Mark, Principal, PrincipalKind};
pub use rng::{Rng, SeededRng, SystemRng};
pub use scope::{Scope, ScopeSet};
pub use secret::Secret;
pub use strangers::Strangers;
