use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    id_token::{self, IdClaims},
    jws,
    keys::VerifyingKey,
    thumbprint,
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ISSUER: &str = "https://gate.example";
const RESOURCE: &str = "https://gate.example/mcp/files";

struct One(SigningKey);

impl KeySource for One {
    fn verifying_key(&self, kid: &SigningKeyId) -> Option<VerifyingKey> {
        (kid == self.0.id()).then(|| self.0.verifying_key().unwrap())
    }
}

fn ring() -> One {
    One(SigningKey::from_pkcs8(SigningKeyId::new("k1").unwrap(), &SigningKey::generate().unwrap()).unwrap())
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "u1", "aud": RESOURCE, "client_id": "c1", "exp": NOW.as_secs() + 300,
        "iat": NOW.as_secs(), "jti": "t1", "scope": "files:read", "sid": "s1", "tenant": "acme", "grant": "g1",
        "principal_type": "human"})
}

fn verify(token: &str, keys: &dyn KeySource) -> Result<Principal, TokenFault> {
    let expect = Expect { issuer: ISSUER, audience: RESOURCE, now: NOW, leeway: Duration::from_secs(30) };
    verify_access_token(token, keys, &expect)
}

/// A token with any header at all, signed by the right key.
fn forge(keys: &One, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", jws::encode(header.as_bytes()), jws::encode(claims.as_bytes()));
    let signature = keys.0.sign_raw(input.as_bytes());
    format!("{input}.{}", jws::encode(&signature))
}

#[test]
fn an_issued_token_yields_its_principal() {
    let keys = ring();
    let claims: AccessClaims = serde_json::from_value(claims()).unwrap();
    let principal = verify(&issue(&claims, &keys.0).unwrap(), &keys).unwrap();
    assert_eq!(principal.tenant.as_str(), "acme");
    assert_eq!(principal.subject, Actor::Human(UserId::new("u1").unwrap()));
    assert_eq!(principal.scopes.to_string(), "files:read");
    assert_eq!(principal.expires_at, NOW.plus(Duration::from_secs(300)));
    let agent = AccessClaims { principal_type: PrincipalKind::Agent, ..claims };
    let principal = verify(&issue(&agent, &keys.0).unwrap(), &keys).unwrap();
    assert_eq!(principal.subject.kind(), PrincipalKind::Agent);
}

#[test]
fn every_missing_or_wrong_claim_is_refused() {
    let keys = ring();
    for name in claims().as_object().unwrap().keys() {
        let mut without = claims();
        without.as_object_mut().unwrap().shift_remove(name);
        assert!(verify(&keys.0.sign_any(TYPE, &without).unwrap(), &keys).is_err(), "without {name}");
        for wrong in [json!(null), json!(true), json!({}), json!([]), json!(-1), json!(1.5), json!("")] {
            if name == "scope" && wrong == json!("") {
                continue; // RFC 9068 allows a token without any scope.
            }
            let mut changed = claims();
            changed[name] = wrong.clone();
            assert!(verify(&keys.0.sign_any(TYPE, &changed).unwrap(), &keys).is_err(), "{name} = {wrong}");
        }
    }
}

#[test]
fn issuer_and_audience_are_compared_to_the_letter() {
    let keys = ring();
    let with = |name: &str, value: Value| {
        let mut changed = claims();
        changed[name] = value;
        verify(&keys.0.sign_any(TYPE, &changed).unwrap(), &keys)
    };
    for issuer in ["https://gate.example/", "https://GATE.example", "https://evil.example", "http://gate.example"] {
        assert_eq!(with("iss", json!(issuer)), Err(TokenFault::Issuer), "{issuer}");
    }
    assert!(with("aud", json!([RESOURCE])).is_ok());
    for audience in [
        json!("https://gate.example/mcp/mail"),
        json!("https://gate.example/mcp/files/"),
        json!("https://gate.example/mcp/Files"),
        json!("https://gate.example"),
        json!([RESOURCE, "https://gate.example/mcp/mail"]),
        json!([RESOURCE, RESOURCE]),
        json!([]),
    ] {
        assert_eq!(with("aud", audience.clone()), Err(TokenFault::Audience), "{audience}");
    }
}

