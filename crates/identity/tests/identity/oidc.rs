//! Sign-in at an OpenID provider, there and back.

use std::time::Duration;

use http::StatusCode;
use sallyport_model::{ClientId, ConnectionId, EventKind, TenantId};
use sallyport_oauth::client_assertion::{ExpectAssertion, verify};
use sallyport_storage::Role;
use serde_json::{Value, json};

use crate::{
    oidc_provider::{CLIENT, Key, SECRET, Stage, connect, settings},
    support::TestApp,
};

fn acme() -> ConnectionId {
    ConnectionId::new("acme-idp").unwrap()
}

async fn fetched(app: &TestApp, name: &str) -> Option<String> {
    app.store.fetched(&acme(), name).await.unwrap().map(|(document, _)| document)
}

#[tokio::test]
async fn somebody_signs_in_at_her_provider_and_comes_back_to_where_she_was() {
    let stage = Stage::set(|settings| settings.mapping.administrators = vec!["staff".into()]).await;
    let mut browser = stage.app.browser();
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/account?a=b"));
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!((me.person.display_name.as_str(), me.person.role), ("Ms alice", Role::Administrator));
    assert_eq!((me.person.email.as_deref(), me.person.groups.len()), (Some("alice@acme.example"), 1));
    let session = me.session.provider.unwrap();
    assert_eq!(session.subject, format!("{} alice", stage.provider.origin));
    assert_eq!((session.session.as_deref(), me.session.methods), (Some("sid-of-alice"), vec!["pwd".to_owned()]));
    let event = stage.app.log.last();
    assert_eq!((event.kind, &event.facts["connection"]), (EventKind::SignedIn, &json!("acme-idp")));
    assert_eq!(fetched(&stage.app, "refresh").await.as_deref(), Some("kept"));
    // A second time it is the same person, and no document is fetched again.
    let again = stage.signed_in("alice").await;
    let again = stage.app.identity.current(&again.header_map()).await.unwrap().unwrap();
    assert_eq!(again.person.id, me.person.id);
    assert_eq!((stage.provider.asked("/jwks"), stage.provider.asked("/userinfo")), (1, 0));
}

#[tokio::test]
async fn what_was_asked_for_is_what_the_settings_say() {
    let stage = Stage::set(|settings| {
        settings.demands.acr = vec!["gold".into()];
        settings.demands.mfa = true;
        settings.demands.mfa_acr = vec!["urn:two".into()];
        settings.demands.max_age_seconds = Some(600);
        settings.scopes = vec!["offline_access".into()];
    })
    .await;
    let mut browser = stage.app.browser();
    let answer = browser.get("/signin/sso/acme-idp?login_hint=alice%40acme.example").await;
    let location = answer.location().to_owned();
    stage.provider.sign_in(&location, "alice");
    let asked = stage.provider.is().seen.last().unwrap().1.clone();
    assert_eq!((asked["acr_values"].as_str(), asked["max_age"].as_str()), ("gold urn:two", "600"));
    assert_eq!((asked["login_hint"].as_str(), asked["prompt"].as_str()), ("alice@acme.example", "consent"));
    assert!(asked["scope"].split(' ').any(|scope| scope == "offline_access"));
    assert_eq!(asked["redirect_uri"], "https://gate.example/signin/oidc/acme-idp/callback");
    // And what was asked for is demanded.
    for (claims, code) in [
        (json!({}), "oidc_acr"),
        (json!({"acr": "gold"}), "oidc_mfa"),
        (json!({"acr": "gold", "amr": ["mfa"], "auth_time": 1_700_000_000}), "oidc_stale"),
        (json!({"acr": "gold", "amr": ["mfa"], "auth_time": null}), "oidc_auth_time_missing"),
    ] {
        stage.provider.is().claims = claims;
        stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, code);
    }
    stage.provider.is().claims = json!({"acr": "gold", "amr": ["pwd", "mfa"]});
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn requests_are_pushed_and_tokens_bound_where_the_provider_can() {
    let stage = Stage::new().await;
    let at = |path: &str| json!(format!("{}{path}", stage.provider.origin));
    stage.provider.is().metadata = json!({
        "pushed_authorization_request_endpoint": at("/par"), "dpop_signing_alg_values_supported": ["ES256"],
    });
    stage.provider.is().wants_dpop = true;
    stage.provider.is().claims = json!({"name": null, "preferred_username": null});
    stage.provider.is().user_info = json!({"name": "From UserInfo"});
    let mut browser = stage.app.browser();
    let location = stage.leave(&mut browser, "acme").await;
    assert!(location.contains("request_uri=") && !location.contains("code_challenge"), "{location}");
    let back = stage.provider.sign_in(&location, "alice");
    assert_eq!(browser.get(&back).await.status, StatusCode::SEE_OTHER);
    assert_eq!(stage.provider.asked("/token"), 2, "once more with the nonce");
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.person.display_name, "From UserInfo");
}

