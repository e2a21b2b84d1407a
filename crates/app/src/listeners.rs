//! Sockets: the public listener, with or without TLS, and the private one.
//!
//! Each request is given its peer's address; behind a trusted proxy, the one that the proxy names.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{Router, body::Body};
use http::{HeaderMap, HeaderName, Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use ipnet::IpNet;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sallyport_model::PeerCertificate;
use sallyport_proxy::Peer;
use sallyport_web::ClientAddress;
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::client_certificates::{AnyCertificate, Authorities};

/// Bytes of all headers of a request.
const HEADER_BYTES: usize = 32 * 1024;
/// No request's headers may take longer to arrive.
const HEADER_TIME: Duration = Duration::from_secs(15);
/// A connection must bring its first request within this.
const FIRST_REQUEST: Duration = Duration::from_secs(15);
/// Connections at one time; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;
/// How long connections may go on after the stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How connections become requests.
#[derive(Clone, Default)]
pub struct Protection {
    /// Our own TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// In which header they name the certificate that their client showed.
    pub certificate_header: Option<HeaderName>,
    /// Whose word about clients' certificates counts.
    pub authorities: Authorities,
}

impl Protection {
    /// Whether a peer may connect: anybody, or the trusted proxies where they are named.
    fn admits(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.is_empty() || self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

/// Our own TLS from PEM files; `ask` clients for their certificates.
///
/// # Errors
/// When a file cannot be read or the key does not fit.
pub fn tls(certificate: &Path, key: &Path, ask: bool) -> Result<Arc<rustls::ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("server.tls.certificate: {} does not read", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("server.tls.key: {} does not read", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match ask {
        true => builder.with_client_cert_verifier(AnyCertificate::new(provider)),
        false => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(chain, key).context("server.tls: the key does not fit the certificate")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Binds a listener.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{setting}: cannot listen on {address}"))
}

/// Serves until `stop`, then lets connections finish for a while.
pub async fn serve(listener: TcpListener, router: Router, protection: Protection, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepting = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepting => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            // Where a proxy ends TLS, what does not come from it comes in the clear.
            Ok((_, peer)) if !protection.admits(peer.ip()) => {
                tracing::warn!(%peer, "a connection from elsewhere than server.tls.trusted_proxies is closed");
            }
            Ok((stream, peer)) => {
                let connection = connection(stream, peer.ip(), router.clone(), protection.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // Out of descriptors, most likely: wait for connections to end.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    let _ = tokio::time::timeout(DRAIN, connections.wait()).await;
}

async fn connection(stream: TcpStream, peer: IpAddr, router: Router, protection: Protection, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let Protection { tls, trusted_proxies, certificate_header, authorities } = protection;
    let peer = Sender { address: peer, trusted: trusted_proxies, certificate_header, authorities, certificate: None };
    match tls {
        None => requests(TokioIo::new(stream), peer, router, stop).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(HEADER_TIME, handshake).await {
                Ok(Ok(stream)) => {
                    let certificate = peer.authorities.peer(stream.get_ref().1.peer_certificates());
                    requests(TokioIo::new(stream), Sender { certificate, ..peer }, router, stop).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone)]
struct Sender {
    address: IpAddr,
    trusted: Vec<IpNet>,
    certificate_header: Option<HeaderName>,
    authorities: Authorities,
    /// What came in our own handshake.
    certificate: Option<PeerCertificate>,
}

impl Sender {
    /// Notes in a request who sent it: addresses and certificates, and never by what a stranger writes.
    fn note(&self, request: &mut Request<Body>) {
        let address = client_address(self.address, request.headers(), &self.trusted);
        let named = self.certificate_header.as_ref().and_then(|header| {
            let believed = self.trusted.iter().any(|net| net.contains(&self.address));
            self.authorities.named(request.headers_mut(), header, believed)
        });
        request.extensions_mut().insert(Peer(address));
        request.extensions_mut().insert(ClientAddress(address));
        if let Some(certificate) = named.or_else(|| self.certificate.clone()) {
            request.extensions_mut().insert(certificate);
        }
    }
}

async fn requests<I>(io: I, sender: Sender, router: Router, stop: CancellationToken)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let begun = CancellationToken::new();
    let seen = begun.clone();
    let peer = sender.address;
    let service = tower::service_fn(move |request: Request<Incoming>| {
        seen.cancel();
        let mut request = request.map(Body::new);
        sender.note(&mut request);
        router.clone().oneshot(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES as u32)
        .max_concurrent_streams(128)
        // A peer that is gone without a word does not keep its place.
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    let connection = builder.serve_connection(io, TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence(&begun) => {
            tracing::debug!(%peer, "a connection brought no request and is closed");
            return;
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Resolves when the first request should have come and has not.
async fn silence(begun: &CancellationToken) {
    let came = tokio::time::timeout(FIRST_REQUEST, begun.cancelled()).await.is_ok();
    if came {
        std::future::pending::<()>().await;
    }
}

/// The peer's address. Behind trusted proxies: the last address of `X-Forwarded-For` that is not one of
/// theirs; every earlier one is whatever the client liked to write.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let named: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .collect();
    let mut address = peer;
    for text in named.into_iter().rev() {
        let Ok(next) = text.trim().parse() else { return address };
        address = next;
        if !is_trusted(&address) {
            return address;
        }
    }
    address
}

/// Waits for SIGINT or SIGTERM. Made before anybody is told that the gate is ready, so that a signal that
/// comes right then is not lost to the default, which is to die without a word in the log.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// When they cannot be installed.
    pub fn install() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate })
    }

    /// Resolves at the first signal.
    pub async fn asked_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", http::HeaderValue::from_static(line));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed_and_one_with_a_request_is_not() {
        let begun = CancellationToken::new();
        tokio::time::timeout(FIRST_REQUEST * 2, silence(&begun)).await.expect("it was silent");
        begun.cancel();
        assert!(tokio::time::timeout(FIRST_REQUEST * 2, silence(&begun)).await.is_err());
    }

    #[test]
    fn where_proxies_are_named_nobody_else_connects() {
        let open = Protection::default();
        let closed = Protection { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Protection::default() };
        let (inside, outside) = ("10.1.2.3".parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert!(open.admits(outside) && closed.admits(inside) && !closed.admits(outside));
    }

    #[test]
    fn a_stranger_does_not_choose_its_address() {
        assert_eq!(address("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(address("10.0.0.1", &["1.2.3.4, 198.51.100.7, 10.0.0.9"]), "198.51.100.7");
        assert_eq!(address("10.0.0.1", &["1.2.3.4", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(address("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }

    fn written(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn made(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap()
    }

    /// What the gate behind a listener is told about who sent a request.
    async fn told(ask: bool, client: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let dir = tempfile::tempdir().unwrap();
        let ours = made("localhost");
        let certificate = written(dir.path(), "cert.pem", &ours.cert.pem());
        let key = written(dir.path(), "key.pem", &ours.signing_key.serialize_pem());
        let protection = Protection { tls: Some(tls(&certificate, &key, ask).unwrap()), ..Protection::default() };
        let router = Router::new().fallback(async |request: Request<Body>| {
            let seen = request.extensions().get::<PeerCertificate>();
            seen.map_or_else(|| "nobody".to_owned(), |seen| format!("{} {}", seen.x5t_s256, seen.trusted))
        });
        let listener = bind("127.0.0.1:0".parse().unwrap(), "test").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, protection, stop.clone()));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ours.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let key = PrivateKeyDer::try_from(client.signing_key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![client.cert.der().clone()], key).unwrap()
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the test is the client")]
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        stop.cancel();
        let _ = serving.await;
        answer.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_clients_certificate_reaches_the_request_only_where_it_is_asked_for_and_proved() {
        let client = made("agent.example");
        let digest = sallyport_oauth::thumbprint::of_certificate(client.cert.der());
        assert_eq!(told(true, Some(&client)).await, format!("{digest} false"));
        assert_eq!(told(true, None).await, "nobody");
        assert_eq!(told(false, Some(&client)).await, "nobody");
    }
}
