//! Fetching the documents of clients known by URL. The application implements the fetching over
//! `outbound` with its guard against requests to inner addresses; this crate opens no connection.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use sallyport_model::{ClientId, Timestamp};

/// A document that could not be used is not fetched again for so long.
const FAILED_FOR: Duration = Duration::from_secs(60);
/// Most failures that are remembered; past it, the fetches per address are the only limit.
const MOST_FAILURES: usize = 1024;

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

/// Clients whose document could not be used lately, so that nobody makes us fetch it in a loop.
#[derive(Debug, Default)]
pub(crate) struct RecentFailures(Mutex<HashMap<ClientId, Timestamp>>);

impl RecentFailures {
    pub(crate) fn has(&self, id: &ClientId, now: Timestamp) -> bool {
        let Ok(failures) = self.0.lock() else { return false };
        failures.get(id).is_some_and(|at| at.plus(FAILED_FOR) > now)
    }

    pub(crate) fn add(&self, id: ClientId, now: Timestamp) {
        let Ok(mut failures) = self.0.lock() else { return };
        if failures.len() >= MOST_FAILURES {
            failures.retain(|_, at| at.plus(FAILED_FOR) > now);
        }
        if failures.len() < MOST_FAILURES {
            failures.insert(id, now);
        }
    }
}
