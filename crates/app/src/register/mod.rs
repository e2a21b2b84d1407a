//! The register of assessed upstreams: what comes into it, what the gate writes of it into the audit log, and
//! the gate's own schedule.
//!
//! Whether an upstream is served follows from it in the gate (`sallyport_proxy::register`), and nowhere else.

pub mod assessor;
pub mod entry;
pub mod logging;
pub mod moments;
pub mod reassess;
#[cfg(test)]
pub mod testing;

use std::time::Duration;

/// What a deployment demands of its upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// The least score of an upstream that is served; without it none is demanded.
    pub minimum: Option<u8>,
    /// How often each upstream is assessed by the gate itself, if at all.
    pub reassess_every: Option<Duration>,
}
