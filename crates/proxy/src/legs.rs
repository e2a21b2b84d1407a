//! Upstream sessions of modern clients, who have none of their own: kept for a while per principal,
//! so that a legacy upstream is not greeted anew for every request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sallyport_mcp::{Era, LogLevel, Request, RequestMeta, json};
use sallyport_model::{Binding, Principal, Reason, UpstreamName};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    gate::Gate,
    refusal::Refusal,
    served::Served,
    upstream::{Caller, ClientFacts, Outgoing, UpstreamError, UpstreamSession},
};

/// Kept legs of one principal at one upstream. What they differ in is for the client to say.
const MOST: usize = 8;

/// Whose, where, and what the client said it can do: a legacy upstream was told so at its handshake. Not
/// what the client calls itself, of which it may have as many names as it likes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    upstream: UpstreamName,
    binding: Binding,
    capabilities: [u8; 32],
}

/// One kept leg.
struct Leg {
    session: OnceCell<Arc<dyn UpstreamSession>>,
    level: tokio::sync::Mutex<Option<LogLevel>>,
    /// When, and by whom.
    used: Mutex<(Instant, Arc<Principal>)>,
}

/// A leg that was taken, and the session of one that made room for it.
type Taken = (Arc<Leg>, Option<Arc<dyn UpstreamSession>>);

impl Leg {
    fn new(principal: &Arc<Principal>) -> Arc<Self> {
        let used = Mutex::new((Instant::now(), Arc::clone(principal)));
        Arc::new(Self { session: OnceCell::new(), level: tokio::sync::Mutex::default(), used })
    }

    /// Whether anybody talks over it, or is about to. Told while the map is locked, in which one is held.
    fn is_busy(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.session.get().is_some_and(|session| Arc::strong_count(session) > 1)
    }

    fn used_at(&self) -> Option<Instant> {
        self.used.lock().ok().map(|used| used.0)
    }
}

/// The kept legs.
#[derive(Default)]
pub(crate) struct Legs(Mutex<HashMap<Key, Arc<Leg>>>);

impl Gate {
    /// The leg for a modern client's request; opened if there is none that lives.
    pub(crate) async fn leg(
        &self,
        served: &Served,
        principal: &Arc<Principal>,
        meta: &RequestMeta,
    ) -> Result<Arc<dyn UpstreamSession>, Refusal> {
        let client = ClientFacts {
            era: Era::Modern,
            protocol_version: meta.protocol_version.as_str().to_owned(),
            capabilities: meta.client_capabilities.0.clone(),
            info: meta.client_info.clone(),
        };
        let capabilities = json::digest(&Value::Object(client.capabilities.clone()));
        let binding = principal.binding();
        let caller = Caller::Principal(Arc::clone(principal));
        let key = Key { upstream: served.name().clone(), binding, capabilities };
        let spec = &served.offered().spec;
        // Of a leg that dies while it is taken another one is made, once.
        for _ in 0..2 {
            let (leg, evicted) = self.legs().get(&key, principal)?;
            if let Some(session) = evicted {
                self.close_leg(session);
            }
            let session = leg.session.get_or_try_init(|| self.connector().open(spec, &client, &caller)).await?;
            if session.is_alive() {
                set_level(&leg, session.as_ref(), meta.log_level, self).await;
                return Ok(Arc::clone(session));
            }
        }
        Err(Refusal::from(UpstreamError::SessionEnded))
    }
}

/// Tells a legacy upstream the log level that the request wants, if that changed.
async fn set_level(leg: &Leg, session: &dyn UpstreamSession, wanted: Option<LogLevel>, gate: &Gate) {
    let facts = session.facts();
    let logs = facts.about.get("capabilities").is_some_and(|capabilities| capabilities.get("logging").is_some());
    let Some(wanted) = wanted.filter(|_| facts.era == Era::Legacy && logs) else { return };
    let mut level = leg.level.lock().await;
    if *level == Some(wanted) {
        return;
    }
    let params = sallyport_mcp::Object::from_iter([("level".to_owned(), wanted.as_str().into())]);
    let request = Request::new(gate.fresh_id(), "logging/setLevel", Some(params));
    if let Ok(mut stream) = session.request(Outgoing::new(request)).await {
        while futures::StreamExt::next(&mut stream).await.is_some() {}
        *level = Some(wanted);
    }
}

impl Legs {
    /// The leg of that key. Another one of the same principal, not busy and unused for longest, makes room
    /// for it if it has to.
    fn get(&self, key: &Key, principal: &Arc<Principal>) -> Result<Taken, Refusal> {
        let mut all = self.0.lock().map_err(|_| Refusal::Store)?;
        let evicted = if all.contains_key(key) { None } else { make_room(&mut all, key)? };
        let leg = all.entry(key.clone()).or_insert_with(|| Leg::new(principal));
        if leg.session.get().is_some_and(|session| !session.is_alive()) {
            *leg = Leg::new(principal);
        }
        if let Ok(mut used) = leg.used.lock() {
            *used = (Instant::now(), Arc::clone(principal));
        }
        Ok((Arc::clone(leg), evicted))
    }

    /// Takes those that were not used for `idle`, or of whose holder and upstream `dead` says so.
    pub(crate) fn stale(
        &self,
        idle: Duration,
        dead: impl Fn(&Principal, &UpstreamName) -> bool,
    ) -> Vec<Arc<dyn UpstreamSession>> {
        let Ok(mut all) = self.0.lock() else { return Vec::new() };
        let in_use = |leg: &Leg| leg.session.get().is_some_and(|session| Arc::strong_count(session) > 1);
        let due = |key: &Key, leg: &Leg| {
            let used = leg.used.lock();
            used.map_or(true, |used| dead(&used.1, &key.upstream) || (used.0.elapsed() > idle && !in_use(leg)))
        };
        let keys: Vec<Key> = all.iter().filter(|(key, leg)| due(key, leg)).map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| all.remove(key)).filter_map(|leg| leg.session.get().cloned()).collect()
    }
}

fn make_room(all: &mut HashMap<Key, Arc<Leg>>, key: &Key) -> Result<Option<Arc<dyn UpstreamSession>>, Refusal> {
    let theirs = || all.iter().filter(|(k, _)| k.binding == key.binding && k.upstream == key.upstream);
    if theirs().count() < MOST {
        return Ok(None);
    }
    let oldest = theirs().filter(|(_, leg)| !leg.is_busy()).min_by_key(|(_, leg)| leg.used_at());
    let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
        let limit = "upstream sessions of one principal".to_owned();
        return Err(Refusal::Denied(Reason::LimitReached { limit }));
    };
    Ok(all.remove(&oldest).and_then(|leg| leg.session.get().cloned()))
}
