//! What this node knows of the revocation log, and whether it knows enough to allow anything.
//!
//! A poller feeds the view. A view that has not been fed for [`LEASE`] denies everybody: a node
//! that cannot learn of revocations must not act as though there were none (DESIGN section 5).
//! It never reads the store on the request path.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sallyport_model::{Actor, Binding, Principal, Timestamp};
use sallyport_storage::{Revocation, RevocationSubject, Store, StoreError};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admission::Held;

/// How long a view may go without a successful poll before it denies. Open streams and calls in progress look four
/// times a second, so that with this they too have ended within 2 s.
pub const LEASE: Duration = Duration::from_millis(1700);
/// How often the store is asked.
pub const POLL: Duration = Duration::from_millis(250);
const PAGE: usize = 1000;

/// Why a verified token is refused all the same, or what it asked for is not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dead {
    /// It, its grant or one that this was made out of, its session, person, client, tenant, or an agent of its
    /// chain was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// This node cannot tell.
    #[error("the revocation log could not be read within the lease")]
    Unknown,
    /// This node stops.
    #[error("the gate stopped")]
    Stopped,
    /// The upstream is not served, or not any more.
    #[error("the upstream is not served: {0}")]
    Held(Held),
}

/// A node's view of the revocation log.
#[derive(Debug)]
pub struct RevocationView {
    dead: RwLock<HashMap<RevocationSubject, Timestamp>>,
    epoch: AtomicU64,
    /// Milliseconds from `started` to the start of the last successful poll, plus one; 0 is never.
    polled: AtomicU64,
    started: Instant,
}

impl Default for RevocationView {
    fn default() -> Self {
        Self { dead: RwLock::default(), epoch: AtomicU64::new(0), polled: AtomicU64::new(0), started: Instant::now() }
    }
}

impl RevocationView {
    /// The last epoch applied.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Refuses a principal of whom any part was revoked after the token was issued, and everybody
    /// while the lease has lapsed.
    pub fn check(&self, principal: &Principal) -> Result<(), Dead> {
        if !self.leased() {
            return Err(Dead::Unknown);
        }
        let Ok(dead) = self.dead.read() else { return Err(Dead::Unknown) };
        if dead.is_empty() {
            return Ok(());
        }
        let gone = subjects(principal).any(|subject| {
            let at = dead.get(&subject);
            at.is_some_and(|at| is_final(&subject) || principal.issued_at <= *at)
        });
        if gone { Err(Dead::Revoked) } else { Ok(()) }
    }

    /// Whether everything that a binding can have was revoked at any time. A person who signed in anew
    /// after a revocation has another sign-in session, and so another binding.
    pub fn is_revoked(&self, binding: &Binding) -> bool {
        let session = RevocationSubject::Session(binding.session.clone());
        self.dead.read().is_ok_and(|dead| dead.contains_key(&session))
    }

    /// Whether the last successful poll is recent enough.
    pub fn leased(&self) -> bool {
        let polled = self.polled.load(Ordering::Acquire);
        polled > 0 && self.elapsed().saturating_sub(Duration::from_millis(polled - 1)) <= LEASE
    }

    /// Applies one page of the log.
    pub fn apply(&self, page: &[Revocation]) {
        let Ok(mut dead) = self.dead.write() else { return };
        for entry in page {
            let at = dead.entry(entry.subject.clone()).or_insert(entry.at);
            *at = (*at).max(entry.at);
            self.epoch.fetch_max(entry.epoch, Ordering::AcqRel);
        }
    }

    /// Forgets entries older than any living token can be.
    pub fn forget_before(&self, before: Timestamp) {
        if let Ok(mut dead) = self.dead.write() {
            dead.retain(|_, at| *at >= before);
        }
    }

    /// Asks the store once for everything new, and renews the lease as of the poll's start.
    pub async fn poll(&self, store: &dyn Store) -> Result<(), StoreError> {
        let start = self.elapsed();
        loop {
            let page = store.revocations_after(self.epoch(), PAGE).await?;
            self.apply(&page);
            if page.len() < PAGE {
                break;
            }
        }
        let stamp = u64::try_from(start.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1);
        self.polled.fetch_max(stamp, Ordering::AcqRel);
        Ok(())
    }

