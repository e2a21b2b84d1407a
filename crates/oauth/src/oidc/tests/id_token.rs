use aws_lc_rs::{digest, hmac};
use proptest::prelude::*;

use super::*;
use crate::oidc::id_token::verify;

const NONCE: &str = "n-0S6_WzA2Mj";

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": CLIENT, "iat": NOW.as_secs(), "exp": NOW.as_secs() + 300,
        "nonce": NONCE, "auth_time": NOW.as_secs() - 10, "amr": ["pwd", "mfa"], "acr": "gold", "sid": "s1",
        "email": "alice@example.com", "email_verified": true})
}

struct Case {
    rule: IssuerRule,
    demands: Demands,
    preset: PresetId,
    algorithms: Vec<Algorithm>,
    nonce: Option<&'static str>,
    subject: Option<&'static str>,
    access_token: Option<&'static str>,
}

impl Case {
    fn new() -> Self {
        Self {
            rule: rule(),
            demands: Demands::default(),
            preset: PresetId::Standard,
            algorithms: Algorithm::ALL.to_vec(),
            nonce: Some(NONCE),
            subject: None,
            access_token: None,
        }
    }

    fn verify(&self, token: &str, keys: &Jwks) -> Result<Claims, OidcFault> {
        let expect = ExpectIdToken {
            issuer: &self.rule,
            client_id: CLIENT,
            algorithms: &self.algorithms,
            nonce: self.nonce,
            subject: self.subject,
            access_token: self.access_token,
            code: None,
            demands: &self.demands,
            preset: self.preset.preset(),
            moment: moment(),
        };
        verify(token, keys, &expect)
    }

    fn code(&self, token: &str, keys: &Jwks) -> &'static str {
        self.verify(token, keys).map(|_| "fine").unwrap_or_else(|fault| fault.code())
    }
}

#[test]
fn each_algorithm_verifies_its_own_signature() {
    for algorithm in Algorithm::ALL {
        let key = TestKey::new("k", algorithm);
        let keys = key_set(&[&key]);
        for typ in [None, Some("JWT"), Some("jwt")] {
            let claims = Case::new().verify(&key.sign(typ, &claims()), &keys).unwrap();
            assert_eq!((claims.subject.as_str(), claims.sid.as_deref()), ("alice", Some("s1")), "{algorithm:?}");
            assert!(claims.email_verified());
            assert_eq!(claims.raw["acr"], "gold");
        }
        let only_another =
            Case { algorithms: Algorithm::ALL.into_iter().filter(|a| *a != algorithm).collect(), ..Case::new() };
        assert_eq!(only_another.code(&key.sign(None, &claims()), &keys), "jwt_algorithm", "{algorithm:?}");
    }
}

#[test]
fn no_signature_and_a_signature_by_a_shared_secret_are_refused() {
    let key = TestKey::new("k", Algorithm::Rs256);
    let keys = key_set(&[&key]);
    let payload = jws::encode(claims().to_string().as_bytes());
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = jws::encode(json!({"alg": alg, "kid": "k"}).to_string().as_bytes());
        assert_eq!(Case::new().code(&format!("{header}.{payload}."), &keys), "jwt_algorithm", "{alg}");
    }
    // The public key, in every form that it travels in, as the HMAC secret.
    let jwk = key.jwk();
    for secret in [key.public(), jwk["n"].as_str().unwrap().as_bytes().to_vec(), jwk.to_string().into_bytes()] {
        for alg in ["HS256", "RS256"] {
            let header = jws::encode(json!({"alg": alg, "kid": "k"}).to_string().as_bytes());
            let input = format!("{header}.{payload}");
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
            let wanted = if alg == "HS256" { "jwt_algorithm" } else { "jwt_signature" };
            assert_eq!(Case::new().code(&format!("{input}.{}", jws::encode(tag.as_ref())), &keys), wanted);
        }
    }
}

