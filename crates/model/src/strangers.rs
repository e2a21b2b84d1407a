//! Refusals of strangers, counted per source and reason, so that they are recorded in bounded number.
//!
//! Anybody can cause these, so between two drains they never become more than a few hundred events:
//! what does not fit is counted in one remainder. Nothing here records, waits or opens anything.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use serde_json::json;

use crate::{AuditEvent, Clock, EventId, EventKind, Rng, Timestamp, event::Source};

/// Most distinct sources and reasons between two flushes.
const MOST: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    address: String,
    code: &'static str,
    upstream: String,
}

#[derive(Debug, Clone)]
struct Count {
    first: Timestamp,
    last: Timestamp,
    times: u64,
    claimed: BTreeMap<String, String>,
}

/// The counts since the last flush.
#[derive(Debug, Default)]
pub struct Strangers {
    counts: Mutex<(HashMap<Key, Count>, u64)>,
}

impl Strangers {
    /// Counts one refusal by `code`. `upstream` is cut to 64 characters; it is empty where the request
    /// was for none. `claimed` is kept of the first of its kind only.
    pub fn count(
        &self,
        source: &Source,
        code: &'static str,
        upstream: &str,
        claimed: BTreeMap<String, String>,
        now: Timestamp,
    ) {
        let Ok(mut counts) = self.counts.lock() else { return };
        let key = Key { address: source.address.clone(), code, upstream: upstream.chars().take(64).collect() };
        let (kept, rest) = &mut *counts;
        if let Some(count) = kept.get_mut(&key) {
            count.times += 1;
            count.last = now;
        } else if kept.len() < MOST {
            kept.insert(key, Count { first: now, last: now, times: 1, claimed });
        } else {
            *rest += 1;
        }
    }

    /// Takes the counts as events.
    pub fn drain(&self, clock: &dyn Clock, rng: &dyn Rng) -> Vec<AuditEvent> {
        let Ok(mut counts) = self.counts.lock() else { return Vec::new() };
        let (kept, rest) = std::mem::take(&mut *counts);
        drop(counts);
        let now = clock.now();
        let blank = || AuditEvent::new(EventKind::StrangersRefused, EventId::mint(now, rng), now);
        let mut keys: Vec<_> = kept.into_iter().collect();
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let mut events: Vec<AuditEvent> = keys
            .into_iter()
            .map(|(key, count)| {
                let mut event = blank();
                event.source = Some(Source { address: key.address, user_agent: None });
                event.claimed = (!count.claimed.is_empty()).then_some(count.claimed);
                event.facts = BTreeMap::from([
                    ("code".to_owned(), json!(key.code)),
                    ("times".to_owned(), json!(count.times)),
                    ("first".to_owned(), json!(count.first.to_string())),
                    ("last".to_owned(), json!(count.last.to_string())),
                ]);
                if !key.upstream.is_empty() {
                    event.facts.insert("upstream".to_owned(), json!(key.upstream));
                }
                event
            })
            .collect();
        if rest > 0 {
            let mut event = blank();
            event.facts = BTreeMap::from([("code".to_owned(), json!("others")), ("times".to_owned(), json!(rest))]);
            events.push(event);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, SeededRng};

    fn source(address: &str) -> Source {
        Source { address: address.to_owned(), user_agent: None }
    }

    #[test]
    fn a_flood_from_anywhere_costs_a_bounded_number_of_events() {
        let strangers = Strangers::default();
        for n in 0..100_000 {
            strangers.count(
                &source(&format!("10.0.{}.{}", n / 250 % 250, n % 250)),
                "no_token",
                "files",
                BTreeMap::new(),
                Timestamp::from_secs(1),
            );
        }
        let events = strangers.drain(&ManualClock::default(), &SeededRng::new(1));
        assert_eq!(events.len(), MOST + 1);
        let times: u64 = events.iter().map(|event| event.facts["times"].as_u64().unwrap()).sum();
        assert_eq!(times, 100_000, "nobody is forgotten");
        assert!(strangers.drain(&ManualClock::default(), &SeededRng::new(1)).is_empty());
    }

    #[test]
    fn the_same_refusal_again_is_one_event_with_its_number_and_no_empty_fact() {
        let strangers = Strangers::default();
        for n in 1..=3 {
            strangers.count(&source("192.0.2.1"), "locked", "", BTreeMap::new(), Timestamp::from_secs(n));
        }
        let events = strangers.drain(&ManualClock::default(), &SeededRng::new(1));
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].facts["times"], 3);
        assert_eq!(events[0].facts["first"], Timestamp::from_secs(1).to_string());
        assert_eq!(events[0].facts["last"], Timestamp::from_secs(3).to_string());
        assert!(!events[0].facts.contains_key("upstream"));
    }
}
