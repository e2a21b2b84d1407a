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
use sallyport_model::{Binding, McpSessionId, Principal, UpstreamName};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    frames::Outlet,
    given::GivenIds,
    pending::Pending,
    record::Open,
    slots::Slot,
    upstream::{ClientFacts, UpstreamSession},
};

/// Questions of one session that may wait for an answer.
const MOST_ASKED: usize = 1024;

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
    /// What `logging/setLevel` said, for a modern upstream.
    pub(crate) log_level: Mutex<Option<LogLevel>>,
    /// What `resources/subscribe` said, for a modern upstream.
    pub(crate) subscriptions: watch::Sender<BTreeSet<String>>,
    /// Ends every stream of the session.
    pub(crate) ended: CancellationToken,
    /// Event ids that its client was given and may resume after.
    pub(crate) given: GivenIds,
    /// Calls that have no answer yet.
    calls: Mutex<HashMap<RequestId, Call>>,
    /// Who used it last; the binding never changes, the token does.
    principal: Mutex<Arc<Principal>>,
    opening: Mutex<Option<Open>>,
    used: Mutex<Instant>,
    _slot: Slot,
}

/// A call without an answer.
enum Call {
    /// A task runs it.
    Running { cancelled: CancellationToken, elsewhere: mpsc::UnboundedSender<Elsewhere> },
    /// Its stream was closed before its answer, which comes on a resumed one.
    Suspended(Box<Pending>),
}

/// An answer that came on another stream than the call's own.
pub(crate) struct Elsewhere {
    pub(crate) response: Response,
    pub(crate) sse_id: Option<String>,
    pub(crate) outlet: Outlet,
}

/// The session's entry of a call that is being run; gone with it.
pub(crate) struct Running {
    session: Arc<Session>,
    id: RequestId,
    pub(crate) cancelled: CancellationToken,
    pub(crate) elsewhere: mpsc::UnboundedReceiver<Elsewhere>,
}

impl Running {
    /// Whether it is the session that ended, and not its client that cancelled this one call.
    pub(crate) fn session_is_over(&self) -> bool {
        self.session.ended.is_cancelled()
    }

