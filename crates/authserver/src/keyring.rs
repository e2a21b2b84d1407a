//! The ring of token-signing keys: creates the first, announces each next one ahead of its use, and
//! publishes each until the last token that it signed has ended.
//!
//! Verifiers read a snapshot; [`KeyRing::refresh`] renews it. Never hands out a private key.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sallyport_model::{Clock, Rng, SigningKeyId, Timestamp};
use sallyport_oauth::{JwkSet, KeySource, SigningKey, VerifyingKey, keys::ALGORITHM};
use sallyport_storage::{SigningKeyRecord, Store};

use crate::AuthServerError;

/// How long a key is published before it signs, so that verifiers elsewhere have fetched it.
pub const PUBLISH_AHEAD: Duration = Duration::from_secs(60 * 60);
/// How long a key signs.
pub const SIGN_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a key is published after its last signature: longer than any token lives.
pub const PUBLISH_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

struct Entry {
    key: SigningKey,
    public: VerifyingKey,
    record: SigningKeyRecord,
}

/// The ring.
pub struct KeyRing {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    entries: RwLock<Arc<Vec<Entry>>>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRing(…)")
    }
}

impl KeyRing {
    /// Opens the ring and makes sure that a key signs now.
    ///
    /// # Errors
    /// When the store fails or a stored key is damaged.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Arc<Self>, AuthServerError> {
        let ring = Self { store, clock, rng, entries: RwLock::default() };
        ring.refresh().await?;
        Ok(Arc::new(ring))
    }

    /// Reads the keys again and adds the next one when it is time. To be called every minute.
    ///
    /// # Errors
    /// When the store fails; the snapshot stays as it was.
    pub async fn refresh(&self) -> Result<(), AuthServerError> {
        let now = self.clock.now();
        self.read(now).await?;
        let entries = self.snapshot();
        let signs_now = entries.iter().any(|entry| signs(&entry.record, now));
        let last = entries.iter().map(|entry| entry.record.signs_until).max();
        if !signs_now {
            self.add(now, now).await?;
        } else if last.is_none_or(|end| end <= now.plus(PUBLISH_AHEAD * 2)) {
            self.add(now, last.unwrap_or(now).max(now.plus(PUBLISH_AHEAD))).await?;
        } else {
            return Ok(());
        }
        self.read(now).await
    }

    /// Rotates early: announces a new key now, and lets those in force sign only until it takes over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rotate(&self) -> Result<SigningKeyId, AuthServerError> {
        let now = self.clock.now();
        let takes_over = now.plus(PUBLISH_AHEAD);
        let next = self.add(now, takes_over).await?;
        for entry in self.snapshot().iter().filter(|entry| entry.record.signs_until > takes_over) {
            let record = SigningKeyRecord {
                signs_until: takes_over,
                published_until: takes_over.plus(PUBLISH_AFTER),
                ..entry.record.clone()
            };
            self.store.put_signing_key(&record).await?;
        }
        self.read(now).await?;
        Ok(next)
    }

    /// The published keys.
    pub fn jwks(&self) -> JwkSet {
        let now = self.clock.now();
        let entries = self.snapshot();
        let published = entries.iter().filter(|entry| entry.record.published_until > now);
        JwkSet { keys: published.map(|entry| entry.public.to_jwk(entry.key.id())).collect() }
    }

    /// Signs with the key in force.
    ///
    /// # Errors
    /// When none is in force, or signing failed.
    pub fn sign<T>(
        &self,
        sign: impl FnOnce(&SigningKey) -> Result<T, sallyport_oauth::KeyFault>,
    ) -> Result<T, AuthServerError> {
        let now = self.clock.now();
        let entries = self.snapshot();
        let in_force = entries.iter().filter(|entry| signs(&entry.record, now));
        let newest = in_force.max_by_key(|entry| entry.record.signs_from).ok_or(AuthServerError::NoSigningKey)?;
        Ok(sign(&newest.key)?)
    }

    fn snapshot(&self) -> Arc<Vec<Entry>> {
        Arc::clone(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read(&self, now: Timestamp) -> Result<(), AuthServerError> {
        let mut entries = Vec::new();
        for record in self.store.signing_keys(now).await? {
            let key = SigningKey::from_pkcs8(record.id.clone(), &record.private_key)?;
            entries.push(Entry { public: key.verifying_key()?, key, record });
        }
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
        Ok(())
    }

    async fn add(&self, now: Timestamp, signs_from: Timestamp) -> Result<SigningKeyId, AuthServerError> {
        let id = SigningKeyId::mint(self.rng.as_ref());
        let signs_until = signs_from.plus(SIGN_PERIOD);
        let record = SigningKeyRecord {
            id: id.clone(),
            algorithm: ALGORITHM.to_owned(),
            private_key: SigningKey::generate()?,
            created_at: now,
            signs_from,
            signs_until,
            published_until: signs_until.plus(PUBLISH_AFTER),
        };
        self.store.put_signing_key(&record).await?;
        Ok(id)
    }
}

fn signs(record: &SigningKeyRecord, now: Timestamp) -> bool {
    record.signs_from <= now && now < record.signs_until
}

impl KeySource for KeyRing {
    fn verifying_key(&self, kid: &SigningKeyId) -> Option<VerifyingKey> {
        let now = self.clock.now();
        let entries = self.snapshot();
        let entry = entries.iter().find(|entry| entry.key.id() == kid)?;
        (now < entry.record.published_until).then(|| entry.public.clone())
    }
}
