use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    jws,
    oidc::{
        Algorithm, Jwks,
        tests::{ISSUER, NOW, TestKey, key_set, moment, rule, with},
    },
    signals::{
        Effect, Event, ExpectSet, SecurityEvent, SignalFault, Subject, SubjectId,
        delivery::{ErrorCode, error_code},
        event::{CAEP, RISC, SSF, StreamStatus, WANTED},
        set::verify,
        subject::Complex,
    },
};

const AUDIENCE: &str = "https://gate.example/ssf/acme";

fn claims(event: &str, payload: Value) -> Value {
    json!({"iss": ISSUER, "jti": "e1", "iat": NOW.as_secs() - 5, "aud": [AUDIENCE, "https://gate.example/other"],
        "txn": "t1", "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "alice"}, "events": {event: payload}})
}

fn revoked() -> Value {
    claims(&format!("{CAEP}session-revoked"), json!({"event_timestamp": 1, "reason_admin": {"en": "policy"}}))
}

fn check(token: &str, keys: &Jwks) -> Result<SecurityEvent, SignalFault> {
    let rule = rule();
    let audiences = [AUDIENCE.to_owned()];
    let expect = ExpectSet {
        issuer: &rule,
        audiences: &audiences,
        algorithms: &[Algorithm::Es256],
        max_age: Duration::from_secs(86_400),
        moment: moment(),
    };
    verify(token, keys, &expect)
}

fn key() -> (TestKey, Jwks) {
    let key = TestKey::new("k", Algorithm::Es256);
    let keys = key_set(&[&key]);
    (key, keys)
}

#[test]
fn a_session_revoked_event_is_read_whole() {
    let (key, keys) = key();
    let event = check(&key.sign(Some("secevent+jwt"), &revoked()), &keys).unwrap();
    assert_eq!((event.jti.as_str(), event.txn.as_deref(), event.events.len()), ("e1", Some("t1"), 1));
    assert_eq!((&event.events[0], event.events[0].effect()), (&Event::SessionRevoked, Effect::EndSessions));
    let alice = SubjectId::IssuerSubject { issuer: ISSUER.into(), subject: "alice".into() };
    assert_eq!(event.subject, Ok(Subject::Simple(alice)));
    assert_eq!(event.remember_until, NOW.plus(Duration::from_secs(86_400 + 60 - 5)));
}

#[test]
fn a_forged_event_is_refused_and_the_transmitter_is_told_why() {
    let (key, keys) = key();
    let stranger = TestKey::new("k", Algorithm::Es256);
    let none = format!(
        "{}.{}.",
        jws::encode(br#"{"alg":"none","typ":"secevent+jwt"}"#),
        jws::encode(revoked().to_string().as_bytes())
    );
    let mut with_jwk = stranger.header(Some("secevent+jwt"));
    with_jwk["jwk"] = stranger.jwk();
    for (token, code, told) in [
        (stranger.sign(Some("secevent+jwt"), &revoked()), "jwt_signature", ErrorCode::InvalidKey),
        (none, "jwt_algorithm", ErrorCode::InvalidKey),
        (stranger.forge(&with_jwk.to_string(), &revoked().to_string()), "jwt_header", ErrorCode::InvalidRequest),
        (
            TestKey::new("other", Algorithm::Es256).sign(Some("secevent+jwt"), &revoked()),
            "jwt_unknown_key",
            ErrorCode::InvalidKey,
        ),
        (
            key.sign(Some("secevent+jwt"), &with(revoked(), json!({"iss": "https://evil.example"}))),
            "jwt_issuer",
            ErrorCode::InvalidIssuer,
        ),
        (
            key.sign(Some("secevent+jwt"), &with(revoked(), json!({"aud": "https://gate.example/ssf/other"}))),
            "jwt_audience",
            ErrorCode::InvalidAudience,
        ),
        (
            key.sign(Some("secevent+jwt"), &with(revoked(), json!({"aud": []}))),
            "jwt_audience",
            ErrorCode::InvalidAudience,
        ),
        ("x".into(), "jwt_malformed", ErrorCode::InvalidRequest),
    ] {
        let fault = check(&token, &keys).unwrap_err();
        assert_eq!((fault.code(), error_code(&fault)), (code, told), "{fault}");
    }
}

#[test]
fn no_other_kind_of_token_passes_for_an_event() {
    let (key, keys) = key();
    for typ in [None, Some("JWT"), Some("logout+jwt"), Some("at+jwt"), Some("global-token-revocation+jwt")] {
        assert_eq!(check(&key.sign(typ, &revoked()), &keys).unwrap_err().code(), "jwt_type", "{typ:?}");
    }
    for typ in ["secevent+jwt", "application/secevent+jwt", "SECEVENT+JWT"] {
        assert!(check(&key.sign(Some(typ), &revoked()), &keys).is_ok(), "{typ}");
    }
    // What an ID token has and an event must not have; an end is no reason to trust, nor to drop.
    for (changes, wanted) in [
        (json!({"exp": NOW.as_secs() + 300}), "jwt_claim"),
        (json!({"exp": NOW.as_secs() - 300}), "jwt_claim"),
        (json!({"sub": "alice"}), "jwt_claim"),
    ] {
        let token = key.sign(Some("secevent+jwt"), &with(revoked(), changes));
        assert_eq!(check(&token, &keys).unwrap_err().code(), wanted);
    }
}

#[test]
fn form_age_and_number_are_bounded() {
    let (key, keys) = key();
    let now = NOW.as_secs();
    let many: serde_json::Map<String, Value> = (0..17).map(|n| (format!("urn:e:{n}"), json!({}))).collect();
    for (changes, wanted) in [
        (json!({"iat": now + 61}), "jwt_from_future"),
        (json!({"iat": now + 60}), "fine"),
        (json!({"iat": now - 86_400 - 59}), "fine"),
        (json!({"iat": now - 86_400 - 60}), "jwt_too_old"),
        (json!({"iat": null}), "jwt_claim"),
        (json!({"jti": null}), "jwt_claim"),
        (json!({"jti": 1}), "jwt_claim"),
        (json!({"jti": "j".repeat(600)}), "jwt_claim"),
        (json!({"txn": 1}), "jwt_claim"),
        (json!({"events": null}), "signal_member"),
        (json!({"events": []}), "signal_member"),
        (json!({"events": {}}), "signal_events"),
        (json!({"events": many}), "signal_events"),
        (json!({"events": {"urn:e": true}}), "signal_member"),
        (json!({"events": {"urn:e": {}, "urn:f": {}}}), "fine"),
    ] {
        let token = key.sign(Some("secevent+jwt"), &with(revoked(), changes.clone()));
        assert_eq!(check(&token, &keys).map(|_| "fine").unwrap_or_else(|fault| fault.code()), wanted, "{changes}");
    }
    let twice = revoked().to_string().replacen("\"jti\"", "\"jti\":\"other\",\"jti\"", 1);
    let token = key.forge(&key.header(Some("secevent+jwt")).to_string(), &twice);
    assert_eq!(check(&token, &keys).unwrap_err().code(), "jwt_malformed");
}

#[test]
fn each_event_has_its_effect() {
    let (key, keys) = key();
    let effect = |uri: String, payload: Value| {
        check(&key.sign(Some("secevent+jwt"), &claims(&uri, payload)), &keys)
            .map(|event| event.events[0].effect())
            .map_err(|fault| fault.code())
    };
    let caep = |name: &str, payload| effect(format!("{CAEP}{name}"), payload);
    let risc = |name: &str, payload| effect(format!("{RISC}{name}"), payload);
    let credential = |change: &str| json!({"credential_type": "password", "change_type": change});
    assert_eq!(caep("credential-change", credential("update")), Ok(Effect::EndSessions));
    assert_eq!(caep("credential-change", credential("revoke")), Ok(Effect::EndSessions));
    assert!(matches!(caep("credential-change", credential("create")), Ok(Effect::Nothing(_))));
    assert_eq!(caep("credential-change", credential("other")), Err("signal_event"));
    assert_eq!(caep("credential-change", json!({"change_type": "update"})), Err("signal_event"));
    assert_eq!(caep("token-claims-change", json!({"claims": {"role": "none"}})), Ok(Effect::Reauthenticate));
    assert_eq!(caep("token-claims-change", json!({})), Err("signal_event"));
    let level = |direction: Value| json!({"namespace": "NIST-AAL", "current_level": "nist-aal1", "change_direction": direction});
    assert_eq!(caep("assurance-level-change", level(json!("decrease"))), Ok(Effect::Reauthenticate));
    assert_eq!(caep("assurance-level-change", level(json!(null))), Ok(Effect::Reauthenticate));
    assert!(matches!(caep("assurance-level-change", level(json!("increase"))), Ok(Effect::Nothing(_))));
    assert_eq!(caep("assurance-level-change", json!({})), Err("signal_event"));
    assert_eq!(risc("account-disabled", json!({"reason": "hijacking"})), Ok(Effect::EndAccount { purged: false }));
    assert_eq!(risc("account-purged", json!({})), Ok(Effect::EndAccount { purged: true }));
    assert_eq!(risc("sessions-revoked", json!({})), Ok(Effect::EndSessions));
    assert_eq!(risc("credential-compromise", json!({"credential_type": "password"})), Ok(Effect::EndSessions));
    for name in ["account-enabled", "identifier-changed", "opt-in"] {
        assert!(matches!(risc(name, json!({})), Ok(Effect::Nothing(_))), "{name}");
    }
    assert_eq!(effect(format!("{SSF}verification"), json!({"state": "s"})), Ok(Effect::Stream));
    assert_eq!(effect(format!("{SSF}verification"), json!({"state": 1})), Err("signal_event"));
    assert_eq!(effect(format!("{SSF}stream-updated"), json!({"status": "gone"})), Err("signal_event"));
    assert!(matches!(effect("urn:x".into(), json!({})), Ok(Effect::Nothing(_))));
    for wanted in WANTED {
        let payload = json!({"credential_type": "x", "change_type": "update", "claims": {}, "current_level": "x"});
        assert!(!matches!(effect(wanted.into(), payload), Ok(Effect::Nothing(_)) | Err(_)), "{wanted}");
    }
}

#[test]
fn events_about_the_stream_are_read() {
    let (key, keys) = key();
    let stream = json!({"sub_id": {"format": "opaque", "id": "stream-1"}});
    let read = |uri: String, payload| {
        let claims = with(claims(&uri, payload), stream.clone());
        check(&key.sign(Some("secevent+jwt"), &claims), &keys).unwrap()
    };
    let verification = read(format!("{SSF}verification"), json!({"state": "abc"}));
    assert_eq!(verification.events, [Event::Verification { state: Some("abc".into()) }]);
    assert_eq!(verification.subject, Ok(Subject::Simple(SubjectId::Opaque("stream-1".into()))));
    let updated = read(format!("{SSF}stream-updated"), json!({"status": "paused", "reason": "License"}));
    assert_eq!(updated.events, [Event::StreamUpdated { status: StreamStatus::Paused, reason: Some("License".into()) }]);
}

#[test]
fn every_format_of_subject_is_read() {
    let read = |value: Value| Subject::read(&value).map_err(|fault| fault.code());
    let simple = |value: Value| match read(value) {
        Ok(Subject::Simple(id)) => id,
        other => panic!("{other:?}"),
    };
    for (value, wanted) in [
        (json!({"format": "account", "uri": "acct:a@b"}), SubjectId::Account("acct:a@b".into())),
        (json!({"format": "email", "email": "a@b"}), SubjectId::Email("a@b".into())),
        (json!({"format": "opaque", "id": "1"}), SubjectId::Opaque("1".into())),
        (json!({"format": "phone_number", "phone_number": "+1"}), SubjectId::Phone("+1".into())),
        (json!({"format": "phone", "phone_number": "+1"}), SubjectId::Phone("+1".into())),
        (json!({"format": "did", "url": "did:x:1"}), SubjectId::Did("did:x:1".into())),
        (json!({"format": "uri", "uri": "urn:x"}), SubjectId::Uri("urn:x".into())),
        (json!({"format": "jwt_id", "iss": "i", "jti": "j"}), SubjectId::Jwt { issuer: "i".into(), id: "j".into() }),
        (
            json!({"format": "saml_assertion_id", "issuer": "i", "assertion_id": "_1"}),
            SubjectId::SamlAssertion { issuer: "i".into(), id: "_1".into() },
        ),
    ] {
        assert_eq!(simple(value), wanted);
    }
    let aliases = json!({"format": "aliases", "identifiers": [
        {"format": "email", "email": "a@b"}, {"format": "made-up"}, {"format": "opaque", "id": "1"}]});
    assert_eq!(simple(aliases).each(), [SubjectId::Email("a@b".into()), SubjectId::Opaque("1".into())]);
    let complex = json!({"format": "complex", "user": {"format": "email", "email": "a@b"},
        "tenant": {"format": "opaque", "id": "t"}, "session": {"format": "opaque", "id": "s"},
        "device": {"format": "made-up"}, "badge": {"format": "opaque", "id": "7"}});
    let wanted = Complex {
        user: Some(SubjectId::Email("a@b".into())),
        tenant: Some(SubjectId::Opaque("t".into())),
        session: Some(SubjectId::Opaque("s".into())),
        others: vec!["device".into(), "badge".into()],
        ..Complex::default()
    };
    let subject = read(complex).unwrap();
    assert_eq!(subject, Subject::Complex(Box::new(wanted)));
    assert_eq!(subject.user(), Some(&SubjectId::Email("a@b".into())));
    let critical = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(subject.misses(&critical(&["badge"]), &["user", "tenant", "session"]));
    assert!(subject.misses(&critical(&["tenant"]), &["user"]));
    assert!(!subject.misses(&critical(&["tenant", "group"]), &["user", "tenant", "session"]));
}

#[test]
fn a_subject_that_names_nobody_is_refused() {
    let code = |value: Value| Subject::read(&value).unwrap_err().code();
    for bad in [
        json!("alice"),
        json!({}),
        json!({"format": "email"}),
        json!({"format": "email", "email": ""}),
        json!({"format": "email", "email": ["a@b"]}),
        json!({"format": "email", "email": "a\n@b"}),
        json!({"format": "opaque", "id": "x".repeat(1025)}),
        json!({"format": "iss_sub", "sub": "alice"}),
        json!({"format": 1, "email": "a@b"}),
        json!({"format": "aliases", "identifiers": []}),
        json!({"format": "aliases", "identifiers": [{"format": "made-up"}]}),
        json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]}),
        json!({"format": "aliases", "identifiers": vec![json!({"format": "opaque", "id": "1"}); 17]}),
        json!({"format": "complex"}),
        json!({"format": "complex", "user": "alice"}),
        json!({"format": "complex", "user": {"format": "complex", "user": {}}, "tenant": {"format": "opaque", "id": "t"}}),
    ] {
        let found = code(bad.clone());
        assert!(found == "signal_subject" || found == "signal_subject_format", "{bad}: {found}");
    }
    assert_eq!(code(json!({"format": "made-up", "x": "y"})), "signal_subject_format");
    // A person in a format that we do not know must not become everybody of the tenant.
    let hidden = json!({"format": "complex", "user": {"format": "made-up"}, "tenant": {"format": "opaque", "id": "t"}});
    assert_eq!(code(hidden), "signal_subject_format");
}

