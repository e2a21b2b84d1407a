//! For whom, when, and in answer to what.

use super::*;

fn fault(message: Message) -> SamlFault {
    // Both ways of signing give the same refusal.
    let one = read_xml(&message.assertion_signed()).unwrap_err();
    let two = read_xml(&message.response_signed()).unwrap_err();
    assert_eq!(one.code(), two.code());
    one
}

#[test]
fn another_audience_is_refused_and_both_are_named() {
    let conditions = conditions("https://other.example", &at(-30), &at(300));
    let fault = fault(Message { conditions, ..Message::default() });
    assert_eq!(fault, SamlFault::WrongAudience { expected: SP.into(), found: vec!["https://other.example".into()] });
    assert!(fault.to_string().contains(SP) && fault.remedy().unwrap().contains("entity id"));
}

#[test]
fn every_restriction_must_name_us_and_one_audience_of_each_is_enough() {
    let restriction = |audiences: &[&str]| {
        let inside: String = audiences.iter().map(|a| format!("<saml:Audience>{a}</saml:Audience>")).collect();
        format!("<saml:AudienceRestriction>{inside}</saml:AudienceRestriction>")
    };
    let around = |inside: &str| Message {
        conditions: format!("<saml:Conditions NotOnOrAfter=\"{}\">{inside}</saml:Conditions>", at(300)),
        ..Message::default()
    };
    assert!(read_xml(&around(&restriction(&["https://other", SP])).assertion_signed()).is_ok());
    let both = restriction(&[SP]) + &restriction(&["https://other"]);
    assert_eq!(fault(around(&both)).code(), "saml_wrong_audience");
    assert_eq!(fault(around("")).code(), "saml_no_audience");
    assert_eq!(fault(around(&restriction(&[]))).code(), "saml_wrong_audience");
    assert_eq!(fault(around(&restriction(&["https://sp.example/saml/acme/"]))).code(), "saml_wrong_audience");
    let known = restriction(&[SP]) + "<saml:OneTimeUse/><saml:ProxyRestriction Count=\"0\"/>";
    assert!(read_xml(&around(&known).assertion_signed()).is_ok());
    let unknown = restriction(&[SP]) + "<saml:Condition xmlns:x=\"urn:x\" x:type=\"moon\"/>";
    assert_eq!(fault(around(&unknown)).code(), "saml_unknown_condition");
    assert_eq!(fault(Message { conditions: String::new(), ..Message::default() }).code(), "saml_missing_element");
}

#[test]
fn times_have_a_skew_and_say_both_clocks() {
    let window =
        |from: i64, until: i64| Message { conditions: conditions(SP, &at(from), &at(until)), ..Message::default() };
    assert!(read_xml(&window(60, 300).assertion_signed()).is_ok());
    let early = fault(window(61, 300));
    assert_eq!(early, SamlFault::NotYetValid { what: "assertion", from: Timestamp::from_secs(NOW + 61), now: now() });
    assert!(early.to_string().contains("61 s too early"), "{early}");
    assert!(read_xml(&window(-300, -59).assertion_signed()).is_ok());
    let late = fault(window(-300, -60));
    assert_eq!(late, SamlFault::Expired { what: "assertion", until: Timestamp::from_secs(NOW - 60), now: now() });
    assert!(late.to_string().contains("60 s too late") && late.remedy().unwrap().contains("NTP"), "{late}");
    let confirmed =
        |until: i64| Message { confirmation: confirmation(ACS, Some(REQUEST), &at(until)), ..Message::default() };
    assert!(read_xml(&confirmed(-59).assertion_signed()).is_ok());
    assert_eq!(fault(confirmed(-60)).code(), "saml_expired");
}

