//! Requests to identity providers and transmitters of security events: addresses that a tenant's administrator
//! wrote, or that a provider's document named. Guarded like a stranger's.
//!
//! A name is resolved anew for each exchange and every address is checked; `https` only, except to networks
//! that the operator allowed; no redirect is followed; body and time are bounded.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use rustls_pki_types::CertificateDer;
use url::Url;

use crate::{AddressPolicy, Error, guard::Resolver, probe::ProbeClient};

/// From the resolution to the last byte.
const TOTAL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(4);

/// A client for identity providers. Cheap to clone.
#[derive(Clone)]
pub struct ProviderClient(Arc<Inner>);

struct Inner {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolver>,
    roots: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for ProviderClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderClient(…)")
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct ProviderRequest {
    /// `GET` or `POST`.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// All that is sent besides `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The largest answer that is read, bytes.
    pub max_bytes: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct ProviderAnswer {
    /// The status, redirects too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// As the guard or the network says.
    #[error(transparent)]
    Outbound(#[from] Error),
    /// Plain HTTP, and the operator did not allow that network.
    #[error("{0} is not https")]
    NotHttps(Url),
    /// It answers more than was bargained for.
    #[error("{url} answered more than {limit} bytes")]
    TooLarge {
        /// Where.
        url: Url,
        /// What would have been read.
        limit: usize,
    },
    /// It does not answer in time.
    #[error("{0} did not answer within 10 s")]
    Late(Url),
}

impl ProviderClient {
    /// A client that reaches what `policy` admits and trusts `roots` besides the web's.
    pub fn new(policy: AddressPolicy, resolver: Arc<dyn Resolver>, roots: Vec<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Inner { policy, resolver, roots }))
    }

    /// Sends one request and reads its whole answer.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn send(&self, request: ProviderRequest) -> Result<ProviderAnswer, ProviderError> {
        let url = request.url.clone();
        if url.scheme() != "https" && !self.may_be_plain(&url) {
            return Err(ProviderError::NotHttps(url));
        }
        match tokio::time::timeout(TOTAL, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProviderError::Late(url)),
        }
    }

    /// Whether a URL is plain HTTP to an address that the operator allowed by itself.
    fn may_be_plain(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.into(),
            Some(url::Host::Ipv6(ip)) => ip.into(),
            Some(url::Host::Domain("localhost")) => std::net::Ipv4Addr::LOCALHOST.into(),
            _ => return false,
        };
        self.0.policy.allows(address)
    }

    async fn exchange(&self, request: ProviderRequest) -> Result<ProviderAnswer, ProviderError> {
        // A client of its own for each exchange: it pins what a name resolves to for its life.
        let client = ProbeClient::new(Arc::clone(&self.0.resolver), &self.0.roots, CONNECT)?;
        let ProviderRequest { method, url, headers, body, max_bytes } = request;
        let mut answer = client.send(&self.0.policy, method, &url, headers, body).await?;
        let mut read = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            if read.len() + chunk.len() > max_bytes {
                return Err(ProviderError::TooLarge { url, limit: max_bytes });
            }
            read.extend_from_slice(&chunk);
        }
        Ok(ProviderAnswer { status: answer.status, headers: answer.headers.clone(), body: read.freeze() })
    }
}