#[test]
fn times_are_held_to_the_leeway() {
    let keys = ring();
    let at = |iat: i64, exp: i64, nbf: Option<i64>| {
        let base = NOW.as_secs() as i64;
        let mut changed = claims();
        changed["iat"] = json!(base + iat);
        changed["exp"] = json!(base + exp);
        if let Some(nbf) = nbf {
            changed["nbf"] = json!(base + nbf);
        }
        verify(&keys.0.sign_any(TYPE, &changed).unwrap(), &keys).map(|_| ())
    };
    assert_eq!(at(30, 300, None), Ok(()));
    assert_eq!(at(31, 300, None), Err(TokenFault::NotYet), "future iat");
    assert_eq!(at(-300, -29, None), Ok(()));
    assert_eq!(at(-300, -30, None), Err(TokenFault::Expired));
    assert_eq!(at(0, 0, None), Err(TokenFault::NotYet), "ends when it begins");
    assert_eq!(at(0, 300, Some(31)), Err(TokenFault::NotYet));
    assert_eq!(at(0, 300, Some(30)), Ok(()));
}

#[test]
fn another_algorithm_is_refused_before_any_key_is_looked_up() {
    struct Never;
    impl KeySource for Never {
        fn verifying_key(&self, _: &SigningKeyId) -> Option<VerifyingKey> {
            panic!("a key was looked up")
        }
    }
    let keys = ring();
    for alg in ["none", "None", "NONE", "HS256", "RS256", "ES384", "ES256K", "es256", "EdDSA", ""] {
        let header = json!({"alg": alg, "typ": TYPE, "kid": "k1"}).to_string();
        let token = forge(&keys, &header, &claims().to_string());
        assert_eq!(verify(&token, &Never), Err(TokenFault::Algorithm), "{alg}");
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        assert_eq!(verify(&unsigned, &Never), Err(TokenFault::Algorithm), "{alg}, unsigned");
    }
}

