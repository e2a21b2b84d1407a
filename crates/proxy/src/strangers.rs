//! Refusals before authentication: what the model's [`counts`](sallyport_model::Strangers) hold is
//! recorded every few seconds, in bounded number. Nothing that a stranger claims is taken for true.

use std::{collections::BTreeMap, ops::Deref, sync::Arc, time::Duration};

use sallyport_model::{Clock, Recorder, Rng};

/// How often counts become events.
pub const FLUSH: Duration = Duration::from_secs(10);

/// The counts since the last flush. Sign-in and the authorization server may count here too.
#[derive(Debug, Default)]
pub struct Strangers(Arc<sallyport_model::Strangers>);

impl Deref for Strangers {
    type Target = sallyport_model::Strangers;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Strangers {
    /// The counts, for whoever else refuses strangers.
    pub fn counts(&self) -> Arc<sallyport_model::Strangers> {
        Arc::clone(&self.0)
    }

    /// Records the counts for as long as anybody else holds them.
    pub async fn keep_flushing(self: Arc<Self>, recorder: Arc<dyn Recorder>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) {
        while Arc::strong_count(&self) > 1 {
            tokio::time::sleep(FLUSH).await;
            self.flush(recorder.as_ref(), clock.as_ref(), rng.as_ref()).await;
        }
    }

    /// Records the counts now.
    pub async fn flush(&self, recorder: &dyn Recorder, clock: &dyn Clock, rng: &dyn Rng) {
        for event in self.drain(clock, rng) {
            if let Err(error) = recorder.record(event).await {
                tracing::error!(%error, "refusals of strangers could not be recorded");
                return;
            }
        }
    }
}

/// What an unverified token says of itself: a few members, cut, for the log only.
pub fn claims_of(token: &str) -> BTreeMap<String, String> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut parts = token.splitn(3, '.');
    let (_, Some(payload)) = (parts.next(), parts.next()) else { return BTreeMap::new() };
    if payload.len() > 8192 {
        return BTreeMap::new();
    }
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(payload) else { return BTreeMap::new() };
    let Ok(serde_json::Value::Object(claims)) = serde_json::from_slice(&bytes) else { return BTreeMap::new() };
    ["iss", "sub", "aud", "client_id", "jti"]
        .into_iter()
        .filter_map(|name| {
            let text = claims.get(name)?.as_str()?;
            Some((name.to_owned(), text.chars().filter(|c| !c.is_control()).take(120).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_cut_and_never_trusted_to_be_anything() {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{}","iss":5,"x":"y"}}"#, "a".repeat(500)));
        let claims = claims_of(&format!("e30.{payload}.x"));
        assert_eq!(claims.len(), 1);
        assert_eq!(claims["sub"].len(), 120);
        assert!(claims_of("").is_empty() && claims_of("a.b.c").is_empty() && claims_of("..").is_empty());
    }
}
