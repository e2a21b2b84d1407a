//! What a bad provider, a bad neighbour or a thief on the way tries.

use std::time::Duration;

use aws_lc_rs::hmac;
use http::StatusCode;
use serde_json::{Value, json};

use crate::oidc_provider::{Key, Stage, b64, connect, settings};

#[tokio::test]
async fn an_answer_counts_once_in_the_browser_and_at_the_connection_that_were_sent() {
    let stage = Stage::new().await;
    connect(&stage.app, "globex", settings(&stage.provider)).await;
    let mut alice = stage.app.browser();
    let location = stage.leave(&mut alice, "acme").await;
    let back = stage.provider.sign_in(&location, "alice");
    // Login CSRF: somebody else's browser, with and without a sign-in of its own under way.
    let mut victim = stage.app.browser();
    stage.assert_refused(&victim.get(&back).await, "sign_in_elsewhere");
    stage.leave(&mut victim, "acme").await;
    stage.assert_refused(&victim.get(&back).await, "sign_in_elsewhere");
    // Mix-up: our state at another connection's callback, in the right browser.
    let elsewhere = back.replace("acme-idp", "globex-idp");
    stage.assert_refused(&alice.get(&elsewhere).await, "provider_mix_up");
    assert_eq!(stage.provider.asked("/token"), 0, "no code was redeemed");
    assert_eq!(alice.get(&back).await.status, StatusCode::SEE_OTHER, "the right way still works");
    stage.assert_refused(&alice.get(&back).await, "sign_in_ended");
    assert_eq!(stage.provider.asked("/token"), 1, "a replayed answer redeems nothing");
}

#[tokio::test]
async fn an_answer_of_another_issuer_or_without_one_is_refused() {
    let stage = Stage::new().await;
    let mut browser = stage.app.browser();
    for (iss, code) in [
        ("&iss=https%3A%2F%2Fevil.example", "oidc_response_issuer"),
        ("", "oidc_response_issuer_missing"),
        ("&iss=a&iss=b", "oidc_response_form"),
    ] {
        let location = stage.leave(&mut browser, "acme").await;
        let back = stage.provider.sign_in(&location, "alice");
        let (without, _) = back.split_once("&iss=").unwrap();
        stage.assert_refused(&browser.get(&format!("{without}{iss}")).await, code);
    }
    for (query, code) in
        [("", "oidc_state_missing"), ("code=x", "oidc_state_missing"), ("state=x&code=y", "sign_in_ended")]
    {
        let answer = browser.get(&format!("/signin/oidc/acme-idp/callback?{query}")).await;
        stage.assert_refused(&answer, code);
    }
    assert_eq!(stage.provider.asked("/token"), 0);
    let answer = browser.get("/signin/oidc/nobody/callback?state=x&code=y").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text.contains("connection_unknown"), "{}", answer.text);
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_a_page_and_no_markup_of_its() {
    let stage = Stage::new().await;
    let mut browser = stage.app.browser();
    let location = stage.leave(&mut browser, "acme").await;
    let back = stage.provider.sign_in(&location, "alice");
    let back = back.replace("code=code-1", "error=access_denied&error_description=%3Cscript%3E%0D%0Ax");
    let answer = browser.get(&back).await;
    stage.assert_refused(&answer, "oidc_provider_refused");
    assert!(answer.text.contains("access_denied") && !answer.text.contains("<script>\u{fffd}"), "{}", answer.text);
    assert!(answer.text.contains("&lt;script&gt;"), "{}", answer.text);
}

/// Signs alice in with a token that `forge` makes from its claims.
async fn with_token(stage: &Stage, forge: impl FnOnce(&Stage, Value) -> String) -> crate::support::Answer {
    let mut browser = stage.app.browser();
    let location = stage.leave(&mut browser, "acme").await;
    let back = stage.provider.sign_in(&location, "alice");
    let nonce = stage.provider.is().seen.last().unwrap().1["nonce"].clone();
    let now = stage.provider.now();
    let claims = json!({
        "iss": stage.provider.origin, "sub": "alice", "aud": "gate", "iat": now, "exp": now + 300, "nonce": nonce,
        "email": "alice@acme.example", "email_verified": true, "name": "n", "groups": [], "preferred_username": "a",
    });
    let id_token = forge(stage, claims);
    stage.provider.is().token_error =
        Some((200, json!({"access_token": "at-alice", "token_type": "Bearer", "id_token": id_token})));
    browser.get(&back).await
}

