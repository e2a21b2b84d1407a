//! Upstream sessions of modern clients, who have none of their own: kept for a while per principal,
//! so that a legacy upstream is not greeted anew for every request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sallyport_mcp::{Era, LogLevel, Request, RequestMeta, json};
use sallyport_model::{Binding, Principal, UpstreamName};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    gate::Gate,
    refusal::Refusal,
    served::Served,
    upstream::{ClientFacts, Outgoing, ProcessOwner, UpstreamError, UpstreamSession},
};

/// Whose, where, and what the client said it can do: a legacy upstream was told so at its handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    upstream: UpstreamName,
    binding: Binding,
    client: [u8; 32],
}

/// One kept leg.
struct Leg {
    session: OnceCell<Arc<dyn UpstreamSession>>,
    level: tokio::sync::Mutex<Option<LogLevel>>,
    /// When, and by whom.
    used: Mutex<(Instant, Arc<Principal>)>,
}

impl Leg {
    fn new(principal: &Arc<Principal>) -> Arc<Self> {
        let used = Mutex::new((Instant::now(), Arc::clone(principal)));
        Arc::new(Self { session: OnceCell::new(), level: tokio::sync::Mutex::default(), used })
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
        let mut said = client.capabilities.clone();
        said.insert("clientInfo".to_owned(), client.info.clone().map_or(Value::Null, Value::Object));
        let binding = principal.binding();
        let owner = ProcessOwner::Principal(binding.clone());
        let key = Key { upstream: served.name().clone(), binding, client: json::digest(&Value::Object(said)) };
        let spec = &served.offered().spec;
        // Of a leg that dies while it is taken another one is made, once.
        for _ in 0..2 {
            let leg = self.legs().get(&key, principal)?;
            let session = leg.session.get_or_try_init(|| self.connector().open(spec, &client, &owner)).await?;
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
    fn get(&self, key: &Key, principal: &Arc<Principal>) -> Result<Arc<Leg>, Refusal> {
        let mut all = self.0.lock().map_err(|_| Refusal::Store)?;
        let leg = all.entry(key.clone()).or_insert_with(|| Leg::new(principal));
        if leg.session.get().is_some_and(|session| !session.is_alive()) {
            *leg = Leg::new(principal);
        }
        if let Ok(mut used) = leg.used.lock() {
            *used = (Instant::now(), Arc::clone(principal));
        }
        Ok(Arc::clone(leg))
    }

    /// Takes those that were not used for `idle`, or are held by somebody of whom `dead` says so.
    pub(crate) fn stale(&self, idle: Duration, dead: impl Fn(&Principal) -> bool) -> Vec<Arc<dyn UpstreamSession>> {
        let Ok(mut all) = self.0.lock() else { return Vec::new() };
        let in_use = |leg: &Leg| leg.session.get().is_some_and(|session| Arc::strong_count(session) > 1);
        let due =
            |leg: &Leg| leg.used.lock().map_or(true, |used| dead(&used.1) || (used.0.elapsed() > idle && !in_use(leg)));
        let keys: Vec<Key> = all.iter().filter(|(_, leg)| due(leg)).map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| all.remove(key)).filter_map(|leg| leg.session.get().cloned()).collect()
    }
}
