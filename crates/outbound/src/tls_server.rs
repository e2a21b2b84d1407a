//! A TLS server for tests: it answers `{}` and says over which protocol, and to which certificate.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Serves under `names`. Returns the port and the certificate to trust.
pub(crate) async fn serve_tls(names: &[&str]) -> (u16, CertificateDer<'static>) {
    serve(names, None).await
}

/// The same, for clients with a certificate under `root` only.
pub(crate) async fn serve_mtls(names: &[&str], root: CertificateDer<'static>) -> (u16, CertificateDer<'static>) {
    serve(names, Some(root)).await
}

async fn serve(names: &[&str], clients: Option<CertificateDer<'static>>) -> (u16, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let root = made.cert.der().clone();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(vec![root.clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let answer = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let response = http::Response::builder()
                    .header("content-type", "application/json")
                    .header("x-version", format!("{:?}", request.version()));
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from("{}"))).unwrap())
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (port, root)
}
