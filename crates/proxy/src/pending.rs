//! A call between its forwarding and its answer: what has to happen to whatever comes back.
//!
//! Filter what is a list, bind what is a task, record durably, look once more at the revocations, and
//! only then release.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use sallyport_mcp::{Era, Message, Outcome, RequestId, Response, methods::ListKind, translate::results};
use sallyport_model::{Principal, event::OutcomeStatus};

use crate::{
    admission::Held,
    authorize,
    frames::{Frame, Outlet},
    gate::Gate,
    link::{self, Linkable},
    record::Open,
    refusal::Refusal,
    revocation::Dead,
    served::Served,
    slots::Slot,
};

/// How often a call in progress looks whether its principal still stands.
const WATCH: Duration = Duration::from_millis(250);

/// A call that waits for its answer.
pub(crate) struct Pending {
    pub(crate) gate: Gate,
    pub(crate) served: Arc<Served>,
    pub(crate) principal: Arc<Principal>,
    pub(crate) era: Era,
    /// The id under which the client asked.
    pub(crate) id: RequestId,
    pub(crate) list: Option<ListKind>,
    pub(crate) open: Open,
    pub(crate) slot: Slot,
    /// What its client can be told where the person has to link her account first.
    pub(crate) link: Option<Box<Linkable>>,
    /// The place of a large request, given back with the call.
    pub(crate) _large: Option<Arc<Slot>>,
}

impl Pending {
    /// Ends the call with the upstream's answer, already in the client's era.
    pub(crate) async fn answer(mut self, outlet: &Outlet, mut response: Response, event_id: Option<String>) {
        response.id = Some(self.id.clone());
        if let Err(refusal) = self.screen(&mut response).await {
            return self.fail(outlet, refusal, OutcomeStatus::UpstreamFailed).await;
        }
        if let Err(dead) = self.alive() {
            return self.withhold(outlet, dead).await;
        }
        let status = self.status(&response);
        self.open.released(Message::Response(response.clone()).to_vec().len());
        let id = self.id.clone();
        let frame = match self.open.close_with(&response).await {
            Ok(_) => Frame::Answer { response, status, id: event_id },
            Err(error) => unrecorded(&error, id),
        };
        // Before the client can ask for the place again.
        drop(self.slot);
        // A client that is gone has lost nothing but its answer: the record stands.
        let _ = outlet.send(frame).await;
    }

    /// Ends the call because the gate or the upstream failed.
    pub(crate) async fn fail(self, outlet: &Outlet, refusal: Refusal, status: OutcomeStatus) {
        if let Refusal::LinkRequired { url } = &refusal {
            return self.ask_to_link(outlet, refusal.code(), url).await;
        }
        let frame = match self.open.close(status, Some(refusal.code().to_owned())).await {
            Ok(_) => Frame::Refused { refusal, id: Some(self.id) },
            Err(error) => unrecorded(&error, self.id),
        };
        drop(self.slot);
        let _ = outlet.send(frame).await;
    }

    /// Ends the call, of which nothing was executed, with the page on which the person links her account.
    async fn ask_to_link(self, outlet: &Outlet, code: &str, url: &str) {
        let (response, status) = link::answer(&self, url);
        let http = match &response.outcome {
            Outcome::Error(_) => StatusCode::OK,
            Outcome::Result(_) => self.status(&response),
        };
        let frame = match self.open.close(status, Some(code.to_owned())).await {
            Ok(_) => Frame::Answer { response, status: http, id: None },
            Err(error) => Frame::Refused { refusal: Refusal::NoRecord(error), id: Some(self.id) },
        };
        drop(self.slot);
        let _ = outlet.send(frame).await;
    }

    /// Ends the call without an answer: its client said that it waits for none, or went away.
    pub(crate) async fn cancelled(self, why: &str) {
        if let Err(error) = self.open.close(OutcomeStatus::Cancelled, Some(why.to_owned())).await {
            tracing::error!(%error, "the end of a cancelled call could not be recorded");
        }
    }

