//! A person's own page and what she can do there. Everything here acts on the signed-in person only;
//! an id of somebody else's is answered like one that does not exist.

pub(crate) mod agents;
pub(crate) mod consents;
pub(crate) mod grants;
pub(crate) mod page;
pub(crate) mod passkeys;

use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode};
use sallyport_model::{Actor, EventKind};
use sallyport_storage::{Grant, RevocationSubject};
use sallyport_web::{Caller, ErrorPage};

use crate::{Identity, IdentityError, SignedIn, answer::Failure};

/// The purpose of every form's token on the page; it dies with the session.
pub(crate) fn purpose(me: &SignedIn) -> String {
    format!("account:{}", me.session.id)
}

fn unknown(what: &str) -> ErrorPage {
    let remedy = "It may have ended already. Reload your account page.";
    ErrorPage::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."), remedy)
}

fn back(done: &str) -> Response {
    Redirect::to(&format!("/account?done={done}")).into_response()
}

impl Identity {
    /// The signed-in person, once the form's token is hers.
    async fn authorize(&self, headers: &HeaderMap, csrf: &str) -> Result<SignedIn, Failure> {
        let me = self.current(headers).await?.ok_or_else(|| {
            let remedy = "Open your account page and sign in again.";
            ErrorPage::new(StatusCode::FORBIDDEN, "not_signed_in", "You are not signed in.", remedy)
        })?;
        self.shell().check_form(headers, &purpose(&me), csrf)?;
        Ok(me)
    }

    /// The same, if she also signed in a short while ago.
    async fn authorize_fresh(&self, headers: &HeaderMap, csrf: &str) -> Result<SignedIn, Failure> {
        let me = self.authorize(headers, csrf).await?;
        if self.now().since(me.session.authenticated_at) > self.config().fresh_for {
            let what = "You signed in too long ago to change this.";
            return Err(
                ErrorPage::new(StatusCode::FORBIDDEN, "sign_in_again", what, "Sign in again, then retry.").into()
            );
        }
        Ok(me)
    }

    /// Her living grants, newest first.
    async fn grants(&self, me: &SignedIn) -> Result<Vec<Grant>, IdentityError> {
        let subject = Actor::Human(me.person.id.clone());
        Ok(self.store().grants_of(&me.person.tenant, &subject, self.now()).await?)
    }

    /// Revokes one of her grants and records it. The revocation comes first: should recording fail,
    /// access has ended all the same.
    async fn end_grant(&self, caller: &Caller, me: &SignedIn, grant: &Grant) -> Result<(), IdentityError> {
        self.store().revoke(&RevocationSubject::Grant(grant.id.clone()), self.now()).await?;
        let facts =
            [("grant", grant.id.as_str()), ("client", grant.client.as_str()), ("resource", grant.resource.as_str())];
        self.record_done(EventKind::Revoked, caller.source(), &me.person, Some(&me.session), &facts).await
    }
}
