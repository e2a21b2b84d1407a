//! Fetching one document from a URL that a stranger wrote.
//!
//! The name is resolved once, by us; every address is checked; the connection goes to a checked
//! address, so that a second answer of the name server (rebinding) changes nothing. Any port is
//! allowed: the address is what protects, and metadata documents live on odd ports too. `https`
//! only, except to networks that the operator allowed. No user information, no redirect, no
//! compression, no credentials, no proxy from the environment; limits on size and on total time.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use url::{Host, Position, Url};

use crate::{
    AddressPolicy, Error,
    tls::{self, Connector},
};

/// At most so many addresses of a name are looked at.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// Turns a name into addresses.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The addresses of `host`, in the order in which to try them.
    ///
    /// # Errors
    /// When the name does not resolve.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// What one fetch may cost and bring.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, bytes.
    pub max_bytes: usize,
    /// From the resolution to the last byte.
    pub total: Duration,
    /// Media types that a 2xx answer may have, in lower case without parameters. `+json` at the end
    /// of a found type matches an `application/json` here (RFC 6839).
    pub content_types: &'static [&'static str],
}

/// Small JSON documents: 64 KiB, five seconds.
pub const JSON_LIMITS: Limits =
    Limits { max_bytes: 64 * 1024, total: Duration::from_secs(5), content_types: &["application/json"] };

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The status; never a redirect.
    pub status: StatusCode,
    /// The media type in lower case without parameters; empty where absent.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
    /// How long it may be cached: `Cache-Control`'s `max-age`, zero for `no-store` and `no-cache`
    /// (RFC 9111), `None` where nothing is said.
    pub max_age: Option<Duration>,
    /// `ETag`.
    pub etag: Option<String>,
}

/// The guarded client.
#[derive(Debug, Clone)]
pub struct DocumentClient {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolver>,
    tls: Connector,
}

impl DocumentClient {
    /// A client that reaches what `policy` admits. `extra_roots` are trusted besides the web's roots.
    ///
    /// # Errors
    /// [`Error::Tls`] when an extra root does not parse.
    pub fn new(
        policy: AddressPolicy,
        resolver: Arc<dyn Resolver>,
        extra_roots: &[CertificateDer<'static>],
    ) -> Result<Self, Error> {
        let mut config = tls::client_config(extra_roots, None)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { policy, resolver, tls: Connector::new(config) })
    }

    /// Fetches `url` with GET.
    ///
    /// # Errors
    /// Every [`Error`] that names a host. An answer of 4xx or 5xx is a [`Document`].
    pub async fn fetch(&self, url: &Url, limits: &Limits) -> Result<Document, Error> {
        let host = url.host_str().unwrap_or_default().to_owned();
        match tokio::time::timeout(limits.total, self.fetch_untimed(url, limits)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { host, after: limits.total }),
        }
    }

    async fn fetch_untimed(&self, url: &Url, limits: &Limits) -> Result<Document, Error> {
        let target = Target::of(url)?;
        let addresses = self.checked_addresses(&target).await?;
        let tcp = connect(&target, &addresses).await?;
        if !target.tls {
            return exchange(tcp, &target, limits).await;
        }
        let stream = self.tls.0.connect(target.tls_name()?, tcp).await.map_err(|source| target.unreachable(source))?;
        exchange(stream, &target, limits).await
    }

    /// Resolves once. One refused address refuses the name: an answer that mixes public and private
    /// addresses is an attack or a mistake, and trying "the good ones" would hide either.
    async fn checked_addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Error> {
        let mut addresses = match &target.literal {
            Some(address) => vec![*address],
            None => self
                .resolver
                .resolve(&target.host)
                .await
                .map_err(|source| Error::Resolve { host: target.host.clone(), source })?,
        };
        if addresses.is_empty() {
            let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(Error::Resolve { host: target.host.clone(), source });
        }
        for address in &addresses {
            self.policy.admit(*address).map_err(|why| Error::AddressRefused {
                host: target.host.clone(),
                address: *address,
                why,
            })?;
            if !target.tls && !self.policy.allows(*address) {
                return Err(Error::BadUrl { host: target.host.clone(), why: "only https is fetched" });
            }
        }
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, target.port)).collect())
    }
}

