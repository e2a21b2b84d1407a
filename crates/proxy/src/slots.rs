//! How much one principal has going on at once, bounded.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use sallyport_model::{Binding, Reason};

use crate::refusal::Refusal;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// Calls in progress.
    Calls,
    /// Long-lived streams.
    Streams,
    /// Legacy MCP sessions.
    Sessions,
    /// Bodies that are being read and parsed.
    Bodies,
    /// Requests in progress whose body was a large one.
    LargeBodies,
    /// Tasks of a legacy upstream that wait for a modern client's input.
    Tasks,
}

impl What {
    /// The limit's name in the configuration, if it is set there.
    fn limit(self) -> &'static str {
        match self {
            Self::Calls => "limits.calls",
            Self::Streams => "limits.streams",
            Self::Sessions => "limits.sessions",
            Self::Bodies => "bodies at once",
            Self::LargeBodies => "bodies over 64 KiB at once",
            Self::Tasks => "tasks that wait for input at once",
        }
    }
}

type Counts = Arc<Mutex<HashMap<(What, Binding), usize>>>;

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Slots(Counts);

/// One place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    counts: Counts,
    key: (What, Binding),
}

impl Slots {
    /// Takes a place, if fewer than `most` are taken.
    pub(crate) fn take(&self, what: What, binding: Binding, most: usize) -> Result<Slot, Refusal> {
        let full = || Refusal::Denied(Reason::LimitReached { limit: what.limit().to_owned() });
        let mut counts = self.0.lock().map_err(|_| full())?;
        let key = (what, binding);
        let count = counts.entry(key.clone()).or_default();
        if *count >= most {
            return Err(full());
        }
        *count += 1;
        drop(counts);
        Ok(Slot { counts: Arc::clone(&self.0), key })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Ok(mut counts) = self.counts.lock() else { return };
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::principal;

    #[test]
    fn a_place_comes_back_when_its_holder_is_done() {
        let slots = Slots::default();
        let binding = principal().binding();
        let first = slots.take(What::Calls, binding.clone(), 1).unwrap();
        assert!(slots.take(What::Calls, binding.clone(), 1).is_err());
        assert!(slots.take(What::Streams, binding.clone(), 1).is_ok(), "counted apart");
        drop(first);
        assert!(slots.take(What::Calls, binding, 1).is_ok());
    }
}
