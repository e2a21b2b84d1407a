//! The audit log's data keys, kept in the store.

use std::sync::Arc;

use sallyport_ledger::{DataKey, KeyError, Keyring};
use sallyport_model::{DataKeyId, Rng, TenantId, UserId};
use sallyport_storage::{Store, StoreError};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

/// A keyring over the store. Its calls block: put a cache before it.
pub struct StoreKeyring {
    store: Arc<dyn Store>,
    rng: Arc<dyn Rng>,
    runtime: Handle,
}

impl StoreKeyring {
    /// Must be made, and used, within a multi-threaded runtime.
    pub fn new(store: Arc<dyn Store>, rng: Arc<dyn Rng>) -> Self {
        Self { store, rng, runtime: Handle::current() }
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T, StoreError>>) -> Result<T, KeyError> {
        tokio::task::block_in_place(|| self.runtime.block_on(future)).map_err(|error| KeyError(error.to_string()))
    }
}

impl Keyring for StoreKeyring {
    fn seal_key(&self, tenant: Option<&TenantId>, person: Option<&UserId>) -> Result<(DataKeyId, DataKey), KeyError> {
        let mut key = Zeroizing::new([0u8; 32]);
        self.rng.fill(key.as_mut());
        let candidate = sallyport_storage::DataKey { id: DataKeyId::mint(self.rng.as_ref()), key };
        let kept = self.wait(self.store.data_key(tenant, person, &candidate))?;
        Ok((kept.id, kept.key))
    }

    fn open_key(&self, id: &DataKeyId) -> Result<Option<DataKey>, KeyError> {
        Ok(self.wait(self.store.data_key_by_id(id))?.map(|kept| kept.key))
    }
}
