//! Housekeeping: what nobody uses any more, and what belongs to somebody who was revoked or to an
//! upstream that is not served any more, ends here. What agents used is stored from here as well.
//!
//! An upstream that is slow to let go of something holds nothing else up.

use std::{sync::Arc, time::Duration};

use futures::future::{join, join_all};
use sallyport_model::Principal;

use crate::{gate::Gate, legacy, parked::Parked, revocation::Dead, sessions::Session, upstream::UpstreamSession};

/// How often.
const EVERY: Duration = Duration::from_millis(500);
/// How long upstreams, all together, may take to be told that the gate stops.
const TOLD: Duration = Duration::from_secs(5);

impl Gate {
    /// Sweeps until the task is dropped.
    pub async fn keep_sweeping(self) {
        self.read_demands().await;
        loop {
            tokio::time::sleep(EVERY).await;
            self.sweep();
        }
    }

    fn sweep(&self) {
        let idle = self.config().limits.session_idle;
        let over = |session: &Session| {
            session.principal().is_none_or(|who| self.is_dead(&who)) || self.is_held(&session.upstream)
        };
        for id in self.sessions().stale(idle, over) {
            let gate = self.clone();
            self.work().run(async move { legacy::end(&gate, &id, "idle, gone, revoked or held").await });
        }
        for parked in self.parked().expired(false, |parked| parked.pending.alive().is_err()) {
            self.work().run(give_up(parked, "nobody answered"));
        }
        if let Some(turn) = self.demands().due() {
            let gate = self.clone();
            self.work().run(async move { gate.demands().read(turn, gate.store().tenants()).await });
        }
        if self.uses().due() {
            let gate = self.clone();
            self.work().run(async move { gate.uses().store(gate.store()).await });
        }
        if let Some(tokens) = self.connector().tokens() {
            tokens.end(|who| self.is_dead(who));
        }
        for leg in self.legs().stale(idle, |who, upstream| self.is_dead(who) || self.is_held(upstream)) {
            self.close_leg(leg);
        }
    }

    /// Reads which tenants take no bearer tokens, unless that was just done. Before it was read once, no bearer
    /// token passes: to be called before the gate serves. A failure is logged, and sweeping tries again.
    pub async fn read_demands(&self) {
        if let Some(turn) = self.demands().due() {
            self.demands().read(turn, self.store().tenants()).await;
        }
    }

    /// Closes an upstream session beside everything else.
    pub(crate) fn close_leg(&self, leg: Arc<dyn UpstreamSession>) {
        self.work().run(async move { leg.close().await });
    }

    /// Stops: calls may finish for `patience`; then every call, stream, session, parked call and upstream
    /// leg that is left is ended, on the record, and what agents used is stored. Nothing more may arrive.
    pub async fn stop(&self, patience: Duration) {
        self.work().finish(patience).await;
        let sessions = self.sessions().all();
        let sessions = join_all(sessions.iter().map(|id| legacy::end(self, id, "the gate stopped")));
        let parked = self.parked().expired(true, |_| true);
        let parked = join_all(parked.into_iter().map(|parked| parked.pending.cancelled("the gate stopped")));
        join(sessions, parked).await;
        let legs = self.legs().stale(Duration::ZERO, |_, _| true);
        let closed = join_all(legs.iter().map(|leg| leg.close()));
        if tokio::time::timeout(TOLD, closed).await.is_err() {
            tracing::warn!("some upstreams did not hear in time that their sessions ended");
        }
        self.uses().store(self.store()).await;
    }

    /// Whether any part of a principal was revoked. A node that cannot tell ends nothing here: it denies.
    fn is_dead(&self, principal: &Principal) -> bool {
        self.revocations().check(principal) == Err(Dead::Revoked)
    }
}

/// Ends a call that waits for a person: on the record first, whatever the upstream does.
async fn give_up(parked: Parked, why: &'static str) {
    let Parked { pending, course, questions } = parked;
    pending.cancelled(why).await;
    course.give_up(&questions, why).await;
}
