//! One request of any kind to a server under assessment, which may be hostile.
//!
//! A name is resolved once for the life of the client and every address is checked against the caller's
//! policy, so that neither a document of the target nor a second answer of the name server leads anywhere
//! else. HTTP/1.1, a connection of its own for each request, a bounded head, a body that streams. It sends
//! no header that the caller did not write (`Host` and `Content-Length` apart), follows no redirect, and
//! bounds neither time (but for connecting) nor the body: the caller does.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
};
use url::Url;

use crate::{
    AddressPolicy, Error,
    guard::{MAX_ADDRESSES, Resolver, Target, connect},
    tls::{self, Connector},
};

/// The most bytes that the head of an answer may have.
const MAX_HEAD: usize = 64 * 1024;
/// The most header lines that an answer may have.
const MAX_HEADERS: usize = 256;

/// A client for servers under assessment.
#[derive(Debug)]
pub struct ProbeClient {
    resolver: Arc<dyn Resolver>,
    tls: Connector,
    connect_timeout: Duration,
    pinned: Mutex<HashMap<String, Vec<IpAddr>>>,
}

/// An answer's head, and its body still to come. Dropping it ends the connection.
pub struct ProbeAnswer {
    /// The status, redirects too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// `1.2` or `1.3`; `None` without TLS.
    pub tls: Option<&'static str>,
    host: String,
    body: Incoming,
    _connection: Ended,
}

impl fmt::Debug for ProbeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl ProbeAnswer {
    /// The next piece of the body; `None` at its end. Safe to cancel.
    ///
    /// # Errors
    /// [`Error::Exchange`] when the peer breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(source)) => return Err(Error::Exchange { host: self.host.clone(), source }),
                // Trailers say nothing that a probe looks at.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

impl ProbeClient {
    /// A client that trusts `extra_roots` besides the web's roots.
    ///
    /// # Errors
    /// [`Error::Tls`] when an extra root does not parse.
    pub fn new(
        resolver: Arc<dyn Resolver>,
        extra_roots: &[CertificateDer<'static>],
        connect_timeout: Duration,
    ) -> Result<Self, Error> {
        let mut config = tls::client_config(extra_roots, None)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { resolver, tls: Connector::new(config), connect_timeout, pinned: Mutex::default() })
    }

    /// Every address of the URL's host, as they were when it was first asked for.
    ///
    /// # Errors
    /// [`Error::BadUrl`] and [`Error::Resolve`].
    pub async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, Error> {
        self.resolve(&Target::of(url)?).await
    }

    /// Sends one request. Returns at the answer's head.
    ///
    /// # Errors
    /// Every [`Error`] that names a host; [`Error::AddressRefused`] when `policy` does not admit one of its
    /// addresses.
    pub async fn send(
        &self,
        policy: &AddressPolicy,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<ProbeAnswer, Error> {
        let target = Target::of(url)?;
        let addresses = self.resolve(&target).await?;
        for address in &addresses {
            let refused = |why| Error::AddressRefused { host: target.host.clone(), address: *address, why };
            policy.admit(*address).map_err(refused)?;
        }
        let mut request = Request::builder().method(method).uri(&target.path);
        if let Some(all) = request.headers_mut() {
            *all = headers;
            if !all.contains_key(header::HOST) {
                all.insert(header::HOST, target.authority.parse().map_err(|_| bad(&target))?);
            }
        }
        let request = request.body(Full::new(body)).map_err(|_| bad(&target))?;
        let connected = tokio::time::timeout(self.connect_timeout, self.open(&target, &addresses)).await;
        let late = |_| Error::Timeout { host: target.host.clone(), after: self.connect_timeout };
        match connected.map_err(late)?? {
            Opened::Plain(stream) => exchange(stream, None, &target, request).await,
            Opened::Tls(stream, version) => exchange(*stream, version, &target, request).await,
        }
    }

    async fn open(&self, target: &Target, addresses: &[IpAddr]) -> Result<Opened, Error> {
        let addresses: Vec<_> =
            addresses.iter().take(MAX_ADDRESSES).map(|address| SocketAddr::new(*address, target.port)).collect();
        let tcp = connect(target, &addresses).await?;
        let _ = tcp.set_nodelay(true);
        if !target.tls {
            return Ok(Opened::Plain(tcp));
        }
        let name = target.tls_name()?;
        let stream = self.tls.0.connect(name, tcp).await.map_err(|source| target.unreachable(source))?;
        let version = match stream.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => Some("1.3"),
            Some(rustls::ProtocolVersion::TLSv1_2) => Some("1.2"),
            _ => None,
        };
        Ok(Opened::Tls(Box::new(stream), version))
    }

    async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, Error> {
        if let Some(address) = target.literal {
            return Ok(vec![address]);
        }
        let known = self.pinned.lock().unwrap_or_else(PoisonError::into_inner).get(&target.host).cloned();
        if let Some(addresses) = known {
            return Ok(addresses);
        }
        let failed = |source| Error::Resolve { host: target.host.clone(), source };
        let found = self.resolver.resolve(&target.host).await.map_err(failed)?;
        if found.is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
        }
        // Two that ask at once must not end up with two answers: the first one stays.
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(pinned.entry(target.host.clone()).or_insert(found).clone())
    }
}

enum Opened {
    Plain(tokio::net::TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>, Option<&'static str>),
}

fn bad(target: &Target) -> Error {
    Error::BadUrl { host: target.host.clone(), why: "it makes no valid request" }
}

async fn exchange<S>(
    stream: S,
    tls: Option<&'static str>,
    target: &Target,
    request: Request<Full<Bytes>>,
) -> Result<ProbeAnswer, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| target.broken(source))?;
    let connection = Ended(tokio::spawn(async move { drop(connection.await) }).abort_handle());
    let response = sender.send_request(request).await.map_err(|source| target.broken(source))?;
    let (head, body) = response.into_parts();
    Ok(ProbeAnswer {
        status: head.status,
        headers: head.headers,
        tls,
        host: target.host.clone(),
        body,
        _connection: connection,
    })
}

/// Ends the connection with whoever holds it: a request that is given up, or an answer that is dropped.
struct Ended(AbortHandle);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
