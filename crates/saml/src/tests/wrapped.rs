//! Signature wrapping, in the eight forms of SAML Raider (Somorovsky et al. 2012) and some more.
//!
//! The evil parts name `root@acme.example`; everything signed is left as it was signed.

use super::*;

const EVIL: &str = "root@acme.example";

/// The assertion that the attacker would like to be read.
fn evil() -> String {
    Message { name: name(EVIL), assertion_id: "_evil", ..Message::default() }.assertion()
}

struct Parts {
    /// A response with a signed assertion.
    whole: String,
    /// That assertion with its signature.
    signed: String,
    signature: String,
    /// The assertion without it: what was digested.
    bare: String,
}

fn parts() -> Parts {
    let whole = Message::default().assertion_signed();
    let signed = cut(&whole, "<saml:Assertion", "</saml:Assertion>").to_owned();
    let signature = signature_in(&signed).to_owned();
    let bare = signed.replace(&signature, "");
    Parts { whole, signed, signature, bare }
}

fn with_signature(assertion: &str, signature: &str) -> String {
    assertion.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
}

fn object(signature: &str, inside: &str) -> String {
    signature.replace("</ds:Signature>", &format!("<ds:Object>{inside}</ds:Object></ds:Signature>"))
}

#[test]
fn xsw1_an_evil_response_holds_the_signed_one_inside_its_signature() {
    let whole = Message::default().response_signed();
    let signature = signature_in(&whole);
    let evil_response = Message { response_id: "_evil_response", ..Message::default() }.around(&evil());
    let wrapped = signature.replace("</ds:Signature>", &format!("{}</ds:Signature>", whole.replace(signature, "")));
    assert_eq!(refusal(&with_signature(&evil_response, &wrapped)), "saml_misplaced_assertion");
    // The same without any other element inside: the signature simply refers elsewhere.
    assert_eq!(refusal(&with_signature(&evil_response, signature)), "saml_reference_elsewhere");
}

#[test]
fn xsw2_an_evil_response_holds_the_signed_one_before_a_detached_signature() {
    let whole = Message::default().response_signed();
    let signature = signature_in(&whole);
    let evil_response = Message { response_id: "_evil_response", ..Message::default() }.around(&evil());
    let beside = format!("{}{signature}", whole.replace(signature, ""));
    assert_eq!(refusal(&with_signature(&evil_response, &beside)), "saml_unexpected_element");
}

#[test]
fn xsw3_an_evil_assertion_stands_before_the_signed_one() {
    let Parts { whole, signed, .. } = parts();
    assert_eq!(refusal(&whole.replace(&signed, &format!("{}{signed}", evil()))), "saml_assertion_count");
    assert_eq!(refusal(&whole.replace(&signed, &format!("{signed}{}", evil()))), "saml_assertion_count");
}

#[test]
fn xsw4_an_evil_assertion_holds_the_signed_one() {
    let Parts { whole, signed, .. } = parts();
    let around = evil().replace("</saml:Assertion>", &format!("{signed}</saml:Assertion>"));
    assert_eq!(refusal(&whole.replace(&signed, &around)), "saml_misplaced_assertion");
}

#[test]
fn xsw5_the_signed_assertion_is_changed_and_its_original_stands_beside() {
    let Parts { whole, signed, signature, bare } = parts();
    let changed = with_signature(&evil(), &signature);
    assert_eq!(refusal(&whole.replace(&signed, &format!("{changed}{bare}"))), "saml_assertion_count");
    // With the original's own id twice.
    let same_id = changed.replace("_evil", "_assertion1");
    assert_eq!(refusal(&whole.replace(&signed, &format!("{same_id}{bare}"))), "saml_duplicate_id");
    assert_eq!(refusal(&whole.replace(&signed, &same_id)), "saml_digest_mismatch");
}

#[test]
fn xsw6_the_original_stands_inside_the_signature_of_the_changed_one() {
    let Parts { whole, signed, signature, bare } = parts();
    let inside = signature.replace("</ds:Signature>", &format!("{bare}</ds:Signature>"));
    assert_eq!(refusal(&whole.replace(&signed, &with_signature(&evil(), &inside))), "saml_misplaced_assertion");
}

#[test]
fn xsw7_an_evil_assertion_stands_in_extensions() {
    let Parts { whole, signed, .. } = parts();
    let extensions = format!("<samlp:Extensions>{}</samlp:Extensions>", evil());
    assert_eq!(refusal(&whole.replace(&signed, &format!("{extensions}{signed}"))), "saml_misplaced_assertion");
    // And the other way round: the signed one hides there.
    let hidden = format!("<samlp:Extensions>{signed}</samlp:Extensions>{}", evil());
    assert_eq!(refusal(&whole.replace(&signed, &hidden)), "saml_misplaced_assertion");
}