#[test]
fn a_symmetric_signature_with_the_public_key_is_refused() {
    let keys = ring();
    let jwk = serde_json::to_vec(&keys.0.verifying_key().unwrap().to_jwk(keys.0.id())).unwrap();
    let header = json!({"alg": "HS256", "typ": TYPE, "kid": "k1"}).to_string();
    let input = format!("{}.{}", jws::encode(header.as_bytes()), jws::encode(claims().to_string().as_bytes()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &jwk);
    let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
    let token = format!("{input}.{}", jws::encode(tag.as_ref()));
    assert_eq!(verify(&token, &keys), Err(TokenFault::Algorithm));
}

#[test]
fn a_header_that_brings_its_own_key_is_refused() {
    let (ours, theirs) = (ring(), ring());
    let jwk = serde_json::to_value(theirs.0.verifying_key().unwrap().to_jwk(theirs.0.id())).unwrap();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/x5u")),
        ("x5c", json!(["MII"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
    ] {
        let mut header = json!({"alg": "ES256", "typ": TYPE, "kid": "k1"});
        header[name] = value;
        for keys in [&ours, &theirs] {
            let token = forge(keys, &header.to_string(), &claims().to_string());
            assert_eq!(
                verify(&token, &ours),
                Err(TokenFault::Malformed(Malformed::HeaderParameter(name.to_owned()))),
                "{name}"
            );
        }
    }
}

#[test]
fn a_kid_finds_nothing_but_our_own_keys() {
    let keys = ring();
    for kid in ["k2", "../../dev/null", "k1' OR '1'='1", "", "k1\u{0}", "K1", " k1"] {
        let header = json!({"alg": "ES256", "typ": TYPE, "kid": kid}).to_string();
        assert_eq!(verify(&forge(&keys, &header, &claims().to_string()), &keys), Err(TokenFault::UnknownKey), "{kid}");
    }
    let header = json!({"alg": "ES256", "typ": TYPE}).to_string();
    assert_eq!(verify(&forge(&keys, &header, &claims().to_string()), &keys), Err(TokenFault::UnknownKey));
    let header = json!({"alg": "ES256", "typ": TYPE, "kid": ["k1"]}).to_string();
    assert!(verify(&forge(&keys, &header, &claims().to_string()), &keys).is_err());
    let foreign = ring();
    let token = foreign.0.sign_any(TYPE, &claims()).unwrap();
    assert_eq!(verify(&token, &keys), Err(TokenFault::Signature), "another key under our kid");
}

#[test]
fn only_an_access_token_is_an_access_token() {
    let keys = ring();
    let id = IdClaims {
        iss: ISSUER.into(),
        sub: "u1".into(),
        aud: "c1".parse().unwrap(),
        exp: NOW.as_secs() + 300,
        iat: NOW.as_secs(),
        auth_time: NOW.as_secs(),
        nonce: None,
        sid: "s1".parse().unwrap(),
    };
    assert_eq!(verify(&id_token::issue(&id, &keys.0).unwrap(), &keys), Err(TokenFault::Type));
    for typ in ["JWT", "jwt", "at+jwt+x", "oauth-id-jag+jwt", "dpop+jwt", "", "application/", "application/jwt"] {
        assert_eq!(verify(&keys.0.sign_any(typ, &claims()).unwrap(), &keys), Err(TokenFault::Type), "{typ}");
    }
    let header = json!({"alg": "ES256", "kid": "k1"}).to_string();
    assert_eq!(verify(&forge(&keys, &header, &claims().to_string()), &keys), Err(TokenFault::Type), "no typ");
    for typ in ["AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(verify(&keys.0.sign_any(typ, &claims()).unwrap(), &keys).is_ok(), "{typ}");
    }
}

#[test]
fn duplicate_keys_are_refused_in_header_and_claims() {
    let keys = ring();
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#;
    let twice = format!(r#"{{"aud":"https://evil.example",{}"#, &claims().to_string()[1..]);
    assert!(matches!(verify(&forge(&keys, header, &twice), &keys), Err(TokenFault::Malformed(_))));
    let header = r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"k1"}"#;
    assert!(matches!(verify(&forge(&keys, header, &claims().to_string()), &keys), Err(TokenFault::Malformed(_))));
}

#[test]
fn a_token_out_of_form_is_refused() {
    let keys = ring();
    let good = keys.0.sign_any(TYPE, &claims()).unwrap();
    assert!(verify(&good, &keys).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{good}="),
        format!("{good}\n"),
        format!("Bearer {good}"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.{}", parts[2]),
        format!("{}==.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], jws::encode(&[0; 64])),
        format!("{}.{}.{}", parts[0], parts[1], jws::encode(&[0xff; 64])),
    ] {
        assert!(verify(&bad, &keys).is_err(), "{bad}");
    }
    let mut long = claims();
    long["pad"] = json!("x".repeat(jws::MAX_BYTES));
    let token = keys.0.sign_any(TYPE, &long).unwrap();
    assert_eq!(verify(&token, &keys), Err(TokenFault::Malformed(Malformed::TooLarge)));
}

/// The claims of a token of `agent`, who acts for the person by `delegate`, bound to a key.
fn delegated() -> Value {
    let mut claims = claims();
    claims["act"] = json!({"sub": "a2", "act": {"sub": "a1"}});
    claims["ancestors"] = json!(["g0"]);
    claims["cnf"] = json!({"jkt": thumbprint::of_certificate(b"key")});
    claims
}

#[test]
fn a_delegated_token_yields_its_chain_and_its_key() {
    let keys = ring();
    let claims: AccessClaims = serde_json::from_value(delegated()).unwrap();
    let token = issue(&claims, &keys.0).unwrap();
    let principal = verify(&token, &keys).unwrap();
    assert_eq!(principal.actors.iter().map(AgentId::as_str).collect::<Vec<_>>(), ["a2", "a1"]);
    assert_eq!(principal.ancestors, [GrantId::new("g0").unwrap()]);
    assert_eq!(principal.bound_to, Some(KeyBinding::Dpop(thumbprint::of_certificate(b"key"))));
    assert_eq!(principal.mark().as_str(), "agent_for_human");
    assert_eq!(read_own(&token, &keys, ISSUER).unwrap(), claims);

    let plain: AccessClaims = serde_json::from_value(self::claims()).unwrap();
    let written = serde_json::to_value(&plain).unwrap();
    assert!(["act", "ancestors", "cnf", "may_act"].iter().all(|name| written.get(name).is_none()));
    let principal = verify(&issue(&plain, &keys.0).unwrap(), &keys).unwrap();
    assert!(principal.actors.is_empty() && principal.ancestors.is_empty() && principal.bound_to.is_none());
}

#[test]
fn a_chain_or_a_key_that_is_not_understood_ends_the_token() {
    let keys = ring();
    let deep = (0..9).fold(json!({"sub": "last"}), |act, n| json!({"sub": format!("a{n}"), "act": act}));
    let one = thumbprint::of_certificate(b"key");
    for (name, wrong) in [
        ("act", json!(null)),
        ("act", json!({})),
        ("act", json!("a1")),
        ("act", json!([{"sub": "a1"}])),
        ("act", json!({"sub": "a1", "act": {"sub": "a1"}})),
        ("act", json!({"sub": "a1", "act": {"sub": "a2", "act": {"sub": "a1"}}})),
        ("act", deep),
        ("act", json!({"sub": "a1", "client_id": "c"})),
        ("ancestors", json!([])),
        ("ancestors", json!("g0")),
        ("ancestors", json!([""])),
        ("ancestors", json!(vec!["g"; 9])),
        ("cnf", json!(null)),
        ("cnf", json!({})),
        ("cnf", json!({"jwk": {"kty": "EC"}})),
        ("cnf", json!({"jkt": one, "x5t#S256": one})),
        ("cnf", json!({"jkt": "short"})),
    ] {
        let mut changed = delegated();
        changed[name] = wrong.clone();
        let token = keys.0.sign_any(TYPE, &changed).unwrap();
        assert_eq!(verify(&token, &keys), Err(TokenFault::Claim(name)), "{wrong}");
        if name != "ancestors" {
            assert!(read_own(&token, &keys, ISSUER).is_err(), "{name}: {wrong}");
        }
    }
}

#[test]
fn nobody_acts_for_itself() {
    let keys = ring();
    let mut agents = delegated();
    agents["principal_type"] = json!("agent");
    agents["sub"] = json!("a0");
    let principal = verify(&keys.0.sign_any(TYPE, &agents).unwrap(), &keys).unwrap();
    assert_eq!(principal.mark().as_str(), "agent");
    agents["sub"] = json!("a1");
    let token = keys.0.sign_any(TYPE, &agents).unwrap();
    assert_eq!(verify(&token, &keys), Err(TokenFault::Claim("act")));
    // A person and an agent may happen to have one id.
    agents["principal_type"] = json!("human");
    assert!(verify(&keys.0.sign_any(TYPE, &agents).unwrap(), &keys).is_ok());
}

#[test]
fn no_grant_and_no_proof_is_an_access_token() {
    let keys = ring();
    for typ in ["oauth-id-jag+jwt", "dpop+jwt", "secevent+jwt", "logout+jwt"] {
        assert_eq!(verify(&keys.0.sign_any(typ, &delegated()).unwrap(), &keys), Err(TokenFault::Type), "{typ}");
    }
}

#[test]
fn every_fault_is_one_word_outside() {
    for fault in [TokenFault::Algorithm, TokenFault::Expired, TokenFault::Claim("sub")] {
        assert_eq!(fault.outside(), "invalid_token");
        assert!(fault.code().starts_with("token_"));
    }
}

proptest! {
    #[test]
    fn one_changed_character_never_verifies(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
        let keys = ring();
        let mut token = keys.0.sign_any(TYPE, &claims()).unwrap();
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        token.replace_range(at..=at, &to);
        prop_assert!(verify(&token, &keys).is_err());
    }
}