    /// Leaves the call open for a resumed stream. Gives it back when its answer has come already.
    pub(crate) fn suspend(mut self, pending: Pending) -> Option<(Pending, Elsewhere)> {
        let session = Arc::clone(&self.session);
        let Ok(mut calls) = session.calls.lock() else { return None };
        // Answers are handed over under the same lock: none can slip in between.
        match self.elsewhere.try_recv() {
            Ok(answer) => Some((pending, answer)),
            Err(_) => {
                calls.insert(self.id.clone(), Call::Suspended(Box::new(pending)));
                drop(calls);
                None
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(mut calls) = self.session.calls.lock() else { return };
        if matches!(calls.get(&self.id), Some(Call::Running { .. })) {
            calls.remove(&self.id);
        }
    }
}

/// A question that waits for the client's answer.
pub(crate) struct Asked {
    /// Its method.
    pub(crate) method: String,
    /// Who gets the answer.
    pub(crate) by: Asker,
}

/// Who gets the client's answer.
pub(crate) enum Asker {
    /// The legacy upstream, under the same id.
    Upstream,
    /// A call that translates for a modern upstream.
    Gate(oneshot::Sender<Response>),
}

/// What a session starts with.
pub(crate) struct NewSession {
    pub(crate) id: McpSessionId,
    pub(crate) principal: Arc<Principal>,
    pub(crate) upstream: UpstreamName,
    pub(crate) version: ProtocolVersion,
    pub(crate) client: ClientFacts,
    pub(crate) leg: Arc<dyn UpstreamSession>,
    pub(crate) opening: Open,
    pub(crate) slot: Slot,
}

impl Session {
    fn touch(&self, caller: &Arc<Principal>) {
        if let Ok(mut principal) = self.principal.lock() {
            *principal = Arc::clone(caller);
        }
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

    /// Remembers a question to the client; whether there was room for it.
    pub(crate) fn ask(&self, id: RequestId, asked: Asked) -> bool {
        let Ok(mut all) = self.asked.lock() else { return false };
        let room = all.len() < MOST_ASKED || all.contains_key(&id);
        if room {
            all.insert(id, asked);
        }
        room
    }

    /// Enters a call. `None` while another one has its id: two could not be told apart.
    pub(crate) fn begin(self: &Arc<Self>, id: &RequestId) -> Option<Running> {
        let mut calls = self.calls.lock().ok()?;
        if calls.contains_key(id) {
            return None;
        }
        let cancelled = self.ended.child_token();
        let (sender, elsewhere) = mpsc::unbounded_channel();
        calls.insert(id.clone(), Call::Running { cancelled: cancelled.clone(), elsewhere: sender });
        Some(Running { session: Arc::clone(self), id: id.clone(), cancelled, elsewhere })
    }

    /// Brings an answer from a stream of the session's own to its call. An answer that no call waits for
    /// is nobody's.
    pub(crate) async fn arrived(&self, answer: Elsewhere) {
        let suspended = {
            let Ok(mut calls) = self.calls.lock() else { return };
            let Some(id) = &answer.response.id else { return };
            match calls.remove(id) {
                None => return,
                Some(Call::Suspended(call)) => call,
                Some(running @ Call::Running { .. }) => {
                    let id = id.clone();
                    if let Call::Running { elsewhere, .. } = &running {
                        // Its task is about to end if this fails, and then nobody waits.
                        let _ = elsewhere.send(answer);
                    }
                    calls.insert(id, running);
                    return;
                }
            }
        };
        suspended.answer(&answer.outlet, answer.response, answer.sse_id).await;
    }

    /// Ends a call because its client says so; whether there was one.
    pub(crate) async fn cancel(&self, id: &RequestId) -> bool {
        let suspended = {
            let Ok(mut calls) = self.calls.lock() else { return false };
            match calls.remove(id) {
                None => return false,
                Some(Call::Suspended(call)) => call,
                Some(running) => {
                    if let Call::Running { cancelled, .. } = &running {
                        cancelled.cancel();
                    }
                    calls.insert(id.clone(), running);
                    return true;
                }
            }
        };
        suspended.cancelled("by the client").await;
        true
    }

    /// Whom the last request of the session was from.
    pub(crate) fn principal(&self) -> Option<Arc<Principal>> {
        self.principal.lock().ok().map(|principal| Arc::clone(&principal))
    }

    /// Takes what is open in the log, to be closed: suspended calls, and the session itself.
    pub(crate) fn take_open(&self) -> (Vec<Pending>, Option<Open>) {
        let suspended = |calls: &mut HashMap<RequestId, Call>| {
            let (waiting, running) =
                std::mem::take(calls).into_iter().partition(|(_, c)| matches!(c, Call::Suspended(_)));
            *calls = running;
            let waiting: HashMap<RequestId, Call> = waiting;
            let pending = |call| if let Call::Suspended(call) = call { Some(*call) } else { None };
            waiting.into_values().filter_map(pending).collect()
        };
        let calls = self.calls.lock().map(|mut calls| suspended(&mut calls)).unwrap_or_default();
        (calls, self.opening.lock().ok().and_then(|mut opening| opening.take()))
    }
}

/// All sessions of this node.
#[derive(Default)]
pub(crate) struct Sessions(RwLock<HashMap<McpSessionId, Arc<Session>>>);

impl Sessions {
    /// Adds one.
    pub(crate) fn add(&self, new: NewSession) -> Arc<Session> {
        let session = Arc::new(Session {
            id: new.id.clone(),
            binding: new.principal.binding(),
            upstream: new.upstream,
            version: new.version,
            client: new.client,
            leg: new.leg,
            asked: Mutex::default(),
            log_level: Mutex::default(),
            subscriptions: watch::Sender::new(BTreeSet::new()),
            ended: CancellationToken::new(),
            given: GivenIds::default(),
            calls: Mutex::default(),
            principal: Mutex::new(new.principal),
            opening: Mutex::new(Some(new.opening)),
            used: Mutex::new(Instant::now()),
            _slot: new.slot,
        });
        if let Ok(mut all) = self.0.write() {
            all.insert(new.id, Arc::clone(&session));
        }
        session
    }

    /// The session of that id, if it is this principal's at this upstream.
    pub(crate) fn find(&self, id: &str, caller: &Arc<Principal>, upstream: &UpstreamName) -> Option<Arc<Session>> {
        let id = McpSessionId::new(id).ok()?;
        let session = self.0.read().ok()?.get(&id).cloned()?;
        let theirs =
            session.binding == caller.binding() && session.upstream == *upstream && !session.ended.is_cancelled();
        theirs.then(|| {
            session.touch(caller);
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
