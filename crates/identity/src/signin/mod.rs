//! Signing in: the form, the password, the passkey, and what all three end in.

pub(crate) mod form;
pub(crate) mod passkey;
pub(crate) mod password;

use http::HeaderValue;
use sallyport_model::Timestamp;
use sallyport_storage::{BrowserSession, Person, ProviderSession};
use sallyport_web::Caller;

use crate::{Identity, IdentityError};

/// The purpose of the sign-in form's token.
pub(crate) const PURPOSE: &str = "sign-in";

impl Identity {
    /// Begins a session of `person`, who began to prove at `since` who she is, ends the one that this browser had, and records it. The cookie
    /// is returned only once the event is durable.
    async fn complete_sign_in(
        &self,
        caller: &Caller,
        person: &Person,
        methods: &[&str],
        since: Timestamp,
    ) -> Result<HeaderValue, IdentityError> {
        let methods = methods.iter().map(|&method| method.to_owned()).collect();
        Ok(self.complete_sign_in_with(caller, person, methods, since, None).await?.1)
    }

    /// The same for a session that stands on one at a provider.
    pub(crate) async fn complete_sign_in_with(
        &self,
        caller: &Caller,
        person: &Person,
        methods: Vec<String>,
        since: Timestamp,
        provider: Option<ProviderSession>,
    ) -> Result<(BrowserSession, HeaderValue), IdentityError> {
        let before = self.current(&caller.headers).await?;
        let (session, cookie) = self.begin_session(person, methods, since, provider).await?;
        if let Err(error) = self.record_signed_in(caller.source(), person, &session).await {
            // Nobody holds its cookie, but what is not recorded shall not exist either.
            self.store().end_browser_session(&session.id, self.now()).await?;
            return Err(error);
        }
        if let Some(before) = before {
            self.store().end_browser_session(&before.session.id, self.now()).await?;
        }
        Ok((session, cookie))
    }
}
