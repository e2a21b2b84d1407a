//! Encrypted assertions: who can encrypt is not who can sign.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey, PrivateDecryptingKey},
};

use super::*;

const GCM256: &str = "http://www.w3.org/2009/xmlenc11#aes256-gcm";
const GCM128: &str = "http://www.w3.org/2009/xmlenc11#aes128-gcm";
const OAEP: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";

/// How to encrypt; the names can be made to differ from what is done.
struct Sealing {
    content: &'static str,
    transport: String,
    oaep: &'static OaepAlgorithm,
    recipient: &'static [u8],
    /// The wrapped key beside the data instead of inside it.
    beside: bool,
    spoil: bool,
}

impl Default for Sealing {
    fn default() -> Self {
        Self {
            content: GCM256,
            transport: method(OAEP, ""),
            oaep: &OAEP_SHA1_MGF1SHA1,
            recipient: SP_KEY,
            beside: false,
            spoil: false,
        }
    }
}

fn method(algorithm: &str, inside: &str) -> String {
    format!("<xenc:EncryptionMethod Algorithm=\"{algorithm}\">{inside}</xenc:EncryptionMethod>")
}

impl Sealing {
    fn seal(&self, clear: &str) -> String {
        let (algorithm, length) = if self.content == GCM128 { (&AES_128_GCM, 16) } else { (&AES_256_GCM, 32) };
        let key = vec![7u8; length];
        let mut bytes = clear.as_bytes().to_vec();
        let sealer = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
        sealer.seal_in_place_append_tag(Nonce::assume_unique_for_key([9; 12]), Aad::empty(), &mut bytes).unwrap();
        let mut ciphertext = vec![9u8; 12];
        ciphertext.extend(bytes);
        if self.spoil {
            ciphertext[20] ^= 1;
        }
        let public = PrivateDecryptingKey::from_pkcs8(self.recipient).unwrap().public_key();
        let wrapper = OaepPublicEncryptingKey::new(public).unwrap();
        let mut room = vec![0; wrapper.ciphertext_size()];
        let wrapped = wrapper.encrypt(self.oaep, &key, &mut room, None).unwrap();
        let value = |bytes: &[u8]| {
            format!(
                "<xenc:CipherData><xenc:CipherValue>{}</xenc:CipherValue></xenc:CipherData>",
                STANDARD.encode(bytes)
            )
        };
        let key = format!("<xenc:EncryptedKey>{}{}</xenc:EncryptedKey>", self.transport, value(wrapped));
        let (inside, beside) = if self.beside { (String::new(), key) } else { (key, String::new()) };
        format!(
            "<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"{XENC}Element\">{}<ds:KeyInfo \
             xmlns:ds=\"{DS}\">{inside}</ds:KeyInfo>{}</xenc:EncryptedData>{}</saml:EncryptedAssertion>",
            method(self.content, ""),
            value(&ciphertext),
            beside.replacen("<xenc:EncryptedKey>", &format!("<xenc:EncryptedKey xmlns:xenc=\"{XENC}\">"), 1)
        )
    }
}

fn signed_assertion() -> String {
    Signing::with(Key::idp()).sign(&Message::default().assertion())
}

#[test]
fn a_signed_assertion_comes_out_as_it_was_signed() {
    let message = Message::default();
    let oaep11 = "http://www.w3.org/2009/xmlenc11#rsa-oaep";
    let sha256 = format!(
        "<ds:DigestMethod xmlns:ds=\"{DS}\" Algorithm=\"{SHA256}\"/><x:MGF xmlns:x=\"{XENC11}\" \
         Algorithm=\"http://www.w3.org/2009/xmlenc11#mgf1sha256\"/>"
    );
    for sealing in [
        Sealing::default(),
        Sealing { content: GCM128, ..Sealing::default() },
        Sealing { beside: true, ..Sealing::default() },
        Sealing { transport: method(oaep11, &sha256), oaep: &OAEP_SHA256_MGF1SHA256, ..Sealing::default() },
    ] {
        let login = read_xml(&message.around(&sealing.seal(&signed_assertion()))).unwrap();
        assert!(login.encrypted && login.assertion_signed && !login.response_signed);
        assert_eq!(login.assertion.name_id.value, PERSON);
    }
}

#[test]
fn a_signed_response_covers_what_is_encrypted_in_it() {
    let message = Message::default();
    let xml = Signing::with(Key::idp()).sign(&message.around(&Sealing::default().seal(&message.assertion())));
    let login = read_xml(&xml).unwrap();
    assert!(login.encrypted && !login.assertion_signed && login.response_signed);
    assert_eq!(login.assertion.name_id.value, PERSON);
    // Another ciphertext under the same signature.
    let evil = Message { name: name("root@acme.example"), ..Message::default() }.assertion();
    let value = |xml: &str| cut(xml, "</ds:KeyInfo><xenc:CipherData>", "</xenc:CipherData>").to_owned();
    let swapped = xml.replace(&value(&xml), &value(&message.around(&Sealing::default().seal(&evil))));
    assert_ne!(swapped, xml);
    assert_eq!(refusal(&swapped), "saml_digest_mismatch");
}

/// Everybody has our public key: a ciphertext proves nothing.
#[test]
fn an_encrypted_assertion_that_nobody_signed_is_nobodys() {
    let message = Message::default();
    assert_eq!(refusal(&message.around(&Sealing::default().seal(&message.assertion()))), "saml_unsigned");
    let foreign = Signing::with(Key::foreign()).sign(&message.assertion());
    assert_eq!(refusal(&message.around(&Sealing::default().seal(&foreign))), "saml_wrong_certificate");
}

