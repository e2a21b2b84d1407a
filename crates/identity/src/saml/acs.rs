//! The assertion consumer service: takes a provider's answer, verifies it and begins the session.
//!
//! The provider's page posts across sites, so the browser keeps our `Lax` cookies back. The first post is therefore
//! not looked at: a page of ours posts the same fields again, and only then is it known which browser this is. An
//! answer that nobody asked for (where the tenant wants those) begins no session until the person has agreed on a page
//! of ours: otherwise anybody could sign others in as herself by a form on her own site.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use http::header;
use maud::html;
use sallyport_model::{ConnectionId, Timestamp, hex};
use sallyport_saml::{Answers, Assertion, Expected, IdpMetadata, Login, SamlFault, read_response};
use sallyport_web::{Caller, csrf_field};

use super::{
    Party, SKEW,
    fault::refusal,
    login::{Unmet, check_demands},
    pages::{From, Posted},
    path,
    start::Asked,
};
use crate::{
    Identity, IdentityError,
    answer::Failure,
    continue_to::ContinueTo,
    federation::{Asserted, mapping::profile, realm::leave_for, refused::Refused},
    session::sha256,
};

/// Under which messages are remembered that were used.
pub(super) const USED: &str = "saml";

/// `POST /signin/saml/{connection}/acs`: from the provider's page.
pub(super) async fn take_in(State(identity): State<Identity>, Path(id): Path<String>, body: Bytes) -> Response {
    let result = reposted(&identity, &id, "acs/continue", "SAMLResponse", &body);
    identity.answer(result)
}

/// The page that posts `message` and its `RelayState` again.
pub(super) fn reposted(
    identity: &Identity,
    id: &str,
    end: &str,
    message: &'static str,
    body: &[u8],
) -> Result<Response, Failure> {
    let posted = Posted::of(body);
    let mut fields = vec![(message, posted.required(message)?.to_owned())];
    fields.extend(posted.field("RelayState")?.map(|state| ("RelayState", state.to_owned())));
    let id = ConnectionId::new(id).map_err(|_| IdentityError::Internal("reading a connection's id"))?;
    Ok(identity.repost_page(&path(&id, end), &fields))
}

/// `POST /signin/saml/{connection}/acs/continue`: from our own page.
pub(super) async fn proceed(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let result = proceeded(&identity, &caller, &id, &Posted::of(&body)).await;
    identity.answer(result)
}

async fn proceeded(identity: &Identity, caller: &Caller, id: &str, posted: &Posted) -> Result<Response, Failure> {
    identity.shell().check_same_origin(&caller.headers)?;
    let party = Party::at(identity, caller, id).await?;
    let response = posted.required("SAMLResponse")?;
    match posted.field("RelayState")? {
        Some(handle) if is_handle(handle) => party.answered(identity, caller, response, handle).await,
        relay_state => party.unasked(identity, caller, response, relay_state).await,
    }
}

/// `POST /signin/saml/{connection}/acs/confirm`: the person agrees to an answer that nobody asked for.
pub(super) async fn confirm(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let result = confirmed(&identity, &caller, &id, &Posted::of(&body)).await;
    identity.answer(result)
}

async fn confirmed(identity: &Identity, caller: &Caller, id: &str, posted: &Posted) -> Result<Response, Failure> {
    let response = posted.required("SAMLResponse")?;
    let token = posted.field("csrf")?.unwrap_or_default();
    let party = Party::at(identity, caller, id).await?;
    identity.shell().check_form(&caller.headers, &party.purpose(response), token)?;
    let login = party.unsolicited(identity, caller, response).await?;
    party.spend(identity, caller, &login).await?;
    let asserted = party.accepted(identity, caller, &login.assertion).await?;
    let continue_to = posted.field("RelayState")?.and_then(ContinueTo::parse).unwrap_or_else(ContinueTo::account);
    // From before it was issued, by whichever clock: what was revoked since is not signed in again.
    let since = login.assertion.issued.minus(SKEW).min(identity.now());
    party.admit(identity, caller, asserted, &login.assertion, since, &continue_to).await
}

