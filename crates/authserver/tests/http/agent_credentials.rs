//! How an agent proves to be itself: keys, certificates, secrets; several at once, none when dead.

use std::time::Duration;

use http::StatusCode;
use rcgen::{CertificateParams, KeyPair};
use sallyport_model::{Actor, Clock, EventKind};
use sallyport_storage::CredentialKind;
use serde_json::json;

use crate::{app::*, kit::*};

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref());
    out
}

fn der(name: &str) -> Vec<u8> {
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[tokio::test]
async fn an_agent_proves_itself_by_its_key_and_the_record_names_the_credential() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let answer = robot.ask(&CREDENTIALS).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.subject, Actor::Agent(robot.agent_id()));
    assert_eq!(answer.text("token_type"), "Bearer");
    let issued = app.log.of(EventKind::TokenIssued);
    assert_eq!(issued[0].facts["credential"], "sorter-first");
    assert_eq!(issued[0].facts["credential_kind"], "private_key_jwt");
    assert_eq!(issued[0].facts["mark"], "agent");
    let now = Some(app.clock.now());
    let credentials = app.store.credentials(&robot.agent_id()).await.unwrap();
    assert_eq!(credentials[0].last_used_at, now);
    assert_eq!(app.store.agent(&robot.agent_id()).await.unwrap().unwrap().last_used_at, now);
}

#[tokio::test]
async fn while_one_key_takes_the_place_of_another_both_are_good_and_then_one() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let next = Key::new();
    let first = "sorter-first".parse().unwrap();
    robot.credential("second", CredentialKind::Keys { jwks: next.jwks() }).await;
    let overlap = app.clock.now().plus(Duration::from_secs(3600));
    assert!(app.store.expire_credential(&robot.agent_id(), &first, overlap).await.unwrap());
    for key in [&robot.key, &next] {
        assert_eq!(robot.ask_by(key, &CREDENTIALS, None).await.status, StatusCode::OK);
    }
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(robot.ask_by(&robot.key, &CREDENTIALS, None).await.error(), "invalid_client");
    assert_eq!(robot.ask_by(&next, &CREDENTIALS, None).await.status, StatusCode::OK);
    let refused = app.log.of(EventKind::TokenRefused).pop().unwrap();
    assert_eq!(refused.decision.unwrap().code, "credential_expired");
    assert_eq!(refused.facts["credential"], "sorter-first");
    let second = "sorter-second".parse().unwrap();
    assert!(app.store.revoke_credential(&robot.agent_id(), &second, app.clock.now()).await.unwrap());
    assert_eq!(robot.ask_by(&next, &CREDENTIALS, None).await.error(), "invalid_client");
    assert_eq!(app.log.codes(EventKind::TokenRefused).last().unwrap(), "credential_revoked");
    assert_eq!(robot.ask_by(&Key::new(), &CREDENTIALS, None).await.error(), "invalid_client", "nobody's key");
}

#[tokio::test]
async fn the_same_key_in_a_living_credential_outlives_its_dead_one() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    app.store.revoke_credential(&robot.agent_id(), &"sorter-first".parse().unwrap(), app.clock.now()).await.unwrap();
    robot.credential("again", CredentialKind::Keys { jwks: robot.key.jwks() }).await;
    assert_eq!(robot.ask(&CREDENTIALS).await.status, StatusCode::OK);
    assert_eq!(app.log.of(EventKind::TokenIssued)[0].facts["credential"], "sorter-again");
}

#[tokio::test]
async fn a_secret_is_taken_only_where_the_tenant_allows_it() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    robot.credential("secret", CredentialKind::Secret { sha256: sha256(SECRET) }).await;
    let form = [&CREDENTIALS[..], &[("client_id", "client-sorter"), ("client_secret", SECRET)]].concat();
    assert_eq!(app.token(&form).await.error(), "invalid_client");
    assert_eq!(app.log.codes(EventKind::TokenRefused), ["agent_secret_not_allowed"]);
    app.settings(|settings| settings.agent_secrets = true).await;
    assert_eq!(app.token(&form).await.status, StatusCode::OK);
    let wrong = [&CREDENTIALS[..], &[("client_id", "client-sorter"), ("client_secret", "x")]].concat();
    assert_eq!(app.token(&wrong).await.error(), "invalid_client");
    let nothing = [&CREDENTIALS[..], &[("client_id", "client-sorter")]].concat();
    assert_eq!(app.token(&nothing).await.error(), "invalid_client");
    assert_eq!(app.log.codes(EventKind::TokenRefused).last().unwrap(), "client_unauthenticated");
}

