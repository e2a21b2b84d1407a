//! A permitted call on its way to the upstream and back, for each pair of eras.
//!
//! Each `run` owns its call to the end: whatever happens, it closes the record, and only then releases
//! the last bytes.

pub(crate) mod legacy_to_legacy;
pub(crate) mod legacy_to_modern;
pub(crate) mod modern_to_legacy;
pub(crate) mod modern_to_modern;

use sallyport_mcp::Request;
use sallyport_model::event::OutcomeStatus;

use crate::{
    frames::Outlet,
    pending::Pending,
    refusal::Refusal,
    served::Tool,
    upstream::{Outgoing, UpstreamError},
};
use std::sync::Arc;

/// A request with what its headers are made of.
pub(crate) fn outgoing(request: Request, tool: Option<&Arc<Tool>>) -> Outgoing {
    Outgoing { tool_input_schema: tool.and_then(|tool| tool.input_schema.clone()), ..Outgoing::new(request) }
}

/// Ends a call that the upstream failed.
pub(crate) async fn broke(pending: Pending, outlet: &Outlet, error: UpstreamError) {
    tracing::info!(upstream = %pending.served.name(), %error, "a call failed at the upstream");
    pending.fail(outlet, Refusal::from(error), OutcomeStatus::UpstreamFailed).await;
}

/// The failure of a stream that ended without an answer.
pub(crate) fn no_answer() -> UpstreamError {
    UpstreamError::Broken { what: "its stream ended without an answer".to_owned(), sent: true }
}
