//! Tokens that were fetched, until shortly before they end.
//!
//! One fetch at a time for one key: who comes meanwhile waits for it and gets what it got, a failure too. What is
//! held for a principal goes when she is revoked.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sallyport_model::{Binding, Principal, Timestamp, UpstreamName};

use super::{UpstreamToken, fault::TokenFault};

/// Beyond that many, what has ended is looked for and removed.
const MANY: usize = 10_000;
/// A failure answers for itself so long, so that a server that is down is not asked by every call.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// A token is not used within this of its end, or within a fifth of its life if that is shorter.
const SKEW: Duration = Duration::from_secs(30);

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// The gate's, whoever calls.
    Everybodys,
    /// The gate's, for itself alone.
    Gates,
    /// A principal's.
    Principals(Binding),
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub upstream: UpstreamName,
    pub whose: Whose,
    pub scope: Option<String>,
}

#[derive(Default)]
struct Slot {
    held: tokio::sync::Mutex<Held>,
    /// Whose tokens end with it.
    principal: Mutex<Option<Arc<Principal>>>,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<UpstreamToken>>,
    failed: Option<(Instant, TokenFault)>,
}

/// The tokens.
#[derive(Default)]
pub(super) struct Cache(Mutex<HashMap<Key, Arc<Slot>>>);

/// The last moment at which a token that lives `life` from `now` on is used.
pub(super) fn usable_until(now: Timestamp, life: Duration) -> Timestamp {
    now.plus(life.saturating_sub(SKEW.min(life / 5)))
}

impl Cache {
    /// The token of `key`, fetched if there is none that lives.
    pub(super) async fn get<F>(
        &self,
        key: &Key,
        principal: Option<&Arc<Principal>>,
        now: Timestamp,
        fetch: F,
    ) -> Result<Arc<UpstreamToken>, TokenFault>
    where
        F: Future<Output = Result<UpstreamToken, TokenFault>>,
    {
        let slot = self.slot(key, now);
        if let (Some(principal), Ok(mut whose)) = (principal, slot.principal.lock()) {
            *whose = Some(Arc::clone(principal));
        }
        let mut held = slot.held.lock().await;
        if let Some(token) = held.token.as_ref().filter(|token| now < token.usable_until) {
            return Ok(Arc::clone(token));
        }
        if let Some((at, fault)) = &held.failed
            && at.elapsed() < FAILED_FOR
        {
            return Err(fault.clone());
        }
        held.token = None;
        match fetch.await {
            Ok(token) => {
                let token = Arc::new(token);
                (held.token, held.failed) = (Some(Arc::clone(&token)), None);
                Ok(token)
            }
            Err(fault) => {
                held.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Forgets `token`, which the upstream refused, unless another one has taken its place.
    pub(super) async fn forget(&self, key: &Key, token: &Arc<UpstreamToken>) {
        let slot = self.slots().get(key).cloned();
        if let Some(slot) = slot {
            let mut held = slot.held.lock().await;
            if held.token.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
                held.token = None;
            }
        }
    }

    /// Removes what is held for whoever is dead.
    pub(super) fn end(&self, dead: impl Fn(&Principal) -> bool) {
        self.slots().retain(|_, slot| {
            let principal = slot.principal.lock().unwrap_or_else(PoisonError::into_inner);
            !principal.as_ref().is_some_and(|principal| dead(principal))
        });
    }

    /// How many are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    fn slot(&self, key: &Key, now: Timestamp) -> Arc<Slot> {
        let mut slots = self.slots();
        if slots.len() >= MANY && !slots.contains_key(key) {
            // One that is locked is being fetched, or waited for.
            slots.retain(|_, slot| {
                slot.held
                    .try_lock()
                    .map_or(true, |held| held.token.as_ref().is_some_and(|token| now < token.usable_until))
            });
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sallyport_model::Secret;

    use super::*;
    use crate::{testing::principal, upstream::tokens::Scheme};

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn token(until: u64) -> UpstreamToken {
        UpstreamToken {
            secret: Secret::new("t"),
            scheme: Scheme::Bearer,
            usable_until: Timestamp::from_secs(until),
            key: None,
            version: 0,
        }
    }

    fn key(whose: Whose) -> Key {
        Key { upstream: UpstreamName::new("files").unwrap(), whose, scope: None }
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_ask_at_once_cause_one_fetch() {
        let (cache, fetches) = (Cache::default(), AtomicUsize::new(0));
        let key = key(Whose::Everybodys);
        let one = || {
            cache.get(&key, None, NOW, async {
                fetches.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(token(2_000))
            })
        };
        let all = futures::future::join_all((0..20).map(|_| one())).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_is_not_used_to_its_end_nor_after_it_was_refused() {
        assert_eq!(usable_until(NOW, Duration::from_secs(300)), Timestamp::from_secs(1_270));
        assert_eq!(usable_until(NOW, Duration::from_secs(10)), Timestamp::from_secs(1_008));
        let (cache, key) = (Cache::default(), key(Whose::Everybodys));
        let first = cache.get(&key, None, NOW, async { Ok(token(1_001)) }).await.unwrap();
        let again = cache.get(&key, None, NOW, async { panic!("it lives") }).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let second = cache.get(&key, None, Timestamp::from_secs(1_001), async { Ok(token(2_000)) }).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        cache.forget(&key, &first).await;
        let kept = cache.get(&key, None, NOW, async { panic!("another one was refused") }).await.unwrap();
        cache.forget(&key, &kept).await;
        let third = cache.get(&key, None, NOW, async { Ok(token(2_000)) }).await.unwrap();
        assert!(!Arc::ptr_eq(&second, &third));
    }

    #[tokio::test]
    async fn two_principals_never_share_and_a_revoked_one_loses_hers() {
        let cache = Cache::default();
        let ann = Arc::new(principal());
        let mut bob = principal();
        bob.session = sallyport_model::SessionId::new("s-2").unwrap();
        let bob = Arc::new(bob);
        for who in [&ann, &bob] {
            let key = key(Whose::Principals(who.binding()));
            cache.get(&key, Some(who), NOW, async { Ok(token(2_000)) }).await.unwrap();
        }
        assert_eq!(cache.len(), 2);
        cache.end(|who| who.session == ann.session);
        assert_eq!(cache.len(), 1);
        cache.get(&key(Whose::Principals(bob.binding())), None, NOW, async { panic!("hers stays") }).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_answers_for_a_moment() {
        let (cache, key) = (Cache::default(), key(Whose::Gates));
        let failed = cache.get(&key, None, NOW, async { Err(TokenFault::Refused("invalid_client")) }).await;
        assert_eq!(failed.unwrap_err().code(), "upstream_token_refused");
        assert!(cache.get(&key, None, NOW, async { panic!("not at once") }).await.is_err());
    }
}
