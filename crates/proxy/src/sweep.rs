//! Housekeeping: what nobody uses any more, and what belongs to somebody who was revoked, ends here.

use std::time::Duration;

use sallyport_model::Binding;

use crate::{gate::Gate, legacy};

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
        for id in self.sessions().stale(idle, |session| self.is_dead(&session.binding)) {
            legacy::end(self, &id, "idle, gone or revoked").await;
        }
        for parked in self.parked().expired(false, |parked| parked.pending.alive().is_err()) {
            parked.course.leg.cancel(&parked.course.id, Some("nobody answered")).await;
            parked.pending.cancelled("nobody answered").await;
        }
        for leg in self.legs().stale(idle, |binding| self.is_dead(binding)) {
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

    /// Whether the sign-in session, person, agent, client or tenant behind a binding was revoked.
    fn is_dead(&self, binding: &Binding) -> bool {
        self.revocations().is_revoked(binding)
    }
}
