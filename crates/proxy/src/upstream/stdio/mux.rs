//! Many callers on one pair of pipes.
//!
//! Each request gets an id of ours, which is its progress token as well; both are restored on the way
//! back, and so is the subscription id of modern notifications. Never blocks on a caller under its lock,
//! and never waits for the process's input while it should be reading its output.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use sallyport_mcp::{
    Era, Message, Notification, Object, Outcome, Request, RequestId, Response, RpcError,
    errors::{INTERNAL_ERROR, METHOD_NOT_FOUND},
    meta::{self, PROGRESS_TOKEN, SUBSCRIPTION_ID},
};
use serde_json::Value;
use tokio::{
    sync::mpsc::{self, OwnedPermit, error::TrySendError},
    time::Instant,
};

use crate::upstream::{Delivered, UpstreamError, cancelled};

/// What a caller's stream carries.
pub(super) type Item = Result<Delivered, UpstreamError>;

/// Messages that wait for a slow reader; one more place is kept for the answer.
const QUEUE: usize = 64;
/// Messages that wait for a reader to appear.
const PARKED: usize = 16;
/// Requests of the process that may wait for an answer.
const MAX_ASKED: usize = 256;
/// How long a process is held back by a caller that does not read, before the caller is given up.
const STALL: Duration = Duration::from_secs(5);

/// The switchboard of one process.
#[derive(Debug)]
pub(super) struct Mux {
    input: mpsc::Sender<Vec<u8>>,
    shareable: bool,
    max_in_flight: usize,
    /// Known once the handshake is over.
    era: OnceLock<Era>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: i64,
    /// By our id, so the oldest comes first.
    calls: BTreeMap<i64, Call>,
    /// By session.
    listeners: BTreeMap<u64, mpsc::Sender<Item>>,
    /// Requests of the process that were handed out, and to which session.
    asked: HashMap<RequestId, u64>,
    parked: VecDeque<Message>,
    active: Instant,
    ended: bool,
}

#[derive(Debug)]
struct Call {
    session: u64,
    id: RequestId,
    token: Option<Value>,
    sink: mpsc::Sender<Item>,
    /// The place kept for the answer.
    last: OwnedPermit<Item>,
    since: Instant,
}

/// A request that is on its way.
#[derive(Debug)]
pub(super) struct Started {
    pub id: i64,
    pub bytes: Vec<u8>,
    pub receiver: mpsc::Receiver<Item>,
}

/// What to do with a message of the process.
enum Route {
    /// Nothing more.
    Done,
    /// An answer, for its place.
    Last(Box<OwnedPermit<Item>>, Box<Message>),
    To(Reader, Box<Message>),
}

/// Who gets a message.
#[derive(Clone)]
struct Reader {
    sink: mpsc::Sender<Item>,
    session: u64,
    /// The call; `None` for a session's own stream.
    call: Option<i64>,
}

impl Mux {
    pub(super) fn new(input: mpsc::Sender<Vec<u8>>, shareable: bool, max_in_flight: usize) -> Self {
        let state = State {
            next: 1,
            calls: BTreeMap::new(),
            listeners: BTreeMap::new(),
            asked: HashMap::new(),
            parked: VecDeque::new(),
            active: Instant::now(),
            ended: false,
        };
        Self { input, shareable, max_in_flight, era: OnceLock::new(), state: Mutex::new(state) }
    }

