//! Single logout (saml-profiles-2.0-os, section 4.4). The provider's word ends our sessions before it is answered;
//! ours is offered to somebody who has signed out here, and ends nothing by itself.

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::header;
use maud::html;
use sallyport_model::{Actor, EventKind, SessionId, Timestamp, event::Who};
use sallyport_saml::{
    Assertion, Binding, Carried, IdpMetadata, Leaving, LogoutOutcome, LogoutRequest, NameId, Outgoing, logout_request,
    logout_response, read_logout_request, read_logout_response,
};
use sallyport_storage::{BrowserSession, Digest, Parked, ParkedKind, ProviderSessions, RevocationSubject, StoreError};
use sallyport_web::Caller;
use serde_json::json;

use super::{
    Party, SKEW,
    acs::reposted,
    fault::refusal,
    pages::{From, Posted, may_lead_to, passing_on},
    start::Asked,
    subject::name_of,
};
use crate::{
    Identity, IdentityError, answer::Failure, continue_to::ContinueTo, federation::refused::Refused, session::sha256,
    settings::ConnectionSettings,
};

/// For longer no assertion can be used that was issued before a logout (the `saml` crate takes an hour at most).
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(2 * 60 * 60);
/// Sessions that one request names; one that names more ends all of the person's.
const MOST_NAMED: usize = 64;

/// `GET /signin/saml/{connection}/slo`: a request of the provider, or its answer to ours.
pub(super) async fn by_redirect(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let result = redirected(&identity, &caller, &id, &query.unwrap_or_default()).await;
    identity.answer(result)
}

async fn redirected(identity: &Identity, caller: &Caller, id: &str, raw_query: &str) -> Result<Response, Failure> {
    let party = Party::at(identity, caller, id).await?;
    let carried = Carried::Redirect { raw_query };
    let fields = Posted::of(raw_query.as_bytes());
    if fields.field("SAMLResponse")?.is_some() {
        let handle = fields.field("RelayState")?.unwrap_or_default();
        return party.left(identity, caller, &carried, handle).await;
    }
    party.asked_to_end(identity, caller, &carried).await
}

/// `POST /signin/saml/{connection}/slo`: the same by a form of the provider's.
pub(super) async fn by_post(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let result = posted(&identity, &caller, &id, &body).await;
    identity.answer(result)
}

async fn posted(identity: &Identity, caller: &Caller, id: &str, body: &[u8]) -> Result<Response, Failure> {
    let fields = Posted::of(body);
    if fields.field("SAMLResponse")?.is_some() {
        // Which request it answers is known by a cookie, which this post does not carry.
        return reposted(identity, id, "slo/continue", "SAMLResponse", body);
    }
    let party = Party::at(identity, caller, id).await?;
    let (message, relay_state) = (fields.required("SAMLRequest")?, fields.field("RelayState")?);
    party.asked_to_end(identity, caller, &Carried::Post { message, relay_state }).await
}

/// `POST /signin/saml/{connection}/slo/continue`: the provider's answer, from our own page.
pub(super) async fn answered_by_post(
    State(identity): State<Identity>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let result = answered(&identity, &caller, &id, &Posted::of(&body)).await;
    identity.answer(result)
}

async fn answered(identity: &Identity, caller: &Caller, id: &str, fields: &Posted) -> Result<Response, Failure> {
    identity.shell().check_same_origin(&caller.headers)?;
    let party = Party::at(identity, caller, id).await?;
    let (message, relay_state) = (fields.required("SAMLResponse")?, fields.field("RelayState")?);
    let handle = relay_state.unwrap_or_default();
    party.left(identity, caller, &Carried::Post { message, relay_state }, handle).await
}

impl Party {
    /// The provider's wish to end sessions: they end, that is recorded, and then it hears so.
    async fn asked_to_end(
        &self,
        identity: &Identity,
        caller: &Caller,
        carried: &Carried<'_>,
    ) -> Result<Response, Failure> {
        let theirs = self.known(identity, caller).await?;
        let mut request = match read_logout_request(&self.sp, &theirs, carried, identity.now(), SKEW) {
            Ok(request) => request,
            Err(fault) => return Err(self.refuse(identity, caller, refusal(&fault)).await),
        };
        if !self.first_use(identity, &request.id, request.usable_until).await? {
            let refused = Refused::again("saml_replayed", "This request to sign out was used before.");
            return Err(self.refuse(identity, caller, refused).await);
        }
        self.remember_end(identity, &request).await?;
        let ended = self.end_sessions(identity, &request.name_id, &request.session_indexes).await?;
        self.record_end(identity, caller, &request, &ended).await?;
        if theirs.slo.iter().any(|endpoint| endpoint.binding == Binding::Redirect) {
            // A form of a page of ours could not follow the provider's redirects to its other parties.
            request.binding = Binding::Redirect;
        }
        let (now, rng) = (identity.now(), identity.rng());
        match logout_response(&self.sp, &theirs, &request, LogoutOutcome::Done, now, rng) {
            Ok(outgoing) => Ok(identity.send_on(&outgoing, "You are signed out", From::Link)),
            // It has no address for the answer; what it asked for is done.
            Err(_) => Ok(self.signed_out_page(identity, LogoutOutcome::Done)),
        }
    }

