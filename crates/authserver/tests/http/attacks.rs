//! Attacks on the authorization server; each name is a row of `docs/attacks.md`.

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_model::{AgentId, Clock, EventKind};
use sallyport_oauth::{TokenFault, jws};
use sallyport_storage::{ClientAuthMethod, Clients};
use serde_json::{Value, json};

use crate::app::*;

fn refresh<'a>(client: &'a str, token: &'a str) -> [(&'a str, &'a str); 3] {
    [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)]
}

#[tokio::test]
async fn code_replay_revokes_what_the_code_gave() {
    let app = App::new().await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant");
    assert_eq!(app.token(&refresh(&client, &tokens.text("refresh_token"))).await.error(), "invalid_grant");
    let replays = app.log.of(EventKind::ReplayDetected);
    assert_eq!(replays.len(), 1);
    assert_eq!(replays[0].who.as_ref().unwrap().subject.id(), "alice");
}

#[tokio::test]
async fn a_stolen_code_without_its_verifier_is_worth_nothing_and_is_spent() {
    for verifier in [
        None,
        Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX"),
        Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        Some(""),
    ] {
        let app = App::new().await;
        let client = app.register().await;
        let code = app.alice().code(&request(&client, LOOPBACK)).await;
        let mut stolen = redeem(&client, LOOPBACK, &code);
        stolen.retain(|(name, _)| *name != "code_verifier");
        stolen.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        assert_eq!(app.token(&stolen).await.error(), "invalid_grant", "{verifier:?}");
        let grant = app.log.of(EventKind::Consented)[0].who.clone().unwrap().grant.unwrap();
        let grant = app.store.grant(&grant).await.unwrap().unwrap();
        assert!(grant.revoked_at.is_some(), "the grant went with it");
        assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant", "spent");
        assert!(app.log.of(EventKind::TokenIssued).is_empty());
    }
}

#[tokio::test]
async fn a_code_is_bound_to_client_redirect_and_resource() {
    let app = App::new().await;
    let (client, other) = (app.register().await, app.register().await);
    for (name, value) in [
        ("client_id", other.as_str()),
        ("redirect_uri", "http://127.0.0.1:3335/oauth/callback"),
        ("redirect_uri", WEB_REDIRECT),
        ("resource", MAIL),
    ] {
        let code = app.alice().code(&request(&client, LOOPBACK)).await;
        let mut wrong = redeem(&client, LOOPBACK, &code);
        wrong.retain(|(key, _)| *key != name);
        wrong.push((name, value));
        let error = app.token(&wrong).await.error();
        assert!(matches!(error.as_str(), "invalid_grant" | "invalid_target"), "{name}: {error}");
        assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.error(), "invalid_grant", "{name}: spent");
    }
}

#[tokio::test]
async fn pkce_cannot_be_left_out_or_made_plain() {
    let app = App::new().await;
    let client = app.register().await;
    for (name, value) in [("code_challenge", ""), ("code_challenge_method", ""), ("code_challenge_method", "plain")] {
        let answer = app.alice().authorize(&changed(request(&client, LOOPBACK), name, value)).await;
        assert_eq!(answer.answered("error").as_deref(), Some("invalid_request"), "{name}={value}");
    }
    for client in ["web", "robot"] {
        let answer = app.alice().authorize(&changed(request(client, WEB_REDIRECT), "code_challenge", "")).await;
        assert_eq!(answer.location().and_then(|_| answer.answered("code")), None, "confidential clients too");
    }
}

