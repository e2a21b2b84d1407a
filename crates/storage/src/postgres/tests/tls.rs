//! The server is who it says it is, or nothing is said to it.

use std::{net::TcpListener, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::Tenants;

fn authority(directory: &Path, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.join(name), issuer.pem()).unwrap();
    issuer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_name_or_authority_is_not_spoken_to() {
    let files = tempfile::tempdir().unwrap();
    let ours = authority(files.path(), "ours.pem");
    authority(files.path(), "other.pem");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();

    let mut cluster = Cluster::start(&[]);
    cluster.stop();
    cluster.give("server.crt", &certificate.pem());
    cluster.give("server.key", &key.serialize_pem());
    cluster.set(port, &["listen_addresses=127.0.0.1", "ssl=on"]);
    cluster.serve();

    let url = |host: &str, query: &str| format!("postgres://postgres@{host}:{port}/postgres?{query}");
    let root = |name: &str| format!("sslrootcert={}", files.path().join(name).display());
    let full = format!("sslmode=verify-full&{}", root("ours.pem"));
    let store = connect(&url("localhost", &full)).await.unwrap();
    assert!(store.tenants().await.unwrap().is_empty());
    assert!(connect(&url("127.0.0.1", "sslmode=require")).await.is_ok(), "encrypted, and whoever it is");

    let refused = [
        url("localhost", &format!("sslmode=verify-full&{}", root("other.pem"))),
        url("localhost", &format!("sslmode=verify-ca&{}", root("other.pem"))),
        url("127.0.0.1", &full),
        url("localhost", "sslmode=verify-full"),
    ];
    for url in refused {
        let opened = connect(&url).await;
        assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{url}: {opened:?}");
    }
    // It speaks in the clear as well, and is not asked to.
    cluster.stop();
    cluster.set(port, &["listen_addresses=127.0.0.1"]);
    cluster.serve();
    assert!(connect(&url("localhost", "sslmode=prefer")).await.is_ok());
    let clear = connect(&url("localhost", &full)).await;
    assert!(matches!(clear, Err(StoreError::Unavailable(_))), "{clear:?}");
}