    pub(super) fn speaks(&self, era: Era) {
        // Set once, by the one handshake that a process has.
        let _ = self.era.set(era);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a request and gives it its new names.
    pub(super) fn start(&self, session: u64, mut request: Request) -> Result<Started, UpstreamError> {
        let mut state = self.state();
        if state.ended {
            return Err(UpstreamError::SessionEnded);
        }
        if state.calls.len() >= self.max_in_flight {
            return Err(UpstreamError::Busy {
                what: "of requests in flight at one process",
                limit: self.max_in_flight,
            });
        }
        let (sink, receiver) = mpsc::channel(QUEUE + 1);
        let Ok(last) = sink.clone().try_reserve_owned() else { return Err(UpstreamError::SessionEnded) };
        let ours = state.next;
        state.next += 1;
        let id = std::mem::replace(&mut request.id, RequestId::Number(ours));
        let token = swap_meta(&mut request.params, PROGRESS_TOKEN, &ours.into());
        let reader = Reader { sink: sink.clone(), session, call: Some(ours) };
        state.calls.insert(ours, Call { session, id, token, sink, last, since: Instant::now() });
        state.active = Instant::now();
        for message in state.unpark() {
            state.hand_over(&reader, message);
        }
        Ok(Started { id: ours, bytes: Message::Request(request).to_vec(), receiver })
    }

    /// Opens a session's own stream; one that it had ends.
    pub(super) fn listen(&self, session: u64) -> Result<mpsc::Receiver<Item>, UpstreamError> {
        let mut state = self.state();
        if state.ended {
            return Err(UpstreamError::SessionEnded);
        }
        let (sink, receiver) = mpsc::channel(QUEUE);
        let reader = Reader { sink: sink.clone(), session, call: None };
        for message in state.unpark() {
            state.hand_over(&reader, message);
        }
        state.listeners.insert(session, sink);
        state.active = Instant::now();
        Ok(receiver)
    }

    /// Writes a line to the process; waits while its input is full.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> Result<(), UpstreamError> {
        self.input.send(bytes).await.map_err(|_| UpstreamError::SessionEnded)
    }

    /// Writes a line unless the process's input is full: for what is said from the reading side, where
    /// waiting could wait for itself.
    fn write_now(&self, message: &Message) {
        if self.input.try_send(message.to_vec()).is_err() {
            tracing::warn!("an upstream's process does not read its input; an answer to it was dropped");
        }
    }

    /// Ends a call without an answer: its stream closes, a late answer is dropped.
    pub(super) fn abandon(&self, call: i64, reason: Option<&str>) {
        let known = self.state().calls.remove(&call).is_some();
        if known {
            self.write_now(&cancelled(&RequestId::Number(call), reason).into());
        }
    }

    /// Ends a call of which the process is not to hear any more: `initialize` must not be cancelled, and a
    /// legacy upstream must not be sent a notification before it.
    pub(super) fn forget(&self, call: i64) {
        self.state().calls.remove(&call);
    }

    /// A line of the process that is no message. The call that it was meant for, if that can be told, fails.
    pub(super) fn malformed(&self, id: Option<RequestId>, what: String) {
        let Some(RequestId::Number(ours)) = id else { return };
        let call = self.state().calls.remove(&ours);
        if let Some(call) = call {
            call.last.send(Err(UpstreamError::Protocol(what)));
        }
    }

    /// Cancels calls that nobody has waited for since `patience`.
    pub(super) fn sweep(&self, patience: Duration) {
        let dead: Vec<i64> = {
            let state = self.state();
            let dead = state.calls.iter().filter(|(_, c)| c.sink.is_closed() && c.since.elapsed() > patience);
            dead.map(|(id, _)| *id).collect()
        };
        for call in dead {
            self.abandon(call, Some("nobody waits for it any more"));
        }
    }

    /// The calls of a session that the caller knows by `id`.
    pub(super) fn calls_named(&self, session: u64, id: &RequestId) -> Vec<i64> {
        let state = self.state();
        state.calls.iter().filter(|(_, call)| call.session == session && call.id == *id).map(|(id, _)| *id).collect()
    }

    /// Takes the right to answer a request of the process.
    pub(super) fn may_answer(&self, session: u64, id: &RequestId) -> bool {
        let mut state = self.state();
        let mine = state.asked.get(id) == Some(&session);
        if mine {
            state.asked.remove(id);
            state.active = Instant::now();
        }
        mine
    }