#[tokio::test]
async fn refresh_reuse_ends_the_family() {
    let app = App::new().await;
    let client = app.register().await;
    let first = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    let second = app.token(&refresh(&client, &first)).await.text("refresh_token");
    let third = app.token(&refresh(&client, &second)).await.text("refresh_token");
    assert_eq!(app.token(&refresh(&client, &first)).await.error(), "invalid_grant");
    assert_eq!(app.token(&refresh(&client, &third)).await.error(), "invalid_grant", "the living one died with it");
    assert_eq!(app.log.of(EventKind::ReplayDetected).len(), 1);
    let first = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    let second = app.token(&refresh(&client, &first)).await.text("refresh_token");
    app.clock.advance(Duration::from_secs(11));
    assert_eq!(app.token(&refresh(&client, &first)).await.error(), "invalid_grant");
    assert_eq!(app.token(&refresh(&client, &second)).await.error(), "invalid_grant", "after the grace it is reuse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_of_a_hundred_refreshes_has_one_winner_and_loses_no_family() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (app, client, token) = (app.clone(), client.clone(), token.clone());
            tokio::spawn(async move { app.token(&refresh(&client, &token)).await })
        })
        .collect();
    let mut won = Vec::new();
    for caller in callers {
        let answer = caller.await.unwrap();
        match answer.status {
            StatusCode::OK => won.push(answer.text("refresh_token")),
            _ => assert_eq!(answer.error(), "invalid_grant"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(app.token(&refresh(&client, &won[0])).await.status, StatusCode::OK, "the family lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_for_one_code_has_one_winner_at_most_and_then_nothing_lives() {
    let app = App::new().await;
    let client = app.register().await;
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (app, client, code) = (app.clone(), client.clone(), code.clone());
            tokio::spawn(async move { app.token(&redeem(&client, LOOPBACK, &code)).await })
        })
        .collect();
    let mut won = Vec::new();
    for caller in callers {
        let answer = caller.await.unwrap();
        if answer.status == StatusCode::OK {
            won.push(answer.text("refresh_token"));
        }
    }
    assert!(won.len() <= 1);
    for token in won {
        assert_eq!(app.token(&refresh(&client, &token)).await.error(), "invalid_grant");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_to_answer_one_consent_page_gives_one_code() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (mut alice, page) = (alice.clone(), page.clone());
            tokio::spawn(async move { alice.decide(&page, "allow").await.status })
        })
        .collect();
    let mut codes = 0;
    for caller in callers {
        codes += usize::from(caller.await.unwrap() == StatusCode::SEE_OTHER);
    }
    assert_eq!(codes, 1);
    assert_eq!(app.log.of(EventKind::Consented).len(), 1);
}

#[tokio::test]
async fn a_foreign_clients_refresh_token_is_refused_and_untouched() {
    let app = App::new().await;
    let (client, other) = (app.register().await, app.register().await);
    let token = app.tokens(&client, LOOPBACK).await.text("refresh_token");
    assert_eq!(app.token(&refresh(&other, &token)).await.error(), "invalid_grant");
    let revoke = app.post("/oauth/revoke", &[("client_id", &other), ("token", &token)]).await;
    assert_eq!(revoke.error(), "unauthorized_client");
    assert_eq!(app.token(&refresh(&client, &token)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_handle_opened_in_another_browser_is_refused() {
    let app = App::new().await;
    // The attacker begins and lets the victim go on.
    let mut attacker = app.browser();
    let begun = attacker.get(&authorize_path(&request("web", WEB_REDIRECT))).await;
    let handle = begun.location().unwrap().to_owned();
    let mut victim = app.alice();
    let answer = victim.get(&handle).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "without our cookie");
    victim.authorize(&request("web", WEB_REDIRECT)).await;
    let answer = victim.get(&handle).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "with her own cookie");
    // The attacker's page, answered by the victim's browser.
    attacker.sign_in("bob");
    let page = attacker.walk(&handle).await;
    let answer = victim.decide(&page, "allow").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
    assert!(app.log.of(EventKind::Consented).is_empty());
    assert!(app.log.codes(EventKind::AuthorizationRefused).iter().all(|code| code == "request_of_another_browser"));
}

#[tokio::test]
async fn consent_cannot_be_forged_from_another_site_or_for_another_page() {
    let app = App::new().await;
    let mut alice = app.alice();
    let page = alice.authorize(&request("web", WEB_REDIRECT)).await;
    let other = alice.authorize(&changed(request("web", WEB_REDIRECT), "scope", "files:write")).await;
    let (csrf, handle) = (page.field("csrf"), page.field("handle"));
    for (token, handle) in
        [("", &handle), ("AAAA", &handle), (&*other.field("csrf"), &handle), (&*csrf, &other.field("handle"))]
    {
        let answer = alice.post("/oauth/consent", &[("csrf", token), ("handle", handle), ("decision", "allow")]).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
    }
    for (name, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let mut request =
            form_request("/oauth/consent", &[("csrf", &csrf), ("handle", &handle), ("decision", "allow")]);
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = alice.send(request).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "{name}: {value}");
    }
    let mut get = Request::get(format!("/oauth/consent?csrf={csrf}&handle={handle}&decision=allow"));
    get.headers_mut().unwrap().insert(header::HOST, "gate.example".parse().unwrap());
    assert_eq!(alice.send(get.body(Body::empty()).unwrap()).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(app.log.of(EventKind::Consented).is_empty());
    assert_eq!(alice.decide(&page, "allow").await.status, StatusCode::SEE_OTHER, "the page itself still works");
}

#[tokio::test]
async fn a_page_shown_to_one_person_is_not_answered_by_the_next() {
    let app = App::new().await;
    let mut browser = app.alice();
    let page = browser.authorize(&request("web", WEB_REDIRECT)).await;
    browser.sign_in("bob");
    let answer = browser.decide(&page, "allow").await;
    assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None));
    browser.cookies.remove("test-session");
    let answer = browser.decide(&page, "allow").await;
    assert!(answer.location().unwrap().starts_with("/signin"), "signed out meanwhile");
}

