//! A permitted call on its way to the upstream and back, for each pair of eras.
//!
//! Each `run` owns its call to the end: whatever happens, it closes the record, and only then releases
//! the last bytes.

pub(crate) mod course;
mod extension_input;
pub(crate) mod extension_tasks;
pub(crate) mod legacy_to_legacy;
pub(crate) mod legacy_to_modern;
pub(crate) mod modern_to_legacy;
pub(crate) mod modern_to_modern;
mod task_in_call;
mod tasks;

use sallyport_mcp::{Request, RequestMeta};
use sallyport_model::event::OutcomeStatus;

use crate::{
    frames::Outlet,
    pending::Pending,
    refusal::Refusal,
    served::Tool,
    upstream::{Outgoing, UpstreamError, UpstreamSession, UpstreamStream},
};
use std::sync::Arc;

/// A request with what its headers are made of.
pub(crate) fn outgoing(request: Request, tool: Option<&Arc<Tool>>) -> Outgoing {
    Outgoing { tool_input_schema: tool.and_then(|tool| tool.input_schema.clone()), ..Outgoing::new(request) }
}

/// Sends a modern client's request. The leg is one that was kept: when it turns out to be over, and
/// nothing was sent, another one is opened, once.
pub(crate) async fn send(
    pending: &Pending,
    leg: Arc<dyn UpstreamSession>,
    meta: &RequestMeta,
    out: Outgoing,
) -> Result<(Arc<dyn UpstreamSession>, UpstreamStream), Refusal> {
    let era = leg.facts().era;
    match leg.request(out.clone()).await {
        Ok(stream) => return Ok((leg, stream)),
        Err(UpstreamError::SessionEnded) => {}
        Err(error) => return Err(told(pending, error)),
    }
    let leg = pending.gate.leg(&pending.served, &pending.principal, meta).await?;
    if leg.facts().era != era {
        return Err(told(pending, UpstreamError::SessionEnded));
    }
    match leg.request(out).await {
        Ok(stream) => Ok((leg, stream)),
        Err(error) => Err(told(pending, error)),
    }
}

fn told(pending: &Pending, error: UpstreamError) -> Refusal {
    tracing::info!(upstream = %pending.served.name(), %error, "a call failed at the upstream");
    Refusal::from(error)
}

/// Ends a call that the upstream failed. Where the gate itself let go of the upstream, because the principal or the
/// upstream is at an end, that is what is said.
pub(crate) async fn broke(pending: Pending, outlet: &Outlet, error: UpstreamError) {
    if let Err(dead) = pending.alive() {
        return pending.withhold(outlet, dead).await;
    }
    let refusal = told(&pending, error);
    pending.fail(outlet, refusal, OutcomeStatus::UpstreamFailed).await;
}

/// The failure of a stream that ended without an answer.
pub(crate) fn no_answer() -> UpstreamError {
    UpstreamError::Broken { what: "its stream ended without an answer".to_owned(), sent: true }
}