#[test]
fn wrapping_does_not_work_inside_either() {
    let message = Message::default();
    let signed = signed_assertion();
    let evil = Message { name: name("root@acme.example"), assertion_id: "_evil", ..Message::default() }.assertion();
    let signature = signature_in(&signed);
    let bare = signed.replace(signature, "");
    for (clear, want) in [
        (evil.replace("</saml:Assertion>", &format!("{signed}</saml:Assertion>")), "saml_misplaced_assertion"),
        (evil.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1), "saml_reference_elsewhere"),
        (evil.replacen("<saml:Subject>", &format!("<saml:Subject>{signature}"), 1), "saml_misplaced_signature"),
        (
            evil.replacen(
                "</saml:Issuer>",
                &format!(
                    "</saml:Issuer>{}",
                    signature.replace("</ds:Signature>", &format!("<ds:Object>{bare}</ds:Object></ds:Signature>"))
                ),
                1,
            ),
            "saml_misplaced_assertion",
        ),
        (format!("{signed}{evil}"), "saml_malformed_xml"),
        (message.around(&signed), "saml_wrong_message"),
        (format!("<!DOCTYPE x>{signed}"), "saml_document_type"),
        (signed.replace(PERSON, "ann@acme.example<!---->"), "saml_comment"),
        (
            Sealing::default()
                .seal(&signed)
                .replace("<saml:EncryptedAssertion", &format!("<saml:EncryptedAssertion xmlns:saml=\"{SAML}\"")),
            "saml_wrong_message",
        ),
        (String::new(), "saml_malformed_xml"),
    ] {
        assert_eq!(refusal(&message.around(&Sealing::default().seal(&clear))), want);
    }
    // One in clear beside the encrypted one.
    let both = format!("{}{signed}", Sealing::default().seal(&signed));
    assert_eq!(refusal(&message.around(&both)), "saml_assertion_count");
}

#[test]
fn weak_encryption_is_refused_by_name() {
    let message = Message::default();
    let name = |sealing: Sealing| read_xml(&message.around(&sealing.seal(&signed_assertion()))).unwrap_err();
    for transport in [
        method("http://www.w3.org/2001/04/xmlenc#rsa-1_5", ""),
        method("http://www.w3.org/2001/04/xmlenc#kw-aes256", ""),
        method(OAEP, &format!("<ds:DigestMethod xmlns:ds=\"{DS}\" Algorithm=\"{SHA256}\"/>")),
        method(OAEP, "<xenc:OAEPparams>eA==</xenc:OAEPparams>"),
    ] {
        let fault = name(Sealing { transport: transport.clone(), ..Sealing::default() });
        assert!(
            matches!(fault, SamlFault::AlgorithmRefused { purpose: "key transport algorithm", .. }),
            "{transport} {fault}"
        );
    }
    for content in ["http://www.w3.org/2001/04/xmlenc#tripledes-cbc", "http://www.w3.org/2009/xmlenc11#chacha20"] {
        let fault = name(Sealing { content, ..Sealing::default() });
        assert!(matches!(&fault, SamlFault::AlgorithmRefused { algorithm, .. } if algorithm == content), "{fault}");
    }
}

#[test]
fn cbc_is_opened_only_under_a_verified_signature() {
    let message = Message::default();
    let content = "http://www.w3.org/2001/04/xmlenc#aes256-cbc";
    let sealed = Sealing { content, ..Sealing::default() }.seal(&signed_assertion());
    let fault = read_xml(&message.around(&sealed)).unwrap_err();
    assert_eq!(fault, SamlFault::UnauthenticatedEncryption { algorithm: content.into() });
    assert!(fault.remedy().unwrap().contains("signing of responses"));
    // Under a signature it is tried (and, being GCM under a false name, does not open).
    let xml = Signing::with(Key::idp()).sign(&message.around(&sealed));
    assert_eq!(refusal(&xml), "saml_cannot_decrypt");
}

#[test]
fn what_cannot_be_decrypted_says_nothing_more() {
    let message = Message::default();
    for sealing in [
        Sealing { spoil: true, ..Sealing::default() },
        Sealing { recipient: IDP_KEY, ..Sealing::default() },
        Sealing { content: "http://www.w3.org/2009/xmlenc11#aes192-gcm", ..Sealing::default() },
    ] {
        let fault = read_xml(&message.around(&sealing.seal(&signed_assertion()))).unwrap_err();
        assert_eq!(fault, SamlFault::CannotDecrypt);
    }
    let mut keyless = sp();
    keyless.keys.decryption.clear();
    let encoded = STANDARD.encode(message.around(&Sealing::default().seal(&signed_assertion())));
    assert_eq!(read_response(&keyless, &idp(), &encoded, &expected()).unwrap_err(), SamlFault::NoDecryptionKey);
}

#[test]
fn a_decryption_key_rolls_over() {
    let mut both = sp();
    both.keys.decryption.insert(0, SpKey::from_der(IDP_KEY, IDP_CERTIFICATE).unwrap());
    let encoded = STANDARD.encode(Message::default().around(&Sealing::default().seal(&signed_assertion())));
    assert!(read_response(&both, &idp(), &encoded, &expected()).is_ok());
}
