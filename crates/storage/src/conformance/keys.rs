//! Signing keys and data keys.

use std::sync::Arc;

use sallyport_model::{DataKeyId, SigningKeyId};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::samples::*;
use crate::{DataKey, SigningKeyRecord, Store};

pub(super) async fn signing(store: Arc<dyn Store>) {
    let key = |id: &str, created_at| SigningKeyRecord {
        id: SigningKeyId::new(id).unwrap(),
        algorithm: "ES256".into(),
        private_key: Zeroizing::new(vec![0, 1, 2, 255]),
        created_at,
        signs_from: NOW,
        signs_until: NOW.plus(DAY),
        published_until: NOW.plus(2 * DAY),
    };
    assert!(store.signing_keys(NOW).await.unwrap().is_empty());
    store.put_signing_key(&key("a-new", NOW.plus(HOUR))).await.unwrap();
    store.put_signing_key(&key("b-old", NOW)).await.unwrap();
    let shortened = SigningKeyRecord { signs_until: NOW.plus(HOUR), ..key("b-old", NOW) };
    store.put_signing_key(&shortened).await.unwrap();
    let found = store.signing_keys(NOW).await.unwrap();
    assert_eq!(found.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["b-old", "a-new"], "oldest first");
    assert_eq!(found[0].signs_until, NOW.plus(HOUR));
    assert_eq!((found[0].algorithm.as_str(), found[0].private_key.as_slice()), ("ES256", &[0u8, 1, 2, 255][..]));
    assert!(store.signing_keys(NOW.plus(2 * DAY)).await.unwrap().is_empty());
}

fn candidate(n: u8) -> DataKey {
    DataKey { id: DataKeyId::new(format!("key-{n}")).unwrap(), key: Zeroizing::new([n; 32]) }
}

pub(super) async fn sealing(store: Arc<dyn Store>) {
    let (acme, ann) = (tenant("acme"), user("ann"));
    let mut tasks = JoinSet::new();
    for n in 0..50 {
        let (store, acme, ann) = (Arc::clone(&store), acme.clone(), ann.clone());
        tasks.spawn(async move { store.data_key(Some(&acme), Some(&ann), &candidate(n)).await.unwrap() });
    }
    let keys = tasks.join_all().await;
    assert!(keys.iter().all(|key| key.id == keys[0].id && key.key == keys[0].key), "all got the same one");

    let owners = [(Some(&acme), None), (None, Some(&ann)), (None, None)];
    for (n, (tenant, person)) in (100u8..).zip(owners) {
        let key = store.data_key(tenant, person, &candidate(n)).await.unwrap();
        assert_eq!(key.id, candidate(n).id, "each owner has one of its own");
        let again = store.data_key(tenant, person, &candidate(200)).await.unwrap();
        assert_eq!((again.id, again.key), (key.id, key.key));
    }

    let id = &keys[0].id;
    assert_eq!(store.data_key_by_id(id).await.unwrap().unwrap().key, keys[0].key);
    assert!(store.data_key_by_id(&candidate(200).id).await.unwrap().is_none());
    assert!(!store.shred_person(&tenant("zed"), &ann).await.unwrap());
    assert!(store.shred_person(&acme, &ann).await.unwrap());
    assert!(!store.shred_person(&acme, &ann).await.unwrap());
    assert!(store.data_key_by_id(id).await.unwrap().is_none(), "shredded");
    assert!(store.data_key_by_id(&candidate(100).id).await.unwrap().is_some(), "the tenant's own key stays");
}
