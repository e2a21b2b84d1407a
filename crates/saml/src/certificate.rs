//! X.509 certificates as SAML uses them: a box for a public key, trusted because an administrator or signed
//! metadata says so. Chains, names and revocation lists play no part (SAML metadata interoperability profile).

use std::fmt;

use aws_lc_rs::{digest, signature as alg, signature::UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sallyport_model::Timestamp;
use serde::{Deserialize, Serialize};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

use crate::{SamlFault, algorithm::SignatureAlgorithm, encoding};

/// Bytes in a certificate.
const MOST: usize = 16 * 1024;

/// A certificate whose key can verify a signature: RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521.
///
/// Serialises as base64 of its DER.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificate {
    der: Vec<u8>,
    key: Key,
    not_before: Timestamp,
    not_after: Timestamp,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    /// `RSAPublicKey` (RFC 8017, A.1.1).
    Rsa(Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
}

impl Certificate {
    /// From DER, with nothing after it.
    pub fn from_der(der: &[u8]) -> Result<Self, SamlFault> {
        let bad = |why| SamlFault::BadCertificate { why };
        if der.len() > MOST {
            return Err(bad("it is longer than 16 KiB"));
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| bad("it is not an X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(bad("something follows it"));
        }
        let spki = parsed.public_key();
        let bytes = spki.subject_public_key.data.to_vec();
        let key = match spki.parsed().map_err(|_| bad("its key cannot be read"))? {
            // Counted by the modulus without leading zeros.
            PublicKey::RSA(rsa) if rsa.key_size() < 2048 => return Err(bad("its RSA key has fewer than 2048 bits")),
            PublicKey::RSA(rsa) if rsa.key_size() > 8192 => return Err(bad("its RSA key has more than 8192 bits")),
            PublicKey::RSA(_) => Key::Rsa(bytes),
            PublicKey::EC(_) => match curve(spki.algorithm.parameters.as_ref()).as_deref() {
                Some("1.2.840.10045.3.1.7") => Key::P256(bytes),
                Some("1.3.132.0.34") => Key::P384(bytes),
                Some("1.3.132.0.35") => Key::P521(bytes),
                _ => return Err(bad("its elliptic curve is none of P-256, P-384 and P-521")),
            },
            _ => return Err(bad("its key is neither RSA nor ECDSA")),
        };
        let second = |at: i64| Timestamp::from_secs(u64::try_from(at).unwrap_or(0));
        let validity = parsed.validity();
        let not_before = second(validity.not_before.timestamp());
        let not_after = second(validity.not_after.timestamp());
        Ok(Self { der: der.to_vec(), key, not_before, not_after })
    }

    /// From what an administrator pastes: PEM, or the base64 of the DER as it stands in metadata.
    pub fn from_text(text: &str) -> Result<Self, SamlFault> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        let body = match text.split_once(BEGIN) {
            None => text,
            Some((_, rest)) => match rest.split_once("-----END CERTIFICATE-----") {
                Some((body, rest)) if !rest.contains(BEGIN) => body,
                Some(_) => return Err(SamlFault::BadCertificate { why: "there are several in the text" }),
                None => return Err(SamlFault::BadCertificate { why: "its PEM text is cut off" }),
            },
        };
        Self::from_der(&encoding::base64("certificate", body, MOST)?)
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Base64 of the DER, in one line.
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// SHA-256 of the DER, as identity providers show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    /// From when to when the certificate says it is valid: for warnings, not for decisions.
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// Whether `signature` over `message` is by this key. An algorithm for another kind of key never fits.
    pub(crate) fn verifies(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm as A;
        let check = |parameters: &'static dyn alg::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(parameters, key).verify(message, signature).is_ok()
        };
        match (&self.key, algorithm) {
            (Key::Rsa(key), A::RsaSha256) => check(&alg::RSA_PKCS1_2048_8192_SHA256, key),
            (Key::Rsa(key), A::RsaSha384) => check(&alg::RSA_PKCS1_2048_8192_SHA384, key),
            (Key::Rsa(key), A::RsaSha512) => check(&alg::RSA_PKCS1_2048_8192_SHA512, key),
            (Key::Rsa(key), A::PssSha256) => check(&alg::RSA_PSS_2048_8192_SHA256, key),
            (Key::Rsa(key), A::PssSha384) => check(&alg::RSA_PSS_2048_8192_SHA384, key),
            (Key::Rsa(key), A::PssSha512) => check(&alg::RSA_PSS_2048_8192_SHA512, key),
            (Key::P256(key), A::EcdsaSha256) => check(&alg::ECDSA_P256_SHA256_FIXED, key),
            (Key::P384(key), A::EcdsaSha384) => check(&alg::ECDSA_P384_SHA384_FIXED, key),
            (Key::P521(key), A::EcdsaSha512) => check(&alg::ECDSA_P521_SHA512_FIXED, key),
            _ => false,
        }
    }

    /// The `RSAPublicKey`, where it is one.
    pub(crate) fn rsa(&self) -> Option<&[u8]> {
        match &self.key {
            Key::Rsa(key) => Some(key),
            _ => None,
        }
    }
}

fn curve(parameters: Option<&x509_parser::der_parser::asn1_rs::Any<'_>>) -> Option<String> {
    Some(parameters?.as_oid().ok()?.to_id_string())
}

/// SHA-256 as `AB:CD:…`.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, der);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

impl TryFrom<String> for Certificate {
    type Error = SamlFault;
    fn try_from(text: String) -> Result<Self, SamlFault> {
        Self::from_text(&text)
    }
}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> Self {
        certificate.base64()
    }
}