#[tokio::test]
async fn we_prove_ourselves_by_a_key_that_is_published_for_the_provider() {
    let key = Key::new("unused");
    let pkcs8 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &key.pkcs8);
    let stage = Stage::set(|settings| {
        settings.client_secret = None;
        settings.private_key = Some(pkcs8);
    })
    .await;
    let mut browser = stage.signed_in("alice").await;
    let form = stage.provider.is().seen.iter().find(|(path, _)| path == "/token").unwrap().1.clone();
    let keys = browser.get("/signin/oidc/acme-idp/jwks").await;
    assert_eq!(keys.status, StatusCode::OK);
    assert!(!keys.text.contains("\"d\""));
    let token_endpoint = format!("{}/token", stage.provider.origin);
    let expect = ExpectAssertion {
        client: &ClientId::new(CLIENT).unwrap(),
        audiences: &[&token_endpoint],
        now: stage.app.now(),
        leeway: Duration::ZERO,
    };
    verify(&form["client_assertion"], &keys.json(), &expect).unwrap();
    connect(&stage.app, "globex", settings(&stage.provider)).await;
    assert_eq!(browser.get("/signin/oidc/globex-idp/jwks").await.status, StatusCode::NOT_FOUND);
    assert_eq!(browser.get("/signin/oidc/nobody/jwks").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn user_info_is_asked_for_what_the_id_token_lacks_and_must_be_about_the_same_person() {
    let stage = Stage::new().await;
    stage.provider.is().claims = json!({"email": null, "email_verified": null, "groups": null});
    stage.provider.is().user_info = json!({"email": "a@acme.example", "email_verified": true, "groups": ["ops"]});
    let browser = stage.signed_in("alice").await;
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!((me.person.email.as_deref(), me.person.groups), (Some("a@acme.example"), vec!["ops".to_owned()]));
    let mut browser = stage.app.browser();
    stage.provider.is().user_info = json!({"sub": "mallory", "email": "ceo@acme.example"});
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "oidc_user_info_subject");
    stage.provider.is().metadata = json!({"userinfo_endpoint": format!("{}/moved", stage.provider.origin)});
    stage.app.later(Duration::from_secs(3700));
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "oidc_provider_unreachable");
}

