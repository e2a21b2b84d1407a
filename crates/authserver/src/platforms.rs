//! The keys of platforms whose workloads are agents, kept in this process.
//!
//! An hour old, they are fetched again before they are used; an unknown key makes us look again, but not more often
//! than every half minute, for a stranger can make up any key id. What cannot be had admits nobody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sallyport_model::Timestamp;
use sallyport_oauth::{
    oidc::{Jwks, JwtFault, RefreshPolicy},
    strict,
    workload::{self, Platform, WorkloadKeys, WorkloadTrust},
};
use serde_json::Value;
use url::Url;

use crate::DocumentFetcher;

/// The longest that one document may take.
const LONGEST: Duration = Duration::from_secs(5);
/// Most sources of keys that are remembered.
const MOST: usize = 1024;

/// Why a platform's keys are not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlatformFault {
    /// They could not be fetched, now or a moment ago.
    #[error("the platform's keys could not be fetched: {0}")]
    Unreachable(String),
    /// The discovery document or the key set is none.
    #[error("the platform's {what} cannot be used: {why}")]
    Unusable { what: &'static str, why: String },
}

/// Where keys come from; SPIFFE's sets are read in their own way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Discovery(String),
    At { url: String, spiffe: bool },
}

#[derive(Debug, Default)]
struct Kept {
    keys: Option<(Jwks, Timestamp)>,
    attempted_at: Option<Timestamp>,
}

/// Fetches platforms' keys and keeps them.
pub(crate) struct PlatformKeys {
    fetcher: Arc<dyn DocumentFetcher>,
    kept: Mutex<HashMap<Source, Arc<tokio::sync::Mutex<Kept>>>>,
}

impl PlatformKeys {
    pub(crate) fn new(fetcher: Arc<dyn DocumentFetcher>) -> Self {
        Self { fetcher, kept: Mutex::default() }
    }

    /// The keys that `trust` names; with `doubt`, why none of them fitted, as they are now.
    pub(crate) async fn of(
        &self,
        trust: &WorkloadTrust,
        doubt: Option<&JwtFault>,
        now: Timestamp,
    ) -> Result<Jwks, PlatformFault> {
        let source = match &trust.keys {
            WorkloadKeys::Jwks(set) => return key_set(trust.platform, set.to_string().as_bytes()),
            WorkloadKeys::JwksUri(url) => Source::At { url: url.clone(), spiffe: trust.platform == Platform::Spiffe },
            WorkloadKeys::Discovery => Source::Discovery(trust.issuer.clone()),
        };
        // One fetches, the others wait for what it finds.
        let slot = self.slot(&source);
        let mut kept = slot.lock().await;
        let policy = RefreshPolicy::default();
        let long_ago = Timestamp::from_secs(0);
        let attempted_at = kept.attempted_at.unwrap_or(long_ago);
        let fresh = kept.keys.as_ref().filter(|(_, at)| !policy.is_stale(*at, now)).map(|(keys, _)| keys.clone());
        match (&fresh, doubt) {
            (Some(keys), None) => return Ok(keys.clone()),
            (Some(keys), Some(fault)) if !policy.fetch_again(fault, attempted_at, now) => return Ok(keys.clone()),
            (None, _) if now.since(attempted_at) < policy.at_most_every => {
                return Err(PlatformFault::Unreachable("it failed a moment ago".to_owned()));
            }
            _ => {}
        }
        kept.attempted_at = Some(now);
        match (self.fetch(&source, trust.platform).await, fresh) {
            (Ok(keys), _) => {
                kept.keys = Some((keys.clone(), now));
                Ok(keys)
            }
            (Err(fault), Some(keys)) => {
                tracing::warn!(issuer = %trust.issuer, %fault, "using the last good keys of a platform");
                Ok(keys)
            }
            (Err(fault), None) => Err(fault),
        }
    }

    fn slot(&self, source: &Source) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST && !kept.contains_key(source) {
            // Those that nobody waits for.
            kept.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(kept.entry(source.clone()).or_default())
    }

    async fn fetch(&self, source: &Source, platform: Platform) -> Result<Jwks, PlatformFault> {
        let url = match source {
            Source::At { url, .. } => address("key set", url)?,
            Source::Discovery(issuer) => {
                let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                discovered(issuer, &self.document(&address("issuer", &at)?).await?)?
            }
        };
        key_set(platform, &self.document(&url).await?)
    }

    async fn document(&self, url: &Url) -> Result<Vec<u8>, PlatformFault> {
        match tokio::time::timeout(LONGEST, self.fetcher.fetch(url)).await {
            Ok(Ok(document)) => Ok(document.bytes),
            Ok(Err(fault)) => Err(PlatformFault::Unreachable(fault.to_string())),
            Err(_) => Err(PlatformFault::Unreachable("no answer in time".to_owned())),
        }
    }
}

fn address(what: &'static str, url: &str) -> Result<Url, PlatformFault> {
    Url::parse(url).map_err(|error| PlatformFault::Unusable { what, why: error.to_string() })
}

fn key_set(platform: Platform, bytes: &[u8]) -> Result<Jwks, PlatformFault> {
    workload::key_set(platform, bytes)
        .map_err(|fault| PlatformFault::Unusable { what: "key set", why: fault.to_string() })
}

