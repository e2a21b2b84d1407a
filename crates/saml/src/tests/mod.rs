//! An identity provider that signs whatever it is told, and the attacks on what it signed.

mod accepted;
mod conditions;
mod encrypted;
mod forged;
mod logout;
mod metadata;
mod mutated;
mod real;
mod wrapped;

use std::time::Duration;

use aws_lc_rs::{digest, hmac, rand::SystemRandom, signature as alg};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::{SystemRng, Timestamp};

use crate::{
    names::*,
    xml::{Limits, canonical, read},
    *,
};

const IDP: &str = "https://idp.example/metadata";
const SP: &str = "https://sp.example/saml/acme";
const ACS: &str = "https://sp.example/saml/acme/acs";
const SLO: &str = "https://sp.example/saml/acme/slo";
const REQUEST: &str = "_request1";
const PERSON: &str = "ann@acme.example";
/// 2026-11-23T12:00:00Z.
const NOW: u64 = 1_795_435_200;

const IDP_KEY: &[u8] = include_bytes!("../../tests/fixtures/idp-key.der");
const IDP_CERTIFICATE: &[u8] = include_bytes!("../../tests/fixtures/idp-certificate.der");
const SP_KEY: &[u8] = include_bytes!("../../tests/fixtures/sp-key.der");
const SP_CERTIFICATE: &[u8] = include_bytes!("../../tests/fixtures/sp-certificate.der");

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn at(seconds: i64) -> String {
    crate::time::written(Timestamp::from_secs(NOW.checked_add_signed(seconds).unwrap()))
}

fn sp() -> ServiceProvider {
    let key = || SpKey::from_der(SP_KEY, SP_CERTIFICATE).unwrap();
    let keys = SpKeys { signing: key(), announced: vec![], decryption: vec![key()] };
    ServiceProvider { entity_id: SP.into(), acs_url: ACS.into(), slo_url: Some(SLO.into()), keys }
}

fn idp_certificate() -> Certificate {
    Certificate::from_der(IDP_CERTIFICATE).unwrap()
}

fn idp() -> IdpMetadata {
    trusting(vec![idp_certificate()])
}

fn trusting(signing: Vec<Certificate>) -> IdpMetadata {
    let slo = Some((Binding::Redirect, "https://idp.example/slo"));
    IdpMetadata::by_hand(IDP, (Binding::Redirect, "https://idp.example/sso"), slo, signing).unwrap()
}

fn expected() -> Expected<'static> {
    Expected { now: now(), skew: Duration::from_secs(60), answers: Answers::Request(REQUEST) }
}

fn read_xml(xml: &str) -> Result<Login, SamlFault> {
    read_response(&sp(), &idp(), &STANDARD.encode(xml), &expected())
}

fn refusal(xml: &str) -> &'static str {
    match read_xml(xml) {
        Ok(login) => panic!("accepted as {}: {xml}", login.assertion.name_id.value),
        Err(fault) => fault.code(),
    }
}

/// A key that can sign: the provider's own, or another.
enum Key {
    Rsa(SpKey),
    P256(alg::EcdsaKeyPair, Certificate),
    Hmac(Vec<u8>),
    /// The provider's own key with another padding or digest.
    Padded(&'static alg::RsaSignatureEncoding),
}

impl Key {
    fn idp() -> Self {
        Self::Rsa(SpKey::from_der(IDP_KEY, IDP_CERTIFICATE).unwrap())
    }

    /// Somebody else's: the service provider's, which the identity provider's connection does not trust.
    fn foreign() -> Self {
        Self::Rsa(SpKey::from_der(SP_KEY, SP_CERTIFICATE).unwrap())
    }

    fn p256() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
        let signing =
            alg::EcdsaKeyPair::from_pkcs8(&alg::ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der()).unwrap();
        Self::P256(signing, Certificate::from_der(made.der()).unwrap())
    }

