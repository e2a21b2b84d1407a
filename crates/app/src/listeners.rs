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
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use ipnet::IpNet;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
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
}

impl Protection {
    /// Whether a peer may connect: anybody, or the trusted proxies where they are named.
    fn admits(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.is_empty() || self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}

/// Our own TLS from PEM files.
///
/// # Errors
/// When a file cannot be read or the key does not fit.
pub fn tls(certificate: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("server.tls.certificate: {} does not read", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("server.tls.key: {} does not read", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("server.tls: the key does not fit the certificate")?;
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
    let trusted = protection.trusted_proxies.clone();
    match protection.tls {
        None => requests(TokioIo::new(stream), peer, router, trusted, stop).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(HEADER_TIME, handshake).await {
                Ok(Ok(stream)) => requests(TokioIo::new(stream), peer, router, trusted, stop).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

async fn requests<I>(io: I, peer: IpAddr, router: Router, trusted: Vec<IpNet>, stop: CancellationToken)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let begun = CancellationToken::new();
    let seen = begun.clone();
    let service = tower::service_fn(move |request: Request<Incoming>| {
        seen.cancel();
        let mut request = request.map(Body::new);
        let address = client_address(peer, request.headers(), &trusted);
        request.extensions_mut().insert(Peer(address));
        request.extensions_mut().insert(ClientAddress(address));
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
}
