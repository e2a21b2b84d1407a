//! Data keys: the trait that the application implements over its storage, a cache, and a keyring in
//! memory for tests.
//!
//! Erasure is shredding a key: [`Keyring::open_key`] then answers `None` for good, and the tree
//! stays verifiable. This module never writes a key anywhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sallyport_model::{Clock, DataKeyId, Rng, TenantId, Timestamp, UserId};
use zeroize::Zeroizing;

/// A 256-bit AES key, wiped when dropped.
pub type DataKey = Zeroizing<[u8; 32]>;

/// The keyring cannot answer; nothing may be recorded under a key that it did not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keyring fails: {0}")]
pub struct KeyError(pub String);

/// Gives data keys. Calls are short and synchronous: put [`CachedKeyring`] before anything slow.
///
/// A key may seal at most 2^32 events (random 96-bit nonces); `seal_key` must hand out a new one
/// before that.
pub trait Keyring: Send + Sync {
    /// The key that new events of this tenant and person are sealed with, made if there is none.
    /// `None` and `None` is the deployment's own.
    fn seal_key(&self, tenant: Option<&TenantId>, person: Option<&UserId>) -> Result<(DataKeyId, DataKey), KeyError>;

    /// The key of that id, or `None` if it was shredded.
    fn open_key(&self, id: &DataKeyId) -> Result<Option<DataKey>, KeyError>;
}

type Owner = (Option<TenantId>, Option<UserId>);

fn owner(tenant: Option<&TenantId>, person: Option<&UserId>) -> Owner {
    (tenant.cloned(), person.cloned())
}

/// A poisoned lock only says that another thread panicked between two whole steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys that live as long as the process; for tests and benches.
#[derive(Debug)]
pub struct MemoryKeyring {
    rng: Arc<dyn Rng>,
    keys: Mutex<(HashMap<Owner, DataKeyId>, HashMap<DataKeyId, DataKey>)>,
}

impl MemoryKeyring {
    /// An empty keyring that makes keys from `rng`.
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng, keys: Mutex::default() }
    }

    /// Forgets a person's or tenant's present key; whether there was one.
    pub fn shred(&self, tenant: Option<&TenantId>, person: Option<&UserId>) -> bool {
        let (owners, keys) = &mut *lock(&self.keys);
        owners.remove(&owner(tenant, person)).is_some_and(|id| keys.remove(&id).is_some())
    }
}

impl Keyring for MemoryKeyring {
    fn seal_key(&self, tenant: Option<&TenantId>, person: Option<&UserId>) -> Result<(DataKeyId, DataKey), KeyError> {
        let (owners, keys) = &mut *lock(&self.keys);
        let id = owners.entry(owner(tenant, person)).or_insert_with(|| DataKeyId::mint(&*self.rng)).clone();
        let key = keys.entry(id.clone()).or_insert_with(|| {
            let mut key = Zeroizing::new([0u8; 32]);
            self.rng.fill(&mut *key);
            key
        });
        Ok((id, key.clone()))
    }

    fn open_key(&self, id: &DataKeyId) -> Result<Option<DataKey>, KeyError> {
        Ok(lock(&self.keys).1.get(id).cloned())
    }
}

/// A bounded map in two generations: when the young one is full it becomes the old one, and the old
/// one is dropped. At most `2 × half` entries.
struct Generations<K, V> {
    half: usize,
    young: HashMap<K, (Timestamp, V)>,
    old: HashMap<K, (Timestamp, V)>,
}

impl<K: std::hash::Hash + Eq, V: Clone> Generations<K, V> {
    fn new(half: usize) -> Self {
        Self { half, young: HashMap::new(), old: HashMap::new() }
    }
    fn insert(&mut self, key: K, read_at: Timestamp, value: V) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, (read_at, value));
    }
    /// The value, if it was read after `since`. One that is in use moves to the young generation.
    fn find(&mut self, key: &K, since: Timestamp) -> Option<V> {
        if let Some((key, (read_at, value))) = self.old.remove_entry(key) {
            self.insert(key, read_at, value);
        }
        let (read_at, value) = self.young.get(key)?;
        (*read_at >= since).then(|| value.clone())
    }
    fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        self.young.retain(|key, (_, value)| keep(key, value));
        self.old.retain(|key, (_, value)| keep(key, value));
    }
}

