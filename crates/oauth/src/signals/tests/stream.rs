use proptest::prelude::*;
use sallyport_model::Secret;
use serde_json::{Value, json};
use url::Url;

use crate::{
    oidc::{Transport, tests::with},
    signals::{
        TransmitterMetadata,
        event::{StreamStatus, WANTED},
        stream::{self, Delivery, StreamRequest},
        transmitter::{DefaultSubjects, metadata_url},
    },
};

const ISSUER: &str = "https://tr.example/acme";

fn document() -> Value {
    // The specification's own example, with another name.
    json!({"spec_version": "1_0", "issuer": ISSUER, "jwks_uri": "https://tr.example/jwks.json",
        "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
        "configuration_endpoint": "https://tr.example/ssf/stream", "status_endpoint": "https://tr.example/ssf/status",
        "add_subject_endpoint": "https://tr.example/ssf/subject:add", "remove_subject_endpoint": "https://tr.example/ssf/subject:remove",
        "verification_endpoint": "https://tr.example/ssf/verification", "critical_subject_members": ["tenant", "user"],
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}], "default_subjects": "NONE"})
}

fn parse(document: &Value) -> Result<TransmitterMetadata, &'static str> {
    TransmitterMetadata::parse(document.to_string().as_bytes(), ISSUER, Transport::Https).map_err(|fault| fault.code())
}

fn body(request: &StreamRequest) -> Value {
    serde_json::from_str(request.body.as_ref().unwrap().expose()).unwrap()
}

#[test]
fn metadata_are_looked_for_and_read_as_the_specification_says() {
    let url = metadata_url("https://tr.example/acme/", Transport::Https).unwrap();
    assert_eq!(url.as_str(), "https://tr.example/.well-known/ssf-configuration/acme");
    let url = metadata_url("https://tr.example", Transport::Https).unwrap();
    assert_eq!(url.as_str(), "https://tr.example/.well-known/ssf-configuration");
    let metadata = parse(&document()).unwrap();
    assert!(metadata.push && metadata.poll && metadata.default_subjects == DefaultSubjects::None);
    assert_eq!(metadata.critical_subject_members, ["tenant", "user"]);
    assert_eq!(metadata.authorization_schemes, ["urn:ietf:rfc:6749"]);
    for (changes, wanted) in [
        (json!({"issuer": "https://tr.example/other"}), "signal_transmitter"),
        (json!({"issuer": "https://tr.example/acme/"}), "signal_transmitter"),
        (json!({"issuer": null}), "signal_member"),
        (json!({"jwks_uri": null}), "signal_member"),
        (json!({"jwks_uri": "http://tr.example/jwks"}), "oidc_url"),
        (json!({"configuration_endpoint": "http://169.254.169.254/"}), "oidc_url"),
        (json!({"delivery_methods_supported": "push"}), "signal_member"),
        (json!({"authorization_schemes": [{}]}), "signal_member"),
    ] {
        assert_eq!(parse(&with(document(), changes.clone())).unwrap_err(), wanted, "{changes}");
    }
    let push_only = parse(&with(document(), json!({"delivery_methods_supported": ["urn:ietf:rfc:8935"]}))).unwrap();
    assert!(push_only.push && !push_only.poll);
}

#[test]
fn a_stream_is_made_read_verified_and_deleted() {
    let metadata = parse(&document()).unwrap();
    let push = Delivery::Push {
        endpoint_url: Url::parse("https://gate.example/ssf/acme/push").unwrap(),
        authorization_header: Some(Secret::new("Bearer s3cret")),
    };
    let create = stream::create(&metadata, &push, "Sallyport").unwrap();
    assert_eq!((create.method, create.url.as_str()), ("POST", "https://tr.example/ssf/stream"));
    assert_eq!(
        body(&create)["delivery"],
        json!({"method": "urn:ietf:rfc:8935", "endpoint_url": "https://gate.example/ssf/acme/push",
            "authorization_header": "Bearer s3cret"})
    );
    assert_eq!(body(&create)["events_requested"], json!(WANTED));
    assert!(!format!("{create:?}").contains("s3cret"));
    let poll = stream::create(&metadata, &Delivery::Poll, "Sallyport").unwrap();
    assert_eq!(body(&poll)["delivery"], json!({"method": "urn:ietf:rfc:8936"}));
    let read = stream::read(&metadata, Some("a b")).unwrap();
    assert_eq!((read.method, read.url.as_str()), ("GET", "https://tr.example/ssf/stream?stream_id=a+b"));
    assert_eq!(stream::delete(&metadata, "s1").unwrap().method, "DELETE");
    let verification = stream::verification(&metadata, "s1", "state").unwrap();
    assert_eq!(body(&verification), json!({"stream_id": "s1", "state": "state"}));
    let paused = stream::set_status(&metadata, "s1", StreamStatus::Paused).unwrap();
    assert_eq!(body(&paused), json!({"stream_id": "s1", "status": "paused"}));
    let subject = json!({"format": "email", "email": "a@b"});
    let add = stream::add_subject(&metadata, "s1", &subject).unwrap();
    assert_eq!(body(&add)["subject"], subject);
    let without = parse(&with(document(), json!({"verification_endpoint": null}))).unwrap();
    assert_eq!(stream::verification(&without, "s1", "x").unwrap_err().code(), "signal_member");
}

