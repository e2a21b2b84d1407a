//! Single logout, asked for by either side.

use super::*;

/// The identity provider, seen as a sender of messages to us.
fn their_side(binding: Binding) -> (ServiceProvider, IdpMetadata) {
    let signing = SpKey::from_der(IDP_KEY, IDP_CERTIFICATE).unwrap();
    let keys = SpKeys { signing, announced: vec![], decryption: vec![] };
    let them = ServiceProvider {
        entity_id: IDP.into(),
        acs_url: IDP.into(),
        slo_url: Some("https://idp.example/slo".into()),
        keys,
    };
    let us =
        IdpMetadata::by_hand(SP, (binding, ACS), Some((binding, SLO)), vec![sp().keys.signing.certificate().clone()]);
    (them, us.unwrap())
}

fn person() -> NameId {
    NameId {
        value: PERSON.into(),
        format: Some(name_id_format::EMAIL.into()),
        name_qualifier: None,
        sp_name_qualifier: None,
    }
}

fn their_request(binding: Binding) -> Outgoing {
    let (them, us) = their_side(binding);
    let person = person();
    let leaving = Leaving { name_id: &person, session_index: Some("_session1"), relay_state: Some("a b&c=d") };
    logout_request(&them, &us, &leaving, now(), &SystemRng).unwrap().outgoing
}

fn query(outgoing: Outgoing) -> String {
    let Outgoing::Redirect { url } = outgoing else { panic!() };
    url.split_once('?').unwrap().1.to_owned()
}

fn read_query(raw_query: &str) -> Result<LogoutRequest, SamlFault> {
    read_logout_request(&sp(), &idp(), &Carried::Redirect { raw_query }, now(), Duration::from_secs(60))
}

#[test]
fn a_request_by_redirect_is_read_and_answered() {
    let request = read_query(&query(their_request(Binding::Redirect))).unwrap();
    assert_eq!(request.name_id, person());
    assert_eq!(request.session_indexes, ["_session1"]);
    assert_eq!(request.relay_state.as_deref(), Some("a b&c=d"));
    assert_eq!(request.usable_until, Timestamp::from_secs(NOW + 300 + 60));
    for (outcome, want) in
        [(LogoutOutcome::Done, LogoutOutcome::Done), (LogoutOutcome::Partial, LogoutOutcome::Partial)]
    {
        let answer = query(logout_response(&sp(), &idp(), &request, outcome, now(), &SystemRng).unwrap());
        let (them, us) = their_side(Binding::Redirect);
        let carried = Carried::Redirect { raw_query: &answer };
        let read = read_logout_response(&them, &us, &carried, &request.id, now(), Duration::ZERO).unwrap();
        assert_eq!(read, want);
        assert!(answer.contains("RelayState=a%20b%26c%3Dd"));
        let other = read_logout_response(&them, &us, &carried, "_other", now(), Duration::ZERO).unwrap_err();
        assert_eq!(other.code(), "saml_wrong_in_response_to");
    }
    let answer =
        query(logout_response(&sp(), &idp(), &request, LogoutOutcome::UnknownPrincipal, now(), &SystemRng).unwrap());
    let (them, us) = their_side(Binding::Redirect);
    let fault =
        read_logout_response(&them, &us, &Carried::Redirect { raw_query: &answer }, &request.id, now(), Duration::ZERO);
    assert_eq!(fault.unwrap_err().to_string(), "the identity provider answered `Requester` / `UnknownPrincipal`");
}

#[test]
fn a_request_by_post_is_read() {
    let Outgoing::Post { fields, url } = their_request(Binding::Post) else { panic!() };
    assert_eq!((url.as_str(), fields[0].0, fields[1].0), (SLO, "SAMLRequest", "RelayState"));
    let read = |message: &str| {
        let carried = Carried::Post { message, relay_state: Some(&fields[1].1) };
        read_logout_request(&sp(), &idp(), &carried, now(), Duration::from_secs(60))
    };
    let request = read(&fields[0].1).unwrap();
    assert_eq!((request.name_id, request.binding), (person(), Binding::Post));
    let xml = String::from_utf8(STANDARD.decode(&fields[0].1).unwrap()).unwrap();
    let changed = |from: &str, to: &str| read(&STANDARD.encode(xml.replace(from, to))).unwrap_err().code();
    assert_eq!(changed(PERSON, "root@acme.example"), "saml_digest_mismatch");
    assert_eq!(changed(signature_in(&xml), ""), "saml_unsigned");
    assert_eq!(changed("LogoutRequest", "LogoutResponse"), "saml_wrong_message");
    assert_eq!(changed("</saml:NameID>", "<!----></saml:NameID>"), "saml_comment");
}