    /// Ends the sessions of a name: those that are listed, or all.
    pub(super) async fn end_sessions(
        &self,
        identity: &Identity,
        name: &NameId,
        indexes: &[String],
    ) -> Result<Vec<SessionId>, IdentityError> {
        let name = self.kept_name(name);
        let named: Vec<Option<&String>> = match indexes.len() {
            1..=MOST_NAMED => indexes.iter().map(Some).collect(),
            _ => vec![None],
        };
        let now = identity.now();
        let mut ended = Vec::new();
        for index in &named {
            let which = self.sessions(Some(&name), index.map(String::as_str));
            ended.extend(identity.store().revoke_provider_sessions(&which, now).await?);
        }
        // Of those who are known by an attribute, the name is kept as the session.
        let which = self.sessions(None, Some(&name));
        ended.extend(identity.store().revoke_provider_sessions(&which, now).await?);
        if named != [None] {
            ended.extend(self.end_nameless(identity, &name, now).await?);
        }
        Ok(ended)
    }

    fn sessions(&self, subject: Option<&str>, session: Option<&str>) -> ProviderSessions {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        ProviderSessions { connection: self.connection.id.clone(), subject: owned(subject), session: owned(session) }
    }

    /// Ends what somebody has that began without a `SessionIndex`: it may be one of those that are to end.
    async fn end_nameless(
        &self,
        identity: &Identity,
        name: &str,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, IdentityError> {
        let store = identity.store();
        let Some(link) = store.link(&self.connection.id, name).await? else { return Ok(Vec::new()) };
        let mut ended = Vec::new();
        for session in store.browser_sessions(&link.tenant, Some(&link.user), now).await? {
            let here = session.provider.filter(|p| p.connection == self.connection.id && p.subject == name);
            if here.is_some_and(|provider| provider.session.is_none()) {
                store.revoke(&RevocationSubject::Session(session.id.clone()), now).await?;
                ended.push(session.id);
            }
        }
        Ok(ended)
    }

    /// Remembers a logout for as long as an assertion from before it could still come
    /// (saml-core-2.0-os, section 3.7.3.2).
    async fn remember_end(&self, identity: &Identity, request: &LogoutRequest) -> Result<(), IdentityError> {
        let (store, now) = (identity.store(), identity.now());
        let name = self.kept_name(&request.name_id);
        let all = request.session_indexes.is_empty() || request.session_indexes.len() > MOST_NAMED;
        let ends: Vec<Digest> = match all {
            true => vec![self.end_of(&name, None)],
            false => request.session_indexes.iter().map(|index| self.end_of(&name, Some(index))).collect(),
        };
        for handle in ends {
            let (kind, body) = (ParkedKind::ProviderEnded, request.issued.as_millis().to_string());
            let parked = Parked { handle, kind, body, expires_at: now.plus(REMEMBERED) };
            store.unpark(&handle, kind, now).await?;
            match store.park(&parked).await {
                // Another node has just written the same.
                Ok(()) | Err(StoreError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether the provider ended the session of `assertion` after it had issued it.
    pub(super) async fn was_ended(&self, identity: &Identity, assertion: &Assertion) -> Result<bool, IdentityError> {
        let name = self.kept_name(&assertion.name_id);
        for index in [None, assertion.session_index.as_deref()] {
            let handle = self.end_of(&name, index);
            let Some(end) = identity.store().parked(&handle, ParkedKind::ProviderEnded, identity.now()).await? else {
                continue;
            };
            // What cannot be read counts as an end.
            if end.body.parse().map_or(true, |end| assertion.issued <= Timestamp::from_millis(end)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn end_of(&self, name: &str, index: Option<&str>) -> Digest {
        sha256(&json!(["saml logout", self.connection.id, name, index]).to_string())
    }

    async fn record_end(
        &self,
        identity: &Identity,
        caller: &Caller,
        request: &LogoutRequest,
        ended: &[SessionId],
    ) -> Result<(), IdentityError> {
        let link = identity.store().link(&self.connection.id, &self.kept_name(&request.name_id)).await?;
        let mut event = identity.event(EventKind::Revoked, caller.source());
        event.tenant = Some(self.connection.tenant.clone());
        event.who = link.map(|link| Who {
            subject: Actor::Human(link.user),
            on_behalf_of: Vec::new(),
            client: None,
            session: None,
            grant: None,
            token: None,
        });
        event.facts.insert("connection".to_owned(), json!(self.connection.id));
        event.facts.insert("by".to_owned(), json!("saml_logout"));
        event.facts.insert("sessions".to_owned(), json!(ended));
        identity.record(event).await
    }

    /// The provider's answer to a request of ours. Our own session ended before.
    async fn left(
        &self,
        identity: &Identity,
        caller: &Caller,
        carried: &Carried<'_>,
        handle: &str,
    ) -> Result<Response, Failure> {
        let begun = identity.take_back(&caller.headers, &self.connection.id, handle).await?;
        let request = match begun.and_then(|begun| Asked::of(&begun)) {
            Ok(Asked::Logout { request }) => request,
            Ok(Asked::Login { .. }) => {
                let refused = Refused::again("sign_in_ended", "This answers a sign-in, not a sign-out.");
                return Err(self.refuse(identity, caller, refused).await);
            }
            Err(refused) => return Err(self.refuse(identity, caller, refused).await),
        };
        let theirs = self.known(identity, caller).await?;
        match read_logout_response(&self.sp, &theirs, carried, &request, identity.now(), SKEW) {
            Ok(outcome) => Ok(self.signed_out_page(identity, outcome)),
            Err(fault) => Err(self.refuse(identity, caller, refusal(&fault)).await),
        }
    }

    fn signed_out_page(&self, identity: &Identity, outcome: LogoutOutcome) -> Response {
        let name = &self.connection.name;
        let body = html! {
            h1 { "You are signed out" }
            @if outcome == LogoutOutcome::Partial {
                p.lead { (name) " could not sign you out of everything. Close your browser to be sure." }
            } @else {
                p.lead { "You are signed out here and at " (name) "." }
            }
            p.fine { a href="/signin" { "Sign in again" } }
        };
        identity.shell().page("Signed out").respond(body)
    }

    /// A `LogoutRequest` for the session that a browser's stood on.
    fn leave(
        &self,
        identity: &Identity,
        theirs: &IdpMetadata,
        session: &BrowserSession,
        handle: &str,
    ) -> Option<(Asked, Outgoing)> {
        let provider = session.provider.as_ref()?;
        let (name, index) = match name_of(&provider.subject) {
            Some(name) => (name, provider.session.as_deref()),
            None => (name_of(provider.session.as_deref()?)?, None),
        };
        let leaving = Leaving { name_id: &name, session_index: index, relay_state: Some(handle) };
        let sent = logout_request(&self.sp, theirs, &leaving, identity.now(), identity.rng()).ok()?;
        Some((Asked::Logout { request: sent.id }, sent.outgoing))
    }
}

/// The page for somebody who has signed out here and may want to at her provider too; `None` where that cannot be
/// asked for. The link on it works for five minutes.
pub(crate) async fn offer(
    identity: &Identity,
    caller: &Caller,
    session: &BrowserSession,
) -> Result<Option<Response>, IdentityError> {
    let Some(provider) = &session.provider else { return Ok(None) };
    let Ok(connection) = identity.usable(provider.connection.as_str()).await? else { return Ok(None) };
    let ConnectionSettings::Saml(settings) = ConnectionSettings::of(&connection)? else { return Ok(None) };
    let party = Party::of(identity, &connection, &settings)?;
    let Ok(theirs) = party.metadata(identity).await? else { return Ok(None) };
    let handle = identity.fresh_handle();
    let Some((asked, outgoing)) = party.leave(identity, &theirs, session, &handle) else { return Ok(None) };
    let after = ContinueTo::account();
    let asked = asked.to_json();
    let cookie = identity.send_off_as(&handle, &caller.headers, &connection.id, &after, asked).await?;
    let button = format!("Also sign out at {}", connection.name);
    let page = identity.shell().page("Signed out");
    let (page, way) = match &outgoing {
        Outgoing::Redirect { url } => (page, html! { p.actions { a.button.full href=(url) { (button) } } }),
        Outgoing::Post { url, fields } => (may_lead_to(page, url), passing_on(url, fields, &button, false)),
    };
    let body = html! {
        h1 { "You are signed out" }
        p.lead { "At " (connection.name) " you are still signed in." }
        (way)
        p.fine { a href="/signin" { "Sign in again" } }
    };
    let mut response = page.respond(body);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(Some(response))
}
