//! `requestState` as the gate hands it out (2026-07-28 basic/patterns/mrtr): sealed, bound to the
//! principal and to the request that it continues, short-lived, and consumed once.
//!
//! The key is made at start and dies with the process: what it sealed is about state of this process.
//! An upstream's own `requestState` travels inside ours and is never shown to a client.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use moka::sync::Cache;
use sallyport_mcp::Object;
use sallyport_model::{Binding, Clock, Rng, Timestamp, UpstreamName, hex};
use serde::{Deserialize, Serialize};

use crate::{record::sha256_hex, refusal::Refusal};

/// What a state continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Continues {
    /// A call of a legacy upstream that is parked at this gate under a handle.
    Parked(String),
    /// A modern upstream's own state.
    Upstream(String),
    /// Nothing: the request is sent anew (a page had to be visited first).
    Afresh,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    /// Unique; consumed once.
    once: String,
    ends: Timestamp,
    request: String,
    continues: Continues,
}

/// Seals and opens states.
pub(crate) struct States {
    key: LessSafeKey,
    used: Cache<String, ()>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    life: Duration,
}

impl States {
    /// With a fresh key; states end after `life`.
    pub(crate) fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, life: Duration) -> Self {
        let mut bytes = [0u8; 32];
        rng.fill(&mut bytes);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("32 bytes are a key of AES-256");
        // Longer than any state lives, so that none comes back after its entry went.
        let used = Cache::builder().max_capacity(1_000_000).time_to_live(life * 2).build();
        Self { key: LessSafeKey::new(key), used, clock, rng, life }
    }

    /// A state for a client that continues `request`.
    pub(crate) fn seal(&self, owner: &Owner<'_>, continues: Continues) -> String {
        let mut once = [0u8; 16];
        self.rng.fill(&mut once);
        let sealed = Sealed {
            once: URL_SAFE_NO_PAD.encode(once),
            ends: self.clock.now().plus(self.life),
            request: owner.request_digest(),
            continues,
        };
        let mut nonce = [0u8; NONCE_LEN];
        self.rng.fill(&mut nonce);
        let mut bytes = serde_json::to_vec(&sealed).expect("strings and numbers serialise");
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner.aad()), &mut bytes)
            .expect("the plaintext is far below the cipher's limit");
        let mut out = nonce.to_vec();
        out.append(&mut bytes);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Opens and consumes a state that a client sent. Of any number of callers one gets it.
    pub(crate) fn open(&self, owner: &Owner<'_>, state: &str) -> Result<Continues, Refusal> {
        const FORGED: Refusal = Refusal::State("it is not one that this server gave to you");
        let mut bytes = URL_SAFE_NO_PAD.decode(state).map_err(|_| FORGED)?;
        if bytes.len() <= NONCE_LEN {
            return Err(FORGED);
        }
        let (nonce, sealed) = bytes.split_at_mut(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| FORGED)?;
        let plain = self.key.open_in_place(nonce, Aad::from(owner.aad()), sealed).map_err(|_| FORGED)?;
        let sealed: Sealed = serde_json::from_slice(plain).map_err(|_| FORGED)?;
        if sealed.ends <= self.clock.now() {
            return Err(Refusal::State("it has expired"));
        }
        if sealed.request != owner.request_digest() {
            return Err(Refusal::State("the request differs from the one it continues"));
        }
        let fresh = self.used.entry(sealed.once).or_insert(()).is_fresh();
        if fresh { Ok(sealed.continues) } else { Err(Refusal::State("it was used before")) }
    }
}

/// Whose state, and for which request.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) binding: &'a Binding,
    pub(crate) upstream: &'a UpstreamName,
    pub(crate) method: &'a str,
    pub(crate) params: Option<&'a Object>,
}

