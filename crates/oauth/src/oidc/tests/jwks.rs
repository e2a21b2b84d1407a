use proptest::prelude::*;

use super::*;

fn parse(keys: Vec<Value>) -> Result<Jwks, &'static str> {
    Jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).map_err(|fault| fault.code())
}

#[test]
fn only_keys_that_verify_signatures_are_kept() {
    let good = TestKey::new("good", Algorithm::Es256);
    let other = |changes| with(TestKey::new("other", Algorithm::Es256).jwk(), changes);
    for skipped in [
        other(json!({"use": "enc"})),
        other(json!({"key_ops": ["sign"]})),
        other(json!({"kty": "oct"})),
        other(json!({"kty": "NEW"})),
        other(json!({"crv": "P-521"})),
        other(json!({"crv": "secp256k1"})),
        other(json!({"alg": "HS256"})),
        other(json!({"alg": "none"})),
        other(json!({"alg": "ES384"})),
        other(json!({"alg": 1})),
        other(json!({"x": "AAAA"})),
        other(json!({"y": null})),
        other(json!({"kid": "k".repeat(600)})),
        json!("no object"),
        json!({}),
    ] {
        let keys = parse(vec![skipped.clone(), good.jwk()]).unwrap();
        assert_eq!((keys.keys().len(), keys.skipped()), (1, 1), "{skipped}");
        assert!(keys.knows("good") && !keys.knows("other"));
        assert_eq!(parse(vec![skipped]).unwrap_err(), "oidc_no_keys");
    }
}

#[test]
fn a_set_that_publishes_a_secret_is_refused_as_a_whole() {
    let good = TestKey::new("good", Algorithm::Es256).jwk();
    for part in ["d", "p", "q", "k"] {
        let leaked = with(TestKey::new("leaked", Algorithm::Es256).jwk(), json!({part: "AAAA"}));
        assert_eq!(parse(vec![good.clone(), leaked]).unwrap_err(), "oidc_published_secret");
    }
    assert_eq!(parse(vec![good, json!({"kty": "oct", "k": "c2VjcmV0"})]).unwrap_err(), "oidc_published_secret");
}

#[test]
fn short_rsa_keys_are_no_keys() {
    let jwk = TestKey::new("r", Algorithm::Rs256).jwk();
    assert_eq!(parse(vec![jwk.clone()]).unwrap().keys().len(), 1);
    let short = with(jwk.clone(), json!({"n": jws::encode(&[0xff; 128])}));
    assert_eq!(parse(vec![short.clone()]).unwrap_err(), "oidc_weak_key");
    // Leading zeros are no bits.
    let padded = with(jwk.clone(), json!({"n": jws::encode(&[&[0; 128][..], &[0xff; 128]].concat())}));
    assert_eq!(parse(vec![padded]).unwrap_err(), "oidc_weak_key");
    let keys = parse(vec![short, jwk.clone()]).unwrap();
    assert_eq!((keys.keys().len(), keys.skipped()), (1, 1));
    for bad in [json!({"n": jws::encode(&[0xff; 2048])}), json!({"e": ""}), json!({"e": null}), json!({"n": "="})] {
        assert_eq!(parse(vec![with(jwk.clone(), bad)]).unwrap_err(), "oidc_no_keys");
    }
}

#[test]
fn a_set_is_bounded_and_unambiguous() {
    let jwk = TestKey::new("k", Algorithm::Es256).jwk();
    assert!(parse(vec![jwk.clone(); 64]).is_ok());
    assert_eq!(parse(vec![jwk.clone(); 65]).unwrap_err(), "oidc_too_many_keys");
    let code = |bytes: &[u8]| Jwks::parse(bytes).unwrap_err().code();
    assert_eq!(code(b"[]"), "oidc_document");
    assert_eq!(code(br#"{"keys":[],"keys":[]}"#), "oidc_document");
    assert_eq!(code(b"{}"), "oidc_no_keys");
    assert_eq!(code(&vec![b' '; 600 * 1024]), "oidc_document_too_large");
    let twice = jwk.to_string().replacen("\"kid\"", "\"kid\":\"a\",\"kid\"", 1);
    assert_eq!(code(format!("{{\"keys\":[{twice}]}}").as_bytes()), "oidc_document");
}

#[test]
fn a_stranger_cannot_make_us_fetch_often() {
    let policy = RefreshPolicy::default();
    let unknown = JwtFault::UnknownKey { kid: "made-up".into() };
    let after = |seconds| NOW.plus(Duration::from_secs(seconds));
    assert!(!policy.fetch_again(&unknown, NOW, after(29)));
    assert!(policy.fetch_again(&unknown, NOW, after(30)));
    assert!(policy.fetch_again(&JwtFault::Signature, NOW, after(30)));
    assert!(!policy.fetch_again(&JwtFault::NoKeyId, NOW, after(3000)));
    assert!(!policy.is_stale(NOW, after(3599)));
    assert!(policy.is_stale(NOW, after(3600)));
}

proptest! {
    #[test]
    fn no_document_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Jwks::parse(&bytes);
    }

    #[test]
    fn no_key_panics(
        name in "kty|crv|x|y|n|e|kid|alg|use|key_ops|issuer",
        value in prop_oneof![Just(json!(null)), Just(json!(["verify"])), Just(json!({})), "\\PC{0,12}".prop_map(|s| json!(s))],
    ) {
        let mut jwk = TestKey::new("k", Algorithm::Es256).jwk();
        jwk[&name] = value;
        let _ = parse(vec![jwk]);
    }
}
