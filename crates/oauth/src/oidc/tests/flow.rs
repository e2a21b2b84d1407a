use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use sallyport_model::{ClientId, Secret, SeededRng, SigningKeyId};

use super::*;
use crate::{
    client_assertion::{ExpectAssertion, verify as verify_assertion},
    keys::SigningKey,
    oidc::{
        client::AssertionAudience,
        dpop::{self, Proof},
        exchange::{self as answer, TokenType},
        request::{self, AuthorizationRequest, LoginSecrets, Prompt},
        response,
    },
    pkce,
};

const REDIRECT: &str = "https://gate.example/login/callback";

fn standard() -> &'static Preset {
    PresetId::Standard.preset()
}

fn secret_client(secret: &str) -> Client {
    Client { id: "gate:1".into(), authentication: ClientAuthentication::Secret(Secret::new(secret)) }
}

fn exchange<'a>(client: &'a Client, metadata: &'a ProviderMetadata, rng: &'a SeededRng) -> Exchange<'a> {
    Exchange { client, metadata, preset: standard(), now: NOW, rng }
}

fn form(body: &str) -> HashMap<String, String> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn asked(request: &AuthorizationRequest<'_>, preset: PresetId, metadata: &ProviderMetadata) -> HashMap<String, String> {
    let secrets = LoginSecrets::mint(&SeededRng::new(1));
    let parameters = request::parameters(request, &secrets, CLIENT, metadata, preset.preset());
    request::url(metadata, &parameters).query_pairs().into_owned().collect()
}

#[test]
fn a_request_asks_for_a_code_with_fresh_secrets_and_s256() {
    let secrets = LoginSecrets::mint(&SeededRng::new(1));
    let other = LoginSecrets::mint(&SeededRng::new(2));
    assert_ne!(secrets.state, other.state);
    assert!(secrets.state != secrets.nonce && secrets.nonce != secrets.verifier.expose());
    let acr = ["gold".to_owned()];
    let request = AuthorizationRequest {
        redirect_uri: REDIRECT,
        login_hint: Some("alice@example.com"),
        domain: Some("example.com"),
        acr_values: &acr,
        mfa: true,
        max_age: Some(Duration::from_secs(60)),
        prompt: Some(Prompt::Login),
        ..AuthorizationRequest::default()
    };
    let parameters = request::parameters(&request, &secrets, CLIENT, &metadata(), PresetId::Okta.preset());
    let url = request::url(&metadata(), &parameters);
    let pairs: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs["response_type"], "code");
    assert_eq!(pairs["state"], secrets.state);
    assert_eq!(pairs["nonce"], secrets.nonce);
    assert_eq!(pairs["code_challenge_method"], "S256");
    assert!(pkce::verifies(&pairs["code_challenge"], secrets.verifier.expose()));
    assert_eq!(pairs["acr_values"], "gold urn:okta:loa:2fa:any");
    assert_eq!((pairs["max_age"].as_str(), pairs["prompt"].as_str()), ("60", "login"));
    assert_eq!(pairs["login_hint"], "alice@example.com");
    assert!(!url.as_str().contains(secrets.verifier.expose()), "the verifier stays here");
    assert!(!pairs.contains_key("hd") && !pairs.contains_key("domain_hint"), "Okta has no such parameter");
}

