//! Attacks with assertions of others; each name is a row of `docs/attacks.md`.

use http::StatusCode;
use sallyport_model::{Clock, EventKind};
use sallyport_storage::{Domain, DomainProof};
use serde_json::{Value, json};

use crate::{
    app::*,
    id_jag::{self, IDP, id_jag, redeem_as_web},
    kit::*,
    workload,
};

async fn last(app: &App) -> String {
    app.log.codes(EventKind::TokenRefused).pop().unwrap()
}

fn changed(mut claims: Value, name: &str, value: Value) -> Value {
    match value.is_null() {
        true => drop(claims.as_object_mut().unwrap().remove(name)),
        false => claims[name] = value,
    }
    claims
}

#[tokio::test]
async fn an_id_jag_works_once() {
    let app = App::new().await;
    let key = Key::new();
    id_jag::trust(&app, "acme", &key);
    let assertion = id_jag(&key, &id_jag::claims(&app, "web"));
    assert_eq!(redeem_as_web(&app, &assertion, &[]).await.status, StatusCode::OK);
    assert_eq!(redeem_as_web(&app, &assertion, &[]).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "id_jag_replayed");
    let assertion = id_jag(&key, &id_jag::claims(&app, "web"));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (app, assertion) = (app.clone(), assertion.clone());
            tokio::spawn(async move { redeem_as_web(&app, &assertion, &[]).await.status })
        })
        .collect();
    let mut won = 0;
    for caller in callers {
        won += usize::from(caller.await.unwrap() == StatusCode::OK);
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn an_id_jag_is_for_this_server_this_client_and_this_moment_only() {
    let app = App::new().await;
    let key = Key::new();
    id_jag::trust(&app, "acme", &key);
    let now = app.clock.now().as_secs();
    for (name, value) in [
        ("aud", json!("https://other.example")),
        ("aud", json!([ISSUER, "https://other.example"])),
        ("aud", json!(["https://other.example", ISSUER])),
        ("aud", json!("https://gate.example/")),
        ("aud", json!(TOKEN_URL)),
        ("aud", json!(FILES)),
        ("aud", json!(null)),
        ("client_id", json!("robot")),
        ("client_id", json!(null)),
        ("sub", json!(null)),
        ("sub", json!("nobody")),
        ("jti", json!(null)),
        ("iat", json!(null)),
        ("iat", json!(now + 3600)),
        ("exp", json!(null)),
        ("exp", json!(now - 3600)),
        ("exp", json!(now + 86_400)),
        ("iss", json!("https://idp.acme.example/")),
        ("iss", json!("https://evil.example")),
        ("iss", json!(null)),
        ("authorization_details", json!([{"type": "x"}])),
    ] {
        let claims = changed(id_jag::claims(&app, "web"), name, value.clone());
        let answer = redeem_as_web(&app, &id_jag(&key, &claims), &[]).await;
        assert_eq!(answer.error(), "invalid_grant", "{name}: {value}");
    }
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
    let one = changed(id_jag::claims(&app, "web"), "aud", json!([ISSUER]));
    assert_eq!(redeem_as_web(&app, &id_jag(&key, &one), &[]).await.status, StatusCode::OK, "one of one");
}

#[tokio::test]
async fn an_id_jag_of_another_key_type_or_algorithm_is_worth_nothing() {
    let app = App::new().await;
    let key = Key::new();
    id_jag::trust(&app, "acme", &key);
    let claims = id_jag::claims(&app, "web");
    let public = key.jwk().to_string();
    let input = format!(
        "{}.{}",
        sallyport_oauth::jws::encode(json!({"alg": "HS256", "typ": "oauth-id-jag+jwt"}).to_string().as_bytes()),
        sallyport_oauth::jws::encode(claims.to_string().as_bytes())
    );
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let forged =
        format!("{input}.{}", sallyport_oauth::jws::encode(aws_lc_rs::hmac::sign(&hmac, input.as_bytes()).as_ref()));
    for assertion in [
        id_jag(&Key::new(), &claims),
        forged,
        key.sign(&json!({"alg": "none", "typ": "oauth-id-jag+jwt"}), &claims),
        key.sign(&json!({"alg": "ES256", "typ": "oauth-id-jag+jwt", "jwk": key.jwk()}), &claims),
        key.jwt("JWT", &claims),
        key.jwt("at+jwt", &claims),
        key.sign(&json!({"alg": "ES256"}), &claims),
        "e30.e30.e30".to_owned(),
        "x".to_owned(),
    ] {
        assert_eq!(redeem_as_web(&app, &assertion, &[]).await.error(), "invalid_grant", "{assertion}");
    }
    // Its own access token is no assertion either.
    let client = app.register().await;
    let access = app.tokens(&client, LOOPBACK).await.text("access_token");
    assert_eq!(redeem_as_web(&app, &access, &[]).await.error(), "invalid_grant");
}

#[tokio::test]
async fn an_id_jag_needs_its_own_clients_authentication() {
    let app = App::new().await;
    let (key, robot) = (Key::new(), app.agent("sorter").await);
    id_jag::trust(&app, "acme", &key);
    let of_web = id_jag(&key, &id_jag::claims(&app, "web"));
    let of_robot = robot.ask(&[("grant_type", JWT_BEARER), ("assertion", &of_web)]).await;
    assert_eq!(of_robot.error(), "invalid_grant");
    assert_eq!(last(&app).await, "id_jag_client");
    for form in [
        vec![("grant_type", JWT_BEARER), ("assertion", &*of_web)],
        vec![("grant_type", JWT_BEARER), ("assertion", &of_web), ("client_id", "web")],
        vec![("grant_type", JWT_BEARER), ("assertion", &of_web), ("client_id", "web"), ("client_secret", "x")],
    ] {
        assert_eq!(app.token(&form).await.error(), "invalid_client");
    }
    assert_eq!(redeem_as_web(&app, &of_web, &[]).await.status, StatusCode::OK, "it was not spent");
}

#[tokio::test]
async fn a_tenant_that_configures_anothers_provider_gets_none_of_its_people() {
    let app = App::new().await;
    app.globex().await;
    let (key, evil) = (Key::new(), Key::new());
    id_jag::trust(&app, "globex", &key);
    let claims = || id_jag::claims(&app, "web");
    assert_eq!(redeem_as_web(&app, &id_jag(&key, &claims()), &[]).await.error(), "invalid_grant", "alice is acme's");
    assert_eq!(last(&app).await, "not_provisioned");
    id_jag::trust(&app, "acme", &key);
    let both = redeem_as_web(&app, &id_jag(&key, &claims()), &[]).await;
    assert_eq!(both.error(), "invalid_grant", "two tenants, and nothing says which");
    assert_eq!(last(&app).await, "id_jag_tenant_ambiguous");
    let named = changed(claims(), "aud_tenant", json!("acme"));
    let answer = redeem_as_web(&app, &id_jag(&key, &named), &[]).await;
    assert_eq!(app.verify(&answer.text("access_token"), FILES).unwrap().tenant.as_str(), "acme");
    // Keys of one tenant's connection never verify for another's.
    app.providers.lock().unwrap().clear();
    id_jag::trust(&app, "globex", &evil);
    id_jag::trust(&app, "acme", &key);
    let forged = changed(claims(), "aud_tenant", json!("acme"));
    let forged = redeem_as_web(&app, &id_jag(&evil, &forged), &[]).await;
    assert_eq!(forged.error(), "invalid_grant");
    assert!(IDP.starts_with("https://"));
    let robot = app.agent_of("globex", "stranger").await;
    let assertion = id_jag(&key, &id_jag::claims(&app, "client-stranger"));
    let crossed = robot.ask(&[("grant_type", JWT_BEARER), ("assertion", &assertion)]).await;
    assert_eq!(crossed.error(), "invalid_grant", "an agent acts for people of its own tenant");
}

async fn proves(app: &App, tenant: &str, name: &str) {
    let domain = Domain {
        tenant: tenant.parse().unwrap(),
        name: name.into(),
        challenge: "c".into(),
        connection: None,
        claimed_at: app.clock.now(),
        proved: Some((DomainProof::Operator, app.clock.now())),
    };
    app.store.put_domain(&domain).await.unwrap();
}

/// Globex takes ID-JAGs of acme's provider, and makes a person of whomever it names.
async fn greedy(app: &App, key: &Key) {
    app.globex().await;
    id_jag::trust(app, "globex", key);
    app.providers.lock().unwrap()[0].creates = true;
}

#[tokio::test]
async fn a_tenant_whose_rival_cannot_take_its_people_just_now_does_not_lose_them() {
    let app = App::new().await;
    let key = Key::new();
    greedy(&app, &key).await;
    id_jag::trust(&app, "acme", &key);
    proves(&app, "acme", "acme.example").await;
    let claims = |verified: bool| {
        let claims = changed(id_jag::claims(&app, "web"), "email", json!("alice@acme.example"));
        changed(claims, "email_verified", json!(verified))
    };
    for code in ["id_jag_tenant_suspended", "id_jag_tenant_disabled", "id_jag_tenant_off"] {
        app.providers.lock().unwrap()[1].issuer.refuses = Some(code);
        for verified in [true, false] {
            let refused = redeem_as_web(&app, &id_jag(&key, &claims(verified)), &[]).await;
            assert_eq!((refused.error(), last(&app).await), ("invalid_grant".into(), code.to_owned()));
        }
    }
    app.providers.lock().unwrap()[1].issuer.refuses = None;
    let keys = std::mem::take(&mut app.providers.lock().unwrap()[1].keys);
    let down = redeem_as_web(&app, &id_jag(&key, &claims(true)), &[]).await;
    assert_eq!((down.status, down.error()), (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable".into()));
    assert!(app.store.people(&"globex".parse().unwrap()).await.unwrap().is_empty(), "nobody became globex's");
    app.providers.lock().unwrap()[1].keys = keys;
    let answer = redeem_as_web(&app, &id_jag(&key, &claims(true)), &[]).await;
    assert_eq!(app.verify(&answer.text("access_token"), FILES).unwrap().tenant.as_str(), "acme");
}

#[tokio::test]
async fn the_only_tenant_that_takes_an_assertion_gets_no_ones_people_but_its_own() {
    let app = App::new().await;
    let key = Key::new();
    greedy(&app, &key).await;
    let named = changed(id_jag::claims(&app, "web"), "aud_tenant", json!("acme"));
    let refused = redeem_as_web(&app, &id_jag(&key, &named), &[]).await;
    assert_eq!((refused.error(), last(&app).await), ("invalid_grant".into(), "id_jag_tenant_unknown".to_owned()));
    let other = changed(id_jag::claims(&app, "web"), "tenant", json!("acme-directory"));
    app.providers.lock().unwrap()[0].issuer.organisation = Some("globex-directory".into());
    assert_eq!(redeem_as_web(&app, &id_jag(&key, &other), &[]).await.error(), "invalid_grant");
    assert_eq!(last(&app).await, "id_jag_tenant_other");
    proves(&app, "acme", "acme.example").await;
    for verified in [true, false] {
        let hers = changed(id_jag::claims(&app, "web"), "email", json!("alice@acme.example"));
        let hers = changed(hers, "email_verified", json!(verified));
        assert_eq!(redeem_as_web(&app, &id_jag(&key, &hers), &[]).await.error(), "invalid_grant");
        assert_eq!(last(&app).await, "id_jag_tenant_domain");
    }
    assert!(app.store.people(&"globex".parse().unwrap()).await.unwrap().is_empty());
    proves(&app, "globex", "globex.example").await;
    let own = changed(id_jag::claims(&app, "web"), "email", json!("alice@globex.example"));
    let own = changed(own, "email_verified", json!(true));
    let answer = redeem_as_web(&app, &id_jag(&key, &own), &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(app.verify(&answer.text("access_token"), FILES).unwrap().tenant.as_str(), "globex");
}

#[tokio::test]
async fn a_platforms_token_for_another_audience_issuer_or_time_proves_no_agent() {
    let app = App::new().await;
    let (robot, key) = (app.agent("deployer").await, Key::new());
    workload::publish(&app, &key);
    robot.credential("ci", workload::repository("acme/app")).await;
    let now = app.clock.now().as_secs();
    for (name, value) in [
        ("aud", json!("https://other.example")),
        ("aud", json!(null)),
        ("aud", json!("https://github.com/acme")),
        ("iss", json!("https://evil.example")),
        ("repository", json!("acme/app2")),
        ("repository", json!(["acme/app"])),
        ("repository", json!(null)),
        ("exp", json!(now - 3600)),
        ("exp", json!(now + 30 * 86_400)),
        ("iat", json!(now + 3600)),
        ("sub", json!(null)),
    ] {
        let claims = changed(workload::claims(&app), name, value.clone());
        let answer = workload::ask(&app, &workload::token_of(&key, &claims), &[]).await;
        assert_eq!(answer.error(), "invalid_grant", "{name}: {value}");
    }
    let claims = workload::claims(&app);
    let input = |alg: &str| {
        let header = sallyport_oauth::jws::encode(json!({"alg": alg, "kid": "k1"}).to_string().as_bytes());
        format!("{header}.{}", sallyport_oauth::jws::encode(claims.to_string().as_bytes()))
    };
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.jwk().to_string().as_bytes());
    let hs256 = input("HS256");
    let forged =
        format!("{hs256}.{}", sallyport_oauth::jws::encode(aws_lc_rs::hmac::sign(&hmac, hs256.as_bytes()).as_ref()));
    for assertion in [workload::token_of(&Key::new(), &claims), forged, format!("{}.", input("none"))] {
        assert_eq!(workload::ask(&app, &assertion, &[]).await.error(), "invalid_grant");
    }
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
    assert_eq!(workload::ask(&app, &workload::token_of(&key, &claims), &[]).await.status, StatusCode::OK);
}
