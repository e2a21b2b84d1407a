//! Housekeeping: what nobody uses any more, and what belongs to somebody who was revoked, ends here.

use std::time::Duration;

use sallyport_model::Principal;

use crate::{gate::Gate, legacy, revocation::Dead};

/// How often.
const EVERY: Duration = Duration::from_millis(500);

impl Gate {
    /// Sweeps until the task is dropped.
    pub async fn keep_sweeping(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.sweep().await;
        }
    }

    async fn sweep(&self) {
        let idle = self.config().limits.session_idle;
        for id in self.sessions().stale(idle, |session| session.principal().is_none_or(|who| self.is_dead(&who))) {
            legacy::end(self, &id, "idle, gone or revoked").await;
        }
        for parked in self.parked().expired(false, |parked| parked.pending.alive().is_err()) {
            parked.course.leg.cancel(&parked.course.id, Some("nobody answered")).await;
            parked.pending.cancelled("nobody answered").await;
        }
        for leg in self.legs().stale(idle, |principal| self.is_dead(principal)) {
            leg.close().await;
        }
    }

    /// Ends every session, parked call and upstream leg, on the record.
    pub async fn close(&self) {
        for id in self.sessions().all() {
            legacy::end(self, &id, "the gate stopped").await;
        }
        for parked in self.parked().expired(true, |_| true) {
            parked.pending.cancelled("the gate stopped").await;
        }
        for leg in self.legs().stale(Duration::ZERO, |_| true) {
            leg.close().await;
        }
    }

    /// Whether any part of a principal was revoked. A node that cannot tell ends nothing here: it denies.
    fn is_dead(&self, principal: &Principal) -> bool {
        self.revocations().check(principal) == Err(Dead::Revoked)
    }
}
