use proptest::prelude::*;
use sallyport_model::{AgentId, ClientId, KeyBinding, SigningKeyId};
use serde_json::{Value, json};

use super::*;
use crate::{
    keys::SigningKey,
    oidc::{
        Algorithm, JwtFault,
        tests::{ISSUER, NOW, TestKey, key_set, moment, rule, with},
    },
    thumbprint,
};

const US: &str = "https://gate.example";

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "U019488227", "aud": US, "client_id": "c1", "jti": "9e43f81b64a33f20116179",
        "exp": NOW.as_secs() + 300, "iat": NOW.as_secs()})
}

fn full() -> Value {
    let jkt = thumbprint::of_certificate(b"key");
    with(
        claims(),
        json!({"resource": "https://gate.example/mcp/files", "scope": "files:read files:write", "tenant": "t",
            "act": {"sub": "a", "iss": "https://agents.example", "act": {"sub": "b"}}, "auth_time": NOW.as_secs() - 60,
            "acr": "urn:mfa", "amr": ["mfa", "hwk"], "email": "ada@acme.example", "email_verified": true,
            "aud_sub": "ada", "aud_tenant": "acme", "cnf": {"jkt": jkt}}),
    )
}

fn key() -> TestKey {
    TestKey::new("k", Algorithm::Es256)
}

fn check(token: &str, key: &TestKey) -> Result<IdJag, IdJagFault> {
    let (issuer, client) = (rule(), ClientId::new("c1").unwrap());
    let algorithms = [Algorithm::Es256, Algorithm::Rs256];
    let expect = ExpectIdJag {
        issuer: &issuer,
        audience: US,
        client: &client,
        algorithms: &algorithms,
        longest: MAX_LIFETIME,
        moment: moment(),
    };
    verify(token, &key_set(&[key]), &expect)
}

fn changed(changes: Value) -> Result<IdJag, IdJagFault> {
    let key = key();
    check(&key.sign(Some(TYPE), &with(full(), changes)), &key)
}

#[test]
fn a_good_grant_is_read_whole() {
    let grant = changed(json!({})).unwrap();
    assert_eq!((grant.issuer.as_str(), grant.subject.as_str()), (ISSUER, "U019488227"));
    assert_eq!(grant.resources, ["https://gate.example/mcp/files"]);
    assert_eq!(grant.scopes.as_ref().unwrap().to_string(), "files:read files:write");
    assert_eq!(grant.actors.len(), 2);
    assert_eq!(grant.actors[0].issuer.as_deref(), Some("https://agents.example"));
    assert_eq!((grant.actors[1].subject.as_str(), &grant.actors[1].issuer), ("b", &None));
    assert!(grant.email_verified && grant.auth_time.is_some() && grant.amr == ["mfa", "hwk"]);
    assert_eq!((grant.audience_subject.as_deref(), grant.audience_tenant.as_deref()), (Some("ada"), Some("acme")));
    assert!(grant.remember_until > grant.expires_at);
    assert!(matches!(grant.confirmation, Some(KeyBinding::Dpop(_))));

    let key = key();
    let bare = check(&key.sign(Some(TYPE), &claims()), &key).unwrap();
    assert!(bare.scopes.is_none() && bare.resources.is_empty() && bare.actors.is_empty());
    assert!(bare.confirmation.is_none() && bare.email.is_none() && !bare.email_verified);
    assert_ne!(bare.replay_id(), changed(json!({"jti": "another"})).unwrap().replay_id());
}

#[test]
fn no_other_token_of_the_provider_passes_for_a_grant() {
    let key = key();
    for typ in ["JWT", "at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "client-authentication+jwt", "id-jag", ""] {
        let fault = check(&key.sign(Some(typ), &full()), &key).unwrap_err();
        assert_eq!(fault.code(), "jwt_type", "{typ}");
    }
    assert_eq!(check(&key.sign(None, &full()), &key).unwrap_err().code(), "jwt_type", "no type at all");
    assert!(check(&key.sign(Some("application/oauth-id-jag+jwt"), &full()), &key).is_ok());
}

#[test]
fn a_grant_for_another_client_is_refused() {
    for client in [json!("c2"), json!("C1"), json!("c1 "), json!("")] {
        let fault = changed(json!({"client_id": client})).unwrap_err();
        assert!(matches!(fault, IdJagFault::OtherClient { .. }), "{fault}");
    }
    for client in [json!(null), json!(["c1"]), json!(1)] {
        assert_eq!(changed(json!({"client_id": client})).unwrap_err().code(), "jwt_claim");
    }
}