#[tokio::test]
async fn no_forged_id_token_signs_anybody_in() {
    let stage = Stage::new().await;
    let good = with_token(&stage, |stage, claims| stage.provider.sign(None, &claims)).await;
    assert_eq!(good.status, StatusCode::SEE_OTHER, "{}", good.text);
    let none = |_: &Stage, claims: Value| format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(claims.to_string()));
    stage.assert_refused(&with_token(&stage, none).await, "jwt_algorithm");
    let hmac_of_public = |stage: &Stage, claims: Value| {
        let input = format!("{}.{}", b64(r#"{"alg":"HS256","kid":"k1"}"#), b64(claims.to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &stage.provider.is().keys[0].point());
        format!("{input}.{}", b64(hmac::sign(&key, input.as_bytes())))
    };
    stage.assert_refused(&with_token(&stage, hmac_of_public).await, "jwt_algorithm");
    let foreign_key = |_: &Stage, claims: Value| Key::new("k1").sign(&json!({"alg": "ES256", "kid": "k1"}), &claims);
    stage.assert_refused(&with_token(&stage, foreign_key).await, "jwt_signature");
    let own_key = |_: &Stage, claims: Value| {
        let key = Key::new("k9");
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&key.point()[1..33]), "y": b64(&key.point()[33..])});
        key.sign(&json!({"alg": "ES256", "kid": "k9", "jwk": jwk}), &claims)
    };
    stage.assert_refused(&with_token(&stage, own_key).await, "jwt_header");
    let mine = |changes: Value, typ: Option<&'static str>| {
        move |stage: &Stage, claims: Value| stage.provider.sign(typ, &crate::oidc_provider::with(claims, &changes))
    };
    for (changes, typ, code) in [
        (json!({"aud": []}), None, "jwt_audience"),
        (json!({"aud": ["gate", "other"]}), None, "oidc_authorized_party"),
        (json!({"azp": "other"}), None, "oidc_authorized_party"),
        (json!({"iss": "https://evil.example"}), None, "jwt_issuer"),
        (json!({"nonce": null}), None, "oidc_nonce"),
        (json!({"sub": null}), None, "jwt_claim"),
        (json!({"at_hash": "AAAA"}), None, "oidc_token_hash"),
        (json!({}), Some("at+jwt"), "jwt_type"),
        (json!({"events": {}}), None, "jwt_type"),
    ] {
        stage.assert_refused(&with_token(&stage, mine(changes, typ)).await, code);
    }
}

#[tokio::test]
async fn a_swapped_or_poisoned_key_set_is_refused() {
    let stage = Stage::new().await;
    stage.signed_in("alice").await;
    let mut browser = stage.app.browser();
    // The thief's key under the known name: what is known is used until the keys may be fetched again, and then
    // the old token no longer passes; but a set that publishes a private key is never taken.
    stage.provider.is().key_set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "d": "AAAA"}]});
    stage.app.later(Duration::from_secs(3601));
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    stage.assert_refused(&answer, "oidc_published_secret");
    stage.provider.is().key_set = json!({"keys": []});
    stage.app.later(Duration::from_secs(31));
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "oidc_no_keys");
}

#[tokio::test]
async fn hostile_metadata_lead_nowhere() {
    let stage = Stage::new().await;
    let mut browser = stage.app.browser();
    for (metadata, code) in [
        (json!({"issuer": "https://accounts.google.com"}), "oidc_metadata_issuer"),
        (json!({"issuer": format!("{}/", stage.provider.origin)}), "oidc_metadata_issuer"),
        (json!({"id_token_signing_alg_values_supported": ["none", "HS256"]}), "oidc_no_algorithm"),
        (json!({"code_challenge_methods_supported": ["plain"]}), "oidc_no_pkce"),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), "oidc_url"),
        (json!({"token_endpoint": "http://10.0.0.1/token"}), "oidc_url"),
        (json!({"jwks_uri": "file:///etc/passwd"}), "oidc_url"),
        (json!({"x": "y".repeat(200_000)}), "oidc_provider_unreachable"),
    ] {
        stage.provider.is().metadata = metadata;
        stage.assert_refused(&browser.get("/signin/sso/acme-idp").await, code);
    }
    // Addresses that only resolution shows for what they are: the socket's guard holds them.
    stage.provider.is().metadata = json!({"token_endpoint": "https://169.254.169.254/token"});
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    stage.assert_refused(&answer, "oidc_provider_unreachable");
    // A redirect is not followed, so it cannot lead behind the guard either.
    stage.provider.is().metadata = json!({"jwks_uri": format!("{}/moved", stage.provider.origin)});
    stage.app.later(Duration::from_secs(3601));
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    stage.assert_refused(&answer, "oidc_provider_unreachable");
    assert_eq!(stage.provider.asked("/moved"), 1);
}

#[tokio::test]
async fn a_connection_that_moved_to_another_issuer_forgets_the_old_keys() {
    let stage = Stage::new().await;
    stage.signed_in("alice").await;
    let other = crate::oidc_provider::Provider::start(&stage.app).await;
    connect(&stage.app, "acme", settings(&other)).await;
    let mut browser = stage.app.browser();
    let location = stage.leave(&mut browser, "acme").await;
    assert!(location.starts_with(&other.origin), "{location}");
    let back = other.sign_in(&location, "alice");
    assert_eq!(browser.get(&back).await.status, StatusCode::SEE_OTHER);
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.session.provider.unwrap().subject, format!("{} alice", other.origin));
}