impl Owner<'_> {
    fn aad(&self) -> Vec<u8> {
        let Binding { tenant, subject, actors, client, session } = self.binding;
        let parts = (tenant, subject, actors, client, session, self.upstream);
        serde_json::to_vec(&parts).expect("ids serialise")
    }

    /// Method and parameters less what a retry changes: metadata, answers and the state itself.
    fn request_digest(&self) -> String {
        let mut params = self.params.cloned().unwrap_or_default();
        for key in ["_meta", "inputResponses", "requestState"] {
            params.shift_remove(key);
        }
        let digest = sallyport_mcp::json::digest(&serde_json::Value::Object(params));
        sha256_hex(format!("{}\n{}", self.method, hex(&digest)).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::principal;
    use sallyport_model::{AgentId, ManualClock, SeededRng, SessionId};
    use serde_json::json;

    fn object(value: serde_json::Value) -> Object {
        value.as_object().unwrap().clone()
    }

    fn states() -> (Arc<ManualClock>, States) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(100)));
        let states = States::new(clock.clone(), Arc::new(SeededRng::new(7)), Duration::from_secs(60));
        (clock, states)
    }

    #[test]
    fn a_state_is_opened_once_by_its_owner_for_its_request() {
        let (_, states) = states();
        let binding = principal().binding();
        let upstream = UpstreamName::new("files").unwrap();
        let params = object(json!({"name": "t", "arguments": {"a": 1}, "_meta": {"x": 1}}));
        let owner = Owner { binding: &binding, upstream: &upstream, method: "tools/call", params: Some(&params) };
        let state = states.seal(&owner, Continues::Upstream("theirs".into()));
        let retry = object(
            json!({"arguments": {"a": 1}, "name": "t", "_meta": {}, "inputResponses": {}, "requestState": state}),
        );
        let retry = Owner { params: Some(&retry), ..owner };
        assert_eq!(states.open(&retry, &state).unwrap(), Continues::Upstream("theirs".into()));
        assert!(matches!(states.open(&retry, &state), Err(Refusal::State("it was used before"))));
    }

    #[test]
    fn another_principal_upstream_method_or_argument_does_not_open_it() {
        let (_, states) = states();
        let binding = principal().binding();
        let upstream = UpstreamName::new("files").unwrap();
        let params = object(json!({"name": "t", "arguments": {"a": 1}}));
        let owner = Owner { binding: &binding, upstream: &upstream, method: "tools/call", params: Some(&params) };
        let state = states.seal(&owner, Continues::Afresh);

        let mut stranger = binding.clone();
        stranger.session = SessionId::new("s-2").unwrap();
        let mut agent = binding.clone();
        agent.actors.push(AgentId::new("a-robot").unwrap());
        let other = UpstreamName::new("mail").unwrap();
        let changed = object(json!({"name": "t", "arguments": {"a": 2}}));
        for wrong in [
            Owner { binding: &stranger, ..owner },
            Owner { binding: &agent, ..owner },
            Owner { upstream: &other, ..owner },
            Owner { method: "prompts/get", ..owner },
            Owner { params: Some(&changed), ..owner },
        ] {
            assert!(states.open(&wrong, &state).is_err());
        }
        assert!(states.open(&owner, &state).is_ok(), "a failed try does not consume it");
    }

    #[test]
    fn time_and_forgery_end_it() {
        let (clock, states) = states();
        let binding = principal().binding();
        let upstream = UpstreamName::new("files").unwrap();
        let owner = Owner { binding: &binding, upstream: &upstream, method: "tools/call", params: None };
        let state = states.seal(&owner, Continues::Afresh);
        for at in 0..state.len() {
            let mut forged = state.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert!(states.open(&owner, &String::from_utf8(forged).unwrap()).is_err(), "byte {at}");
        }
        assert!(states.open(&owner, "").is_err() && states.open(&owner, "ÿ").is_err());
        clock.advance(Duration::from_secs(61));
        assert!(matches!(states.open(&owner, &state), Err(Refusal::State("it has expired"))));
    }
}