#[test]
fn vendors_get_their_own_parameters() {
    let request = AuthorizationRequest { redirect_uri: REDIRECT, domain: Some("example.com"), ..Default::default() };
    let google = asked(&request, PresetId::Google, &metadata());
    assert_eq!((google["hd"].as_str(), google["access_type"].as_str()), ("example.com", "offline"));
    let context = request::entra_context("c1");
    let request = AuthorizationRequest { claims: Some(&context), ..request };
    let entra = asked(&request, PresetId::Entra, &metadata());
    assert_eq!(entra["domain_hint"], "example.com");
    assert_eq!(entra["claims"], r#"{"id_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
    // Okta's organisation server advertises `groups`; a custom one that does not would refuse it.
    let with_groups = with(metadata_document(), json!({"scopes_supported": ["openid", "email", "groups"]}));
    let request = AuthorizationRequest { redirect_uri: REDIRECT, ..Default::default() };
    assert_eq!(asked(&request, PresetId::Okta, &parse_metadata(&with_groups).unwrap())["scope"], "openid email groups");
    assert_eq!(asked(&request, PresetId::Okta, &metadata())["scope"], "openid profile email offline_access");
}

#[test]
fn an_answer_is_read_only_from_the_provider_that_was_asked() {
    let read = |query: &str, metadata: &ProviderMetadata| match response::read(query, "st", &rule(), metadata) {
        Ok(code) => code.expose().to_owned(),
        Err(fault) => fault.code().to_owned(),
    };
    let strict = metadata();
    let silent = ProviderMetadata { authorization_response_iss: false, ..metadata() };
    let iss = "iss=https%3A%2F%2Fidp.example";
    assert_eq!(read(&format!("code=c&state=st&{iss}"), &strict), "c");
    assert_eq!(read("code=c&state=st", &strict), "oidc_response_issuer_missing");
    assert_eq!(read("code=c&state=st", &silent), "c");
    // Mix-up: the code is another provider's, whatever ours advertises.
    for metadata in [&strict, &silent] {
        assert_eq!(read("code=c&state=st&iss=https%3A%2F%2Fevil.example", metadata), "oidc_response_issuer");
        assert_eq!(read("code=c&state=st&iss=", metadata), "oidc_response_issuer");
    }
    for (query, wanted) in [
        (format!("code=c&state=other&{iss}"), "oidc_state"),
        (format!("code=c&{iss}"), "oidc_state_missing"),
        (format!("code=c&state=st&state=st&{iss}"), "oidc_response_form"),
        (format!("code=c&code=d&state=st&{iss}"), "oidc_response_form"),
        (format!("code=c&state=st&{iss}&{iss}"), "oidc_response_form"),
        (format!("code=&state=st&{iss}"), "oidc_response_form"),
        (format!("state=st&{iss}"), "oidc_response_form"),
        (format!("error=access_denied&code=c&state=st&{iss}"), "oidc_provider_refused"),
        // An error is no more to be believed than a code.
        ("error=access_denied&state=st&iss=https%3A%2F%2Fevil.example".into(), "oidc_response_issuer"),
        ("error=access_denied&state=other".into(), "oidc_state"),
        (format!("code={}&state=st&{iss}", "c".repeat(20_000)), "oidc_response_form"),
    ] {
        assert_eq!(read(&query, &strict), wanted, "{}", &query[..query.len().min(80)]);
    }
    let refused = response::read("error=server_error&error_description=down%00&state=st", "st", &rule(), &silent);
    assert_eq!(refused.unwrap_err().to_string(), "the provider refused: server_error (down\u{fffd})");
    assert_eq!(response::state("code=c&state=st").unwrap(), "st");
}

#[test]
fn a_secret_goes_where_the_provider_takes_it() {
    let (code, verifier) = (Secret::new("the code"), Secret::new("v".repeat(43)));
    let redeem = |client: &Client, metadata: &ProviderMetadata| {
        exchange(client, metadata, &SeededRng::new(1)).redeem(&code, &verifier, REDIRECT)
    };
    let request = redeem(&secret_client("p:s %"), &metadata()).unwrap();
    // RFC 6749 section 2.3.1: encoded before they are joined.
    let header = request.authorization.as_ref().unwrap().expose().strip_prefix("Basic ").unwrap();
    assert_eq!(STANDARD.decode(header).unwrap(), b"gate%3A1:p%3As+%25");
    let body = form(request.body.expose());
    assert_eq!((body["grant_type"].as_str(), body["code"].as_str()), ("authorization_code", "the code"));
    assert_eq!((body["redirect_uri"].as_str(), body["code_verifier"].len()), (REDIRECT, 43));
    assert!(!body.contains_key("client_secret"));
    assert_eq!(request.url.as_str(), "https://idp.example/token");
    assert!(!format!("{request:?}").contains("code"), "{request:?}");

    let by_post = with(metadata_document(), json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    let by_post = parse_metadata(&by_post).unwrap();
    let request = redeem(&secret_client("s"), &by_post).unwrap();
    let body = form(request.body.expose());
    assert!(request.authorization.is_none());
    assert_eq!((body["client_id"].as_str(), body["client_secret"].as_str()), ("gate:1", "s"));

    // Where both are offered, a secret that would have to be encoded goes into the body.
    let both = json!({"token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"]});
    let both = parse_metadata(&with(metadata_document(), both)).unwrap();
    let client = |id: &str, secret| Client { id: id.into(), ..secret_client(secret) };
    assert!(redeem(&client("gate", "plain-1_2.3"), &both).unwrap().authorization.is_some());
    assert!(redeem(&client("gate", "with~tilde"), &both).unwrap().authorization.is_none());
    assert!(redeem(&client("gate:1", "plain"), &both).unwrap().authorization.is_none());

    let by_key = with(metadata_document(), json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}));
    let fault = redeem(&secret_client("s"), &parse_metadata(&by_key).unwrap()).unwrap_err();
    assert_eq!(fault.code(), "oidc_authentication_not_offered");
    assert!(fault.remedy().is_some());
}

