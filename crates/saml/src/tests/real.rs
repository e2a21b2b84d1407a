//! Messages that other people's software made, with the time stopped at when it did.
//!
//! Captured on 2026-11-23, with `tests/fixtures/idp-key.der` as the identity provider's key and `sp-key.der` as ours:
//!
//! - `samlp/`: npm `samlp` 8 (on `saml`, `xml-crypto`, `xml-encryption`), `samlp.getSamlResponse` with `issuer`,
//!   `audience`, `recipient`, `destination` and `inResponseTo` as in these tests; `signResponse` and `signAssertion`
//!   as the names say; `encrypted-gcm` by its default, `encrypted-cbc` with `encryptionAlgorithm` AES-256-CBC.
//! - `simplesamlphp/`: Debian's SimpleSAMLphp 1.19.7 (xmlseclibs on libxml2 and OpenSSL) under `php -S`, as answers to
//!   requests of this crate whose signatures it checked (`validate.authnrequest`; it refused one with another
//!   RelayState): two logins of a user of `exampleauth:UserPass`, `saml20.sign.response` and `saml20.sign.assertion`
//!   on, `assertion.encryption` for the second (AES-128-CBC under the response's signature); the answer to a
//!   `LogoutRequest`, as the raw query of its redirect; and its signed metadata.

use super::*;

/// 2026-11-23T12:50:45Z, a few seconds after the captures.
const CAPTURED: u64 = 1_795_438_245;

fn from<'a>(sp: &ServiceProvider, xml: &str, request: &'a str) -> Result<Login, SamlFault> {
    let now = Timestamp::from_secs(CAPTURED);
    let expected = Expected { now, skew: Duration::from_secs(60), answers: Answers::<'a>::Request(request) };
    read_response(sp, &idp(), &STANDARD.encode(xml), &expected)
}

#[test]
fn samlp_signs_and_encrypts() {
    for (xml, response_signed, assertion_signed, encrypted) in [
        (include_str!("../../tests/fixtures/samlp/assertion-signed.xml"), false, true, false),
        (include_str!("../../tests/fixtures/samlp/response-signed.xml"), true, false, false),
        (include_str!("../../tests/fixtures/samlp/both-signed.xml"), true, true, false),
        (include_str!("../../tests/fixtures/samlp/encrypted-gcm.xml"), false, true, true),
        (include_str!("../../tests/fixtures/samlp/encrypted-cbc.xml"), true, true, true),
    ] {
        let login = from(&sp(), xml, REQUEST).unwrap();
        assert_eq!((login.response_signed, login.assertion_signed), (response_signed, assertion_signed));
        assert_eq!(login.encrypted, encrypted);
        assert_eq!(login.assertion.name_id.value, "ann");
        assert_eq!(login.assertion.session_index.as_deref(), Some("_session1"));
        let mail = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";
        assert_eq!(login.assertion.values(mail).collect::<Vec<_>>(), [PERSON]);
        assert_eq!(from(&sp(), &xml.replace("ann@", "bob@"), REQUEST).is_ok(), encrypted);
    }
}

#[test]
fn simplesamlphp_signs_and_encrypts() {
    let sealed = ServiceProvider { entity_id: "https://sp.example/saml/sealed".into(), ..sp() };
    for (sp, xml, encrypted) in [
        (sp(), include_str!("../../tests/fixtures/simplesamlphp/both-signed.xml"), false),
        (sealed, include_str!("../../tests/fixtures/simplesamlphp/encrypted.xml"), true),
    ] {
        let request =
            cut(xml, " InResponseTo=\"", "\" ").trim_start_matches(" InResponseTo=\"").trim_end_matches("\" ");
        let request = request.split('"').next().unwrap();
        let login = from(&sp, xml, request).unwrap();
        assert!(login.response_signed && login.assertion_signed && login.encrypted == encrypted);
        assert_eq!(login.assertion.name_id.value, PERSON);
        assert_eq!(login.assertion.values("groups").collect::<Vec<_>>(), ["staff", "admins"]);
        assert!(login.assertion.session_not_on_or_after.unwrap() > login.assertion.usable_until);
        assert_eq!(from(&sp, xml, "_other").unwrap_err().code(), "saml_wrong_in_response_to");
    }
}

#[test]
fn simplesamlphp_answers_our_logout() {
    let raw_query = include_str!("../../tests/fixtures/simplesamlphp/logout-response.query");
    let now = Timestamp::from_secs(CAPTURED);
    let read = |raw_query: &str, id: &str| {
        read_logout_response(&sp(), &idp(), &Carried::Redirect { raw_query }, id, now, Duration::from_secs(60))
    };
    assert_eq!(read(raw_query, "_ef26ff24120c63615fd3e29af5dab2d0").unwrap(), LogoutOutcome::Done);
    assert_eq!(read(raw_query, "_other").unwrap_err().code(), "saml_wrong_in_response_to");
    let changed = raw_query.replacen("RelayState=bye", "RelayState=b%79e", 1);
    assert_ne!(changed, raw_query);
    assert_eq!(read(&changed, "_ef26ff24120c63615fd3e29af5dab2d0").unwrap_err().code(), "saml_wrong_certificate");
}

#[test]
fn simplesamlphp_signs_its_metadata() {
    let xml = include_bytes!("../../tests/fixtures/simplesamlphp/metadata.xml");
    let now = Timestamp::from_secs(CAPTURED);
    let trusted = [idp_certificate()];
    let read = read_metadata(xml, Some(IDP), MetadataTrust::SignedBy(&trusted), now).unwrap();
    assert_eq!(read.signing, trusted);
    assert!(read.sso(None).unwrap().location.ends_with("/saml2/idp/SSOService.php"));
    assert!(read.slo(None).is_ok());
    let other = [Key::p256().certificate()];
    let fault = read_metadata(xml, Some(IDP), MetadataTrust::SignedBy(&other), now).unwrap_err();
    assert_eq!(fault.code(), "saml_wrong_certificate");
}