#[test]
fn only_the_signed_query_counts() {
    let good = query(their_request(Binding::Redirect));
    let code = |raw: &str| read_query(raw).unwrap_err().code();
    let part = |name: &str| good.split('&').find(|pair| pair.starts_with(name)).unwrap().to_owned();
    assert_eq!(code(&good.replace("RelayState=a", "RelayState=b")), "saml_wrong_certificate");
    assert_eq!(code(&good.replace(&format!("&{}", part("RelayState")), "")), "saml_wrong_certificate");
    assert_eq!(code(&good.replace(&format!("&{}", part("Signature")), "")), "saml_unsigned");
    assert_eq!(code(&good.replace(&format!("&{}", part("SigAlg")), "")), "saml_unsigned");
    for name in ["SAMLRequest", "RelayState", "SigAlg", "Signature"] {
        assert_eq!(code(&format!("{good}&{}", part(name))), "saml_bad_query", "{name} twice");
        let spelled = part(name).replacen('S', "%53", 1).replacen('R', "%52", 1);
        assert_eq!(code(&format!("{spelled}&{good}")), "saml_bad_query", "{spelled}");
    }
    assert_eq!(code(&format!("{good}&SAMLResponse=x")), "saml_bad_query");
    assert_eq!(code(&format!("{good}&SAMLEncoding=gzip")), "saml_bad_query");
    assert_eq!(code(&good.replace("rsa-sha256", "rsa-sha1")), "saml_algorithm_refused");
    assert_eq!(code(&good.replace("rsa-sha256", "hmac-sha256")), "saml_algorithm_refused");
    assert_eq!(code(""), "saml_bad_query");
    assert_eq!(code(&"x".repeat(100_000)), "saml_too_large");
    // What stands beside the signed parameters is not ours to judge; their order is not the sender's to choose.
    let shuffled: Vec<&str> = good.split('&').rev().collect();
    assert!(read_query(&format!("lang=en&{}", shuffled.join("&"))).is_ok());
}

#[test]
fn a_query_signed_by_another_is_refused() {
    let (mut them, us) = their_side(Binding::Redirect);
    them.keys.signing = SpKey::from_der(SP_KEY, SP_CERTIFICATE).unwrap();
    let person = person();
    let leaving = Leaving { name_id: &person, session_index: None, relay_state: None };
    let raw = query(logout_request(&them, &us, &leaving, now(), &SystemRng).unwrap().outgoing);
    let fault = read_query(&raw).unwrap_err();
    assert!(matches!(fault, SamlFault::WrongCertificate { presented: None, .. }));
}

#[test]
fn a_request_is_for_us_from_them_and_now() {
    let raw = query(their_request(Binding::Redirect));
    let carried = Carried::Redirect { raw_query: &raw };
    let skew = Duration::from_secs(60);
    let code = |sp: &ServiceProvider, idp: &IdpMetadata, seconds: u64| {
        read_logout_request(sp, idp, &carried, Timestamp::from_secs(seconds), skew).unwrap_err().code()
    };
    assert_eq!(code(&sp(), &idp(), NOW + 360), "saml_expired");
    assert_eq!(code(&sp(), &idp(), NOW - 61), "saml_from_the_future");
    let elsewhere = ServiceProvider { slo_url: Some("https://sp.example/other".into()), ..sp() };
    assert_eq!(code(&elsewhere, &idp(), NOW), "saml_wrong_destination");
    let other = IdpMetadata { entity_id: "https://other.example".into(), ..idp() };
    assert_eq!(code(&sp(), &other, NOW), "saml_wrong_issuer");
    let none = ServiceProvider { slo_url: None, ..sp() };
    assert_eq!(code(&none, &idp(), NOW), "saml_no_endpoint");
    let bomb = crate::encoding::deflate(&vec![b' '; 4 << 20]);
    assert!(bomb.len() < 10_000);
}
