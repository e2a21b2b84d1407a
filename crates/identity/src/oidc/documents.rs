//! The provider's metadata and keys. They are kept in the store, for all nodes and over restarts.
//!
//! An hour old, they are fetched again; a provider that is down costs nobody the last good copy for a day. A
//! document that came and is refused is not papered over by an older one.

use std::time::Duration;

use sallyport_model::Timestamp;
use sallyport_oauth::oidc::{Jwks, JwtFault, OidcFault, ProviderMetadata, RefreshPolicy, jwks, provider};
use serde::{Deserialize, Serialize};

use super::{peer::Peer, trouble::Trouble};

const METADATA: &str = "metadata";
const KEYS: &str = "keys";
/// When the keys were asked for last because they were old, with or without success.
const KEYS_TRIED: &str = "keys_tried";
/// The same because a token was signed by none of them: counted apart, so that a key that is new just after the
/// others were fetched is found at once.
const KEYS_DOUBTED: &str = "keys_doubted";
/// The same of metadata.
const METADATA_TRIED: &str = "metadata_tried";

/// A copy that is older is fetched again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// A copy that is older is not used, whatever happens.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a provider that does not answer is asked, while there is a copy.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A document and where it is from: settings may have changed since.
#[derive(Serialize, Deserialize)]
struct Kept {
    from: String,
    document: String,
}

impl Peer<'_> {
    /// The provider's metadata.
    pub(super) async fn metadata(&self) -> Result<ProviderMetadata, Trouble> {
        let issuer = self.rule.configured();
        let read = |document: &[u8]| ProviderMetadata::parse(document, &self.rule, self.transport);
        let kept = self.kept(METADATA, issuer).await?;
        let known = kept.and_then(|(document, at)| read(document.as_bytes()).ok().map(|metadata| (metadata, at)));
        let now = self.identity.now();
        if let Some((metadata, at)) = &known
            && (now.since(*at) < FRESH || self.tried_lately(METADATA_TRIED).await?)
        {
            return Ok(metadata.clone());
        }
        self.note_tried(METADATA_TRIED).await?;
        match (self.fetch_metadata().await, known) {
            (Ok((document, metadata)), _) => {
                self.keep(METADATA, issuer, document).await?;
                Ok(metadata)
            }
            (Err(trouble), Some((metadata, _))) if trouble.passes() => {
                tracing::warn!(connection = %self.connection.id, %trouble, "using the last good metadata");
                Ok(metadata)
            }
            (Err(trouble), _) => Err(trouble),
        }
    }

    /// From the first of the two well-known places that has any.
    async fn fetch_metadata(&self) -> Result<(String, ProviderMetadata), Trouble> {
        let mut first: Option<Trouble> = None;
        for url in self.rule.metadata_urls() {
            match self.document("provider's metadata", &url, provider::MAX_BYTES).await {
                Ok(body) => {
                    let metadata = ProviderMetadata::parse(&body, &self.rule, self.transport)?;
                    return Ok((String::from_utf8_lossy(&body).into_owned(), metadata));
                }
                Err(trouble @ Trouble::Status { .. }) => drop(first.get_or_insert(trouble)),
                Err(trouble) => return Err(trouble),
            }
        }
        Err(first.unwrap_or(Trouble::Fault(OidcFault::Missing { name: "issuer" })))
    }

    /// What `verify` makes of something signed, with the keys as they are known and, where those do not fit, with
    /// the keys as they are now.
    pub(super) async fn verified<T>(
        &self,
        metadata: &ProviderMetadata,
        verify: impl Fn(&Jwks) -> Result<T, OidcFault>,
    ) -> Result<T, Trouble> {
        match verify(&self.keys(metadata, false).await?) {
            Err(OidcFault::Jwt(fault)) => {
                let tried = self.identity.store().fetched(&self.connection.id, KEYS_DOUBTED).await?;
                let tried = tried.map_or(Timestamp::from_secs(0), |(_, at)| at);
                match RefreshPolicy::default().fetch_again(&fault, tried, self.identity.now()) {
                    true => Ok(verify(&self.keys(metadata, true).await?)?),
                    false => Err(OidcFault::Jwt(fault).into()),
                }
            }
            verified => Ok(verified?),
        }
    }

    /// The keys as they are known; as they are now, where a token fitted none of them and it is not too soon to ask
    /// once more.
    pub(super) async fn keys_for(&self, doubt: Option<&JwtFault>) -> Result<Jwks, Trouble> {
        let metadata = self.metadata().await?;
        let anew = match doubt {
            None => false,
            Some(fault) => {
                let tried = self.identity.store().fetched(&self.connection.id, KEYS_DOUBTED).await?;
                let tried = tried.map_or(Timestamp::from_secs(0), |(_, at)| at);
                RefreshPolicy::default().fetch_again(fault, tried, self.identity.now())
            }
        };
        self.keys(&metadata, anew).await
    }

    /// The provider's keys; fetched `anew`, or when they are old.
    async fn keys(&self, metadata: &ProviderMetadata, anew: bool) -> Result<Jwks, Trouble> {
        let from = metadata.jwks_uri.as_str();
        let kept = self.kept(KEYS, from).await?;
        let known = kept.and_then(|(document, at)| Jwks::parse(document.as_bytes()).ok().map(|keys| (keys, at)));
        if let Some((keys, at)) = &known {
            let stale = anew || RefreshPolicy::default().is_stale(*at, self.identity.now());
            if !stale || (!anew && self.tried_lately(KEYS_TRIED).await?) {
                return Ok(keys.clone());
            }
        }
        self.note_tried(if anew { KEYS_DOUBTED } else { KEYS_TRIED }).await?;
        let fetched = self.document("provider's keys", &metadata.jwks_uri, jwks::MAX_BYTES).await;
        let read = fetched.and_then(|body| Ok((Jwks::parse(&body)?, body)));
        match (read, known) {
            (Ok((keys, body)), _) => {
                self.keep(KEYS, from, String::from_utf8_lossy(&body).into_owned()).await?;
                Ok(keys)
            }
            (Err(trouble), Some((keys, _))) if trouble.passes() => {
                tracing::warn!(connection = %self.connection.id, %trouble, "using the last good keys");
                Ok(keys)
            }
            (Err(trouble), _) => Err(trouble),
        }
    }

    /// A copy that may still be used, and from when it is.
    async fn kept(&self, name: &str, from: &str) -> Result<Option<(String, Timestamp)>, Trouble> {
        let Some((text, at)) = self.identity.store().fetched(&self.connection.id, name).await? else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&text).ok().filter(|kept: &Kept| kept.from == from);
        let usable = self.identity.now().since(at) < LONGEST;
        Ok(kept.filter(|_| usable).map(|kept| (kept.document, at)))
    }

    async fn keep(&self, name: &str, from: &str, document: String) -> Result<(), Trouble> {
        let kept = Kept { from: from.to_owned(), document };
        let text = serde_json::to_string(&kept).unwrap_or_default();
        Ok(self.identity.store().put_fetched(&self.connection.id, name, &text, self.identity.now()).await?)
    }

    async fn tried_lately(&self, name: &str) -> Result<bool, Trouble> {
        let tried = self.identity.store().fetched(&self.connection.id, name).await?;
        Ok(tried.is_some_and(|(_, at)| self.identity.now().since(at) < AGAIN_AFTER))
    }

    async fn note_tried(&self, name: &str) -> Result<(), Trouble> {
        Ok(self.identity.store().put_fetched(&self.connection.id, name, "", self.identity.now()).await?)
    }
}
