use super::*;

#[test]
fn a_signed_assertion_says_who_it_is() {
    let login = read_xml(&Message::default().assertion_signed()).unwrap();
    assert_eq!(login.response_id, "_response1");
    assert!(login.assertion_signed && !login.response_signed && !login.encrypted);
    assert_eq!(login.certificate, idp_certificate().fingerprint());
    let assertion = login.assertion;
    assert_eq!(assertion.id, "_assertion1");
    assert_eq!(assertion.issuer, IDP);
    assert_eq!(assertion.name_id.value, PERSON);
    assert_eq!(assertion.name_id.format.as_deref(), Some(name_id_format::EMAIL));
    assert_eq!(assertion.session_index.as_deref(), Some("_session1"));
    assert_eq!(assertion.session_not_on_or_after, Some(Timestamp::from_secs(NOW + 28_800)));
    assert_eq!(assertion.authn_instant, Timestamp::from_secs(NOW - 10));
    assert_eq!(
        assertion.authn_context.as_deref(),
        Some("urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
    );
    assert_eq!(assertion.values("groups").collect::<Vec<_>>(), ["staff", "admins"]);
    assert_eq!(assertion.attributes[0].friendly_name.as_deref(), Some("Groups"));
    assert_eq!(assertion.usable_until, Timestamp::from_secs(NOW + 300 + 60));
    assert_eq!(assertion.in_response_to.as_deref(), Some(REQUEST));
}

#[test]
fn a_signed_response_covers_the_assertion_in_it() {
    let login = read_xml(&Message::default().response_signed()).unwrap();
    assert!(login.response_signed && !login.assertion_signed);
    assert_eq!(login.assertion.name_id.value, PERSON);
    let login = read_xml(&Message::default().both_signed()).unwrap();
    assert!(login.response_signed && login.assertion_signed);
    assert_eq!(login.assertion.values("groups").count(), 2);
}

#[test]
fn whatever_is_accepted_is_accepted_until_the_moment_that_it_names_and_no_longer() {
    let (sp, idp) = (sp(), idp());
    let encoded = STANDARD.encode(Message::default().assertion_signed());
    let until = read_response(&sp, &idp, &encoded, &expected()).unwrap().assertion.usable_until;
    let when = |now| read_response(&sp, &idp, &encoded, &Expected { now, ..expected() });
    assert!(when(until.minus(Duration::from_millis(1))).is_ok());
    assert_eq!(when(until).unwrap_err().code(), "saml_expired");
}

#[test]
fn an_identity_provider_may_begin_only_where_that_is_allowed() {
    let message = Message {
        response_in_response_to: String::new(),
        confirmation: confirmation(ACS, None, &at(300)),
        ..Message::default()
    };
    let xml = STANDARD.encode(message.assertion_signed());
    let nothing = Expected { answers: Answers::Nothing, ..expected() };
    let login = read_response(&sp(), &idp(), &xml, &nothing).unwrap();
    assert_eq!(login.assertion.in_response_to, None);
    assert_eq!(read_response(&sp(), &idp(), &xml, &expected()).unwrap_err().code(), "saml_wrong_in_response_to");
    // An answer to somebody's request, passed off as unsolicited.
    let answer = STANDARD.encode(Message::default().assertion_signed());
    assert_eq!(read_response(&sp(), &idp(), &answer, &nothing).unwrap_err().code(), "saml_unknown_request");
}

#[test]
fn every_algorithm_that_is_taken_verifies() {
    for (algorithm, digest) in [(RSA_SHA256, SHA384), (RSA_SHA256, SHA512)] {
        let signing = Signing { algorithm, digest, ..Signing::with(Key::idp()) };
        let message = Message::default();
        assert!(read_xml(&message.around(&signing.sign(&message.assertion()))).is_ok(), "{algorithm} {digest}");
    }
    use aws_lc_rs::signature as alg;
    for (algorithm, encoding) in [
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", &alg::RSA_PKCS1_SHA384),
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", &alg::RSA_PKCS1_SHA512),
        ("http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", &alg::RSA_PSS_SHA256),
        ("http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1", &alg::RSA_PSS_SHA384),
        ("http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1", &alg::RSA_PSS_SHA512),
    ] {
        let signing = Signing { algorithm, ..Signing::with(Key::Padded(encoding)) };
        let message = Message::default();
        assert!(read_xml(&message.around(&signing.sign(&message.assertion()))).is_ok(), "{algorithm}");
    }
    let signing =
        Signing { algorithm: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", ..Signing::with(Key::p256()) };
    let message = Message::default();
    let xml = STANDARD.encode(message.around(&signing.sign(&message.assertion())));
    let idp = trusting(vec![idp_certificate(), signing.key.certificate()]);
    let login = read_response(&sp(), &idp, &xml, &expected()).unwrap();
    assert_eq!(login.certificate, signing.key.certificate().fingerprint());
}

#[test]
fn a_certificate_rolls_over_without_a_gap() {
    let xml = STANDARD.encode(Message::default().assertion_signed());
    let next = Key::p256().certificate();
    for signing in [vec![next.clone(), idp_certificate()], vec![idp_certificate(), next.clone()]] {
        assert!(read_response(&sp(), &trusting(signing), &xml, &expected()).is_ok());
    }
    let fault = read_response(&sp(), &trusting(vec![next]), &xml, &expected()).unwrap_err();
    assert_eq!(fault.code(), "saml_wrong_certificate");
    let sentence = fault.to_string();
    assert!(sentence.contains(&idp_certificate().fingerprint()), "{sentence}");
    assert!(fault.remedy().unwrap().contains("signing certificate"));
}

/// As OpenSAML writes it: `xs` and `xsi` are used only inside values.
#[test]
fn inclusive_namespaces_are_understood() {
    let list = format!("<ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"xs #default\"/>");
    let signing = Signing {
        transforms: transforms(EXCLUSIVE, &list),
        prefixes: vec!["xs".into(), "#default".into()],
        ..Signing::with(Key::idp())
    };
    let message = Message::default();
    let xs = "http://www.w3.org/2001/XMLSchema";
    let assertion = message
        .assertion()
        .replace("<saml:Assertion ", &format!("<saml:Assertion xmlns:xs=\"{xs}\" xmlns:xsi=\"{xs}-instance\" "))
        .replace("<saml:AttributeValue>", "<saml:AttributeValue xsi:type=\"xs:string\">");
    let login = read_xml(&message.around(&signing.sign(&assertion))).unwrap();
    assert_eq!(login.assertion.values("groups").collect::<Vec<_>>(), ["staff", "admins"]);
    // Without the list in the transform the same bytes are another form.
    let stripped = Signing { transforms: transforms(EXCLUSIVE, ""), ..signing };
    assert_eq!(refusal(&message.around(&stripped.sign(&assertion))), "saml_digest_mismatch");
}

#[test]
fn values_are_kept_exactly_and_names_may_stand_twice() {
    let attributes = format!(
        "<saml:AttributeStatement><saml:Attribute Name=\"a\"><saml:AttributeValue> x &amp; &#13;\ny</saml:AttributeValue>\
         <saml:AttributeValue/></saml:Attribute><saml:Attribute Name=\"a\"><saml:AttributeValue>z</saml:AttributeValue>\
         </saml:Attribute><saml:Attribute Name=\"id\"><saml:AttributeValue>{}</saml:AttributeValue><saml:AttributeValue>\
         <saml:Issuer>no</saml:Issuer></saml:AttributeValue></saml:Attribute></saml:AttributeStatement>",
        name("inner")
    );
    let login = read_xml(&Message { attributes, ..Message::default() }.response_signed()).unwrap();
    assert_eq!(login.assertion.values("a").collect::<Vec<_>>(), [" x & \r\ny", "", "z"]);
    assert_eq!(login.assertion.values("id").collect::<Vec<_>>(), ["inner"]);
}

#[test]
fn nothing_about_a_person_is_printed() {
    let login = read_xml(&Message::default().assertion_signed()).unwrap();
    let printed = format!("{login:?}");
    assert!(!printed.contains("ann") && !printed.contains("admins"), "{printed}");
}