/// Platforms publish less than identity providers do: `issuer` and `jwks_uri` are all that is read (OpenID Connect
/// Discovery section 4.3).
fn discovered(issuer: &str, bytes: &[u8]) -> Result<Url, PlatformFault> {
    let unusable = |why: String| PlatformFault::Unusable { what: "discovery document", why };
    let document = strict::object(bytes).map_err(|fault| unusable(fault.to_string()))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(unusable("it is another issuer's".to_owned()));
    }
    let uri = document.get("jwks_uri").and_then(Value::as_str).ok_or_else(|| unusable("no jwks_uri".to_owned()))?;
    address("jwks_uri", uri)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Document, FetchFault};

    const ISSUER: &str = "https://platform.example";
    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[derive(Default)]
    struct Site {
        pages: Mutex<HashMap<String, Value>>,
        fetched: AtomicU64,
    }

    #[async_trait]
    impl DocumentFetcher for Site {
        async fn fetch(&self, url: &Url) -> Result<Document, FetchFault> {
            self.fetched.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let page = self.pages.lock().unwrap().get(url.as_str()).cloned();
            let page = page.ok_or(FetchFault::Unreachable("404".into()))?;
            Ok(Document { bytes: page.to_string().into_bytes(), max_age: None })
        }
    }

    fn keys(kid: &str) -> Value {
        let x = sallyport_oauth::jws::encode(&[7; 32]);
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x}]})
    }

    fn trust(keys: Value) -> WorkloadTrust {
        let rules = json!([{"claim": "sub", "equals": "a"}]);
        serde_json::from_value(json!({"platform": "other", "issuer": ISSUER, "keys": keys, "rules": rules})).unwrap()
    }

    fn site(kid: &str) -> (Arc<Site>, PlatformKeys) {
        let site = Arc::<Site>::default();
        let discovery = json!({"issuer": ISSUER, "jwks_uri": "https://platform.example/keys"});
        let mut pages = site.pages.lock().unwrap();
        pages.insert(format!("{ISSUER}/.well-known/openid-configuration"), discovery);
        pages.insert(format!("{ISSUER}/keys"), keys(kid));
        drop(pages);
        (site.clone(), PlatformKeys::new(site))
    }

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn keys_are_kept_for_an_hour_and_looked_for_again_at_most_every_half_minute() {
        let (site, platforms) = site("one");
        let trust = trust(json!("discovery"));
        let unknown = JwtFault::UnknownKey { kid: "two".into() };
        assert!(platforms.of(&trust, None, after(0)).await.unwrap().knows("one"));
        platforms.of(&trust, None, after(3599)).await.unwrap();
        assert_eq!(site.fetched.load(Ordering::SeqCst), 2, "the document and the set, once");
        site.pages.lock().unwrap().insert(format!("{ISSUER}/keys"), keys("two"));
        assert!(platforms.of(&trust, Some(&unknown), after(29)).await.unwrap().knows("one"), "too soon");
        assert!(platforms.of(&trust, Some(&unknown), after(30)).await.unwrap().knows("two"));
        let wrong = JwtFault::Audience { found: "x".into(), expected: "y".into() };
        let fetched = site.fetched.load(Ordering::SeqCst);
        platforms.of(&trust, Some(&wrong), after(900)).await.unwrap();
        assert_eq!(site.fetched.load(Ordering::SeqCst), fetched, "a new key would not help");
        platforms.of(&trust, None, after(30 + 3600)).await.unwrap();
        assert_eq!(site.fetched.load(Ordering::SeqCst), fetched + 2);
    }

    #[tokio::test]
    async fn a_platform_that_is_silent_admits_nobody_after_an_hour_and_is_not_asked_in_a_loop() {
        let (site, platforms) = site("one");
        let trust = trust(json!("discovery"));
        platforms.of(&trust, None, after(0)).await.unwrap();
        site.pages.lock().unwrap().clear();
        let unknown = JwtFault::UnknownKey { kid: "two".into() };
        assert!(platforms.of(&trust, Some(&unknown), after(60)).await.unwrap().knows("one"), "the last good ones");
        for at in [3600, 3601, 3629] {
            assert!(platforms.of(&trust, None, after(at)).await.is_err(), "{at}");
        }
        assert_eq!(site.fetched.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_hundred_at_once_fetch_once() {
        let (site, platforms) = site("one");
        let trust = trust(json!({"jwks_uri": "https://platform.example/keys"}));
        let platforms = Arc::new(platforms);
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (platforms, trust) = (Arc::clone(&platforms), trust.clone());
            all.spawn(async move { platforms.of(&trust, None, START).await });
        }
        for keys in all.join_all().await {
            assert!(keys.unwrap().knows("one"));
        }
        assert_eq!(site.fetched.load(Ordering::SeqCst), 1);
        let inline = self::trust(json!({"jwks": keys("three")}));
        assert!(platforms.of(&inline, None, START).await.unwrap().knows("three"), "nothing to fetch");
    }

    #[test]
    fn the_document_is_the_issuers_own() {
        let at = |document: Value| discovered(ISSUER, document.to_string().as_bytes());
        assert!(at(json!({"issuer": ISSUER, "jwks_uri": "https://elsewhere.example/keys"})).is_ok());
        for wrong in [
            json!({"issuer": "https://platform.example/", "jwks_uri": "https://platform.example/keys"}),
            json!({"jwks_uri": "https://platform.example/keys"}),
            json!({"issuer": ISSUER}),
            json!({"issuer": ISSUER, "jwks_uri": "keys"}),
            json!([]),
        ] {
            assert!(at(wrong.clone()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(discovered(ISSUER, &bytes).is_err());
        }
    }
}
