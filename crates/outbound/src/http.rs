//! The client for an upstream's HTTP endpoint, whose URL an administrator wrote.
//!
//! Pooled, HTTP/1.1 and HTTP/2 (by ALPN), streaming. One client reaches one origin. It sets no header
//! (hyper adds `Host` and `Content-Length`), follows no redirect, keeps no cookie, reads no proxy
//! setting from the environment. Redirects come back as they are.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls_pki_types::CertificateDer;
use url::Url;

use crate::{ClientIdentity, Error, tls};

/// How to reach an upstream.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// For TCP and TLS together, per address.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How many idle connections are kept.
    pub max_idle: usize,
    /// Authorities trusted besides the web's roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// A client certificate, where the upstream wants one.
    pub identity: Option<ClientIdentity>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            // Node's and uvicorn's servers close an idle connection after 5 s. A request that is sent at
            // that very moment is lost, and may not be sent again: let go first.
            idle_timeout: Duration::from_secs(4),
            max_idle: 64,
            extra_roots: Vec::new(),
            identity: None,
        }
    }
}

/// A pooled client for one origin.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    host: String,
    scheme: String,
    authority: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl UpstreamClient {
    /// A client for the origin of `url`, which comes from the configuration.
    ///
    /// # Errors
    /// [`Error::BadUrl`] for anything but http(s) with a host and without user information,
    /// [`Error::Tls`] for certificates that do not work.
    pub fn new(url: &Url, options: &HttpOptions) -> Result<Self, Error> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let bad = |why| Error::BadUrl { host: host.clone(), why };
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(bad("an upstream's URL begins with https:// or http:// and names a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds a user name or password; configure a credential instead"));
        }
        let uri: Uri = url.as_str().parse().map_err(|_| bad("it makes no valid request"))?;
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?.as_str().to_owned();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_keepalive(Some(Duration::from_secs(30)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(&options.extra_roots, options.identity.as_ref())?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.max_idle)
            .http1_max_buf_size(256 * 1024)
            .build(connector);
        Ok(Self { host, scheme: url.scheme().to_owned(), authority, client })
    }

    /// Sends `request`, whose URI is absolute and of this client's origin. Returns at the response's
    /// head; the body streams. Dropping the body ends the exchange.
    ///
    /// # Errors
    /// [`Error::ForeignHost`], or [`Error::Upstream`] that says whether the request may have been sent.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let scheme = request.uri().scheme_str().unwrap_or_default();
        let authority = request.uri().authority().map(|a| a.as_str()).unwrap_or_default();
        if scheme != self.scheme || authority != self.authority {
            let configured = format!("{}://{}", self.scheme, self.authority);
            return Err(Error::ForeignHost { configured, asked: format!("{scheme}://{authority}") });
        }
        self.client.request(request).await.map_err(|source| {
            let sent = !source.is_connect();
            Error::Upstream { host: self.host.clone(), sent, source }
        })
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
