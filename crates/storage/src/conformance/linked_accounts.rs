//! Linked accounts.

use std::sync::Arc;

use sallyport_model::UpstreamName;
use tokio::task::JoinSet;

use super::{federation::two_tenants, samples::*};
use crate::{LinkedAccount, RevocationSubject, Store, StoreError};

fn upstream(name: &str) -> UpstreamName {
    UpstreamName::new(name).unwrap()
}

fn account(who: &str, whose: &str, at: &str) -> LinkedAccount {
    LinkedAccount {
        tenant: tenant(whose),
        user: user(who),
        upstream: upstream(at),
        tokens: format!("{{\"access_token\":\"{HOSTILE}\"}}"),
        version: 1,
        linked_at: NOW,
        renewed_at: NOW,
    }
}

pub(super) async fn lifecycle(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let (files, mail) = (account("ann", "acme", "files"), account("ann", "acme", "mail"));
    for one in [&mail, &files] {
        store.link_account(one).await.unwrap();
    }
    for nobody in [account("ann", "zed", "files"), account("bob", "acme", "files")] {
        assert!(matches!(store.link_account(&nobody).await, Err(StoreError::Missing("person"))), "{nobody:?}");
    }
    let (acme, zed, ann) = (tenant("acme"), tenant("zed"), user("ann"));
    assert_eq!(store.linked_accounts(&acme, &ann).await.unwrap(), [files.clone(), mail.clone()]);
    assert_eq!(store.linked_account(&acme, &ann, &files.upstream).await.unwrap(), Some(files.clone()));
    assert_eq!(store.linked_account(&zed, &ann, &files.upstream).await.unwrap(), None, "of another tenant");
    assert_eq!(store.linked_account(&acme, &user("zoe"), &files.upstream).await.unwrap(), None);

    // One refresh at a time, of the version that is there.
    let claim = |version, now| store.claim_linked_refresh(&acme, &ann, &files.upstream, version, now, NOW.plus(GRACE));
    assert!(!claim(2, NOW).await.unwrap() && claim(1, NOW).await.unwrap() && !claim(1, NOW).await.unwrap());
    assert!(claim(1, NOW.plus(GRACE)).await.unwrap(), "whoever claimed it did not come back");
    let renew =
        |version, tokens| store.renew_linked_account(&acme, &ann, &files.upstream, version, tokens, NOW.plus(HOUR));
    assert!(renew(1, "second").await.unwrap() && !renew(1, "late").await.unwrap());
    let renewed = store.linked_account(&acme, &ann, &files.upstream).await.unwrap().unwrap();
    assert_eq!((renewed.tokens.as_str(), renewed.version, renewed.renewed_at), ("second", 2, NOW.plus(HOUR)));
    assert!(claim(2, NOW).await.unwrap(), "a renewal ends the claim");

    // Linked anew: whoever still holds a version from before gets nowhere.
    store.link_account(&files).await.unwrap();
    let again = store.linked_account(&acme, &ann, &files.upstream).await.unwrap().unwrap();
    assert_eq!((again.version, &again.tokens), (3, &files.tokens));
    assert!(!renew(2, "late").await.unwrap());

    let unlink = |whose, version| store.unlink_account(whose, &ann, &files.upstream, version);
    assert!(unlink(&zed, None).await.unwrap().is_none() && unlink(&acme, Some(2)).await.unwrap().is_none());
    assert_eq!(unlink(&acme, None).await.unwrap().unwrap().version, 3);
    assert!(unlink(&acme, None).await.unwrap().is_none());
    // Unlinked and linked anew, from a version of its own: nothing that was held before fits it.
    let drawn = LinkedAccount { version: (1 << 48) + 7, ..files.clone() };
    store.link_account(&drawn).await.unwrap();
    for old in 1..=4 {
        assert!(!claim(old, NOW).await.unwrap() && !renew(old, "late").await.unwrap());
        assert!(unlink(&acme, Some(old)).await.unwrap().is_none());
    }
    assert!(claim(drawn.version, NOW).await.unwrap() && renew(drawn.version, "next").await.unwrap());
    assert_eq!(unlink(&acme, Some(drawn.version + 1)).await.unwrap().unwrap().tokens, "next");
    assert_eq!(store.linked_accounts(&acme, &ann).await.unwrap(), [mail]);
}

pub(super) async fn ends_with_access(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let (ann, zoe) = (account("ann", "acme", "files"), account("zoe", "zed", "files"));
    for one in [&ann, &zoe] {
        store.link_account(one).await.unwrap();
    }
    let there = async |account: &LinkedAccount| {
        store.linked_account(&account.tenant, &account.user, &account.upstream).await.unwrap().is_some()
    };
    store.revoke(&RevocationSubject::User(ann.user.clone()), NOW.plus(GRACE)).await.unwrap();
    assert!(!there(&ann).await && there(&zoe).await);
    assert!(matches!(store.link_account(&ann).await, Err(StoreError::Missing("person"))), "begun before");
    let later = LinkedAccount { linked_at: NOW.plus(HOUR), ..ann.clone() };
    store.link_account(&later).await.unwrap();
    assert!(there(&later).await, "linked after she signed in anew");

    store.revoke(&RevocationSubject::Tenant(zoe.tenant.clone()), NOW).await.unwrap();
    assert!(!there(&zoe).await);
    store.purge(NOW.plus(HOUR)).await.unwrap();
    store.prune_revocations(NOW.plus(DAY)).await.unwrap();
    assert!(!there(&zoe).await && there(&later).await, "it is gone before the revocation is forgotten");

    store.set_disabled(&user("ann"), true).await.unwrap();
    assert!(!there(&later).await);
}

pub(super) async fn one_of_many_refreshes(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let ann = account("ann", "acme", "files");
    store.link_account(&ann).await.unwrap();
    let mut tries = JoinSet::new();
    for _ in 0..16 {
        let (store, ann) = (Arc::clone(&store), ann.clone());
        tries.spawn(async move {
            let LinkedAccount { tenant, user, upstream, .. } = &ann;
            store.claim_linked_refresh(tenant, user, upstream, 1, NOW, NOW.plus(GRACE)).await.unwrap()
        });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|won| *won).count(), 1);
}
