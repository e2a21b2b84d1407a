use proptest::prelude::*;
use sallyport_model::{KeyBinding, SeededRng, SigningKeyId, Timestamp};
use serde_json::{Map, Value, json};
use url::Url;

use super::*;
use crate::{
    jws::{self, Malformed},
    keys::SigningKey,
    oidc::{
        Algorithm,
        tests::{NOW, TestKey},
    },
    thumbprint,
};

const URL: &str = "https://gate.example/mcp/files";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

fn expect<'a>() -> ExpectProof<'a> {
    ExpectProof { method: "POST", url: URL, access_token: None, nonces: Nonces::Ignored, now: NOW, window: WINDOW }
}

fn key() -> TestKey {
    TestKey::new("k", Algorithm::Es256)
}

/// Only what makes up the key.
fn bare(key: &TestKey) -> Value {
    let jwk = key.jwk();
    let members = ["kty", "crv", "x", "y", "n", "e"];
    let kept: Map<_, _> =
        members.iter().filter_map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone()))).collect();
    Value::Object(kept)
}

fn header(key: &TestKey) -> Value {
    json!({"typ": "dpop+jwt", "alg": key.algorithm.as_str(), "jwk": bare(key)})
}

fn claims() -> Value {
    json!({"jti": "id-1", "htm": "POST", "htu": URL, "iat": NOW.as_secs()})
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn sign(key: &TestKey, header: &Value, claims: &Value) -> String {
    key.forge(&header.to_string(), &claims.to_string())
}

fn check(header: &Value, claims: &Value, key: &TestKey) -> Result<Proof, ProofFault> {
    verify(&sign(key, header, claims), &expect())
}

#[test]
fn a_good_proof_of_every_advertised_algorithm_yields_its_key() {
    for algorithm in Algorithm::ALL {
        let key = TestKey::new("k", algorithm);
        let proof = check(&header(&key), &claims(), &key).unwrap();
        assert_eq!(proof.jkt, thumbprint::of_jwk(bare(&key).as_object().unwrap()).unwrap());
        assert_eq!((proof.jti.as_str(), proof.issued_at, proof.nonce.as_deref()), ("id-1", NOW, None));
        assert!(proof.proves(&proof.binding()));
        assert!(!proof.proves(&KeyBinding::Certificate(proof.jkt.clone())), "a certificate is another kind of key");
        assert!(!proof.proves(&KeyBinding::Dpop(thumbprint::of_certificate(b"other"))));
    }
    assert_eq!(ALGORITHMS, Algorithm::ALL.map(Algorithm::as_str));
}

#[test]
fn our_own_proofs_pass_our_own_check() {
    let id = SigningKeyId::new("dpop").unwrap();
    let key = SigningKey::from_pkcs8(id, &SigningKey::generate().unwrap()).unwrap();
    let nonces = NonceKey::new(&[7; 32], Duration::from_secs(60)).unwrap();
    let nonce = nonces.current(NOW);
    let url = Url::parse(&format!("{URL}?a=b#c")).unwrap();
    let target = Target { method: "POST", url: &url, nonce: Some(&nonce), access_token: Some(TOKEN) };
    let proof = prove(&target, &key, NOW, &SeededRng::new(1)).unwrap();
    let expect = ExpectProof { access_token: Some(TOKEN), nonces: Nonces::Demanded(&nonces), ..expect() };
    let one = verify(&proof, &expect).unwrap();
    assert_eq!(one.nonce.as_deref(), Some(nonce.as_str()));
    let another = verify(&prove(&target, &key, NOW, &SeededRng::new(2)).unwrap(), &expect).unwrap();
    assert_eq!(one.jkt, another.jkt);
    assert_ne!(one.replay_id(), another.replay_id());
    assert!(thumbprint::is_one(&one.replay_id()));
}

/// RFC 9449, figures 5 and 12.
#[test]
fn the_examples_of_rfc_9449_pass() {
    const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZ\
        OXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6\
        IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29t\
        L3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70n\
        fbV37xRZT3Lg";
    let expect =
        ExpectProof { url: "https://server.example.com/token", now: Timestamp::from_secs(1_562_262_616), ..expect() };
    let proof = verify(PROOF, &expect).unwrap();
    assert_eq!(proof.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(proof.jti, "-BwC3ESc6acc2lTc");
    assert_eq!(access_token_hash(TOKEN), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

#[test]
fn another_type_or_none_is_no_proof() {
    let key = key();
    for typ in ["JWT", "at+jwt", "oauth-id-jag+jwt", "logout+jwt", "dpop", "dpop+jwt ", ""] {
        assert_eq!(check(&with(header(&key), "typ", json!(typ)), &claims(), &key), Err(ProofFault::Type), "{typ}");
    }
    let mut without = header(&key);
    without.as_object_mut().unwrap().shift_remove("typ");
    assert_eq!(check(&without, &claims(), &key), Err(ProofFault::Type));
}

#[test]
fn an_unsigned_or_symmetric_proof_is_refused_before_its_key_is_read() {
    let key = key();
    for alg in ["none", "None", "HS256", "HS512", "ES256K", "RS1", "dir", ""] {
        // The key is nonsense: were it read first, the fault would be another.
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": {"kty": "oct", "k": "AA"}});
        assert_eq!(check(&header, &claims(), &key), Err(ProofFault::Algorithm), "{alg}");
    }
    let input = |header: &Value| {
        format!("{}.{}", jws::encode(header.to_string().as_bytes()), jws::encode(claims().to_string().as_bytes()))
    };
    let input = input(&with(header(&key), "alg", json!("HS256")));
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, bare(&key).to_string().as_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, input.as_bytes());
    let forged = format!("{input}.{}", jws::encode(tag.as_ref()));
    assert_eq!(verify(&forged, &expect()), Err(ProofFault::Algorithm), "the public key as the secret");
}

#[test]
fn a_private_or_shared_key_in_the_header_is_refused() {
    let key = key();
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let jwk = with(bare(&key), name, json!("AA"));
        assert_eq!(check(&with(header(&key), "jwk", jwk), &claims(), &key), Err(ProofFault::PrivateKey), "{name}");
    }
}

#[test]
fn a_key_of_another_kind_size_or_purpose_is_refused() {
    let key = key();
    let short = json!({"kty": "RSA", "n": jws::encode(&[0xff; 128]), "e": "AQAB"});
    for jwk in [
        json!({}),
        json!({"kty": "EC"}),
        short,
        with(bare(&key), "crv", json!("secp256k1")),
        with(bare(&key), "x", json!("AA")),
        with(bare(&key), "use", json!("enc")),
        with(bare(&key), "key_ops", json!(["sign"])),
        with(bare(&key), "alg", json!("ES384")),
    ] {
        assert_eq!(check(&with(header(&key), "jwk", jwk.clone()), &claims(), &key), Err(ProofFault::Key), "{jwk}");
    }
    for jwk in [json!(null), json!("k"), json!([])] {
        let fault = ProofFault::Malformed(Malformed::HeaderType("jwk"));
        assert_eq!(check(&with(header(&key), "jwk", jwk), &claims(), &key), Err(fault));
    }
    let off_curve = with(bare(&key), "x", json!(jws::encode(&[1; 32])));
    assert_eq!(check(&with(header(&key), "jwk", off_curve), &claims(), &key), Err(ProofFault::Signature));
}

#[test]
fn the_signature_is_of_the_key_in_the_header() {
    let (ours, theirs) = (key(), key());
    assert_eq!(check(&header(&theirs), &claims(), &ours), Err(ProofFault::Signature), "a key that is not theirs");
    let good = sign(&ours, &header(&ours), &claims());
    for signature in [jws::encode(&[0; 64]), String::new()] {
        let forged = format!("{}.{signature}", good.rsplit_once('.').unwrap().0);
        assert_eq!(verify(&forged, &expect()), Err(ProofFault::Signature));
    }
    for other in ["ES384", "RS256", "PS256", "EdDSA"] {
        let header = with(header(&ours), "alg", json!(other));
        assert_eq!(check(&header, &claims(), &ours), Err(ProofFault::Signature), "{other} with a P-256 key");
    }
}

#[test]
fn headers_that_name_another_key_or_change_the_reading_are_refused() {
    let key = key();
    for name in ["jku", "x5u", "x5c", "crit", "b64", "zip", "x5t", "x5t#S256"] {
        let fault = ProofFault::Malformed(Malformed::HeaderParameter(name.to_owned()));
        assert_eq!(check(&with(header(&key), name, json!("x")), &claims(), &key), Err(fault));
    }
}

#[test]
fn every_missing_or_malformed_claim_is_refused() {
    let key = key();
    for name in ["jti", "htm", "htu", "iat"] {
        let mut without = claims();
        without.as_object_mut().unwrap().shift_remove(name);
        assert_eq!(check(&header(&key), &without, &key), Err(ProofFault::Claim(name)));
        for wrong in [json!(null), json!([]), json!({}), json!(true)] {
            assert_eq!(check(&header(&key), &with(claims(), name, wrong), &key), Err(ProofFault::Claim(name)));
        }
    }
    for jti in [String::new(), "x".repeat(257), "a\u{7}".into()] {
        assert_eq!(check(&header(&key), &with(claims(), "jti", json!(jti)), &key), Err(ProofFault::Claim("jti")));
    }
    assert!(check(&header(&key), &with(claims(), "jti", json!("x".repeat(256))), &key).is_ok());
    for iat in [json!("1800000000"), json!(-1), json!(1e300)] {
        assert_eq!(check(&header(&key), &with(claims(), "iat", iat), &key), Err(ProofFault::Claim("iat")));
    }
}

#[test]
fn a_proof_for_another_method_is_refused() {
    let key = key();
    for method in ["GET", "post", "POST ", ""] {
        assert_eq!(check(&header(&key), &with(claims(), "htm", json!(method)), &key), Err(ProofFault::Method));
    }
}

#[test]
fn an_address_is_compared_as_rfc_9449_says_and_not_further() {
    let key = key();
    let at = |htu: &str| check(&header(&key), &with(claims(), "htu", json!(htu)), &key).map(|_| ());
    for same in [
        "HTTPS://GATE.example/mcp/files",
        "https://gate.example:443/mcp/files",
        "https://gate.example/mcp/files?query=1",
        "https://gate.example/mcp/files#fragment",
        "https://gate.example/mcp/x/../files",
        "https://gate.example/mcp/%66iles",
    ] {
        assert_eq!(at(same), Ok(()), "{same}");
    }
    for other in [
        "https://gate.example/mcp/files/",
        "https://gate.example/mcp//files",
        "https://gate.example/mcp/Files",
        "https://gate.example/mcp%2Ffiles",
        "https://gate.example/mcp/files%00",
        "https://gate.example:8443/mcp/files",
        "http://gate.example/mcp/files",
        "https://gate.example.evil.example/mcp/files",
        "https://gate.example@evil.example/mcp/files",
        "https://user@gate.example/mcp/files",
        "https:gate.example/mcp/files",
        "https:///gate.example/mcp/files",
        "https:\\\\gate.example\\mcp\\files",
        " https://gate.example/mcp/files",
        "https://gate.example/mcp/fi\tles",
        "//gate.example/mcp/files",
        "/mcp/files",
        "",
    ] {
        assert_eq!(at(other), Err(ProofFault::Url), "{other}");
    }
    let expect = ExpectProof { url: "https://gate.example/mcp/a~b", ..expect() };
    let proof = sign(&key, &header(&key), &with(claims(), "htu", json!("https://gate.example/mcp/a%7eb")));
    assert!(verify(&proof, &expect).is_ok());
}

#[test]
fn a_proof_is_for_the_token_that_it_comes_with() {
    let key = key();
    let expect = ExpectProof { access_token: Some(TOKEN), ..expect() };
    let with_hash = |ath: Value| verify(&sign(&key, &header(&key), &with(claims(), "ath", ath)), &expect);
    assert!(with_hash(json!(access_token_hash(TOKEN))).is_ok());
    assert_eq!(with_hash(json!(access_token_hash("another"))), Err(ProofFault::AccessToken));
    assert_eq!(with_hash(json!("")), Err(ProofFault::AccessToken));
    assert_eq!(with_hash(json!(null)), Err(ProofFault::Claim("ath")));
    let without = sign(&key, &header(&key), &claims());
    assert_eq!(verify(&without, &expect), Err(ProofFault::Claim("ath")), "a proof for the token endpoint");
}

#[test]
fn a_proof_is_good_for_five_minutes_either_way() {
    let key = key();
    let at = |offset: i64| {
        let iat = NOW.as_secs().checked_add_signed(offset).unwrap();
        check(&header(&key), &with(claims(), "iat", json!(iat)), &key).map(|_| ())
    };
    for good in [-300, 0, 300] {
        assert_eq!(at(good), Ok(()), "{good}");
    }
    for bad in [-301, 301, -86_400] {
        assert_eq!(at(bad), Err(ProofFault::Time), "{bad}");
    }
    // However late it is taken, it is remembered for longer.
    let proof = sign(&key, &header(&key), &claims());
    let late = ExpectProof { now: NOW.plus(WINDOW).plus(Duration::from_millis(999)), ..expect() };
    let taken = verify(&proof, &late).unwrap();
    assert!(taken.remember_until > late.now.plus(Duration::from_secs(1)));
    let later = ExpectProof { now: taken.remember_until, ..expect() };
    assert_eq!(verify(&proof, &later), Err(ProofFault::Time));
    // Not even when the clock starts.
    let expect = ExpectProof { now: Timestamp::from_secs(10), ..expect() };
    let proof = sign(&key, &header(&key), &with(claims(), "iat", json!(311)));
    assert_eq!(verify(&proof, &expect), Err(ProofFault::Time));
}

#[test]
fn a_demanded_nonce_is_ours_and_new() {
    let key = key();
    let nonces = NonceKey::new(&[7; 32], Duration::from_secs(60)).unwrap();
    let strangers = NonceKey::new(&[8; 32], Duration::from_secs(60)).unwrap();
    let at = |nonces, nonce: Option<String>| {
        let claims = nonce.map_or_else(claims, |nonce| with(claims(), "nonce", json!(nonce)));
        verify(&sign(&key, &header(&key), &claims), &ExpectProof { nonces, ..expect() }).map(|_| ())
    };
    let ago = |seconds| Some(nonces.current(NOW.minus(Duration::from_secs(seconds))));
    assert_eq!(at(Nonces::Demanded(&nonces), ago(0)), Ok(()));
    assert_eq!(at(Nonces::Demanded(&nonces), ago(60)), Ok(()), "the window before");
    assert_eq!(at(Nonces::Demanded(&nonces), ago(120)), Err(ProofFault::Nonce));
    assert_eq!(at(Nonces::Demanded(&nonces), None), Err(ProofFault::Nonce));
    assert_eq!(at(Nonces::Demanded(&nonces), Some(strangers.current(NOW))), Err(ProofFault::Nonce));
    assert_eq!(at(Nonces::Offered(&nonces), None), Ok(()));
    assert_eq!(at(Nonces::Offered(&nonces), ago(120)), Err(ProofFault::Nonce));
    assert_eq!(at(Nonces::Ignored, Some("whatever".into())), Ok(()));
    assert_eq!(at(Nonces::Ignored, Some(String::new())), Err(ProofFault::Claim("nonce")));
    assert_eq!(ProofFault::Nonce.outside().as_str(), "use_dpop_nonce");
    assert_eq!(ProofFault::Url.outside().as_str(), "invalid_dpop_proof");
}

#[test]
fn nonces_are_the_same_on_every_node_and_need_a_whole_secret() {
    let rotation = Duration::from_secs(60);
    let (one, other) = (NonceKey::new(&[7; 32], rotation).unwrap(), NonceKey::new(&[7; 32], rotation).unwrap());
    assert_eq!(one.current(NOW), other.current(NOW));
    assert!(one.accepts(&other.current(NOW.plus(rotation)), NOW), "a node whose clock is ahead");
    assert!(!one.accepts(&other.current(NOW.plus(rotation * 2)), NOW));
    assert!(!one.accepts("", NOW));
    assert!(NonceKey::new(&[7; 31], rotation).is_none());
    assert!(one.accepts(&one.current(Timestamp::default()), Timestamp::default()));
    assert!(!format!("{one:?}").contains("key"));
}

#[test]
fn the_same_id_of_two_keys_is_two_proofs() {
    let (one, other) = (key(), key());
    let id = |key: &TestKey| check(&header(key), &claims(), key).unwrap().replay_id();
    assert_ne!(id(&one), id(&other));
}

#[test]
fn duplicate_members_and_long_proofs_are_refused() {
    let key = key();
    let twice = format!(r#"{{"htu":"https://evil.example",{}"#, &claims().to_string()[1..]);
    let proof = key.forge(&header(&key).to_string(), &twice);
    assert!(matches!(verify(&proof, &expect()), Err(ProofFault::Malformed(Malformed::Json(_)))));
    let jwk = bare(&key).to_string();
    let twice = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{"kty":"EC",{}}}"#, &jwk[1..]);
    let proof = key.forge(&twice, &claims().to_string());
    assert!(matches!(verify(&proof, &expect()), Err(ProofFault::Malformed(Malformed::Json(_)))));
    let long = with(claims(), "pad", json!("x".repeat(jws::MAX_BYTES)));
    assert_eq!(check(&header(&key), &long, &key), Err(ProofFault::Malformed(Malformed::TooLarge)));
}

proptest! {
    #[test]
    fn no_string_panics_or_passes(proof in "[A-Za-z0-9_.=-]{0,120}|\\PC{0,60}") {
        prop_assert!(verify(&proof, &expect()).is_err());
    }

    #[test]
    fn no_header_or_claims_panic(header in "\\PC{0,80}", claims in "\\PC{0,80}", jwk in "[a-zA-Z\",:{}]{0,40}") {
        let headers = [header, format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{{jwk}}}}}"#)];
        for header in headers {
            let proof = format!("{}.{}.AA", jws::encode(header.as_bytes()), jws::encode(claims.as_bytes()));
            prop_assert!(verify(&proof, &expect()).is_err());
        }
    }

    #[test]
    fn only_spellings_of_our_address_are_ours(path in "[a-z%/.~0-9 ]{0,12}", host in "[a-zA-Z.@:\\\\]{1,16}") {
        let key = key();
        let htu = format!("https://{host}/{path}");
        let proof = sign(&key, &header(&key), &with(claims(), "htu", json!(htu)));
        if verify(&proof, &expect()).is_ok() {
            let url = Url::parse(&htu).unwrap();
            prop_assert_eq!(url.host_str(), Some("gate.example"));
        }
    }

    #[test]
    fn one_changed_character_never_verifies(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
        let key = key();
        let mut proof = sign(&key, &header(&key), &claims());
        let at = at.index(proof.len());
        prop_assume!(proof[at..=at] != to);
        proof.replace_range(at..=at, &to);
        prop_assert!(verify(&proof, &expect()).is_err());
    }
}