    /// Forgets a session: its calls are cancelled, its stream closes, what it was asked is refused.
    pub(super) fn leave(&self, session: u64) {
        let (calls, asked) = {
            let mut state = self.state();
            state.listeners.remove(&session);
            let calls: Vec<i64> =
                state.calls.iter().filter(|(_, call)| call.session == session).map(|(id, _)| *id).collect();
            let asked: Vec<RequestId> =
                state.asked.iter().filter(|(_, owner)| **owner == session).map(|(id, _)| id.clone()).collect();
            for id in &asked {
                state.asked.remove(id);
            }
            (calls, asked)
        };
        for call in calls {
            self.abandon(call, Some("the client ended its session"));
        }
        for id in asked {
            self.write_now(&gone(id));
        }
    }

    /// For how long nobody has used the process; `None` while somebody does.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let mut state = self.state();
        state.listeners.retain(|_, sink| !sink.is_closed());
        (state.calls.is_empty() && state.listeners.is_empty()).then(|| state.active.elapsed())
    }

    /// The process is gone: everybody hears of it.
    pub(super) fn end(&self, reason: impl Fn() -> UpstreamError) {
        let mut state = self.state();
        state.ended = true;
        state.parked.clear();
        state.asked.clear();
        for (_, call) in std::mem::take(&mut state.calls) {
            call.last.send(Err(reason()));
        }
        for (_, listener) in std::mem::take(&mut state.listeners) {
            // Full or gone: then the close of the channel says it.
            let _ = listener.try_send(Err(reason()));
        }
    }

    /// Takes one message of the process to where it belongs. Waits for a slow reader, up to a limit.
    pub(super) async fn take(self: &Arc<Self>, message: Message) {
        match self.route(message) {
            Route::Done => {}
            Route::Last(place, message) => {
                place.send(Ok(Delivered::plain(*message)));
            }
            Route::To(reader, message) => self.deliver(reader, *message).await,
        }
    }

    async fn deliver(&self, reader: Reader, message: Message) {
        let lossy = matches!(message.method(), Some("notifications/progress" | "notifications/message"));
        let asked = match &message {
            Message::Request(request) => Some(request.id.clone()),
            _ => None,
        };
        let item = match reader.sink.try_send(Ok(Delivered::plain(message))) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) if lossy => return,
            // One slow principal must not hold back the others of a shared process.
            Err(TrySendError::Full(_)) if self.shareable => return self.give_up(&reader, asked),
            Err(TrySendError::Full(item)) => item,
            Err(TrySendError::Closed(_)) => return self.unread(&reader, asked),
        };
        match tokio::time::timeout(STALL, reader.sink.send(item)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.unread(&reader, asked),
            Err(_) => self.give_up(&reader, asked),
        }
    }

    /// The reader has gone away.
    fn unread(&self, reader: &Reader, asked: Option<RequestId>) {
        if reader.call.is_none() {
            self.state().drop_listener(reader);
        }
        self.refuse(asked);
    }

    /// The reader is too slow.
    fn give_up(&self, reader: &Reader, asked: Option<RequestId>) {
        match reader.call {
            Some(id) => {
                let call = self.state().calls.remove(&id);
                if let Some(call) = call {
                    call.last.send(Err(UpstreamError::SlowClient));
                    self.write_now(&cancelled(&RequestId::Number(id), Some("the client does not read")).into());
                }
            }
            None => self.state().drop_listener(reader),
        }
        self.refuse(asked);
    }

    fn refuse(&self, asked: Option<RequestId>) {
        if let Some(id) = asked {
            self.state().asked.remove(&id);
            self.write_now(&gone(id));
        }
    }

    fn route(&self, message: Message) -> Route {
        match message {
            Message::Response(response) => self.route_response(response),
            Message::Notification(notification) => self.route_notification(notification),
            Message::Request(request) => self.route_request(request),
        }
    }

    fn route_response(&self, mut response: Response) -> Route {
        let mut state = self.state();
        state.active = Instant::now();
        let Some(RequestId::Number(ours)) = response.id else { return Route::Done };
        // Unknown: cancelled, timed out, or made up.
        let Some(call) = state.calls.remove(&ours) else { return Route::Done };
        if let Outcome::Result(result) = &mut response.outcome {
            restore_subscription(result, ours, &call.id);
        }
        response.id = Some(call.id);
        Route::Last(Box::new(call.last), Box::new(response.into()))
    }

    fn route_notification(&self, mut notification: Notification) -> Route {
        let mut state = self.state();
        if notification.method == "notifications/progress" {
            return match notification.params.as_mut().and_then(|params| state.progress(params)) {
                Some(reader) => Route::To(reader, Box::new(notification.into())),
                None => Route::Done,
            };
        }
        if let Some(params) = &mut notification.params
            && let Some(RequestId::Number(ours)) = meta::subscription_id(params)
        {
            let Some(call) = state.calls.get(&ours) else { return Route::Done };
            restore_subscription(params, ours, &call.id);
            let reader = Reader { sink: call.sink.clone(), session: call.session, call: Some(ours) };
            return Route::To(reader, Box::new(notification.into()));
        }
        if notification.method == "notifications/cancelled" {
            return self.route_cancelled(&mut state, notification);
        }
        if self.shareable {
            state.broadcast(notification);
            return Route::Done;
        }
        state.unowned(notification.into())
    }

    /// A modern upstream tears a subscription down with it; a legacy one takes its own request back.
    fn route_cancelled(&self, state: &mut State, mut notification: Notification) -> Route {
        let Some(params) = &mut notification.params else { return Route::Done };
        let Some(id) = params.get("requestId").and_then(RequestId::from_value) else { return Route::Done };
        if self.era.get() == Some(&Era::Modern) {
            let RequestId::Number(ours) = id else { return Route::Done };
            let Some(call) = state.calls.remove(&ours) else { return Route::Done };
            params.insert("requestId".to_owned(), call.id.to_value());
            return Route::Last(Box::new(call.last), Box::new(notification.into()));
        }
        match state.asked.remove(&id) {
            Some(session) => match state.reader_of(session) {
                Some(reader) => Route::To(reader, Box::new(notification.into())),
                None => Route::Done,
            },
            None => {
                state.parked.retain(|parked| parked.id() != Some(&id));
                Route::Done
            }
        }
    }

    fn route_request(&self, request: Request) -> Route {
        if request.method == "ping" {
            self.write_now(&Response::result(request.id, Object::new()).into());
            return Route::Done;
        }
        if self.era.get() == Some(&Era::Modern) {
            // It may not ask, and we may not answer (2026-07-28 stdio, Sending and Receiving Messages).
            tracing::warn!("a modern upstream's process sent a request; it was dropped");
            return Route::Done;
        }
        let mut state = self.state();
        let no = if self.shareable {
            Some(RpcError::new(METHOD_NOT_FOUND, "this server is shared and may send no requests"))
        } else if state.asked.contains_key(&request.id) || state.asked.len() >= MAX_ASKED {
            Some(RpcError::new(INTERNAL_ERROR, "too many requests wait, or one has this id"))
        } else {
            None
        };
        if let Some(error) = no {
            drop(state);
            self.write_now(&error.response(Some(request.id)).into());
            return Route::Done;
        }
        if state.reader().is_none() && state.parked.len() >= PARKED {
            drop(state);
            self.write_now(&gone(request.id));
            return Route::Done;
        }
        state.unowned(request.into())
    }
}