#[test]
fn an_assertion_is_short_lived_and_for_one_audience() {
    for (algorithm, advertised, signed_with) in [
        (Algorithm::Es256, json!(["RS256"]), Algorithm::Es256),
        (Algorithm::Rs256, json!(["RS256"]), Algorithm::Rs256),
        (Algorithm::Rs256, json!(["RS256", "PS256"]), Algorithm::Ps256),
        (Algorithm::Rs256, json!(null), Algorithm::Rs256),
    ] {
        let key = TestKey::new("client-key", algorithm);
        let changes = json!({"token_endpoint_auth_signing_alg_values_supported": advertised});
        let metadata = parse_metadata(&with(metadata_document(), changes)).unwrap();
        for (audience, named) in [
            (None, "https://idp.example/token"),
            (Some(AssertionAudience::Issuer), ISSUER),
            (Some(AssertionAudience::TokenEndpoint), "https://idp.example/token"),
        ] {
            let client_key = Arc::new(ClientKey::from_pkcs8("client-key", &key.pkcs8).unwrap());
            let authentication = ClientAuthentication::PrivateKey { key: client_key, audience };
            let client = Client { id: CLIENT.into(), authentication };
            let token = Secret::new("r");
            let request = exchange(&client, &metadata, &SeededRng::new(1)).refresh(&token).unwrap();
            let body = form(request.body.expose());
            assert_eq!(body["client_assertion_type"], crate::client_assertion::ASSERTION_TYPE);
            let assertion = &body["client_assertion"];
            assert_eq!(jws::Compact::parse(assertion).unwrap().alg, signed_with.as_str());
            // As our own token endpoint would see it.
            let id = ClientId::new(CLIENT).unwrap();
            let leeway = Duration::ZERO;
            let expect = ExpectAssertion { client: &id, audiences: &[named], now: NOW, leeway };
            let good = verify_assertion(assertion, &json!({"keys": [key.jwk()]}), &expect).unwrap();
            assert_eq!(good.expires_at, NOW.plus(Duration::from_secs(60)));
        }
    }
}

#[test]
fn entra_gets_the_certificate_named_and_ps256() {
    let key = TestKey::new("k", Algorithm::Rs256);
    let client_key = ClientKey::from_pkcs8("k", &key.pkcs8).unwrap().with_certificate(b"certificate");
    let authentication = ClientAuthentication::PrivateKey { key: Arc::new(client_key), audience: None };
    let client = Client { id: CLIENT.into(), authentication };
    let preset = PresetId::Entra.preset();
    let (metadata, rng) = (metadata(), SeededRng::new(1));
    let request = Exchange { preset, ..exchange(&client, &metadata, &rng) }.refresh(&Secret::new("r")).unwrap();
    let assertion = form(request.body.expose())["client_assertion"].clone();
    let jwt = jws::Compact::parse_foreign(&assertion, 8192).unwrap();
    assert_eq!(jwt.alg, "PS256");
    let header = jws::Compact::parse(&assertion).unwrap_err();
    assert_eq!(header, jws::Malformed::HeaderParameter("x5t#S256".into()));
}