#[test]
fn a_message_from_the_future_or_the_past_is_refused() {
    let issued = |seconds: i64| Message { issued: at(seconds), ..Message::default() };
    let ahead = fault(issued(61));
    assert_eq!(ahead.code(), "saml_from_the_future");
    assert!(ahead.to_string().contains("the clocks are 61 s apart"), "{ahead}");
    assert!(read_xml(&issued(60).assertion_signed()).is_ok());
    assert_eq!(fault(issued(-3660)).code(), "saml_too_old");
    assert!(read_xml(&issued(-3659).assertion_signed()).is_ok());
    for (from, to) in [("Z\"", "\""), ("T", " ")] {
        let odd = Message {
            issued: at(0).replace(from.trim_end_matches('"'), to.trim_end_matches('"')),
            ..Message::default()
        };
        assert_eq!(fault(odd).code(), "saml_bad_time");
    }
}

#[test]
fn a_generous_skew_is_cut() {
    let message = Message { conditions: conditions(SP, &at(-900), &at(-301)), ..Message::default() };
    let encoded = STANDARD.encode(message.assertion_signed());
    let wide = Expected { skew: Duration::from_secs(86_400), ..expected() };
    assert_eq!(read_response(&sp(), &idp(), &encoded, &wide).unwrap_err().code(), "saml_expired");
}

#[test]
fn a_session_that_is_over_does_not_begin() {
    let over = statement(&format!(" SessionNotOnOrAfter=\"{}\"", at(-60)));
    assert_eq!(fault(Message { statement: over, ..Message::default() }).code(), "saml_expired");
    let future = statement("").replace(&at(-10), &at(61));
    assert_eq!(fault(Message { statement: future, ..Message::default() }).code(), "saml_from_the_future");
    assert_eq!(fault(Message { statement: String::new(), ..Message::default() }).code(), "saml_missing_element");
    let two = statement("") + &statement("");
    assert_eq!(fault(Message { statement: two, ..Message::default() }).code(), "saml_repeated_element");
}

#[test]
fn another_recipient_or_destination_is_refused_and_both_are_named() {
    let evil = "https://sp.example/saml/other/acs";
    let recipient = fault(Message { confirmation: confirmation(evil, Some(REQUEST), &at(300)), ..Message::default() });
    assert_eq!(recipient, SamlFault::WrongRecipient { expected: ACS.into(), found: evil.into() });
    let destination = fault(Message { destination: format!(" Destination=\"{evil}\""), ..Message::default() });
    assert_eq!(destination, SamlFault::WrongDestination { expected: ACS.into(), found: evil.into() });
    let none = Message { destination: String::new(), ..Message::default() };
    assert!(read_xml(&none.assertion_signed()).is_ok());
    assert_eq!(refusal(&none.response_signed()), "saml_missing_attribute");
}

#[test]
fn another_request_is_refused() {
    let other = Message { response_in_response_to: " InResponseTo=\"_other\"".into(), ..Message::default() };
    let fault_one = fault(other);
    let SamlFault::WrongInResponseTo { what: "response", found, .. } = fault_one else { panic!("{fault_one}") };
    assert_eq!(found.as_deref(), Some("_other"));
    for request in [None, Some("_other"), Some("")] {
        let confirmation = confirmation(ACS, request, &at(300));
        let fault = fault(Message { confirmation, ..Message::default() });
        assert!(matches!(fault, SamlFault::WrongInResponseTo { what: "assertion", .. }), "{fault}");
    }
    let none = Message { response_in_response_to: String::new(), ..Message::default() };
    assert_eq!(fault(none).code(), "saml_wrong_in_response_to");
}

#[test]
fn only_a_bearer_confirmation_counts_and_one_good_one_is_enough() {
    let holder = confirmation(ACS, Some(REQUEST), &at(300)).replace("bearer", "holder-of-key");
    assert_eq!(fault(Message { confirmation: holder.clone(), ..Message::default() }), SamlFault::NoBearerConfirmation);
    assert_eq!(fault(Message { confirmation: String::new(), ..Message::default() }), SamlFault::NoBearerConfirmation);
    let two =
        holder + &confirmation("https://x", Some(REQUEST), &at(300)) + &confirmation(ACS, Some(REQUEST), &at(300));
    assert!(read_xml(&Message { confirmation: two, ..Message::default() }.assertion_signed()).is_ok());
    for attribute in ["Recipient", "NotOnOrAfter"] {
        let lacking = confirmation(ACS, Some(REQUEST), &at(300)).replace(attribute, "Other");
        assert_eq!(fault(Message { confirmation: lacking, ..Message::default() }).code(), "saml_missing_attribute");
    }
}

