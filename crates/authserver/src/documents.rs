//! Fetching the documents of clients known by URL. The application implements the fetching over
//! `outbound` with its guard against requests to inner addresses; this crate opens no connection.

use std::time::Duration;

use async_trait::async_trait;

/// A document as it came.
#[derive(Debug, Clone)]
pub struct Document {
    /// The body; at most [`sallyport_oauth::client_document::MAX_BYTES`].
    pub bytes: Vec<u8>,
    /// `max-age` of `Cache-Control`, if there was one; zero for `no-store` and `no-cache`.
    pub max_age: Option<Duration>,
}

/// Why a document did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchFault {
    /// The address is one that must not be reached from here.
    #[error("the address is not a public one")]
    Forbidden,
    /// No answer in time, no connection, no valid certificate.
    #[error("the document could not be fetched: {0}")]
    Unreachable(String),
    /// Not a 200 with JSON, a redirect, or too large.
    #[error("the answer is no client metadata document: {0}")]
    Unusable(String),
}

/// Fetches documents of strangers.
#[async_trait]
pub trait DocumentFetcher: Send + Sync {
    /// Fetches `url` by GET without credentials and without following redirects, in a few seconds at
    /// most, refusing every address that is not public.
    async fn fetch(&self, url: &url::Url) -> Result<Document, FetchFault>;
}