#[test]
fn a_subject_within_the_event_counts_where_there_is_no_other() {
    let (key, keys) = key();
    let uri = format!("{CAEP}session-revoked");
    let within = json!({"subject": {"user": {"format": "email", "email": "a@b"}}});
    let old = with(claims(&uri, within.clone()), json!({"sub_id": null}));
    let event = check(&key.sign(Some("secevent+jwt"), &old), &keys).unwrap();
    assert_eq!(event.subject.unwrap().user(), Some(&SubjectId::Email("a@b".into())));
    let both = check(&key.sign(Some("secevent+jwt"), &claims(&uri, within.clone())), &keys).unwrap();
    assert!(matches!(both.subject, Ok(Subject::Simple(SubjectId::IssuerSubject { .. }))));
    let other = json!({"subject": {"format": "email", "email": "c@d"}});
    let two = with(old, json!({"events": {uri: within, "urn:x": other}}));
    let two = check(&key.sign(Some("secevent+jwt"), &two), &keys).unwrap();
    assert_eq!(two.subject.unwrap_err().code(), "signal_subject");
    let nobody = with(revoked(), json!({"sub_id": null}));
    assert!(check(&key.sign(Some("secevent+jwt"), &nobody), &keys).unwrap().subject.is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(json!(null)), any::<bool>().prop_map(|b| json!(b)), "[a-z:/@]{0,8}".prop_map(|s| json!(s))];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let names = "format|email|id|iss|sub|uri|user|tenant|identifiers|subject|status|claims";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            proptest::collection::hash_map(names, inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #[test]
    fn no_subject_and_no_event_panics(value in any_value(), name in "[a-z-]{0,20}|session-revoked|credential-change|verification") {
        let _ = Subject::read(&value);
        if let Some(payload) = value.as_object() {
            for prefix in [CAEP, RISC, SSF, ""] {
                if let Ok(event) = Event::read(&format!("{prefix}{name}"), payload) {
                    let _ = (event.effect(), event.name().len());
                }
            }
        }
    }

    #[test]
    fn no_signed_claims_panic(value in any_value(), name in "iss|aud|iat|jti|txn|sub_id|events|exp") {
        let (key, keys) = key();
        let mut changed = revoked();
        changed[&name] = value;
        let _ = check(&key.sign(Some("secevent+jwt"), &changed), &keys);
    }
}