#[tokio::test]
async fn entra_is_told_apart_by_directory_and_knows_people_by_oid() {
    const OURS: &str = "11111111-2222-3333-4444-555555555555";
    let app = TestApp::with_providers().await;
    let provider = crate::oidc_provider::Provider::start(&app).await;
    let origin = provider.origin.clone();
    let mut shared = settings(&provider);
    shared.preset = "entra".into();
    shared.issuer = format!("{origin}/common/v2.0");
    shared.organisation = Some(OURS.into());
    shared.demands.mfa = true;
    shared.demands.mfa_acr = vec!["c1".into()];
    shared.mapping.admitted = vec!["g".into()];
    connect(&app, "acme", shared).await;
    provider.is().metadata = json!({
        "issuer": format!("{origin}/{{tenantid}}/v2.0"), "authorization_response_iss_parameter_supported": null,
    });
    let stage = Stage { app, provider };
    let mut browser = stage.app.browser();
    let claims = |changes: Value| {
        let mut all =
            json!({"iss": format!("{origin}/{OURS}/v2.0"), "tid": OURS, "oid": "o-1", "acrs": ["c1"], "groups": ["g"]});
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        stage.provider.is().claims = all;
    };
    let sign_in = async |browser: &mut crate::support::Browser| {
        let path = "/signin/sso/acme-idp?login_hint=a%40acme.example";
        let location = browser.get(path).await.location().to_owned();
        let back = stage.provider.sign_in(&location, "pairwise");
        browser.get(back.split("&iss=").next().unwrap()).await
    };
    let other = "99999999-2222-3333-4444-555555555555";
    for (changes, code) in [
        (json!({"iss": format!("{origin}/{other}/v2.0"), "tid": other}), "jwt_issuer"),
        (json!({"tid": other}), "jwt_issuer"),
        (json!({"oid": null}), "jwt_claim"),
        (json!({"acrs": null}), "oidc_mfa"),
        (json!({"groups": null, "_claim_names": {"groups": "src1"}}), "oidc_groups_overage"),
        (json!({"groups": null, "hasgroups": true}), "oidc_groups_overage"),
    ] {
        claims(changes);
        stage.assert_refused(&sign_in(&mut browser).await, code);
    }
    claims(json!({}));
    assert_eq!(sign_in(&mut browser).await.status, StatusCode::SEE_OTHER);
    let asked = stage.provider.is().seen.iter().rev().find(|(path, _)| path == "/authorize").unwrap().1.clone();
    assert_eq!(asked["domain_hint"], "acme.example");
    assert_eq!(asked["claims"], r#"{"id_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
    let me = stage.app.identity.current(&browser.header_map()).await.unwrap().unwrap();
    assert_eq!(me.session.provider.unwrap().subject, format!("{origin}/{OURS}/v2.0 o-1"));
    assert_eq!(me.session.methods, ["pwd", "mfa"]);
}

#[tokio::test]
async fn google_is_told_apart_by_hosted_domain() {
    let stage = Stage::set(|settings| {
        settings.preset = "google".into();
        settings.organisation = Some("acme.example".into());
    })
    .await;
    let mut browser = stage.app.browser();
    for domain in [json!(null), json!("evil.example")] {
        stage.provider.is().claims = json!({"hd": domain});
        stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "oidc_hosted_domain");
    }
    stage.provider.is().claims = json!({"hd": "acme.example"});
    assert_eq!(stage.sign_in(&mut browser, "acme", "alice").await.status, StatusCode::SEE_OTHER);
    let asked = stage.provider.is().seen.iter().rev().find(|(path, _)| path == "/authorize").unwrap().1.clone();
    assert_eq!((asked["hd"].as_str(), asked["access_type"].as_str()), ("acme.example", "offline"));
    assert_eq!(asked["prompt"], "consent");
}

#[tokio::test]
async fn one_subject_at_two_tenants_is_two_people() {
    let stage = Stage::new().await;
    connect(&stage.app, "globex", settings(&stage.provider)).await;
    let here = stage.signed_in("alice").await;
    let mut there = stage.app.browser();
    assert_eq!(stage.sign_in(&mut there, "globex", "alice").await.status, StatusCode::SEE_OTHER);
    let here = stage.app.identity.current(&here.header_map()).await.unwrap().unwrap();
    let there = stage.app.identity.current(&there.header_map()).await.unwrap().unwrap();
    assert_ne!(here.person.id, there.person.id);
    assert_eq!((here.person.tenant.as_str(), there.person.tenant.as_str()), ("acme", "globex"));
}

#[tokio::test]
async fn a_misconfiguration_says_what_to_do() {
    let stage = Stage::set(|settings| settings.mapping.link_by_email = true).await;
    let mut browser = stage.app.browser();
    let now = stage.provider.now();
    for (claims, code, says) in [
        (json!({"iat": now + 600, "exp": now + 900}), "jwt_from_future", "10"),
        (json!({"iat": now - 900, "exp": now - 600}), "jwt_expired", "600 seconds"),
        (json!({"aud": "other-app"}), "jwt_audience", "other-app"),
        (json!({"nonce": "another"}), "oidc_nonce", "sign in again"),
        (json!({"email": null}), "email_missing", "email"),
        (json!({"groups": [{"id": 1}]}), "oidc_groups", "list of strings"),
    ] {
        stage.provider.is().claims = claims;
        let answer = stage.sign_in(&mut browser, "acme", "alice").await;
        stage.assert_refused(&answer, code);
        assert!(answer.text.contains(says), "{code}: {}", answer.text);
    }
    stage.provider.is().claims = json!({});
    stage.provider.is().token_error = Some((401, json!({"error": "invalid_client", "error_description": "no"})));
    let answer = stage.sign_in(&mut browser, "acme", "alice").await;
    stage.assert_refused(&answer, "oidc_invalid_client");
    assert!(answer.text.contains("whether the secret has expired"), "{}", answer.text);
    stage.provider.is().token_error = Some((302, json!({})));
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "oidc_token_endpoint");
    assert!(!stage.app.log.events.lock().unwrap().iter().any(|event| event.kind == EventKind::SignedIn));
}

