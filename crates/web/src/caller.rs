//! Whoever sent a request: headers, address and certificate. Nothing about it is verified but the address, and that
//! the certificate's key is the sender's.

use axum::extract::FromRequestParts;
use http::{HeaderMap, StatusCode, header, request::Parts};
use sallyport_model::{PeerCertificate, event::Source};

use crate::ClientAddress;

/// The sender of a request, as a handler takes it. A request without a [`ClientAddress`] extension gets
/// a 500: without an address no limit could be counted, so nothing is served.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where the request came from.
    pub address: ClientAddress,
    /// The request's headers, as they were sent.
    pub headers: HeaderMap,
    /// The TLS client certificate, where there was one.
    pub certificate: Option<PeerCertificate>,
}

impl Caller {
    /// For audit events: the address and at most 200 characters of what the sender calls itself.
    pub fn source(&self) -> Source {
        let agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Source {
            address: self.address.0.to_canonical().to_string(),
            user_agent: agent.map(|text| text.chars().take(200).collect()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<ClientAddress>().copied();
        let address = address.ok_or((StatusCode::INTERNAL_SERVER_ERROR, "the request has no client address"))?;
        let certificate = parts.extensions.get::<PeerCertificate>().cloned();
        Ok(Self { address, headers: parts.headers.clone(), certificate })
    }
}