struct Cached {
    sealing: Generations<Owner, (DataKeyId, DataKey)>,
    opening: Generations<DataKeyId, DataKey>,
}

/// Remembers what a slower keyring said: at most `capacity` keys of each kind, each for at most
/// `max_age`, so that a key shredded elsewhere dies here too. Call [`CachedKeyring::forget`] when a
/// key is shredded here.
pub struct CachedKeyring<K> {
    inner: K,
    clock: Arc<dyn Clock>,
    max_age: Duration,
    cached: Mutex<Cached>,
}

impl<K: Keyring> CachedKeyring<K> {
    /// Puts a cache before `inner`.
    pub fn new(inner: K, capacity: usize, max_age: Duration, clock: Arc<dyn Clock>) -> Self {
        let half = (capacity / 2).max(1);
        let cached = Cached { sealing: Generations::new(half), opening: Generations::new(half) };
        Self { inner, clock, max_age, cached: Mutex::new(cached) }
    }

    /// Drops a key from the cache, at once.
    pub fn forget(&self, id: &DataKeyId) {
        let mut cached = lock(&self.cached);
        cached.sealing.retain(|_, (key, _)| key != id);
        cached.opening.retain(|key, _| key != id);
    }

    /// The keyring behind the cache.
    pub fn inner(&self) -> &K {
        &self.inner
    }
}

impl<K: Keyring> Keyring for CachedKeyring<K> {
    fn seal_key(&self, tenant: Option<&TenantId>, person: Option<&UserId>) -> Result<(DataKeyId, DataKey), KeyError> {
        let now = self.clock.now();
        let owner = owner(tenant, person);
        if let Some(found) = lock(&self.cached).sealing.find(&owner, now.minus(self.max_age)) {
            return Ok(found);
        }
        let found = self.inner.seal_key(tenant, person)?;
        lock(&self.cached).sealing.insert(owner, now, found.clone());
        Ok(found)
    }

    fn open_key(&self, id: &DataKeyId) -> Result<Option<DataKey>, KeyError> {
        let now = self.clock.now();
        if let Some(found) = lock(&self.cached).opening.find(id, now.minus(self.max_age)) {
            return Ok(Some(found));
        }
        let found = self.inner.open_key(id)?;
        if let Some(key) = &found {
            lock(&self.cached).opening.insert(id.clone(), now, key.clone());
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport_model::{ManualClock, SeededRng};

    fn person(n: usize) -> UserId {
        UserId::new(format!("user-{n}")).unwrap()
    }

    #[test]
    fn a_cache_is_bounded_forgets_and_ages() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1000)));
        let inner = MemoryKeyring::new(Arc::new(SeededRng::new(1)));
        let ring = CachedKeyring::new(inner, 10, Duration::from_secs(60), clock.clone());
        let (id, key) = ring.seal_key(None, Some(&person(0))).unwrap();
        assert_eq!(ring.open_key(&id).unwrap(), Some(key));

        ring.inner().shred(None, Some(&person(0)));
        assert!(ring.open_key(&id).unwrap().is_some(), "still cached");
        clock.advance(Duration::from_secs(61));
        assert!(ring.open_key(&id).unwrap().is_none(), "too old");

        let (id, _) = ring.seal_key(None, Some(&person(0))).unwrap();
        ring.open_key(&id).unwrap();
        ring.inner().shred(None, Some(&person(0)));
        ring.forget(&id);
        assert!(ring.open_key(&id).unwrap().is_none(), "forgotten");
        assert_ne!(ring.seal_key(None, Some(&person(0))).unwrap().0, id);

        for n in 0..100 {
            ring.seal_key(None, Some(&person(n))).unwrap();
        }
        let cached = lock(&ring.cached);
        assert!(cached.sealing.young.len() + cached.sealing.old.len() <= 10);
    }
}
