//! The metadata of a connection's provider: from the administrator's file, or fetched from her address and kept, so
//! that neither a restart nor an hour without the provider changes who may sign in.

use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sallyport_model::{Timestamp, hex};
use sallyport_outbound::provider::ProviderRequest;
use sallyport_saml::{Certificate, IdpMetadata, MetadataTrust, read_metadata};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Party,
    fault::{refusal, sentence},
};
use crate::{Identity, IdentityError, federation::refused::Refused, session::sha256, settings::SamlSettings};

/// The largest document that is read: a federation's, cut to what a tenant may name, bytes.
const MOST: usize = 2 * 1024 * 1024;
/// After this they are fetched again, whatever they say.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the last good ones serve when the provider does not answer and they set no end.
const STALE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How soon they are fetched again after that failed, or because a signature fits none of their certificates.
const AGAIN: Duration = Duration::from_secs(30);
/// Names under which they, and the last failure, are kept.
const KEPT: &str = "metadata";
const FAILED: &str = "metadata_failed";

/// Metadata or why there are none.
type Read = Result<Result<IdpMetadata, Refused>, IdentityError>;

/// What is kept of a fetch.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Digest of the settings that it was fetched by: under others it is worth nothing.
    by: String,
    metadata: IdpMetadata,
}

/// What is kept of a fetch that failed.
#[derive(Serialize, Deserialize)]
struct Failed {
    by: String,
    code: String,
    what: String,
}

impl Party {
    /// The provider's metadata as they are known now.
    pub(super) async fn metadata(&self, identity: &Identity) -> Read {
        self.read_theirs(identity, false).await
    }

    /// The same after a signature fitted none of the certificates: fetched anew, if that was not just done.
    pub(super) async fn newer_metadata(&self, identity: &Identity) -> Read {
        self.read_theirs(identity, true).await
    }

    async fn read_theirs(&self, identity: &Identity, newer: bool) -> Read {
        let now = identity.now();
        let Some(url) = &self.settings.metadata_url else { return self.of_file(now) };
        let kept = self.kept(identity).await?.filter(|(kept, at)| serves(kept, *at, now));
        if let Some((metadata, at)) = &kept {
            let asked_for = if newer { AGAIN } else { fresh_for(metadata) };
            if now < at.plus(asked_for) {
                return Ok(Ok(metadata.clone()));
            }
        }
        let failure = match self.just_failed(identity, now).await? {
            Some(failure) => failure,
            None => match self.fetched(identity, url, now).await? {
                Ok(metadata) => return Ok(Ok(metadata)),
                Err(failure) => failure,
            },
        };
        match kept {
            Some((metadata, at)) => {
                let connection = &self.connection.id;
                tracing::warn!(%connection, %at, why = failure.what, "the last good SAML metadata are used");
                Ok(Ok(metadata))
            }
            None => Ok(Err(failure)),
        }
    }

    fn of_file(&self, now: Timestamp) -> Read {
        let Some(document) = &self.settings.metadata else {
            return Err(self.bad_settings("they name neither metadata nor where they are fetched from"));
        };
        self.parsed(document.as_bytes(), now)
    }

    /// Reads a document as the settings want it: this entity, and signed where a certificate says so.
    fn parsed(&self, document: &[u8], now: Timestamp) -> Read {
        let signer = match &self.settings.metadata_certificate {
            Some(pem) => vec![Certificate::from_text(pem).map_err(|fault| self.bad_settings(&fault.to_string()))?],
            None => Vec::new(),
        };
        let trust = if signer.is_empty() { MetadataTrust::Source } else { MetadataTrust::SignedBy(&signer) };
        Ok(read_metadata(document, Some(&self.settings.idp_entity_id), trust, now).map_err(|fault| refusal(&fault)))
    }

    fn bad_settings(&self, why: &str) -> IdentityError {
        IdentityError::Settings(self.connection.id.to_string(), why.to_owned())
    }

    /// What decides over the metadata: a change of these makes what is kept worthless.
    fn by(&self) -> String {
        let SamlSettings { idp_entity_id, metadata_url, metadata_certificate, .. } = &self.settings;
        let all = serde_json::json!([idp_entity_id, metadata_url, metadata_certificate]);
        hex(&sha256(&all.to_string()))
    }

    async fn kept(&self, identity: &Identity) -> Result<Option<(IdpMetadata, Timestamp)>, IdentityError> {
        let Some((document, at)) = identity.store().fetched(&self.connection.id, KEPT).await? else { return Ok(None) };
        // One that an earlier version wrote otherwise is fetched again.
        let kept: Option<Kept> = serde_json::from_str(&document).ok();
        Ok(kept.filter(|kept| kept.by == self.by()).map(|kept| (kept.metadata, at)))
    }

    async fn just_failed(&self, identity: &Identity, now: Timestamp) -> Result<Option<Refused>, IdentityError> {
        let failed = identity.store().fetched(&self.connection.id, FAILED).await?;
        let Some((document, at)) = failed.filter(|(_, at)| now < at.plus(AGAIN)) else { return Ok(None) };
        let failed: Option<Failed> = serde_json::from_str(&document).ok();
        let failed = failed.filter(|failed| failed.by == self.by());
        Ok(failed.map(|failed| {
            let what = format!("{} (Tried at {at}; tried again 30 s later at the earliest.)", failed.what);
            Refused::new("saml_metadata_unavailable", what, Some(REMEDY))
        }))
    }

    /// Fetches, reads and keeps them; a failure is kept too.
    async fn fetched(&self, identity: &Identity, url: &Url, now: Timestamp) -> Read {
        let read = match fetch(identity, url).await {
            Ok(document) => self.parsed(&document, now)?,
            Err(refused) => Err(refused),
        };
        let (name, document) = match &read {
            Ok(metadata) => (KEPT, serde_json::to_string(&Kept { by: self.by(), metadata: metadata.clone() })),
            Err(refused) => {
                let failed = Failed { by: self.by(), code: refused.code.to_owned(), what: refused.what.clone() };
                (FAILED, serde_json::to_string(&failed))
            }
        };
        let document = document.map_err(|_| IdentityError::Internal("writing SAML metadata down"))?;
        identity.store().put_fetched(&self.connection.id, name, &document, now).await?;
        Ok(read)
    }
}

const REMEDY: &str = "Check that the metadata's address answers with SAML metadata.";

async fn fetch(identity: &Identity, url: &Url) -> Result<Bytes, Refused> {
    let unavailable = |why: String| {
        let what = sentence(&format!("the identity provider's metadata could not be fetched: {why}"));
        Refused::new("saml_metadata_unavailable", what, Some(REMEDY))
    };
    let accept = HeaderValue::from_static("application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.9");
    let request = ProviderRequest {
        method: Method::GET,
        url: url.clone(),
        headers: HeaderMap::from_iter([(header::ACCEPT, accept)]),
        body: Bytes::new(),
        max_bytes: MOST,
    };
    let answer = identity.providers().send(request).await.map_err(|error| unavailable(error.to_string()))?;
    if answer.status != StatusCode::OK {
        return Err(unavailable(format!("{url} answered {}", answer.status)));
    }
    Ok(answer.body)
}

/// How long metadata are taken for new.
fn fresh_for(metadata: &IdpMetadata) -> Duration {
    metadata.cache_seconds.map_or(FRESH, |seconds| Duration::from_secs(seconds).min(FRESH))
}

/// Whether metadata fetched at `at` may still be used.
fn serves(metadata: &IdpMetadata, at: Timestamp, now: Timestamp) -> bool {
    now < metadata.valid_until.unwrap_or(at.plus(STALE))
}
