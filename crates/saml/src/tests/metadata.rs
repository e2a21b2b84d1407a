//! Metadata, theirs and ours.

use super::*;

fn entity(id: &str, entity_id: &str, more: &str, role: &str) -> String {
    format!(
        "<md:EntityDescriptor xmlns:md=\"{MD}\" xmlns:ds=\"{DS}\" ID=\"{id}\" entityID=\"{entity_id}\"{more}>{role}</md:EntityDescriptor>"
    )
}

fn key(purpose: &str, base64: &str) -> String {
    format!(
        "<md:KeyDescriptor{purpose}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n{base64}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )
}

fn service(name: &str, binding: Binding, location: &str) -> String {
    format!("<md:{name} Binding=\"{}\" Location=\"{location}\"/>", binding.uri())
}

fn role(keys: &str, services: &str) -> String {
    format!(
        "<md:IDPSSODescriptor WantAuthnRequestsSigned=\"1\" protocolSupportEnumeration=\"urn:x {SAMLP}\">{keys}<md:NameIDFormat> {} </md:NameIDFormat>{services}</md:IDPSSODescriptor>",
        name_id_format::PERSISTENT
    )
}

fn usual() -> String {
    let services = service("SingleSignOnService", Binding::Post, "https://idp.example/sso/post")
        + &service("SingleSignOnService", Binding::Redirect, "https://idp.example/sso?tenant=1");
    role(&key(" use=\"signing\"", &idp_certificate().base64()), &services)
}

fn from(xml: &str, wanted: Option<&str>) -> Result<IdpMetadata, SamlFault> {
    read_metadata(xml.as_bytes(), wanted, MetadataTrust::Source, now())
}

#[test]
fn a_provider_is_read() {
    let more = format!(" validUntil=\"{}\" cacheDuration=\"PT6H\"", at(3600));
    let xml = format!("\u{feff}<?xml version=\"1.0\"?>\n<!-- made by hand -->\n{}", entity("_e", IDP, &more, &usual()));
    let read = from(&xml, None).unwrap();
    assert_eq!(read.entity_id, IDP);
    assert_eq!(read.signing, [idp_certificate()]);
    assert_eq!(read.sso(None).unwrap().location, "https://idp.example/sso?tenant=1");
    assert_eq!(read.sso(Some(Binding::Post)).unwrap().location, "https://idp.example/sso/post");
    assert_eq!(read.slo(None).unwrap_err(), SamlFault::NoEndpoint { what: "single logout" });
    assert_eq!(read.name_id_formats, [name_id_format::PERSISTENT]);
    assert_eq!((read.want_signed_requests, read.cache_seconds), (true, Some(21_600)));
    assert_eq!(read.valid_until, Some(Timestamp::from_secs(NOW + 3600)));
    assert!(from(&xml, Some(IDP)).is_ok());
    let fault = from(&xml, Some("https://other")).unwrap_err();
    assert_eq!(fault, SamlFault::NoSuchEntity { wanted: "https://other".into(), found: vec![IDP.into()] });
    let over = entity("_e", IDP, &format!(" validUntil=\"{}\"", at(0)), &usual());
    assert_eq!(from(&over, None).unwrap_err().code(), "saml_metadata_expired");
}

#[test]
fn the_right_entity_of_many_is_read() {
    let other = entity("_o", "https://other", "", &usual());
    let sp = entity("_s", "https://sp", "", "<md:SPSSODescriptor/>");
    let around = |inside: &str| {
        format!(
            "<md:EntitiesDescriptor xmlns:md=\"{MD}\" ID=\"_all\" validUntil=\"{}\"><md:EntitiesDescriptor>{inside}</md:EntitiesDescriptor></md:EntitiesDescriptor>",
            at(60)
        )
    };
    let mine = entity("_e", IDP, "", &usual());
    let all = around(&format!("{sp}{mine}{other}"));
    let read = from(&all, Some(IDP)).unwrap();
    assert_eq!((read.entity_id.as_str(), read.valid_until), (IDP, Some(Timestamp::from_secs(NOW + 60))));
    let fault = from(&all, None).unwrap_err();
    assert_eq!(fault, SamlFault::SeveralEntities { found: vec![IDP.into(), "https://other".into()] });
    assert_eq!(from(&around(&format!("{sp}{mine}")), None).unwrap().entity_id, IDP);
    assert_eq!(from(&around(&sp), None).unwrap_err().code(), "saml_no_idp_role");
    assert_eq!(from(&sp, None).unwrap_err().code(), "saml_no_idp_role");
    let twice = around(&format!("{mine}{}", mine.replace("_e", "_f")));
    assert_eq!(from(&twice, Some(IDP)).unwrap_err().code(), "saml_repeated_element");
    // Not in its place: inside another entity's extensions.
    let hidden = entity("_o", "https://other", "", &format!("<md:Extensions>{mine}</md:Extensions>{}", usual()));
    assert_eq!(from(&hidden, Some(IDP)).unwrap_err().code(), "saml_no_such_entity");
}

#[test]
fn certificates_roll_over_and_useless_ones_are_left_out() {
    let next = Key::p256().certificate();
    let weak = openssl_1024();
    let services = service("SingleSignOnService", Binding::Redirect, "https://idp.example/sso");
    let keys = key("", &idp_certificate().base64())
        + &key(" use=\"signing\"", &next.base64())
        + &key(" use=\"signing\"", &next.base64())
        + &key(" use=\"signing\"", &weak)
        + &key(" use=\"encryption\"", &sp().keys.signing.certificate().base64());
    let read = from(&entity("_e", IDP, "", &role(&keys, &services)), None).unwrap();
    assert_eq!(read.signing, [idp_certificate(), next]);
    assert_eq!(read.left_out, ["the certificate is of no use: its RSA key has fewer than 2048 bits"]);
    for (keys, why) in [
        (key("", &weak), Some("its RSA key has fewer than 2048 bits")),
        (key("", "AAAA"), Some("it is not an X.509 certificate")),
        (String::new(), None),
    ] {
        let fault = from(&entity("_e", IDP, "", &role(&keys, &services)), None).unwrap_err();
        assert_eq!(fault, SamlFault::NoCertificate { why });
    }
    let long = key("", &STANDARD.encode([IDP_CERTIFICATE, b"x"].concat()));
    let fault = from(&entity("_e", IDP, "", &role(&long, &services)), None).unwrap_err();
    assert_eq!(fault, SamlFault::NoCertificate { why: Some("something follows it") });
}

/// A self-signed certificate of RSA-1024, made by openssl.
fn openssl_1024() -> String {
    STANDARD.encode(include_bytes!("../../tests/fixtures/weak-certificate.der"))
}

#[test]
fn no_browser_is_sent_to_an_odd_place() {
    for location in [
        "http://idp.example/sso",
        "javascript:alert(1)",
        "//idp.example",
        "https://a:b@idp.example/",
        "https://idp.example/#x",
        "",
        "data:text/html,x",
    ] {
        let services = service("SingleSignOnService", Binding::Redirect, location);
        let xml = entity("_e", IDP, "", &role(&key("", &idp_certificate().base64()), &services));
        assert_eq!(from(&xml, None).unwrap_err().code(), "saml_bad_location", "{location}");
    }
    let services = service("SingleSignOnService", Binding::Redirect, "http://127.0.0.1:8080/sso");
    assert!(from(&entity("_e", IDP, "", &role(&key("", &idp_certificate().base64()), &services)), None).is_ok());
    let soap = services.replace(Binding::Redirect.uri(), "urn:oasis:names:tc:SAML:2.0:bindings:SOAP");
    let xml = entity("_e", IDP, "", &role(&key("", &idp_certificate().base64()), &soap));
    assert_eq!(from(&xml, None).unwrap_err(), SamlFault::NoEndpoint { what: "single sign-on" });
}

#[test]
fn signed_metadata_is_believed_for_its_signature_only() {
    let by = |xml: &str, wanted, keys: &[Certificate]| {
        read_metadata(xml.as_bytes(), wanted, MetadataTrust::SignedBy(keys), now())
    };
    let federation = Key::p256();
    let trusted = [federation.certificate()];
    let signing =
        Signing { algorithm: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", ..Signing::with(federation) };
    let mine = entity("_e", IDP, "", &usual());
    let alone = signing.sign(&mine);
    let read = by(&alone, None, &trusted).unwrap();
    assert_eq!(read.verified_by, Some(trusted[0].fingerprint()));
    let group =
        |inside: &str| format!("<md:EntitiesDescriptor xmlns:md=\"{MD}\" ID=\"_all\">{inside}</md:EntitiesDescriptor>");
    assert!(by(&signing.sign(&group(&mine)), Some(IDP), &trusted).is_ok());
    assert!(by(&group(&alone), Some(IDP), &trusted).is_ok());
    // Comments are no part of what is signed.
    assert!(by(&alone.replace("<md:NameIDFormat>", "<!-- x --><md:NameIDFormat>"), None, &trusted).is_ok());
    for (xml, want) in [
        (mine.clone(), "saml_unsigned"),
        (group(&mine), "saml_unsigned"),
        (alone.replace("https://idp.example/sso/post", "https://evil.example/sso"), "saml_digest_mismatch"),
        (Signing::with(Key::idp()).sign(&mine), "saml_wrong_certificate"),
        // The signed entity is there, but another one is taken for the wanted.
        (group(&format!("{}{}", alone.replace(IDP, "https://x"), mine.replace("_e", "_f"))), "saml_unsigned"),
        (group(&format!("{alone}{}", mine.replace("_e", "_f"))), "saml_repeated_element"),
    ] {
        assert_eq!(by(&xml, Some(IDP), &trusted).unwrap_err().code(), want, "{xml}");
    }
    assert_eq!(by(&alone, None, &[]).unwrap_err().code(), "saml_wrong_certificate");
}

#[test]
fn ours_says_who_we_are_and_with_which_keys() {
    let mut sp = sp();
    let next = Key::idp().certificate();
    sp.keys.announced.push(next.clone());
    for sign in [false, true] {
        let options = SpMetadata { sign, valid_until: Some(now()), name_id_format: Some(name_id_format::EMAIL) };
        let xml = sp_metadata(&sp, &options, &SystemRng).unwrap();
        let document = read(xml.as_bytes(), &Limits::METADATA).unwrap();
        let root = document.root();
        assert_eq!(
            (root.attribute("entityID"), root.attribute("validUntil")),
            (Some(SP), Some("2026-11-23T12:00:00Z"))
        );
        let role = root.one(MD, "SPSSODescriptor").unwrap();
        let keys: Vec<_> = role.named(MD, "KeyDescriptor").map(|k| k.attribute("use").unwrap()).collect();
        assert_eq!(keys, ["signing", "signing", "encryption"]);
        assert!(xml.contains(&next.base64()));
        let consumer = role.one(MD, "AssertionConsumerService").unwrap();
        assert_eq!(consumer.attribute("Location"), Some(ACS));
        assert_eq!(role.named(MD, "NameIDFormat").next().unwrap().text().unwrap(), name_id_format::EMAIL);
        let signature = crate::signature::signature_of(root).unwrap();
        assert_eq!(signature.is_some(), sign);
        if let Some(signature) = signature {
            let trusted = [sp.keys.signing.certificate().clone()];
            crate::signature::verify(root, signature, &trusted, &Limits::METADATA).unwrap();
        }
    }
}

#[test]
fn a_request_says_what_was_asked_and_is_signed() {
    let idp = idp();
    let ask = AuthnRequest {
        force_authn: true,
        name_id_format: Some(name_id_format::PERSISTENT),
        authn_contexts: &["urn:a", "urn:b"],
        relay_state: Some("token"),
        ..AuthnRequest::default()
    };
    let sent = authn_request(&sp(), &idp, &ask, now(), &SystemRng).unwrap();
    let Outgoing::Redirect { url } = sent.outgoing else { panic!() };
    let raw = url.strip_prefix("https://idp.example/sso?").unwrap();
    let trusted = [sp().keys.signing.certificate().clone()];
    let read_back = crate::bindings::read_query(raw, crate::bindings::Kind::Request, &trusted).unwrap();
    assert_eq!(read_back.relay_state.as_deref(), Some("token"));
    let xml = String::from_utf8(read_back.xml).unwrap();
    for part in [
        format!("ID=\"{}\"", sent.id),
        "IssueInstant=\"2026-11-23T12:00:00Z\"".into(),
        "Destination=\"https://idp.example/sso\"".into(),
        format!("AssertionConsumerServiceURL=\"{ACS}\""),
        "ForceAuthn=\"true\"".into(),
        format!("<saml:Issuer>{SP}</saml:Issuer>"),
        format!("<samlp:NameIDPolicy Format=\"{}\" AllowCreate=\"true\"/>", name_id_format::PERSISTENT),
        "<samlp:RequestedAuthnContext Comparison=\"exact\"><saml:AuthnContextClassRef>urn:a<".into(),
    ] {
        assert!(xml.contains(&part), "{part} not in {xml}");
    }
    assert!(!xml.contains("IsPassive"));
    let long = AuthnRequest { relay_state: Some(&"x".repeat(81)), ..ask };
    let fault = authn_request(&sp(), &idp, &long, now(), &SystemRng).unwrap_err();
    assert_eq!(fault, SamlFault::RelayStateTooLong { bytes: 81 });
}

#[test]
fn a_connection_survives_being_stored() {
    let read = from(&entity("_e", IDP, "", &usual()), None).unwrap();
    let stored = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<IdpMetadata>(&stored).unwrap(), read);
    assert!(serde_json::from_str::<Certificate>("\"AAAA\"").is_err());
    let pem = format!("-----BEGIN CERTIFICATE-----\r\n{}\r\n-----END CERTIFICATE-----\r\n", idp_certificate().base64());
    assert_eq!(Certificate::from_text(&pem).unwrap(), idp_certificate());
    assert!(Certificate::from_text(&pem.repeat(2)).is_err());
}