#[test]
fn the_audience_is_our_issuer_and_nobody_beside_it() {
    assert!(changed(json!({"aud": [US]})).is_ok());
    for audience in [
        json!("https://gate.example/"),
        json!("https://gate.example/oauth/token"),
        json!("https://evil.example"),
        json!([US, "https://evil.example"]),
        json!(["https://evil.example", US]),
        json!([US, US]),
        json!([]),
    ] {
        assert_eq!(changed(json!({"aud": audience})).unwrap_err().code(), "jwt_audience", "{audience}");
    }
    for audience in [json!(null), json!(1), json!([1]), json!({"a": US})] {
        assert_eq!(changed(json!({"aud": audience})).unwrap_err().code(), "jwt_claim", "{audience}");
    }
}

#[test]
fn a_grant_of_another_issuer_is_refused() {
    for issuer in ["https://evil.example", "https://idp.example/", "https://IDP.example", ""] {
        assert_eq!(changed(json!({"iss": issuer})).unwrap_err().code(), "jwt_issuer", "{issuer}");
    }
    let (ours, theirs) = (key(), key());
    assert_eq!(check(&theirs.sign(Some(TYPE), &full()), &ours).unwrap_err(), JwtFault::Signature.into());
}

#[test]
fn an_unsigned_or_symmetric_grant_is_refused_before_any_key() {
    let key = key();
    for alg in ["none", "None", "HS256", "HS384", "ES384", "PS256", "EdDSA", ""] {
        let header = with(key.header(Some(TYPE)), json!({"alg": alg, "kid": "unknown"})).to_string();
        assert_eq!(check(&key.forge(&header, &full().to_string()), &key).unwrap_err().code(), "jwt_algorithm", "{alg}");
    }
    let header = with(key.header(Some(TYPE)), json!({"alg": "HS256"})).to_string();
    let input = key.forge(&header, &full().to_string());
    let input = input.rsplit_once('.').unwrap().0;
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key.public());
    let tag = aws_lc_rs::hmac::sign(&secret, input.as_bytes());
    let forged = format!("{input}.{}", crate::jws::encode(tag.as_ref()));
    assert_eq!(check(&forged, &key).unwrap_err().code(), "jwt_algorithm", "the public key as the secret");
    for name in ["jwk", "jku", "x5u", "x5c", "crit"] {
        let header = with(key.header(Some(TYPE)), json!({name: "x"})).to_string();
        assert_eq!(check(&key.forge(&header, &full().to_string()), &key).unwrap_err().code(), "jwt_header", "{name}");
    }
}

#[test]
fn a_grant_is_short_and_of_now() {
    let at = |iat: i64, exp: i64| {
        let at = |offset| NOW.as_secs().checked_add_signed(offset).unwrap();
        changed(json!({"iat": at(iat), "exp": at(exp)})).map(|_| ()).map_err(|fault| fault.code())
    };
    assert_eq!(at(0, 600), Ok(()));
    assert_eq!(at(0, 601), Err("id_jag_lifetime"));
    assert_eq!(at(-3600, 60), Err("id_jag_lifetime"), "a long one near its end");
    assert_eq!(at(-300, -59), Ok(()), "within the leeway");
    assert_eq!(at(-300, -60), Err("jwt_expired"));
    assert_eq!(at(61, 300), Err("jwt_from_future"));
    assert_eq!(at(10, 5), Err("id_jag_lifetime"), "ends before it begins");
    for name in ["iat", "exp", "jti", "sub", "iss"] {
        assert_eq!(changed(json!({name: null})).unwrap_err().code(), "jwt_claim", "without {name}");
        assert!(changed(json!({name: []})).is_err(), "{name}");
    }
    assert_eq!(changed(json!({"nbf": NOW.as_secs() + 61})).unwrap_err().code(), "jwt_from_future");
}

#[test]
fn optional_claims_are_of_their_type_or_the_grant_is_refused() {
    for (name, wrong) in [
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("jti", json!("")),
        ("scope", json!(["files:read"])),
        ("scope", json!("a \"b\"")),
        ("resource", json!(1)),
        ("resource", json!([])),
        ("resource", json!("files")),
        ("resource", json!("https://gate.example/mcp/files#x")),
        ("resource", json!(["https://gate.example/mcp/files", 1])),
        ("resource", json!(vec!["https://gate.example/mcp/files"; 17])),
        ("act", json!("a")),
        ("act", json!({})),
        ("act", json!({"sub": "a", "act": {"sub": "a"}})),
        ("act", json!({"sub": "a", "act": "b"})),
        ("tenant", json!(1)),
        ("auth_time", json!("now")),
        ("acr", json!([])),
        ("amr", json!("mfa")),
        ("email", json!(["a"])),
        ("email_verified", json!("true")),
        ("cnf", json!({})),
        ("cnf", json!({"kid": "k"})),
        ("cnf", json!({"jkt": "short"})),
    ] {
        assert_eq!(changed(json!({name: wrong})).unwrap_err().code(), "jwt_claim", "{name}: {wrong}");
    }
    let mut deep = json!({"sub": "last"});
    for n in 0..8 {
        deep = json!({"sub": format!("a{n}"), "act": deep});
    }
    assert_eq!(changed(json!({"act": deep})).unwrap_err().code(), "jwt_claim");
    let details = json!([{"type": "payment"}]);
    assert_eq!(changed(json!({"authorization_details": details})).unwrap_err(), IdJagFault::AuthorizationDetails);
    assert!(changed(json!({"scope": ""})).unwrap().scopes.unwrap().is_empty());
}