/// Whether a `RelayState` has the form of a handle of ours: 256 bits in base64url.
fn is_handle(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Party {
    /// An answer to a request that this browser carried.
    async fn answered(
        &self,
        identity: &Identity,
        caller: &Caller,
        response: &str,
        handle: &str,
    ) -> Result<Response, Failure> {
        let begun = match identity.take_back(&caller.headers, &self.connection.id, handle).await? {
            Ok(begun) => begun,
            Err(refused) => return Err(self.refuse(identity, caller, refused).await),
        };
        let (request, forced) = match Asked::of(&begun) {
            Ok(Asked::Login { request, forced }) => (request, forced),
            Ok(Asked::Logout { .. }) => {
                let refused = Refused::again("sign_in_ended", "This answers a sign-out, not a sign-in.");
                return Err(self.refuse(identity, caller, refused).await);
            }
            Err(refused) => return Err(self.refuse(identity, caller, refused).await),
        };
        let login = self.read(identity, caller, response, Answers::Request(&request)).await?;
        self.spend(identity, caller, &login).await?;
        if let Err(Unmet::TooOld(_)) = check_demands(&self.settings.demands, &login.assertion, identity.now())
            && !forced
        {
            return self.ask(identity, caller, &begun.continue_to, true, From::Form).await;
        }
        let asserted = self.accepted(identity, caller, &login.assertion).await?;
        self.admit(identity, caller, asserted, &login.assertion, begun.since, &begun.continue_to).await
    }

    /// An answer that nobody asked for: shows whom it would sign in.
    async fn unasked(
        &self,
        identity: &Identity,
        caller: &Caller,
        response: &str,
        relay_state: Option<&str>,
    ) -> Result<Response, Failure> {
        let login = self.unsolicited(identity, caller, response).await?;
        let asserted = self.accepted(identity, caller, &login.assertion).await?;
        let name = profile(&self.settings.mapping, &asserted).display_name;
        let issued = identity.shell().form_token(&caller.headers, &self.purpose(response), identity.rng());
        // Only a path of ours is worth passing on.
        let continue_to = relay_state.and_then(ContinueTo::parse);
        let body = html! {
            h1 { "Continue as " (name) "?" }
            p.lead {
                (self.connection.name) " signs you in. If you did not just come from there, close this page: somebody \
                 may want you to use their account."
            }
            form.stack method="post" action=(path(&self.connection.id, "acs/confirm")) {
                (csrf_field(&issued.token))
                input type="hidden" name="SAMLResponse" value=(response);
                @if let Some(path) = &continue_to { input type="hidden" name="RelayState" value=(path.as_str()); }
                button.full type="submit" { "Continue as " (name) }
            }
            p.fine { a href="/signin" { "Sign in as somebody else" } }
        };
        Ok(identity.shell().page("Signing in").in_popup().set_cookie(issued.set_cookie).respond(body))
    }

    /// Reads an answer that nobody asked for, if the tenant wants those.
    async fn unsolicited(&self, identity: &Identity, caller: &Caller, response: &str) -> Result<Login, Failure> {
        if !self.settings.allow_unsolicited {
            let what = "The answer comes without the RelayState of a sign-in that was begun here.";
            let remedy = "Begin at the application. To let people begin at the identity provider, switch on \
                          unsolicited sign-ins for this connection.";
            let refused = Refused::new("saml_unsolicited", what, Some(remedy));
            return Err(self.refuse(identity, caller, refused).await);
        }
        self.read(identity, caller, response, Answers::Nothing).await
    }

    /// Of the form by which a person agrees to this very answer.
    fn purpose(&self, response: &str) -> String {
        format!("saml:{}:{}", self.connection.id, hex(&sha256(response)))
    }

    /// Verifies an answer. Where no certificate fits, the provider may have got a new one since its metadata were read.
    async fn read(
        &self,
        identity: &Identity,
        caller: &Caller,
        response: &str,
        answers: Answers<'_>,
    ) -> Result<Login, Failure> {
        let expected = Expected { now: identity.now(), skew: SKEW, answers };
        let theirs = self.known(identity, caller).await?;
        let mut read = read_response(&self.sp, &theirs, response, &expected);
        if matches!(read, Err(SamlFault::WrongCertificate { .. }))
            && let Ok(newer) = self.newer_metadata(identity).await?
            && newer.signing != theirs.signing
        {
            read = read_response(&self.sp, &newer, response, &expected);
        }
        match read {
            Ok(login) => Ok(login),
            Err(fault) => Err(self.refuse(identity, caller, refusal(&fault)).await),
        }
    }

    /// The provider's metadata, or the page that says why there are none.
    pub(super) async fn known(&self, identity: &Identity, caller: &Caller) -> Result<IdpMetadata, Failure> {
        match self.metadata(identity).await? {
            Ok(theirs) => Ok(theirs),
            Err(refused) => Err(self.refuse(identity, caller, refused).await),
        }
    }

    /// Uses a message up, on all nodes: the response and the assertion in it, each by its id.
    async fn spend(&self, identity: &Identity, caller: &Caller, login: &Login) -> Result<(), Failure> {
        let until = login.assertion.usable_until;
        for id in [&login.assertion.id, &login.response_id] {
            if !self.first_use(identity, id, until).await? {
                let what = "This answer of the identity provider was used before.";
                let refused = Refused::again("saml_replayed", what);
                return Err(self.refuse(identity, caller, refused).await);
            }
        }
        Ok(())
    }

    /// Whether a message of this provider with this id was never seen.
    pub(super) async fn first_use(
        &self,
        identity: &Identity,
        id: &str,
        until: Timestamp,
    ) -> Result<bool, IdentityError> {
        // By connection, so that no other tenant's provider of the same name can use up what is not its own.
        let digest = sha256(&format!("{}\n{}\n{id}", self.connection.id, self.settings.idp_entity_id));
        Ok(identity.store().use_once(USED, &digest, identity.now(), until).await?)
    }

    /// What a verified assertion says, if it is what this connection takes.
    async fn accepted(&self, identity: &Identity, caller: &Caller, assertion: &Assertion) -> Result<Asserted, Failure> {
        let refused = match check_demands(&self.settings.demands, assertion, identity.now()) {
            Ok(()) if self.was_ended(identity, assertion).await? => Refused::again(
                "saml_logged_out",
                "The identity provider has ended the session that this answer belongs to.",
            ),
            Ok(()) => match self.asserted(assertion) {
                Ok(asserted) => return Ok(asserted),
                Err(refused) => refused,
            },
            Err(Unmet::TooOld(refused) | Unmet::Refused(refused)) => refused,
        };
        Err(self.refuse(identity, caller, refused).await)
    }

    /// Begins the session and lets the browser go on.
    async fn admit(
        &self,
        identity: &Identity,
        caller: &Caller,
        asserted: Asserted,
        assertion: &Assertion,
        since: Timestamp,
        continue_to: &ContinueTo,
    ) -> Result<Response, Failure> {
        let cookie = identity.admit(caller, &self.connection, &self.settings.mapping, asserted, since).await?;
        if self.was_ended(identity, assertion).await? {
            // The provider's word came while the session began, and may not have found it.
            self.end_sessions(identity, &assertion.name_id, assertion.session_index.as_slice()).await?;
            let what = "The identity provider has ended the session that this answer belongs to.";
            return Err(self.refuse(identity, caller, Refused::again("saml_logged_out", what)).await);
        }
        let mut response = leave_for(identity, "You are signed in", continue_to.as_str());
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_43_characters_of_base64url() {
        assert!(is_handle(&"a-_9".repeat(11)[..43]));
        for no in ["", "/account", &"a".repeat(42), &"a".repeat(44), &"+".repeat(43)] {
            assert!(!is_handle(no), "{no}");
        }
    }
}
