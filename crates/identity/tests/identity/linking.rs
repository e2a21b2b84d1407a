//! Who is taken for somebody who is here already: by an address that is verified and of a domain that the tenant has
//! proved, where the tenant wants that, and by nothing less.

use sallyport_model::UserId;
use sallyport_storage::{Person, PersonOrigin};
use serde_json::{Value, json};

use crate::{
    oidc_provider::Stage,
    ssf_transmitter::{acme, prove, unlinked},
};

const DOMAIN: &str = "acme.example";

/// Who `alice` of the provider is here when she signs in with these claims; `alice@acme.example` is somebody already.
async fn signs_in(stage: &Stage, claims: Value) -> UserId {
    stage.provider.is().claims = claims;
    let browser = stage.signed_in("alice").await;
    stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap().person.id
}

#[tokio::test]
async fn a_verified_address_of_a_proved_domain_links_where_the_tenant_wants_that() {
    for wanted in [true, false] {
        let stage = Stage::set(|settings| settings.mapping.link_by_email = wanted).await;
        prove(&stage.app, &acme(), DOMAIN).await;
        let known = unlinked(&stage.app, &acme(), "alice").await;
        assert_eq!(known.email.as_deref(), Some("alice@acme.example"));
        let found = signs_in(&stage, json!({"email": "Alice@ACME.example"})).await;
        assert_eq!(found == known.id, wanted);
        assert_eq!(stage.app.store.links(&known.id).await.unwrap().len(), usize::from(wanted));
    }
}

#[tokio::test]
async fn an_unverified_address_links_nobody() {
    for claims in [
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email_verified": "no"}),
        json!({"email_verified": [true, false]}),
    ] {
        let stage = Stage::set(|settings| settings.mapping.link_by_email = true).await;
        prove(&stage.app, &acme(), DOMAIN).await;
        let known = unlinked(&stage.app, &acme(), "alice").await;
        let mut browser = stage.app.browser();
        stage.provider.is().claims = claims.clone();
        stage.sign_in(&mut browser, "acme", "alice").await;
        let found = stage.app.identity.current(&browser.header_map()).await.unwrap();
        assert_ne!(found.map(|me| me.person.id), Some(known.id.clone()), "{claims}");
        assert!(stage.app.store.links(&known.id).await.unwrap().is_empty(), "{claims}");
    }
}

#[tokio::test]
async fn an_address_of_a_domain_that_this_tenant_did_not_prove_links_nobody() {
    for by in [None, Some("globex")] {
        let stage = Stage::set(|settings| settings.mapping.link_by_email = true).await;
        if let Some(tenant) = by {
            prove(&stage.app, &tenant.parse().unwrap(), DOMAIN).await;
        }
        let known = unlinked(&stage.app, &acme(), "alice").await;
        assert_ne!(signs_in(&stage, json!({})).await, known.id, "{by:?}");
    }
}

/// Nor somebody of the local directory, of another tenant, or whom the same provider knows as somebody else.
#[tokio::test]
async fn an_address_links_nobody_who_is_not_this_tenants_and_free() {
    let stage = Stage::set(|settings| settings.mapping.link_by_email = true).await;
    prove(&stage.app, &acme(), DOMAIN).await;
    let globex = "globex".parse().unwrap();
    let abroad = unlinked(&stage.app, &globex, "alice").await;
    let abroad = Person { email: Some("alice@acme.example".to_owned()), ..abroad };
    stage.app.store.update_person(&abroad).await.unwrap();
    let local = unlinked(&stage.app, &acme(), "other").await;
    let local = Person {
        id: "local-alice".parse().unwrap(),
        login: "alice".to_owned(),
        email: Some("alice@acme.example".to_owned()),
        origin: PersonOrigin::Local,
        ..local
    };
    stage.app.store.add_person(&local).await.unwrap();
    let first = signs_in(&stage, json!({})).await;
    assert!(first != abroad.id && first != local.id);
    // Another subject with the same address, at the same provider: two there are never one here.
    stage.provider.is().claims = json!({"sub": "mallory", "email": "alice@acme.example"});
    let mut browser = stage.app.browser();
    let answer = stage.sign_in(&mut browser, "acme", "mallory").await;
    stage.assert_refused(&answer, "linked_to_another");
}

#[tokio::test]
async fn who_is_switched_off_here_is_told_so_whatever_her_provider_says() {
    let stage = Stage::new().await;
    let browser = stage.signed_in("alice").await;
    let her = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap().person.id;
    stage.app.store.set_disabled(&her, true).await.unwrap();
    let mut browser = stage.app.browser();
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    stage.assert_refused(&answer, "disabled");
    assert!(stage.app.identity.current(&browser.header_map()).await.unwrap().is_none());
}
