//! The service provider's own keys: made, sealed by the caller, announced in metadata, used here.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SerialNumber};
use sallyport_model::{Rng, Timestamp};
use zeroize::Zeroizing;

use crate::{Certificate, SamlFault};

/// Years that a self-signed certificate of ours says it is valid. Peers that look at it at all should not break soon.
const YEARS: i16 = 10;

/// An RSA key and the certificate that announces it.
pub struct SpKey {
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: Certificate,
    signing: RsaKeyPair,
    decrypting: OaepPrivateDecryptingKey,
}

impl SpKey {
    /// Makes an RSA-2048 key and a self-signed certificate in the name of `entity_id`. Takes up to a second.
    ///
    /// The key's randomness is the crypto library's own; `rng` gives the serial number.
    pub fn generate(entity_id: &str, now: Timestamp, rng: &dyn Rng) -> Result<Self, SamlFault> {
        let failed = |_| SamlFault::BadKey { why: "it could not be made" };
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(failed)?;
        let mut name = DistinguishedName::new();
        // An X.520 common name has at most 64 characters.
        name.push(DnType::CommonName, entity_id.chars().take(64).collect::<String>());
        let mut serial = [0u8; 16];
        rng.fill(&mut serial);
        serial[0] &= 0x7f;
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let today = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        // A day early, for peers whose clocks are behind; the 28th at most, which every month has.
        let yesterday = today.yesterday().unwrap_or(today);
        let month = u8::try_from(yesterday.month()).unwrap_or(1);
        let day = u8::try_from(yesterday.day().min(28)).unwrap_or(1);
        params.not_before = rcgen::date_time_ymd(i32::from(yesterday.year()), month, day);
        params.not_after =
            rcgen::date_time_ymd(i32::from(yesterday.year().saturating_add(YEARS).min(9999)), month, day);
        let certificate = params.self_signed(&pair).map_err(failed)?;
        Self::from_der(&Zeroizing::new(pair.serialize_der()), certificate.der())
    }

    /// From what [`pkcs8`](Self::pkcs8) and [`Certificate::der`] gave. The two must belong together.
    pub fn from_der(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, SamlFault> {
        let bad = |why| SamlFault::BadKey { why };
        let certificate = Certificate::from_der(certificate)?;
        let signing = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| bad("it is not an RSA key in PKCS#8"))?;
        if certificate.rsa() != Some(signing.public_key().as_ref()) {
            return Err(bad("it does not belong to its certificate"));
        }
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8)
            .map_err(|_| bad("it cannot decrypt"))
            .and_then(|key| OaepPrivateDecryptingKey::new(key).map_err(|_| bad("it cannot decrypt")))?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), certificate, signing, decrypting })
    }

    /// The private key in PKCS#8, for the caller to seal.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SamlFault> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        self.signing
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SamlFault::BadKey { why: "it cannot sign" })?;
        Ok(signature)
    }

    /// RSA-OAEP without a label; `None` for whatever reason.
    pub(crate) fn unwrap_key(&self, algorithm: &'static OaepAlgorithm, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut room = Zeroizing::new(vec![0; self.decrypting.min_output_size()]);
        let length = self.decrypting.decrypt(algorithm, wrapped, &mut room, None).ok()?.len();
        room.truncate(length);
        Some(room)
    }
}

impl fmt::Debug for SpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpKey({})", self.certificate.fingerprint())
    }
}

/// The keys of one service provider.
///
/// To roll over: announce the next certificate, wait until identity providers have read it, then sign with its key;
/// keep the old decryption key until none encrypts for it.
#[derive(Debug)]
pub struct SpKeys {
    /// What messages are signed with.
    pub signing: SpKey,
    /// Certificates that will sign later: in the metadata, not in use.
    pub announced: Vec<Certificate>,
    /// What assertions may be encrypted for; the first is preferred, all are tried.
    pub decryption: Vec<SpKey>,
}

impl SpKeys {
    /// One key to sign and another to decrypt.
    pub fn generate(entity_id: &str, now: Timestamp, rng: &dyn Rng) -> Result<Self, SamlFault> {
        let signing = SpKey::generate(entity_id, now, rng)?;
        let decryption = vec![SpKey::generate(entity_id, now, rng)?];
        Ok(Self { signing, announced: Vec::new(), decryption })
    }
}

/// Who we are to one identity provider.
#[derive(Debug)]
pub struct ServiceProvider {
    /// Our entity id; assertions must name it as their audience.
    pub entity_id: String,
    /// The assertion consumer service: where responses are posted. They must name it as recipient, exactly.
    pub acs_url: String,
    /// The single logout service, if there is one.
    pub slo_url: Option<String>,
    /// The keys.
    pub keys: SpKeys,
}