#[test]
fn another_issuer_is_refused() {
    let evil = "https://evil.example";
    let fault_one = fault(Message { issuer: evil, ..Message::default() });
    assert_eq!(fault_one, SamlFault::WrongIssuer { what: "assertion", expected: IDP.into(), found: evil.into() });
    let response_issuer = format!("<saml:Issuer>{evil}</saml:Issuer>");
    assert_eq!(fault(Message { response_issuer, ..Message::default() }).code(), "saml_wrong_issuer");
    let odd = format!("<saml:Issuer Format=\"{}\">{IDP}</saml:Issuer>", name_id_format::EMAIL);
    assert_eq!(fault(Message { response_issuer: odd, ..Message::default() }).code(), "saml_wrong_issuer");
    let silent = Message { response_issuer: String::new(), ..Message::default() };
    assert!(read_xml(&silent.assertion_signed()).is_ok());
}

#[test]
fn a_person_must_be_named_in_full() {
    assert_eq!(fault(Message { name: String::new(), ..Message::default() }), SamlFault::MissingNameId);
    for odd in ["", " ann", "ann ", "ann\n", "\u{a0}ann", "an\u{85}n", "a&#9;b", &"x".repeat(1025)] {
        let fault = fault(Message { name: name(odd), ..Message::default() });
        assert_eq!(fault.code(), "saml_bad_name_id", "{odd:?}");
    }
    let two = name("a") + &name("b");
    assert_eq!(fault(Message { name: two, ..Message::default() }).code(), "saml_repeated_element");
    let hidden = "<saml:EncryptedID/>".to_owned();
    assert_eq!(fault(Message { name: hidden, ..Message::default() }).code(), "saml_encrypted_part");
    let attributes = "<saml:AttributeStatement><saml:EncryptedAttribute/></saml:AttributeStatement>".to_owned();
    assert_eq!(fault(Message { attributes, ..Message::default() }).code(), "saml_encrypted_part");
}

#[test]
fn a_refusal_says_why() {
    let status = "<samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode \
                  Value=\"urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext\"/></samlp:StatusCode><samlp:StatusMessage>No \
                  MFA</samlp:StatusMessage></samlp:Status>";
    let message = Message { status: status.into(), ..Message::default() };
    for xml in [message.around(""), message.assertion_signed()] {
        let fault = read_xml(&xml).unwrap_err();
        assert_eq!(fault.to_string(), "the identity provider answered `Responder` / `NoAuthnContext`: No MFA");
    }
    assert_eq!(
        refusal(&Message { status: String::new(), ..Message::default() }.assertion_signed()),
        "saml_missing_element"
    );
    assert_eq!(refusal(&Message::default().around("")), "saml_assertion_count");
}

#[test]
fn versions_and_stale_metadata_are_refused() {
    assert_eq!(fault(Message { version: "1.1", ..Message::default() }).code(), "saml_wrong_version");
    let encoded = STANDARD.encode(Message::default().assertion_signed());
    let old = IdpMetadata { valid_until: Some(Timestamp::from_secs(NOW - 60)), ..idp() };
    assert_eq!(read_response(&sp(), &old, &encoded, &expected()).unwrap_err().code(), "saml_metadata_expired");
    let none = IdpMetadata { signing: vec![], ..idp() };
    assert_eq!(read_response(&sp(), &none, &encoded, &expected()).unwrap_err().code(), "saml_no_certificate");
}
