use proptest::prelude::*;

use super::*;
use crate::oidc::logout::{EVENT, ExpectLogout, LogoutToken, end_session_url, front_channel, verify};

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": CLIENT, "iat": NOW.as_secs(), "exp": NOW.as_secs() + 120, "jti": "j1", "sub": "alice",
        "sid": "s1", "events": {EVENT: {}}})
}

fn check(token: &str, keys: &Jwks) -> Result<LogoutToken, &'static str> {
    let rule = rule();
    let algorithms = [Algorithm::Es256];
    let expect = ExpectLogout { issuer: &rule, client_id: CLIENT, algorithms: &algorithms, moment: moment() };
    verify(token, keys, &expect).map_err(|fault| fault.code())
}

#[test]
fn a_logout_token_names_a_session_a_person_or_both() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    for typ in [Some("logout+jwt"), Some("JWT"), None] {
        let token = check(&key.sign(typ, &claims()), &keys).unwrap();
        assert_eq!((token.subject.as_deref(), token.sid.as_deref()), (Some("alice"), Some("s1")));
        assert_eq!((token.jti.as_str(), token.remember_until), ("j1", NOW.plus(Duration::from_secs(180))));
    }
    let session = check(&key.sign(None, &with(claims(), json!({"sub": null}))), &keys).unwrap();
    assert_eq!((session.subject, session.sid.as_deref()), (None, Some("s1")));
    assert!(check(&key.sign(None, &with(claims(), json!({"sid": null}))), &keys).unwrap().sid.is_none());
}

#[test]
fn what_is_not_for_us_or_no_logout_is_refused() {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    let now = NOW.as_secs();
    for (changes, wanted) in [
        (json!({"sub": null, "sid": null}), "oidc_logout_subject"),
        (json!({"nonce": "n"}), "oidc_logout_nonce"),
        (json!({"nonce": ""}), "oidc_logout_nonce"),
        (json!({"events": null}), "oidc_logout_event"),
        (json!({"events": {}}), "oidc_logout_event"),
        (json!({"events": [EVENT]}), "oidc_logout_event"),
        (json!({"events": {EVENT: true}}), "oidc_logout_event"),
        (
            json!({"events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}}),
            "oidc_logout_event",
        ),
        (json!({"jti": null}), "jwt_claim"),
        (json!({"jti": ""}), "jwt_claim"),
        (json!({"iat": null}), "jwt_claim"),
        (json!({"iat": now + 61}), "jwt_from_future"),
        (json!({"exp": null}), "jwt_claim"),
        (json!({"exp": now - 60}), "jwt_expired"),
        (json!({"aud": "another"}), "jwt_audience"),
        (json!({"iss": "https://evil.example"}), "jwt_issuer"),
        (json!({"sub": 1}), "jwt_claim"),
    ] {
        assert_eq!(check(&key.sign(None, &with(claims(), changes.clone())), &keys).unwrap_err(), wanted, "{changes}");
    }
    // An ID token, an access token and a security event of the same issuer.
    for typ in ["at+jwt", "secevent+jwt", "global-token-revocation+jwt"] {
        assert_eq!(check(&key.sign(Some(typ), &claims()), &keys).unwrap_err(), "jwt_type", "{typ}");
    }
    let stranger = TestKey::new("k", Algorithm::Es256);
    assert_eq!(check(&stranger.sign(None, &claims()), &keys).unwrap_err(), "jwt_signature");
    let rsa = TestKey::new("r", Algorithm::Rs256);
    assert_eq!(check(&rsa.sign(None, &claims()), &key_set(&[&key, &rsa])).unwrap_err(), "jwt_algorithm");
}

#[test]
fn a_front_channel_request_names_issuer_and_session_or_nothing() {
    let read = |query: &str| front_channel(query, &rule()).map(|found| found.sid).map_err(|fault| fault.code());
    assert_eq!(read("iss=https%3A%2F%2Fidp.example&sid=s1"), Ok(Some("s1".into())));
    assert_eq!(read(""), Ok(None));
    assert_eq!(read("iss=https%3A%2F%2Fevil.example&sid=s1"), Err("oidc_response_issuer"));
    for bad in ["sid=s1", "iss=https%3A%2F%2Fidp.example", "sid=a&sid=b&iss=https%3A%2F%2Fidp.example"] {
        assert_eq!(read(bad), Err("oidc_response_form"), "{bad}");
    }
    assert_eq!(read(&"a".repeat(5000)), Err("oidc_response_form"));
}

#[test]
fn a_person_can_log_out_at_the_provider_too() {
    assert!(end_session_url(&metadata(), CLIENT, None, None).is_none());
    let document = with(metadata_document(), json!({"end_session_endpoint": "https://idp.example/logout?a=b"}));
    let metadata = parse_metadata(&document).unwrap();
    let url = end_session_url(&metadata, CLIENT, Some("hint"), Some(("https://gate.example/out", "st"))).unwrap();
    assert_eq!(
        url.as_str(),
        "https://idp.example/logout?a=b&client_id=gate&id_token_hint=hint&post_logout_redirect_uri=https%3A%2F%2Fgate.example%2Fout&state=st"
    );
}

proptest! {
    #[test]
    fn no_claims_panic(
        name in "iss|sub|aud|exp|iat|jti|sid|events|nonce",
        value in prop_oneof![Just(json!(null)), Just(json!([])), Just(json!({})), any::<u64>().prop_map(|n| json!(n)), "\\PC{0,20}".prop_map(|s| json!(s))],
    ) {
        let key = TestKey::new("k", Algorithm::Es256);
        let mut changed = claims();
        changed[&name] = value;
        if let Ok(token) = check(&key.sign(None, &changed), &key_set(&[&key])) {
            prop_assert!(token.subject.is_some() || token.sid.is_some());
        }
    }

    #[test]
    fn no_query_panics(query in "\\PC{0,60}") {
        let _ = front_channel(&query, &rule());
    }
}