#[test]
fn what_is_no_client_key_is_refused() {
    for bad in [b"".to_vec(), b"x".to_vec(), TestKey::new("k", Algorithm::EdDsa).pkcs8] {
        assert_eq!(ClientKey::from_pkcs8("k", &bad).unwrap_err(), OidcFault::ClientKey);
    }
    let key = TestKey::new("k", Algorithm::Es256);
    assert_eq!(format!("{:?}", ClientKey::from_pkcs8("k", &key.pkcs8).unwrap()), "ClientKey { kid: \"k\", .. }");
}

#[test]
fn requests_are_pushed_where_that_is_offered() {
    let par = json!({"pushed_authorization_request_endpoint": "https://idp.example/par"});
    let metadata = parse_metadata(&with(metadata_document(), par)).unwrap();
    let secrets = LoginSecrets::mint(&SeededRng::new(1));
    let request = AuthorizationRequest { redirect_uri: REDIRECT, ..Default::default() };
    let parameters = request::parameters(&request, &secrets, CLIENT, &metadata, standard());
    let client = secret_client("s");
    let rng = SeededRng::new(1);
    let push = exchange(&client, &metadata, &rng).push(&parameters).unwrap().unwrap();
    assert_eq!(push.url.as_str(), "https://idp.example/par");
    let body = form(push.body.expose());
    assert_eq!((body["client_id"].as_str(), body["state"].as_str()), (CLIENT, secrets.state.as_str()));
    let without = super::metadata();
    assert!(exchange(&client, &without, &rng).push(&parameters).unwrap().is_none());
    let uri = request::pushed(201, br#"{"request_uri":"urn:x:1","expires_in":60}"#).unwrap();
    let url = request::pushed_url(&metadata, CLIENT, &uri);
    assert_eq!(url.as_str(), "https://idp.example/authorize?client_id=gate&request_uri=urn%3Ax%3A1");
    assert_eq!(request::pushed(201, b"{}").unwrap_err().code(), "oidc_token_response");
    assert_eq!(request::pushed(400, br#"{"error":"invalid_request"}"#).unwrap_err().code(), "oidc_token_endpoint");
}

#[test]
fn a_proof_is_for_one_request_with_one_key() {
    let id = SigningKeyId::new("dpop").unwrap();
    let key = SigningKey::from_pkcs8(id, &SigningKey::generate().unwrap()).unwrap();
    let url = url::Url::parse("https://idp.example/token?a=b").unwrap();
    let proof = Proof { method: "POST", url: &url, nonce: Some("n"), access_token: Some("t") };
    let proof = dpop::prove(&proof, &key, NOW, &SeededRng::new(1)).unwrap();
    let [header, claims, _] = proof.split('.').collect::<Vec<_>>()[..] else { panic!("{proof}") };
    let json = |part: &str| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let (header, claims) = (json(header), json(claims));
    assert_eq!(
        (&header["typ"], &header["alg"], &header["jwk"]["kty"]),
        (&json!("dpop+jwt"), &json!("ES256"), &json!("EC"))
    );
    assert!(header["jwk"].get("d").is_none() && header.get("kid").is_none());
    assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!("https://idp.example/token")));
    // RFC 9449 section 4.2: base64url of the SHA-256 of the access token.
    assert_eq!((&claims["nonce"], &claims["ath"]), (&json!("n"), &json!(pkce::challenge_of("t"))));
    assert!(claims["jti"].as_str().unwrap().len() >= 22);
    let (input, signature) = proof.rsplit_once('.').unwrap();
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(key.verifying_key().unwrap().verifies(input.as_bytes(), &signature));
}

#[test]
fn a_token_endpoints_answer_is_read_strictly() {
    let good =
        json!({"access_token": "a", "token_type": "bearer", "expires_in": 300, "id_token": "i", "refresh_token": "r"});
    let read = |answer: &Value| answer::read(200, answer.to_string().as_bytes()).map_err(|fault| fault.code());
    let read_once = read(&good).unwrap();
    assert_eq!(read_once.id_token.unwrap().expose(), "i");
    assert_eq!((read_once.token_type, read_once.expires_in), (TokenType::Bearer, Some(Duration::from_secs(300))));
    assert_eq!(
        read(&with(good.clone(), json!({"expires_in": "3599"}))).unwrap().expires_in,
        Some(Duration::from_secs(3599))
    );
    assert_eq!(read(&with(good.clone(), json!({"token_type": "DPoP"}))).unwrap().token_type, TokenType::DPoP);
    for bad in [
        json!({"access_token": null}),
        json!({"access_token": ""}),
        json!({"access_token": 1}),
        json!({"token_type": "mac"}),
        json!({"token_type": null}),
        json!({"id_token": {}}),
        json!({"refresh_token": ""}),
    ] {
        assert_eq!(read(&with(good.clone(), bad.clone())).unwrap_err(), "oidc_token_response", "{bad}");
    }
    assert_eq!(answer::read(200, br#"{"access_token":"a","access_token":"b"}"#).unwrap_err().code(), "oidc_document");
    assert_eq!(answer::read(200, &vec![b' '; 300_000]).unwrap_err().code(), "oidc_document_too_large");
    assert!(!format!("{:?}", answer::read(200, good.to_string().as_bytes()).unwrap()).contains("\"a\""));
}

#[test]
fn a_refusal_says_whether_the_grant_is_over() {
    let fault = |status, body: &str| answer::read(status, body.as_bytes()).unwrap_err();
    assert!(fault(400, r#"{"error":"invalid_grant"}"#).ends_the_grant());
    assert!(fault(400, r#"{"error":"interaction_required"}"#).ends_the_grant());
    assert!(fault(400, r#"{"error":"invalid_request"}"#).ends_the_grant());
    for (status, body) in [
        (500, r#"{"error":"invalid_grant"}"#),
        (503, ""),
        (401, r#"{"error":"invalid_client"}"#),
        (429, "slow down"),
        (400, "<html>"),
    ] {
        assert!(!fault(status, body).ends_the_grant(), "{status} {body}");
    }
    assert_eq!(fault(400, r#"{"error":"use_dpop_nonce"}"#), OidcFault::DpopNonce);
    assert!(fault(401, r#"{"error":"invalid_client"}"#).remedy().unwrap().contains("secret"));
}

#[test]
fn user_info_is_about_the_person_of_the_id_token() {
    use crate::oidc::claims::user_info;
    assert_eq!(user_info(br#"{"sub":"alice","name":"A"}"#, "alice").unwrap()["name"], "A");
    for bad in [&br#"{"sub":"bob"}"#[..], b"{}", br#"{"sub":["alice"]}"#] {
        assert_eq!(user_info(bad, "alice").unwrap_err(), OidcFault::UserInfoSubject);
    }
    assert_eq!(user_info(b"eyJ.a.b", "alice").unwrap_err().code(), "oidc_document");
}

proptest! {
    #[test]
    fn no_answer_panics_and_none_without_our_state_is_read(query in "[a-z=&%0-9A-F]{0,60}") {
        let silent = ProviderMetadata { authorization_response_iss: false, ..metadata() };
        prop_assert!(response::read(&query, "the-state-with-hyphens", &rule(), &silent).is_err());
    }

    #[test]
    fn no_token_answer_panics(status in 100u16..600, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = answer::read(status, &bytes);
        let _ = request::pushed(status, &bytes);
        let _ = crate::oidc::claims::user_info(&bytes, "s");
    }
}