#[test]
fn a_key_of_somebody_else_never_signs_whatever_it_is_called() {
    let (ours, theirs) = (TestKey::new("k", Algorithm::Es256), TestKey::new("k", Algorithm::Es256));
    let keys = key_set(&[&ours]);
    // The same `kid` at another issuer.
    assert_eq!(Case::new().code(&theirs.sign(None, &claims()), &keys), "jwt_signature");
    // A set that was swapped for the attacker's does not verify what the provider signed, and the other way round.
    assert_eq!(Case::new().code(&ours.sign(None, &claims()), &key_set(&[&theirs])), "jwt_signature");
    // An RSA signature that names an EC key, and a name that nobody has.
    let rsa = TestKey::new("k", Algorithm::Rs256);
    assert_eq!(Case::new().code(&rsa.sign(None, &claims()), &keys), "jwt_unknown_key");
    let stranger = TestKey::new("../../etc/passwd", Algorithm::Es256);
    assert_eq!(Case::new().code(&stranger.sign(None, &claims()), &keys), "jwt_unknown_key");
    // PS256 by a key that says it is for RS256.
    let mut jwk = rsa.jwk();
    jwk["alg"] = json!("RS256");
    let keys = Jwks::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    let header = json!({"alg": "PS256", "kid": "k"}).to_string();
    assert_eq!(Case::new().code(&rsa.forge(&header, &claims().to_string()), &keys), "jwt_unknown_key");
}

#[test]
fn a_token_without_a_key_id_is_taken_only_from_a_provider_with_one_key() {
    let (a, b) = (TestKey::new("a", Algorithm::Es256), TestKey::new("b", Algorithm::Es256));
    let token = a.forge(r#"{"alg":"ES256"}"#, &claims().to_string());
    assert_eq!(Case::new().code(&token, &key_set(&[&a])), "fine");
    assert_eq!(Case::new().code(&token, &key_set(&[&a, &b])), "jwt_no_key_id");
    // Keys of other kinds do not count.
    let rsa = TestKey::new("r", Algorithm::Rs256);
    assert_eq!(Case::new().code(&token, &key_set(&[&rsa, &a])), "fine");
}

#[test]
fn a_header_that_brings_a_key_or_a_condition_is_refused() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let attacker = TestKey::new("k", Algorithm::Es256);
    for (name, value) in [
        ("jwk", attacker.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MII"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let mut header = key.header(None);
        header[name] = value;
        for signer in [&key, &attacker] {
            let token = signer.forge(&header.to_string(), &claims().to_string());
            assert_eq!(Case::new().code(&token, &keys), "jwt_header", "{name}");
        }
    }
    // Thumbprints name a certificate and bring nothing.
    let mut header = key.header(None);
    header["x5t"] = json!("abc");
    assert_eq!(Case::new().code(&key.forge(&header.to_string(), &claims().to_string()), &keys), "fine");
}

#[test]
fn no_other_kind_of_token_passes_for_an_id_token() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-id-jag+jwt", "JWS", ""]
    {
        assert_eq!(Case::new().code(&key.sign(Some(typ), &claims()), &keys), "jwt_type", "{typ}");
    }
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    assert_eq!(Case::new().code(&key.sign(Some("JWT"), &with(claims(), json!({"events": logout}))), &keys), "jwt_type");
    let keycloak = Case { preset: PresetId::Keycloak, ..Case::new() };
    for (typ, wanted) in [("ID", "fine"), ("Bearer", "jwt_type"), ("Refresh", "jwt_type"), ("Logout", "jwt_type")] {
        assert_eq!(keycloak.code(&key.sign(Some("JWT"), &with(claims(), json!({"typ": typ}))), &keys), wanted, "{typ}");
    }
}

