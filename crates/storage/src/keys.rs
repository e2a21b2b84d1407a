//! Keys: those that sign tokens, and those that seal audit entries. Sealed at rest.

use async_trait::async_trait;
use sallyport_model::{DataKeyId, SigningKeyId, TenantId, Timestamp, UserId};
use zeroize::Zeroizing;

use crate::StoreError;

/// A token-signing key and the span in which it signs and is published.
#[derive(Debug, Clone)]
pub struct SigningKeyRecord {
    /// The `kid`.
    pub id: SigningKeyId,
    /// JWS algorithm: `ES256`.
    pub algorithm: String,
    /// PKCS #8, DER.
    pub private_key: Zeroizing<Vec<u8>>,
    /// Published since.
    pub created_at: Timestamp,
    /// Signs from then on (verifiers had time to fetch it).
    pub signs_from: Timestamp,
    /// Signs until then.
    pub signs_until: Timestamp,
    /// Published until then: the last token it signed has ended.
    pub published_until: Timestamp,
}

/// A data key of the audit log.
#[derive(Debug, Clone)]
pub struct DataKey {
    /// Its id, in each entry that it sealed.
    pub id: DataKeyId,
    /// 256 bits.
    pub key: Zeroizing<[u8; 32]>,
}

/// Storage of keys.
#[async_trait]
pub trait Keys {
    /// Every signing key that is still published at `now`, oldest first.
    async fn signing_keys(&self, now: Timestamp) -> Result<Vec<SigningKeyRecord>, StoreError>;
    /// Inserts or replaces (a rotation shortens `signs_until`).
    async fn put_signing_key(&self, key: &SigningKeyRecord) -> Result<(), StoreError>;
    /// The key for entries about `person` of `tenant` (either may be absent); stores `candidate` if
    /// there is none yet, so that all callers get the same one.
    async fn data_key(
        &self,
        tenant: Option<&TenantId>,
        person: Option<&UserId>,
        candidate: &DataKey,
    ) -> Result<DataKey, StoreError>;
    /// By id; `None` once shredded.
    async fn data_key_by_id(&self, id: &DataKeyId) -> Result<Option<DataKey>, StoreError>;
    /// Destroys a person's key: what it sealed can never be read again. Whether there was one.
    async fn shred_person(&self, tenant: &TenantId, person: &UserId) -> Result<bool, StoreError>;
}