    /// Ends the call because its session ended under it. Whoever waits is told why: the principal or the upstream is
    /// at an end, the gate stops, or else the session alone (404, as for any dead session).
    pub(crate) async fn session_ended(self, outlet: &Outlet) {
        match self.alive() {
            Err(dead) => self.withhold(outlet, dead).await,
            Ok(()) if self.gate.work().is_stopped() => self.withhold(outlet, Dead::Stopped).await,
            Ok(()) => self.fail(outlet, Refusal::SessionEnded, OutcomeStatus::Cancelled).await,
        }
    }

    /// Refuses to release anything more to a principal who was revoked meanwhile, of an upstream that is not
    /// served any more, or while the gate stops.
    pub(crate) async fn withhold(self, outlet: &Outlet, dead: Dead) {
        let status = if dead == Dead::Stopped { OutcomeStatus::Cancelled } else { OutcomeStatus::Refused };
        self.fail(outlet, Refusal::Dead(dead), status).await;
    }

    /// Whether the principal may still be sent something of this upstream.
    pub(crate) fn alive(&self) -> Result<(), Dead> {
        self.gate.revocations().check(&self.principal)?;
        self.gate.admitted(&self.served).map_err(Dead::Held)
    }

    /// Resolves once the principal is revoked, the upstream held or the gate stops, so that a quiet call does
    /// not outlive it.
    pub(crate) async fn revoked(&self) -> Dead {
        loop {
            if let Err(Dead::Revoked) = self.alive() {
                return Dead::Revoked;
            }
            if let Err(held) = self.gate.admitted(&self.served)
                && held != Held::Unknown
            {
                return Dead::Held(held);
            }
            tokio::select! {
                () = tokio::time::sleep(WATCH) => {}
                () = self.gate.work().stopped() => return Dead::Stopped,
            }
        }
    }

    /// Sends something ahead of the answer, the call's opening being in the log; whether the client is
    /// still there. An error ends the call.
    pub(crate) async fn pass(&mut self, outlet: &Outlet, frame: Frame) -> Result<bool, Refusal> {
        self.alive().map_err(Refusal::Dead)?;
        if outlet.is_gone() {
            return Ok(false);
        }
        self.open.begun().await?;
        if let Frame::Message { message, .. } = &frame {
            self.open.released(message.to_vec().len());
        }
        Ok(outlet.send(frame).await.is_ok())
    }

    async fn screen(&self, response: &mut Response) -> Result<(), Refusal> {
        let Outcome::Result(result) = &mut response.outcome else { return Ok(()) };
        let binding = self.principal.binding();
        if let Some(list) = self.list {
            self.gate.ensure_pinned(&self.served, list, result).await;
            authorize::filter(&self.served, &self.served.live(), &self.principal, list, result).map_err(bad_result)?;
        }
        if !self.gate.tasks().learn(self.served.name(), result, &binding) {
            let what = "it gave out the task id of somebody else".to_owned();
            return Err(Refusal::Upstream { code: "upstream_protocol", what });
        }
        if self.open.method() == "tasks/list" {
            self.gate.tasks().filter(self.served.name(), result, &binding);
        }
        if self.era == Era::Modern {
            results::make_private(self.open.method(), result);
        }
        Ok(())
    }

    fn status(&self, response: &Response) -> StatusCode {
        match &response.outcome {
            Outcome::Error(error) => error.status(self.era),
            Outcome::Result(_) => StatusCode::OK,
        }
    }
}

fn unrecorded(error: &sallyport_model::RecordError, id: RequestId) -> Frame {
    tracing::error!(%error, "a call was executed and its record failed; its result is withheld");
    Frame::Refused { refusal: Refusal::ExecutedUnrecorded, id: Some(id) }
}

/// An upstream's result that does not have the shape of its method.
pub(crate) fn bad_result(error: sallyport_mcp::Error) -> Refusal {
    Refusal::Upstream { code: "upstream_protocol", what: format!("its result cannot be used: {error}") }
}