#[test]
fn every_claim_that_decides_is_checked() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let now = NOW.as_secs();
    for (changes, wanted) in [
        (json!({"iss": "https://evil.example"}), "jwt_issuer"),
        (json!({"iss": "https://idp.example/"}), "jwt_issuer"),
        (json!({"iss": null}), "jwt_claim"),
        (json!({"iss": ["https://idp.example"]}), "jwt_claim"),
        (json!({"sub": null}), "jwt_claim"),
        (json!({"sub": ""}), "jwt_claim"),
        (json!({"sub": 7}), "jwt_claim"),
        (json!({"sub": "a\u{0}b"}), "jwt_claim"),
        (json!({"sub": "a".repeat(256)}), "jwt_claim"),
        (json!({"aud": "another"}), "jwt_audience"),
        (json!({"aud": []}), "jwt_audience"),
        (json!({"aud": ["another"]}), "jwt_audience"),
        (json!({"aud": null}), "jwt_claim"),
        (json!({"aud": [CLIENT, 1]}), "jwt_claim"),
        (json!({"aud": {"gate": 1}}), "jwt_claim"),
        (json!({"aud": [CLIENT, "another"]}), "oidc_authorized_party"),
        (json!({"aud": [CLIENT, "another"], "azp": "another"}), "oidc_authorized_party"),
        (json!({"aud": [CLIENT, "another"], "azp": CLIENT}), "fine"),
        (json!({"aud": [CLIENT]}), "fine"),
        (json!({"azp": "another"}), "oidc_authorized_party"),
        (json!({"azp": CLIENT}), "fine"),
        (json!({"azp": 1}), "jwt_claim"),
        (json!({"nonce": "another"}), "oidc_nonce"),
        (json!({"nonce": NONCE.to_ascii_uppercase()}), "oidc_nonce"),
        (json!({"nonce": null}), "oidc_nonce"),
        (json!({"nonce": [NONCE]}), "jwt_claim"),
        (json!({"exp": null}), "jwt_claim"),
        (json!({"exp": "never"}), "jwt_claim"),
        (json!({"exp": -1}), "jwt_claim"),
        (json!({"exp": now - 60}), "jwt_expired"),
        (json!({"exp": now - 59}), "fine"),
        (json!({"iat": null}), "jwt_claim"),
        (json!({"iat": now + 61}), "jwt_from_future"),
        (json!({"iat": now + 60}), "fine"),
        (json!({"nbf": now + 61}), "jwt_from_future"),
        (json!({"iat": (now as f64) + 0.5}), "fine"),
        (json!({"amr": "mfa"}), "fine"),
        (json!({"amr": [1]}), "jwt_claim"),
        (json!({"acr": 1}), "jwt_claim"),
        (json!({"sid": ""}), "jwt_claim"),
        (json!({"at_hash": "wrong"}), "fine"),
    ] {
        let token = key.sign(None, &with(claims(), changes.clone()));
        assert_eq!(Case::new().code(&token, &keys), wanted, "{changes}");
    }
}

#[test]
fn two_readings_of_one_token_and_too_large_a_token_are_refused() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let claims = claims().to_string();
    let twice = format!("{},\"sub\":\"admin\"}}", &claims[..claims.len() - 1]);
    assert_eq!(Case::new().code(&key.forge(&key.header(None).to_string(), &twice), &keys), "jwt_malformed");
    let header = r#"{"alg":"ES256","alg":"none","kid":"k"}"#;
    assert_eq!(Case::new().code(&key.forge(header, &claims), &keys), "jwt_malformed");
    let large = with(serde_json::from_str(&claims).unwrap(), json!({"x": "y".repeat(64 * 1024)}));
    assert_eq!(Case::new().code(&key.sign(None, &large), &keys), "jwt_too_large");
    let mut many = serde_json::from_str::<Value>(&claims).unwrap();
    for n in 0..600 {
        many[format!("c{n}")] = json!(n);
    }
    assert_eq!(Case::new().code(&key.sign(None, &many), &keys), "jwt_too_large");
    // Two hundred of Entra's group ids are no fault.
    let groups: Vec<String> = (0..200).map(|n| format!("{n:08}-0000-0000-0000-000000000000")).collect();
    let token = key.sign(None, &with(serde_json::from_str(&claims).unwrap(), json!({ "groups": groups })));
    assert_eq!(Case::new().code(&token, &keys), "fine");
}

#[test]
fn a_token_belongs_to_the_access_token_that_came_with_it() {
    for (algorithm, digest) in
        [(Algorithm::Es256, &digest::SHA256), (Algorithm::Es384, &digest::SHA384), (Algorithm::EdDsa, &digest::SHA512)]
    {
        let key = TestKey::new("k", algorithm);
        let keys = key_set(&[&key]);
        let hash = digest::digest(digest, b"token");
        let half = jws::encode(&hash.as_ref()[..hash.as_ref().len() / 2]);
        let token = key.sign(None, &with(claims(), json!({"at_hash": half})));
        assert_eq!(Case { access_token: Some("token"), ..Case::new() }.code(&token, &keys), "fine");
        assert_eq!(Case { access_token: Some("other"), ..Case::new() }.code(&token, &keys), "oidc_token_hash");
    }
    // OpenID Connect Core appendix A.3 (RS256).
    let digest = digest::digest(&digest::SHA256, b"jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
    assert_eq!(jws::encode(&digest.as_ref()[..16]), "77QmUPtjPfzWtF2AnpK9RQ");
}

#[test]
fn a_refresh_is_about_the_same_person_and_needs_no_nonce() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let refreshed = key.sign(None, &with(claims(), json!({"nonce": null})));
    assert_eq!(Case { nonce: None, subject: Some("alice"), ..Case::new() }.code(&refreshed, &keys), "fine");
    let other = Case { nonce: None, subject: Some("bob"), ..Case::new() };
    let fault = other.verify(&refreshed, &keys).unwrap_err();
    assert_eq!((fault.code(), fault.ends_the_grant()), ("oidc_other_subject", true));
}

