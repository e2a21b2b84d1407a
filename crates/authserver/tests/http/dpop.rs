//! DPoP (RFC 9449) at the token endpoint, at PAR and at authorize.

use axum::body::Body;
use http::{Request, StatusCode, header};
use sallyport_model::{EventKind, KeyBinding};
use serde_json::json;

use crate::{app::*, kit::*};

#[tokio::test]
async fn a_proof_binds_token_and_refresh_token_and_introspection_shows_it() {
    let app = App::new().await;
    let client = app.register().await;
    let key = Key::new();
    let code = app.alice().code(&request(&client, LOOPBACK)).await;
    let answer = app.token_with(&redeem(&client, LOOPBACK, &code), &key.proof(&app).await).await;
    assert_eq!((answer.status, answer.text("token_type")), (StatusCode::OK, "DPoP".into()), "{}", answer.body);
    let access = answer.text("access_token");
    let principal = app.verify(&access, FILES).unwrap();
    assert_eq!(principal.bound_to, Some(KeyBinding::Dpop(key.jkt())));
    let grant = app.store.grant(&principal.grant).await.unwrap().unwrap();
    assert_eq!(grant.bound_to, principal.bound_to);
    let refresh = answer.text("refresh_token");
    let form = [("grant_type", "refresh_token"), ("client_id", &*client), ("refresh_token", &*refresh)];
    let again = app.token_with(&form, &key.proof(&app).await).await;
    assert_eq!(app.verify(&again.text("access_token"), FILES).unwrap().bound_to, principal.bound_to);
    let asked = basic(form_request("/oauth/introspect", &[("token", &access)]), "files-server", "introspect");
    let said = app.send(asked).await.json();
    assert_eq!((&said["cnf"], &said["token_type"]), (&json!({"jkt": key.jkt()}), &json!("DPoP")));
    assert_eq!((&said["mark"], &said["client_id"], said.get("act")), (&json!("human"), &json!(client), None));
    assert_eq!(app.log.of(EventKind::TokenIssued)[0].facts["bound"], "dpop");
}

#[tokio::test]
async fn every_answer_brings_a_nonce_and_a_proof_without_it_is_sent_back_at_no_cost() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let key = Key::new();
    let assertion = robot.assertion();
    let form =
        [&CREDENTIALS[..], &[("client_assertion_type", ASSERTION_TYPE), ("client_assertion", &*assertion)]].concat();
    let mut claims = key.claims(&app, TOKEN_URL).await;
    let nonce = claims["nonce"].take();
    for wrong in [json!(null), json!("made-up")] {
        let mut claims = claims.clone();
        match wrong.is_null() {
            true => drop(claims.as_object_mut().unwrap().remove("nonce")),
            false => claims["nonce"] = wrong,
        }
        let sent_back = app.token_with(&form, &key.proof_of(&claims)).await;
        assert_eq!((sent_back.status, sent_back.error()), (StatusCode::BAD_REQUEST, "use_dpop_nonce".into()));
        assert_eq!(sent_back.headers["dpop-nonce"], nonce.as_str().unwrap());
    }
    assert!(app.log.of(EventKind::TokenRefused).is_empty(), "no refusal on the record");
    claims["nonce"] = nonce;
    // The very same assertion: it was not spent.
    let answer = app.token_with(&form, &key.proof_of(&claims)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(answer.headers.contains_key("dpop-nonce"));
}

#[tokio::test]
async fn nonces_can_be_offered_without_being_demanded() {
    let app = App::with(|config| config.dpop_nonces = false).await;
    let robot = app.agent("sorter").await;
    let key = Key::new();
    let mut claims = key.claims(&app, TOKEN_URL).await;
    claims.as_object_mut().unwrap().remove("nonce");
    assert_eq!(robot.ask_with(&CREDENTIALS, &key.proof_of(&claims)).await.status, StatusCode::OK);
    claims["nonce"] = json!("made-up");
    claims["jti"] = json!("2");
    assert_eq!(robot.ask_with(&CREDENTIALS, &key.proof_of(&claims)).await.error(), "use_dpop_nonce");
}

