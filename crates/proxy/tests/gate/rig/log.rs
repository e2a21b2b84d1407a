//! An audit log in memory that can be held up and made to fail.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use sallyport_model::{AuditEvent, EventKind, Receipt, RecordError, Recorder, event::OutcomeStatus};
use tokio::sync::watch;

/// The log.
pub struct Log {
    events: Mutex<Vec<AuditEvent>>,
    failing: Mutex<Option<EventKind>>,
    down: AtomicBool,
    most: AtomicUsize,
    held: watch::Sender<Option<EventKind>>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            events: Mutex::default(),
            failing: Mutex::default(),
            down: AtomicBool::new(false),
            most: AtomicUsize::new(65_000),
            held: watch::Sender::new(None),
        }
    }
}

impl Log {
    /// Everything recorded, in order.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().unwrap().clone()
    }
    /// Events of one kind.
    pub fn of(&self, kind: EventKind) -> Vec<AuditEvent> {
        self.events().into_iter().filter(|event| event.kind == kind).collect()
    }
    /// Events of one kind about one method.
    pub fn about(&self, kind: EventKind, method: &str) -> Vec<AuditEvent> {
        self.of(kind)
            .into_iter()
            .filter(|event| event.call.as_ref().is_some_and(|call| call.method == method))
            .collect()
    }
    /// How the calls of a tool ended.
    pub fn ends(&self, tool: &str) -> Vec<OutcomeStatus> {
        let named = |event: &AuditEvent| event.call.as_ref().is_some_and(|call| call.name.as_deref() == Some(tool));
        self.of(EventKind::CallClosed).into_iter().filter(named).map(|event| event.outcome.unwrap().status).collect()
    }
    /// The reasons of all refusals.
    pub fn refusals(&self) -> Vec<String> {
        self.of(EventKind::CallRefused).into_iter().map(|event| event.decision.unwrap().code).collect()
    }
    /// Events of this kind fail from now on.
    pub fn fail_at(&self, kind: EventKind) {
        *self.failing.lock().unwrap() = Some(kind);
    }
    /// Events of more than this many bytes of JSON are too large from now on.
    pub fn take_at_most(&self, bytes: usize) {
        self.most.store(bytes, Ordering::SeqCst);
    }
    /// Nothing is recorded any more.
    pub fn take_down(&self) {
        self.down.store(true, Ordering::SeqCst);
    }
    /// Events of this kind wait until [`Log::let_go`].
    pub fn hold(&self, kind: EventKind) {
        self.held.send_replace(Some(kind));
    }
    pub fn let_go(&self) {
        self.held.send_replace(None);
    }
}

#[async_trait]
impl Recorder for Log {
    async fn record(&self, event: AuditEvent) -> Result<Receipt, RecordError> {
        self.ready()?;
        if *self.failing.lock().unwrap() == Some(event.kind) {
            return Err(RecordError::Poisoned("told to fail".to_owned()));
        }
        let (size, limit) = (serde_json::to_vec(&event).unwrap().len(), self.most.load(Ordering::SeqCst));
        if size > limit {
            return Err(RecordError::TooLarge { size, limit });
        }
        let kind = event.kind;
        let _ = self.held.subscribe().wait_for(|held| *held != Some(kind)).await;
        let mut events = self.events.lock().unwrap();
        events.push(event);
        Ok(Receipt { index: events.len() as u64 - 1, leaf_hash: [0; 32] })
    }

    fn ready(&self) -> Result<(), RecordError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(RecordError::Poisoned("the disk is full".to_owned()));
        }
        Ok(())
    }
}