#[test]
fn a_bound_grant_needs_its_key() {
    let grant = changed(json!({})).unwrap();
    let right = grant.confirmation.clone().unwrap();
    let KeyBinding::Dpop(jkt) = &right else { panic!("a DPoP key") };
    let other = KeyBinding::Dpop(thumbprint::of_certificate(b"other"));
    assert_eq!(grant.held_by(&[]), Err(IdJagFault::ProofMissing));
    assert_eq!(grant.held_by(std::slice::from_ref(&other)), Err(IdJagFault::OtherKey));
    assert_eq!(grant.held_by(&[KeyBinding::Certificate(jkt.clone())]), Err(IdJagFault::OtherKey));
    assert_eq!(grant.held_by(&[other.clone(), right]), Ok(()));
    let free = changed(json!({"cnf": null})).unwrap();
    assert_eq!((free.held_by(&[]), free.held_by(&[other])), (Ok(()), Ok(())));
}

#[test]
fn a_duplicate_claim_is_refused() {
    let key = key();
    let twice = format!(r#"{{"client_id":"c1",{}"#, &full().to_string()[1..]);
    let token = key.forge(&key.header(Some(TYPE)).to_string(), &twice);
    assert_eq!(check(&token, &key).unwrap_err().code(), "jwt_malformed");
    let long = with(full(), json!({"pad": "x".repeat(crate::oidc::foreign::MAX_BYTES)}));
    assert_eq!(check(&key.sign(Some(TYPE), &long), &key).unwrap_err().code(), "jwt_too_large");
}

#[test]
fn what_we_issue_a_strict_server_takes() {
    let id = SigningKeyId::new("k1").unwrap();
    let key = SigningKey::from_pkcs8(id, &SigningKey::generate().unwrap()).unwrap();
    let claims = IdJagClaims {
        iss: ISSUER.into(),
        sub: "u1".into(),
        aud: US.into(),
        client_id: "c1".into(),
        jti: "j".into(),
        exp: NOW.as_secs() + 300,
        iat: NOW.as_secs(),
        resource: Some("https://gate.example/mcp/files".into()),
        scope: "files:read".parse().unwrap(),
        act: vec![AgentId::new("bot").unwrap()],
        tenant: None,
        auth_time: Some(NOW.as_secs()),
        email: None,
        cnf: Some(KeyBinding::Dpop(thumbprint::of_certificate(b"k"))),
    };
    let token = issue(&claims, &key).unwrap();
    let jwks = json!({"keys": [key.verifying_key().unwrap().to_jwk(key.id())]});
    let keys = crate::oidc::Jwks::parse(jwks.to_string().as_bytes()).unwrap();
    let (issuer, client) = (rule(), ClientId::new("c1").unwrap());
    let expect = ExpectIdJag {
        issuer: &issuer,
        audience: US,
        client: &client,
        algorithms: &[Algorithm::Es256],
        longest: MAX_LIFETIME,
        moment: moment(),
    };
    let grant = verify(&token, &keys, &expect).unwrap();
    assert_eq!((grant.subject.as_str(), grant.actors[0].subject.as_str()), ("u1", "bot"));
    assert_eq!(grant.confirmation, claims.cnf);
    let bare = IdJagClaims { resource: None, scope: Default::default(), act: Vec::new(), cnf: None, ..claims };
    let written = serde_json::to_value(&bare).unwrap();
    for absent in ["resource", "scope", "act", "tenant", "email", "cnf"] {
        assert!(written.get(absent).is_none(), "{absent}");
    }
}

proptest! {
    #[test]
    fn no_string_panics_or_passes(token in "[A-Za-z0-9_.=-]{0,120}|\\PC{0,60}") {
        prop_assert!(check(&token, &key()).is_err());
    }

    #[test]
    fn no_signed_claim_panics(name in "act|cnf|resource|scope|amr|aud|exp|iat|sub|client_id", text in "\\PC{0,20}", deep in 0usize..6) {
        let mut value = json!(text);
        for _ in 0..deep {
            value = json!({"sub": value, "act": [1, 2.5, null, true]});
        }
        let _ = changed(json!({name: value}));
    }
}
