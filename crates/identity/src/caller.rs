//! The browser behind a request: its headers and where it is.

use axum::extract::FromRequestParts;
use http::{HeaderMap, StatusCode, header, request::Parts};
use sallyport_model::event::Source;
use sallyport_web::ClientAddress;

/// Whoever sent the request; nothing about it is verified but the address.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) address: ClientAddress,
    pub(crate) headers: HeaderMap,
}

impl Caller {
    /// For audit events.
    pub(crate) fn source(&self) -> Source {
        let agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Source {
            address: self.address.0.to_canonical().to_string(),
            user_agent: agent.map(|text| text.chars().take(200).collect()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = (StatusCode, &'static str);

    /// Without an address no limit could be counted: then nothing is served.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let address = parts.extensions.get::<ClientAddress>().copied();
        let address = address.ok_or((StatusCode::INTERNAL_SERVER_ERROR, "the request has no client address"))?;
        Ok(Self { address, headers: parts.headers.clone() })
    }
}