/// A URL taken apart.
pub(crate) struct Target {
    pub(crate) tls: bool,
    /// As in the URL: IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) literal: Option<IpAddr>,
    pub(crate) port: u16,
    /// `Host`'s value: the port only where it is not the scheme's own.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn of(url: &Url) -> Result<Self, Error> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let bad = |why| Error::BadUrl { host: host.clone(), why };
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(bad("only https is fetched")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds a user name or password"));
        }
        let literal = match url.host() {
            None => return Err(bad("it has no host")),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        };
        let port = url.port_or_known_default().ok_or_else(|| bad("it has no port"))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
        Ok(Self { tls, host, literal, port, authority, path })
    }

    pub(crate) fn tls_name(&self) -> Result<ServerName<'static>, Error> {
        ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Error::BadUrl { host: self.host.clone(), why: "its host is no valid TLS name" })
    }
    pub(crate) fn unreachable(&self, source: io::Error) -> Error {
        Error::Connect { host: self.host.clone(), source }
    }
    pub(crate) fn broken(&self, source: hyper::Error) -> Error {
        Error::Exchange { host: self.host.clone(), source }
    }
}

pub(crate) async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        #[expect(clippy::disallowed_methods, reason = "this crate is where connections are opened")]
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(target.unreachable(last))
}

async fn exchange<S>(stream: S, target: &Target, limits: &Limits) -> Result<Document, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|source| target.broken(source))?;
    let request = Request::get(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::ACCEPT, limits.content_types.join(", "))
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::USER_AGENT, "sallyport")
        .body(Empty::new())
        .map_err(|_| Error::BadUrl { host: target.host.clone(), why: "it makes no valid request" })?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|source| target.broken(source))?;
        read(response, target, limits).await
    };
    // The connection lives as long as this call: dropping the call drops the socket.
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

async fn read(response: http::Response<Incoming>, target: &Target, limits: &Limits) -> Result<Document, Error> {
    let (head, body) = response.into_parts();
    if head.status.is_redirection() {
        return Err(Error::Redirect { host: target.host.clone(), location: location_host(&head.headers) });
    }
    let wrong_type = |found: String| Error::ContentType { host: target.host.clone(), found };
    let content_type = media_type(&head.headers);
    if head.status.is_success() && !limits.content_types.iter().any(|wanted| matches_type(wanted, &content_type)) {
        return Err(wrong_type(content_type));
    }
    let encoding = text(&head.headers, &header::CONTENT_ENCODING).unwrap_or("identity");
    if !encoding.eq_ignore_ascii_case("identity") {
        return Err(wrong_type(format!("content-encoding: {encoding}")));
    }
    let body = Limited::new(body, limits.max_bytes).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Error::TooLarge { host: target.host.clone(), limit: limits.max_bytes };
        }
        match error.downcast::<hyper::Error>() {
            Ok(source) => target.broken(*source),
            Err(other) => target.unreachable(io::Error::other(other)),
        }
    })?;
    Ok(Document {
        status: head.status,
        content_type,
        body: body.to_bytes(),
        max_age: max_age(&head.headers),
        etag: text(&head.headers, &header::ETAG).map(str::to_owned),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn media_type(headers: &HeaderMap) -> String {
    let value = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn matches_type(wanted: &str, found: &str) -> bool {
    found == wanted || (wanted == "application/json" && found.starts_with("application/") && found.ends_with("+json"))
}

fn location_host(headers: &HeaderMap) -> String {
    let location = text(headers, &header::LOCATION).unwrap_or_default();
    Url::parse(location).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if directive == "no-store" || directive == "no-cache" {
                return Some(Duration::ZERO);
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                // What is not a number is no permission to cache (RFC 9111 section 4.2.1).
                found = Some(Duration::from_secs(seconds.trim_matches('"').parse().unwrap_or(0)));
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
