//! What crosses between crates that do not know one another: resources and documents.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use sallyport_authserver::{Document, DocumentFetcher, FetchFault, ResourceInfo, Resources, ScopeInfo};
use sallyport_model::ScopeSet;
use sallyport_outbound::{
    guard::{DocumentClient, JSON_LIMITS, Limits},
    provider::{ProviderClient, ProviderError, ProviderRequest},
};
use sallyport_proxy::{Gate, Served};

/// The gate's upstreams as the authorization server's resources.
pub struct GateResources(pub Gate);

impl Resources for GateResources {
    fn resource(&self, uri: &str) -> Option<ResourceInfo> {
        self.0.all_served().find(|served| served.resource() == uri).map(info)
    }

    fn resources(&self) -> Vec<ResourceInfo> {
        self.0.all_served().map(info).collect()
    }
}

fn info(served: &Arc<Served>) -> ResourceInfo {
    let scopes = served.scopes().into_iter().map(|meaning| ScopeInfo {
        scope: meaning.scope,
        title: meaning.title,
        description: meaning.description.unwrap_or_default(),
        includes: ScopeSet::empty(),
        risky: meaning.acts,
    });
    ResourceInfo {
        uri: served.resource().to_owned(),
        upstream: served.name().clone(),
        title: served.offered().title.clone(),
        scopes: scopes.collect(),
        initial_scopes: served.offered().initial_scopes(),
    }
}

/// Fetches clients' documents through the guard against requests to inner addresses.
pub struct GuardedDocuments(pub DocumentClient);

#[async_trait]
impl DocumentFetcher for GuardedDocuments {
    async fn fetch(&self, url: &url::Url) -> Result<Document, FetchFault> {
        use sallyport_outbound::Error;
        let limits = Limits { max_bytes: sallyport_oauth::client_document::MAX_BYTES, ..JSON_LIMITS };
        let document = self.0.fetch(url, &limits).await.map_err(|error| match error {
            Error::AddressRefused { .. } => FetchFault::Forbidden,
            Error::Redirect { .. } | Error::TooLarge { .. } | Error::ContentType { .. } => {
                FetchFault::Unusable(error.to_string())
            }
            other => FetchFault::Unreachable(other.to_string()),
        })?;
        if document.status != http::StatusCode::OK {
            return Err(FetchFault::Unusable(format!("its status is {}", document.status)));
        }
        Ok(Document { bytes: document.body.to_vec(), max_age: document.max_age })
    }
}

/// Fetches what workloads' platforms publish: discovery documents and key sets. Their addresses are administrators'
/// words, so they are reached as identity providers are.
pub struct PlatformDocuments(pub ProviderClient);

/// The largest that is read, bytes.
const MOST_PLATFORM_BYTES: usize = 256 * 1024;

#[async_trait]
impl DocumentFetcher for PlatformDocuments {
    async fn fetch(&self, url: &url::Url) -> Result<Document, FetchFault> {
        use sallyport_outbound::Error;
        let request = ProviderRequest {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]),
            body: Bytes::new(),
            max_bytes: MOST_PLATFORM_BYTES,
        };
        let answer = self.0.send(request).await.map_err(|error| match error {
            ProviderError::Outbound(Error::AddressRefused { .. }) | ProviderError::NotHttps(_) => FetchFault::Forbidden,
            ProviderError::TooLarge { .. } => FetchFault::Unusable(error.to_string()),
            other => FetchFault::Unreachable(other.to_string()),
        })?;
        if answer.status != http::StatusCode::OK {
            return Err(FetchFault::Unusable(format!("its status is {}", answer.status)));
        }
        Ok(Document { bytes: answer.body.to_vec(), max_age: None })
    }
}
