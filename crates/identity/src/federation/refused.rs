//! A sign-in by a provider that did not come about: a page that says what to do, and an entry of the log under
//! the reference on that page.

use http::StatusCode;
use sallyport_model::{ConnectionId, EventKind, TenantId, event::DecisionFacts};
use sallyport_web::{Caller, ErrorPage};
use serde_json::json;

use crate::{Identity, answer::Failure};

/// Why somebody was not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Stable, snake_case.
    pub(crate) code: &'static str,
    /// What is wrong, with which values; for an administrator's eyes as well as the person's.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

/// The code of a refusal that is about no connection of ours.
pub(crate) const UNKNOWN: &str = "connection_unknown";

/// Nothing that she can do by herself.
const TELL: &str = "Tell your administrator, with the reference below.";

impl Refused {
    /// With what an administrator can do.
    pub(crate) fn new(code: &'static str, what: impl Into<String>, remedy: Option<&str>) -> Self {
        let remedy = remedy.map_or_else(|| TELL.to_owned(), |remedy| format!("{remedy} {TELL}"));
        Self { code, what: what.into(), remedy }
    }

    /// Where she only has to start again.
    pub(crate) fn again(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), remedy: "Go back to where you came from and sign in again.".to_owned() }
    }
}

impl Identity {
    /// Records the refusal and makes its page. One that is about no connection of ours is counted only: anybody
    /// can send those.
    pub(crate) async fn refuse_federated(
        &self,
        caller: &Caller,
        tenant: Option<&TenantId>,
        connection: Option<&ConnectionId>,
        refused: Refused,
    ) -> Failure {
        if tenant.is_none() && connection.is_none() && refused.code == UNKNOWN {
            self.count_refused(&caller.source(), None, refused.code);
            return ErrorPage::new(StatusCode::NOT_FOUND, refused.code, refused.what, refused.remedy).into();
        }
        let mut event = self.event(EventKind::SignInRefused, caller.source());
        let reference = event.id.0.to_string();
        event.tenant = tenant.cloned();
        event.decision = Some(DecisionFacts { allowed: false, code: refused.code.to_owned(), needed: None });
        if let Some(connection) = connection {
            event.facts.insert("connection".to_owned(), json!(connection));
        }
        event.facts.insert("reason".to_owned(), json!(crate::audit::told(&refused.what)));
        if let Err(error) = self.record(event).await {
            return error.into();
        }
        let page = ErrorPage::new(StatusCode::FORBIDDEN, refused.code, refused.what, refused.remedy);
        page.headed("You are not signed in").reference(reference).into()
    }
}