    /// Polls, and when this process has revoked something at once, for as long as the view is held by
    /// anybody else.
    pub async fn keep_polling(self: Arc<Self>, store: Arc<dyn Store>) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut revoked = store.revoked();
        while Arc::strong_count(&self) > 1 {
            tokio::select! {
                _ = tick.tick() => {}
                // What this node commits applies here at once.
                changed = revoked.changed() => if changed.is_err() {
                    tick.tick().await;
                },
            }
            if let Err(error) = self.poll(store.as_ref()).await {
                tracing::error!(%error, "the revocation log cannot be read; without it everybody is denied");
            }
        }
    }

    /// Polls on a thread of its own until the guard is dropped: requests that keep every worker busy must
    /// not let the lease lapse.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn poll_on_own_thread(self: Arc<Self>, store: Arc<dyn Store>) -> io::Result<DropGuard> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("revocations".to_owned()).spawn(move || {
            runtime.block_on(stop.run_until_cancelled(self.keep_polling(store)));
        })?;
        Ok(guard)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Whether nothing of the subject can ever live again: a token minted while its grant was being revoked
/// may say a later time, and is dead all the same.
fn is_final(subject: &RevocationSubject) -> bool {
    matches!(subject, RevocationSubject::Token(_) | RevocationSubject::Grant(_) | RevocationSubject::Session(_))
}

/// All that a principal stands on: it is dead with any of them.
fn subjects(principal: &Principal) -> impl Iterator<Item = RevocationSubject> + '_ {
    let who = match &principal.subject {
        Actor::Human(id) => RevocationSubject::User(id.clone()),
        Actor::Agent(id) => RevocationSubject::Agent(id.clone()),
    };
    let grants = std::iter::once(&principal.grant).chain(&principal.ancestors);
    [
        RevocationSubject::Token(principal.token.clone()),
        RevocationSubject::Session(principal.session.clone()),
        who,
        RevocationSubject::Client(principal.client.clone()),
        RevocationSubject::Tenant(principal.tenant.clone()),
    ]
    .into_iter()
    .chain(grants.cloned().map(RevocationSubject::Grant))
    .chain(principal.actors.iter().cloned().map(RevocationSubject::Agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::principal;
    use sallyport_model::{AgentId, GrantId};

    fn fed(entries: &[Revocation]) -> RevocationView {
        let view = RevocationView::default();
        view.apply(entries);
        view.polled.store(1 + u64::try_from(view.elapsed().as_millis()).unwrap(), Ordering::SeqCst);
        view
    }

    #[test]
    fn a_view_that_was_never_fed_denies() {
        assert_eq!(RevocationView::default().check(&principal()), Err(Dead::Unknown));
    }

    #[test]
    fn a_lapsed_lease_denies() {
        let mut view = fed(&[]);
        assert_eq!(view.check(&principal()), Ok(()));
        view.started = Instant::now().checked_sub(LEASE + Duration::from_millis(500)).unwrap();
        assert_eq!(view.check(&principal()), Err(Dead::Unknown));
    }

    /// A sub-agent that acts for an agent that acts for a person.
    fn chain() -> Principal {
        let agents = ["a-sub", "a-robot"].map(|id| AgentId::new(id).unwrap());
        let ancestors = ["g-0", "g-00"].map(|id| GrantId::new(id).unwrap());
        Principal { actors: agents.to_vec(), ancestors: ancestors.to_vec(), ..principal() }
    }

    #[test]
    fn each_part_of_a_principal_kills_the_token() {
        let who = chain();
        assert_eq!(subjects(&who).count(), 10);
        for (n, subject) in subjects(&who).enumerate() {
            let view = fed(&[Revocation { epoch: 1 + n as u64, subject, at: who.issued_at }]);
            assert_eq!(view.check(&who), Err(Dead::Revoked), "subject {n}");
        }
    }

    #[test]
    fn a_token_issued_after_its_person_was_revoked_lives() {
        let who = chain();
        let at = who.issued_at.minus(Duration::from_secs(1));
        for subject in subjects(&who).filter(|subject| !is_final(subject)) {
            assert_eq!(fed(&[Revocation { epoch: 1, subject, at }]).check(&who), Ok(()));
        }
    }

    #[test]
    fn a_token_grant_or_session_never_comes_back_whatever_the_time_in_the_token() {
        let who = chain();
        for subject in subjects(&who).filter(is_final) {
            let at = who.issued_at.minus(Duration::from_secs(100));
            assert_eq!(fed(&[Revocation { epoch: 1, subject, at }]).check(&who), Err(Dead::Revoked));
        }
    }

    #[test]
    fn an_older_entry_never_weakens_a_newer_one() {
        let who = principal();
        let subject = RevocationSubject::Tenant(who.tenant.clone());
        let newer = Revocation { epoch: 1, subject: subject.clone(), at: who.issued_at };
        let older = Revocation { epoch: 2, subject, at: who.issued_at.minus(Duration::from_secs(9)) };
        assert_eq!(fed(&[newer, older]).check(&who), Err(Dead::Revoked));
    }
}
