//! TLS client certificates: asked for in our own handshakes, or taken from a proxy that ends TLS.
//!
//! A handshake proves that the sender holds the certificate's key, and no more: a self-signed one is as good as any
//! other for that (RFC 8705 section 2.2). What is written in a certificate counts only where its chain ends at an
//! authority that the operator named ([`PeerCertificate::trusted`], section 2.1).

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};
use sallyport_model::{Clock as _, PeerCertificate, SystemClock};
use sallyport_oauth::thumbprint;

/// No certificate of use is larger, bytes.
const LARGEST: usize = 16 * 1024;

/// Takes any well-formed certificate whose key the client proves, and clients without one.
#[derive(Debug)]
pub struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    /// With the signatures that `provider` verifies.
    pub fn new(provider: Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self(provider))
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        ParsedCertificate::try_from(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The authorities whose word about a client counts. Without one, nobody's does.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Option<Arc<dyn ClientCertVerifier>>);

impl Authorities {
    /// From a PEM file.
    ///
    /// # Errors
    /// When it does not read or holds no authority.
    pub fn read(path: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for certificate in read.with_context(|| format!("server.tls.client_ca: {} does not read", path.display()))? {
            roots
                .add(certificate)
                .with_context(|| format!("server.tls.client_ca: {} holds what is no certificate", path.display()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.with_context(|| format!("server.tls.client_ca: {}", path.display()))?;
        Ok(Self(Some(verifier)))
    }

    fn trust(&self, end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> bool {
        let Some(verifier) = &self.0 else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(SystemClock.now().as_millis()));
        verifier.verify_client_cert(end_entity, others, now).is_ok()
    }

    /// Of the chain that came in a handshake, the end entity first.
    pub fn peer(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<PeerCertificate> {
        let (end_entity, others) = chain?.split_first()?;
        Some(PeerCertificate {
            x5t_s256: thumbprint::of_certificate(end_entity).into(),
            trusted: self.trust(end_entity, others),
            der: end_entity.as_ref().into(),
        })
    }

    /// Of the header in which a trusted proxy names what its client showed. The header is taken away, whoever sent it;
    /// `believed` says whether that is such a proxy.
    pub fn named(&self, headers: &mut HeaderMap, header: &HeaderName, believed: bool) -> Option<PeerCertificate> {
        let one = {
            let mut all = headers.get_all(header).iter();
            match (all.next(), all.next()) {
                (Some(one), None) => one.to_str().ok().map(str::to_owned),
                _ => None,
            }
        };
        headers.remove(header);
        let der = one.filter(|_| believed).as_deref().and_then(certificate)?;
        self.peer(Some(&[der]))
    }
}

/// `:BASE64:` (RFC 9440), PEM with percent escapes (nginx's `$ssl_client_escaped_cert`), or base64 alone.
fn certificate(text: &str) -> Option<CertificateDer<'static>> {
    if text.len() > 2 * LARGEST {
        return None;
    }
    let decoded = percent_decode_str(text.trim()).decode_utf8().ok()?;
    let inner = decoded.trim().trim_matches(':');
    let lines = inner.lines().filter(|line| !line.starts_with("-----"));
    let bare: String = lines.flat_map(str::split_whitespace).collect();
    let der = CertificateDer::from(STANDARD.decode(bare).ok()?);
    ParsedCertificate::try_from(&der).ok()?;
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    use http::HeaderValue;
    use proptest::prelude::*;

    fn made() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec!["agent.example".to_owned()]).unwrap()
    }

    const NAME: HeaderName = HeaderName::from_static("client-cert");

    fn named(text: &str, believed: bool) -> Option<PeerCertificate> {
        let mut headers = HeaderMap::from_iter([(NAME, HeaderValue::from_str(text).unwrap())]);
        let found = Authorities::default().named(&mut headers, &NAME, believed);
        assert!(headers.is_empty(), "nobody behind us reads it");
        found
    }

    #[test]
    fn a_proxy_names_a_certificate_in_any_of_the_usual_ways_and_a_stranger_in_none() {
        let made = made();
        let bare = STANDARD.encode(made.cert.der());
        let escaped = made.cert.pem().replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B").replace('\r', "");
        for text in [format!(":{bare}:"), escaped, bare] {
            let found = named(&text, true).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(*found.x5t_s256, *thumbprint::of_certificate(made.cert.der()));
            assert!(!found.trusted, "no authority is named");
            assert_eq!(named(&text, false), None);
        }
    }

    #[test]
    fn two_of_the_header_are_neither() {
        let bare = HeaderValue::from_str(&STANDARD.encode(made().cert.der())).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(NAME, bare.clone());
        headers.append(NAME, bare);
        assert_eq!(Authorities::default().named(&mut headers, &NAME, true), None);
        assert!(headers.is_empty());
    }

    #[test]
    fn only_a_named_authority_vouches_for_what_is_written() {
        let authority = made();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, authority.cert.pem()).unwrap();
        let authorities = Authorities::read(&path).unwrap();
        let stranger = made();
        let found = authorities.peer(Some(&[stranger.cert.der().clone()])).unwrap();
        assert!(!found.trusted);
        assert_eq!(authorities.peer(None), None);
        std::fs::write(&path, "nothing").unwrap();
        assert!(Authorities::read(&path).is_err());
    }

    proptest! {
        #[test]
        fn what_is_no_certificate_is_none(text in "[ -~]{0,200}") {
            prop_assert_eq!(named(&text, true), None);
        }
    }
}