#[test]
fn what_a_tenant_demands_must_be_shown() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let case = |demands: Demands, changes: Value| {
        Case { demands, ..Case::new() }.code(&key.sign(None, &with(claims(), changes)), &keys)
    };
    let recent = || Demands { max_age: Some(Duration::from_secs(300)), ..Demands::default() };
    let now = NOW.as_secs();
    assert_eq!(case(recent(), json!({})), "fine");
    assert_eq!(case(recent(), json!({"auth_time": now - 361})), "oidc_stale");
    assert_eq!(case(recent(), json!({"auth_time": now + 61})), "jwt_from_future");
    assert_eq!(case(recent(), json!({"auth_time": null})), "oidc_auth_time_missing");
    let acr = || Demands { acr: vec!["platinum".into(), "gold".into()], ..Demands::default() };
    assert_eq!(case(acr(), json!({})), "fine");
    assert_eq!(case(acr(), json!({"acr": "silver"})), "oidc_acr");
    assert_eq!(case(acr(), json!({"acr": null})), "oidc_acr");
    assert_eq!(case(acr(), json!({"acr": null, "acrs": ["gold"]})), "fine");
    let mfa = || Demands { mfa: true, mfa_acr: vec!["loa3".into()], ..Demands::default() };
    assert_eq!(case(mfa(), json!({})), "fine");
    assert_eq!(case(mfa(), json!({"amr": ["pwd", "otp"]})), "oidc_mfa");
    assert_eq!(case(mfa(), json!({"amr": null})), "oidc_mfa");
    assert_eq!(case(mfa(), json!({"amr": null, "acr": "loa3"})), "fine");
}

#[test]
fn a_fault_says_what_disagrees_and_what_to_do() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let fault = |changes| Case::new().verify(&key.sign(None, &with(claims(), changes)), &keys).unwrap_err();
    let skew = fault(json!({"iat": NOW.as_secs() + 600}));
    assert_eq!(
        skew.to_string(),
        "the token's `iat` is 2027-01-15T08:10:00.000Z; our clock says 2027-01-15T08:00:00.000Z, 600 seconds earlier"
    );
    assert!(skew.remedy().unwrap().contains("clocks"));
    let audience = fault(json!({"aud": []}));
    assert_eq!(audience.to_string(), "the token is for `nobody`; we are `gate`");
    assert!(audience.remedy().is_some());
    let long = fault(json!({"iss": format!("https://evil\u{7}{}", "x".repeat(5000))})).to_string();
    assert!(long.len() < 400 && !long.contains('\u{7}'), "{long}");
}

proptest! {
    #[test]
    fn no_claims_panic_and_none_without_the_nonce_pass(
        name in "iss|sub|aud|azp|exp|iat|nbf|nonce|acr|amr|acrs|auth_time|sid|email|tid|events|at_hash",
        value in prop_oneof![
            Just(json!(null)), Just(json!([])), Just(json!({})), Just(json!("")), any::<i64>().prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)), "\\PC{0,20}".prop_map(|s| json!(s)), any::<bool>().prop_map(|b| json!(b)),
        ],
    ) {
        let key = TestKey::new("k", Algorithm::Es256);
        let changed = { let mut changed = claims(); changed[&name] = value; changed };
        let result = Case::new().verify(&key.sign(None, &changed), &key_set(&[&key]));
        if let Ok(claims) = result {
            prop_assert_eq!(&claims.raw["nonce"], &json!(NONCE));
            prop_assert_eq!(claims.issuer.as_str(), ISSUER);
        }
    }

    #[test]
    fn no_text_panics(token in "[A-Za-z0-9_.=-]{0,200}") {
        let key = TestKey::new("k", Algorithm::Es256);
        prop_assert!(Case::new().verify(&token, &key_set(&[&key])).is_err());
    }
}