#[tokio::test]
async fn who_was_not_provisioned_hears_which_claim_is_missing() {
    let stage = Stage::set(|settings| settings.mapping.create = false).await;
    let mut browser = stage.app.browser();
    stage.provider.is().claims = json!({"preferred_username": null});
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "attribute_missing");
    stage.provider.is().claims = json!({});
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "not_provisioned");
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_named_and_nobody_is_sent_away() {
    let stage = Stage::new().await;
    stage.provider.is().documents_down = true;
    let mut browser = stage.app.browser();
    let answer = browser.get("/signin/sso/acme-idp").await;
    stage.assert_refused(&answer, "oidc_provider_unreachable");
    assert!(answer.text.contains("502"), "{}", answer.text);
    stage.provider.is().documents_down = false;
    assert_eq!(browser.get("/signin/sso/acme-idp").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_last_good_documents_carry_over_a_day_and_no_longer() {
    let stage = Stage::new().await;
    stage.signed_in("alice").await;
    stage.provider.is().documents_down = true;
    stage.app.later(Duration::from_secs(23 * 3600));
    stage.signed_in("alice").await;
    assert_eq!(stage.provider.asked("/jwks"), 2, "it was asked again, in vain");
    stage.signed_in("alice").await;
    assert_eq!(stage.provider.asked("/jwks"), 2, "and is left alone for a while");
    stage.app.later(Duration::from_secs(3600));
    let answer = stage.app.browser().get("/signin/sso/acme-idp").await;
    stage.assert_refused(&answer, "oidc_provider_unreachable");
}

#[tokio::test]
async fn a_new_key_is_taken_up_and_an_old_one_is_dropped() {
    let stage = Stage::new().await;
    let mut browser = stage.signed_in("alice").await;
    {
        let mut provider = stage.provider.is();
        provider.keys.push(Key::new("k2"));
        provider.signer = 1;
    }
    stage.signed_in("alice").await;
    assert_eq!(stage.provider.asked("/jwks"), 2, "found at once");
    // A stranger can make up any key id: such a token makes us fetch twice a minute at most.
    stage.provider.is().header = json!({"kid": "k3"});
    for (later, asked) in [(0, 2), (29, 2), (1, 3), (0, 3)] {
        stage.app.later(Duration::from_secs(later));
        stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "jwt_unknown_key");
        assert_eq!(stage.provider.asked("/jwks"), asked);
    }
    stage.provider.is().header = json!({});
    {
        let mut provider = stage.provider.is();
        let old = provider.keys.remove(0);
        provider.key_set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k2", "use": "sig",
            "x": crate::oidc_provider::b64(&provider.keys[0].point()[1..33]),
            "y": crate::oidc_provider::b64(&provider.keys[0].point()[33..])}]});
        provider.keys.push(old);
        provider.signer = 1;
    }
    stage.app.later(Duration::from_secs(3601));
    stage.assert_refused(&stage.sign_in(&mut browser, "acme", "alice").await, "jwt_unknown_key");
}

#[tokio::test]
async fn what_is_switched_off_on_the_way_lets_nobody_in() {
    let stage = Stage::new().await;
    let mut browser = stage.app.browser();
    let location = stage.leave(&mut browser, "acme").await;
    let back = stage.provider.sign_in(&location, "alice");
    let mut connection = stage.app.store.connection(&acme()).await.unwrap().unwrap();
    connection.enabled = false;
    stage.app.store.put_connection(&connection).await.unwrap();
    stage.assert_refused(&browser.get(&back).await, "connection_off");
    connection.enabled = true;
    stage.app.store.put_connection(&connection).await.unwrap();
    let mut tenant = stage.app.store.tenant(&TenantId::new("acme").unwrap()).await.unwrap().unwrap();
    tenant.suspended = true;
    stage.app.store.put_tenant(&tenant).await.unwrap();
    stage.assert_refused(&browser.get(&back).await, "connection_off");
    assert_eq!(stage.provider.asked("/token"), 0, "the code was not redeemed");
    assert!(stage.session(&browser).await.is_none());
}

#[tokio::test]
async fn settings_of_another_time_reach_nobody_as_json() {
    let stage = Stage::set(|settings| settings.client_secret = None).await;
    let answer = stage.app.browser().get("/signin/sso/acme-idp").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.text.contains(SECRET));
}
