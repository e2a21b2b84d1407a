//! What is remembered of which eras an upstream serves.
//!
//! The era is a property of the server (2026-07-28 basic/versioning), so it is asked once. That an era is
//! *not* served is believed for a while only: servers are upgraded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sallyport_mcp::Era;
use sallyport_model::UpstreamName;
use tokio::time::Instant;

/// How long "it does not speak that era" is believed.
const BELIEF: Duration = Duration::from_secs(600);

/// Which eras are known not to be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// `initialize` was refused.
    pub(super) no_legacy: bool,
    /// `server/discover` was refused.
    pub(super) no_modern: bool,
}

impl Known {
    /// The era to try first for a client of `own`.
    pub(super) fn first(self, own: Era) -> Era {
        match own {
            Era::Legacy if self.no_legacy && !self.no_modern => Era::Modern,
            Era::Modern if self.no_modern && !self.no_legacy => Era::Legacy,
            own => own,
        }
    }
}

/// The memory.
#[derive(Debug)]
pub(super) struct Eras {
    belief: Duration,
    memory: Mutex<HashMap<UpstreamName, (Known, Instant)>>,
}

impl Default for Eras {
    fn default() -> Self {
        Self { belief: BELIEF, memory: Mutex::default() }
    }
}

impl Eras {
    pub(super) fn known(&self, upstream: &UpstreamName) -> Known {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.get(upstream) {
            Some((known, at)) if at.elapsed() < self.belief => *known,
            _ => Known::default(),
        }
    }

    pub(super) fn learn(&self, upstream: &UpstreamName, known: Known) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.get(upstream) {
            // The same again does not prolong the belief.
            Some((old, at)) if *old == known && at.elapsed() < self.belief => {}
            _ => {
                memory.insert(upstream.clone(), (known, Instant::now()));
            }
        }
    }

    pub(super) fn forget(&self, upstream: &UpstreamName) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(upstream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_era_is_asked_for_again_after_a_while() {
        let belief = Duration::from_millis(200);
        let (eras, name) = (Eras { belief, ..Eras::default() }, UpstreamName::new("files").unwrap());
        let no_modern = Known { no_modern: true, no_legacy: false };
        eras.learn(&name, no_modern);
        assert_eq!(eras.known(&name).first(Era::Modern), Era::Legacy);
        tokio::time::sleep(belief / 2).await;
        eras.learn(&name, no_modern);
        tokio::time::sleep(belief / 2).await;
        assert_eq!(eras.known(&name).first(Era::Modern), Era::Modern, "the same again does not prolong it");
    }

    #[test]
    fn a_client_keeps_its_own_era_unless_only_the_other_is_served() {
        assert_eq!(Known::default().first(Era::Legacy), Era::Legacy);
        assert_eq!(Known { no_legacy: true, no_modern: false }.first(Era::Legacy), Era::Modern);
        assert_eq!(Known { no_legacy: true, no_modern: true }.first(Era::Legacy), Era::Legacy);
    }
}