#[test]
fn xsw8_the_original_stands_in_an_object_of_the_signature() {
    let Parts { whole, signed, signature, bare } = parts();
    let evil = with_signature(&evil(), &object(&signature, &bare));
    assert_eq!(refusal(&whole.replace(&signed, &evil)), "saml_misplaced_assertion");
    // An object with anything at all is refused too.
    let harmless = whole.replace(&signature, &object(&signature, "x"));
    assert_eq!(refusal(&harmless), "saml_signature_form");
}

#[test]
fn extensions_pass_only_under_a_signature() {
    let extensions = "<samlp:Extensions><x:y xmlns:x=\"urn:x\"/></samlp:Extensions>";
    let message = Message::default();
    let status = format!("{extensions}{}", message.status);
    let message = Message { status, ..message };
    assert_eq!(refusal(&message.assertion_signed()), "saml_unsigned_extensions");
    assert!(read_xml(&message.response_signed()).is_ok());
    assert_eq!(
        refusal(&message.response_signed().replace("<x:y ", "<x:z ").replace("x:y>", "x:z>")),
        "saml_digest_mismatch"
    );
}

#[test]
fn a_signature_elsewhere_is_refused_wherever_it_is() {
    let Parts { whole, signature, .. } = parts();
    let bare = whole.replace(&signature, "");
    for place in ["<saml:Subject>", "<samlp:Status>", "<saml:AttributeStatement>", "<saml:AuthnContext>"] {
        let moved = bare.replacen(place, &format!("{place}{signature}"), 1);
        assert_eq!(refusal(&moved), "saml_misplaced_signature", "{place}");
    }
    // Right in the response it is taken for the response's own, and refers to something else.
    let moved = bare.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1);
    assert_eq!(refusal(&moved), "saml_reference_elsewhere");
    let twice = whole.replace(&signature, &format!("{signature}{signature}"));
    assert_eq!(refusal(&twice), "saml_repeated_element");
}

#[test]
fn an_assertion_by_another_name_is_not_overlooked() {
    let Parts { whole, signed, .. } = parts();
    for other in [
        format!("<saml:Advice>{}</saml:Advice>", evil()),
        evil().replace(SAML, "urn:oasis:names:tc:SAML:1.0:assertion"),
        format!("<x:wrap xmlns:x=\"urn:x\">{}</x:wrap>", evil()),
        "<saml:EncryptedAssertion/>".to_owned(),
    ] {
        read_xml(&whole.replace(&signed, &format!("{other}{signed}"))).unwrap_err();
        read_xml(&whole.replace(&signed, &format!("{signed}{other}"))).unwrap_err();
    }
}

#[test]
fn a_second_root_or_a_nested_response_is_refused() {
    let Parts { whole, .. } = parts();
    assert_eq!(refusal(&format!("{whole}{whole}")), "saml_malformed_xml");
    let inner = whole.replace("_response1", "_outer");
    let nested = Message { response_id: "_o", ..Message::default() }.around(&inner);
    assert_eq!(refusal(&nested), "saml_unexpected_element");
    assert_eq!(refusal(cut(&whole, "<saml:Assertion", "</saml:Assertion>")), "saml_wrong_message");
}

/// No digest covers a signature's own inside, nor a status in an unsigned response: nothing of SAML's may hide there.
#[test]
fn a_name_where_no_digest_reaches_is_refused() {
    let Parts { whole, .. } = parts();
    let evil = name(EVIL);
    for place in ["<ds:KeyInfo>", "<ds:X509Data>", "<ds:X509Certificate>"] {
        let changed = whole.replacen(place, &format!("{place}{evil}"), 1);
        assert_eq!(refusal(&changed), "saml_unexpected_element", "{place}");
    }
    let detail = format!("<samlp:StatusDetail>{evil}</samlp:StatusDetail></samlp:Status>");
    assert_eq!(refusal(&whole.replace("</samlp:Status>", &detail)), "saml_unexpected_element");
    let subject = format!("<saml:Subject>{evil}</saml:Subject>");
    assert_eq!(
        refusal(&whole.replace("<samlp:Status>", &format!("{subject}<samlp:Status>"))),
        "saml_unexpected_element"
    );
}
