//! Legacy MCP sessions at the gate.
//!
//! A session belongs to one principal at one upstream and to nothing else. Anybody else who names it,
//! and anybody who names it elsewhere, is told what is true for them: there is no such session.
//! A session is never authentication: every request of it brings a token of its own.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, RwLock},
    time::{Duration, Instant},
};

use sallyport_mcp::{LogLevel, ProtocolVersion, RequestId, Response};
use sallyport_model::{Binding, McpSessionId, UpstreamName};
use tokio::sync::{oneshot, watch};

use crate::{
    pending::Pending,
    record::Open,
    upstream::{ClientFacts, UpstreamSession},
};

/// One session.
pub(crate) struct Session {
    pub(crate) id: McpSessionId,
    pub(crate) binding: Binding,
    pub(crate) upstream: UpstreamName,
    pub(crate) version: ProtocolVersion,
    pub(crate) client: ClientFacts,
    pub(crate) leg: Arc<dyn UpstreamSession>,
    /// Requests that were sent to the client and wait for its answer.
    pub(crate) asked: Mutex<HashMap<RequestId, Asked>>,
    /// Calls whose stream was closed before their answer; it comes on a resumed stream.
    pub(crate) suspended: Mutex<HashMap<RequestId, Pending>>,
    /// What `logging/setLevel` said, for a modern upstream.
    pub(crate) log_level: Mutex<Option<LogLevel>>,
    /// What `resources/subscribe` said, for a modern upstream.
    pub(crate) subscriptions: watch::Sender<BTreeSet<String>>,
    /// Ends every stream of the session.
    pub(crate) ended: tokio_util::sync::CancellationToken,
    /// Calls in progress, so that a cancellation finds them.
    pub(crate) in_progress: Mutex<HashMap<RequestId, tokio_util::sync::CancellationToken>>,
    opening: Mutex<Option<Open>>,
    used: Mutex<Instant>,
}

/// Who gets the client's answer.
pub(crate) enum Asked {
    /// The legacy upstream, under the same id.
    Upstream,
    /// A call that translates for a modern upstream.
    Gate(oneshot::Sender<Response>),
}

/// What a session starts with.
pub(crate) struct NewSession {
    pub(crate) id: McpSessionId,
    pub(crate) binding: Binding,
    pub(crate) upstream: UpstreamName,
    pub(crate) version: ProtocolVersion,
    pub(crate) client: ClientFacts,
    pub(crate) leg: Arc<dyn UpstreamSession>,
    pub(crate) opening: Open,
}

impl Session {
    fn touch(&self) {
        if let Ok(mut used) = self.used.lock() {
            *used = Instant::now();
        }
    }

    fn idle(&self) -> Duration {
        self.used.lock().map_or(Duration::MAX, |used| used.elapsed())
    }

    /// Takes the question that a client's response answers.
    pub(crate) fn take_asked(&self, id: &RequestId) -> Option<Asked> {
        self.asked.lock().ok()?.remove(id)
    }

    /// Remembers a question to the client.
    pub(crate) fn ask(&self, id: RequestId, asked: Asked) {
        if let Ok(mut all) = self.asked.lock() {
            all.insert(id, asked);
        }
    }

    /// Takes what is open in the log, to be closed: suspended calls, and the session itself.
    pub(crate) fn take_open(&self) -> (Vec<Pending>, Option<Open>) {
        let calls = self.suspended.lock().map(|mut calls| calls.drain().map(|(_, call)| call).collect()).unwrap_or_default();
        (calls, self.opening.lock().ok().and_then(|mut opening| opening.take()))
    }
}

/// All sessions of this node.
#[derive(Default)]
pub(crate) struct Sessions(RwLock<HashMap<McpSessionId, Arc<Session>>>);

impl Sessions {
    /// How many a principal has, at all upstreams.
    pub(crate) fn count(&self, binding: &Binding) -> usize {
        self.0.read().map_or(usize::MAX, |all| all.values().filter(|session| session.binding == *binding).count())
    }

    /// Adds one.
    pub(crate) fn add(&self, new: NewSession) -> Arc<Session> {
        let session = Arc::new(Session {
            id: new.id.clone(),
            binding: new.binding,
            upstream: new.upstream,
            version: new.version,
            client: new.client,
            leg: new.leg,
            asked: Mutex::default(),
            suspended: Mutex::default(),
            log_level: Mutex::default(),
            subscriptions: watch::Sender::new(BTreeSet::new()),
            ended: tokio_util::sync::CancellationToken::new(),
            in_progress: Mutex::default(),
            opening: Mutex::new(Some(new.opening)),
            used: Mutex::new(Instant::now()),
        });
        if let Ok(mut all) = self.0.write() {
            all.insert(new.id, Arc::clone(&session));
        }
        session
    }

    /// The session of that id, if it is this principal's at this upstream.
    pub(crate) fn find(&self, id: &str, binding: &Binding, upstream: &UpstreamName) -> Option<Arc<Session>> {
        let id = McpSessionId::new(id).ok()?;
        let session = self.0.read().ok()?.get(&id).cloned()?;
        let theirs = session.binding == *binding && session.upstream == *upstream && !session.ended.is_cancelled();
        theirs.then(|| {
            session.touch();
            session
        })
    }

    /// Takes one out; its streams end.
    pub(crate) fn remove(&self, id: &McpSessionId) -> Option<Arc<Session>> {
        let session = self.0.write().ok()?.remove(id)?;
        session.ended.cancel();
        Some(session)
    }

    /// Ids of sessions that were not used for `idle`, or of which `dead` says so.
    pub(crate) fn stale(&self, idle: Duration, dead: impl Fn(&Session) -> bool) -> Vec<McpSessionId> {
        let Ok(all) = self.0.read() else { return Vec::new() };
        let stale = |session: &&Arc<Session>| session.idle() > idle || !session.leg.is_alive() || dead(session);
        all.values().filter(stale).map(|session| session.id.clone()).collect()
    }

    /// All ids.
    pub(crate) fn all(&self) -> Vec<McpSessionId> {
        self.0.read().map(|all| all.keys().cloned().collect()).unwrap_or_default()
    }
}