#[tokio::test]
async fn a_code_is_its_keys_from_the_authorization_request_on() {
    let app = App::new().await;
    let client = app.register().await;
    let (key, other) = (Key::new(), Key::new());
    let bound = changed(request(&client, LOOPBACK), "dpop_jkt", &key.jkt());
    let code = app.alice().code(&bound).await;
    let answer = app.token_with(&redeem(&client, LOOPBACK, &code), &key.proof(&app).await).await;
    assert_eq!(answer.text("token_type"), "DPoP");
    for by in [Some(&other), None] {
        let code = app.alice().code(&bound).await;
        let answer = match by {
            Some(key) => app.token_with(&redeem(&client, LOOPBACK, &code), &key.proof(&app).await).await,
            None => app.token(&redeem(&client, LOOPBACK, &code)).await,
        };
        assert_eq!(answer.error(), "invalid_grant");
        let late = app.token_with(&redeem(&client, LOOPBACK, &code), &key.proof(&app).await).await;
        assert_eq!(late.error(), "invalid_grant", "spent");
    }
    for wrong in ["x", &key.jkt()[..42], &format!("{}=", &key.jkt()[..42])] {
        let answer = app.alice().authorize(&changed(request(&client, LOOPBACK), "dpop_jkt", wrong)).await;
        assert_eq!(answer.answered("error").as_deref(), Some("invalid_request"), "{wrong}");
    }
}

#[tokio::test]
async fn a_proof_at_par_binds_the_code() {
    let app = App::new().await;
    let client = app.register().await;
    let (key, other) = (Key::new(), Key::new());
    let push = |extra: Option<(&'static str, String)>, proof: String| {
        let mut form = request(&client, LOOPBACK);
        form.extend(extra);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = with_proof(form_request("/oauth/par", &form), &proof);
        let app = app.clone();
        async move { app.send(request).await }
    };
    const PAR_URL: &str = "https://gate.example/oauth/par";
    let proof = key.proof_of(&key.claims(&app, PAR_URL).await);
    let pushed = push(None, proof.clone()).await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
    assert!(pushed.headers.contains_key("dpop-nonce"));
    assert_eq!(push(None, proof).await.error(), "invalid_dpop_proof", "a proof is used once");
    let by_reference = vec![("client_id", client.clone()), ("request_uri", pushed.text("request_uri"))];
    let code = app.alice().code(&by_reference).await;
    let stolen = app.token_with(&redeem(&client, LOOPBACK, &code), &other.proof(&app).await).await;
    assert_eq!(stolen.error(), "invalid_grant");
    let differs = key.proof_of(&key.claims(&app, PAR_URL).await);
    assert_eq!(push(Some(("dpop_jkt", other.jkt())), differs).await.error(), "invalid_dpop_proof");
    let elsewhere = key.proof_of(&key.claims(&app, TOKEN_URL).await);
    assert_eq!(push(None, elsewhere).await.error(), "invalid_dpop_proof", "made for the token endpoint");
}

#[tokio::test]
async fn an_agents_grant_is_one_per_key_and_a_browser_client_may_send_proofs() {
    let app = App::new().await;
    let robot = app.agent("sorter").await;
    let key = Key::new();
    let grant = |token: String| app.verify(&token, FILES).unwrap().grant;
    let first = grant(robot.ask_with(&CREDENTIALS, &key.proof(&app).await).await.text("access_token"));
    let same = grant(robot.ask_with(&CREDENTIALS, &key.proof(&app).await).await.text("access_token"));
    let other = grant(robot.ask_with(&CREDENTIALS, &Key::new().proof(&app).await).await.text("access_token"));
    let bearer = grant(robot.token().await);
    assert_eq!(first, same);
    assert!(other != first && bearer != first && bearer != other);
    let preflight = Request::options("/oauth/token").header(header::ORIGIN, "https://a.example").body(Body::empty());
    let answer = app.send(preflight.unwrap()).await;
    assert!(answer.headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("DPoP"));
    assert!(answer.headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("DPoP-Nonce"));
}
