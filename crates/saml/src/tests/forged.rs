//! Signatures and documents that are not what they seem.

use super::*;

fn signed_with(signing: &Signing) -> String {
    let message = Message::default();
    message.around(&signing.sign(&message.assertion()))
}

#[test]
fn an_unsigned_assertion_is_nobodys() {
    let message = Message::default();
    let xml = message.around(&message.assertion());
    let fault = read_xml(&xml).unwrap_err();
    assert_eq!(fault, SamlFault::Unsigned { what: "assertion" });
    assert!(fault.remedy().unwrap().contains("signing of assertions"));
}

#[test]
fn a_foreign_key_does_not_sign_even_when_the_message_brings_it() {
    let fault = read_xml(&signed_with(&Signing::with(Key::foreign()))).unwrap_err();
    let SamlFault::WrongCertificate { presented, configured } = fault else { panic!("{fault}") };
    assert_eq!(presented, Some(Key::foreign().certificate().fingerprint()));
    assert_eq!(configured, [idp_certificate().fingerprint()]);
    // Naming the right certificate does not help; neither does naming the bare key, or nothing.
    let right = Signing::with(Key::idp()).key_info;
    let named = Signing { key_info: right, ..Signing::with(Key::foreign()) };
    assert_eq!(refusal(&signed_with(&named)), "saml_signature_invalid");
    for key_info in
        ["", "<ds:KeyInfo><ds:KeyValue/></ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>idp</ds:KeyName></ds:KeyInfo>"]
    {
        let silent = Signing { key_info: key_info.into(), ..Signing::with(Key::foreign()) };
        assert_eq!(refusal(&signed_with(&silent)), "saml_wrong_certificate");
        let own = Signing { key_info: key_info.into(), ..Signing::with(Key::idp()) };
        assert!(read_xml(&signed_with(&own)).is_ok());
    }
    // A good signature in the company of a foreign certificate is still good: the certificate is not looked at.
    let odd = Signing { key_info: Signing::with(Key::foreign()).key_info, ..Signing::with(Key::idp()) };
    assert!(read_xml(&signed_with(&odd)).is_ok());
}

