//! `GET /oauth/authorize/resume`: goes on with a waiting request, before and after signing in.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderValue, header};
use maud::html;
use sallyport_identity::SessionStanding;
use sallyport_model::EventKind;
use sallyport_oauth::ErrorCode;
use sallyport_storage::ClientRecord;
use sallyport_web::Caller;

use super::{
    answer::{Given, see_other},
    page,
    request::{AuthorizationRequest, is_registered, is_unmistakable, of_resource},
    waiting::{Open, Waiting, resume_path},
};
use crate::{
    AuthServerError, SignedIn,
    error::{Ended, Refusal},
    parameters::Parameters,
    record::Known,
    server::Server,
};

/// Sends the browser to sign in, shows the consent page, or answers where consent was given earlier.
pub(crate) async fn get(State(server): State<Arc<Server>>, caller: Caller, RawQuery(query): RawQuery) -> Response {
    let mut known = Known::default();
    match resume(&server, &caller, query.as_deref().unwrap_or_default(), &mut known).await {
        Ok(response) => response,
        Err(ended) => server.page_for(&caller, &known, ended).await,
    }
}

async fn resume(server: &Server, caller: &Caller, query: &str, known: &mut Known) -> Result<Response, Ended> {
    let parameters = Parameters::parse(query).map_err(|unreadable| unreadable.error)?;
    let open = server.open(&caller.headers, parameters.get("handle")).await?;
    let client = server.client_of(&open.waiting.request, caller, known).await?;
    let Some(person) = server.fresh_person(caller, &open.waiting).await? else {
        server.count_sign_in(&open).await?;
        return Ok(see_other(
            &server.identity.sign_in_url(&resume_path(&open.handle), open.waiting.request.login_hint.as_deref()),
            None,
        ));
    };
    if !open.waiting.request.prompt.consent && server.is_consented(&client, &open.waiting.request, &person).await? {
        if !server.is_vouched_for(&open.waiting, &person).await? {
            server.count_sign_in(&open).await?;
            let hint = open.waiting.request.login_hint.as_deref();
            return Ok(see_other(&server.identity.sign_in_url(&resume_path(&open.handle), hint), None));
        }
        let open = server.take(&caller.headers, &open.handle).await?;
        let uri = server.grant(caller, &open.waiting.request, &person, Given::Earlier).await?;
        return Ok(go_on(server, &open, &client, &uri));
    }
    let delegation = server.delegation(&open.waiting.request, &person).await?;
    page::consent(server, caller, &open, &client, &person, delegation.as_ref()).await
}

/// Browsers apply the sign-in page's `form-action` to every redirect that follows its form, so right
/// after signing in the browser leaves us by a page of its own.
fn go_on(server: &Server, open: &Open, client: &ClientRecord, uri: &str) -> Response {
    let refresh = HeaderValue::from_str(&format!("0; url={uri}"));
    match refresh {
        Ok(refresh) if open.waiting.sign_ins > 0 => {
            let body = html! {
                h1 { "You are signed in" }
                p.lead { a href=(uri) { "Go back to " (client.name) } }
            };
            server.shell.page("Signed in").in_popup().header(header::REFRESH, refresh).respond(body)
        }
        _ => see_other(uri, None),
    }
}

impl Server {
    /// The client of a waiting request, if it is still one and still has that redirect URI.
    pub(crate) async fn client_of(
        &self,
        request: &AuthorizationRequest,
        caller: &Caller,
        known: &mut Known,
    ) -> Result<ClientRecord, Ended> {
        let client = self.client_lately(request.client.as_str(), caller).await?;
        known.client = Some(client.id.clone());
        if !is_registered(&client, &request.redirect_uri) {
            let changed = "the client no longer has this redirect URI";
            return Err(Refusal::new(ErrorCode::InvalidRequest, changed, "redirect_uri_unregistered").into());
        }
        Ok(client)
    }

    /// Who is signed in, if recently enough for this request.
    pub(crate) async fn fresh_person(
        &self,
        caller: &Caller,
        waiting: &Waiting,
    ) -> Result<Option<SignedIn>, AuthServerError> {
        let current = self.identity.current(&caller.headers).await?;
        Ok(current.filter(|person| {
            let since = person.session.authenticated_at;
            let age = self.now().since(since).as_secs();
            // Whoever signed in for this very request is fresh, whatever `max_age` says.
            let old = waiting.request.prompt.login || waiting.request.max_age.is_some_and(|limit| age > limit);
            since >= waiting.since || !old
        }))
    }

    /// Whether the provider that her session stands on stands by her. It has just said so of somebody who signed in
    /// for this very request.
    pub(crate) async fn is_vouched_for(&self, waiting: &Waiting, person: &SignedIn) -> Result<bool, AuthServerError> {
        if person.session.provider.is_none() || person.session.authenticated_at >= waiting.since {
            return Ok(true);
        }
        match self.identity.standing(&person.session.id).await? {
            SessionStanding::Stands => Ok(true),
            SessionStanding::Ended => Ok(false),
            SessionStanding::Unknown => Err(AuthServerError::ProviderSilent),
        }
    }

    /// Whether an earlier consent covers the request: every scope of it, the same redirect URI, and a
    /// client that no other program can pose as.
    pub(crate) async fn is_consented(
        &self,
        client: &ClientRecord,
        request: &AuthorizationRequest,
        person: &SignedIn,
    ) -> Result<bool, AuthServerError> {
        // Whoever lets an agent act for her says so each time: it is for a while only.
        if self.config.always_ask_consent || request.agent.is_some() || !is_unmistakable(client, &request.redirect_uri)
        {
            return Ok(false);
        }
        let consent = self.store.consent(&person.person.id, &client.id, &request.resource).await?;
        let resource = self.resources.resource(&request.resource);
        Ok(match (consent, resource) {
            (Some(consent), Some(resource)) => {
                consent.redirect_uri == request.redirect_uri
                    && of_resource(&request.scopes).is_subset(&resource.closure(&consent.scopes))
            }
            _ => false,
        })
    }

    /// The page for a request that ended early; refusals are recorded.
    pub(crate) async fn page_for(&self, caller: &Caller, known: &Known, ended: Ended) -> Response {
        let error = match ended {
            Ended::Failed(error) => error,
            Ended::Refused(refusal) => {
                match self.record_refusal(EventKind::AuthorizationRefused, caller, known, &refusal).await {
                    Ok(()) => return self.error_page(&refusal),
                    Err(error) => error,
                }
            }
        };
        self.failure_page(&error)
    }
}
