//! TLS settings: which roots are trusted, and who we are.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sallyport_model::Secret;

use crate::Error;

/// `TlsConnector`, with the `Debug` that it lacks.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) tokio_rustls::TlsConnector);

impl Connector {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self(tokio_rustls::TlsConnector::from(Arc::new(config)))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// A client certificate for mutual TLS.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// The chain, leaf first, as PEM.
    pub chain_pem: String,
    /// The private key (PKCS#8, PKCS#1 or SEC1), as PEM.
    pub key_pem: Secret,
}

/// Reads the certificates of a PEM text, such as an enterprise's own authority.
///
/// # Errors
/// [`Error::Tls`] when it is no PEM or holds no certificate.
pub fn certificates_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| Error::Tls(format!("the certificate file is not PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(Error::Tls("the certificate file holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// TLS 1.2 and 1.3 with the bundled web roots and `extra_roots`.
pub(crate) fn client_config(
    extra_roots: &[CertificateDer<'static>],
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(root.clone()).map_err(|e| Error::Tls(format!("an extra root does not parse: {e}")))?;
    }
    // The provider is named: which one is the process's default depends on who else links rustls.
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Tls(e.to_string()))?
        .with_root_certificates(roots);
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates_from_pem(&identity.chain_pem)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes())
        .map_err(|e| Error::Tls(format!("the client key is not PEM: {e}")))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| Error::Tls(format!("the client certificate: {e}")))
}
