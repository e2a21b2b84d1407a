//! `GET /signin`: the form.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode};
use maud::html;
use sallyport_web::{Caller, Markup, Notice, csrf_field, notice};
use serde::Deserialize;

use super::PURPOSE;
use crate::{Identity, IdentityError, continue_to::ContinueTo, federation::realm};

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    continue_to: String,
    #[serde(default)]
    done: String,
    #[serde(default)]
    login_hint: String,
    /// Which tenant's people are expected.
    #[serde(default)]
    tenant: String,
}

/// Shows the form, also to somebody who is signed in: she may want to be somebody else, or must
/// prove herself anew.
pub(crate) async fn show(State(identity): State<Identity>, caller: Caller, Query(asked): Query<Asked>) -> Response {
    let continue_to = ContinueTo::parse(&asked.continue_to).unwrap_or_else(ContinueTo::account);
    match realm::hinted(&identity, &asked.login_hint, &asked.tenant, &continue_to).await {
        Ok(Some(path)) if asked.done.is_empty() => return Redirect::to(&path).into_response(),
        Ok(_) => {}
        Err(error) => return identity.answer(Err(error.into())),
    }
    let page = identity.sign_in_page(&caller.headers, &continue_to, StatusCode::OK, message(&asked.done), "").await;
    identity.answer(page.map_err(Into::into))
}

/// Only texts of ours are ever shown; the query merely picks one.
fn message(done: &str) -> Option<Markup> {
    (done == "signed_out").then(|| notice(Notice::Done, "You are signed out."))
}

impl Identity {
    /// The sign-in page with a message above the form; `login` is what was typed before.
    pub(crate) async fn sign_in_page(
        &self,
        headers: &HeaderMap,
        continue_to: &ContinueTo,
        status: StatusCode,
        message: Option<Markup>,
        login: &str,
    ) -> Result<Response, IdentityError> {
        let issued = self.shell().form_token(headers, PURPOSE, self.rng());
        let realm = self.realm_form(headers, continue_to, &issued.token).await?;
        let body = html! {
            h1 { "Sign in" }
            @if continue_to.as_str().starts_with("/oauth/") {
                p.lead { "An application asks for access. Sign in to see what it wants." }
            } @else {
                p.lead { "Use your account with " (self.shell().branding().product) "." }
            }
            @if let Some(message) = &message { (message) }
            @if self.config().local_directory { (password_form(&issued.token, continue_to, login)) }
            @if let Some(realm) = realm {
                (realm)
            } @else if !self.config().local_directory {
                (notice(Notice::Failed, "No organisation has connected its identity provider yet."))
            }
            @if self.config().local_directory && self.passkeys().is_some() { (passkey_button(&issued.token, continue_to)) }
        };
        let mut page = self.shell().page("Sign in").status(status).set_cookie(issued.set_cookie).in_popup();
        if self.passkeys().is_some() {
            page = page.script(&self.0.script);
        }
        Ok(page.respond(body))
    }
}

fn password_form(token: &str, continue_to: &ContinueTo, login: &str) -> Markup {
    html! {
        form.stack method="post" action="/signin" {
            (csrf_field(token))
            input type="hidden" name="continue_to" value=(continue_to.as_str());
            div {
                label for="login" { "Login" }
                input #login type="text" name="login" autocomplete="username" autocapitalize="none"
                    autocorrect="off" spellcheck="false" required maxlength="254" value=(login) autofocus[login.is_empty()];
            }
            div {
                label for="password" { "Password" }
                input #password type="password" name="password" autocomplete="current-password" required
                    maxlength="1024" autofocus[!login.is_empty()];
            }
            button.full type="submit" { "Sign in" }
        }
    }
}

/// Hidden until the script knows that the browser can do it.
fn passkey_button(token: &str, continue_to: &ContinueTo) -> Markup {
    html! {
        div hidden data-passkey-area {
            p.or { "or" }
            button.quiet.full type="button" data-passkey="/signin/passkey" data-csrf=(token)
                data-continue-to=(continue_to.as_str()) { "Sign in with a passkey" }
            p.notice.failed role="alert" data-passkey-error {}
        }
    }
}