#[tokio::test]
async fn repeated_parameters_are_refused_everywhere() {
    let app = App::new().await;
    let client = app.register().await;
    let good = authorize_path(&request(&client, LOOPBACK));
    for (name, value, page) in [
        ("client_id", "web", true),
        ("client_id", client.as_str(), true),
        ("redirect_uri", "https%3A%2F%2Fevil.example", true),
        ("scope", "files:write", false),
        ("state", "x", false),
        ("code_challenge_method", "plain", false),
        ("%72esource", FILES, false),
    ] {
        let answer = app.alice().walk(&format!("{good}&{name}={value}")).await;
        if page {
            assert_eq!((answer.status, answer.location()), (StatusCode::BAD_REQUEST, None), "{name}");
            continue;
        }
        let error = if name == "%72esource" { "invalid_target" } else { "invalid_request" };
        assert_eq!(answer.answered("error").as_deref(), Some(error), "{name}");
        assert_eq!(answer.answered("state").is_none(), name == "state", "a doubtful state is not echoed");
    }
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    for extra in [("code", "x"), ("client_id", "web"), ("grant_type", "refresh_token"), ("code_verifier", VERIFIER)] {
        let form = [&redeem(&client, LOOPBACK, &code)[..], &[extra]].concat();
        assert_eq!(app.token(&form).await.error(), "invalid_request", "{extra:?}");
    }
    assert_eq!(app.token(&redeem(&client, LOOPBACK, &code)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_authorization_response_names_its_issuer() {
    let app = App::new().await;
    let mut alice = app.alice();
    let code = alice.code(&request("web", WEB_REDIRECT)).await;
    assert!(!code.is_empty());
    let remembered = alice.authorize(&request("web", WEB_REDIRECT)).await;
    let wrong = alice.authorize(&changed(request("web", WEB_REDIRECT), "response_type", "token")).await;
    let page = alice.authorize(&changed(request("web", WEB_REDIRECT), "prompt", "consent")).await;
    let denied = alice.decide(&page, "deny").await;
    let silent = app.browser().authorize(&changed(request("web", WEB_REDIRECT), "prompt", "none")).await;
    for answer in [remembered, wrong, denied, silent] {
        assert_eq!(answer.answered("iss").as_deref(), Some(ISSUER), "{:?}", answer.location());
        assert_eq!(answer.location().unwrap().matches("iss=").count(), 1);
    }
}

#[tokio::test]
async fn tokens_of_another_kind_are_no_access_tokens() {
    let app = App::new().await;
    let client = app.register().await;
    let with = changed(request(&client, LOOPBACK), "scope", "openid");
    let code = app.alice().code(&with).await;
    let tokens = app.token(&redeem(&client, LOOPBACK, &code)).await;
    assert_eq!(app.verify(&tokens.text("id_token"), FILES), Err(TokenFault::Type));
    assert_eq!(app.verify(&tokens.text("id_token"), &client), Err(TokenFault::Type));
    assert!(app.verify(&tokens.text("refresh_token"), FILES).is_err());
    assert!(app.verify(&code, FILES).is_err());
    assert_eq!(app.verify(&tokens.text("access_token"), MAIL), Err(TokenFault::Audience));
    assert_eq!(app.verify(&tokens.text("access_token"), ISSUER), Err(TokenFault::Audience));
    let stale = app.clock.now();
    app.clock.advance(Duration::from_secs(305));
    assert!(app.clock.now() > stale);
    assert_eq!(app.verify(&tokens.text("access_token"), FILES), Err(TokenFault::Expired));
}

#[tokio::test]
async fn an_issued_token_with_a_changed_header_is_refused() {
    let app = App::new().await;
    let client = app.register().await;
    let token = app.tokens(&client, LOOPBACK).await.text("access_token");
    let (header, rest) = token.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    let kid = jws::Compact::parse(&token).unwrap().kid.unwrap();
    assert!(!header.is_empty());
    for header in [
        json!({"alg": "none", "typ": "at+jwt", "kid": kid}),
        json!({"alg": "HS256", "typ": "at+jwt", "kid": kid}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": "../../etc/passwd"}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jku": "https://evil.example"}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["exp"]}),
    ] {
        let header = jws::encode(header.to_string().as_bytes());
        for signature in ["", token.rsplit_once('.').unwrap().1] {
            assert!(app.verify(&format!("{header}.{claims}.{signature}"), FILES).is_err());
        }
    }
}

#[tokio::test]
async fn a_client_assertion_works_once_and_only_for_its_client() {
    let app = App::new().await;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    let point = key.public_key().as_ref();
    let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": jws::encode(&point[1..33]), "y": jws::encode(&point[33..])}]});
    let mut robot = app.store.client(&"robot".parse().unwrap()).await.unwrap().unwrap();
    robot.auth = ClientAuthMethod::PrivateKeyJwt { jwks };
    assert_eq!(robot.agent, Some(AgentId::new("robot-1").unwrap()));
    Clients::put_client(app.store.as_ref(), &robot).await.unwrap();
    let sign = |claims: Value| {
        let header = jws::encode(json!({"alg": "ES256"}).to_string().as_bytes());
        let input = format!("{header}.{}", jws::encode(claims.to_string().as_bytes()));
        let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", jws::encode(signature.as_ref()))
    };
    let claims = |jti: &str, aud: &str| json!({"iss": "robot", "sub": "robot", "aud": aud, "jti": jti, "exp": app.clock.now().as_secs() + 60});
    let ask = |assertion: String| {
        let app = app.clone();
        async move {
            let form = [
                ("grant_type", "client_credentials"),
                ("resource", FILES),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &*assertion),
            ];
            app.token(&form).await
        }
    };
    let good = sign(claims("1", ISSUER));
    assert_eq!(ask(good.clone()).await.status, StatusCode::OK);
    assert_eq!(ask(good).await.error(), "invalid_client", "replayed");
    assert_eq!(ask(sign(claims("2", "https://gate.example/oauth/token"))).await.status, StatusCode::OK);
    assert_eq!(ask(sign(claims("3", "https://evil.example"))).await.error(), "invalid_client");
    let secret =
        [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET), ("resource", FILES)];
    assert_eq!(app.token(&secret).await.error(), "invalid_client", "no other way");
    let codes = app.log.codes(EventKind::TokenRefused);
    assert_eq!(codes, ["client_assertion_replayed", "client_assertion_wrong", "client_auth_method"]);
}

#[tokio::test]
async fn a_damaged_request_never_panics_and_never_succeeds() {
    let app = App::new().await;
    for path in
        ["/oauth/token", "/oauth/par", "/oauth/revoke", "/oauth/introspect", "/oauth/consent", "/oauth/authorize"]
    {
        for body in [
            &b"\xff\xfe"[..],
            b"%",
            b"a=%00",
            b"grant_type=authorization_code&code=%ff",
            &[b'&'; 5000],
            b"=",
            b"grant_type",
        ] {
            let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            let answer = app.send(request.body(Body::from(body.to_vec())).unwrap()).await;
            assert!(!answer.status.is_success() && !answer.status.is_server_error(), "{path}: {}", answer.status);
        }
    }
    for value in ["Basic", "Basic !", "Basic AA==", "Bearer x", "Basic \u{e9}"] {
        let mut request = form_request("/oauth/token", &[("grant_type", "client_credentials")]);
        request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        assert_eq!(app.send(request).await.error(), "invalid_client", "{value}");
    }
}
