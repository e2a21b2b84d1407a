//! `POST /oauth/consent`: the person's decision.

use std::sync::Arc;

use axum::{body::Bytes, extract::State, response::Response};
use sallyport_model::{EventKind, event::DecisionFacts};
use sallyport_oauth::ErrorCode;
use sallyport_web::{CSRF_FIELD, Caller};

use super::{
    answer::{Given, decided, see_other},
    page,
    waiting::resume_path,
};
use crate::{
    error::{Ended, Refusal},
    record::Known,
    server::Server,
    token::form,
};

const DENIED: Refusal = Refusal::new(ErrorCode::AccessDenied, "the person did not allow it", "denied_by_person");

/// Takes the decision of the person who was shown the page, once, in the browser that showed it.
pub(crate) async fn post(State(server): State<Arc<Server>>, caller: Caller, body: Bytes) -> Response {
    let mut known = Known::default();
    match decide(&server, &caller, &body, &mut known).await {
        Ok(response) => response,
        Err(ended) => server.page_for(&caller, &known, ended).await,
    }
}

async fn decide(server: &Server, caller: &Caller, body: &[u8], known: &mut Known) -> Result<Response, Ended> {
    let form = form(&caller.headers, body)?;
    let open = server.open(&caller.headers, form.get("handle")).await?;
    server.client_of(&open.waiting.request, caller, known).await?;
    let Some(person) = server.fresh_person(caller, &open.waiting).await? else {
        return Ok(see_other(
            &server.identity.sign_in_url(&resume_path(&open.handle), open.waiting.request.login_hint.as_deref()),
            None,
        ));
    };
    let token = form.get(CSRF_FIELD).unwrap_or_default();
    let purpose = page::purpose(&open.handle, &person);
    server.shell.check_form(&caller.headers, &purpose, token).map_err(|fault| {
        tracing::warn!(%fault, "a consent form is refused");
        Refusal::new(ErrorCode::InvalidRequest, "the form was not sent from our page", "csrf")
    })?;
    let decision = form.get("decision");
    if !matches!(decision, Some("allow" | "deny")) {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "the form holds no decision", "decision_missing").into());
    }
    if decision == Some("allow") && !server.is_vouched_for(&open.waiting, &person).await? {
        let hint = open.waiting.request.login_hint.as_deref();
        return Ok(see_other(&server.identity.sign_in_url(&resume_path(&open.handle), hint), None));
    }
    // From here on it is answered, whatever happens.
    let request = server.take(&caller.headers, &open.handle).await?.waiting.request;
    if decision == Some("allow") {
        return Ok(see_other(&server.grant(caller, &request, &person, Given::Now).await?, None));
    }
    let mut event = server.event(EventKind::ConsentDenied, caller, &decided(&request, &person));
    event.decision = Some(DecisionFacts { allowed: false, code: DENIED.reason.to_owned(), needed: None });
    server.record(event).await?;
    Ok(see_other(&server.error_answer(&request.redirect_uri, request.state.as_deref(), &DENIED), None))
}
