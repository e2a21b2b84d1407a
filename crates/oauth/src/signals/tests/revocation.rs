use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    oidc::{
        Algorithm, Jwks,
        tests::{CLIENT, ISSUER, NOW, TestKey, key_set, moment, rule, with},
    },
    signals::{
        Subject, SubjectId,
        revocation::{Answer, Caller, ExpectCaller, TYPE, read, verify_caller},
    },
};

const ENDPOINT: &str = "https://gate.example/acme/global-token-revocation";

/// In the shape that Okta sends: `nbf` five minutes back, `exp` five minutes ahead.
fn claims() -> Value {
    let now = NOW.as_secs();
    json!({"iss": ISSUER, "sub": CLIENT, "aud": ENDPOINT, "jti": "j1", "iat": now, "nbf": now - 300, "exp": now + 300})
}

fn check(token: &str, keys: &Jwks) -> Result<Caller, &'static str> {
    let rule = rule();
    let algorithms = [Algorithm::Rs256, Algorithm::Es256];
    let expect = ExpectCaller {
        issuer: &rule,
        endpoint: ENDPOINT,
        subject: Some(CLIENT),
        algorithms: &algorithms,
        moment: moment(),
    };
    verify_caller(token, keys, &expect).map_err(|fault| fault.code())
}

#[test]
fn a_caller_proves_itself_to_this_endpoint_once() {
    let key = TestKey::new("k", Algorithm::Rs256);
    let caller = check(&key.sign(Some(TYPE), &claims()), &key_set(&[&key])).unwrap();
    assert_eq!((caller.subject.as_str(), caller.jti.as_str()), (CLIENT, "j1"));
    assert_eq!(caller.remember_until, NOW.plus(Duration::from_secs(360)));
}

#[test]
fn no_other_token_of_the_provider_ends_anybodys_access() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    for typ in [None, Some("JWT"), Some("logout+jwt"), Some("secevent+jwt"), Some("at+jwt")] {
        assert_eq!(check(&key.sign(typ, &claims()), &keys), Err("jwt_type"), "{typ:?}");
    }
    let now = NOW.as_secs();
    for (changes, wanted) in [
        (json!({"aud": "https://gate.example/other/global-token-revocation"}), "jwt_audience"),
        (json!({"aud": CLIENT}), "jwt_audience"),
        (json!({"aud": null}), "jwt_claim"),
        (json!({"iss": "https://evil.example"}), "jwt_issuer"),
        (json!({"sub": "another"}), "jwt_claim"),
        (json!({"sub": null}), "jwt_claim"),
        (json!({"jti": null}), "jwt_claim"),
        (json!({"exp": null}), "jwt_claim"),
        (json!({"exp": now - 60}), "jwt_expired"),
        (json!({"exp": now + 3661}), "jwt_claim"),
        (json!({"iat": null}), "jwt_claim"),
        (json!({"iat": now + 61}), "jwt_from_future"),
        (json!({"nbf": now + 61}), "jwt_from_future"),
    ] {
        assert_eq!(check(&key.sign(Some(TYPE), &with(claims(), changes.clone())), &keys), Err(wanted), "{changes}");
    }
    let stranger = TestKey::new("k", Algorithm::Es256);
    assert_eq!(check(&stranger.sign(Some(TYPE), &claims()), &keys), Err("jwt_signature"));
}

#[test]
fn a_request_names_one_subject() {
    let subject = json!({"format": "iss_sub", "iss": ISSUER, "sub": "00u1"});
    let alice = Subject::Simple(SubjectId::IssuerSubject { issuer: ISSUER.into(), subject: "00u1".into() });
    for name in ["sub_id", "subject"] {
        assert_eq!(read(json!({ name: subject }).to_string().as_bytes()).as_ref(), Ok(&alice));
    }
    let code = |body: &str| read(body.as_bytes()).unwrap_err().code();
    assert_eq!(code(&json!({"sub_id": subject, "subject": subject}).to_string()), "signal_subject");
    assert_eq!(code("{}"), "signal_subject");
    assert_eq!(code(r#"{"sub_id":{"format":"email","email":"a@b","email":"c@d"}}"#), "signal_document");
    assert_eq!(code(r#"{"sub_id":{"format":"uid","id":"x"}}"#), "signal_subject_format");
    assert_eq!(code("not json"), "signal_document");
    assert_eq!(code(&" ".repeat(20_000)), "signal_too_large");
}

#[test]
fn answers_have_the_drafts_statuses() {
    use Answer::{BadRequest, Forbidden, NotFound, Revoked, Unauthorized, Unprocessable};
    let statuses = [Revoked, BadRequest, Unauthorized, Forbidden, NotFound, Unprocessable].map(Answer::status);
    assert_eq!(statuses, [204, 400, 401, 403, 404, 422]);
}

proptest! {
    #[test]
    fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_claims_panic(name in "iss|sub|aud|jti|iat|nbf|exp", value in "\\PC{0,20}") {
        let key = TestKey::new("k", Algorithm::Es256);
        let changed = with(claims(), json!({ name: value }));
        let _ = check(&key.sign(Some(TYPE), &changed), &key_set(&[&key]));
    }
}