    fn certificate(&self) -> Certificate {
        match self {
            Self::Rsa(key) => key.certificate().clone(),
            Self::P256(_, certificate) => certificate.clone(),
            Self::Hmac(_) | Self::Padded(_) => idp_certificate(),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.sign(message).unwrap(),
            Self::P256(key, _) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Padded(encoding) => {
                let pair = alg::RsaKeyPair::from_pkcs8(IDP_KEY).unwrap();
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Self::Hmac(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
        }
    }
}

/// How to sign; every part can be made wrong.
struct Signing {
    key: Key,
    algorithm: &'static str,
    /// The element inside `SignatureMethod`.
    algorithm_parameters: &'static str,
    digest: &'static str,
    canonicalisation: &'static str,
    transforms: String,
    /// Prefixes for the content's canonical form; must fit `transforms`.
    prefixes: Vec<String>,
    /// `None`: `#` and the id.
    uri: Option<&'static str>,
    /// `None`: of the content.
    digest_bytes: Option<Vec<u8>>,
    key_info: String,
    after: &'static str,
}

impl Signing {
    fn with(key: Key) -> Self {
        let key_info = format!(
            "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
            key.certificate().base64()
        );
        Self {
            key,
            algorithm: RSA_SHA256,
            algorithm_parameters: "",
            digest: SHA256,
            canonicalisation: EXCLUSIVE,
            transforms: transforms(EXCLUSIVE, ""),
            prefixes: vec![],
            uri: None,
            digest_bytes: None,
            key_info,
            after: "",
        }
    }

    /// Signs the element that begins with `xml` and puts the signature after its first `Issuer`.
    fn sign(&self, xml: &str) -> String {
        let at =
            xml.find("</saml:Issuer>").map_or_else(|| xml.find('>').unwrap() + 1, |at| at + "</saml:Issuer>".len());
        let document = read(xml.as_bytes(), &Limits::METADATA).unwrap();
        let root = document.root();
        let algorithm = match self.digest {
            SHA384 => &digest::SHA384,
            SHA512 => &digest::SHA512,
            SHA256 => &digest::SHA256,
            _ => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        let content = canonical(root, None, &self.prefixes, 1 << 24).unwrap();
        let hash = digest::digest(algorithm, self.digest_bytes.as_deref().unwrap_or(&content));
        let uri = self.uri.map_or_else(|| format!("#{}", root.attribute("ID").unwrap()), ToOwned::to_owned);
        let info = format!(
            "<ds:SignedInfo><ds:CanonicalizationMethod Algorithm=\"{}\"/><ds:SignatureMethod Algorithm=\"{}\">{}\
             </ds:SignatureMethod><ds:Reference URI=\"{uri}\"><ds:Transforms>{}</ds:Transforms><ds:DigestMethod \
             Algorithm=\"{}\"/><ds:DigestValue>{}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
            self.canonicalisation,
            self.algorithm,
            self.algorithm_parameters,
            self.transforms,
            self.digest,
            STANDARD.encode(hash)
        );
        let alone = format!("<ds:Signature xmlns:ds=\"{DS}\">{info}</ds:Signature>");
        let parsed = read(alone.as_bytes(), &Limits::MESSAGE).unwrap();
        let to_sign = canonical(parsed.root().children().next().unwrap(), None, &[], 1 << 24).unwrap();
        let value = STANDARD.encode(self.key.sign(&to_sign));
        let signature = format!(
            "<ds:Signature xmlns:ds=\"{DS}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue>{}{}</ds:Signature>",
            self.key_info, self.after
        );
        let mut whole = xml.to_owned();
        whole.insert_str(at, &signature);
        whole
    }
}

fn transforms(second: &str, inside: &str) -> String {
    format!("<ds:Transform Algorithm=\"{ENVELOPED}\"/><ds:Transform Algorithm=\"{second}\">{inside}</ds:Transform>")
}

/// The parts of a response, each of which a test may change.
#[derive(Clone)]
struct Message {
    response_id: &'static str,
    assertion_id: &'static str,
    response_issuer: String,
    issuer: &'static str,
    destination: String,
    response_in_response_to: String,
    status: String,
    /// What stands in `Subject` before the confirmation.
    name: String,
    confirmation: String,
    conditions: String,
    statement: String,
    attributes: String,
    issued: String,
    version: &'static str,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            response_id: "_response1",
            assertion_id: "_assertion1",
            response_issuer: format!("<saml:Issuer>{IDP}</saml:Issuer>"),
            issuer: IDP,
            destination: format!(" Destination=\"{ACS}\""),
            response_in_response_to: format!(" InResponseTo=\"{REQUEST}\""),
            status: format!("<samlp:Status><samlp:StatusCode Value=\"{SUCCESS}\"/></samlp:Status>"),
            name: name(PERSON),
            confirmation: confirmation(ACS, Some(REQUEST), &at(300)),
            conditions: conditions(SP, &at(-30), &at(300)),
            statement: statement(&format!(" SessionNotOnOrAfter=\"{}\"", at(28_800))),
            attributes: "<saml:AttributeStatement><saml:Attribute Name=\"groups\" FriendlyName=\"Groups\">\
                         <saml:AttributeValue>staff</saml:AttributeValue><saml:AttributeValue>admins\
                         </saml:AttributeValue></saml:Attribute></saml:AttributeStatement>"
                .into(),
            issued: at(0),
            version: "2.0",
        }
    }
}

fn name(person: &str) -> String {
    format!("<saml:NameID Format=\"{}\">{person}</saml:NameID>", name_id_format::EMAIL)
}

fn confirmation(recipient: &str, request: Option<&str>, until: &str) -> String {
    let answers = request.map(|id| format!(" InResponseTo=\"{id}\"")).unwrap_or_default();
    format!(
        "<saml:SubjectConfirmation Method=\"{BEARER}\"><saml:SubjectConfirmationData Recipient=\"{recipient}\" \
         NotOnOrAfter=\"{until}\"{answers}/></saml:SubjectConfirmation>"
    )
}

fn conditions(audience: &str, from: &str, until: &str) -> String {
    format!(
        "<saml:Conditions NotBefore=\"{from}\" NotOnOrAfter=\"{until}\"><saml:AudienceRestriction><saml:Audience>\
         {audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
    )
}

fn statement(more: &str) -> String {
    format!(
        "<saml:AuthnStatement AuthnInstant=\"{}\" SessionIndex=\"_session1\"{more}><saml:AuthnContext>\
         <saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport\
         </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>",
        at(-10)
    )
}

impl Message {
    fn assertion(&self) -> String {
        format!(
            "<saml:Assertion xmlns:saml=\"{SAML}\" ID=\"{}\" Version=\"{}\" IssueInstant=\"{}\"><saml:Issuer>{}\
             </saml:Issuer><saml:Subject>{}{}</saml:Subject>{}{}{}</saml:Assertion>",
            self.assertion_id,
            self.version,
            self.issued,
            self.issuer,
            self.name,
            self.confirmation,
            self.conditions,
            self.statement,
            self.attributes
        )
    }

