//! DELETE: a legacy client ends its session.

use axum::response::Response;
use http::StatusCode;

use crate::{
    authenticate::Authenticated,
    gate::{Gate, Rejected},
    legacy,
    post::session_of,
    refusal::Refusal,
    respond,
};

/// Handles a DELETE.
pub(crate) async fn delete(gate: &Gate, caller: Authenticated) -> Response {
    let session = match session_of(gate, &caller) {
        Ok(session) => session,
        Err(refusal) => {
            let refusal = match refusal {
                Refusal::Http { .. } => Refusal::NotOffered("DELETE ends a session; send MCP-Session-Id"),
                other => other,
            };
            return gate.refuse(&caller, Rejected::unread("DELETE", 0), refusal).await;
        }
    };
    legacy::end(gate, &session.id, "by the client").await;
    respond::empty(StatusCode::OK)
}