#[tokio::test]
async fn a_certificate_proves_its_agent_and_binds_its_tokens() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let own = der("agent.example");
    let kind = CredentialKind::Certificate { x5t_s256: sallyport_oauth::thumbprint::of_certificate(&own) };
    robot.credential("certificate", kind).await;
    let form = [&CREDENTIALS[..], &[("client_id", "client-sorter")]].concat();
    let answer = app.token_tls(&form, &certificate(&own, false)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    let expected = certificate(&own, false).x5t_s256.to_string();
    assert_eq!(principal.bound_to, Some(sallyport_model::KeyBinding::Certificate(expected)));
    assert_eq!(answer.text("token_type"), "Bearer", "RFC 8705 has no type of its own");
    for other in [certificate(&der("agent.example"), false), certificate(&der("agent.example"), true)] {
        assert_eq!(
            app.token_tls(&form, &other).await.error(),
            "invalid_client",
            "another certificate of the same name"
        );
    }
    let assertion = robot.assertion();
    let with =
        [&CREDENTIALS[..], &[("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)]].concat();
    let answer = app.token_tls(&with, &certificate(&own, false)).await;
    let principal = app.verify(&answer.text("access_token"), FILES).unwrap();
    assert_eq!(principal.bound_to, None, "what it did not authenticate by binds nothing");
}

#[tokio::test]
async fn a_name_counts_only_in_a_certificate_of_a_trusted_authority() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let named = CredentialKind::CertificateName { of: "dns".into(), name: "agent.example".into() };
    robot.credential("name", named).await;
    let form = [&CREDENTIALS[..], &[("client_id", "client-sorter")]].concat();
    assert_eq!(app.token_tls(&form, &certificate(&der("agent.example"), true)).await.status, StatusCode::OK);
    for no in [
        certificate(&der("agent.example"), false),
        certificate(&der("other.example"), true),
        certificate(b"agent.example", true),
    ] {
        assert_eq!(app.token_tls(&form, &no).await.error(), "invalid_client");
    }
    assert_eq!(app.token(&form).await.error(), "invalid_client", "no certificate");
}

#[tokio::test]
async fn public_keys_are_no_secrets_and_other_ways_are_refused() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let jwk = robot.key.jwk().to_string();
    let x = robot.key.jwk()["x"].as_str().unwrap().to_owned();
    for secret in [jwk.as_str(), x.as_str(), "sorter-first"] {
        let form = [&CREDENTIALS[..], &[("client_id", "client-sorter"), ("client_secret", secret)]].concat();
        assert_eq!(app.token(&form).await.error(), "invalid_client");
    }
    let now = app.clock.now().as_secs();
    let claims = json!({"iss": "client-sorter", "sub": "client-sorter", "aud": ISSUER, "jti": "1", "exp": now + 60});
    let input = format!(
        "{}.{}",
        sallyport_oauth::jws::encode(json!({"alg": "HS256"}).to_string().as_bytes()),
        sallyport_oauth::jws::encode(claims.to_string().as_bytes())
    );
    for secret in [jwk.as_bytes(), x.as_bytes()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let signature = sallyport_oauth::jws::encode(aws_lc_rs::hmac::sign(&key, input.as_bytes()).as_ref());
        let forged = format!("{input}.{signature}");
        let form =
            [&CREDENTIALS[..], &[("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*forged)]].concat();
        assert_eq!(app.token(&form).await.error(), "invalid_client", "a public key as an HMAC's secret");
    }
    assert!(app.log.of(EventKind::TokenIssued).is_empty());
}
