//! Event ids that a legacy session's client was given, the only ones that it may resume after.
//!
//! An upstream may give one client's stream to whoever names its event id. The gate reaches it with one
//! credential for everybody, so that keeping people apart is the gate's part.

use std::{collections::VecDeque, sync::Mutex};

use aws_lc_rs::digest::{SHA256, digest};

/// Ids that are remembered; older ones are forgotten and cannot be resumed after.
const MOST: usize = 4096;

/// The ids of one session, as digests: an upstream chooses their length.
#[derive(Default)]
pub(crate) struct GivenIds(Mutex<VecDeque<[u8; 32]>>);

impl GivenIds {
    /// Remembers an id that is about to be given to the client.
    pub(crate) fn add(&self, id: &str) {
        let Ok(mut ids) = self.0.lock() else { return };
        if ids.len() >= MOST {
            ids.pop_front();
        }
        ids.push_back(fingerprint(id));
    }

    /// Whether the client was given this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.lock().is_ok_and(|ids| ids.contains(&fingerprint(id)))
    }
}

fn fingerprint(id: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ids_are_known_and_no_others() {
        let ids = GivenIds::default();
        assert!(!ids.contains("0"));
        for n in 0..=MOST {
            ids.add(&n.to_string());
        }
        assert!(!ids.contains("0"), "forgotten");
        assert!(ids.contains("1") && ids.contains(&MOST.to_string()));
        assert!(!ids.contains("") && !ids.contains("1 "));
    }
}
