//! Transmitters' keys: fetched, kept for an hour, fetched again for an unknown key, and used for up to a day
//! while the transmitter's key set cannot be had.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use sallyport_model::{SignalStreamId, Timestamp};
use sallyport_oauth::{
    oidc::{Jwks, JwtFault, RefreshPolicy, jwks},
    signals::SignalFault,
};
use sallyport_outbound::provider::{ProviderClient, ProviderRequest};
use sallyport_storage::SignalStream;
use url::Url;

use super::settings::Signer;
use crate::Identity;

/// A set that is older counts no longer, whatever happens.
const LONGEST_USED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a set that could not be fetched is not asked for again.
const PAUSE: Duration = Duration::from_secs(30);

/// The keys of all streams, as this node knows them.
#[derive(Default)]
pub(crate) struct KeyMemory(Mutex<HashMap<SignalStreamId, Known>>);

#[derive(Clone)]
struct Known {
    keys: Arc<Jwks>,
    fetched_at: Timestamp,
    /// The last attempt, good or bad.
    attempted_at: Timestamp,
    failed: bool,
    /// The last attempt that a token made us make.
    urged_at: Timestamp,
}

/// No keys to verify with: nothing is taken and nothing is refused, the sender must come again.
#[derive(Debug, thiserror::Error)]
#[error("the key set {url} does not help: {why}")]
pub(crate) struct NoKeys {
    url: Url,
    why: String,
}

/// Fetches a key set.
pub(super) async fn fetch(providers: &ProviderClient, url: &Url) -> Result<(Jwks, String), String> {
    let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
    let request = ProviderRequest {
        method: Method::GET,
        url: url.clone(),
        headers: HeaderMap::from_iter([(header::ACCEPT, accept)]),
        body: axum::body::Bytes::new(),
        max_bytes: jwks::MAX_BYTES,
    };
    let answer = providers.send(request).await.map_err(|error| error.to_string())?;
    if answer.status != StatusCode::OK {
        return Err(format!("it answered {}", answer.status));
    }
    let keys = Jwks::parse(&answer.body).map_err(|fault| fault.to_string())?;
    Ok((keys, String::from_utf8_lossy(&answer.body).into_owned()))
}

impl KeyMemory {
    fn get(&self, id: &SignalStreamId) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn put(&self, id: &SignalStreamId, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), known);
    }
}

impl Identity {
    /// Verifies with a stream's keys, and once more with fresh ones where a new key may be the reason of the
    /// refusal.
    pub(super) async fn with_signal_keys<T>(
        &self,
        stream: &SignalStream,
        signer: &Signer,
        verify: impl Fn(&Jwks) -> Result<T, SignalFault>,
    ) -> Result<Result<T, SignalFault>, NoKeys> {
        let known = self.signal_keys(stream, signer).await?;
        let fault = match verify(&known.keys) {
            Err(SignalFault::Jwt(fault)) => fault,
            done => return Ok(done),
        };
        if !RefreshPolicy::default().fetch_again(&fault, known.urged_at, self.now()) {
            return match fault {
                // It may be newer than our copy; an event must not be lost because we were asked too often.
                JwtFault::UnknownKey { .. } => {
                    let why = format!("{fault}; the set was fetched a moment ago and will be again");
                    Err(NoKeys { url: signer.jwks_uri.clone(), why })
                }
                fault => Ok(Err(fault.into())),
            };
        }
        let fresh = self.fetch_signal_keys(stream, signer, Some(&known), true).await?;
        Ok(verify(&fresh.keys))
    }

    /// A stream's keys, no older than they may be.
    async fn signal_keys(&self, stream: &SignalStream, signer: &Signer) -> Result<Known, NoKeys> {
        let now = self.now();
        let known = match self.signal_memory().get(&stream.id) {
            Some(known) => Some(known),
            None => self.kept_signal_keys(stream, signer).await,
        };
        let fresh = |known: &Known| !RefreshPolicy::default().is_stale(known.fetched_at, now);
        if let Some(known) = known.as_ref().filter(|known| fresh(known)) {
            self.signal_memory().put(&stream.id, known.clone());
            return Ok(known.clone());
        }
        let good = known.as_ref().filter(|known| now.since(known.fetched_at) < LONGEST_USED);
        if let Some(good) = good.filter(|good| good.failed && now.since(good.attempted_at) < PAUSE) {
            return Ok(good.clone());
        }
        match self.fetch_signal_keys(stream, signer, known.as_ref(), false).await {
            Ok(fetched) => Ok(fetched),
            Err(error) => {
                let good = good.cloned().ok_or(error)?;
                tracing::warn!(stream = %stream.id, "a transmitter's keys cannot be fetched; the last ones are used");
                Ok(good)
            }
        }
    }

    /// What was fetched before this process began, or when the stream was set up.
    async fn kept_signal_keys(&self, stream: &SignalStream, signer: &Signer) -> Option<Known> {
        let fetched = match &stream.connection {
            Some(connection) => self.store().fetched(connection, &kept_name(stream)).await.ok().flatten(),
            None => None,
        };
        let kept = signer.keys.as_ref().map(|kept| (kept.document.clone(), kept.fetched_at));
        let newest = kept.into_iter().chain(fetched).max_by_key(|(_, at)| *at);
        let (document, fetched_at) = newest?;
        let keys = Arc::new(Jwks::parse(document.as_bytes()).ok()?);
        let never = Timestamp::default();
        Some(Known { keys, fetched_at, attempted_at: fetched_at, failed: false, urged_at: never })
    }

    async fn fetch_signal_keys(
        &self,
        stream: &SignalStream,
        signer: &Signer,
        known: Option<&Known>,
        urged: bool,
    ) -> Result<Known, NoKeys> {
        let now = self.now();
        let urged_at = if urged { now } else { known.map(|known| known.urged_at).unwrap_or_default() };
        match fetch(self.providers(), &signer.jwks_uri).await {
            Ok((keys, document)) => {
                let keys = Arc::new(keys);
                let fetched = Known { keys, fetched_at: now, attempted_at: now, failed: false, urged_at };
                self.signal_memory().put(&stream.id, fetched.clone());
                if let Some(connection) = &stream.connection
                    && let Err(error) = self.store().put_fetched(connection, &kept_name(stream), &document, now).await
                {
                    tracing::warn!(%error, stream = %stream.id, "a transmitter's keys could not be kept");
                }
                Ok(fetched)
            }
            Err(why) => {
                if let Some(known) = known {
                    // Not urged by this: the next token may ask again, since nothing was learned.
                    let tried = Known { attempted_at: now, failed: true, ..known.clone() };
                    self.signal_memory().put(&stream.id, tried);
                }
                Err(NoKeys { url: signer.jwks_uri.clone(), why })
            }
        }
    }
}

fn kept_name(stream: &SignalStream) -> String {
    format!("signal keys {}", stream.id)
}