fn answer() -> Value {
    json!({"stream_id": "s1", "iss": ISSUER, "aud": ["https://gate.example/ssf/acme"],
        "delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": "https://tr.example/poll/s1"},
        "events_delivered": [WANTED[0], WANTED[4]], "min_verification_interval": 30})
}

#[test]
fn a_streams_configuration_is_of_the_transmitter_that_was_asked() {
    let metadata = parse(&document()).unwrap();
    let read = |status, answer: &Value| {
        stream::configuration(status, answer.to_string().as_bytes(), &metadata, Transport::Https)
            .map_err(|fault| fault.code())
    };
    let stream = read(201, &answer()).unwrap();
    assert_eq!((stream.stream_id.as_str(), stream.events_delivered.len(), stream.events_missing.len()), ("s1", 2, 6));
    assert_eq!(
        (stream.endpoint_url.as_str(), stream.min_verification_interval),
        ("https://tr.example/poll/s1", Some(30))
    );
    assert_eq!(read(201, &with(answer(), json!({"aud": "one"}))).unwrap().audience, ["one"]);
    for (changes, wanted) in [
        (json!({"iss": "https://evil.example"}), "signal_transmitter"),
        (json!({"stream_id": null}), "signal_member"),
        (json!({"aud": []}), "signal_member"),
        (json!({"aud": null}), "signal_member"),
        (json!({"delivery": null}), "signal_member"),
        (json!({"delivery": {"method": "smoke", "endpoint_url": "https://tr.example"}}), "signal_member"),
        (json!({"delivery": {"method": "urn:ietf:rfc:8936", "endpoint_url": "http://tr.example"}}), "oidc_url"),
        (json!({"events_delivered": "all"}), "signal_member"),
    ] {
        assert_eq!(read(200, &with(answer(), changes.clone())).unwrap_err(), wanted, "{changes}");
    }
    assert_eq!(read(409, &json!({"description": "one is enough"})).unwrap_err(), "signal_answer");
    let list = json!([answer(), with(answer(), json!({"stream_id": "s2"}))]).to_string();
    let streams = stream::configurations(200, list.as_bytes(), &metadata, Transport::Https).unwrap();
    assert_eq!(streams.len(), 2);
    assert!(stream::configurations(200, b"[]", &metadata, Transport::Https).unwrap().is_empty());
    for bad in ["{}", "[1]", "[],\"a\":1", "[],\"streams\":[]", ""] {
        assert!(stream::configurations(200, bad.as_bytes(), &metadata, Transport::Https).is_err(), "{bad}");
    }
}

#[test]
fn a_status_and_an_empty_answer_are_read() {
    let (status, reason) = stream::status(200, br#"{"stream_id":"s1","status":"disabled","reason":"quiet"}"#).unwrap();
    assert_eq!((status, reason.as_deref()), (StreamStatus::Disabled, Some("quiet")));
    assert!(stream::status(200, br#"{"status":"asleep"}"#).is_err());
    assert!(stream::done(204, b"").is_ok());
    let fault = stream::done(429, b"").unwrap_err();
    assert!(fault.remedy().unwrap().contains("min_verification_interval"));
}

proptest! {
    #[test]
    fn no_answer_panics(status in 100u16..600, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let metadata = parse(&document()).unwrap();
        let _ = stream::configuration(status, &bytes, &metadata, Transport::Https);
        let _ = stream::configurations(status, &bytes, &metadata, Transport::Https);
        let _ = stream::status(status, &bytes);
        let _ = TransmitterMetadata::parse(&bytes, ISSUER, Transport::Https);
    }

    #[test]
    fn no_changed_member_panics(name in "stream_id|iss|aud|delivery|events_delivered", value in "\\PC{0,20}") {
        let metadata = parse(&document()).unwrap();
        let changed = with(answer(), json!({ name: value }));
        let _ = stream::configuration(200, changed.to_string().as_bytes(), &metadata, Transport::Https);
    }
}
