//! `POST /signout`.

use axum::{
    Form,
    extract::State,
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use http::header;
use sallyport_model::EventKind;
use sallyport_web::Caller;
use serde::Deserialize;

use crate::{Identity, answer::Failure};

#[derive(Deserialize)]
pub(crate) struct SignOut {
    #[serde(default)]
    csrf: String,
}

/// Ends the browser's session and forgets its cookie. The grants given in it live on; each has its
/// own button on the account page.
pub(crate) async fn sign_out(State(identity): State<Identity>, caller: Caller, Form(form): Form<SignOut>) -> Response {
    let result = end(&identity, &caller, &form.csrf).await;
    identity.answer(result)
}

async fn end(identity: &Identity, caller: &Caller, csrf: &str) -> Result<Response, Failure> {
    let goodbye = Redirect::to("/signin?done=signed_out");
    let Some(me) = identity.current(&caller.headers).await? else {
        return Ok(([(header::SET_COOKIE, identity.forget_session())], goodbye).into_response());
    };
    identity.shell().check_form(&caller.headers, &crate::account::purpose(&me), csrf)?;
    identity.store().end_browser_session(&me.session.id, identity.now()).await?;
    identity.record_done(EventKind::SignedOut, caller.source(), &me.person, Some(&me.session), &[]).await?;
    let forgotten = AppendHeaders([(header::SET_COOKIE, identity.forget_session())]);
    match crate::saml::offer(identity, caller, &me.session).await {
        Ok(Some(page)) => Ok((forgotten, page).into_response()),
        Ok(None) => Ok((forgotten, goodbye).into_response()),
        Err(error) => {
            tracing::warn!(%error, "signing out at the provider could not be offered");
            Ok((forgotten, goodbye).into_response())
        }
    }
}