impl State {
    /// The reader for what belongs to no call.
    fn reader(&self) -> Option<Reader> {
        let listener = self.listeners.iter().find(|(_, sink)| !sink.is_closed());
        if let Some((session, sink)) = listener {
            return Some(Reader { sink: sink.clone(), session: *session, call: None });
        }
        let (id, call) = self.calls.iter().find(|(_, call)| !call.sink.is_closed())?;
        Some(Reader { sink: call.sink.clone(), session: call.session, call: Some(*id) })
    }

    fn reader_of(&self, session: u64) -> Option<Reader> {
        if let Some(sink) = self.listeners.get(&session) {
            return Some(Reader { sink: sink.clone(), session, call: None });
        }
        let (id, call) = self.calls.iter().find(|(_, call)| call.session == session)?;
        Some(Reader { sink: call.sink.clone(), session, call: Some(*id) })
    }

    /// The reader for a question. With one call in progress it is about that call, so it goes on its stream
    /// (2025-11-25 streamable-http, Sending Messages to the Server 6). On the session's own stream it could
    /// wait for ever: a client may answer nothing before its call's response has begun.
    fn answerer(&self) -> Option<Reader> {
        let mut calls = self.calls.iter().filter(|(_, call)| !call.sink.is_closed());
        match (calls.next(), calls.next()) {
            (Some((id, call)), None) => {
                Some(Reader { sink: call.sink.clone(), session: call.session, call: Some(*id) })
            }
            _ => self.reader(),
        }
    }