    /// The response around `inside`.
    fn around(&self, inside: &str) -> String {
        format!(
            "<samlp:Response xmlns:samlp=\"{SAMLP}\" xmlns:saml=\"{SAML}\" ID=\"{}\" Version=\"{}\" \
             IssueInstant=\"{}\"{}{}>{}{}{inside}</samlp:Response>",
            self.response_id,
            self.version,
            self.issued,
            self.destination,
            self.response_in_response_to,
            self.response_issuer,
            self.status
        )
    }

    /// Only the assertion signed, as most do.
    fn assertion_signed(&self) -> String {
        self.around(&Signing::with(Key::idp()).sign(&self.assertion()))
    }

    /// Only the response signed.
    fn response_signed(&self) -> String {
        Signing::with(Key::idp()).sign(&self.around(&self.assertion()))
    }

    fn both_signed(&self) -> String {
        let signing = Signing::with(Key::idp());
        signing.sign(&self.around(&signing.sign(&self.assertion())))
    }
}

/// The part of `xml` from `begin` to the end of the first `end` after it.
fn cut<'a>(xml: &'a str, begin: &str, end: &str) -> &'a str {
    let from = xml.find(begin).unwrap();
    let to = from + xml[from..].find(end).unwrap() + end.len();
    &xml[from..to]
}

fn signature_in(xml: &str) -> &str {
    cut(xml, "<ds:Signature ", "</ds:Signature>")
}

#[test]
fn our_own_keys_are_made_sealed_and_opened() {
    let key = SpKey::generate(SP, now(), &SystemRng).unwrap();
    let again = SpKey::from_der(key.pkcs8(), key.certificate().der()).unwrap();
    let (from, until) = key.certificate().validity();
    assert!(from < now() && until > now().plus(Duration::from_secs(9 * 365 * 86_400)), "{from} {until}");
    let signature = again.sign(b"x").unwrap();
    assert!(key.certificate().verifies(crate::algorithm::SignatureAlgorithm::RsaSha256, b"x", &signature));
    assert!(!key.certificate().verifies(crate::algorithm::SignatureAlgorithm::RsaSha256, b"y", &signature));
    let other = SpKey::from_der(SP_KEY, key.certificate().der()).unwrap_err();
    assert_eq!(other, SamlFault::BadKey { why: "it does not belong to its certificate" });
    assert!(!format!("{key:?}").contains(&STANDARD.encode(key.pkcs8())));
}
