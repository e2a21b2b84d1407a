//! The request path: from a client's bytes to an upstream's answer and back.
//!
//! ```text
//! receive → authenticate → read → authorize → forward → record → respond
//! ```
//!
//! One file and one type a step; a stage's type can be made in its own file only, so that code which
//! skips a stage does not compile. The client's token, cookies and headers end at `authenticate` and
//! `read`: nothing of them has a way into [`upstream`].

pub mod admission;
mod authenticate;
mod authorize;
pub mod catalogue;
mod challenge;
mod conduct;
pub mod config;
mod cors;
mod delete;
mod demands;
mod discovery;
mod frames;
pub mod gate;
mod given;
mod legacy;
mod legs;
mod link;
mod listen;
mod modern;
mod parked;
mod pending;
mod pins;
mod possession;
mod post;
mod presented;
mod proof_ids;
mod read;
mod receive;
mod record;
mod refusal;
pub mod register;
mod relay;
mod respond;
pub mod revocation;
pub mod sanitise;
pub mod scopes;
mod served;
mod sessions;
mod slots;
mod state;
pub mod strangers;
mod sweep;
mod tasks;
#[cfg(test)]
mod testing;
pub mod upstream;
mod uses;
mod work;

pub use admission::{Admission, Held};
pub use config::{GateConfig, Group, Limits, Offered, Tenants};
pub use gate::{Deps, Gate, Health};
pub use possession::Possession;
pub use proof_ids::{GatheredProofIds, MemoryProofIds, NoProofIds, ProofIds, StoredProofIds, UsedProof};
pub use receive::Peer;
pub use register::RegisterView;
pub use revocation::RevocationView;
pub use served::{ScopeMeaning, Served, Tool};
