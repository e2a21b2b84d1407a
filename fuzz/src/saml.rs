//! A response of an identity provider, from the form field to the person.

use std::{sync::OnceLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::Timestamp;
use sallyport_saml::{
    Answers, Assertion, Binding, Certificate, Expected, IdpMetadata, Login, ServiceProvider, SpKey, SpKeys,
    read_response,
};

const IDP_CERTIFICATE: &[u8] = include_bytes!("../../crates/saml/tests/fixtures/idp-certificate.der");
const SP_KEY: &[u8] = include_bytes!("../../crates/saml/tests/fixtures/sp-key.der");
const SP_CERTIFICATE: &[u8] = include_bytes!("../../crates/saml/tests/fixtures/sp-certificate.der");

/// What the identity provider really signed: everything else that is accepted is a hole.
const SIGNED: [&str; 5] = [
    include_str!("../../crates/saml/tests/fixtures/samlp/assertion-signed.xml"),
    include_str!("../../crates/saml/tests/fixtures/samlp/response-signed.xml"),
    include_str!("../../crates/saml/tests/fixtures/samlp/both-signed.xml"),
    include_str!("../../crates/saml/tests/fixtures/samlp/encrypted-gcm.xml"),
    include_str!("../../crates/saml/tests/fixtures/samlp/encrypted-cbc.xml"),
];
/// A few seconds after they were signed: 2026-11-23T12:50:45Z.
const CAPTURED: u64 = 1_795_438_245;

struct Fixed {
    sp: ServiceProvider,
    idp: IdpMetadata,
    signed: Vec<Assertion>,
}

/// The bytes are the response's XML. None make it panic; what is accepted says what was signed, word for word, and
/// another parser finds no second assertion in it.
pub fn saml_response(bytes: &[u8]) {
    static FIXED: OnceLock<Fixed> = OnceLock::new();
    let fixed = FIXED.get_or_init(Fixed::new);
    let Some(login) = fixed.read(bytes) else { return };
    assert!(login.response_signed || login.assertion_signed, "accepted without a signature");
    assert!(fixed.signed.contains(&login.assertion), "accepted what nobody signed: {:?}", login.assertion);
    let text = std::str::from_utf8(bytes).expect("accepted what is not UTF-8");
    let other = roxmltree::Document::parse(text).expect("another parser refuses what was accepted");
    let count = |name: &str| other.descendants().filter(|n| n.is_element() && n.tag_name().name() == name).count();
    assert_eq!(count("Assertion") + count("EncryptedAssertion"), 1, "a laxer reader could take another assertion");
}

impl Fixed {
    fn new() -> Self {
        let key = || SpKey::from_der(SP_KEY, SP_CERTIFICATE).expect("a fixture");
        let keys = SpKeys { signing: key(), announced: vec![], decryption: vec![key()] };
        let sp = ServiceProvider {
            entity_id: "https://sp.example/saml/acme".into(),
            acs_url: "https://sp.example/saml/acme/acs".into(),
            slo_url: None,
            keys,
        };
        let certificate = Certificate::from_der(IDP_CERTIFICATE).expect("a fixture");
        let sso = (Binding::Redirect, "https://idp.example/sso");
        let idp = IdpMetadata::by_hand("https://idp.example/metadata", sso, None, vec![certificate]);
        let mut fixed = Self { sp, idp: idp.expect("a fixture"), signed: vec![] };
        fixed.signed =
            SIGNED.iter().map(|xml| fixed.read(xml.as_bytes()).expect("a fixture is accepted").assertion).collect();
        fixed
    }

    fn read(&self, xml: &[u8]) -> Option<Login> {
        let now = Timestamp::from_secs(CAPTURED);
        let expected = Expected { now, skew: Duration::from_secs(60), answers: Answers::Request("_request1") };
        read_response(&self.sp, &self.idp, &STANDARD.encode(xml), &expected).ok()
    }
}