    fn unowned(&mut self, message: Message) -> Route {
        let reader = if matches!(message, Message::Request(_)) { self.answerer() } else { self.reader() };
        let Some(reader) = reader else {
            if self.parked.len() >= PARKED {
                // Requests were counted before; of notifications the oldest goes.
                let oldest = self.parked.iter().position(|m| matches!(m, Message::Notification(_)));
                match oldest {
                    Some(oldest) => drop(self.parked.remove(oldest)),
                    None => return Route::Done,
                }
            }
            self.parked.push_back(message);
            return Route::Done;
        };
        if let Message::Request(request) = &message {
            self.asked.insert(request.id.clone(), reader.session);
        }
        Route::To(reader, Box::new(message))
    }

    fn unpark(&mut self) -> Vec<Message> {
        self.parked.drain(..).collect()
    }

    /// Hands a parked message to a reader whose queue is new and longer than what was parked.
    fn hand_over(&mut self, reader: &Reader, message: Message) {
        if let Message::Request(request) = &message {
            self.asked.insert(request.id.clone(), reader.session);
        }
        let _ = reader.sink.try_send(Ok(Delivered::plain(message)));
    }

    fn progress(&self, params: &mut Object) -> Option<Reader> {
        let ours = params.get(PROGRESS_TOKEN)?.as_i64()?;
        let call = self.calls.get(&ours)?;
        // Without a token of the caller's there was none to report on.
        params.insert(PROGRESS_TOKEN.to_owned(), call.token.clone()?);
        Some(Reader { sink: call.sink.clone(), session: call.session, call: Some(ours) })
    }

    /// What a shared process says to everybody: only that something changed.
    fn broadcast(&mut self, notification: Notification) {
        let changes = notification.method.ends_with("/list_changed")
            || matches!(notification.method.as_str(), "notifications/resources/updated");
        if changes {
            for sink in self.listeners.values() {
                let _ = sink.try_send(Ok(Delivered::plain(notification.clone().into())));
            }
        }
    }

    fn drop_listener(&mut self, reader: &Reader) {
        if self.listeners.get(&reader.session).is_some_and(|sink| sink.same_channel(&reader.sink)) {
            self.listeners.remove(&reader.session);
        }
    }
}

fn gone(id: RequestId) -> Message {
    RpcError::new(INTERNAL_ERROR, "no client is there to answer").response(Some(id)).into()
}

/// Replaces a member of `_meta` if it is there, and returns what it was.
fn swap_meta(params: &mut Option<Object>, key: &str, with: &Value) -> Option<Value> {
    let members = params.as_mut()?.get_mut(meta::META)?.as_object_mut()?;
    members.get_mut(key).map(|value| std::mem::replace(value, with.clone()))
}

fn restore_subscription(holder: &mut Object, ours: i64, theirs: &RequestId) {
    let Some(Value::Object(members)) = holder.get_mut(meta::META) else { return };
    if let Some(value) = members.get_mut(SUBSCRIPTION_ID)
        && RequestId::from_value(value) == Some(RequestId::Number(ours))
    {
        *value = theirs.to_value();
    }
}

#[cfg(test)]
#[path = "mux_tests.rs"]
mod tests;
