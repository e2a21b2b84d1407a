//! Tokens of the admin API, and changes that happen only if nobody was faster.

use std::sync::Arc;

use sallyport_model::ApiTokenId;
use tokio::task::JoinSet;

use super::{federation::two_tenants, samples::*};
use crate::{ApiRole, ApiToken, Connection, ConnectionProtocol, Store, StoreError, Tenant};

fn token(id: &str, n: u64, role: ApiRole) -> ApiToken {
    ApiToken {
        id: ApiTokenId::new(id).unwrap(),
        role,
        name: HOSTILE.into(),
        token: digest(n),
        created_at: NOW,
        expires_at: None,
    }
}

pub(super) async fn lifecycle(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let of = |name: &str| ApiRole::Administrator(tenant(name));
    let operators = token("op", 1, ApiRole::Operator);
    let short = ApiToken { expires_at: Some(NOW.plus(HOUR)), ..token("short", 2, of("acme")) };
    let theirs = token("theirs", 3, of("zed"));
    for one in [&operators, &short, &theirs] {
        store.add_api_token(one).await.unwrap();
    }
    let again = store.add_api_token(&token("again", 1, ApiRole::Operator)).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "a token is one's");
    assert!(matches!(store.add_api_token(&token("op", 9, ApiRole::Operator)).await, Err(StoreError::Exists(_))));
    let nowhere = store.add_api_token(&token("nowhere", 4, of("nobody"))).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("tenant"))), "{nowhere:?}");

    assert_eq!(store.api_token(&digest(1), NOW).await.unwrap(), Some(operators.clone()));
    assert_eq!(store.api_token(&digest(2), NOW).await.unwrap(), Some(short.clone()));
    assert_eq!(store.api_token(&digest(2), NOW.plus(HOUR)).await.unwrap(), None, "it ended");
    assert_eq!(store.api_token(&digest(4), NOW).await.unwrap(), None);
    assert_eq!(store.api_tokens(None).await.unwrap().len(), 3);
    assert_eq!(store.api_tokens(Some(&tenant("acme"))).await.unwrap(), std::slice::from_ref(&short));

    assert!(store.remove_api_token(&operators.id).await.unwrap());
    assert!(!store.remove_api_token(&operators.id).await.unwrap());
    assert_eq!(store.api_token(&digest(1), NOW).await.unwrap(), None);
    store.put_tenant(&Tenant { suspended: true, ..Tenant::new(tenant("acme"), "x", NOW) }).await.unwrap();
    assert_eq!(store.api_token(&digest(2), NOW).await.unwrap(), None, "of a suspended tenant");
    assert!(store.api_token(&digest(3), NOW).await.unwrap().is_some());
    store.remove_tenant(&tenant("zed"), NOW).await.unwrap();
    assert_eq!(store.api_token(&digest(3), NOW).await.unwrap(), None, "it went with its tenant");
    assert_eq!(store.api_tokens(None).await.unwrap(), [short]);
}

fn connection(settings: &str) -> Connection {
    Connection {
        id: "c-1".parse().unwrap(),
        tenant: tenant("acme"),
        name: "Okta".into(),
        protocol: ConnectionProtocol::Oidc,
        settings: settings.into(),
        enabled: true,
        created_at: NOW,
        changed_at: NOW,
    }
}

pub(super) async fn exchanged(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let was = store.tenant(&tenant("acme")).await.unwrap().unwrap();
    let mut new = Tenant { name: HOSTILE.into(), ..was.clone() };
    new.settings.grant_seconds = Some(60);
    assert!(store.exchange_tenant(&was, &new).await.unwrap());
    assert_eq!(store.tenant(&was.id).await.unwrap(), Some(new.clone()));
    let suspended = Tenant { suspended: true, ..was.clone() };
    assert!(!store.exchange_tenant(&was, &suspended).await.unwrap(), "somebody was faster");
    assert_eq!(store.tenant(&was.id).await.unwrap(), Some(new.clone()), "nothing of it happened");
    let nobody = Tenant::new(tenant("nobody"), "x", NOW);
    assert!(!store.exchange_tenant(&nobody, &new).await.unwrap(), "it makes nothing");
    assert_eq!(store.tenant(&nobody.id).await.unwrap(), None);

    let was = connection(HOSTILE);
    store.put_connection(&was).await.unwrap();
    let new = Connection { settings: "{}".into(), enabled: false, changed_at: NOW.plus(HOUR), ..was.clone() };
    assert!(store.exchange_connection(&was, &new).await.unwrap());
    assert!(!store.exchange_connection(&was, &Connection { name: "x".into(), ..was.clone() }).await.unwrap());
    let kept = store.connections(&was.tenant).await.unwrap();
    assert!(kept == [new.clone()], "the settings too");
    let other = Connection { id: "c-2".parse().unwrap(), name: "Other".into(), ..was.clone() };
    store.put_connection(&other).await.unwrap();
    let taken = store.exchange_connection(&other, &Connection { name: "Okta".into(), ..other.clone() }).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
}

pub(super) async fn one_of_many_exchanges(store: Arc<dyn Store>) {
    two_tenants(store.as_ref()).await;
    let was = store.tenant(&tenant("acme")).await.unwrap().unwrap();
    let mut all = JoinSet::new();
    for n in 0..16 {
        let (store, was) = (Arc::clone(&store), was.clone());
        all.spawn(async move {
            let new = Tenant { name: format!("name {n}"), ..was.clone() };
            store.exchange_tenant(&was, &new).await.unwrap().then_some(new)
        });
    }
    let done: Vec<Tenant> = all.join_all().await.into_iter().flatten().collect();
    assert_eq!(done.len(), 1, "one of all");
    assert_eq!(store.tenant(&was.id).await.unwrap().as_ref(), done.first());
}