#[test]
fn weak_and_shared_algorithms_are_refused_by_name() {
    let idp_der = || Key::Hmac(IDP_CERTIFICATE.to_vec());
    for (key, algorithm) in [
        (Key::idp(), "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        (Key::idp(), "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"),
        (Key::idp(), "http://www.w3.org/2000/09/xmldsig#dsa-sha1"),
        (Key::idp(), "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1"),
        (idp_der(), "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        (idp_der(), "http://www.w3.org/2000/09/xmldsig#hmac-sha1"),
        (Key::idp(), "none"),
        (Key::idp(), ""),
        (Key::idp(), "HTTP://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
    ] {
        let signing = Signing { algorithm, ..Signing::with(key) };
        let fault = read_xml(&signed_with(&signing)).unwrap_err();
        assert_eq!(fault, SamlFault::AlgorithmRefused { purpose: "signature algorithm", algorithm: algorithm.into() });
        assert!(fault.to_string().contains(algorithm) && fault.remedy().unwrap().contains("RSA-SHA256"));
    }
    for digest in ["http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2001/04/xmldsig-more#md5", ""] {
        let signing = Signing { digest, ..Signing::with(Key::idp()) };
        let fault = read_xml(&signed_with(&signing)).unwrap_err();
        assert_eq!(fault, SamlFault::AlgorithmRefused { purpose: "digest algorithm", algorithm: digest.into() });
    }
    // The right key under another algorithm's name.
    for algorithm in [
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    ] {
        let signing = Signing { algorithm, ..Signing::with(Key::idp()) };
        assert_eq!(refusal(&signed_with(&signing)), "saml_signature_invalid", "{algorithm}");
    }
    let truncated = "<ds:HMACOutputLength>8</ds:HMACOutputLength>";
    let signing = Signing { algorithm_parameters: truncated, ..Signing::with(Key::idp()) };
    assert_eq!(refusal(&signed_with(&signing)), "saml_signature_form");
}

#[test]
fn transforms_and_canonicalisations_but_the_one_are_refused() {
    for second in [
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2002/06/xmldsig-filter2",
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        "http://www.w3.org/2000/09/xmldsig#base64",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        "http://www.w3.org/2006/12/xml-c14n11",
        "http://www.w3.org/2010/xml-c14n2",
    ] {
        let signing = Signing { transforms: transforms(second, ""), ..Signing::with(Key::idp()) };
        let fault = read_xml(&signed_with(&signing)).unwrap_err();
        assert!(matches!(&fault, SamlFault::AlgorithmRefused { algorithm, .. } if algorithm == second), "{fault}");
        let signing = Signing { canonicalisation: second, ..Signing::with(Key::idp()) };
        assert_eq!(refusal(&signed_with(&signing)), "saml_algorithm_refused");
    }
    let one =
        |algorithm: &str, inside: &str| format!("<ds:Transform Algorithm=\"{algorithm}\">{inside}</ds:Transform>");
    let unknown = "<x:y xmlns:x=\"urn:x\"/>";
    for (transforms, want) in [
        (String::new(), "saml_signature_form"),
        (one(EXCLUSIVE, ""), "saml_signature_form"),
        (one(ENVELOPED, ""), "saml_signature_form"),
        (one(EXCLUSIVE, "") + &one(ENVELOPED, ""), "saml_algorithm_refused"),
        (one(ENVELOPED, "") + &one(EXCLUSIVE, "") + &one(EXCLUSIVE, ""), "saml_signature_form"),
        (one(ENVELOPED, unknown) + &one(EXCLUSIVE, ""), "saml_algorithm_refused"),
        (one(ENVELOPED, "") + &one(EXCLUSIVE, unknown), "saml_signature_form"),
    ] {
        let signing = Signing { transforms, ..Signing::with(Key::idp()) };
        assert_eq!(refusal(&signed_with(&signing)), want, "{}", signing.transforms);
    }
    for list in ["a:b", "<", "xs,xsi", "../x", &"p ".repeat(100)] {
        let list = list.replace('<', "&lt;");
        let list = format!("<ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"{list}\"/>");
        let signing = Signing { transforms: transforms(EXCLUSIVE, &list), ..Signing::with(Key::idp()) };
        assert_eq!(refusal(&signed_with(&signing)), "saml_signature_form");
    }
}

#[test]
fn a_signature_over_nothing_is_nobodys() {
    let signing = Signing { digest_bytes: Some(Vec::new()), ..Signing::with(Key::idp()) };
    assert_eq!(refusal(&signed_with(&signing)), "saml_empty_canonical_form");
    // What makes libxml2 give an empty form: a relative namespace.
    let xml = Message::default().assertion_signed().replace("<saml:Subject>", "<saml:Subject xmlns:ns=\"1\">");
    assert_eq!(refusal(&xml), "saml_relative_namespace");
}

#[test]
fn a_reference_is_to_the_element_around_it() {
    for uri in [
        "",
        "#",
        "#_response1",
        "#_other",
        "_assertion1",
        "#xpointer(/)",
        "#xpointer(id('_assertion1'))",
        "https://evil.example/x",
    ] {
        let signing = Signing { uri: Some(uri), ..Signing::with(Key::idp()) };
        assert_eq!(refusal(&signed_with(&signing)), "saml_reference_elsewhere", "{uri}");
    }
    let xml = Message::default().assertion_signed();
    let reference = cut(&xml, "<ds:Reference", "</ds:Reference>");
    assert_eq!(refusal(&xml.replace(reference, "")), "saml_signature_form");
    assert_eq!(refusal(&xml.replace(reference, &format!("{reference}{reference}"))), "saml_signature_form");
}

#[test]
fn what_was_signed_cannot_be_changed_in_the_least() {
    for build in [Message::assertion_signed, Message::response_signed, Message::both_signed] {
        let xml = build(&Message::default());
        for (from, to) in [
            (PERSON, "ann@acme.examplf"),
            (">admins<", ">owners<"),
            ("Name=\"groups\"", "Name=\"roles\""),
            ("_session1", "_session2"),
            ("<saml:AttributeValue>staff", "<saml:AttributeValue> staff"),
            ("PasswordProtectedTransport", "X509"),
            ("</saml:AttributeStatement>", "</saml:AttributeStatement><saml:AttributeStatement/>"),
        ] {
            let changed = xml.replacen(from, to, 1);
            assert_ne!(changed, xml);
            assert_eq!(refusal(&changed), "saml_digest_mismatch", "{from}");
        }
        let value = cut(&xml, "<ds:SignatureValue>", "</ds:SignatureValue>");
        let other = value.replacen(&value[19..21], if &value[19..21] == "AA" { "BB" } else { "AA" }, 1);
        assert_eq!(refusal(&xml.replacen(value, &other, 1)), "saml_signature_invalid");
        let digest = cut(&xml, "<ds:DigestValue>", "</ds:DigestValue>");
        let other = format!("<ds:DigestValue>{}</ds:DigestValue>", STANDARD.encode([7; 32]));
        assert_eq!(refusal(&xml.replacen(digest, &other, 1)), "saml_signature_invalid");
    }
    // In a response whose both signatures are there, each must be good.
    let both = Message::default().both_signed();
    let foreign = Message::default();
    let inner = Signing::with(Key::foreign()).sign(&foreign.assertion());
    let mixed = Signing::with(Key::idp()).sign(&foreign.around(&inner));
    assert_eq!(refusal(&mixed), "saml_wrong_certificate");
    let outer = Signing::with(Key::foreign()).sign(&Message::default().assertion_signed());
    assert_eq!(refusal(&outer), "saml_wrong_certificate");
    assert!(read_xml(&both).is_ok());
}

/// `admin@acme.example<!---->.evil.example` (Duo's finding of 2018), also where the digest does not see it.
#[test]
fn a_comment_cuts_no_name() {
    let xml = Message { name: name("admin@acme.example.evil.example"), ..Message::default() }.assertion_signed();
    let cut = xml.replace("example.evil", "example<!---->.evil");
    assert_eq!(refusal(&cut), "saml_comment");
    let cut = xml.replace("example.evil", "example<?x?>.evil");
    assert_eq!(refusal(&cut), "saml_processing_instruction");
    let cut = xml.replace("example.evil", "example<![CDATA[.evil]]>");
    assert_eq!(refusal(&cut), "saml_cdata_section");
    // An element inside a name, signed: the provider's own mistake, and refused as such.
    let odd = Message { name: name("admin<saml:Issuer>x</saml:Issuer>"), ..Message::default() };
    assert_eq!(refusal(&odd.assertion_signed()), "saml_unexpected_element");
}

#[test]
fn document_types_and_entities_are_refused_before_anything_is_read() {
    let xml = Message::default().assertion_signed();
    for (doctype, code) in [
        ("<!DOCTYPE Response>", "saml_document_type"),
        ("<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>", "saml_document_type"),
        ("<!DOCTYPE r [<!ATTLIST saml:Assertion ID CDATA \"_assertion1\">]>", "saml_document_type"),
        ("<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>", "saml_document_type"),
    ] {
        assert_eq!(refusal(&format!("{doctype}{xml}")), code);
        assert_eq!(refusal(&format!("<?xml version=\"1.0\"?>{doctype}{xml}")), code);
    }
    assert_eq!(refusal(&xml.replace(PERSON, "&person;")), "saml_entity_reference");
}

#[test]
fn one_id_for_two_elements_is_refused() {
    let message = Message { response_id: "_assertion1", ..Message::default() };
    assert_eq!(refusal(&message.assertion_signed()), "saml_duplicate_id");
    let xml = Message::default().assertion_signed();
    for attribute in ["ID", "Id", "id", "xml:id", "AssertionID"] {
        let twice = xml.replacen("<samlp:Status>", &format!("<samlp:Status {attribute}=\"_assertion1\">"), 1);
        assert_eq!(refusal(&twice), "saml_duplicate_id", "{attribute}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let read = |text: &str| read_response(&sp(), &idp(), text, &expected()).unwrap_err().code();
    assert_eq!(read(""), "saml_malformed_xml");
    assert_eq!(read("%%%"), "saml_not_base64");
    assert_eq!(read(&STANDARD.encode("hello")), "saml_malformed_xml");
    assert_eq!(read(&"A".repeat(2_000_000)), "saml_too_large");
    assert_eq!(read(&STANDARD.encode(" ".repeat(600_000))), "saml_too_large");
    assert_eq!(read(&STANDARD.encode([0xff, 0xfe, b'<', 0])), "saml_not_utf8");
    // Line ends in the base64, as mail-minded encoders write it, are fine.
    let encoded = STANDARD.encode(Message::default().assertion_signed());
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    assert!(read_response(&sp(), &idp(), &lines.join("\r\n"), &expected()).is_ok());
}
