//! Refusals before authentication, counted per source and reason, and recorded in bounded number.
//!
//! Anybody can cause these, so they never cost the log more than a few entries a minute: what does
//! not fit is counted in one remainder. Nothing that a stranger claims is taken for true.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use sallyport_model::{AuditEvent, Clock, EventId, EventKind, Recorder, Rng, Timestamp, event::Source};
use serde_json::json;

/// How often counts become events.
pub const FLUSH: Duration = Duration::from_secs(10);
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
    /// Counts one refusal. `claimed` is kept of the first of its kind only.
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
                    ("upstream".to_owned(), json!(key.upstream)),
                    ("times".to_owned(), json!(count.times)),
                    ("first".to_owned(), json!(count.first.to_string())),
                    ("last".to_owned(), json!(count.last.to_string())),
                ]);
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

    /// Records the counts for as long as anybody else holds them.
    pub async fn keep_flushing(self: Arc<Self>, recorder: Arc<dyn Recorder>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) {
        while Arc::strong_count(&self) > 1 {
            tokio::time::sleep(FLUSH).await;
            self.flush(recorder.as_ref(), clock.as_ref(), rng.as_ref()).await;
        }
    }

    /// Records the counts now.
    pub async fn flush(&self, recorder: &dyn Recorder, clock: &dyn Clock, rng: &dyn Rng) {
        for event in self.drain(clock, rng) {
            if let Err(error) = recorder.record(event).await {
                tracing::error!(%error, "refusals of strangers could not be recorded");
                return;
            }
        }
    }
}

/// What an unverified token says of itself: a few members, cut, for the log only.
pub fn claims_of(token: &str) -> BTreeMap<String, String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut parts = token.splitn(3, '.');
    let (_, Some(payload)) = (parts.next(), parts.next()) else { return BTreeMap::new() };
    if payload.len() > 8192 {
        return BTreeMap::new();
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(payload) else { return BTreeMap::new() };
    let Ok(serde_json::Value::Object(claims)) = serde_json::from_slice(&bytes) else { return BTreeMap::new() };
    ["iss", "sub", "aud", "client_id", "jti"]
        .into_iter()
        .filter_map(|name| {
            let text = claims.get(name)?.as_str()?;
            Some((name.to_owned(), text.chars().filter(|c| !c.is_control()).take(120).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_model::{ManualClock, SeededRng};

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
    fn claims_are_cut_and_never_trusted_to_be_anything() {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{}","iss":5,"x":"y"}}"#, "a".repeat(500)));
        let claims = claims_of(&format!("e30.{payload}.x"));
        assert_eq!(claims.len(), 1);
        assert_eq!(claims["sub"].len(), 120);
        assert!(claims_of("").is_empty() && claims_of("a.b.c").is_empty() && claims_of("..").is_empty());
    }
}
